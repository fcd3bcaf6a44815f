"""The newest records of a log, in memory, so that readers who keep up never touch the disk.

The rules: what is here was committed; per partition it is one run of offsets without a hole; bounded in bytes, the
oldest go first.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final

from sb_core.records import Fetched

TAIL_BYTES_MAX: Final = 32 * 1024 * 1024
RECORD_OVERHEAD_BYTES: Final = 300
"""What a record costs in memory besides its value and its headers."""
HEADER_OVERHEAD_BYTES: Final = 150
"""What a header costs in memory besides its value: a tuple, and two objects."""


class _Run:
    """Consecutive chunks of one partition."""

    __slots__ = ("chunks", "end", "firsts")

    def __init__(self, first: int) -> None:
        self.firsts: list[int] = []
        self.chunks: list[Sequence[Fetched]] = []
        self.end = first


class Tail:
    """The newest records of all partitions, by partition id."""

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._runs: dict[int, _Run] = {}
        self._order: deque[tuple[int, int, int]] = deque()  # partition, first offset, bytes
        self._bytes = 0

    def __repr__(self) -> str:
        """Tell how full it is."""
        return f"<Tail {self._bytes} of {self.bytes_max} bytes>"

    def add(self, partition: int, records: Sequence[Fetched]) -> None:
        """Add committed records with consecutive offsets."""
        first = records[0].offset
        run = self._runs.get(partition)
        if run is None or run.end != first:
            # Another process has appended in between: begin anew. `_order` may still name what was dropped.
            run = self._runs[partition] = _Run(first)
        run.firsts.append(first)
        run.chunks.append(records)
        run.end = first + len(records)
        size = sum(len(record.value) for record in records if record.value is not None)
        size += len(records) * RECORD_OVERHEAD_BYTES
        # dead letters have a dozen of them, and little else
        size += sum(HEADER_OVERHEAD_BYTES + len(value) for record in records for _, value in record.headers)
        self._order.append((partition, first, size))
        self._bytes += size
        while self._bytes > self.bytes_max:
            self._drop_oldest()

    def get(self, partition: int, offset: int, records_max: int, bytes_max: int) -> Sequence[Fetched]:
        """Return records from `offset` on, none if that one isn't here; at least one if it is."""
        run = self._runs.get(partition)
        if run is None or not run.chunks or not run.firsts[0] <= offset < run.end:
            return ()
        found: list[Fetched] = []
        size = 0
        at = bisect_right(run.firsts, offset) - 1
        skip = offset - run.firsts[at]
        while at < len(run.chunks):
            for record in run.chunks[at][skip : skip + records_max - len(found)]:
                found.append(record)
                size += len(record.value or b"")
                if size >= bytes_max:
                    return found
            if len(found) >= records_max:
                return found
            at += 1
            skip = 0
        return found

    def _drop_oldest(self) -> None:
        partition, first, size = self._order.popleft()
        self._bytes -= size
        run = self._runs[partition]
        if run.firsts and run.firsts[0] == first:
            del run.firsts[0], run.chunks[0]
