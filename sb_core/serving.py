"""Serving an ASGI application: hypercorn's connections behind the guard, with the limits that hypercorn lacks.

The rules: a port that cannot be had is said with its setting; there is a limit on connections; an answer that nobody
takes is given up at a deadline; a stop ends everything within STOP_S, a cancellation at once.
Hypercorn's own `serve` keeps none of them. It shields its writes from cancellation, so that one client that stops
reading holds up a stop for ever; a request pipelined behind a closing answer leaves a task that waits for ever, and
takes the answer with it when the order of tasks is unlucky; a connection that its client has closed counts as idle for
another while. So each of its connections runs here on a stream that knows its end, in a cancel scope of its own.
"""

import errno
import socket
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import trio
from anyio.abc import TaskStatus
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import LifespanState
from hypercorn.utils import wrap_app
from msgspec import Struct

from sb_core.guard import CONNECTION, HEADER_BYTES_MAX, AsgiApp, Guard, GuardLimits
from sb_core.settings import Settings, SettingsError
from sb_core.telemetry import Telemetry, error_fields

STOP_S: Final = 3.0
"""How long open requests may take after a stop."""
HEAD_DEADLINE_S: Final = 10.0
"""Longest wait for a request's head, on a new connection and between requests."""
LINGER_S: Final = 1.0
"""How long a connection that we close still reads what its client is sending."""
QUIET_S: Final = 0.25
"""A client that sends nothing for this long has nothing more on its way."""
GONE_S: Final = 0.25
"""How long tasks may live on a connection that is no more."""
WRITE_CHUNK_BYTES: Final = 65_536
BACKLOG: Final = 256
REQUESTS_PER_CONNECTION_MAX: Final = 100_000
_ACCEPT_RETRY_S: Final = 0.1
_ACCEPT_RETRIED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})


class HttpLimits(Struct, frozen=True, kw_only=True):
    """Limits of one HTTP server, beside the size of bodies."""

    connections_max: int = 1_000
    body_deadline_s: float = 30.0
    write_deadline_s: float = 10.0
    inflight_bytes_max: int = 128 * 1024 * 1024


def http_limits(settings: Settings) -> HttpLimits:
    """Read the limits of an HTTP server from the settings."""
    return HttpLimits(
        connections_max=settings.http_connections_max,
        body_deadline_s=settings.http_body_deadline_ms / 1000,
        write_deadline_s=settings.http_write_deadline_ms / 1000,
        inflight_bytes_max=settings.http_inflight_bytes_max,
    )


async def serve_http(
    app: AsgiApp,
    *,
    bind: str,
    port: int,
    stop: anyio.Event,
    body_bytes_max: int,
    telemetry: Telemetry,
    limits: HttpLimits | None = None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`, then let open requests end within STOP_S. Started once the port is bound and listens.

    There is no ASGI lifespan: background tasks belong to the service's own nursery.
    Raises SettingsError when the port can't be had.
    """
    limits = limits or HttpLimits()
    server = _Server(app, body_bytes_max, limits, telemetry)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listen(bind, port)))
    try:
        async with trio.open_nursery() as nursery:
            accepting = trio.CancelScope()
            nursery.start_soon(server.accept, listener, nursery, accepting)
            try:
                task_status.started()
                await stop.wait()
                accepting.cancel()
                listener.socket.close()
                await server.wind_down()
            finally:
                server.abort()
                nursery.cancel_scope.cancel()
    finally:
        listener.socket.close()


def listen(bind: str, port: int) -> socket.socket:
    """Bind and listen at once. Raises SettingsError that names port and setting."""
    host = "127.0.0.1" if bind == "localhost" else bind.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} on {bind} is in use by another program: stop that, or shift all ports with SB_PORT_OFFSET"
            ) from error
        raise SettingsError(
            f"can't listen on port {port} of {bind} (SB_BIND, SB_PORT_OFFSET): {error.strerror}"
        ) from error
    return made


class _Server:
    def __init__(self, app: AsgiApp, body_bytes_max: int, limits: HttpLimits, telemetry: Telemetry) -> None:
        self._limits = limits
        self._telemetry = telemetry
        self._context = WorkerContext(None)
        self._config = _config(telemetry)
        self._slots = trio.Semaphore(limits.connections_max)
        self._streams: dict[int, _Connection] = {}
        self._emptied = trio.Event()
        self._next = 0
        guard_limits = GuardLimits(
            body_bytes_max=body_bytes_max,
            body_deadline_s=limits.body_deadline_s,
            inflight_bytes_max=limits.inflight_bytes_max,
        )
        self._refused = telemetry.counter("http_refused_total", "Requests refused by the guard", ("code",))
        self._open = telemetry.gauge("http_open_connections", "Open HTTP connections")
        self._full = telemetry.counter("http_connections_full_total", "Times that all connections were in use")
        self._app = wrap_app(cast("Any", Guard(app, guard_limits, self._count_refused)), 0, "asgi")

    def _count_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    async def accept(self, listener: trio.SocketListener, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        """Accept connections while there are slots for them."""
        with scope:
            while True:
                if self._slots.value == 0:
                    self._full.inc()
                await self._slots.acquire()
                try:
                    stream = await listener.accept()
                except OSError as error:
                    self._slots.release()
                    if error.errno not in _ACCEPT_RETRIED:
                        raise
                    self._telemetry.warn("accept_failed", **error_fields(error))
                    await trio.sleep(_ACCEPT_RETRY_S)
                else:
                    nursery.start_soon(self._serve, stream)

    async def _serve(self, inner: trio.SocketStream) -> None:
        number = self._next = self._next + 1
        stream = _Connection(inner, self._limits.write_deadline_s)
        self._streams[number] = stream
        self._open.set(len(self._streams))
        try:
            with stream.scope:
                state = LifespanState({CONNECTION: stream})
                await TCPServer(self._app, self._config, self._context, state, stream)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  one connection's end, whatever it was, must not be the server's
            self._telemetry.error("connection_crashed", **error_fields(error))
        finally:
            inner.socket.close()
            del self._streams[number]
            self._slots.release()
            self._open.set(len(self._streams))
            if not self._streams:
                self._emptied.set()

    async def wind_down(self) -> None:
        """Close idle connections now and wait for the others, up to STOP_S."""
        await self._context.terminated.set()
        with trio.move_on_after(STOP_S):
            while self._streams:
                self._emptied = trio.Event()
                await self._emptied.wait()

    def abort(self) -> None:
        """Cut all connections off, also those that are in the midst of a shielded write."""
        for stream in self._streams.values():
            stream.abort()


class _Connection:
    """A socket stream as hypercorn uses one, which ends when it should.

    A write that makes no progress within its deadline breaks it. After its end (closed by us, by the client or broken)
    nothing more is written, what still arrives is read and thrown away for LINGER_S so that the client gets to read the
    answer before a reset, and then whatever task still hangs on the connection is cancelled.
    """

    def __init__(self, inner: trio.SocketStream, write_deadline_s: float) -> None:
        self.scope = trio.CancelScope()
        self.socket = inner.socket
        self._inner = inner
        self._write_deadline_s = write_deadline_s
        self._writing: trio.CancelScope | None = None
        self._reading = trio.Lock()
        self._awaiting: trio.CancelScope | None = None
        self._mute = False
        self._aborted = False
        self._closing = False

    def _end_within(self, seconds: float) -> None:
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + seconds)

    async def refuse(self, answer: bytes) -> None:
        """Write a whole answer past hypercorn, and close: whatever follows on this connection is not a request."""
        self._mute = True  # what hypercorn makes of the bytes behind this request is nobody's
        await self._write(answer)
        await self.aclose()

    async def send_all(self, data: bytes) -> None:
        if not self._mute:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), WRITE_CHUNK_BYTES):
            with trio.CancelScope(deadline=trio.current_time() + self._write_deadline_s) as self._writing:
                await self._inner.send_all(view[start : start + WRITE_CHUNK_BYTES])
            if self._writing.cancelled_caught or self._aborted:
                self._end_within(GONE_S)
                self.socket.close()
                raise trio.BrokenResourceError("the client takes nothing")

    async def receive_some(self, max_bytes: int) -> bytes:
        data: bytes | bytearray = b""
        async with self._reading:
            if self._closing:
                return b""
            with trio.CancelScope() as self._awaiting:
                data = await self._inner.receive_some(max_bytes)
        if not data:
            self._end_within(GONE_S)
        return b"" if self._closing else bytes(data)

    async def send_eof(self) -> None:
        if not self._closing:
            await self._inner.send_eof()

    async def aclose(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._awaiting is not None:
            self._awaiting.cancel()
        self._end_within(LINGER_S + GONE_S)
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                await self._inner.send_eof()
                with trio.move_on_after(LINGER_S):
                    await self._discard()
        finally:
            self.socket.close()
            self._end_within(GONE_S)

    async def _discard(self) -> None:
        """Read until the client has closed or says nothing more."""
        async with self._reading:
            data: bytes | bytearray = b"?"
            while data:
                data = b""
                with trio.move_on_after(QUIET_S):
                    data = await self._inner.receive_some(WRITE_CHUNK_BYTES)

    def abort(self) -> None:
        """End now, also in the midst of a write, which hypercorn shields from cancellation."""
        self._mute = self._aborted = True
        if self._writing is not None:
            self._writing.cancel()
        self.scope.cancel()


def _config(telemetry: Telemetry) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = telemetry.adopt(f"sb_core.hypercorn.{telemetry.service}")
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.keep_alive_timeout = HEAD_DEADLINE_S
    config.keep_alive_max_requests = REQUESTS_PER_CONNECTION_MAX
    config.include_server_header = False
    config.h2_max_concurrent_streams = 8
    config.websocket_max_message_size = WRITE_CHUNK_BYTES
    return config
