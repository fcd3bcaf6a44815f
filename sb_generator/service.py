"""The generator as a service on port 4004: state and commands over HTTP, the simulated feed into ingest.

The rule: it is a client like any other. It posts to ingest over HTTP, and nobody else knows that it exists.
"""

from functools import partial

import anyio
from anyio.abc import TaskStatus

from sb_core.auth import Keys
from sb_core.ops import Ops
from sb_core.runtime import Context
from sb_core.web import http_limits, make_app, serve_http

NAME = "feed-generator"
BODY_BYTES_MAX = 65_536


class GeneratorService:
    """Simulates feeds; with `started=False` it answers, stopped."""

    def __init__(self, context: Context, *, started: bool = True) -> None:
        self.name = NAME
        self.context = context
        self.ops = Ops(NAME, context.telemetry, context.clock)
        self._started = started

    def __repr__(self) -> str:
        return f"<GeneratorService {'started' if self._started else 'stopped'}>"

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`."""
        settings = self.context.settings
        app = make_app(self.name, self.ops, Keys.parse(settings.api_keys))
        closed = anyio.Event()
        async with anyio.create_task_group() as group:
            serve = partial(
                serve_http,
                app,
                bind=settings.bind,
                port=settings.port(self.name),
                stop=closed,
                body_bytes_max=BODY_BYTES_MAX,
                limits=http_limits(settings),
                telemetry=self.context.telemetry,
            )
            await group.start(serve)
            self.ops.ready()
            task_status.started()
            await stop.wait()
            self.ops.not_ready("stopping")
            closed.set()
