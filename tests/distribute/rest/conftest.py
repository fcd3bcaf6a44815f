"""A node, a real store in memory and the application over them; every answer is checked against the document."""

import functools
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import jsonschema
import msgspec
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from sb_core import topics
from sb_core.auth import Keys
from sb_core.messages import Competition, Competitor
from sb_core.names import fold
from sb_core.ops import Ops
from sb_core.records import (
    Batch,
    ChangeRow,
    CompetitionRow,
    EventRow,
    MarketRow,
    ParticipantRow,
    Position,
    Record,
    TopicPartition,
)
from sb_core.runtime import Context, SystemClock, open_context
from sb_core.settings import Settings
from sb_core.shown import (
    Changes,
    Event,
    Header,
    Market,
    Outcome,
    Update,
    UpdateTick,
    apply_changes,
    empty,
    encoder,
)
from sb_core.telemetry import Telemetry
from sb_distribute.node import EventSnapshot, Node, ProducerRow
from sb_distribute.rest import make_rest_app
from sb_distribute.rest_openapi import openapi


class ToldNode(Node):
    """The real node, except that a test may say what is stale, which producers there are, and that it fails."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.stale_sports: set[str] | None = set()
        self.rows: list[ProducerRow] | None = None
        self.fails: Exception | None = None

    async def event(self, event: str, min_rev: int = 0) -> EventSnapshot | None:
        if self.fails is not None:
            raise self.fails
        return await super().event(event, min_rev)

    def stale(self, sport: str) -> bool:
        return super().stale(sport) if self.stale_sports is None else sport in self.stale_sports

    def producers(self) -> Sequence[ProducerRow]:
        return super().producers() if self.rows is None else self.rows


class SetClock(SystemClock):
    """The machine's clocks, of which a test may set the wall time ahead."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class World:
    """What a test works with: `save` commits like a processor, `get` asks like a client and checks what it gets."""

    def __init__(self, context: Context, client: httpx.AsyncClient, node: ToldNode, app: Any) -> None:
        self.context, self.client, self.node, self.app = context, client, node, app
        self.store: Any = context.store
        self.events: dict[str, Event] = {}
        self.states: dict[tuple[str, int], Event] = {}
        self.positions: dict[TopicPartition, Position] = {}

    async def save(
        self,
        event_id: str,
        /,
        *,
        sport: str = "football",
        kind: str = "odds",
        lineage: int = 1,
        at: int | None = None,
        **changes: Any,
    ) -> Event:
        """Make one `rev` of an event out of changes, as the processor would, and commit it."""
        before = self.events.get(event_id) or empty(event_id, sport)
        updated = 1_000 * (before.rev + 1) if at is None else at
        update = Update(
            event=event_id, sport=sport, lineage=lineage, prev=before.rev, rev=before.rev + 1,
            ts=updated - 5, updated=updated, changes=Changes(**changes), cause_type=kind,
        )  # fmt: skip
        after = apply_changes(before, msgspec.json.decode(encoder.encode(update), type=Update))
        await self._commit(after, update, kind)
        self.events[event_id] = self.states[event_id, after.rev] = after
        await self._publish(update)
        return after

    async def _publish(self, update: Update) -> None:
        topic = topics.updates(update.sport)
        await self.context.log.append([Record(topic, update.event, encoder.encode(update), update.updated)])
        assert await self.node.wait_rev(update.event, update.rev, 5)

    async def tick(self, sports: Sequence[str], ts: int) -> None:
        """Pass a tick on to every partition of these sports, as the processors do."""
        tick = encoder.encode(UpdateTick(ts=ts))
        places = [(topics.updates(sport), number) for sport in sports for number in range(topics.PARTITIONS)]
        await self.context.log.append([Record(topic, "tick", tick, ts, number) for topic, number in places])

    async def _commit(self, after: Event, update: Update, type_: str) -> None:
        place = topics.feed(after.sport), topics.partition_of(after.event)
        if place not in self.positions:
            self.positions[place] = await self.store.claim(place, "test")
        held = self.positions[place]
        update.at = held.next_offset
        await self.store.commit(
            Batch(
                topic=held.topic,
                partition=held.partition,
                epoch=held.epoch,
                owner="test",
                expected=held.next_offset,
                next_offset=held.next_offset + 1,
                done_offset=held.next_offset,
                state=b"{}",
                counts={},
                **_rows(held, after, update, type_),
            )
        )
        self.positions[place] = msgspec.structs.replace(held, next_offset=held.next_offset + 1)

    async def get(self, url: str, status: int = 200, **headers: str) -> Any:
        """GET, check status and schema, return the decoded body."""
        return (await self.response(url, status, **headers)).json()

    async def response(self, url: str, status: int = 200, **headers: str) -> httpx.Response:
        response = await self.client.get(
            url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        assert response.status_code == status, (response.status_code, response.text[:500])
        if status != 304:
            check_answer(response)
        return response

    async def problem(self, url: str, status: int, code: str) -> Any:
        found = await self.get(url, status)
        assert (found["status"], found["code"]) == (status, code), found
        return found

    async def pages(self, url: str) -> list[Any]:
        """Follow `next` to the end and return the pages' items."""
        found, cursor = [], ""
        while True:
            page = await self.get(url + (f"&cursor={cursor}" if cursor else ""))
            found.append(page["items"])
            cursor = page["next"]
            if cursor is None:
                return found
            assert len(found) < 1_000


def _rows(held: Position, after: Event, update: Update, type_: str) -> dict[str, Any]:
    """The rows of one `rev`, as the processor would write them."""
    header = msgspec.convert(msgspec.structs.asdict(after), Header, from_attributes=True)
    search = fold(" ".join([after.name or "", *(each.name or "" for each in after.competitors)]))
    competition = after.competition
    source = after.ts, after.event
    event = EventRow(
        event=after.event,
        topic=held.topic,
        partition=held.partition,
        sport=after.sport,
        lineage=after.lineage,
        rev=after.rev,
        name=after.name,
        start=after.start,
        status=after.status,
        competition=competition.id if competition else None,
        ts=after.ts,
        updated=after.updated,
        search=search,
        shown=encoder.encode(header),
        state=b"{}",
    )
    markets = [
        MarketRow(after.event, m.market, m.line, m.status, m.open, m.producer, m.ts or 0, encoder.encode(m), b"{}")
        for m in after.markets
    ]
    order = after.lineage, after.rev, after.ts, after.updated
    change = ChangeRow(held.topic, held.partition, held.next_offset, after.event, *order, type_, encoder.encode(update))
    participants = [
        ParticipantRow(each.id, after.sport, each.name, fold(each.name or ""), *source) for each in after.competitors
    ]
    competitions = [
        CompetitionRow(each.id, after.sport, each.name, each.category, fold(each.name or ""), *source)
        for each in ([competition] if competition else [])
    ]
    return {
        "events": [event],
        "markets": markets,
        "changes": [change],
        "participants": participants,
        "competitions": competitions,
    }


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document, shut: a key that it doesn't name is an error in these tests."""
    found = openapi()
    for schema in found["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return found


@functools.cache
def _registry() -> Registry[Any]:
    return Registry().with_resource("doc:", Resource.from_contents(document(), default_specification=DRAFT202012))


def check_answer(response: httpx.Response) -> None:
    """Assert that an answer is what the document says of its path and status."""
    path = response.request.url.raw_path.decode().partition("?")[0]
    operation = operation_of(path)
    if operation is None:
        return
    described = document()["paths"][operation]["get"]["responses"].get(str(response.status_code))
    assert described is not None, f"{operation} is not documented to answer {response.status_code}"
    (content_type, content), *others = described["content"].items()
    assert not others
    assert response.headers["content-type"] == content_type
    reference = content["schema"]["$ref"]
    validator = jsonschema.Draft202012Validator({"$ref": "doc:" + reference}, registry=_registry())
    validator.validate(response.json())


def operation_of(path: str) -> str | None:
    """Find the documented path that a request's path is of."""
    matching = [
        template
        for template in document()["paths"]
        if re.fullmatch(re.sub(r"\\\{.*?\\\}", r"[^/]+", re.escape(template)), path)
    ]
    return matching[0] if matching else None


@asynccontextmanager
async def open_world(keys: str = "", **changed: Any) -> AsyncIterator[World]:
    settings = Settings(log_url="memory:", store_url="memory:", cache_url="memory:").changed(**changed)
    clock = SetClock()
    async with open_context(settings, "data-distribution", clock=clock) as opened:
        telemetry = Telemetry("data-distribution", now_ms=clock.now_ms, stream=io.StringIO())
        context = replace(opened, telemetry=telemetry)
        node = ToldNode(context)
        app = make_rest_app(node, context, Ops("data-distribution", telemetry, clock), Keys.parse(keys))
        async with anyio.create_task_group() as group:
            await group.start(node.run)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield World(context, client, node, app)
            group.cancel_scope.cancel()


@pytest.fixture
def in_world(run: Callable[..., Any]) -> Callable[..., None]:
    """Run an async test against a world of its own: `in_world(test)`, or `in_world(test, keys=…)`."""

    def within(test: Callable[[World], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            async with open_world(**options) as world:
                await test(world)

        run(main)

    return within


@pytest.fixture
def make() -> SimpleNamespace:
    """Builders of what tests save."""

    def market(name: str, line: str = "", *, odds: Mapping[str, str | None] | None = None, **fields: Any) -> Market:
        priced = {"over": "1.85", "under": "2.10"} if odds is None else odds
        outcomes = [Outcome(id=each, odds=price, fair=price) for each, price in priced.items()]
        return Market(market=name, line=line, **{"open": True, "groups": ("all",), "outcomes": outcomes, **fields})

    def competitor(id_: str, name: str, side: Any = None) -> Competitor:
        return Competitor(id=id_, name=name, side=side)

    def competition(id_: str, name: str, category: str | None = None) -> Competition:
        return Competition(id=id_, name=name, category=category)

    return SimpleNamespace(market=market, competitor=competitor, competition=competition)


@pytest.fixture(name="document")
def _document() -> dict[str, Any]:
    return document()


@pytest.fixture(name="operation_of")
def _operation_of() -> Callable[[str], str | None]:
    return operation_of


@pytest.fixture(name="open_world")
def _open_world() -> Any:
    return open_world
