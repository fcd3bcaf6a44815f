"""Basketball: possessions of four quarters (and overtimes until somebody wins), priced by the normal distribution.

The model: a possession gives 0 to 3 points; the sum of many is normal, so leads and totals still to come have a mean
from the strengths and a variance from the possessions that are left.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import exp, sqrt
from typing import Final

from sb_core.messages import PeriodScore
from sb_core.sports.catalogue import HOME_AWAY, HOME_DRAW_AWAY, ODD_EVEN, YES_NO
from sb_generator.chance import Chance
from sb_generator.plays.goal_markets import BOOKS_MAX, draw_no_bet, half_time_full_time, handicap, total
from sb_generator.prices import normal
from sb_generator.scene import Ending, Incident, Moment, Offer, Play, Sheet, Strengths, added, begun

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
STRENGTH_STEP: Final = 0.003
CLOCK_STEP_S: Final = 15
"""What is left of the clock is priced in steps of this."""
PLAYERS: Final = 5
"""Of each side; the first scores most."""
SCORER_SHARES: Final = (0.32, 0.24, 0.18, 0.15, 0.11)


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
        self._tally = [0] * (2 * PLAYERS)

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
        self._tally[side * PLAYERS + chance.weighted(SCORER_SHARES)] += points
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
                tally=tuple(self._tally),
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


def book(sheet: Sheet, family: str) -> tuple[Offer, ...]:
    """Give the offers of one family."""
    strengths = _place(sheet.strengths.home), _place(sheet.strengths.away)
    if family == "quarter":
        return _of_quarters(sheet, strengths)
    if family == "1st_half":
        left_s = 2 * QUARTER_S - sheet.clock_s
        if left_s <= 0 or "overtime" in sheet.moment.period:
            return ()
        return _first_half(_sum(sheet.moment.periods, 2), _left(left_s), strengths)
    left_s = REGULAR_S - sheet.clock_s
    score = sheet.moment.home, sheet.moment.away
    if family == "players":
        return _players(sheet, _left(left_s), strengths) if left_s > 0 else ()
    if left_s > 0:
        return (_incl_ot if family == "incl_ot" else _regular)(score, _left(left_s), strengths)
    length_s = (sheet.moment.length_s or REGULAR_S) - sheet.clock_s
    return _overtime(score, _left(length_s), strengths) if family == "incl_ot" and length_s > 0 else ()


def _place(strength: float) -> int:
    return round((strength - 1.0) / STRENGTH_STEP)


def _left(seconds: float) -> int:
    """Return a time on its raster; what is left is never nothing."""
    return max(1, round(seconds / CLOCK_STEP_S))


def _stretch(score: tuple[int, int], left: int, places: tuple[int, int]) -> _Stretch:
    expected = Strengths(1.0 + places[0] * STRENGTH_STEP, 1.0 + places[1] * STRENGTH_STEP)
    return _Stretch(*score, float(left * CLOCK_STEP_S), expected)


@lru_cache(maxsize=BOOKS_MAX)
def _incl_ot(score: tuple[int, int], left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    stretch = _stretch(score, left, places)
    home, draw, away = stretch.result()
    share = 0.5 + (places[0] - places[1]) * STRENGTH_STEP
    return (
        Offer("money_line", "", HOME_AWAY, (home + draw * share, away + draw * (1.0 - share))),
        Offer("overtime", "", YES_NO, (draw, 1.0 - draw)),
        *_lines(stretch, "_incl_ot", "", 2),
    )


@lru_cache(maxsize=BOOKS_MAX)
def _regular(score: tuple[int, int], left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    return tuple(_drawable(_stretch(score, left, places), "", "", 1))


@lru_cache(maxsize=BOOKS_MAX)
def _first_half(score: tuple[int, int], left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    return tuple(_drawable(_stretch(score, left, places), "_1st_half", "", 1))


@lru_cache(maxsize=BOOKS_MAX)
def _overtime(score: tuple[int, int], left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    """Price the winner while overtimes are played, each of which may be followed by another."""
    home, draw, away = _stretch(score, left, places).result()
    return (Offer("money_line", "", HOME_AWAY, (home + draw / 2, away + draw / 2)),)


def _sum(periods: tuple[PeriodScore, ...], number_max: int) -> tuple[int, int]:
    parts = [part for part in periods if part.type == "quarter" and part.number <= number_max]
    return sum(part.home or 0 for part in parts), sum(part.away or 0 for part in parts)


def _of_quarters(sheet: Sheet, strengths: tuple[int, int]) -> tuple[Offer, ...]:
    for number in (1, 2, 3, 4):
        left_s = min(float(QUARTER_S), number * QUARTER_S - sheet.clock_s)
        if left_s <= 0:
            continue
        home = away = 0
        for part in sheet.moment.periods:
            if part.type == "quarter" and part.number == number:
                home, away = part.home or 0, part.away or 0
        return _quarter(number, (home, away), _left(left_s), strengths)
    return ()


@lru_cache(maxsize=BOOKS_MAX)
def _quarter(number: int, score: tuple[int, int], left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    return tuple(_drawable(_stretch(score, left, places), "_quarter", f"quarter={number}", 1))


def _players(sheet: Sheet, left: int, places: tuple[int, int]) -> tuple[Offer, ...]:
    """Price the points of each side's first player."""
    found: list[Offer] = []
    for side, first in ((0, 0), (1, PLAYERS)):
        if first < len(sheet.players):
            scored = sheet.moment.tally[first] if sheet.moment.tally else 0
            found.extend(_player(sheet.players[first], scored, left, places[side]))
    return tuple(found)


@lru_cache(maxsize=BOOKS_MAX)
def _player(player: str, scored: int, left: int, place: int) -> tuple[Offer, ...]:
    """Price a player's points: a share of the possessions of one side, one in SCORER_SHARE of which he ends."""
    possessions = left * CLOCK_STEP_S / (2 * POSSESSION_S) * SCORER_SHARES[0]
    mean = possessions * POINTS * (1.0 + place * STRENGTH_STEP)
    rest = normal(mean, sqrt(possessions * (VARIANCE_A_POSSESSION + POINTS * POINTS)))
    line = max(scored, scored + round(mean))
    return (total("player_total_points", 4 * line + 2, scored, rest, f"player={player}"),)


def unseen(moments: Sequence[Moment], players: tuple[str, ...]) -> Iterator[Ending]:
    """Say how markets ended that nobody was offered: half time and full time; the top scorer, whom others may equal."""
    last = moments[-1]
    yield half_time_full_time(_sum(last.periods, 2), _sum(last.periods, 4))
    most = max(last.tally, default=0)
    if most and len(players) == len(last.tally):
        winners = frozenset(player for player, points in zip(players, last.tally, strict=True) if points == most)
        yield Ending("sim:top_scorer", "", players, winners)


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
    families=("incl_ot", "regular", "1st_half", "quarter", "players"),
    before=("incl_ot", "regular", "1st_half", "players"),
    strengths=strengths,
    play=play,
    book=book,
    drift=STRENGTH_STEP,
    players=PLAYERS,
    unseen=unseen,
)
