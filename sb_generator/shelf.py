"""The markets of one simulated event: what was said of each, what is to be said now, how each ended. Pure.

The rule: a market is priced from its offer, said again only when that changes something, and never once it is settled.
What is too sure to be offered is suspended; a line that prices moved away from is inactive.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import UNSET, UnsetType

from sb_core import odds as odds_text
from sb_core import sports
from sb_core.messages import MarketOdds, MarketRef, MarketResult, OutcomeOdds, OutcomeResult, Result
from sb_generator.prices import priced, priced_each
from sb_generator.scene import Offer, Play, Sheet
from sb_generator.settle import View

Key: TypeAlias = tuple[str, str]


class _Known:
    """A market that was offered: all outcomes it ever had, what was last said of it, and whether it is over."""

    __slots__ = ("active", "family", "groups", "outcomes", "said", "settled")

    def __init__(self, family: str, groups: tuple[str, ...]) -> None:
        self.family = family
        self.groups = groups
        self.outcomes: tuple[str, ...] = ()
        self.said: tuple[int | None, ...] = ()
        self.active = False
        self.settled = False


class Shelf:
    """All markets of one event."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._known: dict[Key, _Known] = {}
        self._catalogue = sports.get(play.sport).markets

    def __repr__(self) -> str:
        return f"<Shelf {self._play.sport} markets={len(self._known)}>"

    def __bool__(self) -> bool:
        return bool(self._known)

    def stop(self, groups: Iterable[str]) -> None:
        """Note that markets of these groups are closed."""
        wanted = frozenset(groups)
        for known in self._known.values():
            if not wanted.isdisjoint(known.groups):
                known.active = False

    def hand_over(self) -> tuple[MarketOdds, ...]:
        """Leave all markets to another producer."""
        self.stop(("all",))
        return tuple(MarketOdds(market=market, line=line, status="handed_over") for market, line in self._known)

    def price(self, sheet: Sheet, families: Iterable[str], stopped: set[str], *, every: bool) -> tuple[MarketOdds, ...]:
        """Price families of markets and return what is to be said; with `every`, also what did not change.

        Nothing is said of markets of `stopped` groups.
        """
        markets: list[MarketOdds] = []
        for family in families:
            offered: set[Key] = set()
            for offer in self._play.book(sheet, family):
                offered.add((offer.market, offer.line))
                said = self._offer(family, offer, stopped, every=every)
                if said is not None:
                    markets.append(said)
            for key, known in self._known.items():
                if known.family == family and known.active and key not in offered and stopped.isdisjoint(known.groups):
                    known.active = False
                    markets.append(MarketOdds(market=key[0], line=key[1], status="inactive"))
        return tuple(markets)

    def _offer(self, family: str, offer: Offer, stopped: set[str], *, every: bool) -> MarketOdds | None:
        known = self._known.get((offer.market, offer.line))
        if known is not None and (known.settled or not stopped.isdisjoint(known.groups)):
            return None
        odds = self._odds(offer)
        if odds is None or not any(odds):
            if known is None or not known.active:
                return None
            known.active = False
            return MarketOdds(market=offer.market, line=offer.line, status="suspended")
        groups: tuple[str, ...] | UnsetType = UNSET
        if known is None:
            groups = self._catalogue[offer.market].groups
            if not stopped.isdisjoint(groups):
                return None
            known = self._known[offer.market, offer.line] = _Known(family, groups)
        elif known.active and not every and tuple(odds) == known.said:
            return None
        known.active, known.said = True, tuple(odds)
        if offer.outcomes != known.outcomes:
            known.outcomes += tuple(each for each in offer.outcomes if each not in known.outcomes)
        return MarketOdds(
            market=offer.market,
            line=offer.line,
            status="active",
            groups=groups,
            outcomes=tuple(map(_outcome, offer.outcomes, odds)),
            complete=True,
        )

    def _odds(self, offer: Offer) -> Sequence[int | None] | None:
        margin = self._play.margin
        return priced(offer.probabilities, margin) if offer.whole else priced_each(offer.probabilities, margin)

    def results(self, view: View, *, again: bool = False) -> tuple[MarketResult, ...]:
        """Return the results of markets that are decided: of those that were not before, or with `again` of all."""
        found = []
        for (market, line), known in self._known.items():
            if known.settled and not again:
                continue
            results = view.results(market, line, known.outcomes)
            if results is not None:
                known.settled, known.active = True, False
                outcomes = tuple(map(_outcome_result, known.outcomes, results))
                found.append(MarketResult(market=market, line=line, outcomes=outcomes))
        return tuple(found)

    def others(self, results: Iterable[MarketResult]) -> tuple[MarketRef, ...]:
        """Name the markets that are not among these results."""
        named = {(each.market, each.line) for each in results}
        return tuple(MarketRef(market=market, line=line) for market, line in self._known if (market, line) not in named)


_CACHED: Final = 65_536


@lru_cache(maxsize=_CACHED)
def _outcome(outcome: str, odds: int | None) -> OutcomeOdds:
    if odds is None:
        return OutcomeOdds(id=outcome, odds=None, active=False)
    return OutcomeOdds(id=outcome, odds=odds_text.text(odds), active=True)


@lru_cache(maxsize=_CACHED)
def _outcome_result(outcome: str, result: Result) -> OutcomeResult:
    return OutcomeResult(id=outcome, result=result)
