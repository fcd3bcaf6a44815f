"""A distribution node: follows the updates topics, holds what is live, loads what it doesn't hold.

The rules: nobody is ever given an event older than what this node has already seen of it; one load per event at a time,
with a deadline; a node that can't follow says so (`reason`, `stale`) and goes on trying.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, get_args

import anyio
import msgspec
from anyio.abc import TaskStatus

from sb_core import shown, topics
from sb_core.errors import DependencyError, LogTruncatedError, UnavailableError
from sb_core.ports import Reader
from sb_core.records import EventQuery, Fetched, TopicPartition
from sb_core.runtime import Context
from sb_distribute.clocks import Freshness, SteadyClock
from sb_distribute.conflate import Change
from sb_distribute.cursor import Position
from sb_distribute.listener import NodeListener
from sb_distribute.live import EventSnapshot
from sb_distribute.loader import Loader, Loads
from sb_distribute.patience import PatientReader
from sb_distribute.producers import ProducerRow, Producers, jittered
from sb_distribute.state import NodeState, Outcome, Step

WANTED_RETRY_S: Final = 1.0
EVENT_DEADLINE_S: Final = 4.0
WAITERS_MAX: Final = 10_000
LISTING_MAX: Final = 1_000
START_LOAD_S_MAX: Final = 30.0
BACKOFF_S_MAX: Final = 5.0
STALE_CHECK_S_MAX: Final = 0.25
CURRENT: Final = ("not_started", "live", "suspended", "delayed", "interrupted", "postponed")
"""Statuses of the events that a node loads at its start."""

_tick_decoder: Final = msgspec.json.Decoder(shown.UpdateTick)

__all__ = ["EventSnapshot", "Node", "NodeListener", "ProducerRow"]


class Node:
    """One node. `run` it in the service's nursery; everything else may be called while it runs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.clock = self._clock = SteadyClock(context.clock)
        self._telemetry = context.telemetry
        self._sports = topics.SPORTS
        self._settings = context.settings
        self._loader = Loader(context, self._sports)
        self._loads = Loads(context, self._loader, self)
        self._listener: NodeListener | None = None
        self._waiters: dict[str, list[tuple[int, anyio.Event]]] = {}
        self._waiting = 0
        self._producers = Producers(context)
        self._started = False
        self._next: dict[TopicPartition, int] = {}
        self._indexes: dict[TopicPartition, int] = {}
        """Partitions of the updates topics by what the state knows them as."""
        self._reason: str | None = "starting"
        self._began_ms = context.clock.now_ms()
        self._told: dict[str, int] = {}
        self._freshness = Freshness(context.clock)
        self.state = self._empty(())
        updates = self._telemetry.counter("updates_read_total", "Updates read, by what they did", ("outcome",))
        self._updates = {outcome: updates.labels(outcome) for outcome in get_args(Outcome)}
        self._unreadable = self._telemetry.counter("updates_unreadable_total", "Records that could not be decoded")
        self._held = self._telemetry.gauge("held_events", "Events held")
        self._wanted = self._telemetry.gauge("wanted_events", "Events that must be loaded before they can be shown")
        self._stale_state = self._telemetry.gauge("stale_state", "1 while the sport's picture is stale", ("sport",))

    def __repr__(self) -> str:
        return f"<Node {self._reason or 'ready'} {self.state!r}>"

    # What REST and the stream ask.

    @property
    def reason(self) -> str | None:
        """Why the node isn't ready, or None."""
        return self._reason

    @property
    def lineage(self) -> int:
        """The highest lineage of any partition."""
        return max(self.state.position.lineages, default=1)

    def listen(self, listener: NodeListener) -> None:
        """Tell this listener from now on (one only)."""
        self._listener = listener

    def held(self, event: str) -> EventSnapshot | None:
        """Return an event that is held, and not older than what was seen."""
        live = self.state.live(event)
        return None if live is None or self.state.behind(event) else live.snapshot()

    async def event(self, event: str, min_rev: int = 0) -> EventSnapshot | None:
        """Return the event, never older than seen, loading it when not held; None when nobody knows it.

        The newest found is returned even when it is below `min_rev`. Raises UnavailableError at the deadline.
        """
        held = self.held(event)
        if held is not None:
            return held
        flight = self._loads.begin(event)
        with anyio.move_on_after(EVENT_DEADLINE_S):
            await flight.done.wait()
        if not flight.done.is_set():
            raise UnavailableError(f"{event} could not be loaded within {EVENT_DEADLINE_S:g} s (rev {min_rev} asked)")
        if flight.error is not None:
            raise UnavailableError(flight.error)
        return flight.found

    async def wait_rev(self, event: str, rev: int, timeout_s: float) -> bool:
        """Wait until this node has seen at least `rev` of the event; False at the timeout, or with too many waiting."""
        if self._has(event, rev):
            return True
        if self._waiting >= WAITERS_MAX:
            return False
        arrived = anyio.Event()
        self._waiters.setdefault(event, []).append((rev, arrived))
        self._waiting += 1
        try:
            with anyio.move_on_after(timeout_s):
                await arrived.wait()
        finally:
            self._waiting -= 1
            left = [waiter for waiter in self._waiters.get(event, ()) if waiter[1] is not arrived]
            if left:
                self._waiters[event] = left
            else:
                self._waiters.pop(event, None)
        return arrived.is_set()

    def _has(self, event: str, rev: int) -> bool:
        seen = self.state.seen(event)
        return seen is not None and seen[1] >= rev

    def stale(self, sport: str) -> bool:
        """Tell whether this node's picture of the sport is older than SB_LAG_MS_MAX, or not complete yet."""
        return self.stale_since(sport) is not None

    def stale_since(self, sport: str) -> int | None:
        """Return up to when (ms) the sport's picture is known to be complete while it is stale, else None."""
        if self._reason is not None:
            return self._began_ms
        complete_to = self.state.complete_to(sport)
        if complete_to is None:
            return self._began_ms
        return complete_to if self._freshness.age_ms(sport, complete_to) > self._settings.lag_ms_max else None

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Tell whether everything below these offsets of the updates topics was read."""
        return all(self._next.get(place, 0) >= end for place, end in ends.items())

    def lag_ms(self) -> int | None:
        """Return the age of the oldest sport's picture in ms; None when one was never complete."""
        complete = [self.state.complete_to(sport) for sport in self._sports]
        known = [each for each in complete if each is not None]
        return max(0, self._clock.now_ms() - min(known)) if len(known) == len(complete) else None

    def producers(self) -> Sequence[ProducerRow]:
        """List every producer known, ordered by (provider, producer)."""
        return self._producers.rows()

    def want(self, event: str) -> None:
        """Ask for an event to be held; the listener hears of it."""
        if self.state.live(event) is None:
            self.state.want(event)
            with suppress(UnavailableError):
                self._loads.begin(event)

    # Running.

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the updates until cancelled; started() once the ends noted at start are reached."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._loads.run)
                group.start_soon(self._watch)
                group.start_soon(self._producers.run)
                await self._follow_forever(task_status)
        finally:
            self._reason = "stopped"

    async def _follow_forever(self, task_status: TaskStatus[None]) -> None:
        failures = 0
        while True:
            begun_s = self._clock.monotonic_s()
            try:
                await self._follow(task_status)
            except LogTruncatedError as error:
                self._telemetry.error("updates_truncated", detail=str(error))
            except (DependencyError, TimeoutError) as error:
                self._telemetry.warn("follow_failed", detail=str(error))
            self._reason = "the updates can't be followed"
            failures = 0 if self._clock.monotonic_s() - begun_s > 2 * BACKOFF_S_MAX else failures + 1
            await anyio.sleep(jittered(min(BACKOFF_S_MAX, 0.1 * 2**failures), self._context.entropy))

    async def _follow(self, task_status: TaskStatus[None]) -> None:
        """Begin with nothing, read from a bounded time back, and go on for ever."""
        names = [topics.updates(sport) for sport in self._sports]
        state = await self._begin()
        ends = await self._context.admin.ends(names)
        since_ms = self._clock.now_ms() - self._settings.lookback_ms
        places = dict(await self._context.admin.offsets_at(names, since_ms))
        state.read_from_ms = since_ms
        state.inherit(self.state)
        self.state = state
        self._indexes = {(topics.updates(topics.sport_of(feed)), n): i for (feed, n), i in state.index.items()}
        if self._listener is not None:
            self._listener.forget(state, self._clock.now_ms())
        reader = self._context.log.reader(names)
        try:
            async with anyio.create_task_group() as group:
                reached = anyio.Event()
                group.start_soon(self._become_ready, reached, task_status)
                await self._read(reader, places, ends, reached)
        except BaseExceptionGroup as failed:
            first: BaseException | None = failed.subgroup(DependencyError)
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            if first is None:
                raise
            raise first from failed
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await reader.aclose()

    async def _begin(self) -> NodeState:
        counts = {sport: await self._context.admin.partitions(topics.updates(sport)) for sport in self._sports}
        partitions = [(topics.feed(sport), n) for sport, count in counts.items() for n in range(count)]
        positions = await self._context.store.positions([topics.feed(sport) for sport in self._sports])
        self._loader.begin(counts, {(each.topic, each.partition): each.cache_generation for each in positions})
        state = self._empty(partitions)
        for each in positions:
            index = state.index.get((each.topic, each.partition))
            if index is not None:
                state.begin(index, lineage=each.lineage, done_offset=each.done_offset, next_offset=each.next_offset)
        return state

    def _empty(self, partitions: Sequence[TopicPartition]) -> NodeState:
        return NodeState(partitions, held_max=self._settings.events_held_max, ring_max=self._settings.ring_changes_max)

    async def _read(
        self,
        reader: Reader,
        places: dict[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        reached: anyio.Event,
    ) -> None:
        patient = PatientReader(self._context, reader)
        self._next = {place: places.get(place, end) for place, end in ends.items()}
        while True:
            if not reached.is_set() and self.reached(ends):
                reached.set()
            delivery = await patient.read()
            for place in delivery.assigned:
                reader.seek(place, places.get(place, ends.get(place, 0)))
            if delivery.records:
                self._take(delivery.records)

    def _take(self, records: Sequence[Fetched]) -> None:
        """Take in records of the updates topics."""
        state, now_ms = self.state, self._clock.now_ms()
        before = state.position
        steps: list[Step] = []
        for record in records:
            self._next[record.topic, record.partition] = record.offset + 1
            index = self._indexes.get((record.topic, record.partition))
            if index is None or record.value is None:
                continue
            step = self._step(index, record, before)
            if step is not None:
                steps.append(step)
                self._updates[step.outcome].inc()
                if step.outcome == "missing":
                    self.want(step.change.event)
        if steps and self._listener is not None:
            self._listener.changed(steps, before, now_ms)
        if self._waiters:
            for step in steps:
                self._arrived(step.change.event)
        if self._told:
            self._tell_staleness()

    def _step(self, index: int, record: Fetched, before: Position) -> Step | None:
        try:
            if record.key == "tick":
                self.state.tick(index, _tick_decoder.decode(record.value or b"").ts)
                return None
            change = Change(shown.raw_update_decoder.decode(record.value or b""))
            for event in self.state.outdated(index, change):  # a database that was put back may lack it
                self._lost(index, msgspec.structs.replace(record, key=event), before)
            return self.state.apply(index, change)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._unreadable.inc()
            self._telemetry.error(
                "update_unreadable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                detail=str(error),
            )
            if record.key != "tick":
                self._lost(index, record, before)
            return None

    def _lost(self, index: int, record: Fetched, before: Position) -> None:
        """Have an event loaded of which a change could not be read; the key says which."""
        self.state.skip(index, record.key)
        if self._listener is not None:
            sport = topics.sport_of(record.topic)
            self._listener.missing(record.key, sport, before, self._clock.now_ms())
        self.want(record.key)

    def _arrived(self, event: str) -> None:
        for rev, arrived in self._waiters.get(event, ()):
            if self._has(event, rev):
                arrived.set()

    async def _become_ready(self, reached: anyio.Event, task_status: TaskStatus[None]) -> None:
        self._reason = "catching up with the updates"
        await reached.wait()
        self._reason = "loading current events"
        await self._list_current()
        with anyio.move_on_after(START_LOAD_S_MAX):
            for event in list(self.state.wanted):
                if event in self.state.wanted:  # not loaded while those before it were
                    await self._loads.begin(event).done.wait()
        self._reason = None
        self._telemetry.info("node_ready", held=len(self.state))
        self._tell_staleness()
        if not self._started:
            self._started = True
            task_status.started()

    async def _list_current(self) -> None:
        """Want all events that aren't finished, as many as may be held."""
        after: tuple[int, str] | None = None
        listed = 0
        while listed < self._settings.events_held_max:
            query = EventQuery(sports=self._sports, statuses=CURRENT, after=after, limit=LISTING_MAX)
            headers = [shown.header_decoder.decode(row) for row in await self._context.store.events(query)]
            for header in headers:
                self.want(header.event)
            listed += len(headers)
            if len(headers) < LISTING_MAX:
                return
            last = headers[-1]
            after = -1 if last.start is None else last.start, last.event

    # Loading.

    def loaded(self, event: str, *, wanted: bool) -> None:
        """Hear from Loads that an event is held."""
        self._arrived(event)
        if wanted and self._listener is not None:
            self._listener.loaded(event, self._clock.now_ms())

    def absent(self, event: str) -> None:
        """Hear from Loads that nobody knows an event."""
        if self._listener is not None:
            self._listener.absent(event)

    def unavailable(self, event: str) -> None:
        """Hear from Loads that an event can't be had for now."""
        if event in self.state.wanted and self._listener is not None:
            self._listener.unavailable(event, self._clock.now_ms())

    # Watching.

    async def _watch(self) -> None:
        """Notice staleness, try again what could not be loaded, keep the gauges."""
        every_s = min(STALE_CHECK_S_MAX, self._settings.lag_ms_max / 20_000)
        retried_s = self._clock.monotonic_s()
        while True:
            await anyio.sleep(every_s)
            self._tell_staleness()
            self._held.set(len(self.state))
            self._wanted.set(len(self.state.wanted))
            if self._clock.monotonic_s() - retried_s >= WANTED_RETRY_S:
                retried_s = self._clock.monotonic_s()
                for event in list(self.state.wanted):
                    self.want(event)

    def _tell_staleness(self) -> None:
        stale = {sport: at for sport in self._sports if (at := self.stale_since(sport)) is not None}
        if stale.keys() != self._told.keys():
            for sport in self._sports:
                self._stale_state.labels(sport).set(sport in stale)
            self._telemetry.info("staleness", stale=sorted(stale))
            if self._listener is not None:
                self._listener.staleness(stale, self._clock.now_ms())
        self._told = stale
