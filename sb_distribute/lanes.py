"""How a change gets to the subscriptions it concerns: at once to each, or by the lane of those that conflate.

The rules: a change costs a lane the same however many subscriptions are in it; a subscription looks at what its lane has
brought when its frame is due or before anything else is done with it (`catch_up`), so to everybody it seems as if each
change had been put at the moment when it came. A lane is bounded in changes, and there are so many lanes at most.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Raw

from sb_distribute.conflate import Change, Shared, Version, Waiting, following
from sb_distribute.cursor import Position
from sb_distribute.index import Index
from sb_distribute.subscriptions import FRAME_BYTES_MAX, ITEM_HEAD_BYTES, Subscription
from sb_distribute.wire import Format

LANES_MAX: Final = 64
"""Subscriptions with yet another rhythm are put each change as it comes."""
LANE_CHANGES_MAX: Final = 1_000
"""Changes in a lane; then all its subscriptions look at them, and what waits merges in each."""


class _Run:
    """What a lane has of one event: each change as it came, and what all of them amount to where they are consecutive."""

    __slots__ = ("_form", "_item", "_sent", "event", "follows", "number", "parts", "together")

    def __init__(self, number: int, change: Change, before: Position, now_ms: int) -> None:
        self.event = change.event
        self.number = number
        """Of its first change, in the lane."""
        self.follows: Version = change.before
        self.parts: list[tuple[int, Change, Position, int, Shared]] = [(number, change, before, now_ms, {})]
        self.together: Waiting | None = Waiting.of(change, before, None)
        self._form: Format | None = None
        self._sent = -1
        self._item = Raw(b"")

    def add(self, number: int, change: Change, before: Position, now_ms: int) -> None:
        if self.together is not None:
            self.together = self.together.then(change) if change.before == self.together.version else None
        self.parts.append((number, change, before, now_ms, {}))

    def item(self, together: Waiting, form: Format, now_ms: int) -> Raw:
        """Encode what all amount to; once for all who are sent it now."""
        if self._sent != now_ms or self._form is not form:
            self._item = together.item(form, self.follows[1], now_ms)
            self._form, self._sent = form, now_ms
        return self._item


class Lane:
    """Subscriptions whose frames are due at the same moments, and the changes that they have yet to look at."""

    __slots__ = ("_begin", "_runs", "conflate_ms", "due_ms", "end", "phase_ms", "subs")

    def __init__(self, conflate_ms: int, phase_ms: int) -> None:
        self.conflate_ms = conflate_ms
        self.phase_ms = phase_ms
        self.subs = Index()
        self.due_ms: int | None = None
        self.end = 0
        """The number of the next change; a subscription's `seen` says up to which it has looked."""
        self._begin = 0
        self._runs: dict[str, _Run] = {}

    def __repr__(self) -> str:
        return f"<Lane {self.conflate_ms} ms + {self.phase_ms} subs={len(self.subs)} changes={self.end - self._begin}>"

    def add(self, change: Change, before: Position, now_ms: int) -> None:
        """Take a change that some of its subscriptions match."""
        if self.end - self._begin >= LANE_CHANGES_MAX:
            self.empty()
        run = self._runs.get(change.event)
        if run is None:
            self._runs[change.event] = _Run(self.end, change, before, now_ms)
        else:
            run.add(self.end, change, before, now_ms)
        self.end += 1
        if self.due_ms is None:
            self.due_ms = now_ms + self.conflate_ms - (now_ms - self.phase_ms) % self.conflate_ms

    def empty(self) -> None:
        """Let every subscription look at what there is, and forget it."""
        for sub in self.subs.all:
            sub.catch_up()
        self._runs = {}
        self._begin = self.end

    def bring(self, sub: Subscription, seen: int) -> None:
        """Put what a subscription has not looked at since change number `seen`."""
        _put_each(sub, self._matching(sub), seen)

    def items(self, sub: Subscription, seen: int, form: Format, now_ms: int) -> list[Raw] | None:
        """Return what a subscription for which nothing else waits is to be sent now, as `put` and `frames` would have it.

        None, and nothing has happened, where that is not what each run amounts to, or is too much for one frame.
        """
        if seen > self._begin or not sub.whole or self.due_ms is None or now_ms < self.due_ms:
            return None
        runs, sent = self._matching(sub), sub.sent
        size = 0
        for run in runs:
            if run.together is None or sent.get(run.event) != run.follows:
                return None
            size += run.together.bytes + ITEM_HEAD_BYTES
        if size > min(FRAME_BYTES_MAX, sub.bytes_max):
            return None
        items = []
        for run in runs:
            together = run.together
            items.append(run.item(together, form, now_ms))  # type: ignore[arg-type]  # looked at above
            sent[run.event] = together.version  # type: ignore[union-attr]
        return items

    def _matching(self, sub: Subscription) -> list[_Run]:
        """Return what the lane has of a subscription's events, in the order in which it came."""
        runs = self._runs
        if sub.filter.kind == "events":
            return sorted([runs[event] for event in runs.keys() & sub.filter.ids], key=_number)
        if sub.filter.kind == "all":
            return list(runs.values())
        return [run for run in runs.values() if run.parts[0][1].raw.sport in sub.filter.ids]


def _number(run: _Run) -> int:
    return run.number


def _put_each(sub: Subscription, runs: list[_Run], seen: int) -> None:
    """Put each change by itself, in the order in which they came."""
    for _, change, before, now_ms, shared in sorted(
        [part for run in runs for part in run.parts if part[0] >= seen], key=lambda part: part[0]
    ):
        sub.put(change, before, now_ms, shared)


class Lanes:
    """All lanes of a hub."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, int], Lane] = {}

    def __repr__(self) -> str:
        return f"<Lanes {list(self._lanes.values())}>"

    def join(self, sub: Subscription) -> bool:
        """Let a subscription go by its rhythm's lane; tell whether it does.

        By competition it doesn't: whether a change concerns it is known only at the moment when it comes.
        """
        if sub.conflate_ms == 0 or sub.filter.kind == "competitions":
            return False
        key = sub.conflate_ms, sub.phase_ms
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                return False
            lane = self._lanes[key] = Lane(*key)
        lane.subs.add(sub)
        sub.enter(lane)
        return True

    def leave(self, sub: Subscription) -> None:
        """Let a subscription go, with what its lane has brought so far."""
        lane = self._lanes.get((sub.conflate_ms, sub.phase_ms))
        if lane is not None and sub in lane.subs.all:
            sub.enter(None)
            lane.subs.remove(sub)
            if not lane.subs:
                del self._lanes[sub.conflate_ms, sub.phase_ms]

    def add(self, change: Change, before: Position, now_ms: int) -> None:
        """Take a change to the lanes in which somebody wants it; `before` is the position before it."""
        for lane in self._lanes.values():
            if lane.subs.concerns(change.event, change.raw.sport):
                lane.add(change, before, now_ms)

    def next_due_ms(self) -> int | None:
        """Return when the next lane is due."""
        return min((lane.due_ms for lane in self._lanes.values() if lane.due_ms is not None), default=None)

    def due(self, now_ms: int) -> Iterator[list[Subscription]]:
        """Give those that may have something to send now, lane by lane, each to be sent before the next is asked for."""
        for lane in list(self._lanes.values()):
            if lane.due_ms is not None and lane.due_ms <= now_ms:
                yield list(lane.subs.all)
                lane.empty()  # for those that could not be sent it
                # something may have come between the moment when it was due and now
                lane.due_ms = min((at for sub in lane.subs.all if (at := sub.due_ms) and at > now_ms), default=None)


def put_all(
    subs: Iterable[Subscription], change: Change, before: Position, now_ms: int
) -> tuple[list[Subscription], list[Subscription]]:
    """Give a change to all subscriptions that it concerns: `put` for each of them, without its cost in the common case.

    That case: it goes at once, the change follows what was sent, or what waits, and markets are not filtered. Returns
    which have something to send at once, and which may have to be scheduled.
    """
    event, prior, size = change.event, change.before, change.bytes
    shared: Shared = {}
    now: list[Subscription] = []
    later: list[Subscription] = []
    for sub in subs:
        pending = sub._pending  # noqa: SLF001  this is the subscriptions' own loop
        held = pending.get(event)
        follows = sub.whole and (
            sub.sent.get(event) == prior if held is None else type(held) is Waiting and held.version == prior
        )
        if not follows or sub.conflate_ms or sub.waiting_bytes + size > sub.bytes_max:
            put = sub.put(change, before, now_ms, shared)
            if put != "no":
                (now if put == "now" else later).append(sub)
            continue
        waits = shared.get(held)  # type: ignore[arg-type]  # never an _Owed here
        if waits is None:
            waits = following(change, before, None, held, shared)  # type: ignore[arg-type]
        pending[event] = waits
        sub.waiting_bytes += size
        now.append(sub)
    return now, later
