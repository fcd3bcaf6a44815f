"""Football: goals, corners and cards as Poisson processes, priced from what is left of the two halves.

The model: each side scores at a steady rate per minute, which a red card lowers for its side and raises for the other.
What remains of a half is its minutes and the stoppage time that one expects; goals still to come in it are Poisson.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import exp
from typing import Any, Final

from sb_core.messages import PeriodScore
from sb_generator.chance import Chance
from sb_generator.plays import goal_markets as markets
from sb_generator.prices import STEP_SHARE, Spread, at_raster, goals, raster
from sb_generator.scene import Ending, Moment, Offer, Play, Sheet, Strengths, added, begun

HALF_S: Final = 2_700
BREAK_S: Final = 900
STOPPAGE_S: Final = (150.0, 300.0)
"""Expected stoppage time of the halves."""
MATCH_S: Final = 2 * HALF_S + sum(STOPPAGE_S)
CORNERS: Final = 5.1
YELLOWS: Final = 1.9
REDS: Final = 0.09
RED_OWN: Final = 0.65
RED_OTHER: Final = 1.25
SIDES: Final = ("home", "away")
ALL: Final = ("all",)


def strengths(chance: Chance) -> Strengths:
    """Draw how many goals each side is expected to score."""
    return Strengths(1.48 * exp(0.34 * chance.normal()), 1.18 * exp(0.34 * chance.normal()))


def rates(expected: Strengths, details: Mapping[str, int]) -> tuple[float, float]:
    """Return goals per second of each side, as red cards leave them."""
    home, away = details["red_cards_home"], details["red_cards_away"]
    if not home and not away:
        return expected.home / MATCH_S, expected.away / MATCH_S
    return (
        expected.home / MATCH_S * RED_OWN**home * RED_OTHER**away,
        expected.away / MATCH_S * RED_OWN**away * RED_OTHER**home,
    )


def play(chance: Chance, expected: Strengths) -> tuple[Moment, ...]:
    """Play a match."""
    match = _Match(expected)
    for half in (1, 2):
        match.kick_off(half)
        expected_s = STOPPAGE_S[half - 1]
        length_s = HALF_S + chance.between(0.3, 1.7) * expected_s
        played_s = 0.0
        while True:
            weights = match.weights()
            played_s += chance.wait(1.0 / sum(weights))
            if played_s >= length_s:
                break
            match.incident(half, played_s, chance.weighted(weights), chance)
        match.end_half(half, length_s)
    return tuple(match.moments)


class _Match:
    def __init__(self, expected: Strengths) -> None:
        self.moments: list[Moment] = []
        self._expected = expected
        self._score = [0, 0]
        self._details: dict[str, int] = {
            f"{counted}_{side}": 0 for counted in ("corners", "yellow_cards", "red_cards") for side in SIDES
        }
        self._periods: tuple[PeriodScore, ...] = ()
        self._begun_s = 0.0

    def weights(self) -> list[float]:
        """Return what happens per second: goals, corners, yellow and red cards, each of home and away."""
        each = [*rates(self._expected, self._details)]
        for count in (CORNERS, YELLOWS, REDS):
            each += [count / MATCH_S] * 2
        return each

    def kick_off(self, half: int) -> None:
        if half == 2:
            self._begun_s = self.moments[-1].at_s + BREAK_S
        self._periods = begun(self._periods, "half", half)
        period = "1st_half" if half == 1 else "2nd_half"
        self._tell(self._begun_s, half, 0.0, period, "start" if half == 1 else "period")

    def incident(self, half: int, played_s: float, kind: int, chance: Chance) -> None:
        side = kind % 2
        won: tuple[tuple[tuple[str, str], str], ...] = ()
        stop: tuple[str, ...] = ()
        incident, stop_s = "corner", 0.0
        if kind < 2:
            incident, stop, stop_s = "goal", ALL, chance.between(15, 45)
            self._score[side] += 1
            self._periods = added(self._periods, 1 - side, side)
            won = ((("next_goal", f"goalnr={sum(self._score)}"), SIDES[side]),)
        elif kind < 4:
            self._details[f"corners_{SIDES[side]}"] += 1
            stop, stop_s = ("corners",), 5.0
        elif kind < 6:
            incident = "card"
            self._details[f"yellow_cards_{SIDES[side]}"] += 1
        else:
            incident, stop, stop_s = "card", ALL, chance.between(20, 60)
            self._details[f"red_cards_{SIDES[side]}"] += 1
        period = "1st_half" if half == 1 else "2nd_half"
        self._tell(self._begun_s + played_s, half, played_s, period, incident, stop, stop_s, won)

    def end_half(self, half: int, length_s: float) -> None:
        if half == 1:
            self._tell(self._begun_s + length_s, half, length_s, "half_time", "period", ALL, 20.0)
            return
        last = (("next_goal", f"goalnr={sum(self._score) + 1}"), "none")
        self._tell(self._begun_s + length_s, half, length_s, "2nd_half", "end", ALL, 0.0, (last,))

    def _tell(
        self,
        at_s: float,
        half: int,
        played_s: float,
        period: str,
        incident: str,
        stop: tuple[str, ...] = (),
        stop_s: float = 0.0,
        won: tuple[tuple[tuple[str, str], str], ...] = (),
    ) -> None:
        over = incident == "end" or period == "half_time"
        self.moments.append(
            Moment(
                at_s=at_s,
                home=self._score[0],
                away=self._score[1],
                period=period,
                periods=self._periods,
                incident=incident,  # type: ignore[arg-type]
                played_s=(half - 1) * HALF_S + played_s,
                pace=0.0 if over else 1.0,
                length_s=2 * HALF_S,
                details=dict(self._details),
                stop=stop,
                stop_s=stop_s,
                won=won,
                done=frozenset(("half", number) for number in range(1, half + over)),
            )
        )


def left_s(sheet: Sheet) -> tuple[float, float]:
    """Return the seconds that one expects to be left of each half."""
    if not sheet.live:
        return HALF_S + STOPPAGE_S[0], HALF_S + STOPPAGE_S[1]
    period = sheet.moment.period
    if period == "1st_half":
        return _left(HALF_S - sheet.clock_s, STOPPAGE_S[0]), HALF_S + STOPPAGE_S[1]
    if period == "half_time":
        return 0.0, HALF_S + STOPPAGE_S[1]
    return 0.0, _left(2 * HALF_S - sheet.clock_s, STOPPAGE_S[1])


def _left(regular_s: float, stoppage_s: float) -> float:
    return regular_s + stoppage_s if regular_s >= 0 else max(30.0, (stoppage_s + regular_s) * 0.7 + 20)


def book(sheet: Sheet, family: str) -> tuple[Offer, ...]:
    """Give the offers of one family."""
    first_s, second_s = left_s(sheet)
    details: Mapping[str, Any] = sheet.moment.details
    if family == "corners":
        return _corners(details["corners_home"] + details["corners_away"], raster((first_s + second_s) / MATCH_S))
    home, away = rates(sheet.strengths, details)
    if family == "1st_half":
        if first_s <= 0:
            return ()
        return markets.book("halves", "_1st_half", _score(sheet, 1), home * first_s, away * first_s)
    if family == "2nd_half":
        return markets.book("halves", "_2nd_half", _score(sheet, 2), home * second_s, away * second_s)
    whole_s = first_s + second_s
    return markets.book(family, "", (sheet.moment.home, sheet.moment.away), home * whole_s, away * whole_s)


def _score(sheet: Sheet, half: int) -> tuple[int, int]:
    for part in sheet.moment.periods:
        if part.number == half:
            return part.home or 0, part.away or 0
    return 0, 0


@lru_cache(maxsize=4_096)
def _corners(now: int, left: int) -> tuple[Offer, ...]:
    mean = 2 * CORNERS * at_raster(left)
    rest = Spread(0, goals(mean))
    middle = now + round(mean)
    return tuple(
        markets.total("corners_total", 4 * half + 2, now, rest) for half in range(max(now, middle - 1), middle + 2)
    )


def unseen(moments: Sequence[Moment], _players: tuple[str, ...]) -> Iterator[Ending]:
    """Say how a market ended that nobody was offered."""
    last = moments[-1]
    first = last.periods[0]
    yield markets.half_time_full_time((first.home or 0, first.away or 0), (last.home, last.away))


PLAY: Final[Play] = Play(
    sport="football",
    margin=1.058,
    duration_s=MATCH_S + BREAK_S,
    families=("result", "totals", "handicaps", "teams", "scores", "1st_half", "2nd_half", "corners"),
    before=("result", "totals", "handicaps", "teams", "scores", "1st_half"),
    strengths=strengths,
    play=play,
    book=book,
    drift=STEP_SHARE,
    unseen=unseen,
)
