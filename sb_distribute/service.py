"""The distribution service: one node, its WebSocket port and its REST port.

The rules: ports are open before the node is ready, so that /health and /ready answer while it catches up; a stop closes
clients first and the node last.
"""

from typing import Final

import anyio
from anyio.abc import TaskStatus

from sb_core.keyring import KeyRing
from sb_core.ops import Ops
from sb_core.runtime import Context
from sb_core.serving import http_limits, serve_http
from sb_distribute.hub import Hub
from sb_distribute.node import Node
from sb_distribute.rest import make_rest_app
from sb_distribute.stream import StreamServer

NAME: Final = "data-distribution"
STREAM: Final = "data-distribution-stream"
REST_BODY_BYTES_MAX: Final = 65_536
READY_CHECK_S: Final = 0.05


class DistributeService:
    """Runs a distribution node on ports 4002 and 4003."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self.ops = context.watched_by(Ops(NAME, context.telemetry, context.clock))
        self.node = Node(context)
        self.hub = Hub(self.node.state, self.node.want)
        self.node.listen(self.hub)

    def __repr__(self) -> str:
        return f"<DistributeService {self.node!r} {self.hub!r}>"

    def lag_ms(self) -> int | None:
        """Return the age of the node's picture in ms; None while a sport was never complete."""
        return self.node.lag_ms()

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until stopped; started once both ports listen. Raises SettingsError for a port or the keys."""
        context, settings = self._context, self._context.settings
        keys = KeyRing.of(settings, context.telemetry)
        stream = StreamServer(self.node, self.hub, context, self.ops, keys)
        app = make_rest_app(self.node, context, self.ops, keys)
        async with anyio.create_task_group() as outer:
            outer.start_soon(self.node.run)
            outer.start_soon(self._tell_ready, stop)
            async with anyio.create_task_group() as ports:

                async def serve_rest(*, task_status: TaskStatus[None]) -> None:
                    await serve_http(
                        app,
                        bind=settings.bind,
                        port=settings.port(NAME),
                        stop=stop,
                        body_bytes_max=REST_BODY_BYTES_MAX,
                        telemetry=context.telemetry,
                        limits=http_limits(settings),
                        task_status=task_status,
                    )

                async def serve_stream(*, task_status: TaskStatus[None]) -> None:
                    await stream.serve(
                        bind=settings.bind, port=settings.port(STREAM), stop=stop, task_status=task_status
                    )

                await ports.start(serve_rest)
                await ports.start(serve_stream)
                task_status.started()
                await stop.wait()
                self.ops.not_ready("stopping")
            outer.cancel_scope.cancel()

    async def _tell_ready(self, stop: anyio.Event) -> None:
        """Keep readiness as the node sees it, until it is told to stop: from then on it isn't ready, whatever it holds."""
        while not stop.is_set():
            reason = self.node.reason
            if reason is None:
                self.ops.ready()
            else:
                self.ops.not_ready(reason)
            await anyio.sleep(READY_CHECK_S)
