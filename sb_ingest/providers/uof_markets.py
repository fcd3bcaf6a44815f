"""From Sportradar's markets to ours: which UOF market is which canonical one, and what its line is.

The rule: (id, specifiers) alone decide, and injectively. A UOF market is canonical where the sport's catalogue has it
with the same scope, the same specifiers and the same outcomes; otherwise it is `uof:<id>` with the provider's own
specifiers and outcome ids. Never do the outcomes of one message decide: then a market would change its name, and its
old price would stay open under the old one. Scopes were read in Sportradar's own market descriptions.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from sb_core.errors import FeedError
from sb_core.sports import MarketType, find, make_line
from sb_core.sports.lines import line_for
from sb_core.sports.prices import has_outcome

SPORTS: Final[Mapping[str, str]] = {"1": "football", "2": "basketball", "4": "hockey", "5": "tennis"}
"""Sportradar's sport ids, without `sr:sport:`."""

_ID: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_SPECIFIER: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,100}", re.ASCII)
_RENAMED: Final = {"setnr": "set", "gamenr": "game", "pointnr": "point", "quarternr": "quarter", "periodnr": "period"}

_1X2: Final = {"1": "home", "2": "draw", "3": "away"}
_2WAY: Final = {"4": "home", "5": "away"}
_NEXT: Final = {"6": "home", "7": "none", "8": "away"}
_DOUBLE: Final = {"9": "home_or_draw", "10": "home_or_away", "11": "draw_or_away"}
_TOTAL: Final = {"12": "over", "13": "under"}
_ODD_EVEN: Final = {"70": "odd", "72": "even"}
_YES_NO: Final = {"74": "yes", "76": "no"}
_HCP_3WAY: Final = {"1711": "home", "1712": "draw", "1713": "away"}
_HCP: Final = {"1714": "home", "1715": "away"}
_SIDES: Final = ("home", "draw", "away")
_HALVES: Final = {str(418 + 2 * i): f"{_SIDES[i // 3]}/{_SIDES[i % 3]}" for i in range(9)}
_SET_MATCH: Final = {"861": "home/home", "862": "away/home", "863": "home/away", "864": "away/away"}
_SET_SCORES: Final = {
    str(865 + i): score
    for i, score in enumerate(
        ["6:0", "6:1", "6:2", "6:3", "6:4", "7:5", "7:6", "0:6", "1:6", "2:6", "3:6", "4:6", "5:7", "6:7"]
    )
}

_Row = tuple[str, str, Mapping[str, str]]
"""Canonical name, UOF specifiers, outcomes by UOF id."""

_FOOTBALL: Final[Mapping[str, _Row]] = {
    "1": ("1x2", "", _1X2),
    "2": ("to_qualify", "", _2WAY),
    "7": ("rest_of_match", "score", _1X2),
    "8": ("next_goal", "goalnr", _NEXT),
    "10": ("double_chance", "", _DOUBLE),
    "11": ("draw_no_bet", "", _2WAY),
    "14": ("european_handicap", "hcp", _HCP_3WAY),
    "16": ("asian_handicap", "hcp", _HCP),
    "18": ("total", "total", _TOTAL),
    "19": ("home_total", "total", _TOTAL),
    "20": ("away_total", "total", _TOTAL),
    "26": ("odd_even", "", _ODD_EVEN),
    "29": ("both_teams_to_score", "", _YES_NO),
    "31": ("home_clean_sheet", "", _YES_NO),
    "32": ("away_clean_sheet", "", _YES_NO),
    "47": ("half_time_full_time", "", _HALVES),
    "60": ("1x2_1st_half", "", _1X2),
    "61": ("rest_of_match_1st_half", "score", _1X2),
    "62": ("next_goal_1st_half", "goalnr", _NEXT),
    "63": ("double_chance_1st_half", "", _DOUBLE),
    "64": ("draw_no_bet_1st_half", "", _2WAY),
    "65": ("european_handicap_1st_half", "hcp", _HCP_3WAY),
    "66": ("asian_handicap_1st_half", "hcp", _HCP),
    "68": ("total_1st_half", "total", _TOTAL),
    "69": ("home_total_1st_half", "total", _TOTAL),
    "70": ("away_total_1st_half", "total", _TOTAL),
    "74": ("odd_even_1st_half", "", _ODD_EVEN),
    "75": ("both_teams_to_score_1st_half", "", _YES_NO),
    "83": ("1x2_2nd_half", "", _1X2),
    "84": ("next_goal_2nd_half", "goalnr", _NEXT),
    "85": ("double_chance_2nd_half", "", _DOUBLE),
    "86": ("draw_no_bet_2nd_half", "", _2WAY),
    "87": ("european_handicap_2nd_half", "hcp", _HCP_3WAY),
    "88": ("asian_handicap_2nd_half", "hcp", _HCP),
    "90": ("total_2nd_half", "total", _TOTAL),
    "91": ("home_total_2nd_half", "total", _TOTAL),
    "92": ("away_total_2nd_half", "total", _TOTAL),
    "94": ("odd_even_2nd_half", "", _ODD_EVEN),
    "95": ("both_teams_to_score_2nd_half", "", _YES_NO),
    "113": ("1x2_overtime", "", _1X2),
    "116": ("total_overtime", "total", _TOTAL),
    "117": ("asian_handicap_overtime", "hcp", _HCP),
    "123": ("penalty_shootout_winner", "", _2WAY),
    "136": ("bookings_1x2", "", _1X2),
    "139": ("bookings_total", "total", _TOTAL),
    "149": ("bookings_1x2_1st_half", "", _1X2),
    "152": ("bookings_total_1st_half", "total", _TOTAL),
    "162": ("corners_1x2", "", _1X2),
    "165": ("corners_asian_handicap", "hcp", _HCP),
    "166": ("corners_total", "total", _TOTAL),
    "172": ("corners_odd_even", "", _ODD_EVEN),
    "173": ("corners_1x2_1st_half", "", _1X2),
    "176": ("corners_asian_handicap_1st_half", "hcp", _HCP),
    "177": ("corners_total_1st_half", "total", _TOTAL),
    "183": ("corners_odd_even_1st_half", "", _ODD_EVEN),
}

_BASKETBALL: Final[Mapping[str, _Row]] = {
    "1": ("1x2", "", _1X2),
    "11": ("draw_no_bet", "", _2WAY),
    "16": ("handicap", "hcp", _HCP),
    "18": ("total", "total", _TOTAL),
    "19": ("home_total", "total", _TOTAL),
    "20": ("away_total", "total", _TOTAL),
    "26": ("odd_even", "", _ODD_EVEN),
    "47": ("half_time_full_time", "", _HALVES),
    "60": ("1x2_1st_half", "", _1X2),
    "64": ("draw_no_bet_1st_half", "", _2WAY),
    "66": ("handicap_1st_half", "hcp", _HCP),
    "68": ("total_1st_half", "total", _TOTAL),
    "69": ("home_total_1st_half", "total", _TOTAL),
    "70": ("away_total_1st_half", "total", _TOTAL),
    "74": ("odd_even_1st_half", "", _ODD_EVEN),
    "83": ("1x2_2nd_half", "", _1X2),
    "86": ("draw_no_bet_2nd_half", "", _2WAY),
    "88": ("handicap_2nd_half", "hcp", _HCP),
    "90": ("total_2nd_half", "total", _TOTAL),
    "94": ("odd_even_2nd_half", "", _ODD_EVEN),
    "219": ("money_line", "", _2WAY),
    "220": ("overtime", "", _YES_NO),
    "223": ("handicap_incl_ot", "hcp", _HCP),
    "225": ("total_incl_ot", "total", _TOTAL),
    "227": ("home_total_incl_ot", "total", _TOTAL),
    "228": ("away_total_incl_ot", "total", _TOTAL),
    "229": ("odd_even_incl_ot", "", _ODD_EVEN),
    "235": ("1x2_quarter", "quarternr", _1X2),
    "236": ("total_quarter", "quarternr total", _TOTAL),
    "302": ("draw_no_bet_quarter", "quarternr", _2WAY),
    "303": ("handicap_quarter", "quarternr hcp", _HCP),
    "304": ("odd_even_quarter", "quarternr", _ODD_EVEN),
    "756": ("home_total_quarter", "quarternr total", _TOTAL),
    "757": ("away_total_quarter", "quarternr total", _TOTAL),
    "921": ("player_total_points", "player total", _TOTAL),
    "922": ("player_total_assists", "player total", _TOTAL),
    "923": ("player_total_rebounds", "player total", _TOTAL),
}

_TENNIS: Final[Mapping[str, _Row]] = {
    "186": ("match_winner", "", _2WAY),
    "187": ("game_handicap", "hcp", _HCP),
    "188": ("set_handicap", "hcp", _HCP),
    "189": ("total_games", "total", _TOTAL),
    "190": ("home_total_games", "total", _TOTAL),
    "191": ("away_total_games", "total", _TOTAL),
    "192": ("home_wins_a_set", "", _YES_NO),
    "193": ("away_wins_a_set", "", _YES_NO),
    "195": ("tie_break", "", _YES_NO),
    "198": ("odd_even_games", "", _ODD_EVEN),
    "201": ("first_set_match", "", _SET_MATCH),
    "202": ("set_winner", "setnr", _2WAY),
    "203": ("game_handicap_set", "setnr hcp", _HCP),
    "204": ("total_games_set", "setnr total", _TOTAL),
    "205": ("odd_even_games_set", "setnr", _ODD_EVEN),
    "206": ("tie_break_set", "setnr", _YES_NO),
    "207": ("correct_score_set", "setnr", _SET_SCORES),
    "210": ("game_winner", "setnr gamenr", _2WAY),
    "218": ("point_winner", "setnr gamenr pointnr", _2WAY),
    "314": ("total_sets", "total", _TOTAL),
}

_HOCKEY: Final[Mapping[str, _Row]] = {
    "1": ("1x2", "", _1X2),
    "8": ("next_goal", "goalnr", _NEXT),
    "10": ("double_chance", "", _DOUBLE),
    "11": ("draw_no_bet", "", _2WAY),
    "14": ("european_handicap", "hcp", _HCP_3WAY),
    "16": ("handicap", "hcp", _HCP),
    "18": ("total", "total", _TOTAL),
    "19": ("home_total", "total", _TOTAL),
    "20": ("away_total", "total", _TOTAL),
    "26": ("odd_even", "", _ODD_EVEN),
    "29": ("both_teams_to_score", "", _YES_NO),
    "220": ("overtime", "", _YES_NO),
    "406": ("money_line_incl_ot", "", _2WAY),
    "410": ("handicap_incl_ot", "hcp", _HCP),
    "412": ("total_incl_ot", "total", _TOTAL),
    "414": ("home_total_incl_ot", "total", _TOTAL),
    "415": ("away_total_incl_ot", "total", _TOTAL),
    "419": ("odd_even_incl_ot", "", _ODD_EVEN),
    "443": ("1x2_period", "periodnr", _1X2),
    "444": ("next_goal_period", "periodnr goalnr", _NEXT),
    "446": ("total_period", "periodnr total", _TOTAL),
    "447": ("home_total_period", "periodnr total", _TOTAL),
    "448": ("away_total_period", "periodnr total", _TOTAL),
    "452": ("both_teams_to_score_period", "periodnr", _YES_NO),
    "459": ("draw_no_bet_period", "periodnr", _2WAY),
    "460": ("handicap_period", "periodnr hcp", _HCP),
    "462": ("odd_even_period", "periodnr", _ODD_EVEN),
    "529": ("double_chance_period", "periodnr", _DOUBLE),
}

TABLES: Final[Mapping[str, Mapping[str, _Row]]] = {
    "football": _FOOTBALL,
    "basketball": _BASKETBALL,
    "tennis": _TENNIS,
    "hockey": _HOCKEY,
}


class Identity(Struct, frozen=True):
    """What a UOF market is called here.

    `outcomes` leads from the provider's outcome ids to ours, None: they stay. `specifiers` are the provider's own.
    """

    market: str
    line: str
    outcomes: Mapping[str, str] | None
    specifiers: Mapping[str, str]


class _Canonical(Struct, frozen=True):
    kind: MarketType
    specifiers: frozenset[str]
    outcomes: Mapping[str, str]


@lru_cache(maxsize=64)
def canonical_markets(sport: str) -> Mapping[str, _Canonical]:
    """Return a sport's canonical markets by UOF id: the rows of the table that the catalogue has just so."""
    known = find(sport)
    found: dict[str, _Canonical] = {}
    for market_id, (name, specifiers, outcomes) in TABLES.get(sport, {}).items():
        theirs = specifiers.split()
        kind = known.markets.get(name) if known else None
        if kind is None or kind.line != tuple(sorted(_RENAMED.get(each, each) for each in theirs)):
            continue
        if all(has_outcome(kind, outcome) for outcome in outcomes.values()):
            found[market_id] = _Canonical(kind, frozenset(theirs), outcomes)
    return found


@lru_cache(maxsize=65_536)
def identify(sport: str, market_id: str, specifiers: str) -> Identity:
    """Name a UOF market. Raises FeedError `bad_id` where it can't be named at all."""
    if not _ID.fullmatch(market_id):
        raise FeedError("bad_id", f"market id {market_id[:40]!r} is no id")
    pairs = split_specifiers(specifiers)
    if pairs is None:
        # what can't be read is kept whole, under a name that no readable specifiers ever get
        return Identity(f"uof:{market_id}", make_line({"id": specifiers}), None, {})
    canonical = canonical_markets(sport).get(market_id)
    if canonical is not None and canonical.specifiers == pairs.keys():
        line = _canonical_line(canonical.kind, pairs)
        if line is not None:
            return Identity(canonical.kind.name, line, canonical.outcomes, pairs)
    return Identity(f"uof:{market_id}", make_line(pairs), None, pairs)


def split_specifiers(text: str) -> dict[str, str] | None:
    """Read `name=value|…`; None for anything else, and for `id` alone, which stands for what can't be read."""
    pairs: dict[str, str] = {}
    for part in text.split("|") if text else ():
        name, equals, value = part.partition("=")
        if not equals or not value or name in pairs or not _SPECIFIER.fullmatch(name):
            return None
        pairs[name] = value
    return None if tuple(pairs) == ("id",) else pairs


def _canonical_line(kind: MarketType, pairs: Mapping[str, str]) -> str | None:
    renamed = {_RENAMED.get(name, name): f"uof:{value}" if name == "player" else value for name, value in pairs.items()}
    try:
        return line_for(make_line(renamed), kind.line, kind.line_kinds)
    except FeedError:
        return None
