"""The generator as a service on port 4004: state and commands over HTTP, the simulated feed into ingest.

The rule: it is a client like any other. It posts to ingest over HTTP, and nobody else knows that it exists. Told to
stop, it sends what waits, within DRAIN_S, and is gone.
"""

from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskStatus

from sb_core.keyring import KeyRing
from sb_core.ops import Ops
from sb_core.runtime import Context
from sb_core.web import http_limits, serve_http
from sb_generator.control import Controls
from sb_generator.driver import Driver
from sb_generator.leftovers import end_leftovers
from sb_generator.sender import HttpSender
from sb_generator.web import NAME, make_generator_app

BODY_BYTES_MAX: Final = 65_536
DRAIN_S: Final = 2.0


class GeneratorService:
    """Simulates feeds; with `started=False` it answers, stopped. `controls` say it all, and go before `started`."""

    def __init__(self, context: Context, *, started: bool = True, controls: Controls | None = None) -> None:
        self.name = NAME
        self.context = context
        self.ops = Ops(NAME, context.telemetry, context.clock)
        wanted = controls or Controls(state="running" if started else "stopped")
        self.driver = Driver(wanted, context.clock, context.telemetry)
        self.ops.check("ingest", self.driver.ping)

    def __repr__(self) -> str:
        return f"<GeneratorService {self.driver!r}>"

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`."""
        settings = self.context.settings
        app = make_generator_app(self.ops, KeyRing.of(settings, self.context.telemetry), self.driver)
        closed = anyio.Event()
        async with anyio.create_task_group() as group, HttpSender(settings.ingest_url, settings.api_key) as sender:
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
            async with anyio.create_task_group() as working:
                working.start_soon(self.driver.play)
                working.start_soon(self.driver.send, sender.post)
                working.start_soon(end_leftovers, self.driver, settings.distribute_url, settings.api_key)
                self.ops.ready()
                task_status.started()
                await stop.wait()
                self.ops.not_ready("stopping")
                self.driver.halt()
                with anyio.move_on_after(DRAIN_S):
                    await self.driver.drained()
                working.cancel_scope.cancel()
            closed.set()
