"""The WebSocket port: a small TCP server that hands each connection to its tasks, and answers /health and the like.

The rules: one nursery; a connection that crashes ends alone; a stop closes every connection with 1001 and waits a
bounded time; there is a limit on connections, on handshakes' time, and on how long a peer may be silent.
"""

import errno
import socket
from collections import Counter
from functools import partial
from typing import Final

import anyio
import trio
from anyio.abc import TaskStatus
from websockets.http11 import Request

from sb_core.auth import KeyCheck, bearer, subprotocol_key
from sb_core.ops import OPEN_PATHS, Ops, OpsAnswer, problem_answer, title
from sb_core.runtime import Context
from sb_core.serving import listen
from sb_core.telemetry import error_fields
from sb_core.topics import SPORTS
from sb_distribute import wire
from sb_distribute.connection import Connection
from sb_distribute.hub import Hub
from sb_distribute.join import Joiner
from sb_distribute.node import Node
from sb_distribute.session import CLOSE_GOING_AWAY, CLOSE_SLOW, CLOSE_TOO_MANY, CLOSE_UNAUTHORISED, Limits, Session

PATH: Final = "/v1/stream"
HANDSHAKE_S_MAX: Final = 10.0
SILENT_S_MAX: Final = 20.0
"""A peer that says nothing for this long is pinged."""
PONG_S_MAX: Final = 20.0
STOP_S: Final = 3.0
DUE_CHECK_S: Final = 0.01
EXTRA_CONNECTIONS_MAX: Final = 256
"""Connections beyond SB_STREAM_CONNECTIONS_MAX, so that health can be asked and a refusal be said."""
_ACCEPT_RETRY_S: Final = 0.1
_ACCEPT_RETRIED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})


class StreamServer:
    """The server of one node."""

    def __init__(self, node: Node, hub: Hub, context: Context, ops: Ops, keys: KeyCheck) -> None:
        settings, telemetry = context.settings, context.telemetry
        self._node = node
        self._hub = hub
        self._ops = ops
        self._keys = keys
        self._clock = node.clock
        self._entropy = context.entropy
        self._telemetry = telemetry
        self._joiner = Joiner(node, hub, context)
        self._limits = Limits(
            settings.stream_subscriptions_max, settings.stream_outbox_bytes_max, settings.stream_heartbeat_ms
        )
        self._connections_max = settings.stream_connections_max
        self._client_connections_max = settings.stream_client_connections_max
        self._clients: Counter[str] = Counter()
        self._keys_version = 0
        self._write_deadline_s = settings.stream_write_deadline_ms / 1000
        self._logger = telemetry.adopt("sb_distribute.websockets")
        self._connections: dict[Connection, None] = {}
        self._emptied = trio.Event()
        self._open = telemetry.gauge("stream_connections", "Open WebSocket connections")
        self._subscriptions = telemetry.gauge("stream_subscriptions", "Subscriptions that stand")
        self._closed = telemetry.counter("stream_closed_total", "Connections that we closed, by code", ("code",))
        self._sent = telemetry.counter("stream_sent_bytes_total", "Bytes that the kernel took")

    def __repr__(self) -> str:
        return f"<StreamServer connections={len(self._connections)} {self._hub!r}>"

    async def serve(
        self,
        *,
        bind: str,
        port: int,
        stop: anyio.Event,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stop`, then close every connection within STOP_S. Raises SettingsError for the port."""
        listener = listen(bind, port)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_due)
                nursery.start_soon(self._send_heartbeats)
                nursery.start_soon(self._keep_alive)
                accepting = trio.CancelScope()
                nursery.start_soon(self._accept, listener, nursery, accepting)
                task_status.started()
                await stop.wait()
                accepting.cancel()
                trio.lowlevel.notify_closing(listener)
                listener.close()
                await self._wind_down()
                nursery.cancel_scope.cancel()
        finally:
            listener.close()

    async def _wind_down(self) -> None:
        for connection in list(self._connections):
            connection.close(CLOSE_GOING_AWAY, "the server is shutting down")
        with trio.move_on_after(STOP_S):
            while self._connections:
                self._emptied = trio.Event()
                await self._emptied.wait()

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await trio.lowlevel.wait_readable(listener)
                try:
                    sock, peer = listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno not in _ACCEPT_RETRIED:
                        raise
                    self._telemetry.warn("accept_failed", **error_fields(error))
                    await trio.sleep(_ACCEPT_RETRY_S)
                    continue
                if len(self._connections) >= self._connections_max + EXTRA_CONNECTIONS_MAX:
                    sock.close()
                    continue
                connection = Connection(sock, str(peer[0]), self._write_deadline_s, self._logger)
                self._connections[connection] = None
                nursery.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            with connection.scope:
                await self._converse(connection)
        except Exception as error:  # noqa: BLE001  one connection's end, whatever it was, must not be the server's
            self._telemetry.error("connection_crashed", **error_fields(error))
        finally:
            connection.release()
            del self._connections[connection]
            self._sent.inc(connection.sent_bytes)
            if connection.close_code is not None:
                self._closed.labels(str(connection.close_code)).inc()
            if not self._connections:
                self._emptied.set()

    async def _converse(self, connection: Connection) -> None:
        request = None
        with trio.move_on_after(HANDSHAKE_S_MAX):
            request = await connection.handshake()
        if request is None:
            return
        path = request.path.partition("?")[0]
        if path != PATH or "Upgrade" not in request.headers or self._node.reason is not None:
            with trio.move_on_after(HANDSHAKE_S_MAX):
                await self._answer(connection, request, path)
            return
        offered = _offered(request)
        form = wire.choose(offered)
        subprotocol = None if form is None else form.subprotocol
        if not connection.accept(request, form or wire.JSON, subprotocol=subprotocol):
            return
        connection.key = bearer(_header(request, "Authorization")) or subprotocol_key(offered)
        client = self._client(connection)
        refused = self._refusal(connection.key, client)
        if refused is not None:
            connection.close(*refused)
        self._clients[client] += 1
        try:
            await self._session(connection, form or wire.JSON, open_=refused is None)
        finally:
            self._clients[client] -= 1
            self._clients += Counter()  # those with none left go

    def _client(self, connection: Connection) -> str:
        """Name who is counted: the holder of the key, else the address."""
        key = self._keys.find(connection.key)
        return f"address {connection.address}" if key is None else f"key {key.name}"

    def _unauthorised(self, key: str | None) -> tuple[int, str] | None:
        result = self._keys.check(key, "read", "operate")
        if result == 401:
            return CLOSE_UNAUTHORISED, "no valid key was presented"
        if result == 403:
            return CLOSE_UNAUTHORISED, "the key lacks the scope read"
        return None

    def _refusal(self, key: str | None, client: str) -> tuple[int, str] | None:
        unauthorised = self._unauthorised(key)
        if unauthorised is not None:
            return unauthorised
        if self._clients[client] >= self._client_connections_max:
            return (
                CLOSE_TOO_MANY,
                f"more than {self._client_connections_max} connections of one {client.split(maxsplit=1)[0]}",
            )
        if len(self._hub.sessions) >= self._connections_max:
            return CLOSE_TOO_MANY, f"more than {self._connections_max} connections"
        return None

    async def _session(self, connection: Connection, form: wire.Format, *, open_: bool) -> None:
        now_ms = self._clock.now_ms
        session = Session(self._entropy(8).hex(), form, self._limits, SPORTS, now_ms())
        if open_:
            self._hub.attach(session, connection)
            connection.on_close = partial(self._hub.detach, session)
            session.hello(self._node.lineage)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.pump, session, self._hub, now_ms)
                self._hub.flush((session,), now_ms())
                await connection.converse(session, self._hub, self._joiner, now_ms)
                nursery.cancel_scope.cancel()
        finally:
            self._hub.detach(session)

    # Plain HTTP.

    async def _answer(self, connection: Connection, request: Request, path: str) -> None:
        answer, extra = await self._judged(request, path)
        head = (
            f"HTTP/1.1 {answer.status} {title(answer.status)}\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{extra}\r\n"
        )
        connection.answer(head.encode(), answer.body)
        # The peer hangs up when it has everything; what else it sends is nobody's.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.drain)
            while await connection.receive():
                pass
            nursery.cancel_scope.cancel()

    async def _judged(self, request: Request, path: str) -> tuple[OpsAnswer, str]:
        if request.method != "GET":
            return problem_answer(405, "method_not_allowed", "only GET is answered here", path), "Allow: GET\r\n"
        if path == PATH:
            if "Upgrade" not in request.headers:
                return problem_answer(426, "upgrade_required", "this is a WebSocket", path), "Upgrade: websocket\r\n"
            return problem_answer(503, "not_ready", self._node.reason or "starting", path), "Retry-After: 1\r\n"
        if path not in OPEN_PATHS:
            result = self._keys.check(bearer(_header(request, "Authorization")), "read", "operate")
            if result == 401:
                return problem_answer(401, "unauthorized", "a key is needed", path), "WWW-Authenticate: Bearer\r\n"
            if result == 403:
                return problem_answer(403, "forbidden", "the key lacks the scope read", path), ""
        answer = await self._ops.answer(path)
        return (answer, "") if answer else (problem_answer(404, "not_found", f"nothing is at {path[:200]}", path), "")

    # The hub's clocks.

    async def _send_due(self) -> None:
        while True:
            await trio.sleep(DUE_CHECK_S)
            due_ms = self._hub.next_due_ms()
            if due_ms is not None and due_ms <= self._clock.now_ms():
                self._hub.due(self._clock.now_ms())

    async def _send_heartbeats(self) -> None:
        every_s = min(1.0, self._limits.heartbeat_ms / 4_000)
        while True:
            await trio.sleep(every_s)
            self._hub.beat(self._clock.now_ms())
            self._open.set(len(self._hub.sessions))
            self._subscriptions.set(self._hub.subscriptions)

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(1)
            now_s = trio.current_time()
            self._revoke()
            for connection in list(self._connections):
                if connection.pinged_s is not None and now_s - connection.pinged_s > PONG_S_MAX:
                    connection.close(CLOSE_SLOW, f"no pong within {PONG_S_MAX:g} s")
                elif connection.pinged_s is None and now_s - connection.heard_s > SILENT_S_MAX:
                    connection.ping()

    def _revoke(self) -> None:
        """Close those whose key no longer holds."""
        if self._keys.open or self._keys.version == self._keys_version:
            return
        self._keys_version = self._keys.version
        for session, outlet in list(self._hub.sessions.items()):
            if isinstance(outlet, Connection) and self._unauthorised(outlet.key) is not None:
                self._telemetry.info("key_revoked", session=session.name)
                outlet.close(CLOSE_UNAUTHORISED, "the key no longer holds")


def _header(request: Request, name: str) -> str | None:
    values = request.headers.get_all(name)
    return values[0] if values else None


def _offered(request: Request) -> list[str]:
    names = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    return [name.strip() for name in names if name.strip()]
