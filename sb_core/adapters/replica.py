"""A store whose reads go to a copy of the database where they may; all else goes to the primary.

The rules: what must be whole (positions, change log, accounts) or is written is the primary's; an event comes from the
copy only if it is not older than what was asked for, and what the copy doesn't hold, or doesn't answer, the primary does.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from sb_core.errors import DependencyError
from sb_core.ports import Store
from sb_core.records import (
    CompetitionRow,
    NamedQuery,
    ParticipantRow,
    ShownEvent,
    Version,
)

T = TypeVar("T")


class ReplicaStore:
    """A primary and its copy as one store. `served` counts the reads that the copy answered."""

    def __init__(self, primary: Store, replica: Store) -> None:
        self._replica = replica
        self._primary = primary
        self.served = 0
        self.claim = primary.claim
        self.load = primary.load
        self.listing = primary.listing
        self.listed = primary.listed
        self.commit = primary.commit
        self.outbox = primary.outbox
        self.raise_cache_generation = primary.raise_cache_generation
        self.raise_lineage = primary.raise_lineage
        self.repartition = primary.repartition
        self.positions = primary.positions
        self.account = primary.account
        self.history = primary.history
        self.changes = primary.changes
        self.events = primary.events
        self.prune = primary.prune
        self.ping = primary.ping

    def __repr__(self) -> str:
        return f"<ReplicaStore {self._primary!r} copy={self._replica!r} served={self.served}>"

    async def event(self, event: str, at_least: Version | None = None) -> ShownEvent | None:
        """Return an event, from the copy if that has it at `at_least`; without that from the primary."""
        if at_least is not None:
            found = await self._ask(partial(self._replica.event, event))
            if found is not None and (found.lineage, found.rev) >= at_least:
                self.served += 1
                return found
        return await self._primary.event(event)

    async def participants(self, query: NamedQuery) -> Sequence[ParticipantRow]:
        """Return participants by id, as the copy has them."""
        found = await self._ask(partial(self._replica.participants, query))
        return await self._primary.participants(query) if found is None else self._served(found)

    async def participant(self, participant: str) -> ParticipantRow | None:
        """Return one participant, as the copy has it."""
        found = await self._ask(partial(self._replica.participant, participant))
        return await self._primary.participant(participant) if found is None else self._served(found)

    async def competitions(self, query: NamedQuery) -> Sequence[CompetitionRow]:
        """Return competitions by id, as the copy has them."""
        found = await self._ask(partial(self._replica.competitions, query))
        return await self._primary.competitions(query) if found is None else self._served(found)

    async def aclose(self) -> None:
        """Close both."""
        await self._replica.aclose()
        await self._primary.aclose()

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await ask()
        except DependencyError:
            return None  # the primary knows as well

    def _served(self, found: T) -> T:
        self.served += 1
        return found
