"""Canonical messages of what a Betfair session holds.

The rule: a line that is sent is sent whole, with all its outcomes, so that no message relies on an earlier one that may have
been refused. Odds are the best offer to back, in canonical form ("1.50"); all other decimals are in shortest form ("45.2").
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from msgspec import UNSET

from sb_core import odds
from sb_core.errors import FeedError
from sb_core.messages import (
    AnyMessage,
    Cancel,
    CancelRollback,
    Fixture,
    Info,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    OddsStatus,
    OutcomeOdds,
    OutcomeResult,
    Result,
    Settlement,
    SettlementRollback,
)
from sb_ingest.providers.betfair_ladders import BACK, EMPTY, LAY, Offer, best, price_text
from sb_ingest.providers.betfair_markets import Line, LineOutcome
from sb_ingest.providers.betfair_state import DECIDED, Ended, EventFacts, Held
from sb_ingest.providers.betfair_wire import MarketDefinition, decimal_text, instant_ms

_STATUSES: Final[dict[str, OddsStatus]] = {"OPEN": "active", "SUSPENDED": "suspended", "INACTIVE": "inactive"}
_RESULTS: Final[dict[str, Result]] = {
    "WINNER": "won",
    "PLACED": "won",
    "LOSER": "lost",
    "REMOVED": "void",
    "REMOVED_VACANT": "void",
    "HIDDEN": "void",
    "ACTIVE": "undecided",
}


class Touched:
    """A market that a message named: as it was before, and which of its lines to send (`places`) or not (`refused`)."""

    __slots__ = ("before", "conflated", "places", "refused", "source", "withdrawn")

    def __init__(self, source: str, before: Held | None) -> None:
        self.source = source
        self.before = before
        self.places: set[int] = set()
        self.refused: set[int] = set()
        self.withdrawn: dict[tuple[str, str], Line] = {}
        self.conflated = False


def how_ended(definition: MarketDefinition) -> Ended:
    """Say how a market ended: cancelled if no runner won, lost or placed; "" while it has not."""
    if definition.status != "CLOSED":
        return ""
    return "settled" if any(runner.status in DECIDED for runner in definition.runners) else "cancelled"


def event_messages(
    head: dict[str, Any],
    facts: EventFacts | None,
    markets: Iterable[tuple[Held, Touched]],
) -> list[AnyMessage]:
    """Return an event's messages in the order they are to be appended.

    `head` are the fields that they share. `facts` are given when a fixture has to say them.
    """
    priced: list[MarketOdds] = []
    settled: list[MarketResult] = []
    cancelled: list[MarketRef] = []
    reopened: dict[Ended, list[MarketRef]] = {"settled": [], "cancelled": []}
    for held, touched in markets:
        ended, was = how_ended(held.definition), touched.before.ended if touched.before else ""
        if was and was != ended and (was == "cancelled" or not ended):
            reopened[was] += [_ref(held, line) for line in held.lines]
        lines = [held.lines[place] for place in sorted(touched.places)]
        if ended == "settled":
            settled += [_result(held, line) for line in lines]
        elif ended == "cancelled":
            cancelled += [_ref(held, line) for line in lines]
        else:
            places = sorted(touched.places - touched.refused)
            priced += [_odds(held, held.lines[place], conflated=touched.conflated) for place in places]
        priced += [_withdrawn(held, line) for line in touched.withdrawn.values()]
    messages: list[AnyMessage] = [_fixture(head, facts)] if facts else []
    if reopened["cancelled"]:
        messages.append(CancelRollback(**head, markets=tuple(reopened["cancelled"])))
    if reopened["settled"]:
        messages.append(SettlementRollback(**head, markets=tuple(reopened["settled"])))
    if priced:
        messages.append(Odds(**head, markets=tuple(priced)))
    if settled:
        messages.append(Settlement(**head, certainty="confirmed", markets=tuple(settled)))
    if cancelled:
        messages.append(Cancel(**head, markets=tuple(cancelled)))
    return messages


def _fixture(head: dict[str, Any], facts: EventFacts) -> Fixture:
    return Fixture(
        **head,
        name=UNSET if facts.name is None else facts.name,
        start=UNSET if facts.start is None else facts.start,
        status=UNSET if facts.status is None else facts.status,
        competitors=facts.competitors or UNSET,
    )


def _odds(held: Held, line: Line, *, conflated: bool) -> MarketOdds:
    definition = held.definition
    info: Info = {
        "in_play": definition.in_play,
        "bet_delay_s": definition.bet_delay,
        "winners": definition.number_of_winners,
        "version": definition.version,
        "start": instant_ms(definition.market_time),
        "conflated": conflated,
    }
    return MarketOdds(
        market=line.market,
        line=line.line,
        source=held.source,
        name=definition.name or UNSET,
        status=_STATUSES[definition.status],
        outcomes=tuple(_outcome(held, outcome) for outcome in line.outcomes),
        complete=True,
        info=info,
    )


def _outcome(held: Held, outcome: LineOutcome) -> OutcomeOdds:
    defined = held.definitions[outcome.source]
    runner = held.runners.get(outcome.source, EMPTY)
    active = defined.status == "ACTIVE"
    back: Offer | None = best(runner, back=BACK) if active else None
    lay: Offer | None = best(runner, back=LAY) if active else None
    info: Info = {
        "lay": price_text(lay[0]) if lay else None,
        "lay_size": decimal_text(lay[1]) if lay else None,
        "last": _said(runner.last) if runner.last else None,
        "volume": _said(runner.volume),
        "bsp": _said(defined.bsp),
        "reduction": _said(defined.adjustment_factor),
    }
    return OutcomeOdds(
        id=outcome.id,
        source=outcome.source,
        name=defined.name or UNSET,
        participant=outcome.participant or UNSET,
        odds=odds.text(back[0]) if back else None,
        active=active,
        size=decimal_text(back[1]) if back else None,
        info=info,
    )


def _said(number: Decimal | None) -> str | None:
    """Write a number that is no offer; Betfair writes NaN and Infinity where it has none yet."""
    if number is None:
        return None
    try:
        return decimal_text(number)
    except FeedError:
        return None


def _withdrawn(held: Held, line: Line) -> MarketOdds:
    """Close a line that the market's definition no longer has."""
    return MarketOdds(market=line.market, line=line.line, source=held.source, status="inactive")


def _result(held: Held, line: Line) -> MarketResult:
    share = _dead_heat(held.definition)
    outcomes = []
    for outcome in line.outcomes:
        defined = held.definitions[outcome.source]
        outcomes.append(
            OutcomeResult(
                id=outcome.id,
                result=_RESULTS[defined.status],
                dead_heat=share if defined.status == "WINNER" else None,
                source=outcome.source,
                name=defined.name or UNSET,
            )
        )
    return MarketResult(
        market=line.market,
        line=line.line,
        source=held.source,
        name=held.definition.name or UNSET,
        outcomes=tuple(outcomes),
    )


def _dead_heat(definition: MarketDefinition) -> str | None:
    """Return the part of a stake that wins where more runners won than the market has winners, four decimals down."""
    places = definition.number_of_winners or 0
    won = sum(runner.status == "WINNER" for runner in definition.runners)
    if definition.betting_type != "ODDS" or not 0 < places < won:
        return None
    return decimal_text(Decimal(places * 10_000 // won).scaleb(-4))


def _ref(held: Held, line: Line) -> MarketRef:
    return MarketRef(market=line.market, line=line.line, source=held.source, name=held.definition.name or UNSET)
