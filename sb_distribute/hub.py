"""The hub: takes what the node has learnt to the subscriptions it concerns, and what they owe to their connections.

The rules: a healthy client's bytes go straight to its outlet, in the same step; a busy outlet is left alone until its
own task asks; no client can make another wait. Synchronous: times are arguments, outlets never block.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Final, Protocol

import msgspec

from sb_core import shown
from sb_distribute.conflate import Version
from sb_distribute.cursor import Position
from sb_distribute.filters import Filter
from sb_distribute.index import Index
from sb_distribute.lanes import Lanes, put_all
from sb_distribute.live import Live
from sb_distribute.picture import Pictured
from sb_distribute.session import Session
from sb_distribute.state import NodeState, Step
from sb_distribute.subscriptions import Put, Subscription
from sb_distribute.wire import Format

FLUSH_BYTES_MAX: Final = 262_144
"""What one client is given in one step of the hub; its own task goes on from there."""
PHASES: Final = 4
"""Groups of subscriptions with the same `conflate_ms`: each group's frames are due at once and share their items."""
SNAPSHOTS_BYTES_MAX: Final = 33_554_432
"""Encoded snapshots kept for the next client that wants the same."""


class Outlet(Protocol):
    """A connection as the hub sees it. `busy`: bytes wait already, so don't bring more; `write` never blocks."""

    @property
    def busy(self) -> bool:
        """Whether bytes wait already."""

    def write(self, messages: Sequence[bytes]) -> None:
        """Take messages, whatever happens to them."""

    def wake(self) -> None:
        """Let the connection's own task ask for what is owed."""


class _Snapshots:
    """Encoded events, newest use last, bounded in bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, frozenset[str] | None, bool], tuple[Version, bytes]] = OrderedDict()
        self._bytes = 0

    def get(self, live: Live, markets: frozenset[str] | None, form: Format, *, stale: bool) -> bytes:
        event = live.header.event
        key = event, form.name, markets, stale
        found = self._kept.get(key)
        if found is not None and found[0] == live.version:
            self._kept.move_to_end(key)
            return found[1]
        written = form.encode(_shown(live, markets, stale=stale))
        self._bytes += len(written) - (len(found[1]) if found else 0)
        self._kept[key] = live.version, written
        self._kept.move_to_end(key)
        while self._bytes > SNAPSHOTS_BYTES_MAX:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= len(dropped)
        return written


def _shown(live: Live, markets: frozenset[str] | None, *, stale: bool) -> shown.Event:
    event = live.snapshot().event
    kept = event.markets if markets is None else [market for market in event.markets if market.market in markets]
    return msgspec.structs.replace(event, stale=stale, markets=kept)


class Hub:
    """All sessions of a node, and the node's picture as they see it (subscriptions.Picture)."""

    def __init__(self, state: NodeState, want: Callable[[str], None]) -> None:
        self.state = state
        self.stale: Mapping[str, int] = {}
        self.sessions: dict[Session, Outlet] = {}
        self._want = want
        self._index = Index()
        self._each = Index()
        """Those that are put each change as it comes; the others go by lanes."""
        self._lanes = Lanes()
        self._snapshots = _Snapshots()
        self._due: list[tuple[int, int, Subscription]] = []
        self._count = count()
        self._phases = count()

    def __repr__(self) -> str:
        return f"<Hub sessions={len(self.sessions)} subscriptions={len(self._index)} due={len(self._due)}>"

    # The picture.

    @property
    def position(self) -> Position:
        """Where the node stands."""
        return self.state.position

    def snapshot(self, event: str, markets: frozenset[str] | None, form: Format) -> Pictured | None:
        """Return an event encoded; None (and it is asked for) when it isn't held."""
        live = self.state.live(event)
        if live is None:
            self._want(event)
            return None
        sport = live.header.sport
        stale = sport in self.stale
        return Pictured(live.version, sport, stale, self._snapshots.get(live, markets, form, stale=stale))

    # Sessions and subscriptions come and go.

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are."""
        return len(self._index)

    def attach(self, session: Session, outlet: Outlet) -> None:
        """Let a session take part."""
        self.sessions[session] = outlet

    def detach(self, session: Session) -> None:
        """Forget a session and its subscriptions."""
        self.sessions.pop(session, None)
        for sub in session.subscriptions.values():
            self.remove(sub)
        session.subscriptions.clear()

    def add(self, session: Session, sub: Subscription) -> None:
        """Let a subscription that has begun take part; one of the same name ends."""
        self.remove(session.subscriptions.get(sub.name))
        session.subscriptions[sub.name] = sub
        sub.phase_ms = next(self._phases) % PHASES * sub.conflate_ms // PHASES
        self._index.add(sub)
        if not self._lanes.join(sub):
            self._each.add(sub)

    def remove(self, sub: Subscription | None) -> None:
        """End a subscription."""
        if sub is not None:
            self._index.remove(sub)
            self._each.remove(sub)
            self._lanes.leave(sub)

    def named(self, wanted: Filter) -> Filter:
        """Return the same filter with the node's own strings for events: a thousand clients' copies would fill every cache."""
        if wanted.kind != "events":
            return wanted
        lives = {event: self.state.live(event) for event in wanted.ids}
        ids = frozenset(event if live is None else live.header.event for event, live in lives.items())
        return msgspec.structs.replace(wanted, ids=ids)

    def matching(self, sub: Subscription) -> dict[str, Live]:
        """Return the held events that a subscription covers now."""
        wanted = sub.filter
        if wanted.kind == "events":
            found = (self.state.live(event) for event in sorted(wanted.ids))
            return {live.header.event: live for live in found if live is not None}
        return {
            live.header.event: live
            for live in self.state.lives()
            if live.current and wanted.matches(live.header.event, live.header.sport, live.competition)
        }

    # What the node tells.

    def changed(self, steps: Sequence[Step], before: Position, now_ms: int) -> None:
        """Take changes to whom they concern; `before` is the position before the first of them."""
        if not self._index.all:
            return
        touched: dict[Session, None] = {}
        for step in steps:
            change = step.change
            if step.competition_before is not None and step.competition_before != step.competition:
                self._left(step, before, touched)
            if step.outcome == "missing":
                self._mark(change.event, change.raw.sport, before, touched)
                continue
            at_once = change.urgent or change.raw.prev == 0  # a new event's snapshot isn't held up either
            concerned = self._index if at_once else self._each
            matching = concerned.matching(change.event, change.raw.sport, step.competition)
            now, later = put_all(matching, change, before, now_ms)
            if not at_once:
                self._lanes.add(change, before, now_ms)
            for sub in now:
                touched[sub.owner] = None
            for sub in later:
                self._touch(sub, "later", touched)
        self.flush(touched, now_ms)

    def _left(self, step: Step, before: Position, touched: dict[Session, None]) -> None:
        """Tell those by competition that an event has changed to another one; a missing event is judged when loaded."""
        if step.outcome == "missing" or step.competition_before is None:
            return
        for sub in self._index.of_competition(step.competition_before):
            if step.competition not in sub.filter.ids:
                self._touch(sub, sub.drop(step.change.event, "competition", before), touched)

    def _mark(self, event: str, sport: str, before: Position, touched: dict[Session, None]) -> None:
        """Owe a snapshot to all whom the event concerns, or may: its competition is known when it is loaded."""
        for sub in (*self._index.matching(event, sport, None), *self._index.by_competition()):
            self._touch(sub, sub.mark(event, before), touched)

    def missing(self, event: str, sport: str, before: Position, now_ms: int) -> None:
        """Owe a snapshot of an event of which a change, after position `before`, could not be read."""
        touched: dict[Session, None] = {}
        self._mark(event, sport, before, touched)
        self.flush(touched, now_ms)

    def absent(self, event: str) -> None:
        """Owe nothing more of an event that nobody knows."""
        for sub in self._index.all:
            sub.forgive(event)

    def loaded(self, event: str, now_ms: int) -> None:
        """Take an event that had been missing to whom it concerns."""
        live = self.state.live(event)
        if live is None:
            return
        touched: dict[Session, None] = {}
        matching = dict.fromkeys(self._index.matching(event, live.header.sport, live.competition))
        for sub in self._index.all:
            if sub not in matching and (event in sub.sent or sub.owes(event)):
                put = sub.drop(event, "competition", self.position)
                self._touch(sub, put, touched)
        for sub in matching:
            if sub.sent.get(event) != live.version or sub.owes(event):
                self._touch(sub, sub.mark(event, self.position), touched)
        self.flush(touched, now_ms)

    def unavailable(self, event: str, now_ms: int) -> None:
        """Take an event away that can't be had now: rather nothing than an old picture. Its snapshot follows later."""
        touched: dict[Session, None] = {}
        for sub in self._index.all:
            if event in sub.sent or sub.owes(event):
                self._touch(sub, sub.drop(event, "unavailable", self.position, again=True), touched)
        self.flush(touched, now_ms)

    def staleness(self, stale: Mapping[str, int], now_ms: int) -> None:
        """Say which sports are stale, and since when (ms)."""
        if stale.keys() != self.stale.keys():
            self.stale = dict(stale)
            self.flush(dict.fromkeys(self.sessions), now_ms)

    def forget(self, state: NodeState, now_ms: int) -> None:
        """Go on with another, empty state: everything that clients have is taken to them anew."""
        self.state = state
        touched: dict[Session, None] = {}
        for sub in self._index.all:
            for event in list(sub.sent):
                self._touch(sub, sub.mark(event, self.position), touched)
        self.flush(touched, now_ms)

    # What goes out.

    def _touch(self, sub: Subscription, put: Put, touched: dict[Session, None]) -> None:
        if put == "now":
            touched[sub.owner] = None
        elif put == "later" and sub.due_ms is not None and not sub.scheduled:
            sub.scheduled = True
            heapq.heappush(self._due, (sub.due_ms, next(self._count), sub))

    def flush(self, sessions: Iterable[Session], now_ms: int) -> None:
        """Give sessions what they are owed, as far as their outlets take it."""
        for session in sessions:
            outlet = self.sessions.get(session)
            if outlet is None or outlet.busy:
                continue
            messages, more = session.take(self, now_ms, FLUSH_BYTES_MAX)
            if messages:
                outlet.write(messages)
            if more:
                outlet.wake()

    def next_due_ms(self) -> int | None:
        """Return when the next conflated subscription is due."""
        due_ms = self._lanes.next_due_ms()
        if self._due and (due_ms is None or self._due[0][0] < due_ms):
            due_ms = self._due[0][0]
        return due_ms

    def due(self, now_ms: int) -> None:
        """Send what conflated subscriptions have collected."""
        touched: dict[Session, None] = {}
        while self._due and self._due[0][0] <= now_ms:
            _, _, sub = heapq.heappop(self._due)
            sub.scheduled = False
            if sub.due_ms is not None and sub.due_ms > now_ms:
                # what it was scheduled for went earlier, and more has come
                self._touch(sub, "later", touched)
            else:
                touched[sub.owner] = None
        self.flush(touched, now_ms)
        for subs in self._lanes.due(now_ms):
            self.flush(dict.fromkeys(sub.owner for sub in subs), now_ms)

    def beat(self, now_ms: int) -> None:
        """Send heartbeats where nothing else was sent for long enough."""
        self.flush([session for session in self.sessions if session.beat(self, now_ms)], now_ms)
