"""The world's markets, periods and results in UOF's numbers, as Sportradar's descriptions list them.

The rule: a market without a number of theirs keeps its own name as its id, and its outcomes keep theirs.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from sb_core import sports
from sb_generator.speech.ids import number_of

SPORTS: Final = {"football": "1", "basketball": "2", "hockey": "4", "tennis": "5"}
Word: TypeAlias = tuple[str, Mapping[str, str]]
"""A market's id, and its outcomes' by ours."""

_1X2: Final = {"home": "1", "draw": "2", "away": "3"}
_2WAY: Final = {"home": "4", "away": "5"}
_NEXT: Final = {"home": "6", "none": "7", "away": "8"}
_DOUBLE: Final = {"home_or_draw": "9", "home_or_away": "10", "draw_or_away": "11"}
_TOTAL: Final = {"over": "12", "under": "13"}
_ODD_EVEN: Final = {"odd": "70", "even": "72"}
_YES_NO: Final = {"yes": "74", "no": "76"}
_HCP_3WAY: Final = {"home": "1711", "draw": "1712", "away": "1713"}
_HCP: Final = {"home": "1714", "away": "1715"}
_SIDES: Final = ("home", "draw", "away")
_HALVES: Final = {f"{_SIDES[i // 3]}/{_SIDES[i % 3]}": str(418 + 2 * i) for i in range(9)}

MARKETS: Final[Mapping[str, Mapping[str, Word]]] = {
    "football": {
        "1x2": ("1", _1X2),
        "next_goal": ("8", _NEXT),
        "double_chance": ("10", _DOUBLE),
        "draw_no_bet": ("11", _2WAY),
        "european_handicap": ("14", _HCP_3WAY),
        "asian_handicap": ("16", _HCP),
        "total": ("18", _TOTAL),
        "home_total": ("19", _TOTAL),
        "away_total": ("20", _TOTAL),
        "odd_even": ("26", _ODD_EVEN),
        "both_teams_to_score": ("29", _YES_NO),
        "half_time_full_time": ("47", _HALVES),
        "1x2_1st_half": ("60", _1X2),
        "double_chance_1st_half": ("63", _DOUBLE),
        "draw_no_bet_1st_half": ("64", _2WAY),
        "asian_handicap_1st_half": ("66", _HCP),
        "total_1st_half": ("68", _TOTAL),
        "both_teams_to_score_1st_half": ("75", _YES_NO),
        "1x2_2nd_half": ("83", _1X2),
        "double_chance_2nd_half": ("85", _DOUBLE),
        "draw_no_bet_2nd_half": ("86", _2WAY),
        "asian_handicap_2nd_half": ("88", _HCP),
        "total_2nd_half": ("90", _TOTAL),
        "both_teams_to_score_2nd_half": ("95", _YES_NO),
        "corners_total": ("166", _TOTAL),
    },
    "basketball": {
        "1x2": ("1", _1X2),
        "draw_no_bet": ("11", _2WAY),
        "handicap": ("16", _HCP),
        "total": ("18", _TOTAL),
        "odd_even": ("26", _ODD_EVEN),
        "half_time_full_time": ("47", _HALVES),
        "1x2_1st_half": ("60", _1X2),
        "draw_no_bet_1st_half": ("64", _2WAY),
        "handicap_1st_half": ("66", _HCP),
        "total_1st_half": ("68", _TOTAL),
        "odd_even_1st_half": ("74", _ODD_EVEN),
        "money_line": ("219", _2WAY),
        "overtime": ("220", _YES_NO),
        "handicap_incl_ot": ("223", _HCP),
        "total_incl_ot": ("225", _TOTAL),
        "odd_even_incl_ot": ("229", _ODD_EVEN),
        "1x2_quarter": ("235", _1X2),
        "total_quarter": ("236", _TOTAL),
        "draw_no_bet_quarter": ("302", _2WAY),
        "handicap_quarter": ("303", _HCP),
        "odd_even_quarter": ("304", _ODD_EVEN),
        "player_total_points": ("921", _TOTAL),
    },
    "tennis": {
        "match_winner": ("186", _2WAY),
        "game_handicap": ("187", _HCP),
        "set_handicap": ("188", _HCP),
        "total_games": ("189", _TOTAL),
        "home_wins_a_set": ("192", _YES_NO),
        "away_wins_a_set": ("193", _YES_NO),
        "set_winner": ("202", _2WAY),
        "total_games_set": ("204", _TOTAL),
        "tie_break_set": ("206", _YES_NO),
        "game_winner": ("210", _2WAY),
        "total_sets": ("314", _TOTAL),
    },
    "hockey": {
        "1x2": ("1", _1X2),
        "next_goal": ("8", _NEXT),
        "double_chance": ("10", _DOUBLE),
        "draw_no_bet": ("11", _2WAY),
        "handicap": ("16", _HCP),
        "total": ("18", _TOTAL),
        "home_total": ("19", _TOTAL),
        "away_total": ("20", _TOTAL),
        "odd_even": ("26", _ODD_EVEN),
        "both_teams_to_score": ("29", _YES_NO),
        "overtime": ("220", _YES_NO),
        "money_line_incl_ot": ("406", _2WAY),
        "handicap_incl_ot": ("410", _HCP),
        "total_incl_ot": ("412", _TOTAL),
        "1x2_period": ("443", _1X2),
        "total_period": ("446", _TOTAL),
        "draw_no_bet_period": ("459", _2WAY),
        "double_chance_period": ("529", _DOUBLE),
    },
}
_SPECIFIERS: Final = {"set": "setnr", "game": "gamenr", "quarter": "quarternr", "period": "periodnr"}
STATUSES: Final = {
    "not_started": "0",
    "live": "1",
    "suspended": "2",
    "ended": "3",
    "closed": "4",
    "cancelled": "5",
    "delayed": "6",
    "interrupted": "7",
    "postponed": "8",
    "abandoned": "9",
}
MARKET_STATUSES: Final = {"active": "1", "suspended": "-1", "inactive": "0", "handed_over": "-2"}
PERIODS: Final = {
    "1st_half": "6",
    "2nd_half": "7",
    "half_time": "31",
    "break": "30",
    "1st_period": "1",
    "2nd_period": "2",
    "3rd_period": "3",
    "1st_set": "8",
    "2nd_set": "9",
    "3rd_set": "10",
    "1st_quarter": "13",
    "2nd_quarter": "14",
    "3rd_quarter": "15",
    "4th_quarter": "16",
    "awaiting_overtime": "32",
    "overtime": "40",
    "awaiting_penalties": "34",
    "penalties": "50",
}
"""match_status by the score's period."""
STRETCHES: Final = {
    "half": ("6", "7"),
    "period": ("1", "2", "3"),
    "set": ("8", "9", "10", "11", "12"),
    "quarter": ("13", "14", "15", "16"),
    "overtime": ("40",),
    "penalties": ("50",),
}
"""match_status_code of a period's score, by type and number."""
RESULTS: Final = {
    "won": 'result="1"',
    "lost": 'result="0"',
    "void": 'result="0" void_factor="1"',
    "half_won": 'result="1" void_factor="0.5"',
    "half_lost": 'result="0" void_factor="0.5"',
    "undecided": 'result="-1"',
}
COUNTED: Final = ("yellow_cards", "red_cards", "corners")


def market_id(sport: str, market: str) -> str:
    """Return a market's id."""
    word = MARKETS[sport].get(market)
    return word[0] if word is not None else market.removeprefix("sim:")


def outcome_id(sport: str, market: str, outcome: str) -> str:
    """Return an outcome's id."""
    word = MARKETS[sport].get(market)
    if word is not None:
        return word[1][outcome]
    return person(outcome) if outcome.startswith("sim:player:") else outcome


def person(name: str) -> str:
    """Return a competitor's or player's id of theirs: `sim:player:<hex>` as `sr:player:<number>`."""
    return f"sr:{name.split(':')[1]}:{number_of(name)}"


def specifiers(line: str) -> str:
    """Write a line as specifiers."""
    pairs = sports.parse_line(line)
    return "|".join(
        f"{_SPECIFIERS.get(name, name)}={person(value) if name == 'player' else value}" for name, value in pairs.items()
    )


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return every market that the world may offer by id: our name and its groups."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for sport, words in MARKETS.items():
        catalogue = sports.get(sport).markets
        for name in (*words, "correct_score"):
            kind = catalogue.get(name)
            if kind is not None:
                found.setdefault(market_id(sport, name), (kind.title, kind.groups))
    return found
