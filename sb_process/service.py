"""One sport's processor as a service: the loop, and the operational answers on its port.

The rule: ready means that every partition assigned is being processed; one that stopped itself says why.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio
from anyio.abc import TaskStatus

from sb_core import topics
from sb_core.errors import DependencyError
from sb_core.keyring import KeyRing
from sb_core.ops import Ops, part_of_account
from sb_core.records import TopicPartition
from sb_core.runtime import Context
from sb_core.serving import serve_http
from sb_core.web import make_app
from sb_process.processor import Processor

READY_POLL_S = 0.2
HOUSEKEEPING_S = 600.0
"""How often the change log is looked after; the first time within this, by chance, so that processors take turns."""
DAY_MS = 86_400_000
STEADY_TRIES = 10
"""How often offsets and counts are read anew because something happened in between."""
_COUNTED = ("applied", "unchanged", "stale", "duplicate", "changes", "updates_published")


class ProcessService:
    """Processes one sport on port 4101 to 4104."""

    def __init__(self, context: Context, sport: str) -> None:
        self.sport = sport
        self.name = f"data-processing-{sport}"
        self.context = context
        self.ops = context.watched_by(Ops(self.name, context.telemetry, context.clock))
        self.ops.account_from(self.account)
        self.processor = Processor(context, sport)

    def __repr__(self) -> str:
        return f"<ProcessService {self.processor!r}>"

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`: not ready, batch finished, updates published, positions stored, port closed."""
        settings = self.context.settings
        app = make_app(self.name, self.ops, KeyRing.of(settings, self.context.telemetry))
        closed = anyio.Event()
        async with anyio.create_task_group() as group:
            serve = partial(
                serve_http,
                app,
                bind=settings.bind,
                port=settings.port(self.name),
                stop=closed,
                body_bytes_max=settings.ingest_body_bytes_max,
                telemetry=self.context.telemetry,
            )
            await group.start(serve)
            task_status.started()
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._watch, stop)
                watching.start_soon(self._keep_house)
                watching.start_soon(self.processor.trouble.watch)
                await self.processor.run(stop)
                watching.cancel_scope.cancel()
            closed.set()

    async def _watch(self, stop: anyio.Event) -> None:
        """Keep readiness in step with the processor, until it is told to stop."""
        while not stop.is_set():
            stopped = self.processor.stopped
            if stopped:
                self.ops.not_ready("; ".join(f"partition {number}: {why}" for number, why in sorted(stopped.items())))
            elif self.processor.assigned:
                self.ops.ready()
            else:
                self.ops.not_ready("waiting for partitions")
            with anyio.move_on_after(READY_POLL_S):
                await stop.wait()
        self.ops.not_ready("stopping")

    async def _keep_house(self) -> None:
        """Let go of what retention lets go of in the change log, now and then; any processor does it for all."""
        context = self.context
        await anyio.sleep(HOUSEKEEPING_S * context.entropy(1)[0] / 256)
        while True:
            before_ms = context.clock.now_ms() - context.settings.retention_days * DAY_MS
            try:
                removed = await context.store.prune(before_ms)
            except DependencyError as error:
                context.telemetry.warn("prune_failed", error=str(error))
            else:
                context.telemetry.info("pruned", changes=removed)
            await anyio.sleep(HOUSEKEEPING_S)

    async def account(self) -> Mapping[str, object]:
        """Return this sport's part of the account; `pending` are units in the feed topic that nobody processed yet."""
        return await read_account(self.context, (self.sport,))


async def read_account(context: Context, sports: tuple[str, ...]) -> dict[str, object]:
    """Return the processors' part of the account for some sports.

    Records that the system writes itself are no units, so what the ends are ahead of the positions is corrected by
    those: appended less seen.
    """
    feeds = [topics.feed(sport) for sport in sports]

    async def positions() -> dict[TopicPartition, int]:
        return {(each.topic, each.partition): each.next_offset for each in await context.store.positions(feeds)}

    async def ends() -> dict[TopicPartition, int]:
        return dict(await context.admin.ends(feeds))

    # the store first: what is processed in between is in the log's numbers already, never the other way round
    stands, counts = await _steady(positions, partial(context.store.account, feeds))
    reaches, written = await _steady(ends, context.log.account)
    ahead = sum(end - stands.get(place, 0) for place, end in reaches.items())
    system = sum(written.get(f"system:{sport}", 0) for sport in sports) - counts.get("system", 0)
    dead = {
        name.partition(":")[2]: count for name, count in counts.items() if name.startswith("dead_lettered:") and count
    }
    made = {name: counts.get(name, 0) for name in _COUNTED}
    return part_of_account(
        {**made, "dead_lettered": dead, "pending": ahead - system},
        balances=ahead >= system and made["changes"] >= made["applied"],
    )


async def _steady(
    marks: Callable[[], Awaitable[dict[TopicPartition, int]]], read: Callable[[], Awaitable[Mapping[str, int]]]
) -> tuple[dict[TopicPartition, int], Mapping[str, int]]:
    """Read offsets and the counts that belong to them: again while the offsets move, STEADY_TRIES times at most."""
    found = await marks()
    for _ in range(STEADY_TRIES):
        counts = await read()
        before, found = found, await marks()
        if found == before:
            break
    return found, counts
