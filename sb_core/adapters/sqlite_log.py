"""The embedded log on SQLite: synced to disk before anything is acknowledged, by group commit.

The rules: one connection writes, in a thread, one transaction for all appends that wait; readers are answered from the
memory of newest records or inline from a connection of their own, bounded in bytes; other processes may append too and
are noticed by polling. In one process a group's readers share its partitions; a group in two processes is not served.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from sb_core.adapters import sqlite_records as file
from sb_core.adapters.log_groups import Membership
from sb_core.adapters.log_reader import LogReader, Readers, outside
from sb_core.adapters.log_tail import Tail
from sb_core.adapters.sqlite_connect import LOG_SCHEMA, connect, mapped_errors, migrate
from sb_core.adapters.sqlite_records import Planned, Topic
from sb_core.adapters.writer import GroupWriter
from sb_core.errors import ContractError, UnavailableError
from sb_core.ports import Clock
from sb_core.records import Fetched, Record, TopicPartition
from sb_core.topics import TopicSpec, partition_of

POLL_S: Final = 0.075
"""How often a waiting reader looks for what other processes have appended."""

_ROW_BYTES: Final = 100

T = TypeVar("T")


class SqliteLog:
    """Log and LogAdmin on SQLite; made by `open_sqlite_log`."""

    poll_s = POLL_S

    def __init__(self, path: str, clock: Clock) -> None:
        if path == ":memory:":
            raise ContractError("a log in memory is open_memory_log's")
        self.path = path
        self._clock = clock
        self._writer = connect(path, synchronous="FULL")
        try:
            migrate(self._writer, LOG_SCHEMA)
            with mapped_errors("compaction"):
                for topic in file.catalogue(self._writer).values():
                    for partition in topic.ids if topic.spec.compacted else ():
                        file.compact(self._writer, partition)
            self._reader = connect(path, synchronous="FULL")  # of the loop: small reads, inline
            self._asker = connect(path, synchronous="FULL")  # of a thread: what may take longer
        except BaseException:
            self._writer.close()
            raise
        self._appender = file.Appender(self._writer)
        self._in_writer = anyio.CapacityLimiter(1)
        self._in_asker = anyio.CapacityLimiter(1)
        self._group_writer = GroupWriter[Planned](self._write)
        self._topics: dict[str, Topic] = {}
        self._bounds: dict[int, tuple[int, int]] = {}
        self._tail = Tail()
        self._readers = Readers()
        self._version = -1
        self._polled_at = -1.0
        self._closed = False
        self._learn_topics()

    def __repr__(self) -> str:
        """Tell where it is and what waits."""
        return f"<SqliteLog {self.path} {self._group_writer!r}{' CLOSED' if self._closed else ''}>"

    async def append(self, records: Sequence[Record], counts: Mapping[str, int] | None = None) -> Sequence[int]:
        """Append, as ports.Log says. Cancelled, its outcome is unknown. Raises ContractError for an unknown topic."""
        self._check_open()
        rows = [(self._place(record), record) for record in records]
        planned = Planned(rows, counts or {}, {})
        if not rows and not planned.counts:
            await anyio.lowlevel.checkpoint()
            return []
        await self._group_writer.put(planned, sum(len(r.value or b"") for r in records) + _ROW_BYTES * len(records))
        return planned.offsets

    def reader(self, topics: Sequence[str], group: str | None = None) -> LogReader:
        """Return a reader of these topics. Raises ContractError for an unknown topic."""
        self._check_open()
        wanted = tuple((name, n) for name in topics for n in range(len(self._topic(name).ids)))
        reader = LogReader(self, topics, group, Membership(wanted))
        self._readers.attach(reader)
        self._refresh([self._topics[name].ids[n] for name, n in wanted])  # of topics that nobody read they may be old
        return reader

    async def account(self) -> Mapping[str, int]:
        """Return the counts so far."""
        return await self._ask("account", file.account)

    async def ping(self) -> None:
        """Raise UnavailableError unless the file answers."""
        await self._ask("ping", lambda connection: connection.execute("SELECT count(*) FROM topics").fetchone())

    async def create(self, specs: Sequence[TopicSpec]) -> None:
        """Make topics that are missing. Raises ContractError when one has another number of partitions."""
        self._check_open()
        await self._change("create topics", file.create, specs)
        self._learn_topics()

    async def grow(self, specs: Sequence[TopicSpec]) -> None:
        """Add partitions to topics. Raises ContractError for one that has more, or isn't there."""
        self._check_open()
        await self._change("grow topics", file.grow, specs)
        self._learn_topics()

    async def topics(self) -> Mapping[str, TopicSpec]:
        """Return all topics as they were made."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        return {name: topic.spec for name, topic in self._topics.items()}

    async def partitions(self, topic: str) -> int:
        """Return a topic's number of partitions. Raises ContractError when there is no such topic."""
        await anyio.lowlevel.checkpoint()
        return len(self._topic(topic).ids)

    async def starts(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the oldest kept offsets."""
        return {place: bounds[0] for place, bounds in (await self._ask_bounds(topics)).items()}

    async def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the offsets that the next records will get."""
        return {place: bounds[1] for place, bounds in (await self._ask_bounds(topics)).items()}

    async def offsets_at(self, topics: Sequence[str], ts: int) -> Mapping[TopicPartition, int]:
        """Return each partition's first offset whose ts is `ts` or later, its end when there is none."""
        places = self._places(topics)
        return await self._ask(
            "offsets", lambda connection: {p: file.offset_at(connection, n, ts) for p, n in places.items()}
        )

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """Return a group's committed offsets."""
        return await self._ask("committed", file.committed, group)

    async def members(self, group: str) -> int:
        """Return how many share a group in this process."""
        await anyio.lowlevel.checkpoint()
        return self._readers.members(group)

    async def prune(self, now_ms: int) -> int:
        """Drop records older than their topic's retention, and all but the newest per key of compacted topics."""
        dropped = 0
        for topic in tuple(self._topics.values()):
            retention_ms = topic.spec.retention_ms
            for partition in topic.ids:
                self._check_open()
                if topic.spec.compacted:
                    dropped += await self._change("compact", file.compact, partition)
                elif retention_ms is not None:
                    while pruned := await self._change("prune", file.prune, partition, now_ms - retention_ms):
                        dropped += pruned
                    self._refresh((partition,))
        return dropped

    async def aclose(self) -> None:
        """Write what waits, then close."""
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        with anyio.CancelScope(shield=True):
            self._closed = True
            self._readers.wake()
            await self._group_writer.aclose()
            async with self._in_writer, self._in_asker:
                for connection in (self._reader, self._asker, self._writer):
                    connection.close()

    # What a reader needs.

    def bounds(self, partition: TopicPartition, *, fresh: bool = False) -> tuple[int, int]:
        """Return (oldest kept offset, end), as last seen or as of now."""
        number = self._topics[partition[0]].ids[partition[1]]
        if fresh:
            self._refresh((number,))
        return self._bounds[number]

    def fetch(self, partition: TopicPartition, offset: int, records_max: int, bytes_max: int) -> Sequence[Fetched]:
        """Return records from `offset` on, at least one if there is one."""
        self._check_open()
        topic = self._topics[partition[0]]
        number = topic.ids[partition[1]]
        found = self._tail.get(number, offset, records_max, bytes_max)
        if found:
            return found
        # Not beyond the end as last seen: what is committed but not published yet comes with its publication.
        start, end = self._bounds[number]
        with mapped_errors("read"):
            found = file.fetch(self._reader, partition, number, (offset, end), records_max, bytes_max)
        if not topic.spec.compacted and (not found or found[0].offset != offset):
            start, end = self.bounds(partition, fresh=True)  # pruned since
            raise outside(partition, offset, start, end)
        return found

    def poll(self) -> None:
        """Look, if it wasn't done just now, whether another process has appended or pruned."""
        self._check_open()
        now = anyio.current_time()
        if now - self._polled_at < POLL_S * 0.9:  # one look for all readers
            return
        self._polled_at = now
        with mapped_errors("poll"):
            version = self._reader.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._refresh([n for name in self._readers.topics for n in self._topics[name].ids])
            self._readers.wake()

    async def store_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep a group's offsets, together with what else is being written."""
        self._check_open()
        commits = {(group, place): offset for place, offset in offsets.items()}
        await self._group_writer.put(Planned([], {}, commits), _ROW_BYTES * len(commits))

    def detach(self, reader: LogReader) -> None:
        """Forget a reader; its group shares out anew."""
        self._readers.detach(reader)

    # Writing.

    async def _write(self, group: list[Planned]) -> None:
        await self._change("append", lambda _connection: self._appender.write(group))
        for planned in group:
            self._publish(planned)

    def _publish(self, planned: Planned) -> None:
        """Let readers see what was committed."""
        fresh: dict[int, list[Fetched]] = {}
        topics: dict[str, None] = {}
        for (partition, record), offset in zip(planned.rows, planned.offsets, strict=True):
            if record.topic in self._readers.topics:
                topics[record.topic] = None
                number = self._numbers[partition]
                fresh.setdefault(partition, []).append(
                    Fetched(record.topic, number, offset, record.key, record.value, record.ts, record.headers)
                )
        for partition, records in fresh.items():
            self._tail.add(partition, records)
            start, end = self._bounds[partition]
            self._bounds[partition] = start, max(end, records[-1].offset + 1)
        self._readers.wake_topics(topics)

    def _place(self, record: Record) -> int:
        ids = self._topic(record.topic).ids
        if record.partition is None:
            # keys of a topic with one partition (dead letters) are of no use to anybody again: none is to be remembered
            return ids[0] if len(ids) == 1 else ids[partition_of(record.key, len(ids))]
        if not 0 <= record.partition < len(ids):
            raise ContractError(f"{record.topic} has {len(ids)} partitions, not one numbered {record.partition}")
        return ids[record.partition]

    # Running.

    async def _change(self, what: str, work: Callable[..., T], *args: Any) -> T:
        with mapped_errors(what):
            return await anyio.to_thread.run_sync(partial(work, self._writer, *args), limiter=self._in_writer)

    async def _ask(self, what: str, work: Callable[..., T], *args: Any) -> T:
        self._check_open()
        with mapped_errors(what):
            return await anyio.to_thread.run_sync(partial(work, self._asker, *args), limiter=self._in_asker)

    async def _ask_bounds(self, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
        places = self._places(topics)
        found = await self._ask("bounds", file.bounds, tuple(places.values()))
        return {place: found[partition] for place, partition in places.items()}

    def _refresh(self, partitions: Sequence[int]) -> None:
        with mapped_errors("bounds"):
            self._bounds.update(file.bounds(self._reader, partitions))

    def _learn_topics(self) -> None:
        with mapped_errors("topics"):
            self._topics = file.catalogue(self._reader)
        self._numbers = {each: n for topic in self._topics.values() for n, each in enumerate(topic.ids)}

    def _topic(self, name: str) -> Topic:
        if name not in self._topics:
            self._learn_topics()  # another process may have made it
        if name not in self._topics:
            raise ContractError(f"there is no topic {name!r}")
        return self._topics[name]

    def _places(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        return {(name, number): n for name in topics for number, n in enumerate(self._topic(name).ids)}

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the log is closed")


@asynccontextmanager
async def open_sqlite_log(path: str, clock: Clock) -> AsyncIterator[SqliteLog]:
    """Open a log, making its file when missing. Raises UnavailableError, ContractError (newer schema)."""
    log = SqliteLog(path, clock)
    try:
        yield log
    finally:
        await log.aclose()
