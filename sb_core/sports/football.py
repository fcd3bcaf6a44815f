"""Football: two halves, goals, and the widest catalogue of all sports."""

from collections.abc import Iterator
from typing import Final

from sb_core.sports.catalogue import (
    DOUBLE_CHANCE,
    FIRST_HALF,
    HALF_TIME_FULL_TIME,
    HOME_AWAY,
    HOME_DRAW_AWAY,
    HOME_NONE_AWAY,
    MATCH,
    ODD_EVEN,
    OTHER_SCORES,
    OVER_UNDER,
    PLAYER_PATTERN,
    SCORE_PATTERN,
    SECOND_HALF,
    YES_NO,
    Limits,
    MarketType,
    Sport,
    catalogue,
    market,
)

_CORNERS: Final = ("all", "regular_play", "corners")
_BOOKINGS: Final = ("all", "regular_play", "bookings")
_SCORERS: Final = ("all", "regular_play", "scorers")
_OVERTIME: Final = ("all", "score", "overtime")


def _goals(suffix: str, scope: str, groups: tuple[str, ...]) -> Iterator[MarketType]:
    """Give the markets on goals that the match and each half have."""
    yield market(f"1x2{suffix}", f"1x2{scope}", HOME_DRAW_AWAY, groups=groups)
    yield market(f"double_chance{suffix}", f"Double chance{scope}", DOUBLE_CHANCE, groups=groups, complete=False)
    yield market(f"draw_no_bet{suffix}", f"Draw no bet{scope}", HOME_AWAY, groups=groups)
    yield market(f"total{suffix}", f"Total goals{scope}", OVER_UNDER, "total", groups=groups)
    yield market(f"home_total{suffix}", f"Home total goals{scope}", OVER_UNDER, "total", groups=groups)
    yield market(f"away_total{suffix}", f"Away total goals{scope}", OVER_UNDER, "total", groups=groups)
    yield market(f"asian_handicap{suffix}", f"Asian handicap{scope}", HOME_AWAY, "hcp", groups=groups)
    yield market(
        f"european_handicap{suffix}", f"European handicap{scope}", HOME_DRAW_AWAY, "hcp", groups=groups, hcp="score"
    )
    yield market(f"both_teams_to_score{suffix}", f"Both teams to score{scope}", YES_NO, groups=groups)
    yield market(f"correct_score{suffix}", f"Correct score{scope}", OTHER_SCORES, groups=groups, pattern=SCORE_PATTERN)
    yield market(f"exact_goals{suffix}", f"Exact goals{scope}", (), groups=groups, pattern=r"[0-9]{1,2}\+?")
    yield market(f"odd_even{suffix}", f"Odd or even goals{scope}", ODD_EVEN, groups=groups)
    yield market(f"next_goal{suffix}", f"Next goal{scope}", HOME_NONE_AWAY, "goalnr", groups=groups)
    yield market(f"rest_of_match{suffix}", f"Winner of the rest{scope}", HOME_DRAW_AWAY, "score", groups=groups)


def _counted(name: str, title: str, groups: tuple[str, ...]) -> Iterator[MarketType]:
    """Give the markets on what is counted beside goals."""
    for suffix, scope in (("", ""), ("_1st_half", ", 1st half")):
        inside = tuple("1st_half" if suffix and group == "regular_play" else group for group in groups)
        yield market(f"{name}_1x2{suffix}", f"{title} 1x2{scope}", HOME_DRAW_AWAY, groups=inside)
        yield market(f"{name}_total{suffix}", f"{title} total{scope}", OVER_UNDER, "total", groups=inside)
        yield market(f"{name}_asian_handicap{suffix}", f"{title} handicap{scope}", HOME_AWAY, "hcp", groups=inside)
        yield market(f"{name}_odd_even{suffix}", f"{title} odd or even{scope}", ODD_EVEN, groups=inside)


def _scorers() -> Iterator[MarketType]:
    for name, title in (("first", "First"), ("last", "Last"), ("anytime", "Anytime")):
        outcomes = ("none", "own_goal", "other")
        yield market(f"{name}_goalscorer", f"{title} goalscorer", outcomes, groups=_SCORERS, pattern=PLAYER_PATTERN)


SPORT: Final = Sport(
    name="football",
    title="Football",
    periods=(
        "1st_half",
        "half_time",
        "2nd_half",
        "awaiting_extra_time",
        "extra_time_1st_half",
        "extra_time_half_time",
        "extra_time_2nd_half",
        "awaiting_penalties",
        "penalties",
    ),
    period_types={"half": 2, "overtime": 20, "penalties": 20},
    score="goals",
    details=tuple(
        f"{counted}_{side}"
        for counted in ("corners", "yellow_cards", "red_cards", "yellow_red_cards", "penalties")
        for side in HOME_AWAY
    ),
    markets=catalogue(
        _goals("", "", MATCH),
        _goals("_1st_half", ", 1st half", FIRST_HALF),
        _goals("_2nd_half", ", 2nd half", SECOND_HALF),
        market("half_time_full_time", "Half time / full time", HALF_TIME_FULL_TIME),
        market("home_clean_sheet", "Home clean sheet", YES_NO),
        market("away_clean_sheet", "Away clean sheet", YES_NO),
        market("1x2_overtime", "1x2, extra time", HOME_DRAW_AWAY, groups=_OVERTIME),
        market("total_overtime", "Total goals, extra time", OVER_UNDER, "total", groups=_OVERTIME),
        market("asian_handicap_overtime", "Asian handicap, extra time", HOME_AWAY, "hcp", groups=_OVERTIME),
        market("to_qualify", "To qualify", HOME_AWAY, groups=("all", "score", "incl_ot")),
        market("penalty_shootout_winner", "Penalty shoot-out winner", HOME_AWAY, groups=("all", "score", "penalties")),
        _counted("corners", "Corners", _CORNERS),
        _counted("bookings", "Bookings", _BOOKINGS),
        _scorers(),
    ),
    limits=Limits(score_max=99),
)
