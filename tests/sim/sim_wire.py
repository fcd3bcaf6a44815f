"""The bytes of the WebSocket: the node's real StreamServer and Connection over simulated sockets, a real client protocol.

The rule: only the kernel is simulated: a buffer of so many bytes each way, that is full, broken, or waited for.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import trio
from sim_clients import CutError
from sim_oracle import Oracle
from simulation import Process
from websockets.client import ClientProtocol
from websockets.frames import CLOSE, TEXT, Close, Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

from sb_distribute import connection as real
from sb_distribute.stream import StreamServer

BUFFER_BYTES: Final = 12_000
"""What a simulated kernel takes before its peer reads."""


class SimSocket:
    """The server's socket; `outbound` is what the client has not read yet, `inbound` what the server has not."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.inbound = bytearray()
        self.outbound = bytearray()
        self.closed = False
        self.broken = False
        self.changed = trio.Event()

    def stir(self) -> None:
        """Let whoever waits look again."""
        self.changed.set()
        self.changed = trio.Event()

    def setblocking(self, _flag: object) -> None: ...
    def setsockopt(self, *_: object) -> None: ...

    def send(self, data: bytes) -> int:
        if self.closed or self.broken or not self.process.alive:
            raise BrokenPipeError
        room = BUFFER_BYTES - len(self.outbound)
        if room <= 0:
            raise BlockingIOError
        self.outbound += bytes(data[:room])
        self.stir()
        return min(room, len(data))

    def recv(self, _size: int) -> bytes:
        if not self.inbound and not self.broken:
            raise BlockingIOError
        data = bytes(self.inbound)
        self.inbound.clear()
        return data

    def shutdown(self, _how: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        self.stir()

    async def wait_readable(self) -> None:
        while not self.inbound and not self.broken:
            await self.changed.wait()
        await self.process.gate()

    async def wait_writable(self) -> None:
        while len(self.outbound) >= BUFFER_BYTES and not self.broken:
            await self.changed.wait()
        await self.process.gate()


class _Lowlevel:
    checkpoint = staticmethod(trio.lowlevel.checkpoint)

    async def wait_readable(self, sock: Any) -> None:
        if isinstance(sock, SimSocket):
            await sock.wait_readable()
        else:
            await trio.lowlevel.wait_readable(sock)

    async def wait_writable(self, sock: Any) -> None:
        if isinstance(sock, SimSocket):
            await sock.wait_writable()
        else:
            await trio.lowlevel.wait_writable(sock)

    def notify_closing(self, sock: Any) -> None:
        if isinstance(sock, SimSocket):
            sock.stir()
        else:
            trio.lowlevel.notify_closing(sock)


class _Trio:
    """Trio, with waits that know simulated sockets."""

    lowlevel = _Lowlevel()

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


@contextmanager
def simulated_sockets() -> Iterator[None]:
    """Let Connection wait for simulated sockets for as long as this lasts."""
    real.trio = _Trio()  # type: ignore[assignment]
    try:
        yield
    finally:
        real.trio = trio


class Line:
    """Both ends of one WebSocket; an application's connection."""

    def __init__(self, server: StreamServer, process: Process, oracle: Oracle) -> None:
        self.process = process
        self.oracle = oracle
        self.closed = False
        self._server = server
        self._socket: Any = SimSocket(process)
        self._connection = real.Connection(self._socket, "198.51.100.7", server._write_deadline_s, server._logger)
        self._client = ClientProtocol(parse_uri("ws://node/v1/stream"))
        self._frames: deque[bytes] = deque()
        self._part = bytearray()
        process.wakes[self] = self.cut

    async def serve(self, asked: bytes) -> None:
        """Be the server's task for this connection."""
        self._asked = asked
        self._client.send_request(self._client.connect())
        self._send()
        self._server._connections[self._connection] = None
        await self._server._run(self._connection)

    def _send(self) -> None:
        for data in self._client.data_to_send():
            self._socket.inbound += data
        self._socket.stir()

    @property
    def well(self) -> bool:
        waits = self._frames or self._socket.outbound or self._connection.busy
        return self.process.alive and not self.process.paused and not self.closed and not waits

    def cut(self) -> None:
        """Break it, for both ends."""
        self.closed = True
        self.process.wakes.pop(self, None)
        self._socket.broken = True
        self._socket.stir()

    def abandon(self) -> None:
        """Go without a word: the server's end stands, and nobody reads or answers any more."""
        self.oracle.happened("half_open")
        self.closed = True

    async def receive(self) -> bytes:
        """Be the client: the next frame. Raises CutError when the connection is no more."""
        while not self._frames:
            sock = self._socket
            while not sock.outbound:
                if self.closed or sock.closed or sock.broken or not self.process.alive:
                    raise CutError
                await sock.changed.wait()
            data = bytes(sock.outbound)
            sock.outbound.clear()
            sock.stir()
            self._client.receive_data(data)
            for event in self._client.events_received():
                self._take(event)
            self._send()
        return self._frames.popleft()

    def _take(self, event: Any) -> None:
        if isinstance(event, Response):
            if event.status_code != 101:
                raise CutError
            self._client.send_text(self._asked)
        elif isinstance(event, Frame) and event.opcode is CLOSE:
            code = Close.parse(event.data).code
            self.oracle.happened(f"closed_{code}")
            if not self._frames:
                self.cut()
                raise CutError
        elif isinstance(event, Frame):
            self._part = bytearray(event.data) if event.opcode is TEXT else self._part + event.data
            if event.fin and event.opcode is TEXT:
                self._frames.append(bytes(self._part))
