"""Odds in the form a client asks for.

The rule: the event as stored stays as it is, decimal; what is returned is a copy in which only `odds` and `fair` of
the outcomes are written differently.
"""

from collections.abc import Callable

import msgspec

from sb_core import odds
from sb_core.shown import Changes, Event, Market, Outcome
from sb_distribute.rest_queries import OddsFormat


def event_in(event: Event, form: OddsFormat) -> Event:
    """Return the event with its odds in the form asked for; the event itself where that is decimal."""
    if form == "decimal":
        return event
    return msgspec.structs.replace(event, markets=[market_in(market, form) for market in event.markets])


def changes_in(changes: Changes, form: OddsFormat) -> Changes:
    """Return changes with the odds of their markets in the form asked for."""
    if form == "decimal":
        return changes
    return msgspec.structs.replace(changes, markets=[market_in(market, form) for market in changes.markets])


def market_in(market: Market, form: OddsFormat) -> Market:
    """Return a market with its odds in the form asked for."""
    if form == "decimal":
        return market
    write = odds.FORMATS[form]
    return msgspec.structs.replace(market, outcomes=[_outcome_in(outcome, write) for outcome in market.outcomes])


def _outcome_in(outcome: Outcome, write: Callable[[int], str]) -> Outcome:
    # `scaled` and not `parse`: fair odds may lie beyond the range that a provider may send
    return msgspec.structs.replace(
        outcome,
        odds=None if outcome.odds is None else write(odds.scaled(outcome.odds)),
        fair=None if outcome.fair is None else write(odds.scaled(outcome.fair)),
    )
