"""Basketball: possessions of four quarters (and overtimes until somebody wins), priced by the normal distribution.

The model: a possession gives 0 to 3 points; the sum of many is normal, so leads and totals still to come have a mean
from the strengths and a variance from the possessions that are left.
"""

from collections.abc import Iterator
from math import exp, sqrt
from typing import Final

from sb_core.messages import PeriodScore
from sb_core.sports.catalogue import HOME_AWAY, HOME_DRAW_AWAY, ODD_EVEN, YES_NO
from sb_generator.chance import Chance
from sb_generator.plays.goal_markets import draw_no_bet, handicap, total
from sb_generator.prices import normal
from sb_generator.scene import Incident, Moment, Offer, Play, Sheet, Strengths, added, begun

QUARTER_S: Final = 600
REGULAR_S: Final = 4 * QUARTER_S
OVERTIME_S: Final = 300
PACE: Final = 0.45
"""Seconds of the match clock per second."""
BREAKS_S: Final = (0.0, 120.0, 900.0, 120.0)
POSSESSION_S: Final = 16.0
"""Of one side, mean."""
VARIANCE_A_POSSESSION: Final = 1.28
SHARES: Final = (0.46, 0.08, 0.33, 0.13)
"""Of 0 to 3 points a possession, of a side of strength 1 …"""
POINTS: Final = 1.13
"""… and their mean."""
QUARTERS: Final = ("1st_quarter", "2nd_quarter", "3rd_quarter", "4th_quarter")
ALL: Final = ("all",)
OVERTIMES_MAX: Final = 9


def strengths(chance: Chance) -> Strengths:
    """Draw each side's points a possession, relative to the mean."""
    return Strengths(1.02 * exp(0.05 * chance.normal()), 0.98 * exp(0.05 * chance.normal()))


def play(chance: Chance, expected: Strengths) -> tuple[Moment, ...]:
    """Play a match."""
    match = _Match(expected, chance)
    for number in (1, 2, 3, 4):
        match.stretch("quarter", number, QUARTER_S, BREAKS_S[number - 1])
    number = 0
    while match.level:
        number += 1
        match.stretch("overtime", number, OVERTIME_S, 120.0)
        if number == OVERTIMES_MAX and match.level:
            match.decide()
    match.end()
    return tuple(match.moments)


class _Match:
    def __init__(self, expected: Strengths, chance: Chance) -> None:
        self.moments: list[Moment] = []
        self._expected = expected
        self._chance = chance
        self._score = [0, 0]
        self._periods: tuple[PeriodScore, ...] = ()
        self._now_s = 0.0
        self._played_s = 0.0
        self._done: frozenset[tuple[str, int]] = frozenset()

    @property
    def level(self) -> bool:
        return self._score[0] == self._score[1]

    def stretch(self, kind: str, number: int, length_s: int, break_s: float) -> None:
        chance = self._chance
        self._now_s += break_s
        period = QUARTERS[number - 1] if kind == "quarter" else "overtime"
        self._periods = begun(self._periods, kind, number)
        self._tell(period, "start" if not self.moments else "period", PACE)
        begun_s, begun_played_s = self._now_s, self._played_s
        side = chance.below(2)
        # a quarter begins in the midst of things, as far as the count of possessions goes
        in_s = chance.between(0.0, 1.12) * POSSESSION_S
        while in_s < length_s:
            self._now_s = begun_s + in_s / PACE
            self._played_s = begun_played_s + in_s
            self._possession(side, period)
            side = 1 - side
            in_s += chance.between(0.4, 1.6) * POSSESSION_S
        self._now_s = begun_s + length_s / PACE
        self._played_s = begun_played_s + length_s
        self._done |= {(kind, number)}
        self._tell(self._after(kind, number), "period", 0.0, ALL, 15.0)

    def _after(self, kind: str, number: int) -> str:
        if kind == "quarter" and number < 4:
            return "half_time" if number == 2 else "break"
        return "awaiting_overtime" if self.level else "4th_quarter" if kind == "quarter" else "overtime"

    def _possession(self, side: int, period: str) -> None:
        chance = self._chance
        factor = (self._expected.home, self._expected.away)[side]
        scored = [share * factor for share in SHARES[1:]]
        points = chance.weighted((max(0.0, 1.0 - sum(scored)), *scored))
        if points == 0:
            return
        self._score[side] += points
        self._periods = added(self._periods, points * (1 - side), points * side)
        # the longer look at a shot from far away
        stop = ALL if points == 3 and chance.happens(0.3) else ()
        self._tell(period, "points", PACE, stop, chance.between(2, 5) if stop else 0.0)

    def decide(self) -> None:
        """End a match that has gone on for too long, by a free throw."""
        side = self._chance.below(2)
        self._score[side] += 1
        self._periods = added(self._periods, 1 - side, side)
        self._now_s += 1.0
        self._tell("overtime", "points", 0.0)

    def end(self) -> None:
        self._now_s += 3.0
        self._tell(self.moments[-1].period, "end", 0.0, ALL)

    def _tell(
        self, period: str, incident: Incident, pace: float, stop: tuple[str, ...] = (), stop_s: float = 0.0
    ) -> None:
        overtimes = max(0, len(self._periods) - 4)
        self.moments.append(
            Moment(
                at_s=self._now_s,
                home=self._score[0],
                away=self._score[1],
                period=period,
                periods=self._periods,
                incident=incident,
                played_s=self._played_s,
                pace=pace,
                length_s=REGULAR_S + OVERTIME_S * overtimes,
                stop=stop,
                stop_s=stop_s,
                done=self._done,
            )
        )


class _Stretch:
    """A stretch of a match: its score so far and the points still to come in so many seconds."""

    def __init__(self, home: int, away: int, seconds: float, expected: Strengths) -> None:
        each = seconds / (2 * POSSESSION_S)
        deviation = sqrt(2 * each * VARIANCE_A_POSSESSION)
        self.home, self.away = home, away
        self.gained_mean = each * POINTS * (expected.home - expected.away)
        self.total_mean = each * POINTS * (expected.home + expected.away)
        self.gained = normal(self.gained_mean, deviation)
        self.rest = normal(self.total_mean, deviation)

    @property
    def margin(self) -> int:
        return self.home - self.away

    def result(self) -> tuple[float, float, float]:
        home = self.gained.at_least(1 - self.margin)
        draw = self.gained.exactly(-self.margin)
        return home, draw, max(1.0 - home - draw, 0.0)


def book(sheet: Sheet, family: str) -> Iterator[Offer]:
    """Give the offers of one family."""
    if family == "quarter":
        yield from _of_quarters(sheet)
        return
    left_s = 2 * QUARTER_S - sheet.clock_s
    if family == "1st_half":
        if left_s > 0 and "overtime" not in sheet.moment.period:
            so_far = _sum(sheet.moment.periods, "quarter", 2)
            yield from _drawable(_Stretch(*so_far, left_s, sheet.strengths), "_1st_half", "", 1)
        return
    left_s = REGULAR_S - sheet.clock_s
    if left_s <= 0:
        if family == "incl_ot":
            yield from _overtime(sheet)
        return
    stretch = _Stretch(sheet.moment.home, sheet.moment.away, left_s, sheet.strengths)
    if family == "incl_ot":
        home, draw, away = stretch.result()
        share = 0.5 + (sheet.strengths.home - sheet.strengths.away)
        yield Offer("money_line", "", HOME_AWAY, (home + draw * share, away + draw * (1.0 - share)))
        yield Offer("overtime", "", YES_NO, (draw, 1.0 - draw))
        yield from _lines(stretch, "_incl_ot", "", 2)
    else:
        yield from _drawable(stretch, "", "", 1)


def _overtime(sheet: Sheet) -> Iterator[Offer]:
    """Price the winner while overtimes are played, each of which may be followed by another."""
    length_s = (sheet.moment.length_s or REGULAR_S) - sheet.clock_s
    if length_s <= 0:
        return
    stretch = _Stretch(sheet.moment.home, sheet.moment.away, length_s, sheet.strengths)
    home, draw, away = stretch.result()
    yield Offer("money_line", "", HOME_AWAY, (home + draw / 2, away + draw / 2))


def _sum(periods: tuple[PeriodScore, ...], kind: str, number_max: int) -> tuple[int, int]:
    parts = [part for part in periods if part.type == kind and part.number <= number_max]
    return sum(part.home or 0 for part in parts), sum(part.away or 0 for part in parts)


def _of_quarters(sheet: Sheet) -> Iterator[Offer]:
    for number in (1, 2, 3, 4):
        left_s = min(float(QUARTER_S), number * QUARTER_S - sheet.clock_s)
        if left_s <= 0:
            continue
        home = away = 0
        for part in sheet.moment.periods:
            if part.type == "quarter" and part.number == number:
                home, away = part.home or 0, part.away or 0
        yield from _drawable(_Stretch(home, away, left_s, sheet.strengths), "_quarter", f"quarter={number}", 1)
        return


def _drawable(stretch: _Stretch, suffix: str, line: str, lines: int) -> Iterator[Offer]:
    home, draw, away = stretch.result()
    yield Offer(f"1x2{suffix}", line, HOME_DRAW_AWAY, (home, draw, away))
    yield draw_no_bet(f"draw_no_bet{suffix}", home, away, line)
    yield from _lines(stretch, suffix, line, lines)


def _lines(stretch: _Stretch, suffix: str, line: str, lines: int) -> Iterator[Offer]:
    # lines stand on a raster, so that a basket doesn't move them all
    step = 2 if lines > 1 else 3
    now = stretch.home + stretch.away
    middle = step * round((-stretch.margin - stretch.gained_mean) / step)
    expected = step * round((now + stretch.total_mean) / step)
    for place in range(-lines, lines + 1):
        quarters = 4 * (middle + step * place) + 2
        yield handicap(f"handicap{suffix}", quarters, stretch.margin, stretch.gained, line)
        if expected + step * place >= now:
            yield total(f"total{suffix}", 4 * (expected + step * place) + 2, now, stretch.rest, line)
    yield Offer(f"odd_even{suffix}", line, ODD_EVEN, (0.5, 0.5))


PLAY: Final[Play] = Play(
    sport="basketball",
    margin=1.048,
    duration_s=REGULAR_S / PACE + sum(BREAKS_S) + 100,
    families=("incl_ot", "regular", "1st_half", "quarter"),
    before=("incl_ot", "regular", "1st_half"),
    strengths=strengths,
    play=play,
    book=book,
    drift=0.003,
)
