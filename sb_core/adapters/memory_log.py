"""A log in memory: for tests, and for the simulation, which needs it to be deterministic.

The rule: no thread, no timer, no set; what happens depends on the calls and their order only.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter

import anyio.lowlevel

from sb_core.adapters.log_groups import Groups, Membership
from sb_core.adapters.log_reader import LogReader
from sb_core.errors import ContractError, UnavailableError
from sb_core.ports import Clock
from sb_core.records import Fetched, Record, TopicPartition
from sb_core.topics import TopicSpec, partition_of

_offset = attrgetter("offset")


class _Partition:
    """One partition's records, ascending by offset; compaction leaves holes."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.records: list[Fetched] = []

    def index(self, offset: int) -> int:
        return bisect_left(self.records, offset, key=_offset)


class MemoryLog:
    """Log and LogAdmin in memory."""

    poll_s = math.inf  # nobody else appends

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._specs: dict[str, TopicSpec] = {}
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._counts: Counter[str] = Counter()
        self._committed: dict[str, dict[TopicPartition, int]] = {}
        self._groups = Groups()
        self._readers: list[LogReader] = []
        self._closed = False

    def __repr__(self) -> str:
        """Tell how much it holds."""
        return f"<MemoryLog topics={len(self._specs)} records={sum(len(p.records) for p in self._partitions.values())}>"

    async def append(self, records: Sequence[Record], counts: Mapping[str, int] | None = None) -> Sequence[int]:
        """Append, as ports.Log says. Raises ContractError for an unknown topic or partition."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        places = [self._place(record) for record in records]
        offsets = []
        for record, place in zip(records, places, strict=True):
            partition = self._partitions[place]
            offset = partition.end
            partition.records.append(
                Fetched(record.topic, place[1], offset, record.key, record.value, record.ts, record.headers)
            )
            partition.end = offset + 1
            offsets.append(offset)
        if counts:
            self._counts.update(counts)
        topics = dict.fromkeys(record.topic for record in records)
        for reader in self._readers:
            if any(topic in topics for topic in reader.topics):
                reader.wake()
        return offsets

    def reader(self, topics: Sequence[str], group: str | None = None) -> LogReader:
        """Return a reader of these topics. Raises ContractError for an unknown topic."""
        member = Membership(tuple((topic, n) for topic in topics for n in range(self._spec(topic).partitions)))
        reader = LogReader(self, topics, group, member)
        self.attach(reader)
        return reader

    async def account(self) -> Mapping[str, int]:
        """Return the counts so far."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        return dict(self._counts)

    async def ping(self) -> None:
        """Raise UnavailableError when closed."""
        await anyio.lowlevel.checkpoint()
        self._check_open()

    async def aclose(self) -> None:
        """Refuse everything from now on."""
        self._closed = True
        for reader in self._readers:
            reader.wake()
        await anyio.lowlevel.checkpoint()

    async def create(self, specs: Sequence[TopicSpec]) -> None:
        """Make topics that are missing. Raises ContractError when one has another number of partitions."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        for spec in specs:
            there = self._specs.get(spec.name)
            if there is not None and there.partitions != spec.partitions:
                raise ContractError(
                    f"topic {spec.name} has {there.partitions} partitions, not {spec.partitions}; SB_PARTITIONS and sb topics repartition say how many"
                )
        for spec in specs:
            self._specs[spec.name] = spec
            for n in range(spec.partitions):
                self._partitions.setdefault((spec.name, n), _Partition())

    async def grow(self, specs: Sequence[TopicSpec]) -> None:
        """Add partitions to topics. Raises ContractError for one that has more, or isn't there."""
        for spec in specs:
            if self._spec(spec.name).partitions > spec.partitions:
                raise ContractError(f"topic {spec.name} has more than {spec.partitions} partitions")
            del self._specs[spec.name]
        await self.create(specs)

    async def topics(self) -> Mapping[str, TopicSpec]:
        """Return all topics as they were made."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        return dict(self._specs)

    async def partitions(self, topic: str) -> int:
        """Return a topic's number of partitions. Raises ContractError when there is no such topic."""
        await anyio.lowlevel.checkpoint()
        return self._spec(topic).partitions

    async def starts(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the oldest kept offsets."""
        await anyio.lowlevel.checkpoint()
        return {place: self._partitions[place].start for place in self._places(topics)}

    async def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the offsets that the next records will get."""
        await anyio.lowlevel.checkpoint()
        return {place: self._partitions[place].end for place in self._places(topics)}

    async def offsets_at(self, topics: Sequence[str], ts: int) -> Mapping[TopicPartition, int]:
        """Return each partition's first offset whose ts is `ts` or later, its end when there is none."""
        await anyio.lowlevel.checkpoint()
        return {place: self._offset_at(self._partitions[place], ts) for place in self._places(topics)}

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """Return a group's committed offsets."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        return dict(self._committed.get(group, {}))

    async def members(self, group: str) -> int:
        """Return how many share a group."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        return self._groups.count(group)

    async def prune(self, now_ms: int) -> int:
        """Drop records older than their topic's retention, and all but the newest per key of compacted topics."""
        await anyio.lowlevel.checkpoint()
        dropped = 0
        for place, partition in self._partitions.items():
            spec = self._specs[place[0]]
            before = len(partition.records)
            if spec.compacted:
                newest = {record.key: record for record in partition.records}
                partition.records = sorted(newest.values(), key=_offset)
            elif spec.retention_ms is not None:
                partition.start = self._offset_at(partition, now_ms - spec.retention_ms)
                del partition.records[: partition.index(partition.start)]
            dropped += before - len(partition.records)
        return dropped

    # What a reader needs.

    def bounds(self, partition: TopicPartition, *, fresh: bool = False) -> tuple[int, int]:  # noqa: ARG002 - it always is
        """Return (oldest kept offset, end)."""
        found = self._partitions[partition]
        return found.start, found.end

    def fetch(self, partition: TopicPartition, offset: int, records_max: int, bytes_max: int) -> Sequence[Fetched]:
        """Return records from `offset` on, at least one if there is one."""
        self._check_open()
        found = self._partitions[partition]
        first = found.index(offset)
        records = found.records[first : first + records_max]
        taken = 0
        for n, record in enumerate(records):
            taken += len(record.value or b"")
            if taken >= bytes_max:
                return records[: n + 1]
        return records

    def poll(self) -> None:
        """Raise UnavailableError when closed."""
        self._check_open()

    async def store_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep a group's offsets."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        self._committed.setdefault(group, {}).update(offsets)

    def attach(self, reader: LogReader) -> None:
        """Take a reader in, also one that was detached; its group shares out anew."""
        self._readers.append(reader)
        if reader.group is None:
            reader.member.give(reader.member.wanted)
        else:
            self._wake(self._groups.join(reader.group, reader.member))

    def detach(self, reader: LogReader) -> None:
        """Forget a reader; its group shares out anew."""
        self._readers.remove(reader)
        if reader.group is not None:
            self._wake(self._groups.leave(reader.group, reader.member))

    def _wake(self, members: Sequence[Membership]) -> None:
        for reader in self._readers:
            if reader.member in members:
                reader.wake()

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the log is closed")

    def _spec(self, topic: str) -> TopicSpec:
        self._check_open()
        spec = self._specs.get(topic)
        if spec is None:
            raise ContractError(f"there is no topic {topic!r}")
        return spec

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [(topic, n) for topic in topics for n in range(self._spec(topic).partitions)]

    def _place(self, record: Record) -> TopicPartition:
        count = self._spec(record.topic).partitions
        if record.partition is None:
            return record.topic, partition_of(record.key, count)
        if not 0 <= record.partition < count:
            raise ContractError(f"{record.topic} has {count} partitions, not one numbered {record.partition}")
        return record.topic, record.partition

    @staticmethod
    def _offset_at(partition: _Partition, ts: int) -> int:
        return next((record.offset for record in partition.records if record.ts >= ts), partition.end)


@asynccontextmanager
async def open_memory_log(clock: Clock) -> AsyncIterator[MemoryLog]:
    """Open an empty log in memory."""
    log = MemoryLog(clock)
    try:
        yield log
    finally:
        await log.aclose()
