"""The ports as one simulated process sees them: slow, failing, of unknown outcome, and gone once the process is dead.

The rule: what is done is done by the real adapter, once or never; only when, and what the caller is told of it, is the
world's. An effect that was issued may still happen after its process has died, as a packet on the wire does; none is
issued by a dead process.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import trio
from msgspec import Struct
from simulation import Chance, Process

from sb_core.adapters.log_reader import LogReader
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import MemoryLog
from sb_core.adapters.sqlite_store import SqliteStore
from sb_core.errors import BusyError, DependencyError, UnavailableError, UnknownOutcomeError
from sb_core.records import Batch, CacheEntry, Delivery, Position, Record, TopicPartition
from sb_core.topics import partition_of

Effect: TypeAlias = Callable[[], Awaitable[Any]]
Doubt: TypeAlias = type[DependencyError] | None

READ_SLOW = 0.15
"""Share of reads that take a while."""
WRITE_SLOW = 0.3
DELAY_S_MAX = 0.006
LOCK_S_MAX = 1.0
"""How long a transaction waits for another's rows before the store undoes it (1205); a deadlock (1213) is noticed at once."""
LEADERS = 3
"""Nodes of the log, each of them the leader of a third of all partitions."""
OUTAGE_ANSWER_S = 0.03
"""How long a dependency that is down lets its callers wait for the error."""


class Weather(Struct):
    """How bad the world is: probabilities per call, and what is down altogether."""

    read_fails: float = 0.0
    write_fails: float = 0.0
    lost: float = 0.0
    """The outcome is unknown, and it was not done."""
    reply_lost: float = 0.0
    """The outcome is unknown, and it was done."""
    late: float = 0.0
    """The outcome is unknown, and it will be done later."""
    stalls: float = 0.0
    """It takes seconds."""
    locked: float = 0.0
    """A transaction of the store runs into another one and is undone."""
    late_s_max: float = 1.5
    down: set[str] = set()
    leaderless: set[int] = set()
    """Nodes of the log that are gone while nobody leads their partitions yet."""


def leader_of(place: TopicPartition) -> int:
    """Return which node of the log leads a partition."""
    return (len(place[0]) + place[1]) % LEADERS


class Ticket:
    """A write's place in a row of writes: `over` is set when it has happened, or can't any more."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.on_the_wire = False


class Witness(Protocol):
    """Who sees what is done at the ports: the oracle."""

    def appended(self, process: str, records: Sequence[Record]) -> None: ...
    def committed(self, process: str, batch: Batch) -> None: ...
    def claimed(self, process: str, position: Position) -> None: ...
    def happened(self, what: str) -> None: ...
    def note(self, *words: object) -> None: ...


class Wire:
    """Between one process and what it depends on."""

    def __init__(
        self, process: Process, chance: Chance, weather: Weather, witness: Witness, nursery: trio.Nursery
    ) -> None:
        self.process = process
        self.chance = chance
        self.weather = weather
        self.witness = witness
        self.nursery = nursery
        self.readers: list[SimReader] = []

    async def read(self, port: str, what: str, effect: Effect) -> Any:
        chance, weather = self.chance, self.weather
        await self.process.gate()
        if chance.happens(READ_SLOW):
            await trio.sleep(chance.between(0, DELAY_S_MAX))
        if port in weather.down or chance.happens(weather.read_fails):
            await self._refuse(port, what)
        result = await effect()
        await self.process.gate()
        return result

    async def write(self, port: str, what: str, effect: Effect, *, doubt: Doubt = UnknownOutcomeError) -> Any:
        """Write; `doubt` is how its caller is told that nobody knows, None where there is none that matters.

        Raises what the real one may raise.
        """
        ticket = Ticket()
        try:
            return await self.write_in_turn(port, what, effect, ticket, doubt=doubt)
        finally:
            if not ticket.on_the_wire:
                ticket.over.set()

    async def write_in_turn(self, port: str, what: str, effect: Effect, ticket: Ticket, *, doubt: Doubt) -> Any:
        """Write; the caller sets `ticket.over` unless it is on the wire."""
        chance, weather = self.chance, self.weather
        await self.process.gate()
        if port in weather.down or chance.happens(weather.write_fails):
            await self._refuse(port, what)
        if port == "store" and chance.happens(weather.locked):
            await self._undo(what)
        fate = chance.random.random()
        if fate < weather.stalls:
            return await self._later(what, effect, ticket, chance.between(0.2, weather.late_s_max), doubt=None)
        fate -= weather.stalls
        if doubt is not None and fate < weather.lost:
            self.witness.note(self.process.name, what, "lost")
            self.witness.happened(f"{what}_unknown_not_done")
            await trio.sleep(chance.between(0, DELAY_S_MAX))
            raise doubt("simulated: not done")
        fate -= weather.lost
        if doubt is not None and fate < weather.late:
            self.witness.happened(f"{what}_unknown_done_later")
            return await self._later(what, effect, ticket, chance.between(0, weather.late_s_max), doubt=doubt)
        fate -= weather.late
        if chance.happens(WRITE_SLOW):
            return await self._later(what, effect, ticket, chance.between(0, DELAY_S_MAX), doubt=None)
        result = await effect()
        await self.process.gate()
        if doubt is not None and fate < weather.reply_lost:
            self.witness.note(self.process.name, what, "reply lost")
            self.witness.happened(f"{what}_unknown_done")
            raise doubt("simulated: done")
        return result

    async def _refuse(self, port: str, what: str) -> None:
        await trio.sleep(OUTAGE_ANSWER_S if port in self.weather.down else self.chance.between(0, DELAY_S_MAX))
        await self.process.gate()
        self.witness.note(self.process.name, what, "unavailable")
        raise UnavailableError("simulated")

    async def _undo(self, what: str) -> None:
        """Wait for another transaction's rows in vain, or be the victim of a deadlock."""
        deadlock = self.chance.happens(0.5)
        await trio.sleep(self.chance.between(0, DELAY_S_MAX if deadlock else LOCK_S_MAX))
        await self.process.gate()
        self.witness.note(self.process.name, what, "deadlock" if deadlock else "lock timeout")
        self.witness.happened("deadlock" if deadlock else "lock_timeout")
        raise BusyError("simulated: " + ("1213" if deadlock else "1205"))

    async def _later(self, what: str, effect: Effect, ticket: Ticket, delay_s: float, *, doubt: Doubt) -> Any:
        """Do it in the world's own time: the process may be dead or have given up by then. In `doubt` nobody waits."""
        ticket.on_the_wire = True
        outcome: list[Any] = []
        done_if_dead = self.chance.happens(0.5)

        async def happen() -> None:
            await trio.sleep(delay_s)
            try:
                if self.process.alive or done_if_dead:
                    if not self.process.alive:
                        self.witness.note(self.process.name, what, "done after death")
                        self.witness.happened("effect_in_flight_at_death")
                    outcome.append(await effect())
            except DependencyError as error:
                outcome.append(error)
            finally:
                ticket.over.set()

        self.nursery.start_soon(happen)
        if doubt is not None:
            self.witness.note(self.process.name, what, "later")
            await trio.sleep(self.chance.between(0, DELAY_S_MAX))
            await self.process.gate()
            raise doubt("simulated: done later")
        await ticket.over.wait()
        await self.process.gate()
        if not outcome:
            await trio.sleep_forever()  # the world has ended
        if isinstance(outcome[0], DependencyError):
            raise outcome[0]
        return outcome[0]


class SimLog:
    """Log and LogAdmin. The appends that one process issued keep their order, whenever they happen."""

    def __init__(self, wire: Wire, real: MemoryLog) -> None:
        self._wire = wire
        self._real = real

    async def append(self, records: Sequence[Record], counts: Mapping[str, int] | None = None) -> Sequence[int]:
        process = self._wire.process
        await process.gate()
        before, ticket = process.appended, Ticket()
        process.appended = ticket.over

        async def effect() -> Sequence[int]:
            if before is not None:
                await before.wait()
            led = self._led(records)
            if len(led) < len(records) and (counts or not led):
                raise UnavailableError("simulated: a partition has no leader")
            offsets = await self._real.append(led, counts)
            self._wire.witness.appended(process.name, led)
            if len(led) < len(records):
                self._wire.witness.happened("append_in_part")
                raise UnknownOutcomeError("simulated: done in part, some partitions have no leader")
            return offsets

        try:
            offsets: Sequence[int] = await self._wire.write_in_turn(
                "log", "append", effect, ticket, doubt=UnknownOutcomeError
            )
        finally:
            if not ticket.on_the_wire:
                ticket.over.set()
        return offsets

    def _led(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records whose partitions have a leader."""
        gone = self._wire.weather.leaderless
        return [each for each in records if leader_of(_place(each)) not in gone] if gone else records

    def reader(self, topics: Sequence[str], group: str | None = None) -> "SimReader":
        reader = SimReader(self._wire, self._real, self._real.reader(topics, group))
        self._wire.readers.append(reader)
        return reader

    async def account(self) -> Mapping[str, int]:
        return await self._wire.read("log", "account", self._real.account)

    async def partitions(self, topic: str) -> int:
        return await self._wire.read("log", "partitions", lambda: self._real.partitions(topic))

    async def starts(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        return await self._of_leaders("starts", lambda: self._real.starts(topics))

    async def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        return await self._of_leaders("ends", lambda: self._real.ends(topics))

    async def offsets_at(self, topics: Sequence[str], ts: int) -> Mapping[TopicPartition, int]:
        return await self._of_leaders("offsets_at", lambda: self._real.offsets_at(topics, ts))

    async def _of_leaders(self, what: str, effect: Effect) -> Mapping[TopicPartition, int]:
        """Ask what only leaders know."""

        async def asked() -> Mapping[TopicPartition, int]:
            found: Mapping[TopicPartition, int] = await effect()
            if any(leader_of(place) in self._wire.weather.leaderless for place in found):
                raise UnavailableError("simulated: a partition has no leader")
            return found

        answer: Mapping[TopicPartition, int] = await self._wire.read("log", what, asked)
        return answer

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        return await self._wire.read("log", "committed", lambda: self._real.committed(group))

    async def ping(self) -> None:
        await self._wire.read("log", "ping", self._real.ping)


def _place(record: Record) -> TopicPartition:
    return record.topic, partition_of(record.key) if record.partition is None else record.partition


class SimReader:
    """A reader whose membership the world can end (a session that times out) and begin again (a zombie that returns)."""

    def __init__(self, wire: Wire, log: MemoryLog, real: LogReader) -> None:
        self._wire = wire
        self._log = log
        self._real = real
        self._member = True
        self._closed = False
        self._without_leader: dict[TopicPartition, int] = {}
        """Where it stands in partitions that give nothing now."""

    async def read(self, *, records_max: int, wait_s: float) -> Delivery:
        wire = self._wire
        await wire.process.gate()
        if "log" in wire.weather.down or wire.chance.happens(wire.weather.read_fails / 10):
            await wire._refuse("log", "read")
        delivery = await self._read_led(records_max, wait_s)
        await wire.process.gate()
        return delivery

    async def _read_led(self, records_max: int, wait_s: float) -> Delivery:
        """Read, leaving out partitions without a leader."""
        positions, gone = self._real._positions, self._wire.weather.leaderless
        for place in [each for each in positions if leader_of(each) in gone] if gone else ():
            self._without_leader[place] = positions.pop(place)
        try:
            delivery = await self._real.read(records_max=records_max, wait_s=wait_s)
            if delivery.assigned or delivery.revoked:
                self._without_leader.clear()
        finally:
            for place, offset in self._without_leader.items():
                if place not in self._real._positions:
                    self._real.seek(place, offset)
            self._without_leader.clear()
        return delivery

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._without_leader.pop(partition, None)
        self._real.seek(partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        self._without_leader.pop(partition, None)
        self._real.pause(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._wire.write("log", "offsets", lambda: self._real.commit(offsets), doubt=None)

    async def aclose(self) -> None:
        self._closed = True
        try:
            await self._wire.process.gate()
        except trio.Cancelled:
            self._wire.nursery.start_soon(self._leave)  # the driver goes on leaving by itself
            raise
        self._gone()

    async def _leave(self) -> None:
        await self._wire.process.gate()
        self._gone()

    def _gone(self) -> None:
        self.expel()
        self._real._closed = True
        self._real.wake()

    def expel(self) -> bool:
        """End its membership, as a coordinator does with one that is silent; tell whether that moved partitions."""
        if not self._member:
            return False
        self._member = False
        self._log.detach(self._real)
        self._real.member.held = ()
        return self._real.group is not None

    def rejoin(self) -> None:
        """Join again, as a consumer does that finds itself expelled."""
        if self._member or self._closed:
            return
        self._member = True
        self._real.wake()
        self._log._readers.append(self._real)
        if self._real.group is not None:
            self._log._wake(self._log._groups.join(self._real.group, self._real.member))


class SimStore:
    """The store: writes as the fold makes them, everything else a read."""

    def __init__(self, wire: Wire, real: SqliteStore) -> None:
        self._wire = wire
        self._real = real
        self.committing = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(self._real, name)
        return lambda *args, **named: self._wire.read("store", name, lambda: real(*args, **named))

    async def claim(self, partition: TopicPartition, owner: str) -> Position:
        async def effect() -> Position:
            position = await self._real.claim(partition, owner)
            self._wire.witness.claimed(self._wire.process.name, position)
            return position

        return await self._wire.write("store", "claim", effect)

    async def commit(self, batch: Batch) -> None:
        async def effect() -> None:
            await self._real.commit(batch)
            self._wire.witness.committed(self._wire.process.name, batch)

        self.committing += 1
        try:
            await self._wire.write("store", "commit", effect)
        finally:
            self.committing -= 1

    async def raise_cache_generation(self, partition: TopicPartition, epoch: int, owner: str, by: int) -> int:
        async def effect() -> int:
            return await self._real.raise_cache_generation(partition, epoch, owner, by)

        generation: int = await self._wire.write("store", "cache_generation", effect)
        self._wire.witness.happened("cache_generation_raised")
        return generation

    async def outbox(self, partition: TopicPartition, start: int, end: int) -> Any:
        rows = await self._wire.read("store", "outbox", lambda: self._real.outbox(partition, start, end))
        if rows:
            self._wire.witness.happened("outbox_republished")
        return rows


class SimCache:
    """The cache: it fails, and forgets, and is late."""

    def __init__(self, wire: Wire, real: MemoryCache) -> None:
        self._wire = wire
        self._real = real

    async def put(self, entries: Sequence[CacheEntry]) -> None:
        await self._wire.write("cache", "put", lambda: self._real.put(entries), doubt=UnavailableError)

    async def get(self, keys: Sequence[tuple[int, str]]) -> Sequence[bytes | None]:
        return await self._wire.read("cache", "get", lambda: self._real.get(keys))

    async def ping(self) -> None:
        await self._wire.read("cache", "ping", self._real.ping)
