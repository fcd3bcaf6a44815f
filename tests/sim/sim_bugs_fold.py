"""Planted bugs in the fold: each breaks one sentence of the rules, always and everywhere, so no replay differs.

Only what looks at the feed without the fold can notice (sim_plain).
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from sb_core import messages as m
from sb_process import book, closing, draft, plan, settle, stops
from sb_process.book import Applied
from sb_process.draft import Draft
from sb_process.state import Floor, Floors, HoldState, ProducerView, Version

Patch = tuple[Any, str, Any]


def _after(kind: type, further: Callable[[Draft, Any], None]) -> list[Patch]:
    """Do something more after a message of that kind was handled."""
    real = book._HANDLERS[kind]

    def handler(drafted: Draft, message: Any) -> None:
        real(drafted, message)
        further(drafted, message)

    return [(book, "_HANDLERS", {**book._HANDLERS, kind: handler})]


def old_odds_accepted() -> list[Patch]:
    """Odds apply whatever stands, older ones too."""
    real = book.stands

    def stands(*given: Any) -> str | None:
        verdict = real(*given)
        return None if verdict == "stale" else verdict

    return [(book, "stands", stands)]


def equal_versions_refused() -> list[Patch]:
    """Of two messages with the same version the second is stale."""
    real = book.stands

    def stands(lane: Any, key: str, version: Version, message_id: str) -> str | None:
        standing = lane.get(key)
        same = standing is not None and standing.version == version and message_id not in standing.ids
        return "stale" if same else real(lane, key, version, message_id)

    return [(module, "stands", stands) for module in (book, settle, stops)]


def lanes_mixed() -> list[Patch]:
    """Fixture and score have one lane."""

    def further(drafted: Draft, _message: Any) -> None:
        newest = {**drafted.head.scoring, **drafted.head.fixture}
        drafted.head.scoring = drafted.head.fixture = newest

    return _after(m.Fixture, further)


def odds_unsettle() -> list[Patch]:
    """Odds that come after a settlement take it away."""
    real = book._price

    def price(drafted: Draft, given: m.MarketOdds, message_id: str) -> None:
        real(drafted, given, message_id)
        drafted.edit(given).settled = None

    return [(book, "_price", price)]


def settlement_not_rolled_back() -> list[Patch]:
    """A rollback leaves its floor and the settlement, too."""

    def further(drafted: Draft, message: m.SettlementRollback) -> None:
        for ref in message.markets:
            known, state = drafted.known(ref), drafted.changed.get((ref.market, ref.line))
            if known is not None and state is not None:
                state.settled = known.settled

    return _after(m.SettlementRollback, further)


def live_beats_confirmed() -> list[Patch]:
    """Of settlements the newest wins, of whatever certainty."""
    real = settle._settlement_stands

    def stands(drafted: Draft, state: Any, message: m.Settlement) -> str | None:
        bare = copy(state)
        bare.settled = None
        return real(drafted, bare, message)

    return [(settle, "_settlement_stands", stands)]


def window_ignored() -> list[Patch]:
    """A cancel with an end voids all bets."""
    real = settle._cancel

    def cancel(drafted: Draft, ref: m.MarketRef, message: m.Cancel, part: str) -> None:
        real(drafted, ref, message, part)
        state, window = drafted.edit(ref), settle._window(message)
        if window not in state.voids:
            state.voids = (*state.voids, window)

    return [(settle, "_cancel", cancel)]


def holds_released_with_the_event() -> list[Patch]:
    """Releasing an event releases its markets."""

    def further(drafted: Draft, message: m.Release) -> None:
        if not message.markets:
            drafted.head.holds = {name: HoldState(each.lane) for name, each in drafted.head.holds.items()}

    return _after(m.Release, further)


def unknown_groups_spared() -> list[Patch]:
    """A group's stop closes only markets that are known to be of the group."""
    real = draft.stopped

    def stopped(head: Any, market: Any, *given: Any) -> Any:
        bare = copy(market)
        bare.groups = market.groups or ()
        return real(head, bare, *given)

    return [(draft, "stopped", stopped)]


def rollback_leaves_no_floor() -> list[Patch]:
    """What was rolled back opens at once with the odds that stand."""
    return [(settle, "_leave_floor", lambda *_: None)]


def second_stop_ignored() -> list[Patch]:
    """Where something is stopped already, a newer stop says nothing."""
    real = stops._risen

    def risen(standing: Floor | None, floor: Floor) -> Floor | None:
        return real(standing, floor) if standing is None else standing

    return [(stops, "_risen", risen)]


def outage_forgotten() -> list[Patch]:
    """With a producer's return its markets open again, by the odds of before the outage."""
    real = draft.standing

    def standing(head: Any, market: Any, views: Mapping[str, ProducerView]) -> Any:
        return real(head, market, {key: replace(view, gen=0) for key, view in views.items()})

    return [(draft, "standing", standing)]


def unreadable_record_passed_over() -> list[Patch]:
    """A record that can't be read closes nothing."""

    def close(fold: Any, *_: Any) -> Applied:
        return Applied("duplicate", fold)

    return [(plan.book, "close", close)]


def stops_of_markets_forgotten() -> list[Patch]:
    """A stop of an event sets what was stopped before by market free."""

    def further(drafted: Draft, message: m.BetStop) -> None:
        floors = drafted.head.stops.get(drafted.producer)
        if floors is not None and message.markets is None:
            kept = Floors(everything=floors.everything, groups=floors.groups)
            drafted.head.stops = {**drafted.head.stops, drafted.producer: kept}

    return _after(m.BetStop, further)


def stop_spares_its_own_ts() -> list[Patch]:
    """Odds as old as a stop open what it closed."""
    real = stops._risen

    def risen(standing: Floor | None, floor: Floor) -> Floor | None:
        gen, ts, seq = floor.version
        return real(standing, Floor((gen, ts, seq - 1), floor.status))

    return [(stops, "_risen", risen)]


def open_over_a_lineage() -> list[Patch]:
    """What was open when a partition's lineage was raised stays open."""

    def gone_over(fold: Any, at: int, received: int, rules: Any) -> Applied:
        record = closing._stop(fold, f"lineage {rules.lineage}:{at}", received, "")
        return book.close(fold, record, at, {}, rules, always=True)

    return [(closing, "gone_over", gone_over)]


def prices_half_taken() -> list[Patch]:
    """Of the prices in a message only the first is taken."""
    real = book.merge

    def merge(known: Any, given: Any, *, complete: bool) -> Any:
        if known and len(given) > 1:
            given = (given[0], *(replace(each, odds=UNSET) for each in given[1:]))
        return real(known, given, complete=complete)

    return [(book, "merge", merge)]


FOLD_PLANTS: Final[Mapping[str, tuple[Callable[[], list[Patch]], int]]] = {
    "old_odds_accepted": (old_odds_accepted, 40),
    "equal_versions_refused": (equal_versions_refused, 40),
    "lanes_mixed": (lanes_mixed, 40),
    "odds_unsettle": (odds_unsettle, 40),
    "settlement_not_rolled_back": (settlement_not_rolled_back, 40),
    "live_beats_confirmed": (live_beats_confirmed, 40),
    "window_ignored": (window_ignored, 40),
    "holds_released_with_the_event": (holds_released_with_the_event, 40),
    "unknown_groups_spared": (unknown_groups_spared, 40),
    "rollback_leaves_no_floor": (rollback_leaves_no_floor, 40),
    "second_stop_ignored": (second_stop_ignored, 40),
    "outage_forgotten": (outage_forgotten, 40),
    "unreadable_record_passed_over": (unreadable_record_passed_over, 40),
    "stops_of_markets_forgotten": (stops_of_markets_forgotten, 1000),
    "stop_spares_its_own_ts": (stop_spares_its_own_ts, 40),
    "prices_half_taken": (prices_half_taken, 40),
    "open_over_a_lineage": (open_over_a_lineage, 4000),
}
