"""Stops and holds: what closes markets beside their odds.

The rule: a stop is a floor that only rises, on everything, a group or a market, seen or not; an operator's hold wins
over all odds until it is released.
"""

from copy import copy
from typing import Final

from sb_core.errors import FeedError
from sb_core.messages import BetStop, Hold, MarketRef, Release
from sb_core.shown import ShownHold
from sb_process.draft import PRODUCERS_MAX, Draft, target
from sb_process.state import Floor, Floors, HoldState, Version, advance, stands

GROUPS_MAX: Final = 500
"""Groups of an event that one producer may have stopped."""
EVERYTHING: Final = "all"
"""The group that covers every market, known groups or not."""


def bet_stop(draft: Draft, message: BetStop) -> None:
    """Raise the floors that a stop names; stale where all of them stand higher."""
    floors = copy(draft.head.stops.get(draft.producer) or Floors())
    floor = Floor(draft.version, message.status)
    groups = message.groups or ()
    if message.markets:
        floors.markets = dict(floors.markets)
    for ref in message.markets or ():
        name = target((ref.market, ref.line))
        risen = _risen(floors.markets.get(name), floor)
        draft.verdicts.append(None if risen else "stale")
        if risen is not None:
            draft.edit(ref)
            floors.markets[name] = risen
    if EVERYTHING in groups or not (groups or message.markets):
        # an empty list names nothing either, and who can't tell closes
        risen = _risen(floors.everything, floor)
        draft.verdicts.append(None if risen else "stale")
        floors.everything = risen or floors.everything
        groups = ()
    for group in groups:
        risen = _risen(floors.groups.get(group), floor)
        draft.verdicts.append(None if risen else "stale")
        if risen is not None:
            floors.groups = {**floors.groups, group: risen}
    if len(floors.groups) > GROUPS_MAX:
        raise FeedError("too_large", f"stops of more than {GROUPS_MAX} groups", event=draft.head.event)
    if None in draft.verdicts:
        draft.head.stops = {**draft.head.stops, draft.producer: floors}
        draft.reshow = True


def raise_floor(draft: Draft, producer: str, version: Version) -> None:
    """Raise a producer's floor under everything, as a stop of that version would."""
    floors = copy(draft.head.stops.get(producer) or Floors())
    floors.everything = _risen(floors.everything, Floor(version, "suspended")) or floors.everything
    draft.head.stops = {**draft.head.stops, producer: floors}


def _risen(standing: Floor | None, floor: Floor) -> Floor | None:
    """Return the floor after a stop, or None where it is below what stands. At equal versions the more closed stays."""
    if standing is None or floor.version > standing.version:
        return floor
    if floor.version < standing.version:
        return None
    return standing if standing.status == "inactive" else floor


def hold(draft: Draft, message: Hold) -> None:
    """Hold the event or the markets named."""
    for name, ref in _targets(message.markets):
        shown = ShownHold(
            market=None if ref is None else ref.market,
            line=None if ref is None else ref.line,
            reason=message.reason,
            by=message.by,
            ts=message.ts,
        )
        _set(draft, name, ref, shown)


def release(draft: Draft, message: Release) -> None:
    """Release the event or the markets named; each target has a lane of its own."""
    for name, ref in _targets(message.markets):
        _set(draft, name, ref, None)


def _targets(markets: tuple[MarketRef, ...] | None) -> list[tuple[str, MarketRef | None]]:
    if not markets:
        return [("", None)]
    return [(target((ref.market, ref.line)), ref) for ref in markets]


def _set(draft: Draft, name: str, ref: MarketRef | None, shown: ShownHold | None) -> None:
    head = draft.head
    known = head.holds.get(name) or HoldState({})
    before = draft.before.head.holds.get(name)
    if draft.producer not in known.lane and len(known.lane) >= PRODUCERS_MAX:
        raise FeedError("too_large", f"held by more than {PRODUCERS_MAX} producers", event=head.event)
    verdict = None if before is None else stands(before.lane, draft.producer, draft.version, draft.message.id)
    draft.verdicts.append(verdict)
    if verdict is not None:
        return
    lane = advance(known.lane, draft.producer, draft.version, draft.message.id)
    if _same(shown, known.hold):
        # said again: it stays as it was shown, `ts` included
        shown = known.hold
    else:
        draft.fields.add("holds")
    head.holds = {**head.holds, name: HoldState(lane, shown)}
    if ref is not None:
        draft.edit(ref)
    else:
        draft.reshow = True


def _same(one: ShownHold | None, other: ShownHold | None) -> bool:
    """Compare holds as shown, beside their `ts`."""
    if one is None or other is None:
        return one is other
    return (one.reason, one.by) == (other.reason, other.by)
