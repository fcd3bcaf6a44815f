"""Planted bugs: each takes one protection away from the services, so that the oracle can be seen to notice.

The rule: a plant is a patch made here and taken back after the seed; the product knows nothing of it. A name that is no
longer there fails loudly, so that a plant can't quietly become none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msgspec.structs import replace
from sim_bugs_fold import FOLD_PLANTS
from sim_bugs_readers import READER_PLANTS

from sb_core.adapters import sqlite_writes
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.sqlite_queries import position
from sb_core.adapters.sqlite_store import SqliteStore
from sb_core.records import Batch, CacheEntry
from sb_distribute.state import NodeState
from sb_ingest.intake import Intake
from sb_process import book, draft
from sb_process.batches import Batches
from sb_process.held import Held
from sb_process.processor import Processor
from sb_process.state import NO_IDS

Patch = tuple[Any, str, Any]


def _answer(value: Any) -> Callable[..., Any]:
    return lambda *_args, **_kwargs: value


def _later(value: Any) -> Callable[..., Any]:
    async def answer(*_args: object, **_kwargs: object) -> Any:
        return value

    return answer


def fence_ignored() -> list[Patch]:
    """The transaction writes whoever asks: epoch, owner and expected offset are not compared."""
    real = sqlite_writes.commit

    def commit(connection: Any, batch: Batch) -> None:
        found = position(connection, (batch.topic, batch.partition))
        assert found is not None
        real(
            connection, replace(batch, epoch=found.epoch, owner=found.owner, expected=found.next_offset, done_before=0)
        )

    return [(sqlite_writes, "commit", commit)]


def memory_kept_over_a_fence() -> list[Patch]:
    """What a processor remembers of a partition outlives its loss."""
    remembered: dict[tuple[int, int], Any] = {}
    assign, adopt = Processor._assign, Batches._adopt

    def keep(self: Batches, held: Held, *given: Any) -> Any:
        remembered[id(self), held.partition] = held.folds
        return adopt(self, held, *given)

    async def claim(self: Processor, reader: Any, place: tuple[str, int]) -> None:
        await assign(self, reader, place)
        self.held[place[1]].folds.update(remembered.get((id(self._batches), place[1]), {}))

    return [(Batches, "_adopt", keep), (Processor, "_assign", claim)]


def memory_adopted_before_commit() -> list[Patch]:
    """Memory follows the plan at once, and a commit that is refused is planned again upon that memory."""
    commit, commit_batch = Batches.commit, Batches._commit_batch
    tries: set[int] = set()

    async def adopt_first(self: Batches, held: Held, plan: Any) -> None:
        held.folds.update(plan.folds)
        if plan.folds and id(plan) not in tries and "store" in _down(self):
            tries.add(id(plan))
            raise _AgainError
        await commit(self, held, plan)

    async def again(self: Batches, *given: Any) -> Any:
        try:
            return await commit_batch(self, *given)
        except _AgainError:
            return await commit_batch(self, *given)

    return [(Batches, "commit", adopt_first), (Batches, "_commit_batch", again)]


class _AgainError(Exception):
    """A commit that was refused."""


def _down(batches: Batches) -> set[str]:
    store: Any = batches._context.store
    return store._wire.weather.down


def outbox_not_republished() -> list[Patch]:
    """An assignment goes on at the position, whatever was not published below it."""
    return [(Processor, "_republish", _later(None))]


def done_offset_too_early() -> list[Patch]:
    """The position says that a batch was published when it was only committed."""
    real = Batches._adopt

    def adopt(self: Batches, held: Held, *given: Any) -> Any:
        share = real(self, held, *given)
        held.published, held.published_changes = share.upto, held.published_changes + share.changes
        return share

    return [(Batches, "_adopt", adopt), (Processor, "_done", _answer(None))]


def unknown_commit_taken_for_done() -> list[Patch]:
    """A lost reply means that it happened."""
    return [(Batches, "_committed", _later(True))]


def fenced_partition_dropped() -> list[Patch]:
    """A partition that a fence took away is not claimed again."""
    return [(Processor, "_claim_again", _later(None))]


def duplicates_not_recognised() -> list[Patch]:
    """The ids of an event's last messages are not looked at."""
    real = book.apply

    def apply(fold: Any, message: Any, at: int, rules: Any) -> Any:
        return real(replace(fold, ids=NO_IDS), message, at, rules)

    return [(book, "apply", apply)]


def floors_ignored() -> list[Patch]:
    """A bet stop closes nothing that is priced later or known later, however old the price."""
    return [(draft, "stopped", _answer(None))]


def listings_forgotten() -> list[Patch]:
    """A producer's state reaches only the events in memory."""
    return [(SqliteStore, "listing", _later(()))]


def cache_generation_not_raised() -> list[Patch]:
    """A cache that missed a put is read as before."""
    return [(Processor, "_cache_failed", _later(None))]


def cache_without_versions() -> list[Patch]:
    """Whoever puts last wins, late writers included."""

    async def put(self: MemoryCache, entries: Sequence[CacheEntry]) -> None:
        for entry in entries:
            self._entries[entry.generation, entry.event] = entry

    return [(MemoryCache, "put", put)]


def accepted_before_durable() -> list[Patch]:
    """A request is answered 202 though its append failed."""
    real = Intake._append

    async def append(self: Intake, *args: Any) -> None:
        await real(self, *args)

    return [(Intake, "_append", append)]


def ring_that_ends_taken_for_whole() -> list[Patch]:
    """A resume takes what the ring has for all that there was."""
    real = NodeState.since
    return [(NodeState, "since", lambda self, index, at: real(self, index, at) or iter(()))]


def loaded_ahead_taken_for_sent() -> list[Patch]:
    """A resume takes for known to the client what the node loaded before its update was published."""
    return [(NodeState, "ahead", _answer(False))]


PLANTS: Final[Mapping[str, tuple[Callable[[], list[Patch]], int]]] = {
    **FOLD_PLANTS,
    **READER_PLANTS,
    "fence_ignored": (fence_ignored, 40),
    "memory_kept_over_a_fence": (memory_kept_over_a_fence, 40),
    "memory_adopted_before_commit": (memory_adopted_before_commit, 40),
    "outbox_not_republished": (outbox_not_republished, 40),
    "done_offset_too_early": (done_offset_too_early, 40),
    "unknown_commit_taken_for_done": (unknown_commit_taken_for_done, 1000),
    "fenced_partition_dropped": (fenced_partition_dropped, 40),
    "duplicates_not_recognised": (duplicates_not_recognised, 40),
    "floors_ignored": (floors_ignored, 40),
    "listings_forgotten": (listings_forgotten, 40),
    "cache_generation_not_raised": (cache_generation_not_raised, 40),
    "cache_without_versions": (cache_without_versions, 1000),
    "accepted_before_durable": (accepted_before_durable, 40),
    "ring_that_ends_taken_for_whole": (ring_that_ends_taken_for_whole, 40),
    "loaded_ahead_taken_for_sent": (loaded_ahead_taken_for_sent, 1000),
}
"""By name: the plant, and within how many seeds it must be found."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug for as long as this lasts."""
    patches = PLANTS[name][0]()
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)
