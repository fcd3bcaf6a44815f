"""A client of the WebSocket stream, for applications, the console and tests.

The rules: `events` is always what the server has said so far, applied in order; an item that isn't newer is dropped, a
gap is told and mended by subscribing again; a lost connection is told, taken up again after a random pause, and its
subscriptions go on from their cursors. Nothing is read ahead: who doesn't iterate makes the server conflate.

    async with StreamClient("ws://127.0.0.1:4003", key="…") as client:
        await client.subscribe("s1", sports=["football"])
        async for happened in client:
            ...
"""

import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

import anyio
import msgspec
from anyio.abc import ByteStream
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import BINARY, CONT, TEXT, Frame
from websockets.protocol import OPEN, State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from sb_core import shown
from sb_core.client_frames import (
    Changed,
    Followed,
    Fresh,
    Gap,
    Gone,
    Happened,
    Heard,
    Heartbeat,
    Hello,
    Item,
    Lost,
    Pong,
    Refused,
    Snapshot,
    Stale,
    Subscribed,
    Synced,
    Unsubscribed,
)
from sb_core.client_frames import Frame as Frames

__all__ = [
    "Changed",
    "Followed",
    "Fresh",
    "Gap",
    "Gone",
    "Happened",
    "Heard",
    "Heartbeat",
    "Hello",
    "Item",
    "Lost",
    "Pong",
    "Refused",
    "Snapshot",
    "Stale",
    "StreamClient",
    "StreamError",
    "Subscribed",
    "Synced",
    "Unsubscribed",
]

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
READ_BYTES_MAX: Final = 65_536
CONNECT_S_MAX: Final = 10.0
CLOSE_S_MAX: Final = 2.0
SILENCE_FACTOR: Final = 3.0
"""Heartbeats that may be missed before a connection counts as lost."""
PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 10.0
FINAL_CODES: Final = frozenset({4400, 4401})
"""Close codes after which trying again would change nothing."""
PATH: Final = "/v1/stream"


class StreamError(Exception):
    """The stream can't go on; `code` is the close code or the HTTP status, None when the network failed."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StreamClient:
    """One connection at a time, taken up again when lost (unless `reconnect` is False)."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        form: Literal["json", "msgpack"] = "json",
        reconnect: bool = True,
        jitter: Callable[[], float] = random.random,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        base = url.rstrip("/")
        try:
            self._uri = parse_uri(base if base.endswith(PATH) else base + PATH)
        except InvalidURI as error:
            raise StreamError(str(error)) from error
        self._key = key
        self._form = form
        self._reconnect = reconnect
        self._jitter = jitter
        self._tls = tls
        codec: Any = msgspec.json if form == "json" else msgspec.msgpack
        self._decoder = codec.Decoder(Frames)
        self._encode: Callable[[object], bytes] = codec.encode
        self._stream: ByteStream | None = None
        self._protocol: ClientProtocol | None = None
        self._subs: dict[str, Followed] = {}
        self._ready: deque[Happened] = deque()
        self._heartbeat_ms = 10_000
        self._failures = 0
        self._pause_s = 0.0
        self._opcode = TEXT
        self._message = bytearray()

    def __repr__(self) -> str:
        state = "closed" if self._protocol is None else self._protocol.state.name.lower()
        return f"<StreamClient {self._uri.host}:{self._uri.port} {state} {list(self._subs.values())}>"

    # What is known.

    @property
    def subs(self) -> Sequence[str]:
        """Return the names of all subscriptions."""
        return tuple(self._subs)

    def followed(self, sub: str) -> Followed:
        """Return what is known of a subscription. Raises KeyError for one that was never made."""
        return self._subs[sub]

    def events(self, sub: str) -> Mapping[str, shown.Event]:
        """Return a subscription's events as far as they are known."""
        return self._subs[sub].events

    def bettable(self, sub: str, event: str, market: str, line: str = "") -> bool:
        """Tell whether one may bet on a market now: it is open, and neither its sport nor the connection is stale."""
        followed = self._subs[sub]
        held = followed.events.get(event)
        if held is None or held.stale or held.sport in followed.stale or self._stream is None:
            return False
        return any(each.open for each in held.markets if (each.market, each.line) == (market, line))

    # What can be asked.

    async def subscribe(
        self,
        sub: str,
        *,
        sports: Sequence[str] | None = None,
        events: Sequence[str] | None = None,
        competitions: Sequence[str] | None = None,
        markets: Sequence[str] | None = None,
        conflate_ms: int = 0,
        cursor: str | None = None,
    ) -> None:
        """Subscribe; a `sub` used again is replaced. What comes of it is told by iterating."""
        filters = {"sports": sports, "events": events, "competitions": competitions, "markets": markets}
        given = {name: list(ids) for name, ids in filters.items() if ids is not None}
        self._subs[sub] = Followed({"op": "subscribe", "sub": sub, **given, "conflate_ms": conflate_ms})
        self._subs[sub].cursor = cursor
        await self._ask(sub)

    async def unsubscribe(self, sub: str) -> None:
        """End a subscription and forget its events."""
        self._subs.pop(sub, None)
        await self._send({"op": "unsubscribe", "sub": sub})

    async def ping(self, n: int | str | None = None) -> None:
        """Ask for a Pong."""
        await self._send({"op": "ping", "n": n})

    async def _ask(self, sub: str) -> None:
        followed = self._subs[sub]
        cursor = {} if followed.cursor is None else {"cursor": followed.cursor}
        await self._send({**followed.request, **cursor})

    # The connection.

    async def __aenter__(self) -> Self:
        """Connect. Raises StreamError."""
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, within CLOSE_S_MAX."""
        await self.aclose()

    async def aclose(self) -> None:
        """Say goodbye and close the connection."""
        stream, protocol = self._stream, self._protocol
        self._stream = None
        if stream is None:
            return
        with anyio.move_on_after(CLOSE_S_MAX, shield=True):
            try:
                if protocol is not None and protocol.state is OPEN:
                    protocol.send_close(1000, "")
                    for data in protocol.data_to_send():
                        await stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            await stream.aclose()

    async def _connect(self) -> None:
        uri = self._uri
        try:
            with anyio.fail_after(CONNECT_S_MAX):
                if uri.secure:
                    context = self._tls or ssl.create_default_context()
                    self._stream = await anyio.connect_tcp(
                        uri.host, uri.port, tls=True, ssl_context=context, tls_standard_compatible=False
                    )
                else:
                    self._stream = await anyio.connect_tcp(uri.host, uri.port)
                await self._shake_hands(self._stream)
        except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            await self.aclose()
            raise StreamError(f"{uri.host}:{uri.port}: {error or type(error).__name__}") from error
        except BaseException:
            await self.aclose()
            raise

    async def _shake_hands(self, stream: ByteStream) -> None:
        subprotocol = Subprotocol(f"sb.v1.{self._form}")
        self._protocol = protocol = ClientProtocol(self._uri, subprotocols=[subprotocol], max_size=MESSAGE_BYTES_MAX)
        request = protocol.connect()
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        protocol.send_request(request)
        await self._flush()
        while protocol.state is State.CONNECTING:
            protocol.receive_data(await stream.receive(READ_BYTES_MAX))
            if protocol.handshake_exc is not None:
                raise _handshake_error(protocol.handshake_exc)
        for event in protocol.events_received():
            self._take_frame(event)

    async def _send(self, operation: Mapping[str, object]) -> None:
        """Send; when the connection is lost, what stands is sent again once it is back."""
        protocol = self._protocol
        if self._stream is None or protocol is None or protocol.state is not OPEN:
            return
        data = self._encode(operation)
        if self._form == "json":
            protocol.send_text(data)
        else:
            protocol.send_binary(data)
        try:
            await self._flush()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # reading tells

    async def _flush(self) -> None:
        if self._stream is not None and self._protocol is not None:
            for data in self._protocol.data_to_send():
                if data:
                    await self._stream.send(data)

    # What happens.

    def __aiter__(self) -> AsyncIterator[Happened]:
        """Iterate over what happens, for ever."""
        return self

    async def __anext__(self) -> Happened:
        """Return what happens next. Raises StreamError when the stream can't go on."""
        while not self._ready:
            if self._stream is None:
                await self._again()
            else:
                await self._read()
        return self._ready.popleft()

    async def _again(self) -> None:
        await anyio.sleep(self._pause_s)
        try:
            await self._connect()
            for sub in list(self._subs):
                self._subs[sub].synced = False
                await self._ask(sub)
        except StreamError as error:
            if error.code is not None and error.code != 503:
                raise
            await self._lost(error.code, str(error))

    async def _read(self) -> None:
        stream, protocol = self._stream, self._protocol
        if stream is None or protocol is None:
            return
        data = b""
        try:
            # what came with the handshake may have closed it again
            if protocol.state is OPEN:
                with anyio.move_on_after(SILENCE_FACTOR * self._heartbeat_ms / 1000):
                    data = await stream.receive(READ_BYTES_MAX)
                if not data:
                    await self._lost(None, "nothing was heard for too long")
                    return
                protocol.receive_data(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            protocol.receive_eof()
        for event in protocol.events_received():
            self._take_frame(event)
        await self._mend()
        try:
            await self._flush()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            protocol.receive_eof()
        if protocol.state is not OPEN:
            close = protocol.close_rcvd
            await self._lost(*((None, "the connection broke") if close is None else (int(close.code), close.reason)))

    async def _lost(self, code: int | None, reason: str) -> None:
        await self.aclose()
        if not self._reconnect or code in FINAL_CODES:
            raise StreamError(reason or "closed", code)
        self._pause_s = self._jitter() * min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._ready.append(Lost(code, reason, self._pause_s))

    async def _mend(self) -> None:
        for sub, followed in self._subs.items():
            if followed.mending and not followed.asked_again:
                followed.cursor, followed.asked_again = None, True
                await self._ask(sub)

    def _take_frame(self, frame: object) -> None:
        if not isinstance(frame, Frame):
            return
        if frame.opcode in {TEXT, BINARY}:
            self._opcode, self._message = frame.opcode, bytearray(frame.data)
        elif frame.opcode is CONT:
            self._message += frame.data
        else:
            return
        if not frame.fin:
            return
        try:
            said = self._decoder.decode(self._message)
        except msgspec.MsgspecError as error:
            raise StreamError(f"the server said what is not in the contract: {error}") from error
        self._take(said)

    def _take(self, said: Frames) -> None:
        if isinstance(said, Heard):
            followed = self._subs.get(said.sub)
            if followed is not None:
                self._ready.extend(followed.hear(said))
            if isinstance(said, Synced):
                self._failures = 0
            return
        if isinstance(said, Hello):
            self._heartbeat_ms = said.heartbeat_ms
        elif isinstance(said, Heartbeat):
            for sub, cursor in said.cursors.items():
                if sub in self._subs and self._subs[sub].synced and not self._subs[sub].mending:
                    self._subs[sub].cursor = cursor
        self._ready.append(said)


def _handshake_error(error: Exception) -> StreamError:
    if isinstance(error, InvalidStatus):
        return StreamError(f"refused: {error}", error.response.status_code)
    if isinstance(error, InvalidHandshake):
        return StreamError(f"no WebSocket: {error}")
    return StreamError(str(error))
