"""A stage for the distribution node: real log, store and cache in memory, and a processor that does as it is told."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from ports import free_port

from sb_core import shown, topics
from sb_core.auth import Keys
from sb_core.client import StreamClient
from sb_core.ops import Ops
from sb_core.records import Batch, CacheEntry, ChangeRow, EventRow, MarketRow, Record
from sb_core.runtime import Context, open_context
from sb_core.settings import Settings
from sb_distribute.hub import Hub
from sb_distribute.node import Node
from sb_distribute.stream import StreamServer


def market(name: str, odds: str | None, *, line: str = "", status: str = "active") -> shown.Market:
    outcomes = [shown.Outcome(id=each, odds=odds) for each in ("home", "away")]
    return shown.Market(market=name, line=line, status=status, open=status == "active", outcomes=outcomes)  # type: ignore[arg-type]


@dataclass
class Told:
    """Where the fold of one partition stands."""

    epoch: int
    next_offset: int = 0


@dataclass
class Stage:
    """What a test plays with."""

    context: Context
    group: TaskGroup
    node: Node
    hub: Hub
    port: int
    oracle: dict[str, shown.Event] = field(default_factory=dict)
    updates: list[shown.Update] = field(default_factory=list)
    told: dict[tuple[str, int], Told] = field(default_factory=dict)
    stop: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def client(self, **given: Any) -> StreamClient:
        return StreamClient(self.url, **{"reconnect": False, **given})

    def make(
        self, event: str, changes: shown.Changes, *, sport: str = "football", cause: str = "odds", at: int | None = None
    ) -> shown.Update:
        """Fold one change into the oracle, and return its update."""
        held = self.oracle.get(event) or shown.empty(event, sport)
        partition = topics.partition_of(event)
        told = self.told.setdefault((topics.feed(sport), partition), Told(0))
        offset = told.next_offset if at is None else at
        told.next_offset = max(told.next_offset, offset + 1)
        now_ms = self.context.clock.now_ms()
        update = shown.Update(
            event=event,
            sport=sport,
            lineage=held.lineage,
            prev=held.rev,
            rev=held.rev + 1,
            ts=now_ms,
            updated=now_ms,
            changes=changes,
            cause_type=cause,
            at=offset,
        )
        self.oracle[event] = shown.apply_changes(held, update)
        self.updates.append(update)
        return update

    async def change(self, event: str, *markets: shown.Market, **given: Any) -> shown.Update:
        """Change some markets, as the processor would: store, cache, log."""
        fields = {name: given.pop(name) for name in ("fields", "score", "statuses") if name in given}
        changes = shown.Changes(
            event=fields.get("fields", {}),
            score=fields.get("score"),
            markets=list(markets),
            statuses=fields.get("statuses", []),
        )
        stored, published = given.pop("stored", True), given.pop("published", True)
        update = self.make(event, changes, **given)
        if stored:
            await self.store(update)
        if published:
            await self.publish(update)
        return update

    async def store(self, update: shown.Update) -> None:
        place = topics.feed(update.sport), topics.partition_of(update.event)
        told = self.told[place]
        position = await self.context.store.claim(place, "stage")
        event = self.oracle[update.event]
        await self.context.store.commit(
            Batch(
                topic=place[0],
                partition=place[1],
                epoch=position.epoch,
                owner="stage",
                expected=position.next_offset,
                next_offset=told.next_offset,
                done_offset=told.next_offset,
                state=b"{}",
                counts={},
                events=[_event_row(event, place)],
                markets=[_market_row(event.event, each) for each in event.markets],
                changes=[_change_row(update, place)],
            )
        )
        value = shown.encoder.encode(event)
        await self.context.cache.put([CacheEntry(event.event, 1, event.lineage, event.rev, value)])

    async def publish(self, *updates: shown.Update) -> None:
        now_ms = self.context.clock.now_ms()
        await self.context.log.append(
            [
                Record(
                    topics.updates(update.sport),
                    update.event,
                    shown.encoder.encode(update),
                    now_ms,
                    topics.partition_of(update.event),
                )
                for update in updates
            ]
        )

    async def tick(self, sports: Iterable[str] = topics.SPORTS) -> None:
        now_ms = self.context.clock.now_ms()
        value = b'{"type":"tick","ts":%d}' % now_ms
        await self.context.log.append(
            [
                Record(topics.updates(sport), "tick", value, now_ms, n)
                for sport in sports
                for n in range(topics.PARTITIONS)
            ]
        )

    async def seen(self, event: str) -> None:
        """Wait until the node has what the oracle has."""
        with anyio.fail_after(5):
            assert await self.node.wait_rev(event, self.oracle[event].rev, 5)


def _event_row(event: shown.Event, place: tuple[str, int]) -> EventRow:
    header = shown.Header(**{name: getattr(event, name) for name in shown.Header.__struct_fields__})
    competition = None if event.competition is None else event.competition.id
    return EventRow(
        event=event.event,
        topic=place[0],
        partition=place[1],
        sport=event.sport,
        lineage=event.lineage,
        rev=event.rev,
        name=event.name,
        start=event.start,
        status=event.status,
        competition=competition,
        ts=event.ts,
        updated=event.updated,
        search="",
        shown=shown.encoder.encode(header),
        state=b"{}",
    )


def _market_row(event: str, each: shown.Market) -> MarketRow:
    return MarketRow(
        event=event,
        market=each.market,
        line=each.line,
        status=each.status,
        open=each.open,
        producer=each.producer,
        ts=each.ts or 0,
        shown=shown.encoder.encode(each),
        state=b"{}",
    )


def _change_row(update: shown.Update, place: tuple[str, int]) -> ChangeRow:
    return ChangeRow(
        topic=place[0],
        partition=place[1],
        offset=update.at,
        event=update.event,
        lineage=update.lineage,
        rev=update.rev,
        ts=update.ts,
        updated=update.updated,
        type=update.cause_type,
        update=shown.encoder.encode(update),
    )


@pytest.fixture
def a_market() -> Callable[..., shown.Market]:
    return market


@pytest.fixture
def stage() -> Callable[..., AbstractAsyncContextManager[Stage]]:
    """Open a stage: `async with stage(lag_ms_max=300) as on: …`; `before` runs on it before the node starts."""

    @asynccontextmanager
    async def opened(*, before: Any = None, keys: str = "", **changed: Any) -> AsyncIterator[Stage]:
        settings = Settings(log_url="memory:", store_url="memory:", log_level="error", api_keys=keys).changed(**changed)
        async with open_context(settings, "data-distribution") as context, anyio.create_task_group() as group:
            node = Node(context)
            hub = Hub(node.state, node.want)
            node.listen(hub)
            port = free_port()
            on = Stage(context, group, node, hub, port)
            ops = Ops("data-distribution", context.telemetry, context.clock)
            server = StreamServer(node, hub, context, ops, Keys.parse(settings.api_keys))
            await on.tick()
            if before is not None:
                await before(on)
            await group.start(node.run)

            async def serve(*, task_status: Any) -> None:
                await server.serve(bind="127.0.0.1", port=port, stop=on.stop, task_status=task_status)

            await group.start(serve)
            yield on
            group.cancel_scope.cancel()

    return opened
