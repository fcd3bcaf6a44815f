"""The whole pipeline as one service: all services over the same adapters, in one process, started and stopped in order.

The rule: what flows is stopped from its source on (generator, ingest, processors, distribution), so that whatever was
accepted has had the chance to reach the readers; each tier has its share of the stop's deadline.
"""

from collections.abc import Awaitable, Callable, Mapping

import anyio
from anyio.abc import TaskStatus

from sb_core import sports, topics
from sb_core.errors import DependencyError
from sb_core.ops import Ops, add_accounts
from sb_core.runtime import Context, Service
from sb_distribute.service import DistributeService
from sb_generator.service import GeneratorService
from sb_ingest.service import IngestService
from sb_process.service import ProcessService, read_account

NAME = "local"
IDLE_POLL_S = 0.1
HOUSEKEEPING_S = 600.0
QUIESCE_S = 5.0
IDLE_CHECKS = 2
"""How many times in a row everything must be found through, because a read of several counters is no snapshot."""


class Tier:
    """Services that stop together."""

    def __init__(self, *services: Service) -> None:
        self.services = services
        self.stop = anyio.Event()
        self._running = len(services)
        self._ended = anyio.Event()

    def __repr__(self) -> str:
        return f"<Tier {', '.join(each.name for each in self.services)} running={self._running}>"

    def ended(self) -> None:
        """Note that one of the services ended."""
        self._running -= 1
        if not self._running:
            self._ended.set()

    async def end(self) -> None:
        """Stop the services and wait until all have ended."""
        self.stop.set()
        await self._ended.wait()


class LocalService:
    """Ingest, four processors, distribution and the generator, composed."""

    def __init__(
        self, context: Context, work: Callable[["LocalService"], Awaitable[None]] | None, *, simulate: bool
    ) -> None:
        self.name = NAME
        self.context = context
        self.ops = Ops(NAME, context.telemetry, context.clock)
        self._work = work
        names = sports.names()
        self.ingest = IngestService(context.for_service("feed-ingestion"))
        self.processes = [ProcessService(context.for_service(f"data-processing-{name}"), name) for name in names]
        self.distribute = DistributeService(context.for_service("data-distribution"))
        self.generator = GeneratorService(context.for_service("feed-generator"), started=simulate)
        self._tiers = (Tier(self.generator), Tier(self.ingest), Tier(*self.processes), Tier(self.distribute))
        """In the order in which they stop; they start the other way round."""

    def __repr__(self) -> str:
        return f"<LocalService {self.ingest!r} {self.distribute!r}>"

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until `stop`, or until the work given is done."""
        async with anyio.create_task_group() as group:
            for tier in reversed(self._tiers):
                for service in tier.services:
                    await group.start(_run, service, tier, stop)
            self.ops.ready()
            task_status.started()
            group.start_soon(self._keep_house)
            if self._work is not None:
                group.start_soon(_work, self._work, self, stop)
            await stop.wait()
            self.ops.not_ready("stopping")
            for tier in self._tiers:
                await tier.end()
            group.cancel_scope.cancel()

    async def quiesce(self) -> None:
        """Stop the generator, and give what it sent the time to get through, within QUIESCE_S."""
        await self._tiers[0].end()
        with anyio.move_on_after(QUIESCE_S):
            await self.until_through()

    async def _keep_house(self) -> None:
        """Let go of what retention lets go of in the embedded log, now and then; Kafka does that by itself."""
        context = self.context
        while True:
            try:
                records = await context.admin.prune(context.clock.now_ms())
            except DependencyError as error:
                context.telemetry.warn("prune_failed", error=str(error))
            else:
                context.telemetry.info("pruned", records=records)
            await anyio.sleep(HOUSEKEEPING_S)

    async def account(self) -> Mapping[str, object]:
        """Add the accounts of all services up."""
        ingest = await self.ingest.account()
        processed = await read_account(self.context, sports.names())
        return add_accounts((ingest, processed))

    async def through(self) -> bool:
        """Say whether everything accepted is processed, published and read by the distribution node."""
        account = await self.account()
        if account["pending"] != 0 or account["changes"] != account["updates_published"]:
            return False
        ends = await self.context.admin.ends([topics.updates(name) for name in sports.names()])
        return bool(account["balanced"]) and self.distribute.node.reached(ends)

    async def until_through(self) -> None:
        """Wait until everything is through."""
        found = 0
        while found < IDLE_CHECKS:
            await anyio.sleep(IDLE_POLL_S)
            found = found + 1 if await self.through() else 0


async def _run(
    service: Service, tier: Tier, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    try:
        await service.run(tier.stop, task_status=task_status)
    finally:
        # the end of one is the end of all, but for a generator that was stopped before the others
        tier.ended()
        if not tier.stop.is_set():
            stop.set()


async def _work(work: Callable[[LocalService], Awaitable[None]], service: LocalService, stop: anyio.Event) -> None:
    try:
        await work(service)
    finally:
        stop.set()
