"""The markets on goals that football and hockey share, priced from two Poisson means. Pure.

The rule: a market is offered while nothing of it is decided, and its lines lie around what one expects.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from sb_core.sports.catalogue import (
    DOUBLE_CHANCE,
    HALF_TIME_FULL_TIME,
    HOME_AWAY,
    HOME_DRAW_AWAY,
    HOME_NONE_AWAY,
    ODD_EVEN,
    OVER_UNDER,
    YES_NO,
)
from sb_generator.prices import Spread, at_raster, goals, lead, odd, quarters_text, raster
from sb_generator.scene import Ending, Offer

BOOKS_MAX: Final = 16_384
"""Books that are kept, since the next event with the same outlook asks for the same."""
_SCORES_AHEAD: Final = 3
_EVEN: Final = 0.5


class Scope:
    """A stretch of a match: its score so far, the goals that one expects in what is left of it, and what follows."""

    __slots__ = ("_lead", "_total", "away", "away_mean", "away_pmf", "home", "home_mean", "home_pmf")

    def __init__(self, home: int, away: int, home_mean: float, away_mean: float) -> None:
        self.home = home
        self.away = away
        self.home_mean = home_mean
        self.away_mean = away_mean
        self.home_pmf = goals(home_mean)
        self.away_pmf = goals(away_mean)
        self._lead: Spread | None = None
        self._total: Spread | None = None

    @property
    def margin(self) -> int:
        """The lead of the home side."""
        return self.home - self.away

    @property
    def lead(self) -> Spread:
        """The distribution of the lead that is still to be gained."""
        if self._lead is None:
            self._lead = lead(self.home_pmf, self.away_pmf)
        return self._lead

    @property
    def total(self) -> Spread:
        """The distribution of the goals still to come."""
        if self._total is None:
            self._total = Spread(0, goals(self.home_mean + self.away_mean))
        return self._total

    def result(self) -> tuple[float, float, float]:
        """Return the probabilities of home, draw, away."""
        home = self.lead.at_least(1 - self.margin)
        draw = self.lead.exactly(-self.margin)
        return home, draw, max(1.0 - home - draw, 0.0)


def total(market: str, quarters: int, now: int, rest: Spread, line: str = "") -> Offer:
    """Offer over and under a line of so many quarters."""
    over = rest.over(quarters - 4 * now)
    return Offer(market, _line(f"total={quarters_text(quarters)}", line), OVER_UNDER, (over, 1.0 - over))


def handicap(market: str, quarters: int, margin: int, gained: Spread, line: str = "") -> Offer:
    """Offer both sides with a handicap of so many quarters on home."""
    home = gained.over(-quarters - 4 * margin)
    return Offer(market, _line(f"hcp={quarters_text(quarters)}", line), HOME_AWAY, (home, 1.0 - home))


def _line(own: str, more: str) -> str:
    return f"{own}|{more}" if more and own < more else f"{more}|{own}" if more else own


def results(scope: Scope, suffix: str, line: str = "") -> Iterator[Offer]:
    """Give 1x2, double chance, draw no bet."""
    home, draw, away = scope.result()
    yield Offer(f"1x2{suffix}", line, HOME_DRAW_AWAY, (home, draw, away))
    double = (home + draw, home + away, draw + away)
    yield Offer(f"double_chance{suffix}", line, DOUBLE_CHANCE, double, whole=False)
    yield draw_no_bet(f"draw_no_bet{suffix}", home, away, line)


def draw_no_bet(market: str, home: float, away: float, line: str) -> Offer:
    """Offer home and away with stakes back on a draw."""
    share = home / (home + away) if home + away > 0 else _EVEN
    return Offer(market, line, HOME_AWAY, (share, 1.0 - share))


def totals(scope: Scope, suffix: str, line: str = "", *, lines: int = 2, quarters: bool = True) -> Iterator[Offer]:
    """Give totals on half lines around the middle, and on the quarter and whole lines next to it."""
    now = scope.home + scope.away
    middle = now + int(scope.home_mean + scope.away_mean)
    for whole in range(max(now, middle - lines), middle + lines + 1):
        yield total(f"total{suffix}", 4 * whole + 2, now, scope.total, line)
    if quarters:
        for step in (-1, 1, 2):
            if 4 * middle + 2 + step > 4 * now + 1:
                yield total(f"total{suffix}", 4 * middle + 2 + step, now, scope.total, line)


def handicaps(scope: Scope, suffix: str, line: str = "") -> Iterator[Offer]:
    """Give Asian handicaps in quarter steps around the even one, and European ones next to it."""
    middle = -4 * scope.margin - round(4 * (scope.home_mean - scope.away_mean))
    for quarters in range(middle - 2, middle + 3):
        yield handicap(f"asian_handicap{suffix}", quarters, scope.margin, scope.lead, line)
    if suffix:
        return
    for ahead in (-1, 1):
        margin = scope.margin + ahead
        home = scope.lead.at_least(1 - margin)
        draw = scope.lead.exactly(-margin)
        start = f"{max(ahead, 0)}:{max(-ahead, 0)}"
        yield Offer("european_handicap", f"hcp={start}", HOME_DRAW_AWAY, (home, draw, max(1.0 - home - draw, 0.0)))


def teams(scope: Scope, suffix: str, line: str = "") -> Iterator[Offer]:
    """Give each side's total, both teams to score, odd or even."""
    for side, now, pmf in (("home", scope.home, scope.home_pmf), ("away", scope.away, scope.away_pmf)):
        rest = Spread(0, pmf)
        for whole in (now, now + 1):
            yield total(f"{side}_total{suffix}", 4 * whole + 2, now, rest, line)
    yield both(scope, suffix, line)
    share = odd(goals(scope.home_mean + scope.away_mean))
    share = 1.0 - share if (scope.home + scope.away) % 2 else share
    yield Offer(f"odd_even{suffix}", line, ODD_EVEN, (share, 1.0 - share))


def both(scope: Scope, suffix: str, line: str = "") -> Offer:
    """Offer both teams to score."""
    home = 1.0 if scope.home else 1.0 - scope.home_pmf[0]
    away = 1.0 if scope.away else 1.0 - scope.away_pmf[0]
    return Offer(f"both_teams_to_score{suffix}", line, YES_NO, (home * away, 1.0 - home * away))


def next_goal(scope: Scope, suffix: str = "", line: str = "") -> Offer:
    """Offer who scores next."""
    mean = scope.home_mean + scope.away_mean
    none = scope.total.exactly(0)
    home = (1.0 - none) * (scope.home_mean / mean if mean > 0 else _EVEN)
    number = scope.home + scope.away + 1
    own = _line(f"goalnr={number}", line)
    return Offer(f"next_goal{suffix}", own, HOME_NONE_AWAY, (home, none, max(1.0 - none - home, 0.0)))


def scores(scope: Scope, suffix: str, line: str = "") -> Iterator[Offer]:
    """Give next goal and correct score."""
    yield next_goal(scope, suffix, line)
    outcomes: list[str] = []
    shares: list[float] = []
    for home in range(_SCORES_AHEAD + 1):
        for away in range(_SCORES_AHEAD + 1):
            outcomes.append(f"{scope.home + home}:{scope.away + away}")
            shares.append(scope.home_pmf[home] * scope.away_pmf[away])
    yield Offer(f"correct_score{suffix}", line, tuple(outcomes), tuple(shares), whole=False)


def half_time_full_time(half: tuple[int, int], full: tuple[int, int]) -> Ending:
    """Say how half time and full time ended together."""
    winner = "/".join("home" if home > away else "away" if away > home else "draw" for home, away in (half, full))
    return Ending("half_time_full_time", "", HALF_TIME_FULL_TIME, frozenset({winner}))


def halves(scope: Scope, suffix: str) -> Iterator[Offer]:
    """Give the markets of a half."""
    yield from results(scope, suffix)
    yield from totals(scope, suffix, lines=1, quarters=False)
    middle = -4 * scope.margin - 2 * round(2 * (scope.home_mean - scope.away_mean))
    for quarters in (middle - 1, middle, middle + 1):
        yield handicap(f"asian_handicap{suffix}", quarters, scope.margin, scope.lead)
    yield both(scope, suffix)


FAMILIES: Final[Mapping[str, Callable[[Scope, str], Iterator[Offer]]]] = {
    "halves": halves,
    "result": results,
    "totals": totals,
    "handicaps": handicaps,
    "teams": teams,
    "scores": scores,
}


def book(family: str, suffix: str, now: tuple[int, int], home_mean: float, away_mean: float) -> tuple[Offer, ...]:
    """Give the offers of a family: for the goals so far, and the means of those to come on the raster."""
    return _book(FAMILIES[family], suffix, now, raster(home_mean), raster(away_mean))


@lru_cache(maxsize=BOOKS_MAX)
def _book(
    family: Callable[[Scope, str], Iterator[Offer]], suffix: str, now: tuple[int, int], home_place: int, away_place: int
) -> tuple[Offer, ...]:
    return tuple(family(Scope(*now, at_raster(home_place), at_raster(away_place)), suffix))
