"""Subscriptions: what a client asked for, what it was sent of it, and what waits for it.

The rules: per event a client's versions only rise; every item's `prev` is the last rev that this subscription was sent;
what doesn't follow becomes a snapshot, never a hole; what waits merges per event, so a slow client costs bounded memory;
while an event is owed that the client never had, its cursor can't be resumed. Pure: times are arguments, the events come from a Picture.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Raw

from sb_distribute import cursor as cursors
from sb_distribute import wire
from sb_distribute.conflate import Change, Owed, Shared, Version, Waiting, following
from sb_distribute.cursor import Position
from sb_distribute.filters import Filter
from sb_distribute.picture import Bringer, Picture
from sb_distribute.wire import Format

FRAME_BYTES_MAX: Final = 131_072
"""A frame of updates takes no further item beyond this; clients' libraries often refuse more than 1 MiB."""
ITEM_HEAD_BYTES: Final = 256
"""What an item has beside its changes, about."""

Put: TypeAlias = Literal["no", "now", "later"]
"""Whether a change gives a subscription something to send: no, at once, or when its conflation is due."""


UNSURE: Final[Version] = (0, 0)
"""The version that nothing follows: of an event of which nobody knows whether the client has it, or at which rev."""


class Subscription:
    """One `sub` of one client."""

    __slots__ = (
        "_at_once", "_initial", "_lacking", "_lane", "_owed", "_pending", "_resumed", "_seen", "_shown_stale",
        "_sports", "_stale", "_subscribed", "bytes_max", "conflate_ms", "digest", "due_ms", "filter", "indices", "name", "owner", "phase_ms",
        "scheduled", "sent", "synced", "waiting_bytes", "whole",
    )  # fmt: skip

    def __init__(
        self, name: str, wanted: Filter, indices: tuple[int, ...], owner: Any, *, conflate_ms: int, bytes_max: int
    ) -> None:
        self.name = name
        self.filter = wanted
        self.owner = owner
        self.conflate_ms = conflate_ms
        self.bytes_max = bytes_max
        self.due_ms: int | None = None
        self.waiting_bytes = 0
        self.synced = False
        self.scheduled = False
        self.phase_ms = 0
        """Where in each `conflate_ms` its frames are due: those of a phase share what is encoded."""
        self.sent: dict[str, Version] = {}
        self.indices = indices
        self.digest = wanted.digest()
        self.whole = wanted.markets is None
        """Whether it takes events with all their markets."""
        self._lane: Bringer | None = None
        self._seen = 0
        """Up to which of its lane's changes it has looked."""
        self._subscribed: wire.Subscribed | None = None
        self._initial: dict[str, None] = {}
        self._pending: dict[str, Waiting | Owed] = {}
        self._owed = 0
        """How many of those are Owed."""
        self._lacking = 0
        """How many of those the client doesn't have."""
        self._at_once: dict[str, None] = {}
        self._resumed = False
        self._stale: frozenset[str] = frozenset()
        self._shown_stale: set[str] = set()
        self._sports: set[str] = set()

    def __repr__(self) -> str:
        return f"<Subscription {self.name} {self.filter.kind} events={len(self.sent)} waiting={len(self._pending)}>"

    # How it begins.

    def begin(self, events: Iterable[str]) -> None:
        """Begin with a snapshot of each of these events."""
        self._initial = dict.fromkeys(events)
        self._subscribed = wire.Subscribed(self.name, recovered=False, source="snapshot", events=len(self._initial))

    def resume(
        self,
        source: wire.Source,
        changes: Sequence[Change],
        held: Mapping[str, Version],
        sports: Iterable[str],
        since: Position,
        anew: Iterable[str] = (),
    ) -> None:
        """Begin where a cursor stands: `changes` are all that came since, `held` the events that match now.

        `anew` are those that get snapshots whatever the client has.

        With a market filter nobody knows the last rev that was sent before; `prev` is then 0 for an event's first item.
        """
        blind = self.filter.markets is not None
        self._resumed = True
        self._sports.update(sports)
        for event, version in held.items():
            self.sent[event] = (version[0], 0) if blind and version != UNSURE else version
        for change in changes:
            event = change.event
            if event not in self._pending:
                if change.raw.prev == 0 or held.get(event, UNSURE) == UNSURE:
                    # new since then, or not held now: a snapshot is right whatever the client has
                    self._owe(event, Owed(since))
                    continue
                self.sent[event] = (change.version[0], 0 if blind else change.raw.prev)
            self.put(change, since, 0)
        for event in anew:
            if event not in self._pending:
                self._owe(event, Owed(since))
        self.due_ms = None
        self._at_once.update(dict.fromkeys(self._pending))
        events = len(held.keys() | self._pending.keys())
        self._subscribed = wire.Subscribed(self.name, recovered=True, source=source, events=events)

    # What comes in.

    def enter(self, lane: Bringer | None) -> None:
        """Look at what this lane brings from now on, and at the rest of what the one before has brought."""
        self.catch_up()
        self._lane = lane
        self._seen = 0 if lane is None else lane.end

    def catch_up(self) -> None:
        """Take what the lane has brought. Everything else that is done with a subscription begins with it."""
        lane = self._lane
        if lane is not None and self._seen != lane.end:
            seen, self._seen = self._seen, lane.end
            lane.bring(self, seen)

    def put(self, change: Change, before: Position, now_ms: int, shared: Shared | None = None) -> Put:
        """Take a change that matches; `before` is the node's position before the change.

        `shared` is one and the same for all subscriptions that are given this change with this `before`.
        """
        self.catch_up()
        event = change.event
        if event in self._initial:
            return "no"  # its snapshot is still to come and will be newer
        waiting = self._pending.get(event)
        if isinstance(waiting, Owed):
            return "now" if waiting.gone is None else self.mark(event, before)
        last = self.sent.get(event) if waiting is None else waiting.version
        if last is None and change.raw.prev == 0:
            return self._owe(event, Owed(before))  # new to everybody
        if last is None or not self._follows(change, last):
            return self.mark(event, before)
        markets = self.filter.markets
        if change.version <= last or (markets is not None and change.restricted(markets) is None):
            return "no"
        waits = following(change, before, markets, waiting, {} if shared is None else shared)
        self.waiting_bytes += change.bytes
        self._pending[event] = waits
        return self._when(change, now_ms)

    def _when(self, change: Change, now_ms: int) -> Put:
        """Say when what was put goes out."""
        if self.waiting_bytes > self.bytes_max:
            self._forget_waiting()
            return "now"
        if self.conflate_ms == 0:
            return "now"
        if change.urgent:
            self._at_once[change.event] = None
            return "now"
        if self.due_ms is None:
            self.due_ms = now_ms + self.conflate_ms - (now_ms - self.phase_ms) % self.conflate_ms
        return "later"

    def _follows(self, change: Change, last: Version) -> bool:
        """Tell whether a change goes on from `last`, or is older; with a market filter not every rev is sent."""
        if change.version <= last:
            return True
        return change.version[0] == last[0] and (self.filter.markets is not None or change.raw.prev == last[1])

    def _forget_waiting(self) -> None:
        """Owe snapshots instead of merged changes: they take no memory until they are made."""
        for event, pending in self._pending.items():
            if isinstance(pending, Waiting):
                self._pending[event] = Owed(pending.before)
                self._owed += 1
                self._at_once[event] = None
        self.waiting_bytes = 0

    def mark(self, event: str, before: Position) -> Put:
        """Owe a snapshot of an event instead of whatever waits of it; `before` is the position before it changed.

        Who doesn't have the event can't go on from there either: it may be an old one, whose next change tells a part.
        """
        self.catch_up()
        if event in self._initial:
            return "no"
        pending = self._pending.get(event)
        lacks = event not in self.sent and not (isinstance(pending, Owed) and not pending.lacks)
        return self._owe(event, Owed(before if pending is None else pending.before, lacks=lacks))

    def _owe(self, event: str, owed: Owed) -> Put:
        if event in self._pending:
            self._uncount(self._pending[event])
        self._pending[event] = owed
        self._owed += 1
        self._lacking += owed.lacks
        self._at_once[event] = None
        return "now"

    def drop(self, event: str, reason: wire.GoneReason, before: Position, *, again: bool = False) -> Put:
        """Say that an event is gone, if the client has it; `again`: a snapshot is owed for when it is back."""
        self.catch_up()
        self._initial.pop(event, None)
        pending = self._pending.get(event)
        if event in self.sent or (pending is not None and self._resumed):  # it may have it from another node
            gone = wire.Gone(self.name, event, self.sent.get(event, UNSURE)[1], reason)
            return self._owe(event, Owed(before if pending is None else pending.before, gone, back=again))
        if pending is not None and not again:
            self._done(event)
        elif pending is None and again:
            self.mark(event, before)
        return "no"

    def forgive(self, event: str) -> None:
        """Owe no snapshot of an event."""
        self.catch_up()
        if self.owes(event) and event not in self._initial:
            self._done(event)

    @property
    def idle(self) -> bool:
        """Whether nothing waits at all."""
        self.catch_up()
        return self.synced and not self._pending and not self._stale and not self._shown_stale

    def owes(self, event: str) -> bool:
        """Tell whether a snapshot of the event is owed."""
        self.catch_up()
        pending = self._pending.get(event)
        return event in self._initial or (isinstance(pending, Owed) and pending.gone is None)

    # What goes out.

    def cursor(self, picture: Picture, now_ms: int) -> str:
        """Write the cursor: where the oldest of what waits came in, else where the node stands.

        Its time is that of the node's picture, so that its age is never less than that of what it stands for.
        """
        self.catch_up()
        if picture.stale:
            now_ms = min(now_ms, *picture.stale.values())
        oldest = next(iter(self._pending.values()), None)
        position = picture.position if oldest is None else oldest.before
        if self._lacking:
            position = position.nowhere()
        return cursors.write(self.digest, position, self.indices, now_ms)

    def frames(self, picture: Picture, form: Format, now_ms: int) -> Iterator[bytes]:
        """Give what is to be sent now, frame by frame; whoever stops in between loses nothing."""
        self.catch_up()
        if self._subscribed is not None:
            subscribed, self._subscribed = self._subscribed, None
            yield form.encode(subscribed)
        while self._initial:
            event = next(iter(self._initial))
            frame = self._snapshot(event, picture, form)
            del self._initial[event]
            if frame is not None:
                yield frame
            else:
                self.mark(event, picture.position)
        if not self.synced:
            if self._pending:
                yield from self._changes(picture, form, now_ms)  # what a resume brought
            self.synced = True
            yield form.encode(wire.Synced(self.name, self.cursor(picture, now_ms)))
        if self._stale or self._shown_stale or picture.stale:
            yield from self._staleness(picture, form)
        if self._pending:
            yield from self._changes(picture, form, now_ms)

    def quick(self, picture: Picture, form: Format, now_ms: int) -> bytes | None:
        """Give the one frame that there is to send in the most common case: changes wait, all are due, and few.

        The same as `frames`, without its cost; None when it isn't that case, and then nothing has happened.
        """
        if not self.synced or self._shown_stale or self._stale or picture.stale:
            return None
        items = self._lane_items(form, now_ms)
        if items is None:
            self.catch_up()
            pending = self._pending
            if self._owed or not pending or (self.conflate_ms and (self.due_ms is None or now_ms < self.due_ms)):
                return None
            if self.waiting_bytes + len(pending) * ITEM_HEAD_BYTES > FRAME_BYTES_MAX:
                return None
            items, sent = [], self.sent
            for event, waiting in pending.items():
                items.append(waiting.item(form, sent[event][1], now_ms))  # type: ignore[union-attr]  # nothing is owed
                sent[event] = waiting.version  # type: ignore[union-attr]  # nothing is owed
            pending.clear()
            self._at_once.clear()
            self.waiting_bytes, self.due_ms = 0, None
        # nothing waits any more, so the cursor stands where the node does
        return form.encode(wire.Updates(self.name, self.cursor(picture, now_ms), items)) if items else None

    def _lane_items(self, form: Format, now_ms: int) -> list[Raw] | None:
        lane = self._lane
        if lane is None or self._seen == lane.end or self._pending or self._initial:
            return None
        items = lane.items(self, self._seen, form, now_ms)
        if items is not None:
            self._seen = lane.end
        return items

    def _snapshot(self, event: str, picture: Picture, form: Format) -> bytes | None:
        found = picture.snapshot(event, self.filter.markets, form)
        if found is None:
            return None
        self.sent[event] = found.version
        self._sports.add(found.sport)
        if found.stale:
            self._shown_stale.add(found.sport)
        return form.encode(wire.Snapshot(self.name, Raw(found.body)))

    def _staleness(self, picture: Picture, form: Format) -> Iterator[bytes]:
        """Say what changed; a sport that only snapshots have called stale gets its `fresh` too."""
        now = frozenset(picture.stale) & self._concerned(picture)
        ended, begun = sorted((self._stale | self._shown_stale) - now), sorted(now - self._stale)
        self._stale = now
        self._shown_stale.clear()
        if ended:
            yield form.encode(wire.Fresh(self.name, ended))
        if begun:
            yield form.encode(wire.Stale(self.name, begun, min(picture.stale[sport] for sport in begun)))

    def _concerned(self, picture: Picture) -> frozenset[str]:
        if self.filter.kind == "sports":
            return self.filter.ids
        if self.filter.kind == "all":
            return frozenset(picture.stale)
        return frozenset(self._sports)

    def _changes(self, picture: Picture, form: Format, now_ms: int) -> Iterator[bytes]:
        due = self.conflate_ms == 0 or (self.due_ms is not None and now_ms >= self.due_ms)
        items: list[Raw] = []
        size = 0
        for event in list(self._pending if due else self._at_once):
            pending = self._pending[event]
            owed = pending if isinstance(pending, Owed) else None
            if isinstance(pending, Waiting):
                items.append(pending.item(form, self.sent[event][1], now_ms))
                size += memoryview(items[-1]).nbytes
                self.sent[event] = pending.version
                self._done(event)
            # Whoever stops after a frame must find everything else still waiting, so nothing is kept over a yield.
            if items and (owed is not None or size >= FRAME_BYTES_MAX):
                yield form.encode(wire.Updates(self.name, self.cursor(picture, now_ms), items))
                items, size = [], 0
            if owed is not None:
                if owed.back:  # from the client's last cursor on it would be taken to have the event
                    nowhere = cursors.write(self.digest, picture.position.nowhere(), self.indices, now_ms)
                    yield form.encode(wire.Updates(self.name, nowhere, []))
                frame = self._other(event, owed, picture, form)
                if frame is not None:
                    yield frame
        if due or not self._pending:
            self.due_ms = None
        if items:
            yield form.encode(wire.Updates(self.name, self.cursor(picture, now_ms), items))

    def _other(self, event: str, owed: Owed, picture: Picture, form: Format) -> bytes | None:
        if owed.gone is None:
            frame = self._snapshot(event, picture, form)
            if frame is not None:
                self._done(event)
            return frame
        self._done(event)
        self.sent.pop(event, None)
        if owed.back:
            self.mark(event, picture.position)
        return form.encode(owed.gone)

    def _done(self, event: str) -> None:
        self._uncount(self._pending.pop(event))
        self._at_once.pop(event, None)

    def _uncount(self, pending: Waiting | Owed) -> None:
        if isinstance(pending, Waiting):
            self.waiting_bytes -= pending.bytes
        else:
            self._owed -= 1
            self._lacking -= pending.lacks
