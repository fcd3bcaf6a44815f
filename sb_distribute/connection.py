"""One TCP connection of the WebSocket port: a handshake, then frames both ways over a non-blocking socket.

The rules: the hub writes straight to the socket; only when the kernel takes no more does the connection's own task wait
for it, and from then on the client's outbox conflates; who takes nothing for the write deadline is closed with 4408;
every close has a code and a reason, and a deadline after which the socket goes whatever the peer does.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Final, TypeAlias

import trio
from websockets.frames import BINARY, CLOSE, CONT, PING, TEXT, Frame
from websockets.http11 import Request
from websockets.protocol import OPEN, State
from websockets.server import ServerProtocol

from sb_distribute import wire
from sb_distribute.hub import FLUSH_BYTES_MAX, Hub
from sb_distribute.join import Joiner
from sb_distribute.session import CLOSE_BAD, CLOSE_SLOW, Close, Join, Leave, Session
from sb_distribute.wire import Format, RefusedError

READ_BYTES_MAX: Final = 65_536
BACKLOG_BYTES_MAX: Final = 8_388_608
"""Bytes that may wait for the kernel; only a client that sends and never reads comes near it."""
SEND_BUFFER_BYTES: Final = 262_144
CLOSE_DEADLINE_S: Final = 5.0
"""How long a peer may take to answer a close, and to take what it was sent before."""
CLOSE_INVALID: Final = 1007
REASON_BYTES_MAX: Final = 120

NowMs: TypeAlias = Callable[[], int]
"""Wall time in ms since 1970 UTC."""


def header(size: int, *, text: bool) -> bytes:
    """Return the head of an unmasked, unfragmented message of `size` bytes."""
    first = 0x81 if text else 0x82
    if size < 126:
        return bytes((first, size))
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def _nothing() -> None:
    """Do nothing: nobody is to be told."""


class Protocol(ServerProtocol):
    """The library's, except that a close within an unfinished message is a close as any other."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame."""
        if frame.opcode is CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class Connection:
    """A socket, its protocol and its session; the hub's Outlet."""

    def __init__(self, sock: socket.socket, address: str, write_deadline_s: float, logger: Logger) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.address = address
        self.key: str | None = None
        """The key that was presented."""
        self.scope = trio.CancelScope()
        self.sent_bytes = 0
        self.heard_s = trio.current_time()
        self.pinged_s: float | None = None
        self.close_code: int | None = None
        self.on_close: Callable[[], None] = _nothing
        self.protocol = Protocol(max_size=wire.INBOUND_BYTES_MAX, logger=logger)
        self._socket = sock
        self._write_deadline_s = write_deadline_s
        self._text = True
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._owed = False
        self._eof = False
        self._wakeup = trio.Event()
        self._message = bytearray()
        self._opcode = TEXT

    def __repr__(self) -> str:
        return f"<Connection {self.protocol.state.name} sent={self.sent_bytes} backlog={self._backlog_bytes}>"

    # The hub's side.

    @property
    def busy(self) -> bool:
        """Whether bytes wait for the kernel, or nothing more is to be said."""
        return bool(self._backlog) or self.protocol.state is not OPEN

    def write(self, messages: Sequence[bytes]) -> None:
        """Send messages as far as the kernel takes them; the rest waits for the connection's task."""
        parts: list[bytes] = []
        for message in messages:
            parts.append(header(len(message), text=self._text))
            parts.append(message)
        data = b"".join(parts)
        if not self._backlog:
            # what nearly always happens: the kernel takes it all
            try:
                sent = self._socket.send(data)
            except OSError:
                sent = 0  # not now, or never: what follows finds out
            self.sent_bytes += sent
            if sent == len(data):
                return
            data = data[sent:]
        self._send(data)

    def wake(self) -> None:
        """Let the connection's task ask for what is owed."""
        self._owed = True
        self._wakeup.set()

    # Bytes.

    async def receive(self) -> bytes:
        """Return some bytes, none at the end of the stream or when it broke."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(READ_BYTES_MAX)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self._backlog.append(memoryview(data))
        self._backlog_bytes += len(data)
        if len(self._backlog) == 1:
            self._drain()
        if self._backlog_bytes > BACKLOG_BYTES_MAX:
            self.scope.cancel()
        if self._backlog:
            self._owed = True
            self._wakeup.set()

    def _drain(self) -> bool:
        """Give the kernel what it takes; tell whether that was anything."""
        taken = 0
        try:
            while self._backlog:
                first = self._backlog[0]
                sent = self._socket.send(first)
                taken += sent
                if sent < len(first):
                    self._backlog[0] = first[sent:]
                else:
                    self._backlog.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._backlog.clear()
            self._backlog_bytes = taken
            self.scope.cancel()
        self.sent_bytes += taken
        self._backlog_bytes -= taken
        if self._eof and not self._backlog:
            self._half_close()
        return taken > 0

    def flush(self) -> None:
        """Send what the protocol has to say: handshake, pongs, pings, closes."""
        for data in self.protocol.data_to_send():
            if data:
                self._send(data)
            else:
                self._eof = True
                if not self._backlog:
                    self._half_close()
        if self.protocol.state is not OPEN:
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + CLOSE_DEADLINE_S)

    def _half_close(self) -> None:
        self._eof = False
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.scope.cancel()

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer over plain HTTP and say that this was all."""
        self._send(head + body)
        self._eof = True
        if not self._backlog:
            self._half_close()

    def release(self) -> None:
        """Give the socket back."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    # The WebSocket.

    async def handshake(self) -> Request | None:
        """Read the request; None when what came is none (then what there is to say has been said)."""
        while True:
            data = await self.receive()
            if not data:
                return None
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if isinstance(event, Request):
                    return event
            if self.protocol.handshake_exc is not None:
                self.flush()
                return None

    def accept(self, request: Request, form: Format, *, subprotocol: str | None) -> bool:
        """Answer the handshake; False when it was none."""
        self._text = form.text
        response = self.protocol.accept(request)
        if response.status_code == 101 and subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self.protocol.send_response(response)
        self.flush()
        return response.status_code == 101

    def close(self, code: int, reason: str) -> None:
        """Begin to close."""
        if self.protocol.state is OPEN:
            self.close_code = code
            self.on_close()
            self.protocol.send_close(code, reason.encode()[:REASON_BYTES_MAX].decode("utf-8", "ignore"))
            self.flush()

    def fail(self, code: int, reason: str) -> None:
        """Close because of what the peer sent, without listening any further."""
        if self.protocol.state is OPEN:
            self.close_code = code
            self.on_close()
            self.protocol.fail(code, reason)
            self.flush()

    def ping(self) -> None:
        """Ask whether the peer lives."""
        if self.protocol.state is OPEN:
            self.pinged_s = trio.current_time()
            self.protocol.send_ping(b"sb")
            self.flush()

    async def converse(self, session: Session, hub: Hub, joiner: Joiner, now_ms: NowMs) -> None:
        """Take what the client says until it hangs up."""
        while True:
            data = await self.receive()
            self.heard_s = trio.current_time()
            self.pinged_s = None
            if not data:
                self.protocol.receive_eof()
                self.flush()
                return
            self.protocol.receive_data(data)
            if self.protocol.state is OPEN:
                self.flush()  # pongs don't wait for answers
            for frame in self.protocol.events_received():
                if isinstance(frame, Frame) and self.protocol.state is OPEN:
                    await self._take(frame, session, hub, joiner, now_ms)
            self.flush()
            if self.protocol.state is State.CLOSED:
                return

    async def _take(self, frame: Frame, session: Session, hub: Hub, joiner: Joiner, now_ms: NowMs) -> None:
        if frame.opcode in {TEXT, BINARY}:
            self._opcode, self._message = frame.opcode, bytearray(frame.data)
        elif frame.opcode is CONT:
            self._message += frame.data
        elif frame.opcode is PING:
            self._obey(session.allow(now_ms()), hub)
            return
        else:
            return
        if not frame.fin:
            self._obey(session.allow(now_ms()), hub)
            return
        if (self._opcode is TEXT) is not self._text:
            self.close(CLOSE_BAD, f"{session.form.subprotocol} takes {'text' if self._text else 'binary'} messages")
            return
        message = bytes(self._message)
        if self._text:
            try:
                message.decode()
            except UnicodeDecodeError:
                self.fail(CLOSE_INVALID, "a text message that is not UTF-8")
                return
        await self.hear(message, session, hub, joiner, now_ms)

    async def hear(self, message: bytes, session: Session, hub: Hub, joiner: Joiner, now_ms: NowMs) -> None:
        """Take one whole message of the client."""
        effect = session.receive(message, now_ms())
        if isinstance(effect, Join):
            try:
                await joiner.join(session, effect)
            except RefusedError as refused:
                effect = session.refuse(refused)
        self._obey(effect, hub)
        hub.flush((session,), now_ms())

    def _obey(self, effect: Join | Leave | Close | None, hub: Hub) -> None:
        if isinstance(effect, Leave):
            hub.remove(effect.subscription)
        elif isinstance(effect, Close):
            self.close(effect.code, effect.reason)

    async def drain(self) -> None:
        """Wait for the kernel to take everything that was answered over plain HTTP."""
        while self._backlog:
            await trio.lowlevel.wait_writable(self._socket)
            self._drain()

    async def pump(self, session: Session, hub: Hub, now_ms: NowMs) -> None:
        """Take over whenever the kernel's buffer is full, or more is owed than the hub gives in one step."""
        waited_s = 0.0
        while True:
            if self._backlog:
                since_s = trio.current_time()
                with trio.move_on_after(max(0.0, self._write_deadline_s - waited_s)):
                    await trio.lowlevel.wait_writable(self._socket)
                waited_s = 0.0 if self._drain() else waited_s + trio.current_time() - since_s
                if waited_s >= self._write_deadline_s:
                    self.close(CLOSE_SLOW, f"nothing was taken for {self._write_deadline_s:g} s")
                    waited_s = 0.0
            elif self._owed:
                self._owed = False
                if self.protocol.state is OPEN:
                    messages, more = session.take(hub, now_ms(), FLUSH_BYTES_MAX)
                    self._owed = more
                    if messages:
                        self.write(messages)
                await trio.lowlevel.checkpoint()
            else:
                self._wakeup = trio.Event()
                await self._wakeup.wait()
