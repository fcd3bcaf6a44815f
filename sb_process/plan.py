"""The batch planner: a partition's records and its memory in, one transaction's effects and the new memory out. Pure.

The rule: memory is not touched; the caller adopts `Plan.folds` and `Plan.state` only after the commit, and a retry
submits the same plan. Rows are coalesced within the batch, the change log never is.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from sb_core import messages, shown, topics
from sb_core.deadletter import record as dead_letter
from sb_core.errors import FeedError
from sb_core.messages import CONTROL_TYPES, SYSTEM_TYPES, AnyMessage, Producer, Tick
from sb_core.records import (
    CacheEntry,
    ChangeRow,
    CompetitionRow,
    EventRow,
    Fetched,
    MarketRow,
    OutcomeRow,
    ParticipantRow,
    Record,
)
from sb_core.sports import MarketType
from sb_process import book, closing, render, rows
from sb_process.book import Applied
from sb_process.draft import Rules
from sb_process.state import (
    OUTAGES_MAX,
    PRODUCER_IDS_MAX,
    REQUESTS_MAX,
    UNKNOWN,
    Fold,
    MarketId,
    Outage,
    PartitionState,
    ProducerView,
)

CLOCK_STEPPED: Final = "clock_stepped"
"""The reason of an outage that is the source's clock stepping back."""
UPDATE_BYTES_MAX: Final = 900_000
"""The largest record of an updates topic, below what brokers take by default."""

TURN_RECORDS: Final = 16
"""Records between two moments at which others may take a turn."""


class Decoded(Struct, frozen=True, gc=False):
    """A record with what it says, and why it is refused where it is."""

    record: Fetched
    message: AnyMessage | None
    error: FeedError | None = None


class Surroundings(Struct, frozen=True):
    """What a partition's plan is made with, beside its records and memory. `now` in ms is for dead letters only."""

    sport: str
    topic: str
    partition: int
    lineage: int
    kinds: Mapping[str, MarketType]
    rank: Callable[[str], int]
    now: int
    dead_letter_bytes_max: int


class Plan(Struct, kw_only=True):
    """The effects of a batch."""

    next_offset: int
    state: PartitionState
    folds: dict[str, Fold] = {}
    counts: Counter[str]
    events: list[EventRow] = []
    markets: list[MarketRow] = []
    outcomes: list[OutcomeRow] = []
    changes: list[ChangeRow] = []
    participants: list[ParticipantRow] = []
    competitions: list[CompetitionRow] = []
    listings: list[tuple[str, str]] = []
    updates: list[Record] = []
    cache: list[CacheEntry] = []
    dead: list[Record] = []
    ticked: int | None = None
    """The newest tick of the batch, where it had one."""


def empty(next_offset: int, state: PartitionState) -> Plan:
    """Plan nothing: a transaction that only moves `done_offset`."""
    return Plan(next_offset=next_offset, state=state, counts=Counter())


def refused_by_store(decoded: Decoded, why: str) -> Decoded:
    """Turn a record that the store refuses into a dead letter."""
    return Decoded(decoded.record, decoded.message, FeedError("rule_store", why))


def decode(record: Fetched) -> Decoded:
    """Read one record of a feed topic."""
    try:
        message = messages.decode(record.value or b"")
    except msgspec.ValidationError as error:
        return Decoded(record, None, FeedError("schema", str(error)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        return Decoded(record, None, FeedError("malformed", str(error)))
    if isinstance(message, SYSTEM_TYPES):
        return Decoded(record, message)
    if isinstance(message, CONTROL_TYPES):
        return Decoded(record, None, FeedError("unsupported_type", "no feed topic holds messages of this type"))
    if not message.id or "\n" in message.id or not message.event or message.event != record.key:
        return Decoded(record, None, FeedError("schema", "a feed record needs an id and its event as key"))
    return Decoded(record, message)


def wanted(batch: Iterable[Decoded], views: Mapping[str, ProducerView]) -> tuple[set[str], set[str]]:
    """Return the events that a batch names, and the producers whose events it may move: those it says something new of."""
    events: set[str] = set()
    producers: set[str] = set()
    for each in batch:
        if isinstance(each.message, Producer):
            view = views.get(each.message.producer_key, UNKNOWN)
            if observe(view, each.message) is not view:
                producers.add(each.message.producer_key)
        elif not isinstance(each.message, Tick):
            events.add(each.record.key)
    return events, producers


def observe(view: ProducerView, record: Producer) -> ProducerView:
    """Return a producer as it is after its record; what is known or of an earlier generation says nothing."""
    if record.gen < view.gen or record.id in view.ids:
        return view
    outages, base = view.outages, view.base
    same = (record.state, record.gen, record.since, record.reason) == (view.state, view.gen, view.since, view.reason)
    if same and (record.recovery is None or not outages or record.recovery in outages[-1].requests):
        return view
    ids = (*view.ids[-(PRODUCER_IDS_MAX - 1) :], record.id)
    requests = () if record.recovery is None else (record.recovery,)
    if record.gen > view.gen:
        # not the outage's own less one: a partition that skipped records (a raised lineage) may have missed outages
        base = view.gen if not outages else base if len(outages) < OUTAGES_MAX else outages[-OUTAGES_MAX].gen
        outages = (
            *outages[-(OUTAGES_MAX - 1) :],
            Outage(record.gen, record.since, requests, record.reason == CLOCK_STEPPED),
        )
    elif requests and outages and requests[0] not in outages[-1].requests:
        last = outages[-1]
        outages = (
            *outages[:-1],
            Outage(last.gen, last.since, (*last.requests[-(REQUESTS_MAX - 1) :], *requests), last.stepped),
        )
    return ProducerView(
        state=record.state,
        gen=record.gen,
        since=record.since,
        reason=record.reason,
        outages=outages,
        base=base,
        ids=ids,
    )


class Planner:
    """Applies a batch record by record, keeping what it would store."""

    def __init__(
        self,
        state: PartitionState,
        folds: Mapping[str, Fold],
        listed: Mapping[str, Sequence[str]],
        around: Surroundings,
    ) -> None:
        self.around = around
        self.known = folds
        self.listed = listed
        self.before = state
        self.views = dict(state.producers)
        self.tick = state.tick
        self.ticked = False
        self.folds: dict[str, Fold] = {}
        self.touched: dict[str, set[MarketId]] = {}
        self.repriced: dict[str, set[MarketId]] = {}
        self.people = rows.People()
        self.counts: Counter[str] = Counter()
        self.changes: list[ChangeRow] = []
        self.updates: list[Record] = []
        self.dead: list[Record] = []
        self.rules = Rules(around.sport, around.lineage, around.kinds, around.rank, self.views)

    def fold(self, event: str) -> Fold:
        """Return an event as it stands within this batch."""
        return self.folds.get(event) or self.known.get(event) or book.new_fold(event, self.rules)

    def step(self, decoded: Decoded) -> None:
        """Apply one record that is no producer's."""
        message, record = decoded.message, decoded.record
        if decoded.error is not None or message is None:
            self._refuse(record, decoded.error or FeedError("malformed", "no message"), message)
        elif isinstance(message, Tick):
            self.tick = max(self.tick, message.ts)
            self.ticked = True
            self.counts["system"] += 1
        else:
            try:
                applied = book.apply(self.fold(message.event), message, record.offset, self.rules)
                self._adopt(record, applied, message.received)
                self.counts[applied.outcome] += 1
            except FeedError as error:
                self._refuse(record, error, message)

    def producer(self, message: Producer, record: Fetched) -> Iterator[None]:
        """Apply a producer's record, event by event."""
        self.counts["system"] += 1
        key = message.producer_key
        before = self.views.get(key, UNKNOWN)
        after = observe(before, message)
        self.views[key] = after
        if (before.state, before.gen, before.since, before.reason) == (
            after.state,
            after.gen,
            after.since,
            after.reason,
        ):
            return
        events = set(self.listed.get(key, ()))
        events.update(name for name, fold in self.folds.items() if any(each.key == key for each in fold.head.producers))
        for event in sorted(events):
            applied = book.apply_producer(self.fold(event), message, record.offset, self.rules)
            self._adopt(record, applied, message.received)
            yield

    def _adopt(self, record: Fetched, applied: Applied, received: int) -> None:
        if applied.outcome == "duplicate":
            return
        event = applied.fold.head.event
        update = applied.update
        if update is not None:
            body = render.encode(update)
            if len(body) > UPDATE_BYTES_MAX:
                raise FeedError("too_large", f"an update of {len(body)} bytes", event=event)
            self.changes.append(
                ChangeRow(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    event=event,
                    lineage=update.lineage,
                    rev=update.rev,
                    ts=update.ts,
                    updated=update.updated,
                    type=update.cause_type,
                    update=body,
                )
            )
            self.updates.append(update_record(self.around.sport, record.partition, event, body, received))
            self.counts["changes"] += 1
            self.repriced.setdefault(event, set()).update(applied.repriced)
            if applied.fixture_applied:
                self.people.note(applied.fold.head, update.ts)
        self.folds[event] = applied.fold
        self.touched.setdefault(event, set()).update(applied.touched)

    def _refuse(self, record: Fetched, error: FeedError, message: AnyMessage | None) -> None:
        around = self.around
        # what the system writes itself is no unit of the account
        system = isinstance(message, SYSTEM_TYPES)
        self.counts["system" if system else f"dead_lettered:{error.code}"] += 1
        self.dead.append(
            dead_letter(
                code=error.code,
                message=error.message,
                stage="process",
                provider=message.provider if message else record.key.partition(":")[0],
                source=f"{record.topic}/{record.partition}/{record.offset}",
                raw=record.value or b"",
                received=message.received if message else record.ts,
                now=around.now,
                trace=message.trace if message else "",
                bytes_max=around.dead_letter_bytes_max,
            )
        )
        fold = self.fold(record.key)
        if fold.head.rev and not system:
            received = message.received if message else record.ts
            closed = closing.refused(fold, record.offset, received, message, self.rules)
            self._adopt(record, closed, received)

    def go_over(self, event: str, last: Fetched) -> None:
        """Close an event, as the first change of its new lineage; `last` is the record before the ones it goes on with."""
        fold = self.fold(event)
        received = max(fold.head.updated, self.tick)
        self._adopt(last, closing.gone_over(fold, last.offset, received, self.rules), received)

    def plan(self, next_offset: int) -> Generator[None, None, Plan]:
        """Return everything the batch does, made event by event."""
        plan = Plan(
            next_offset=next_offset,
            state=msgspec.structs.replace(self.before, producers=self.views, tick=self.tick),
            folds=self.folds,
            counts=self.counts,
            changes=self.changes,
            updates=self.updates,
            dead=self.dead,
            participants=list(self.people.participants.values()),
            competitions=list(self.people.competitions.values()),
            ticked=self.tick if self.ticked else None,
        )
        for event, fold in self.folds.items():
            self._rows(plan, event, fold)
            yield
        return plan

    def _rows(self, plan: Plan, event: str, fold: Fold) -> None:
        head = fold.head
        shown_header = render.encode(render.header(head))
        plan.events.append(rows.event_row(self.around.topic, self.around.partition, fold, shown_header))
        repriced = self.repriced.get(event, ())
        for key in sorted(self.touched[event]):
            state = fold.markets[key]
            json = fold.rendered.get(key)
            if json is None:
                json = fold.rendered[key] = render.market(state, self.around.kinds.get(key[0]))
            plan.markets.append(rows.market_row(event, state, json))
            if key in repriced:
                plan.outcomes.extend(rows.outcome_rows(event, state))
        known = self.known.get(event)
        listed_before = {each.key for each in known.head.producers} if known else set()
        plan.listings.extend((each.key, event) for each in head.producers if each.key not in listed_before)
        if known is None or known.head.rev != head.rev:
            value = render.snapshot(shown_header, render.rendered(fold, self.around.kinds))
            plan.cache.append(CacheEntry(event, 0, head.lineage, head.rev, value))


def update_record(sport: str, partition: int, event: str, body: bytes, ts: int) -> Record:
    """Make the record of one update; it goes to the partition that its event's feed has."""
    return Record(topic=topics.updates(sport), key=event, value=body, ts=ts, partition=partition)


def tick_record(sport: str, partition: int, ts: int) -> Record:
    """Pass a tick on to the updates partition."""
    body = shown.encoder.encode(shown.UpdateTick(ts=ts))
    return Record(topic=topics.updates(sport), key="tick", value=body, ts=ts, partition=partition)


def planned(
    batch: Sequence[Decoded],
    state: PartitionState,
    folds: Mapping[str, Fold],
    listed: Mapping[str, Sequence[str]],
    around: Surroundings,
) -> Generator[None, None, Plan]:
    """Plan a batch of one partition; `folds` holds every event that `wanted` named and the store knows.

    Yields where others may take a turn, after some records or an event: an outage moves thousands of events.
    """
    planner = Planner(state, folds, listed, around)
    for place, each in enumerate(batch):
        if each.error is None and isinstance(each.message, Producer):
            yield from planner.producer(each.message, each.record)
        else:
            planner.step(each)
        if not place % TURN_RECORDS:
            yield
    return (yield from planner.plan(batch[-1].record.offset + 1))


def plan_batch(
    batch: Sequence[Decoded],
    state: PartitionState,
    folds: Mapping[str, Fold],
    listed: Mapping[str, Sequence[str]],
    around: Surroundings,
) -> Plan:
    """Plan a batch in one go."""
    steps = planned(batch, state, folds, listed, around)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            plan: Plan = done.value
            return plan
