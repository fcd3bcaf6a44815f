"""Loading events that a node doesn't hold: the cache first, then the database; one load per event at a time.

The rules: nothing older than what was seen is taken; what the cache says counts only under the generation that the
database names for the event's partition, so that a cache that missed writes is not believed; loads have a deadline,
are done by a bounded pool, and go on when whoever asked has gone.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import anyio
import msgspec

from sb_core import shown
from sb_core.errors import DependencyError, UnavailableError
from sb_core.records import ShownEvent, TopicPartition
from sb_core.runtime import Context
from sb_core.topics import feed, partition_of
from sb_distribute.conflate import Version
from sb_distribute.live import EventSnapshot
from sb_distribute.producers import jittered
from sb_distribute.state import NodeState

CACHE_DEADLINE_S: Final = 0.5
STORE_DEADLINE_S: Final = 2.0
GENERATIONS_S_MAX: Final = 1.0
"""How old what is known of the cache's generations may be."""
LOADERS_MAX: Final = 16
LOADS_QUEUED_MAX: Final = 50_000
LOAD_DEADLINE_S: Final = 3.0
LOAD_RETRY_S: Final = 0.02
ANY: Final[Version] = (0, 0)
"""For an event of which this node has seen nothing yet."""


class Loader:
    """Reads whole events for one node."""

    def __init__(self, context: Context, sports: Sequence[str]) -> None:
        self._context = context
        self._sports = tuple(sports)
        self._counts: dict[str, int] = {}
        self._generations: dict[TopicPartition, int] = {}
        self._known_s = float("-inf")
        self._refreshing = anyio.Lock()
        self._loads = context.telemetry.counter("event_loads_total", "Whole events read", ("source",))

    def __repr__(self) -> str:
        return f"<Loader partitions={self._counts} generations={len(self._generations)}>"

    def begin(self, counts: Mapping[str, int], generations: Mapping[TopicPartition, int]) -> None:
        """Take over the number of partitions per sport and the cache's generations."""
        self._counts = dict(counts)
        self._generations = dict(generations)
        self._known_s = self._context.clock.monotonic_s()

    async def load(self, event: str, at_least: Version | None) -> shown.Event | None:
        """Return the event, None when nobody knows it. Raises DependencyError, also when all there is, is too old."""
        cached = await self._from_cache(event, at_least)
        if cached is not None:
            self._loads.labels("cache").inc()
            return cached
        found = await self._from_store(event, at_least)
        if found is None:
            return None
        self._loads.labels("store").inc()
        if at_least is not None and (found.lineage, found.rev) < at_least:
            raise UnavailableError(f"{event}: the store is at {found.lineage}.{found.rev}, not yet at {at_least}")
        return found

    async def _from_cache(self, event: str, at_least: Version | None) -> shown.Event | None:
        try:
            with anyio.fail_after(CACHE_DEADLINE_S):
                await self._refresh(strict=at_least is None)
                places = {sport: (feed(sport), partition_of(event, n)) for sport, n in self._counts.items()}
                generations = {sport: self._generations.get(place, 1) for sport, place in places.items()}
                distinct = sorted(set(generations.values()))
                values = await self._context.cache.get([(generation, event) for generation in distinct])
        except (DependencyError, TimeoutError) as error:
            self._context.telemetry.debug("cache_skipped", detail=str(error))
            return None
        for generation, value in zip(distinct, values, strict=True):
            found = None if value is None else _decoded(value)
            if found is None or generations.get(found.sport) != generation:
                continue
            if at_least is None or (found.lineage, found.rev) >= at_least:
                return found
        return None

    async def _refresh(self, *, strict: bool) -> None:
        """Learn the generations anew if that is due. Without `strict`, an old one will do: the version is checked."""
        async with self._refreshing:
            if self._context.clock.monotonic_s() - self._known_s < GENERATIONS_S_MAX:
                return
            try:
                positions = await self._context.store.positions([feed(sport) for sport in self._sports])
            except DependencyError:
                if strict:
                    raise
                return
            self._generations = {(each.topic, each.partition): each.cache_generation for each in positions}
            self._known_s = self._context.clock.monotonic_s()

    async def _from_store(self, event: str, at_least: Version | None) -> shown.Event | None:
        try:
            with anyio.fail_after(STORE_DEADLINE_S):
                row = await self._context.store.event(event, at_least or ANY)
        except TimeoutError as error:
            raise UnavailableError(f"the store did not answer within {STORE_DEADLINE_S:g} s") from error
        return None if row is None else assembled(row)


def _decoded(value: bytes) -> shown.Event | None:
    try:
        return shown.event_decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return None  # another version's entry: the database knows


def assembled(row: ShownEvent) -> shown.Event:
    """Put an event together from its rows; (lineage, rev) are the row's."""
    header = shown.header_decoder.decode(row.header)
    markets = [shown.market_decoder.decode(market) for market in row.markets]
    fields: dict[str, Any] = {name: getattr(header, name) for name in header.__struct_fields__}
    fields.update(lineage=row.lineage, rev=row.rev, stale=False)
    return shown.Event(**fields, markets=sorted(markets, key=shown.market_order))


class Holder(Protocol):
    """The node: who holds what is loaded."""

    state: NodeState

    def loaded(self, event: str, *, wanted: bool) -> None:
        """Take note that an event is held; `wanted`: changes of it had been waiting."""

    def absent(self, event: str) -> None:
        """Take note that nobody knows an event."""

    def unavailable(self, event: str) -> None:
        """Take note that an event could not be loaded."""


class Flight:
    """A load under way: `done`, then either `error` says why not, or `found` is the event, None if nobody knows it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: str | None = "the load was abandoned"
        self.found: EventSnapshot | None = None


class Loads:
    """The pool of loads."""

    def __init__(self, context: Context, loader: Loader, holder: Holder) -> None:
        self._clock = context.clock
        self._entropy = context.entropy
        self._telemetry = context.telemetry
        self._loader = loader
        self._holder = holder
        self._flights: dict[str, Flight] = {}
        self._waiting: deque[str] = deque()
        self._wake = anyio.Event()

    def __repr__(self) -> str:
        return f"<Loads flights={len(self._flights)} waiting={len(self._waiting)}>"

    def begin(self, event: str) -> Flight:
        """Have an event loaded. Raises UnavailableError when too many wait for that."""
        flight = self._flights.get(event)
        if flight is None:
            if len(self._waiting) >= LOADS_QUEUED_MAX:
                raise UnavailableError(f"more than {LOADS_QUEUED_MAX} events wait to be loaded")
            flight = self._flights[event] = Flight()
            self._waiting.append(event)
            self._wake.set()
        return flight

    async def run(self) -> None:
        """Load what is asked for, until cancelled."""
        async with anyio.create_task_group() as group:
            for _ in range(LOADERS_MAX):
                group.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                self._wake = anyio.Event() if self._wake.is_set() else self._wake
                await self._wake.wait()
                continue
            event = self._waiting.popleft()
            flight = self._flights[event]
            try:
                await self._fly(event, flight)
            finally:
                del self._flights[event]
                flight.done.set()

    async def _fly(self, event: str, flight: Flight) -> None:
        until_s = self._clock.monotonic_s() + LOAD_DEADLINE_S
        pause_s = LOAD_RETRY_S
        at_least = self._holder.state.needed(event)
        while not await self._try(event, flight, at_least):
            if self._clock.monotonic_s() + pause_s > until_s:
                self._telemetry.warn("event_unavailable", detail=flight.error)
                self._holder.unavailable(event)
                return
            await anyio.sleep(jittered(pause_s, self._entropy))
            pause_s *= 2
            at_least = self._holder.state.newest(event)

    async def _try(self, event: str, flight: Flight, at_least: Version | None) -> bool:
        """Load once; True when the flight has its answer."""
        try:
            found = await self._loader.load(event, at_least)
        except DependencyError as error:
            flight.error = str(error)
            return False
        state = self._holder.state
        if found is None:
            flight.error = f"{event} was seen, but is not stored"
            if state.newest(event) is not None:
                return False
            state.wanted.pop(event, None)
            flight.error = None
            self._holder.absent(event)
            return True
        wanted = event in state.wanted
        live = state.loaded(found)
        if live is None:
            flight.error = f"{event}: what could be loaded is older than what was seen"
            return False
        flight.error, flight.found = None, live.snapshot()
        self._holder.loaded(event, wanted=wanted)
        return True
