"""What is asked of a store, for every engine: each call is one query or one transaction of the engine's own modules.

The rule: the engines differ in how a call gets to the database, which is theirs to say (`_read`, `_write`), and in the
statements; not in what can be asked. What the modules' functions return is held by one contract suite for all.
"""

# mypy: disable-error-code="no-any-return"

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sb_core.records import (
    Batch,
    ChangeRow,
    CompetitionRow,
    EventQuery,
    NamedQuery,
    ParticipantRow,
    Position,
    ShownEvent,
    StoredEvent,
    TopicPartition,
    Version,
)


class StoreCalls(ABC):
    """The part of ports.Store that is the same for all engines."""

    _queries: ClassVar[Any]
    _writes: ClassVar[Any]
    """The engine's modules."""

    @abstractmethod
    async def _read(self, what: str, work: Callable[..., Any], *args: Any) -> Any:
        """Have a query run; `what` names it in errors."""

    @abstractmethod
    async def _write(self, what: str, work: Callable[..., Any], *args: Any) -> Any:
        """Have a transaction run. Raises UnavailableError where it was not, UnknownOutcomeError where nobody can tell."""

    async def claim(self, partition: TopicPartition, owner: str) -> Position:
        """Become the owner of a partition and return where it stands."""
        return await self._write("claim", self._writes.claim, partition, owner)

    async def load(self, events: Sequence[str]) -> Mapping[str, StoredEvent]:
        """Return the fold's state of those events that are there."""
        return await self._read("load", self._queries.load, events)

    async def listing(self, partition: TopicPartition, producer: str) -> Sequence[str]:
        """Return the events of a partition that list a producer, ordered by event."""
        return await self._read("listing", self._queries.listing, partition, producer)

    async def listed(self, partition: TopicPartition, after: str, limit: int) -> Sequence[str]:
        """Return the events of a partition that list any producer, ordered, those beyond `after`."""
        return await self._read("listed", self._queries.listed, partition, after, limit)

    async def commit(self, batch: Batch) -> None:
        """Write a batch, all or nothing. Raises FencedError, UnavailableError or UnknownOutcomeError."""
        await self._write("commit", self._writes.commit, batch)

    async def outbox(self, partition: TopicPartition, start: int, end: int) -> Sequence[ChangeRow]:
        """Return a partition's changes with start <= offset < end, ordered by offset and event."""
        return await self._read("outbox", self._queries.outbox, partition, start, end)

    async def raise_cache_generation(self, partition: TopicPartition, epoch: int, owner: str, by: int) -> int:
        """Return the partition's new cache generation. Raises FencedError."""
        return await self._write("cache generation", self._writes.raise_cache_generation, partition, epoch, owner, by)

    async def raise_lineage(self, partition: TopicPartition, next_offset: int, above: int = 0, by: int = 1) -> int:
        """Go on from `next_offset` with a new lineage, also above `above`; return it. The owner must claim again."""
        return await self._write("lineage", self._writes.raise_lineage, partition, next_offset, above, by)

    async def repartition(self, topic: str, lineage: int, states: Sequence[bytes], by: int = 1) -> None:
        """Go on with as many partitions as there are states, each in its own; new ones begin at offset 0.

        All have the lineage and a new cache generation and must be claimed again; listings go where names lead now.
        """
        await self._write("repartition", self._writes.repartition, topic, lineage, states, by)

    async def positions(self, topics: Sequence[str]) -> Sequence[Position]:
        """Return the positions of these topics, ordered by topic and partition."""
        return await self._read("positions", self._queries.positions, topics)

    async def account(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Return the counts of these topics, added by name."""
        return await self._read("account", self._queries.account, topics)

    async def event(self, event: str, at_least: Version | None = None) -> ShownEvent | None:  # noqa: ARG002  there is no copy
        """Return a whole event as shown."""
        return await self._read("event", self._queries.event, event)

    async def events(self, query: EventQuery) -> Sequence[bytes]:
        """Return headers (JSON) by start (unknown first), then event. `start_from` <= start < `start_to`."""
        return await self._read("events", self._queries.events, query)

    async def history(self, event: str, from_rev: int, limit: int) -> Sequence[ChangeRow]:
        """Return an event's changes from `from_rev` on, ascending."""
        return await self._read("history", self._queries.history, event, from_rev, limit)

    async def changes(self, partition: TopicPartition, start: int, limit: int) -> Sequence[ChangeRow]:
        """Return changes from offset `start` on: `limit`, and those that share the last one's offset."""
        return await self._read("changes", self._queries.changes, partition, start, limit)

    async def participants(self, query: NamedQuery) -> Sequence[ParticipantRow]:
        """Return participants by id."""
        return await self._read("participants", self._queries.participants, query)

    async def participant(self, participant: str) -> ParticipantRow | None:
        """Return one participant."""
        return await self._read("participant", self._queries.participant, participant)

    async def competitions(self, query: NamedQuery) -> Sequence[CompetitionRow]:
        """Return competitions by id."""
        return await self._read("competitions", self._queries.competitions, query)
