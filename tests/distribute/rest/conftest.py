"""A node, a real store in memory and the application over them; every answer is checked against the document."""

import functools
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
import trio
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from sb_core.adapters.sqlite_store import SqliteStore, open_sqlite_store
from sb_core.auth import Keys
from sb_core.messages import Competition, Competitor
from sb_core.names import fold
from sb_core.ops import Ops
from sb_core.records import Batch, ChangeRow, CompetitionRow, EventRow, MarketRow, ParticipantRow
from sb_core.runtime import SystemClock
from sb_core.shown import (
    Changes,
    Event,
    Header,
    Market,
    Outcome,
    Update,
    apply_changes,
    empty,
    encoder,
    event_decoder,
    market_decoder,
)
from sb_core.telemetry import Telemetry
from sb_distribute.node import EventSnapshot, ProducerRow
from sb_distribute.rest import make_rest_app
from sb_distribute.rest_openapi import openapi

PLACE = ("sports-feed-football", 3)


class StandInNode:
    """Answers like a node that holds nothing: events as the store has them."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.stale_sports: set[str] = set()
        self.rows: list[ProducerRow] = []
        self.asked: list[str] = []
        self.saved = trio.Event()
        self.fails: Exception | None = None

    async def event(self, event: str, _min_rev: int = 0) -> EventSnapshot | None:
        self.asked.append(event)
        if self.fails is not None:
            raise self.fails
        found = await self.store.event(event)
        if found is None:
            return None
        header = event_decoder.decode(found.header)
        whole = msgspec.structs.replace(header, markets=[market_decoder.decode(each) for each in found.markets])
        return EventSnapshot(found.lineage, found.rev, whole)

    async def wait_rev(self, event: str, rev: int, timeout_s: float) -> bool:
        with trio.move_on_after(timeout_s):
            while True:
                found = await self.event(event)
                if found is not None and found.rev >= rev:
                    return True
                await self.saved.wait()
        return False

    def stale(self, sport: str) -> bool:
        return sport in self.stale_sports

    def producers(self) -> list[ProducerRow]:
        return self.rows


class World:
    """What a test works with: `save` commits like a processor, `get` asks like a client and checks what it gets."""

    def __init__(self, store: SqliteStore, client: httpx.AsyncClient, node: StandInNode, app: Any) -> None:
        self.store, self.client, self.node, self.app = store, client, node, app
        self.events: dict[str, Event] = {}
        self.states: dict[tuple[str, int], Event] = {}
        self.offset = 0
        self.epoch: int | None = None

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
            ts=updated - 5, updated=updated, changes=Changes(**changes), cause_type=kind, at=self.offset,
        )  # fmt: skip
        after = apply_changes(before, msgspec.json.decode(encoder.encode(update), type=Update))
        await self._commit(after, update, kind)
        self.events[event_id] = self.states[event_id, after.rev] = after
        self.node.saved.set()
        self.node.saved = trio.Event()
        return after

    async def _commit(self, after: Event, update: Update, type_: str) -> None:
        if self.epoch is None:
            self.epoch = (await self.store.claim(PLACE, "test")).epoch
        header = msgspec.convert(msgspec.structs.asdict(after), Header, from_attributes=True)
        shown = encoder.encode(header)
        teams = [each.name or "" for each in after.competitors]
        row = EventRow(
            event=after.event, topic=PLACE[0], partition=PLACE[1], sport=after.sport, lineage=after.lineage,
            rev=after.rev, name=after.name, start=after.start, status=after.status,
            competition=after.competition.id if after.competition else None, ts=after.ts, updated=after.updated,
            search=fold(" ".join([after.name or "", *teams])), shown=shown, state=b"{}",
        )  # fmt: skip
        markets = [
            MarketRow(
                after.event,
                each.market,
                each.line,
                each.status,
                each.open,
                each.producer,
                each.ts,
                encoder.encode(each),
                b"{}",
            )
            for each in after.markets
        ]
        change = ChangeRow(
            *PLACE,
            self.offset,
            after.event,
            after.lineage,
            after.rev,
            after.ts,
            after.updated,
            type_,
            encoder.encode(update),
        )
        await self.store.commit(
            Batch(
                topic=PLACE[0],
                partition=PLACE[1],
                epoch=self.epoch or 0,
                owner="test",
                expected=self.offset,
                next_offset=self.offset + 1,
                done_offset=self.offset,
                state=b"{}",
                counts={},
                events=[row],
                markets=markets,
                changes=[change],
                participants=[
                    ParticipantRow(each.id, after.sport, each.name, fold(each.name or ""), after.ts, after.event)
                    for each in after.competitors
                ],
                competitions=[
                    CompetitionRow(
                        each.id, after.sport, each.name, each.category, fold(each.name or ""), after.ts, after.event
                    )
                    for each in ([after.competition] if after.competition else [])
                ],
            )
        )
        self.offset += 1

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
async def open_world(keys: str = "") -> AsyncIterator[World]:
    clock = SystemClock()
    async with open_sqlite_store(":memory:", clock, threads=False) as store:
        node = StandInNode(store)
        telemetry = Telemetry("data-distribution", now_ms=clock.now_ms, stream=io.StringIO())
        context: Any = SimpleNamespace(store=store, telemetry=telemetry, clock=clock)
        ops = Ops("data-distribution", telemetry, clock)
        app = make_rest_app(node, context, ops, Keys.parse(keys))  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            world = World(store, client, node, app)
            world.telemetry = telemetry  # type: ignore[attr-defined]
            yield world


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
