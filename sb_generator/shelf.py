"""The markets of one simulated event: what was said of each, what is to be said now, how each ended. Pure.

The rule: a market is priced from its offer, said again only when that changes something, and never once it is settled.
What is too sure to be offered is suspended; a line that prices moved away from is inactive.

A sport's book gives the same offers, as the same object, for the same outlook; what they come to in prices (a `Page`)
is kept with them, so that most updates compare prices and make none.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct, structs

from sb_core import odds as odds_text
from sb_core import sports
from sb_core.messages import MarketOdds, MarketRef, MarketResult, MarketStatus, OutcomeOdds, OutcomeResult, Result
from sb_generator.kept import Kept
from sb_generator.prices import priced, priced_each
from sb_generator.scene import Ending, Offer, Play, Sheet
from sb_generator.settle import View

Key: TypeAlias = tuple[str, str]
Prices: TypeAlias = tuple[int | None, ...]
PAGES_MAX: Final = 16_384
_CACHED: Final = 65_536
SHARE_DIGITS: Final = 4


class _Quote(Struct, frozen=True, gc=False):
    """A market of a page; `prices` None: too sure to be offered."""

    key: Key
    outcomes: tuple[str, ...]
    prices: Prices | None
    said: MarketOdds


class Page(Struct, frozen=True, gc=False):
    """Offers of a family with their prices. `shape` is one object for all pages with the same markets, open alike."""

    quotes: tuple[_Quote, ...]
    keys: frozenset[Key]
    shape: tuple[tuple[Key, bool], ...]
    prices: tuple[Prices | None, ...]
    said: tuple[MarketOdds, ...]
    """What is open; the same object each time, so that what is made of it may be kept with it."""


class _Known:
    """A market that was offered: all outcomes it ever had, the prices it stands open with, and whether it is over.

    `said` is what was said of it when it was open last, `closed` its status where it isn't.
    """

    __slots__ = ("closed", "groups", "outcomes", "prices", "said", "settled")

    def __init__(self, groups: tuple[str, ...], said: MarketOdds) -> None:
        self.groups = groups
        self.said = said
        self.closed: MarketStatus = "suspended"
        self.outcomes: tuple[str, ...] = ()
        self.prices: Prices | None = None
        self.settled = False


class Shelf:
    """All markets of one event."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._known: dict[Key, _Known] = {}
        self._active: dict[str, dict[Key, _Known]] = {family: {} for family in play.families}
        self._catalogue = sports.get(play.sport).markets
        self._pages = _pages(play.margin)
        self._stands: dict[str, Page] = {}
        """Families of which all markets stand as a page says, so that it is enough to compare pages."""

    def __repr__(self) -> str:
        return f"<Shelf {self._play.sport} markets={len(self._known)}>"

    def __bool__(self) -> bool:
        return bool(self._known)

    def stop(self, groups: Iterable[str]) -> None:
        """Note that markets of these groups are closed."""
        wanted = frozenset(groups)
        self._settle_pages()
        for active in self._active.values():
            for key in [key for key, known in active.items() if not wanted.isdisjoint(known.groups)]:
                known = active.pop(key)
                known.prices, known.closed = None, "suspended"

    def hand_over(self) -> tuple[MarketOdds, ...]:
        """Leave all markets to another producer."""
        self.stop(("all",))
        for known in self._known.values():
            known.closed = "handed_over"
        return tuple(MarketOdds(market=market, line=line, status="handed_over") for market, line in self._known)

    def price(self, sheet: Sheet, families: Iterable[str], stopped: set[str], *, every: bool) -> tuple[MarketOdds, ...]:
        """Price families of markets and return what is to be said; with `every`, also what did not change.

        Nothing is said of markets of `stopped` groups.
        """
        markets: list[MarketOdds] = []
        for family in families:
            page = self.page(sheet, family)
            markets += self._turn(family, page, stopped, every=True) if every else self.turn(family, page, stopped)
        return tuple(markets)

    def page(self, sheet: Sheet, family: str) -> Page:
        """Return a family's markets with their prices; the same object for the same outlook."""
        return self._pages.of(self._play.book(sheet, family))

    def turn(self, family: str, page: Page, stopped: set[str]) -> tuple[MarketOdds, ...]:
        """Turn to a page and return what is to be said: all of it where any of its prices changed, or what else did."""
        stands = self._stands.get(family)
        if stands is None or stopped or stands.shape is not page.shape:
            return tuple(self._turn(family, page, stopped, every=False))
        if stands is page or stands.prices == page.prices:
            return ()
        self._stands[family] = page
        return page.said

    def whole(self, sheet: Sheet, families: Iterable[str], stopped: set[str]) -> tuple[MarketOdds, ...]:
        """Return all that stands, with groups: what is priced now, and how the others were left, but what is settled."""
        said = {(each.market, each.line): each for each in self.price(sheet, families, stopped, every=True)}
        self._settle_pages()
        for key, known in self._known.items():
            spoken = said.get(key)
            if spoken is None and (known.settled or known.closed == "handed_over"):
                continue
            if spoken is None or spoken.status != "active":
                # with the prices that it was left at
                said[key] = structs.replace(known.said, status="active" if known.prices else known.closed)
        return tuple(_with_groups(each, self._known[key].groups) for key, each in said.items())

    def _turn(self, family: str, page: Page, stopped: set[str], *, every: bool) -> list[MarketOdds]:
        """Turn to a page that has other markets than the one before, market by market."""
        self._settle_page(family)
        markets: list[MarketOdds] = []
        for quote in page.quotes:
            known = self._known.get(quote.key)
            if known is not None and known.prices == quote.prices and not every:
                continue
            said = self._say(family, quote, known, stopped)
            if said is not None:
                markets.append(said)
        active = self._active[family]
        if not active.keys() <= page.keys:
            markets += self._withdrawn(active, page.keys, stopped)
        if all(each.key in active for each in page.quotes if each.prices is not None):
            self._stands[family] = page
        return markets

    def _settle_pages(self) -> None:
        for family in tuple(self._stands):
            self._settle_page(family)

    def _settle_page(self, family: str) -> None:
        """Note of each market what its family's page says."""
        page = self._stands.pop(family, None)
        for quote in page.quotes if page is not None else ():
            if quote.prices is not None:
                known = self._known[quote.key]
                known.prices, known.said = quote.prices, quote.said

    def _say(self, family: str, quote: _Quote, known: _Known | None, stopped: set[str]) -> MarketOdds | None:
        if known is None:
            return None if quote.prices is None else self._say_first(family, quote, stopped)
        if known.settled or not stopped.isdisjoint(known.groups) or (quote.prices is None and known.prices is None):
            return None
        if quote.prices is None:
            known.prices, known.closed = None, "suspended"
            self._active[family].pop(quote.key, None)
        else:
            self._open(family, quote, known)
        return quote.said

    def _say_first(self, family: str, quote: _Quote, stopped: set[str]) -> MarketOdds | None:
        """Say a market that nobody has heard of, with its groups."""
        groups = self._catalogue[quote.key[0]].groups
        if not stopped.isdisjoint(groups):
            return None
        known = self._known[quote.key] = _Known(groups, quote.said)
        self._open(family, quote, known)
        return _with_groups(quote.said, groups)

    def _open(self, family: str, quote: _Quote, known: _Known) -> None:
        known.prices, known.said = quote.prices, quote.said
        self._active[family][quote.key] = known
        if quote.outcomes != known.outcomes:
            known.outcomes += tuple(each for each in quote.outcomes if each not in known.outcomes)

    def _withdrawn(self, active: dict[Key, _Known], offered: frozenset[Key], stopped: set[str]) -> list[MarketOdds]:
        """Close the lines that prices moved away from."""
        gone = [key for key, known in active.items() if key not in offered and stopped.isdisjoint(known.groups)]
        for key in gone:
            known = active.pop(key)
            known.prices, known.closed = None, "inactive"
        return [MarketOdds(market=market, line=line, status="inactive") for market, line in gone]

    def results(self, view: View, *, again: bool = False) -> tuple[MarketResult, ...]:
        """Return the results of markets that are decided: of those that were not before, or with `again` of all."""
        found = []
        self._settle_pages()
        for (market, line), known in self._known.items():
            if known.settled and not again:
                continue
            results = view.results(market, line, known.outcomes)
            if results is not None:
                known.settled, known.prices = True, None
                for active in self._active.values():
                    active.pop((market, line), None)
                outcomes = tuple(map(_outcome_result, known.outcomes, results))
                found.append(MarketResult(market=market, line=line, outcomes=outcomes))
        return tuple(found)

    def unseen(self, endings: Iterable[Ending]) -> tuple[MarketResult, ...]:
        """Return the results of markets that were never offered; winners share a win."""
        return tuple(_ending(each) for each in endings if (each.market, each.line) not in self._known)

    def others(self, results: Iterable[MarketResult]) -> tuple[MarketRef, ...]:
        """Name the markets that are not among these results."""
        named = {(each.market, each.line) for each in results}
        return tuple(MarketRef(market=market, line=line) for market, line in self._known if (market, line) not in named)

    def some(self, group: str, count: int) -> tuple[MarketRef, ...]:
        """Name a few markets of a group that stand open."""
        found = [key for active in self._active.values() for key, known in active.items() if group in known.groups]
        return tuple(MarketRef(market=market, line=line) for market, line in found[:count])


@lru_cache(maxsize=16)
def _pages(margin: float) -> Kept[tuple[Offer, ...], Page]:
    """Return the pages of a margin, which all its events share."""

    def page(offers: tuple[Offer, ...]) -> Page:
        quotes = tuple(_quote(offer, margin) for offer in offers)
        shape = _shape(tuple((each.key, each.prices is not None) for each in quotes))
        return Page(
            quotes,
            frozenset(each.key for each in quotes),
            shape,
            tuple(each.prices for each in quotes),
            tuple(each.said for each in quotes if each.prices is not None),
        )

    return Kept(page, PAGES_MAX)


@lru_cache(maxsize=PAGES_MAX)
def _shape(shape: tuple[tuple[Key, bool], ...]) -> tuple[tuple[Key, bool], ...]:
    """Return the one object for a shape."""
    return shape


def _quote(offer: Offer, margin: float) -> _Quote:
    key = offer.market, offer.line
    odds = priced(offer.probabilities, margin) if offer.whole else priced_each(offer.probabilities, margin)
    if odds is None or not any(odds):
        return _Quote(key, offer.outcomes, None, MarketOdds(market=key[0], line=key[1], status="suspended"))
    prices = tuple(odds)
    return _Quote(key, offer.outcomes, prices, _market(*key, offer.outcomes, prices))


@lru_cache(maxsize=2 * _CACHED)
def _market(market: str, line: str, outcomes: tuple[str, ...], prices: Prices) -> MarketOdds:
    said = tuple(map(_outcome, outcomes, prices))
    return MarketOdds(market=market, line=line, status="active", outcomes=said, complete=True)


@lru_cache(maxsize=_CACHED)
def _outcome(outcome: str, odds: int | None) -> OutcomeOdds:
    if odds is None:
        return OutcomeOdds(id=outcome, odds=None, active=False)
    return OutcomeOdds(id=outcome, odds=odds_text.text(odds), active=True)


def _with_groups(said: MarketOdds, groups: tuple[str, ...]) -> MarketOdds:
    return structs.replace(said, groups=groups)


@lru_cache(maxsize=_CACHED)
def _outcome_result(outcome: str, result: Result) -> OutcomeResult:
    return OutcomeResult(id=outcome, result=result)


def _ending(ending: Ending) -> MarketResult:
    won = len(ending.winners)
    share = None if won == 1 else _SHARES.get(won) or f"{1 / won:.{SHARE_DIGITS}f}"
    outcomes = tuple(
        OutcomeResult(id=each, result="won", dead_heat=share)
        if each in ending.winners
        else OutcomeResult(id=each, result="lost")
        for each in ending.outcomes
    )
    return MarketResult(market=ending.market, line=ending.line, outcomes=outcomes)


_SHARES: Final[Mapping[int, str]] = {2: "0.5", 4: "0.25", 5: "0.2", 8: "0.125", 10: "0.1"}
"""Of a win that so many share, in shortest decimal."""
