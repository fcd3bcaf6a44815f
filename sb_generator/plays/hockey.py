"""Ice hockey: three periods of Poisson goals, then five minutes of sudden death, then a shoot-out.

The model: regular time as in football, from the seconds that are left. A match that is level after it goes to overtime,
which each side wins in the proportion of its strength; a winner there or in the shoot-out gets one goal more, so markets
that include overtime know no draw, and their total is one higher after one.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import exp
from typing import Final

from sb_core.messages import PeriodScore
from sb_core.sports.catalogue import HOME_AWAY, OVER_UNDER, YES_NO
from sb_generator.chance import Chance
from sb_generator.plays import goal_markets as markets
from sb_generator.plays.goal_markets import Scope
from sb_generator.prices import STEP_SHARE, at_raster, quarters_text, raster
from sb_generator.scene import Incident, Moment, Offer, Play, Sheet, Strengths, added, begun

PERIOD_S: Final = 1_200
REGULAR_S: Final = 3 * PERIOD_S
OVERTIME_S: Final = 300
BREAK_S: Final = 1_020.0
PACE: Final = 0.55
"""Seconds of the match clock per second."""
PENALTIES: Final = 3.6
"""A side and match."""
OVERTIME_GOALS: Final = 1.1
"""Expected of both sides in a whole overtime of three against three."""
SIDES: Final = ("home", "away")
ALL: Final = ("all",)
Won = tuple[tuple[tuple[str, str], str], ...]
PERIODS: Final = ("1st_period", "2nd_period", "3rd_period")


def strengths(chance: Chance) -> Strengths:
    """Draw how many goals each side is expected to score in regular time."""
    return Strengths(3.05 * exp(0.2 * chance.normal()), 2.75 * exp(0.2 * chance.normal()))


def play(chance: Chance, expected: Strengths) -> tuple[Moment, ...]:
    """Play a match."""
    match = _Match(expected, chance)
    for number in (1, 2, 3):
        match.period(number)
    if match.level:
        match.overtime()
    if match.level:
        match.shootout()
    match.end()
    return tuple(match.moments)


class _Match:
    def __init__(self, expected: Strengths, chance: Chance) -> None:
        self.moments: list[Moment] = []
        self._expected = expected
        self._chance = chance
        self._score = [0, 0]
        self._details = {"penalties_home": 0, "penalties_away": 0}
        self._periods: tuple[PeriodScore, ...] = ()
        self._now_s = 0.0
        self._done: frozenset[tuple[str, int]] = frozenset()

    @property
    def level(self) -> bool:
        return self._score[0] == self._score[1]

    def period(self, number: int) -> None:
        chance = self._chance
        if number > 1:
            self._now_s += BREAK_S
        self._periods = begun(self._periods, "period", number)
        self._tell((number - 1) * PERIOD_S, PERIODS[number - 1], "start" if number == 1 else "period", PACE)
        weights = (self._expected.home, self._expected.away, PENALTIES, PENALTIES)
        begun_s, played_s = self._now_s, 0.0
        while True:
            played_s += chance.wait(REGULAR_S / sum(weights))
            if played_s >= PERIOD_S:
                break
            self._now_s = begun_s + played_s / PACE
            self._incident(number, played_s, chance.weighted(weights))
        self._now_s = begun_s + PERIOD_S / PACE
        self._done |= {("period", number)}
        period = "break" if number < 3 else "awaiting_overtime" if self.level else PERIODS[2]
        none: Won = ()
        if number == 3:
            # the market is regular time's
            none = ((("next_goal", f"goalnr={sum(self._score) + 1}"), "none"),)
        self._tell(number * PERIOD_S, period, "period", 0.0, ALL, 20.0, none)

    def _incident(self, number: int, played_s: float, kind: int) -> None:
        side = kind % 2
        clock_s = (number - 1) * PERIOD_S + played_s
        if kind >= 2:
            self._details[f"penalties_{SIDES[side]}"] += 1
            self._tell(clock_s, PERIODS[number - 1], "penalty", PACE, ALL, self._chance.between(5, 12))
        else:
            self._goal(side, clock_s, PERIODS[number - 1], PACE)

    def _goal(self, side: int, clock_s: float, period: str, pace: float) -> None:
        self._score[side] += 1
        self._periods = added(self._periods, 1 - side, side)
        won: Won = ()
        if period in PERIODS:
            won = ((("next_goal", f"goalnr={sum(self._score)}"), SIDES[side]),)
        self._tell(clock_s, period, "goal", pace, ALL, self._chance.between(10, 30), won)

    def overtime(self) -> None:
        self._now_s += 120.0
        self._periods = begun(self._periods, "overtime", 1)
        self._tell(REGULAR_S, "overtime", "period", PACE)
        played_s = self._chance.wait(OVERTIME_S / OVERTIME_GOALS)
        begun_s = self._now_s
        self._now_s = begun_s + min(played_s, OVERTIME_S) / PACE
        if played_s < OVERTIME_S:
            self._goal(self._stronger(), REGULAR_S + played_s, "overtime", 0.0)
        else:
            self._tell(REGULAR_S + OVERTIME_S, "awaiting_penalties", "period", 0.0, ALL, 20.0)
        self._done |= {("overtime", 1)}

    def shootout(self) -> None:
        self._now_s += 120.0
        self._periods = begun(self._periods, "penalties", 1)
        self._tell(REGULAR_S + OVERTIME_S, "penalties", "period", 0.0, ALL, 3_600.0)
        self._now_s += self._chance.between(120, 420)
        self._goal(self._stronger(), REGULAR_S + OVERTIME_S, "penalties", 0.0)

    def _stronger(self) -> int:
        return self._chance.weighted((self._expected.home, self._expected.away))

    def end(self) -> None:
        self._now_s += 3.0
        last = self.moments[-1]
        self._tell(last.played_s, last.period, "end", 0.0, ALL)

    def _tell(
        self,
        played_s: float,
        period: str,
        incident: Incident,
        pace: float,
        stop: tuple[str, ...] = (),
        stop_s: float = 0.0,
        won: Won = (),
    ) -> None:
        self.moments.append(
            Moment(
                at_s=self._now_s,
                home=self._score[0],
                away=self._score[1],
                period=period,
                periods=self._periods,
                incident=incident,
                played_s=played_s,
                pace=pace,
                length_s=REGULAR_S + OVERTIME_S if played_s >= REGULAR_S else REGULAR_S,
                details=dict(self._details),
                stop=stop,
                stop_s=stop_s,
                won=won,
                done=self._done,
            )
        )


def _regular(sheet: Sheet) -> tuple[int, int]:
    home = away = 0
    for part in sheet.moment.periods:
        if part.type == "period":
            home += part.home or 0
            away += part.away or 0
    return home, away


def book(sheet: Sheet, family: str) -> tuple[Offer, ...]:
    """Give the offers of one family."""
    rate_home, rate_away = sheet.strengths.home / REGULAR_S, sheet.strengths.away / REGULAR_S
    left_s = max(0.0, REGULAR_S - sheet.clock_s)
    home, away = _regular(sheet)
    if left_s <= 0:
        return _sudden_death(raster(rate_home / rate_away)) if family == "incl_ot" and home == away else ()
    if family == "period":
        return _of_periods(sheet, rate_home, rate_away)
    return _priced(family, (home, away), raster(rate_home * left_s), raster(rate_away * left_s))


@lru_cache(maxsize=4_096)
def _sudden_death(proportion: int) -> tuple[Offer, ...]:
    share = at_raster(proportion) / (1.0 + at_raster(proportion))
    return (Offer("money_line_incl_ot", "", HOME_AWAY, (share, 1.0 - share)),)


@lru_cache(maxsize=markets.BOOKS_MAX)
def _priced(family: str, now: tuple[int, int], home_place: int, away_place: int) -> tuple[Offer, ...]:
    scope = Scope(*now, at_raster(home_place), at_raster(away_place))
    return tuple((_FAMILIES.get(family) or markets.FAMILIES[family])(scope, ""))


def _handicaps(scope: Scope, _suffix: str) -> Iterator[Offer]:
    middle = -2 * scope.margin - round(2 * (scope.home_mean - scope.away_mean))
    for half in (middle - 1, middle, middle + 1):
        yield markets.handicap("handicap", 2 * half, scope.margin, scope.lead)


def _scores(scope: Scope, _suffix: str) -> Iterator[Offer]:
    yield markets.next_goal(scope)


def _incl_ot(scope: Scope, _suffix: str) -> Iterator[Offer]:
    home, draw, away = scope.result()
    share = scope.home_mean / (scope.home_mean + scope.away_mean) if scope.home_mean + scope.away_mean > 0 else 0.5
    yield Offer("money_line_incl_ot", "", HOME_AWAY, (home + draw * share, away + draw * (1.0 - share)))
    yield Offer("overtime", "", YES_NO, (draw, 1.0 - draw))
    for quarters in (-6, 6):
        # a lead of one after overtime never covers a line and a half
        cover = scope.lead.over(-quarters - 4 * scope.margin)
        yield Offer("handicap_incl_ot", f"hcp={quarters_text(quarters)}", HOME_AWAY, (cover, 1.0 - cover))
    now = scope.home + scope.away
    middle = now + int(scope.home_mean + scope.away_mean)
    for whole in range(max(now, middle - 1), middle + 2):
        over = scope.total.at_least(whole + 1 - now) + _level_at(scope, whole)
        yield Offer("total_incl_ot", f"total={quarters_text(4 * whole + 2)}", OVER_UNDER, (over, 1.0 - over))


def _level_at(scope: Scope, total: int) -> float:
    """Return the probability of a draw with so many goals, which overtime raises by one."""
    if total % 2:
        return 0.0
    home, away = total // 2 - scope.home, total // 2 - scope.away
    if not (0 <= home < len(scope.home_pmf) and 0 <= away < len(scope.away_pmf)):
        return 0.0
    return scope.home_pmf[home] * scope.away_pmf[away]


def _of_periods(sheet: Sheet, rate_home: float, rate_away: float) -> tuple[Offer, ...]:
    """Price the period that is played; while it is still whole the one after it isn't offered."""
    for number in (1, 2, 3):
        left_s = min(float(PERIOD_S), max(0.0, number * PERIOD_S - sheet.clock_s))
        if left_s <= 0:
            continue
        home = away = 0
        for part in sheet.moment.periods:
            if part.type == "period" and part.number == number:
                home, away = part.home or 0, part.away or 0
        return _of_period(number, (home, away), raster(rate_home * left_s), raster(rate_away * left_s))
    return ()


@lru_cache(maxsize=markets.BOOKS_MAX)
def _of_period(number: int, now: tuple[int, int], home_place: int, away_place: int) -> tuple[Offer, ...]:
    scope = Scope(*now, at_raster(home_place), at_raster(away_place))
    line = f"period={number}"
    return (
        *markets.results(scope, "_period", line),
        *markets.totals(scope, "_period", line, lines=1, quarters=False),
    )


_FAMILIES: Final[Mapping[str, Callable[[Scope, str], Iterator[Offer]]]] = {
    "incl_ot": _incl_ot,
    "handicaps": _handicaps,
    "scores": _scores,
}
PLAY: Final[Play] = Play(
    sport="hockey",
    margin=1.046,
    duration_s=REGULAR_S / PACE + 2 * BREAK_S + 200,
    families=("incl_ot", "result", "totals", "handicaps", "teams", "scores", "period"),
    before=("incl_ot", "result", "totals", "handicaps", "teams"),
    strengths=strengths,
    play=play,
    book=book,
    drift=STEP_SHARE,
)
