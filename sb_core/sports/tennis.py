"""Tennis: sets, games and points; somebody always wins, unless somebody retires."""

from collections.abc import Iterator
from typing import Final

from sb_core.sports.catalogue import (
    HOME_AWAY,
    MATCH,
    ODD_EVEN,
    OVER_UNDER,
    YES_NO,
    Limits,
    MarketType,
    Sport,
    catalogue,
    market,
)

_SET: Final = ("all", "score", "set")
_GAME: Final = ("all", "score", "game")
_SETS_PATTERN: Final = r"[23]:[01]|[01]:[23]|3:2|2:3"
_GAMES_PATTERN: Final = r"(?:[0-9]|[1-9][0-9]):(?:[0-9]|[1-9][0-9])"


def _games(suffix: str, scope: str, groups: tuple[str, ...], *line: str) -> Iterator[MarketType]:
    """Give the markets on games that the match and each set have."""
    yield market(f"total_games{suffix}", f"Total games{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"home_total_games{suffix}", f"Home total games{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"away_total_games{suffix}", f"Away total games{scope}", OVER_UNDER, "total", *line, groups=groups)
    yield market(f"game_handicap{suffix}", f"Game handicap{scope}", HOME_AWAY, "hcp", *line, groups=groups)
    yield market(f"odd_even_games{suffix}", f"Odd or even games{scope}", ODD_EVEN, *line, groups=groups)
    yield market(f"tie_break{suffix}", f"Tie-break{scope}", YES_NO, *line, groups=groups)


SPORT: Final = Sport(
    name="tennis",
    title="Tennis",
    periods=("1st_set", "2nd_set", "3rd_set", "4th_set", "5th_set", "break", "tie_break"),
    period_types={"set": 5},
    score="sets",
    details=("server", "game_home", "game_away", "tie_break", "retired", "walkover", "defaulted"),
    markets=catalogue(
        market("match_winner", "Match winner", HOME_AWAY),
        market("set_winner", "Winner of a set", HOME_AWAY, "set", groups=_SET),
        market("game_winner", "Winner of a game", HOME_AWAY, "game", "set", groups=_GAME),
        market("point_winner", "Winner of a point", HOME_AWAY, "game", "point", "set", groups=_GAME),
        market("correct_score", "Correct score in sets", (), pattern=_SETS_PATTERN),
        market("correct_score_set", "Correct score of a set", (), "set", groups=_SET, pattern=_GAMES_PATTERN),
        market("set_handicap", "Set handicap", HOME_AWAY, "hcp"),
        market("total_sets", "Total sets", OVER_UNDER, "total"),
        market("exact_sets", "Exact sets", (), pattern="[2345]"),
        market("home_wins_a_set", "Home wins a set", YES_NO),
        market("away_wins_a_set", "Away wins a set", YES_NO),
        market("first_set_match", "First set / match", ("home/home", "home/away", "away/home", "away/away")),
        _games("", "", MATCH),
        _games("_set", " of a set", _SET, "set"),
    ),
    draws=False,
    limits=Limits(score_max=99),
)
