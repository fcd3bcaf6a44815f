"""What a node knows: live events with their markets, recent changes, and how new what it has seen of every event is.

The rules: an event held is the sum of all its changes up to its (lineage, rev); a change that doesn't follow makes the
event `wanted` instead of wrong; whatever is loaded from elsewhere is taken only if nothing newer was seen here.
Pure: what is wanted is loaded by the node.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from sb_core import shown
from sb_core.records import TopicPartition
from sb_core.topics import feed, partition_of, sport_of
from sb_distribute.conflate import Change, Version
from sb_distribute.cursor import Position
from sb_distribute.live import Live

EVENTS_SEEN_MAX: Final = 500_000
"""Events whose newest (lineage, rev) is remembered."""
WAITING_CHANGES_MAX: Final = 64
"""Changes kept per event while it is loaded; with more it is loaded anew."""

Outcome: TypeAlias = Literal["applied", "missing", "seen"]


class Step(NamedTuple):
    """What a change did: `missing` means that the event must be loaded, `seen` that what is held is as new already."""

    change: Change
    outcome: Outcome
    competition_before: str | None
    competition: str | None


class _Track:
    """One feed partition: how far its changes were read, and the recent ones.

    `known` is (lineage, offset) of what the store said at the start; `read` that of the newest change read since.
    """

    __slots__ = ("events_at", "known", "read", "ring", "ring_from", "tick")

    def __init__(self, ring_max: int) -> None:
        self.known = (1, 0)
        self.read = (0, -1)
        self.events_at: set[str] = set()
        self.ring: deque[Change] = deque(maxlen=ring_max)
        self.ring_from: int | None = 0
        """The ring has every change from this offset on; None until the next change says."""
        self.tick: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """(lineage, offset) from which on changes may still come."""
        return max(self.known, self.read)

    def repeated(self, change: Change) -> bool:
        here = change.raw.lineage, change.raw.at
        return here < self.read or (here == self.read and change.event in self.events_at)

    def add(self, change: Change) -> None:
        lineage, at = change.raw.lineage, change.raw.at
        if self.ring_from is None:
            self.ring_from = at + 1
        elif self.read[0] == 0:
            # Changes that were not read may share the offset of the first one that is.
            self.ring_from = min(self.ring_from, at + 1)
        elif lineage != self.read[0]:
            self.ring.clear()
            self.ring_from = at
        if (lineage, at) != self.read:
            self.read = lineage, at
            self.events_at.clear()
        self.events_at.add(change.event)
        if len(self.ring) == self.ring.maxlen:
            self.ring_from = self.ring[0].raw.at + 1
        # A bare copy: what others decode and encode of the change goes when they let go of it.
        self.ring.append(Change(change.raw))

    def hole(self) -> None:
        self.ring.clear()
        self.ring_from = None


class NodeState:
    """Everything a node holds, by feed partition and by event."""

    def __init__(self, partitions: Sequence[TopicPartition], *, held_max: int, ring_max: int) -> None:
        self.partitions = tuple(partitions)
        self.index = {partition: i for i, partition in enumerate(self.partitions)}
        self._counts = Counter(topic for topic, _ in self.partitions)
        self.wanted: dict[str, list[Change]] = {}
        self.evicted = 0
        self.read_from_ms = 0
        """Updates of messages received before then (ms) were not read."""
        self._ahead: dict[str, Version] = {}
        """Few: every update that was committed is read soon."""
        self._unread: set[str] = set()
        """Events wanted since a change of theirs could not be read: once loaded, they have changed."""
        self._held_max = held_max
        ring_each = max(1, ring_max // max(1, len(self.partitions)))
        self._tracks = [_Track(ring_each) for _ in self.partitions]
        self._lives: dict[str, Live] = {}
        self._seen: dict[str, Version] = {}
        self._least: dict[str, Version] = {}
        """What a state before this one had seen, until this one has reached it."""
        self._position = Position([0] * len(self._tracks), [0] * len(self._tracks))
        self._moved = set(range(len(self._tracks)))
        """Partitions that have gone on since the position was made."""

    def __repr__(self) -> str:
        ring = sum(len(track.ring) for track in self._tracks)
        return f"<NodeState held={len(self._lives)} wanted={len(self.wanted)} seen={len(self._seen)} ring={ring}>"

    # Where it stands.

    def begin(self, index: int, *, lineage: int, done_offset: int, next_offset: int) -> None:
        """Take over what the store knows of a partition: all below `done_offset` is in the updates topic already."""
        track = self._tracks[index]
        track.known, track.ring_from = (lineage, done_offset), next_offset
        self._moved.add(index)

    @property
    def position(self) -> Position:
        """Where it stands now; the same object until that changes."""
        if self._moved:
            self._position = self._position.moved({index: self._tracks[index].place for index in self._moved})
            self._moved.clear()
        return self._position

    def made_below(self, index: int) -> int:
        """Return the offset below which a partition's changes were all made, by what was read and told."""
        track = self._tracks[index]
        return track.place[1] + (track.read == track.place)

    def outdated(self, index: int, change: Change) -> list[str]:
        """Return the partition's held events of lineages before that of a change which begins one."""
        lineage = change.raw.lineage
        if not 0 < self._tracks[index].read[0] < lineage:
            return []
        sport = sport_of(self.partitions[index][0])
        older = [live.header for live in self._lives.values() if live.version[0] < lineage]
        return [each.event for each in older if each.sport == sport and self._index_of(each.event, sport) == index]

    def _index_of(self, event: str, sport: str) -> int:
        topic = feed(sport)
        return self.index[topic, partition_of(event, self._counts[topic])]

    def tick(self, index: int, ts: int) -> None:
        """Note that the partition's picture is complete up to `ts` (ms)."""
        track = self._tracks[index]
        if track.tick is None or ts > track.tick:
            track.tick = ts

    def complete_to(self, sport: str) -> int | None:
        """Return up to when (ms) the sport's picture is complete; None when a partition never said."""
        least: int | None = None
        for partition, track in zip(self.partitions, self._tracks, strict=True):
            if sport_of(partition[0]) == sport:
                if track.tick is None:
                    return None
                least = track.tick if least is None else min(least, track.tick)
        return least

    # Events.

    def live(self, event: str) -> Live | None:
        """Return a held event."""
        return self._lives.get(event)

    def __len__(self) -> int:
        return len(self._lives)

    def lives(self) -> Iterable[Live]:
        """Return all held events."""
        return self._lives.values()

    def seen(self, event: str) -> Version | None:
        """Return the newest (lineage, rev) seen of an event."""
        return self._seen.get(event)

    def needed(self, event: str) -> Version | None:
        """Return the version from which on a loaded event, with the changes that wait for it, is as new as what was seen."""
        kept = self.wanted.get(event)
        if kept:
            return kept[0].raw.lineage, kept[0].raw.prev
        return self.newest(event)

    def newest(self, event: str) -> Version | None:
        """Return the newest (lineage, rev) seen of an event here or before this state began."""
        return max(filter(None, (self._seen.get(event), self._least.get(event))), default=None)

    def inherit(self, before: "NodeState") -> None:
        """Take over what was seen before this state began: nothing older may be given to anybody who asks."""
        self._least = {**before._least, **before._seen}  # noqa: SLF001  its own kind
        for event in list(self._least)[:-EVENTS_SEEN_MAX]:
            del self._least[event]

    def behind(self, event: str) -> bool:
        """Say whether what is held of an event is older than what was seen before this state began."""
        least, live = self._least.get(event), self._lives.get(event)
        return least is not None and live is not None and live.version < least

    def apply(self, index: int, change: Change) -> Step | None:
        """Take in the next change of a partition; None when it is a repetition."""
        track = self._tracks[index]
        if track.repeated(change):
            return None
        self._moved.add(index)
        track.add(change)
        event = change.event
        self._saw(event, change.version)
        if event in self._ahead and change.version >= self._ahead[event]:
            del self._ahead[event]
        live = self._lives.get(event)
        before = None if live is None else live.competition
        outcome = self._fold(track, live, change)
        live = self._lives.get(event)
        return Step(change, outcome, before, None if live is None else live.competition)

    def _fold(self, track: _Track, live: Live | None, change: Change) -> Outcome:
        event = change.event
        if event in self.wanted:
            self._keep(event, change)
            return "missing"
        if live is None and change.raw.prev == 0:
            live = Live(shown.empty(event, change.raw.sport))
            live.version = (change.raw.lineage, 0)
        if live is None:
            self._want(event, change)
            return "missing"
        if change.version <= live.version:
            return "seen"
        if live.version != (change.raw.lineage, change.raw.prev):
            self._want(event, change)
            return "missing"
        try:
            live.apply(change)
        except (msgspec.MsgspecError, RecursionError):
            # Nobody can pass this one on: only the store can tell what it did.
            self._lost(track, event)
            return "missing"
        self._hold(event, live)
        return "applied"

    def _saw(self, event: str, version: Version) -> None:
        seen = self._seen.pop(event, None)
        self._seen[event] = version if seen is None or version > seen else seen
        if len(self._seen) > EVENTS_SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        if self._least and self._seen[event] >= self._least.get(event, version):
            self._least.pop(event, None)

    def _hold(self, event: str, live: Live) -> None:
        self._lives.pop(event, None)
        self._lives[event] = live
        if len(self._lives) > self._held_max:
            del self._lives[next(iter(self._lives))]
            self.evicted += 1

    def want(self, event: str) -> None:
        """Ask for an event that isn't held."""
        if event not in self._lives:
            self.wanted.setdefault(event, [])

    def _want(self, event: str, change: Change | None) -> None:
        self._lives.pop(event, None)
        self.wanted[event] = [] if change is None else [change]

    def _keep(self, event: str, change: Change) -> None:
        kept = self.wanted[event]
        if len(kept) >= WAITING_CHANGES_MAX:
            kept.clear()
        kept.append(change)

    def loaded(self, event: shown.Event) -> Live | None:
        """Take in an event from cache or store, and what came meanwhile; None when it is older than what was seen."""
        name = event.event
        held = self._lives.get(name)
        if held is not None and held.version >= (event.lineage, event.rev):
            return None if self.behind(name) else held
        live = Live(event)
        live.touched = name in self._unread
        for change in self.wanted.get(name, ()):
            live.touched = True
            if change.version > live.version and live.version == (change.raw.lineage, change.raw.prev):
                try:
                    live.apply(change)
                except (msgspec.MsgspecError, RecursionError):
                    return None
        seen, newest = self._seen.get(name), self.newest(name)
        if newest is not None and live.version < newest:
            return None
        self.wanted.pop(name, None)
        self._unread.discard(name)
        if (seen is None or live.version > seen) and live.header.updated >= self.read_from_ms:
            self._ahead[name] = live.version
        self._saw(name, live.version)
        self._hold(name, live)
        return live

    def ahead(self, event: str) -> bool:
        """Say whether an event was loaded as it is before the update that made it so was read."""
        return event in self._ahead

    def skip(self, index: int, event: str) -> None:
        """Note that a record about an event could not be read: what is held of it may be too old."""
        self._lost(self._tracks[index], event)

    def _lost(self, track: _Track, event: str) -> None:
        track.hole()
        self._unread.add(event)
        self._want(event, None)

    def since(self, index: int, at: int) -> Iterator[Change] | None:
        """Return a partition's changes from offset `at` on, oldest first; None when the ring doesn't reach back."""
        track = self._tracks[index]
        if track.ring_from is None:
            return None  # there was something that could not be read, perhaps just there
        if at < track.ring_from:
            # Nothing at or after `at` was read: then nothing is missing, wherever the ring begins.
            return None if at <= track.place[1] else iter(())
        newest = []
        for change in reversed(track.ring):
            if change.raw.at < at:
                break
            newest.append(change)
        return reversed(newest)
