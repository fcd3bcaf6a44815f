"""Planted bugs in what is around the fold: publishing, nodes, clients, ingest, liveness."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from sb_core import client_frames, topics
from sb_core.client_frames import Followed
from sb_core.errors import UnknownOutcomeError
from sb_core.records import Record
from sb_distribute import conflate
from sb_distribute import cursor as cursors
from sb_distribute.clocks import Freshness
from sb_distribute.loader import Loader
from sb_distribute.node import Node
from sb_distribute.state import NodeState, _Track
from sb_distribute.subscriptions import Subscription
from sb_ingest import producers
from sb_ingest.intake import Intake
from sb_process import batches, publish
from sb_process.batches import Batches
from sb_process.held import Held
from sb_process.publish import Published, Publisher

Patch = tuple[Any, str, Any]


class _Deaf:
    """A log that takes every failure of an append for success."""

    def __init__(self, log: Any, *ignored: type[Exception]) -> None:
        self._log = log
        self._ignored = ignored

    async def append(self, records: Any, counts: Any = None) -> Any:
        try:
            return await self._log.append(records, counts)
        except self._ignored:
            return ()


def unknown_append_taken_for_done() -> list[Patch]:
    """Updates whose append has an unknown outcome are not appended again."""
    real = Publisher._publish

    async def publish_once(self: Publisher, cycle: Any) -> None:
        log, self._log = self._log, _Deaf(self._log, UnknownOutcomeError)  # type: ignore[assignment]
        try:
            await real(self, cycle)
        finally:
            self._log = log

    return [(publish.Publisher, "_publish", publish_once)]


def dead_letter_lost() -> list[Patch]:
    """What a processor can't read is counted, and not kept."""
    real = batches.planning.Planner.plan

    def plan(self: Any, *given: Any) -> Any:
        self.dead = []
        return real(self, *given)

    return [(batches.planning.Planner, "plan", plan)]


def tick_before_its_updates() -> list[Patch]:
    """A tick is passed on one batch too early."""
    real = Batches._adopt

    def adopt(self: Batches, held: Held, *given: Any) -> Published:
        share = real(self, held, *given)
        ticks = [each for each in share.updates if each.key == "tick"]
        return replace(share, updates=[*ticks, *(each for each in share.updates if each.key != "tick")])

    return [(Batches, "_adopt", adopt)]


def share_of_an_earlier_epoch_counts() -> list[Patch]:
    """What was published for the holding before counts for the one after it."""

    def acknowledge(self: Held, share: Published) -> None:
        self.published = share.upto
        self.published_changes += share.changes

    return [(Held, "acknowledge", acknowledge)]


def published_counted_again() -> list[Patch]:
    """Changes published are counted with every transaction that follows."""
    real = Batches.commit

    async def commit(self: Batches, held: Held, plan: Any) -> None:
        before = held.published_changes
        await real(self, held, plan)
        held.published_changes = before

    return [(Batches, "commit", commit)]


def settling_taken_for_done() -> list[Patch]:
    """A transaction that only settles the position counts as done when its reply was lost."""
    real = Batches._committed

    async def committed(self: Batches, held: Held, batch: Any) -> bool:
        return batch.next_offset == batch.expected or await real(self, held, batch)

    return [(Batches, "_committed", committed)]


def resume_begins_too_late() -> list[Patch]:
    """A resume passes over the first change after the cursor."""
    real = NodeState.since
    return [(NodeState, "since", lambda self, index, at: real(self, index, at + 2))]


def ring_trimmed_unnoticed() -> list[Patch]:
    """The ring forgets its oldest changes and takes itself for whole."""
    real = _Track.add

    def add(self: _Track, change: Any) -> None:
        full, whole_from = len(self.ring) == self.ring.maxlen, self.ring_from
        real(self, change)
        if full and whole_from is not None:
            self.ring_from = whole_from

    return [(_Track, "add", add)]


def closed_dropped() -> list[Patch]:
    """What was shut between two revs that are merged is not told."""
    real = conflate.Merged.changes
    return [(conflate.Merged, "changes", lambda self: replace(real(self), closed=[]))]


def last_change_for_all() -> list[Patch]:
    """Of the changes that wait for a slow client only the last one is sent."""
    return [(conflate, "merge", lambda parts: list(parts)[-1])]


def staleness_not_said() -> list[Patch]:
    """A node that has read nothing for a while takes its picture for new."""
    return [(Node, "stale_since", lambda _self, _sport: None)]


def wall_clock_trusted() -> list[Patch]:
    """How old a picture is goes by the wall clock alone, whoever sets it."""

    def age_ms(self: Freshness, _sport: str, complete_to: int) -> int:
        return self._clock.now_ms() - complete_to

    return [(Freshness, "age_ms", age_ms)]


def older_than_seen_taken() -> list[Patch]:
    """What cache and store have is believed, whatever was seen before."""
    load, loaded = Loader.load, NodeState.loaded

    async def load_any(self: Loader, event: str, _at_least: Any) -> Any:
        return await load(self, event, (0, 0))

    def take(self: NodeState, event: Any) -> Any:
        self._seen.pop(event.event, None)
        self._least.pop(event.event, None)
        return loaded(self, event)

    return [(Loader, "load", load_any), (NodeState, "loaded", take)]


def seen_forgotten_at_a_new_beginning() -> list[Patch]:
    """A node that begins anew forgets how new what it has shown was."""
    return [(NodeState, "inherit", lambda _self, _before: None)]


def cursor_ahead_of_what_waits() -> list[Patch]:
    """A cursor says where the node stands, whatever still waits for the client."""

    def cursor(self: Subscription, picture: Any, now_ms: int) -> str:
        return cursors.write(self.digest, picture.position, self.indices, now_ms)

    return [(Subscription, "cursor", cursor)]


def cursor_kept_at_a_new_beginning() -> list[Patch]:
    """A client that was given a new beginning, and cut off in it, comes back with the cursor of before."""
    real = Followed.hear

    def hear(self: Followed, said: Any) -> Any:
        before = self.cursor
        happened = real(self, said)
        if isinstance(said, client_frames.Subscribed):
            self.cursor = before
        return happened

    return [(Followed, "hear", hear)]


def snapshot_always_taken() -> list[Patch]:
    """A client takes a snapshot for newer than what it has."""

    def keep(self: Followed, event: Any) -> None:
        self.events[event.event] = event

    return [(Followed, "_keep", keep)]


def silence_not_judged() -> list[Patch]:
    """A producer that says nothing is as it was."""
    return [(producers, "passed", lambda *_args, **_kwargs: ())]


def producers_told_in_part() -> list[Patch]:
    """A change of a producer's state misses the last partition of each feed."""
    real = Intake.append

    async def append(self: Intake, records: list[Record], counts: Any) -> None:
        kept = [
            each
            for each in records
            if each.partition != topics.PARTITIONS - 1 or not each.key.startswith("uof:") or not _system(each)
        ]
        missing = len(records) - len(kept)
        await real(self, kept, {**counts, "system:football": counts.get("system:football", 0) - missing})

    return [(Intake, "append", append)]


def _system(record: Record) -> bool:
    return b'"type":"producer"' in (record.value or b"")


def refused_without_dead_letter() -> list[Patch]:
    """What ingest refuses is named in its answer, and not kept."""
    real = Intake.append

    async def append(self: Intake, records: list[Record], counts: Any) -> None:
        await real(self, [each for each in records if each.topic != topics.DEAD_LETTER], counts)

    return [(Intake, "append", append)]


READER_PLANTS: Final[Mapping[str, tuple[Callable[[], list[Patch]], int]]] = {
    "unknown_append_taken_for_done": (unknown_append_taken_for_done, 40),
    "dead_letter_lost": (dead_letter_lost, 40),
    "tick_before_its_updates": (tick_before_its_updates, 40),
    "share_of_an_earlier_epoch_counts": (share_of_an_earlier_epoch_counts, 40),
    "published_counted_again": (published_counted_again, 40),
    "resume_begins_too_late": (resume_begins_too_late, 40),
    "ring_trimmed_unnoticed": (ring_trimmed_unnoticed, 40),
    "closed_dropped": (closed_dropped, 40),
    "last_change_for_all": (last_change_for_all, 40),
    "staleness_not_said": (staleness_not_said, 40),
    "cursor_ahead_of_what_waits": (cursor_ahead_of_what_waits, 1000),
    "cursor_kept_at_a_new_beginning": (cursor_kept_at_a_new_beginning, 1000),
    "silence_not_judged": (silence_not_judged, 1000),
    "producers_told_in_part": (producers_told_in_part, 40),
    "refused_without_dead_letter": (refused_without_dead_letter, 40),
}
UNPROVEN: Final = (
    older_than_seen_taken,
    seen_forgotten_at_a_new_beginning,
    wall_clock_trusted,
    snapshot_always_taken,
    settling_taken_for_done,
)
"""Not found so far (README.md says how long they were looked for)."""
