"""The reader of the embedded logs: positions, waiting and waking, over anything that can give records by offset.

The rule: a read changes its positions only in the step that returns, so a cancelled read loses nothing.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Final, Protocol

import anyio
import anyio.lowlevel

from sb_core.adapters.log_groups import Groups, Membership
from sb_core.errors import ContractError, FencedError, LogTruncatedError
from sb_core.records import Delivery, Fetched, TopicPartition

READ_BYTES_MAX: Final = 4 * 1024 * 1024
"""One read stops after the record that passes this many bytes of values."""

BEHIND_POLL_S: Final = 0.25
"""While there is more to read, other processes' appends are looked for so often: a partition that is read to its end must
not wait until all the others are."""


class Source(Protocol):
    """What a reader needs of its log. `poll_s` is how often to look for what other processes append, maybe never."""

    poll_s: float

    def bounds(self, partition: TopicPartition, *, fresh: bool = False) -> tuple[int, int]:
        """Return (oldest kept offset, end), as last seen or as of now."""

    def fetch(self, partition: TopicPartition, offset: int, records_max: int, bytes_max: int) -> Sequence[Fetched]:
        """Return records from `offset` on, at least one if there is one. Raises LogTruncatedError."""

    def poll(self) -> None:
        """Look whether another process has appended. Raises UnavailableError when closed."""

    async def store_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep a group's offsets."""

    def detach(self, reader: "LogReader") -> None:
        """Forget a reader."""


class LogReader:
    """A Reader of an embedded log."""

    def __init__(self, source: Source, topics: Sequence[str], group: str | None, member: Membership) -> None:
        self.topics = tuple(topics)
        self.group = group
        self.member = member
        self._source = source
        self._positions: dict[TopicPartition, int] = {}
        self._first = 0  # rotates, so that a partition with much doesn't starve the others
        self._wake = anyio.Event()
        self._poll_by = 0.0
        self._news = True
        """Whether there may be records that were not read: with 48 partitions, looking at each costs more than reading."""
        self._closed = False

    def __repr__(self) -> str:
        """Tell whose reader it is and where it stands."""
        return f"<LogReader {self.group or '-'} {','.join(self.topics)} at {self._positions}>"

    async def read(self, *, records_max: int, wait_s: float) -> Delivery:
        """Return what there is, waiting up to `wait_s` seconds for it. Raises LogTruncatedError."""
        await anyio.lowlevel.checkpoint()
        until = anyio.current_time() + wait_s
        polled = False
        while True:
            if self._closed:
                raise ContractError("reading a closed reader")
            self._wake = anyio.Event()
            if self.member.changed:
                return self._rebalanced()
            if anyio.current_time() >= self._poll_by:
                self._poll_by = anyio.current_time() + BEHIND_POLL_S
                self._source.poll()
            if self._news:
                records = self._take(records_max)
                if records:
                    return Delivery(records=records)
            if not polled:
                polled = True
                self._source.poll()
                continue
            left = until - anyio.current_time()
            if left <= 0:
                return Delivery()
            with anyio.move_on_after(min(left, self._source.poll_s)):
                await self._wake.wait()
            polled = False

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from `offset`, whose record is the next to be read. A partition that isn't held is left alone."""
        if partition in self.member.told:
            self._positions[partition] = offset
            self._news = True

    def pause(self, partition: TopicPartition) -> None:
        """Give nothing of the partition until it is sought again."""
        self._positions.pop(partition, None)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the group's offsets. Raises FencedError when a partition is not this member's any more."""
        if self.group is None:
            raise ContractError("a reader without a group has nothing to commit")
        lost = [partition for partition in offsets if partition not in self.member.held]
        if self._closed or lost:
            raise FencedError(f"{self.group}: {lost} are not this member's")
        await self._source.store_offsets(self.group, offsets)

    async def aclose(self) -> None:
        """Leave the group."""
        if not self._closed:
            self._closed = True
            self._source.detach(self)
            self.wake()
        await anyio.lowlevel.checkpoint()

    def wake(self) -> None:
        """Say that there may be something new, to a read that waits too."""
        self._news = True
        self._wake.set()

    def _take(self, records_max: int) -> list[Fetched]:
        partitions = self.member.told
        records: list[Fetched] = []
        moved: dict[TopicPartition, int] = {}
        bytes_left = READ_BYTES_MAX
        all_read = True
        for i in range(len(partitions)):
            partition = partitions[(self._first + i) % len(partitions)]
            position = self._positions.get(partition)
            if position is None:
                continue
            start, end = self._source.bounds(partition)
            if not start <= position <= end:
                # What was last seen may be older than what another process or a question about ends has told.
                start, end = self._source.bounds(partition, fresh=True)
                if not start <= position <= end:
                    raise outside(partition, position, start, end)
            if position == end:
                continue
            found = self._source.fetch(partition, position, records_max - len(records), bytes_left)
            # Compaction leaves holes, also at the end of what was asked for.
            moved[partition] = found[-1].offset + 1 if found else end
            records.extend(found)
            bytes_left -= sum(len(record.value) for record in found if record.value is not None)
            if moved[partition] != end:
                all_read = False
            if len(records) >= records_max or bytes_left <= 0:
                self._first = (self._first + i + 1) % len(partitions)
                all_read = False
                break
        self._positions.update(moved)
        self._news = not all_read
        return records

    def _rebalanced(self) -> Delivery:
        member = self.member
        revoked, member.told, member.changed = member.told, member.held, False
        self._positions = {}
        return Delivery(assigned=member.told, revoked=revoked)


class Readers:
    """All readers of one log in this process."""

    def __init__(self) -> None:
        self._readers: list[LogReader] = []
        self._groups = Groups()
        self.topics: dict[str, int] = {}
        """How many readers each topic has."""

    def attach(self, reader: LogReader) -> None:
        """Take a reader in, and give it its share of the partitions that it wants."""
        self._readers.append(reader)
        for topic in reader.topics:
            self.topics[topic] = self.topics.get(topic, 0) + 1
        if reader.group is None:
            reader.member.give(reader.member.wanted)
        else:
            self._wake_members(self._groups.join(reader.group, reader.member))

    def detach(self, reader: LogReader) -> None:
        """Forget a reader; its group shares out anew."""
        self._readers.remove(reader)
        for topic in reader.topics:
            self.topics[topic] -= 1
            if not self.topics[topic]:
                del self.topics[topic]
        if reader.group is not None:
            self._wake_members(self._groups.leave(reader.group, reader.member))

    def members(self, group: str) -> int:
        """Return how many share a group."""
        return self._groups.count(group)

    def wake(self) -> None:
        """Let everybody look again."""
        for reader in self._readers:
            reader.wake()

    def wake_topics(self, topics: Container[str]) -> None:
        """Let those who read any of these topics look again."""
        for reader in self._readers:
            if any(topic in topics for topic in reader.topics):
                reader.wake()

    def _wake_members(self, members: Sequence[Membership]) -> None:
        for reader in self._readers:
            if reader.member in members:
                reader.wake()


def outside(partition: TopicPartition, position: int, start: int, end: int) -> LogTruncatedError:
    """Make the error for a position that the log doesn't hold."""
    topic, number = partition
    return LogTruncatedError(f"{topic}/{number}: {position} is outside of {start}..{end}", partition)
