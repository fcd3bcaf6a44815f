"""Basketball: four quarters (or two halves), points, and no draw once overtime is played."""

from collections.abc import Iterator
from typing import Final

from sb_core.sports.catalogue import (
    FIRST_HALF,
    HALF_TIME_FULL_TIME,
    HOME_AWAY,
    HOME_DRAW_AWAY,
    HOME_NONE_AWAY,
    INCL_OT,
    MATCH,
    ODD_EVEN,
    OVER_UNDER,
    SECOND_HALF,
    YES_NO,
    Limits,
    MarketType,
    Sport,
    catalogue,
    market,
)

_QUARTER: Final = ("all", "score", "quarter")
_PLAYERS: Final = ("all", "incl_ot", "player")


def _points(suffix: str, scope: str, groups: tuple[str, ...], *line: str) -> Iterator[MarketType]:
    """Give the markets on points that every stretch of a match has."""
    yield market(f"total{suffix}", f"Total points{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"home_total{suffix}", f"Home total points{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"away_total{suffix}", f"Away total points{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"handicap{suffix}", f"Handicap{scope}", HOME_AWAY, "hcp", *line, groups=groups)
    yield market(f"odd_even{suffix}", f"Odd or even points{scope}", ODD_EVEN, *line, groups=groups)


def _drawable(suffix: str, scope: str, groups: tuple[str, ...], *line: str) -> Iterator[MarketType]:
    """Give the markets of a stretch that can end level."""
    yield market(f"1x2{suffix}", f"1x2{scope}", HOME_DRAW_AWAY, *line, groups=groups)
    yield market(f"draw_no_bet{suffix}", f"Draw no bet{scope}", HOME_AWAY, *line, groups=groups)
    yield from _points(suffix, scope, groups, *line)


def _players() -> Iterator[MarketType]:
    for counted in ("points", "rebounds", "assists"):
        yield market(f"player_total_{counted}", f"Player's {counted}", OVER_UNDER, "player", "total", groups=_PLAYERS)


SPORT: Final = Sport(
    name="basketball",
    title="Basketball",
    periods=(
        "1st_quarter",
        "2nd_quarter",
        "3rd_quarter",
        "4th_quarter",
        "1st_half",
        "2nd_half",
        "half_time",
        "break",
        "awaiting_overtime",
        "overtime",
    ),
    period_types={"quarter": 4, "half": 2, "overtime": 20},
    score="points",
    details=("possession", *(f"{counted}_{side}" for counted in ("fouls", "time_outs") for side in HOME_AWAY)),
    markets=catalogue(
        market("money_line", "Money line, incl. overtime", HOME_AWAY, groups=INCL_OT),
        _points("_incl_ot", ", incl. overtime", INCL_OT),
        _drawable("", "", MATCH),
        _drawable("_1st_half", ", 1st half", FIRST_HALF),
        _drawable("_2nd_half", ", 2nd half", SECOND_HALF),
        _drawable("_quarter", " of a quarter", _QUARTER, "quarter"),
        market("half_time_full_time", "Half time / full time", HALF_TIME_FULL_TIME),
        market("race_to_points", "Race to points", HOME_NONE_AWAY, "points", groups=INCL_OT),
        market("overtime", "Overtime", YES_NO),
        _players(),
    ),
    draws=False,
    limits=Limits(score_max=400),
)
