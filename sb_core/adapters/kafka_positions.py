"""Where a reader of the Kafka log stands in each partition, and what was fetched for it but not yet delivered.

The rules: a position moves only when its record is delivered; what was fetched for an earlier seek is recognised and
dropped; partitions take turns, so that one with much doesn't starve the others.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from sb_core.adapters.log_reader import READ_BYTES_MAX
from sb_core.records import Fetched, TopicPartition


class Positions:
    """Positions of the partitions that were sought."""

    def __init__(self) -> None:
        self.at: dict[TopicPartition, int] = {}
        self._seeks: dict[TopicPartition, int] = {}
        self._fetched: dict[TopicPartition, deque[Any]] = {}
        self._first = 0

    def __repr__(self) -> str:
        waiting = sum(len(each) for each in self._fetched.values())
        return f"<Positions {self.at} waiting={waiting}>"

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Stand at an offset."""
        self.forget(partition)
        self.at[partition] = offset

    def forget(self, partition: TopicPartition) -> None:
        """Stand nowhere."""
        self.at.pop(partition, None)
        self._fetched.pop(partition, None)
        self._seeks[partition] = self._seeks.get(partition, 0) + 1

    def empty(self) -> dict[TopicPartition, int]:
        """Return the sought partitions of which nothing waits, each with the number of its seek."""
        return {each: self._seeks[each] for each in self.at if not self._fetched.get(each)}

    def arrived(self, partition: TopicPartition, seek: int, records: Iterable[Any]) -> None:
        """Keep what the client has fetched for a seek, unless there was another one since."""
        if partition in self.at and self._seeks[partition] == seek:
            self._fetched.setdefault(partition, deque()).extend(records)

    def take(self, partitions: Sequence[TopicPartition], records_max: int) -> list[Fetched]:
        """Take what waits, up to `records_max`; it ends with the record that passes READ_BYTES_MAX."""
        records: list[Fetched] = []
        bytes_left = READ_BYTES_MAX
        for i in range(len(partitions)):
            partition = partitions[(self._first + i) % len(partitions)]
            waiting = self._fetched.get(partition)
            while waiting and len(records) < records_max and bytes_left > 0:
                record = _fetched(partition, waiting.popleft())
                records.append(record)
                bytes_left -= len(record.value or b"")
                self.at[partition] = record.offset + 1
            if len(records) >= records_max or bytes_left <= 0:
                self._first = (self._first + i + 1) % len(partitions)
                break
        return records


def _fetched(partition: TopicPartition, record: Any) -> Fetched:
    return Fetched(
        topic=partition[0],
        partition=partition[1],
        offset=record.offset,
        key="" if record.key is None else record.key.decode(errors="replace"),
        value=record.value,
        ts=record.timestamp,
        headers=tuple((name, value or b"") for name, value in record.headers),
    )
