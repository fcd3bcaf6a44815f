"""Which canonical market a Betfair market becomes, and that two of them never become one."""

import itertools
from collections import Counter
from typing import Any

import pytest
from betfair_driver import Feed, change, definition, handicap, handicap_runners, of
from hypothesis import given
from hypothesis import strategies as st

from sb_core.messages import Odds
from sb_core.sports import check, get

SPORT_IDS = {"football": "1", "tennis": "2", "basketball": "7522", "hockey": "7524"}


def listed(*each: object) -> list[dict[str, Any]]:
    """Build runners in order of place: an id, a name (with a made-up id), or (id, name)."""
    found = []
    for place, one in enumerate(each, start=1):
        id_, name = one if isinstance(one, tuple) else (one, None) if isinstance(one, int) else (900 + place, one)
        found.append({"id": id_, "status": "ACTIVE", "sortPriority": place, **({"name": name} if name else {})})
    return found


SCORES = ("0 - 0", "0 - 1", "0 - 2", "0 - 3", "1 - 0", "1 - 1")
HALVES = tuple(f"{a}/{b}" for a in ("A", "Draw", "B") for b in ("A", "Draw", "B"))
NINE = [(3710152, name) if name == "Draw/Draw" else name for name in HALVES]

ROWS: list[tuple[str, str, list[dict[str, Any]], str | None, tuple[str, str, list[str]]]] = [
    # sport, type, runners, market's name; canonical market, line, outcome ids
    ("football", "MATCH_ODDS", listed(11, 22, 58805), None, ("1x2", "", ["home", "away", "draw"])),
    ("football", "MATCH_ODDS", listed(11, 58805, 22), None, ("1x2", "", ["home", "draw", "away"])),
    ("football", "MATCH_ODDS", listed(11, 22, 33), None, ("1x2", "", ["home", "away", "draw"])),
    ("football", "MATCH_ODDS", listed(11, 22), None, ("betfair:MATCH_ODDS", "id=1.1", ["11", "22"])),
    ("football", "HALF_TIME", listed(81, 82, 2004841), None, ("1x2_1st_half", "", ["home", "away", "draw"])),
    ("football", "OVER_UNDER_25", listed(47972, 47973), None, ("total", "total=2.5", ["under", "over"])),
    ("football", "OVER_UNDER_05", listed(5851482, 5851483), None, ("total", "total=0.5", ["under", "over"])),
    ("football", "OVER_UNDER_105", listed(1, 2), None, ("total", "total=10.5", ["under", "over"])),
    ("football", "OVER_UNDER_25", listed("Over 2.5 Goals", "Under 2.5 Goals"), None, ("total", "total=2.5", ["over", "under"])),
    ("football", "OVER_UNDER_25", listed("Many", "Few"), None, ("betfair:OVER_UNDER_25", "id=1.1", ["901", "902"])),
    ("football", "FIRST_HALF_GOALS_15", listed("Under 1.5 Goals", "Over 1.5 Goals"), None, ("total_1st_half", "total=1.5", ["under", "over"])),
    ("football", "BOTH_TEAMS_TO_SCORE", listed(30246, 30247), None, ("both_teams_to_score", "", ["yes", "no"])),
    ("football", "BOTH_TEAMS_TO_SCORE", listed("No", "Yes"), None, ("both_teams_to_score", "", ["no", "yes"])),
    ("football", "BOTH_TEAMS_TO_SCORE", listed(5, 6), None, ("betfair:BOTH_TEAMS_TO_SCORE", "id=1.1", ["5", "6"])),
    ("football", "CORRECT_SCORE", listed(1, 4, 9, 16, 2, 3, 9063255), None, ("correct_score", "", ["0:0", "0:1", "0:2", "0:3", "1:0", "1:1", "other_away"])),
    ("football", "CORRECT_SCORE", listed(*SCORES, "Any Other Home Win"), None, ("correct_score", "", ["0:0", "0:1", "0:2", "0:3", "1:0", "1:1", "other_home"])),
    ("football", "CORRECT_SCORE", listed(1, (4506345, "Any Unquoted ")), None, ("betfair:CORRECT_SCORE", "id=1.1", ["1", "4506345"])),
    ("football", "HALF_TIME_SCORE", listed(1, 3), None, ("correct_score_1st_half", "", ["0:0", "1:1"])),
    ("football", "HALF_TIME_FULL_TIME", listed(*NINE), None, ("half_time_full_time", "", [f"{a}/{b}" for a in ("home", "draw", "away") for b in ("home", "draw", "away")])),
    ("football", "HALF_TIME_FULL_TIME", listed(*HALVES[:8]), None, ("betfair:HALF_TIME_FULL_TIME", "id=1.1", [str(n) for n in range(901, 909)])),
    ("football", "DRAW_NO_BET", listed(11, 22), None, ("draw_no_bet", "", ["home", "away"])),
    ("football", "TO_QUALIFY", listed(11, 22), None, ("to_qualify", "", ["home", "away"])),
    ("football", "DOUBLE_CHANCE", listed("Home or Draw", "Draw or Away", "Home or Away"), None, ("double_chance", "", ["home_or_draw", "draw_or_away", "home_or_away"])),
    ("football", "DOUBLE_CHANCE", listed(1, 2, 3), None, ("betfair:DOUBLE_CHANCE", "id=1.1", ["1", "2", "3"])),
    ("football", "ODD_OR_EVEN", listed("Odd", "Even"), None, ("odd_even", "", ["odd", "even"])),
    ("football", "NEXT_GOAL", listed(11, 22, 69852), None, ("betfair:NEXT_GOAL", "id=1.1", ["11", "22", "69852"])),
    ("tennis", "MATCH_ODDS", listed(11, 22), None, ("match_winner", "", ["home", "away"])),
    ("tennis", "SET_WINNER", listed(11, 22), "Set 3 Winner", ("set_winner", "set=3", ["home", "away"])),
    ("tennis", "SET_WINNER", listed(11, 22), "Set 6 Winner", ("set_winner", "id=1.1", ["home", "away"])),
    ("tennis", "SET_WINNER", listed(11, 22), None, ("set_winner", "id=1.1", ["home", "away"])),
    ("tennis", "OVER_UNDER_25", listed(1, 2), None, ("betfair:OVER_UNDER_25", "id=1.1", ["1", "2"])),
    ("tennis", "GAME_BY_GAME_01_07", listed(11, 22), None, ("betfair:GAME_BY_GAME_01_07", "id=1.1", ["11", "22"])),
    ("basketball", "MATCH_ODDS", listed(11, 22), None, ("money_line", "", ["home", "away"])),
    ("hockey", "MATCH_ODDS", listed(11, 22), None, ("money_line_incl_ot", "", ["home", "away"])),
    ("hockey", "MATCH_ODDS", listed(11, 22, 58805), None, ("1x2", "", ["home", "away", "draw"])),
]  # fmt: skip


@pytest.mark.parametrize(("sport", "type_", "runners", "name", "expected"), ROWS)
def test_a_market_and_what_it_becomes(
    sport: str, type_: str, runners: list[dict[str, Any]], name: str | None, expected: tuple[str, str, list[str]]
) -> None:
    md = definition(eventTypeId=SPORT_IDS[sport], marketType=type_, runners=runners, name=name)
    message = of(Feed().send(change(id="1.1", md=md)), Odds)
    [market] = message.markets
    assert (market.market, market.line, [outcome.id for outcome in market.outcomes]) == expected
    assert check(message, get(sport)).problems == ()


@pytest.mark.parametrize(
    ("sport", "type_", "pairs", "expected"),
    [
        ("football", "ASIAN_HANDICAP", handicap_runners(-1.5, 0), [("asian_handicap", "hcp=-1.5"), ("asian_handicap", "hcp=0")]),
        ("basketball", "HANDICAP", handicap_runners(-7.5), [("handicap_incl_ot", "hcp=-7.5")]),
        ("hockey", "HANDICAP", handicap_runners(1.5), [("handicap_incl_ot", "hcp=1.5")]),
        ("tennis", "HANDICAP", handicap_runners(1.5), [("betfair:HANDICAP", "hcp=1.5|id=1.1")]),
        # a total is no handicap, though it comes in pairs too: both runners have the same number
        ("football", "ALT_TOTAL_GOALS", [{**r, "hc": abs(r["hc"])} for r in handicap_runners(2, 2.5)], [("betfair:ALT_TOTAL_GOALS", "id=1.1|total=2"), ("betfair:ALT_TOTAL_GOALS", "id=1.1|total=2.5")]),
        # three runners, or one without its pair: no pairs for certain
        ("football", "ASIAN_HANDICAP", [*handicap_runners(1), {"id": 33, "hc": 1, "status": "ACTIVE", "sortPriority": 3}], [("betfair:ASIAN_HANDICAP", "id=1.1")]),
        ("football", "ASIAN_HANDICAP", handicap_runners(1, 2)[:3], [("betfair:ASIAN_HANDICAP", "id=1.1")]),
    ],
)  # fmt: skip
def test_double_lines(sport: str, type_: str, pairs: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    md = {**handicap(runners=pairs), "eventTypeId": SPORT_IDS[sport], "marketType": type_}
    message = of(Feed().send(change(id="1.1", md=md)), Odds)
    assert [(market.market, market.line) for market in message.markets] == expected
    assert {market.source for market in message.markets} == {"1.1"}
    assert check(message, get(sport)).problems == ()


def test_a_second_market_of_a_kind_keeps_its_own_type() -> None:
    feed = Feed()
    feed.send(change(id="1.1", md=definition()))
    [market] = of(feed.send(change(id="1.2", md=definition())), Odds).markets
    assert (market.market, market.line) == ("betfair:MATCH_ODDS", "id=1.2")
    # another event's is another market, and a later definition changes no market's name
    assert of(feed.send(change(id="1.3", md=definition(eventId="8"))), Odds).markets[0].market == "1x2"
    assert of(feed.send(change(id="1.1", md=definition(version=9))), Odds).markets[0].market == "1x2"


def test_a_name_that_comes_later_does_not_rename_the_market() -> None:
    feed = Feed()
    md = definition(eventTypeId="2", marketType="SET_WINNER", runners=listed(11, 22))
    feed.send(change(id="1.1", md=md))
    [market] = of(feed.send(change(id="1.1", md={**md, "name": "Set 1 Winner"})), Odds).markets
    assert (market.line, market.name) == ("id=1.1", "Set 1 Winner")


def test_a_market_that_changes_its_type_leaves_its_old_line_inactive() -> None:
    feed = Feed()
    feed.send(change(id="1.1", md=definition()))
    message = of(feed.send(change(id="1.1", md=definition(marketType="HALF_TIME"))), Odds)
    assert [(market.market, market.status) for market in message.markets] == [
        ("1x2_1st_half", "active"),
        ("1x2", "inactive"),
    ]


def test_an_event_keeps_the_sport_it_was_first_of() -> None:
    feed = Feed()
    feed.send(change(id="1.1", md=definition(eventTypeId="7524")))
    message = of(feed.send(change(id="1.2", md=handicap(eventTypeId="1"))), Odds)
    assert message.sport == "hockey"
    assert {market.market for market in message.markets} == {"handicap_incl_ot"}


@st.composite
def some_definition(draw: st.DrawFn) -> dict[str, Any]:
    sport = draw(st.sampled_from(sorted(SPORT_IDS)))
    if draw(st.booleans()):
        _, type_, runners, name, _ = draw(st.sampled_from(ROWS))
        return definition(eventTypeId=SPORT_IDS[sport], marketType=type_, runners=runners, name=name)
    hcs = draw(st.lists(st.integers(-8, 8), min_size=1, max_size=4, unique=True))
    type_ = draw(st.sampled_from(["ASIAN_HANDICAP", "HANDICAP", "ALT_TOTAL_GOALS"]))
    runners = handicap_runners(*(quarters / 4 for quarters in hcs))
    return {**handicap(runners=runners), "eventTypeId": SPORT_IDS[sport], "marketType": type_}


@given(st.lists(st.tuples(st.sampled_from(["1.1", "1.2", "1.3"]), some_definition()), max_size=8))
def test_no_two_source_markets_of_an_event_share_a_line(told: list[tuple[str, dict[str, Any]]]) -> None:
    feed = Feed()
    owners: dict[tuple[str, str], str] = {}
    for source, md in told:
        message = of(feed.send(change(id=source, md=md)), Odds)
        for market in message.markets if message else ():
            assert owners.setdefault((market.market, market.line), market.source) == market.source
            repeated = Counter(outcome.id for outcome in market.outcomes or ())
            assert not repeated or max(repeated.values()) == 1
        assert message is None or check(message, get(message.sport)).problems == ()


def test_the_table_covers_every_canonical_name_in_use() -> None:
    names = set(itertools.chain.from_iterable([row[4][0]] for row in ROWS if ":" not in row[4][0]))
    assert len(names) == 16
