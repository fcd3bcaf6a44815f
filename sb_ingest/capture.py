"""Capture: whoever asks sees what comes in, original bytes and arrival times, as lines of JSON.

The rule: a listener never slows intake down. What waits for one is bounded in bytes; one that is too slow is cut off.
"""

import base64
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final

import anyio
import msgspec

from sb_core.telemetry import Telemetry
from sb_ingest.documents import Captured

WAITING_BYTES_MAX: Final = 32 * 1024 * 1024
LISTENERS_MAX: Final = 16


class TooManyListenersError(Exception):
    """There are LISTENERS_MAX already."""


class Listener:
    """One capture client's queue."""

    def __init__(self, provider: str | None) -> None:
        self.provider = provider
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._wake = anyio.Event()
        self.closed = False

    def offer(self, line: bytes) -> bool:
        """Queue a line; False when too much waits."""
        if self._bytes + len(line) > WAITING_BYTES_MAX:
            return False
        self._lines.append(line)
        self._bytes += len(line)
        self._wake.set()
        return True

    def close(self) -> None:
        """End the stream after what waits."""
        self.closed = True
        self._wake.set()

    async def take(self) -> bytes | None:
        """Return what waits, joined; None at the end."""
        while not self._lines:
            if self.closed:
                return None
            self._wake = anyio.Event()
            await self._wake.wait()
        joined = b"".join(self._lines)
        self._lines.clear()
        self._bytes = 0
        return joined


class Captures:
    """All listeners of this node."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._listeners: list[Listener] = []
        self._cut = telemetry.counter("capture_cut_total", "Capture listeners cut off for being slow.")
        self._telemetry = telemetry

    def __repr__(self) -> str:
        return f"<Captures {len(self._listeners)}>"

    def publish(self, received: int, provider: str, key: str | None, captured: Iterable[Captured]) -> None:
        """Show bodies to everyone who listens; never waits. `key` is the request's, for bodies without their own."""
        listeners = [each for each in self._listeners if each.provider in {None, provider}]
        if not listeners:
            return
        for each in captured:
            text = line(received, provider, each.key if each.key is not None else key, each.body)
            for listener in listeners:
                if not listener.closed and not listener.offer(text):
                    listener.close()
                    self._cut.inc()
                    self._telemetry.warn("capture_cut", provider=provider)

    def open(self, provider: str | None) -> Listener:
        """Begin to listen. Raises TooManyListenersError."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise TooManyListenersError
        listener = Listener(provider)
        self._listeners.append(listener)
        return listener

    async def lines(self, listener: Listener) -> AsyncIterator[bytes]:
        """Yield capture lines until the service stops or the listener is cut off."""
        try:
            while (text := await listener.take()) is not None:
                yield text
        finally:
            self.remove(listener)

    def remove(self, listener: Listener) -> None:
        """Forget a listener."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def close(self) -> None:
        """End all streams."""
        for listener in self._listeners:
            listener.close()


def line(received: int, provider: str, key: str | None, raw: bytes) -> bytes:
    """Write one capture line; a body that isn't UTF-8 goes as base64."""
    try:
        body: object = raw.decode("utf-8")
    except UnicodeDecodeError:
        body = {"b64": base64.b64encode(raw).decode()}
    return msgspec.json.encode({"t": received, "provider": provider, "key": key, "body": body}) + b"\n"
