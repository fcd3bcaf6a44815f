"""Appends of the Kafka log, and the record batches that a group of them becomes.

The rules: per partition an append is in one record batch, so it is there whole or not at all; batches of a partition
are in order of the appends; the account comes last, so that counts never precede what they count.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sb_core.errors import ContractError, UnavailableError, UnknownOutcomeError
from sb_core.records import Record, TopicPartition

BATCH_BYTES_MAX: Final = 1024 * 1024
"""A record batch is closed by the append that passes this."""
RECORD_BYTES_MAX: Final = 31 * 1024 * 1024
"""What one record, and one append to one partition, may have."""
MESSAGE_BYTES_MAX: Final = 32 * 1024 * 1024
"""What the topics take as one record batch."""
REQUEST_BYTES_MAX: Final = 64 * 1024 * 1024
"""What goes into one produce request; brokers take 100 MiB."""
RECORD_OVERHEAD_BYTES: Final = 100

Row = tuple[int, bytes, bytes | None, list[tuple[str, bytes]]]
"""A record as the driver takes it: ts, key, value, headers."""


class Part:
    """One record batch. `base` is its first offset once it is acknowledged, `error` why it isn't."""

    __slots__ = ("base", "builder", "count", "error", "place", "size")

    def __init__(self, place: TopicPartition, builder: Any) -> None:
        self.place = place
        self.builder = builder
        self.count = 0
        self.size = 0
        self.base = -1
        self.error: str | None = "not sent"


class Append:
    """One append on its way: its records with their places, and where each of them went."""

    __slots__ = ("counts", "done", "rows", "sent", "size", "spots")

    def __init__(self, places: Sequence[TopicPartition], records: Sequence[Record], counts: Mapping[str, int]) -> None:
        try:
            rows = [(record.ts, record.key.encode(), record.value, list(record.headers)) for record in records]
        except UnicodeEncodeError as error:
            raise ContractError(f"a key is no text: {error}") from error
        self.rows: list[tuple[TopicPartition, Row]] = list(zip(places, rows, strict=True))
        self.counts = counts
        self.size = sum(len(record.value or b"") + RECORD_OVERHEAD_BYTES for record in records)
        self.sent = False
        self.spots: list[tuple[Part, int]] = []
        self.done: asyncio.Future[list[int]]

    def answer(self, account: Part | None) -> None:
        """Give the offsets, or say that it isn't known what became of it."""
        errors = [part.error for part, _ in self.spots if part.error is not None]
        if self.counts and account is not None and account.error is not None:
            errors.append(account.error)
        if errors:
            self.fail(UnknownOutcomeError(f"Kafka, append: {errors[0]}"))
        elif not self.done.done():
            self.done.set_result([part.base + n for part, n in self.spots])

    def fail(self, error: Exception) -> None:
        """Answer with an error, if there is no answer yet."""
        if not self.done.done():
            self.done.set_exception(error)


class Group:
    """Record batches of some appends, to be sent request by request."""

    def __init__(self, create: Callable[[], Any], prefix: str) -> None:
        self._create = create
        self._prefix = prefix
        self._parts: dict[TopicPartition, list[Part]] = {}
        self.account: Part | None = None

    def add(self, append: Append) -> None:
        """Put an append's records into batches."""
        for own in self._parts.values():
            if own[-1].size >= BATCH_BYTES_MAX:
                own[-1].builder.close()
        prefix = self._prefix
        for (topic, number), row in append.rows:
            append.spots.append(self._put((prefix + topic, number), row))

    def add_account(self, place: TopicPartition, row: Row) -> None:
        """Put the account's record into a batch of its own."""
        self.account = Part((self._prefix + place[0], place[1]), self._create())
        _append(self.account, row)

    def requests(self) -> list[list[Part]]:
        """Return what goes together: a batch a partition, within REQUEST_BYTES_MAX unless one alone is larger."""
        made: list[list[Part]] = []
        depth = max((len(each) for each in self._parts.values()), default=0)
        for n in range(depth):
            size = REQUEST_BYTES_MAX
            for own in self._parts.values():
                if n >= len(own):
                    continue
                if size + own[n].size > REQUEST_BYTES_MAX:
                    made.append([])
                    size = 0
                made[-1].append(own[n])
                size += own[n].size
        if self.account is not None:
            if not made:
                made.append([])
            made[-1].append(self.account)
        return made

    def _put(self, place: TopicPartition, row: Row) -> tuple[Part, int]:
        own = self._parts.setdefault(place, [])
        if not own or not _append(own[-1], row):
            own.append(Part(place, self._create()))
            if not _append(own[-1], row):
                raise UnavailableError("an empty record batch takes no record")
        return own[-1], own[-1].count - 1


def _append(part: Part, row: Row) -> bool:
    timestamp, key, value, headers = row
    if part.builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
        return False
    part.count += 1
    part.size += len(value or b"") + RECORD_OVERHEAD_BYTES
    return True
