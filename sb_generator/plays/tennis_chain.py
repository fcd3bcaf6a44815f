"""Tennis as a Markov chain: from the points that servers win to games, sets and matches (best of three). Pure.

The model: each point on a side's serve is won with the same probability, independently. Games and tie-breaks follow in
closed or recursive form, sets by walking over games, matches by joining sets. Who serves first in a later set is taken as
even. Probabilities of points are rounded to POINT_STEP, so that what was computed once serves many prices.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

POINT_STEP: Final = 0.004
SETS_TO_WIN: Final = 2

Games: TypeAlias = Mapping[tuple[int, int], float]
"""Probabilities of a set's final games (home, away)."""
Counts: TypeAlias = dict[int, float]


def rounded(point: float) -> float:
    """Return a probability of a point on its raster."""
    return round(min(max(point, 0.4), 0.8) / POINT_STEP) * POINT_STEP


@lru_cache(maxsize=65_536)
def game(point: float, server: int, receiver: int) -> float:
    """Return P(server wins the game) from points won so far."""
    if server >= 3 and receiver >= 3:
        deuce = point * point / (point * point + (1 - point) * (1 - point))
        if server == receiver:
            return deuce
        if server == receiver + 1:
            return point + (1 - point) * deuce
        if receiver == server + 1:
            return point * deuce
    if server >= 4 and server > receiver:
        return 1.0
    if receiver >= 4 and receiver > server:
        return 0.0
    return point * game(point, server + 1, receiver) + (1 - point) * game(point, server, receiver + 1)


@lru_cache(maxsize=65_536)
def tie_break(home_point: float, away_point: float, home: int, away: int, *, home_first: bool) -> float:
    """Return P(home wins the tie-break); `home_first` served its first point, after which each serves two."""
    if home >= 6 and away >= 6 and home == away:
        both, none = home_point * (1 - away_point), (1 - home_point) * away_point
        return both / (both + none)
    if home >= 7 and home >= away + 2:
        return 1.0
    if away >= 7 and away >= home + 2:
        return 0.0
    serves = ((home + away + 1) // 2 % 2 == 0) == home_first
    won = home_point if serves else 1 - away_point
    return won * tie_break(home_point, away_point, home + 1, away, home_first=home_first) + (1 - won) * tie_break(
        home_point, away_point, home, away + 1, home_first=home_first
    )


@lru_cache(maxsize=16_384)
def games(home_point: float, away_point: float, home: int, away: int, *, home_serves: bool) -> Games:
    """Return the distribution of a set's final games, from games won so far with a new game to begin."""
    if (home >= 6 and home >= away + 2) or home == 7:
        return {(home, away): 1.0}
    if (away >= 6 and away >= home + 2) or away == 7:
        return {(home, away): 1.0}
    if home == away == 6:
        won = tie_break(home_point, away_point, 0, 0, home_first=home_serves)
    else:
        won = game(home_point, 0, 0) if home_serves else 1 - game(away_point, 0, 0)
    return joined(
        won,
        games(home_point, away_point, home + 1, away, home_serves=not home_serves),
        games(home_point, away_point, home, away + 1, home_serves=not home_serves),
    )


def joined(share: float, first: Games, second: Games) -> Games:
    """Mix two distributions."""
    found = {score: share * each for score, each in first.items()}
    for score, each in second.items():
        found[score] = found.get(score, 0.0) + (1 - share) * each
    return found


@lru_cache(maxsize=4_096)
def fresh(home_point: float, away_point: float) -> Games:
    """Return the distribution of a set that has not begun, whoever serves first."""
    return joined(
        0.5,
        games(home_point, away_point, 0, 0, home_serves=True),
        games(home_point, away_point, 0, 0, home_serves=False),
    )


class Rest:
    """What a match may still become: final sets, total games and lead in games, from the set that is being played."""

    def __init__(self, sets: tuple[int, int], current: Games, later: Games) -> None:
        self.sets: dict[tuple[int, int], float] = {}
        self.total: Counts = {}
        self.lead: Counts = {}
        now = [_sides(current, _add), _sides(current, _subtract)]
        then = [_sides(later, _add), _sides(later, _subtract)]
        self._walk(sets, [{0: 1.0}, {0: 1.0}], now, then)

    def _walk(
        self,
        sets: tuple[int, int],
        counts: list[Counts],
        now: list[tuple[Counts, Counts]],
        then: list[tuple[Counts, Counts]],
    ) -> None:
        if SETS_TO_WIN in sets:
            self.sets[sets] = self.sets.get(sets, 0.0) + sum(counts[0].values())
            for found, more in ((self.total, counts[0]), (self.lead, counts[1])):
                for number, share in more.items():
                    found[number] = found.get(number, 0.0) + share
            return
        for side, after in enumerate(((sets[0] + 1, sets[1]), (sets[0], sets[1] + 1))):
            self._walk(after, [_convolved(have, one[side]) for have, one in zip(counts, now, strict=True)], then, then)


def _add(home: int, away: int) -> int:
    return home + away


def _subtract(home: int, away: int) -> int:
    return home - away


def _sides(games_of: Games, count: object) -> tuple[Counts, Counts]:
    """Split a set's distribution by its winner and count its games."""
    add = count is _add
    sides: tuple[Counts, Counts] = ({}, {})
    for (home, away), share in games_of.items():
        counts = sides[0 if home > away else 1]
        number = home + away if add else home - away
        counts[number] = counts.get(number, 0.0) + share
    return sides


def _convolved(first: Counts, second: Counts) -> Counts:
    found: Counts = {}
    for number, share in first.items():
        for more, other in second.items():
            found[number + more] = found.get(number + more, 0.0) + share * other
    return found
