"""Ice hockey: three periods, goals, overtime and a shoot-out where the league has them."""

from collections.abc import Iterator
from typing import Final

from sb_core.sports.catalogue import (
    DOUBLE_CHANCE,
    HOME_AWAY,
    HOME_DRAW_AWAY,
    HOME_NONE_AWAY,
    INCL_OT,
    MATCH,
    ODD_EVEN,
    OTHER_SCORES,
    OVER_UNDER,
    PLAYER_PATTERN,
    SCORE_PATTERN,
    YES_NO,
    Limits,
    MarketType,
    Sport,
    catalogue,
    market,
)

_PERIOD: Final = ("all", "score", "period")


def _goals(suffix: str, scope: str, groups: tuple[str, ...], *line: str) -> Iterator[MarketType]:
    """Give the markets on goals that every stretch of a match has."""
    yield market(f"total{suffix}", f"Total goals{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"home_total{suffix}", f"Home total goals{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"away_total{suffix}", f"Away total goals{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"odd_even{suffix}", f"Odd or even goals{scope}", ODD_EVEN, *line, groups=groups)


def _drawable(suffix: str, scope: str, groups: tuple[str, ...], *line: str) -> Iterator[MarketType]:
    """Give the markets of a stretch that can end level."""
    yield market(f"1x2{suffix}", f"1x2{scope}", HOME_DRAW_AWAY, *line, groups=groups)
    yield market(f"double_chance{suffix}", f"Double chance{scope}", DOUBLE_CHANCE, *line, groups=groups, complete=False)
    yield market(f"draw_no_bet{suffix}", f"Draw no bet{scope}", HOME_AWAY, *line, groups=groups)
    yield market(f"handicap{suffix}", f"Handicap{scope}", HOME_AWAY, "hcp", *line, groups=groups)
    yield market(f"both_teams_to_score{suffix}", f"Both teams to score{scope}", YES_NO, *line, groups=groups)
    yield market(f"next_goal{suffix}", f"Next goal{scope}", HOME_NONE_AWAY, "goalnr", *line, groups=groups)
    yield from _goals(suffix, scope, groups, *line)


SPORT: Final = Sport(
    name="hockey",
    title="Ice hockey",
    periods=(
        "1st_period",
        "2nd_period",
        "3rd_period",
        "break",
        "awaiting_overtime",
        "overtime",
        "awaiting_penalties",
        "penalties",
    ),
    period_types={"period": 3, "overtime": 20, "penalties": 20},
    score="goals",
    details=tuple(f"{counted}_{side}" for counted in ("shots", "penalties", "strength") for side in HOME_AWAY),
    markets=catalogue(
        market("money_line_incl_ot", "Money line, incl. overtime and penalties", HOME_AWAY, groups=INCL_OT),
        market("handicap_incl_ot", "Puck line, incl. overtime and penalties", HOME_AWAY, "hcp", groups=INCL_OT),
        _goals("_incl_ot", ", incl. overtime and penalties", INCL_OT),
        _drawable("", "", MATCH),
        _drawable("_period", " of a period", _PERIOD, "period"),
        market("european_handicap", "European handicap", HOME_DRAW_AWAY, "hcp", hcp="score"),
        market("correct_score", "Correct score", OTHER_SCORES, pattern=SCORE_PATTERN),
        market("overtime", "Overtime", YES_NO),
        market(
            "anytime_goalscorer",
            "Anytime goalscorer",
            ("none", "other"),
            groups=("all", "incl_ot", "scorers"),
            pattern=PLAYER_PATTERN,
        ),
    ),
    limits=Limits(score_max=99),
)
