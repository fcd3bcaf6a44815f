"""The oracle: it knows what was accepted and what was published, and says at once when a promise is broken.

The rule: what it holds against the services is its own record, made at the ports; it never asks a service.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import trio
from simulation import Trace

from sb_core import shown, topics
from sb_core.records import Batch, Fetched, Position, Record, TopicPartition
from sb_core.shown import Event, Update

UPDATES = "sports-updates-"
FOOTBALL = topics.feed("football")


class Oracle:
    """What was seen at the ports. `broken` is set with the first violation."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.violations: list[str] = []
        self.broken = trio.Event()
        self.sometimes: Counter[str] = Counter()
        self.versions: dict[str, list[Event]] = {}
        """By event, the event as shown at each `rev`, by the updates topic alone; index 0 is the empty event."""
        self.bodies: dict[tuple[str, int], bytes] = {}
        self.fences: dict[TopicPartition, tuple[int, int]] = {}
        self.early: dict[tuple[str, int], list[tuple[str, Event]]] = {}
        """What readers had from the store before its update was published; judged when it is."""
        self.assigning: dict[str, bool] = {}
        """Processors that have claimed something and committed nothing since."""
        self.owners: dict[TopicPartition, str] = {}
        """Who claimed a feed partition last."""
        self.unpublished: dict[TopicPartition, tuple[int, int]] = {}
        self.ticked: dict[TopicPartition, int] = {}
        """By partition of the updates topics, the newest tick that was passed on (ms)."""
        self.outlived: set[TopicPartition] = set()
        """Partitions of which retention took what was not processed: they stop themselves, and only they."""
        self.raised: dict[TopicPartition, list[tuple[int, int]]] = {}
        """Of those, the ones that an operator let go on: by lineage from 2 on, where it stood and where it went on."""
        self.accepted: dict[str, str] = {}
        """By id, the event of every message that was answered 202."""

    def note(self, *words: object) -> None:
        self.trace.note(*words)

    def happened(self, what: str) -> None:
        self.sometimes[what] += 1

    def violated(self, what: str) -> None:
        self.trace.note("VIOLATION", what)
        self.violations.append(f"at {trio.current_time():.3f} s: {what}")
        self.broken.set()

    def expect(self, truth: bool, what: str) -> None:  # noqa: FBT001
        if not truth:
            self.violated(what)

    # what passes the ports

    def appended(self, process: str, records: Sequence[Record | Fetched]) -> None:
        """See an append: `rev`s are gapless once repeats are dropped, and repeats are the same bytes."""
        for first in records[:1]:
            self.note(process, "append", first.topic, len(records), first.key)
        for record in records:
            if record.topic.startswith(UPDATES):
                if record.key == "tick":
                    place = record.topic, record.partition or 0
                    self.ticked[place] = max(record.ts, self.ticked.get(place, 0))
                else:
                    self._update(process, record)
            elif record.partition == 0 and record.topic == FOOTBALL and b'"type":"producer"' in (record.value or b""):
                self.happened(f"producer_{msgspec.json.decode(record.value or b'')['state']}")

    def _update(self, process: str, record: Record | Fetched) -> None:
        if self.owners.get((record.topic.replace("updates", "feed"), record.partition or 0), process) != process:
            self.happened("published_after_takeover")
        body = record.value or b""
        update = shown.update_decoder.decode(body)
        versions = self.versions.setdefault(update.event, [shown.empty(update.event, update.sport)])
        name = f"{update.event} rev {update.rev}"
        if update.rev < len(versions):
            self.happened("update_repeated")
            self.expect(self.bodies[update.event, update.rev] == body, f"{name} was published twice with other content")
            return
        if update.rev != len(versions) or update.prev != update.rev - 1:
            self.violated(f"{name} was published after rev {len(versions) - 1}: a gap")
            return
        self.expect(
            record.partition == topics.partition_of(update.event), f"{name} went to partition {record.partition}"
        )
        self.bodies[update.event, update.rev] = body
        versions.append(shown.apply_changes(versions[-1], update))
        for who, event in self.early.pop((update.event, update.rev), ()):
            self.read(who, event)

    def claimed(self, process: str, position: Position) -> None:
        self.note(process, "claim", position.topic, position.partition, "epoch", position.epoch)
        self.assigning[process] = True
        self.owners[position.topic, position.partition] = process
        place, offsets = (position.topic, position.partition), (position.done_offset, position.next_offset)
        if offsets[0] < offsets[1] and self.unpublished.get(place) == offsets:
            self.happened("claimed_twice_before_done")
        self.unpublished[place] = offsets

    def committed(self, process: str, batch: Batch) -> None:
        """See a transaction: epochs never go back, and each goes on where the one before ended."""
        place = batch.topic, batch.partition
        self.assigning[process] = False
        self.note(process, "commit", *place, batch.expected, batch.next_offset, batch.done_offset)
        epoch, next_offset = self.fences.get(place, (0, 0))
        what = f"{process} committed {place} {batch.expected}..{batch.next_offset} in epoch {batch.epoch}"
        self.expect(batch.epoch >= epoch, f"{what} after epoch {epoch}")
        self.expect(batch.expected == next_offset, f"{what}, where it stood at {next_offset}")
        self.fences[place] = batch.epoch, batch.next_offset

    @property
    def standing(self) -> set[TopicPartition]:
        """Partitions that stopped themselves, and that nobody has let go on."""
        return self.outlived - self.raised.keys()

    @staticmethod
    def place_of(event: Event) -> TopicPartition:
        """Return the partition of the feed that an event is in."""
        return topics.feed(event.sport), topics.partition_of(event.event)

    def went_on(self, position: Position, stood: int) -> None:
        """See an operator raise a lineage."""
        place = position.topic, position.partition
        self.happened("lineage_raised")
        self.note(
            "operator", "raises", *place, "to lineage", position.lineage, "from", stood, "to", position.next_offset
        )
        self.raised.setdefault(place, []).append((stood, position.next_offset))
        self.fences[place] = position.epoch, position.next_offset

    def failed_over(self, positions: Sequence[Position]) -> None:
        """See that the store has lost its newest transactions, and stands here now."""
        self.happened("failover")
        self.note("store", "fails over")
        self.fences = {(each.topic, each.partition): (each.epoch, each.next_offset) for each in positions}

    # what readers are given

    def read(self, who: str, event: Event) -> None:
        """See an event as a reader has it: it is exactly the event at that `rev`."""
        versions = self.versions.get(event.event, ())
        if event.rev >= len(versions):
            self.early.setdefault((event.event, event.rev), []).append((who, event))
            return
        known = versions[event.rev]
        bare = msgspec.structs.replace(event, stale=False) if event.stale else event
        if bare != known:
            self.violated(f"{who} has another {event.event} at rev {event.rev}: {_difference(bare, known)}")

    def conflated(self, who: str, item: Update) -> None:
        """See several changes in one: what was shut on the way and is open at its end is named."""
        self.happened("conflated")
        versions = self.versions.get(item.event, ())
        if item.rev >= len(versions):
            return
        opened = [_open(version) for version in versions[item.prev : item.rev + 1]]
        shut = set().union(*(one - other for one, other in pairwise(opened))) & opened[-1]
        named = {(each.market, each.line) for each in item.changes.closed}
        if shut:
            self.happened("conflated_shut")
        if not shut <= named:
            self.violated(f"{who} was not told that {sorted(shut - named)} was shut before {item.event} rev {item.rev}")

    def complete_to(self, sport: str) -> int | None:
        """Return up to when (ms) what was published of a sport is complete; None where nobody said so yet."""
        ticks = [self.ticked.get((topics.updates(sport), n)) for n in range(topics.PARTITIONS)]
        return None if None in ticks else min(each for each in ticks if each is not None)


def _open(event: Event) -> set[tuple[str, str]]:
    return {(each.market, each.line) for each in event.markets if each.open}


def _difference(one: Event, other: Event) -> str:
    first, second = msgspec.to_builtins(one), msgspec.to_builtins(other)
    for name in first:
        if first[name] != second[name]:
            return f"{name} is {str(first[name])[:600]} and not {str(second[name])[:600]}"
    return "nothing shown"
