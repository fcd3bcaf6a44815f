"""Sports: the catalogue, and what the checks of markets refuse, rewrite and leave alone."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from sb_core import sports
from sb_core.errors import CODES, ContractError
from sb_core.messages import (
    BetStop,
    MarketOdds,
    Odds,
    OutcomeOdds,
)
from sb_core.sports import Limits, Rules, check
from sb_core.sports.catalogue import catalogue, market
from sb_core.sports.prices import has_outcome

FOOTBALL, BASKETBALL, TENNIS, HOCKEY = (sports.get(name) for name in sports.names())
ALL = [FOOTBALL, BASKETBALL, TENNIS, HOCKEY]
EVENT = "uof:sr:match:42"


def outcome(which="home", odds="1.85", **more):
    return OutcomeOdds(id=which, odds=odds, **more)


def priced(market="1x2", line="", outcomes=(), **more):
    outcomes = outcomes or tuple(outcome(name) for name in ("home", "draw", "away"))
    return MarketOdds(market=market, line=line, outcomes=outcomes, **more)


def odds(*markets, **more):
    return Odds(**{"ts": 1_782_240_000_190, "event": EVENT, **more}, markets=markets)


def total(line, *outcomes):
    return priced("total", line, outcomes or (outcome("over"), outcome("under")))


def codes(checked):
    return [problem.code for problem in checked.problems]


def refused(message, sport=FOOTBALL, rules=sports.checks.DEFAULT_RULES):
    """Check a message that must be refused as a whole, and return the code."""
    checked = check(message, sport, rules)
    assert checked.message is None
    (problem,) = checked.problems
    assert problem.code in CODES or problem.code.startswith("rule_")
    return problem.code


# the catalogue


def test_the_registry():
    assert sports.names() == ("football", "basketball", "tennis", "hockey")
    assert sports.find("football") is sports.get("football")
    assert sports.find("cricket") is None
    with pytest.raises(KeyError):
        sports.get("cricket")
    with pytest.raises(ContractError):
        sports.register(FOOTBALL)
    with pytest.raises(ContractError):
        sports.register(msgspec.structs.replace(FOOTBALL, name="water-polo"))


WANTED = {
    "football": {
        "1x2": ("", "home draw away"),
        "1x2_1st_half": ("", "home draw away"),
        "total": ("total", "over under"),
        "total_1st_half": ("total", "over under"),
        "asian_handicap": ("hcp", "home away"),
        "asian_handicap_1st_half": ("hcp", "home away"),
        "european_handicap": ("hcp", "home draw away"),
        "both_teams_to_score": ("", "yes no"),
        "double_chance": ("", "home_or_draw home_or_away draw_or_away"),
        "draw_no_bet": ("", "home away"),
        "correct_score": ("", "other_home other_draw other_away"),
        "next_goal": ("goalnr", "home none away"),
        "odd_even": ("", "odd even"),
        "corners_total": ("total", "over under"),
    },
    "basketball": {
        "money_line": ("", "home away"),
        "1x2": ("", "home draw away"),
        "total_incl_ot": ("total", "over under"),
        "handicap_incl_ot": ("hcp", "home away"),
        "total_quarter": ("quarter total", "over under"),
        "odd_even": ("", "odd even"),
    },
    "tennis": {
        "match_winner": ("", "home away"),
        "set_winner": ("set", "home away"),
        "game_winner": ("game set", "home away"),
        "game_handicap": ("hcp", "home away"),
        "set_handicap": ("hcp", "home away"),
        "total_games": ("total", "over under"),
        "total_sets": ("total", "over under"),
        "correct_score": ("", ""),
    },
    "hockey": {
        "1x2": ("", "home draw away"),
        "money_line_incl_ot": ("", "home away"),
        "total": ("total", "over under"),
        "total_incl_ot": ("total", "over under"),
        "handicap_incl_ot": ("hcp", "home away"),
        "1x2_period": ("period", "home draw away"),
        "next_goal": ("goalnr", "home none away"),
        "both_teams_to_score": ("", "yes no"),
    },
}


@pytest.mark.parametrize("name", WANTED)
def test_the_catalogue_has_the_fields_standard_markets(name):
    markets = sports.get(name).markets
    for each, (line, outcomes) in WANTED[name].items():
        assert (" ".join(markets[each].line), " ".join(markets[each].outcomes)) == (line, outcomes), each


@pytest.mark.parametrize("sport", ALL, ids=lambda sport: sport.name)
def test_every_market_is_well_formed(sport):
    for name, kind in sport.markets.items():
        assert name == kind.name
        assert re.fullmatch(r"[a-z0-9][a-z0-9_]*", name)
        assert kind.title
        assert "all" in kind.groups
        assert kind.line == tuple(sorted(kind.line))
        assert len(kind.line) == len(kind.line_kinds)
        assert len(set(kind.outcomes)) == len(kind.outcomes)
        assert kind.outcomes or kind.outcome_pattern
        assert kind.complete is False or (kind.outcome_pattern is None and len(kind.outcomes) >= 2)
        assert all(has_outcome(kind, each) for each in kind.outcomes)
    wire = msgspec.json.decode(msgspec.json.encode(sport))
    assert set(wire["markets"]) == set(sport.markets)
    assert set(sport.period_types)
    assert sport.periods
    assert sport.statuses


def test_a_catalogue_refuses_a_name_twice_and_a_market_outside_all():
    one = market("1x2", "1x2", ("home", "away"))
    for wrong in ((one, one), (market("x", "X", ("a", "b"), groups=("score",)),), (market("a:b", "", ("a",)),)):
        with pytest.raises(ContractError):
            catalogue(*wrong)


def test_overlapping_or_open_sets_are_not_complete():
    assert not FOOTBALL.markets["double_chance"].complete
    assert not FOOTBALL.markets["correct_score"].complete
    assert FOOTBALL.markets["1x2"].complete
    assert FOOTBALL.markets["half_time_full_time"].complete


@pytest.mark.parametrize(
    ("sport", "name", "good", "bad"),
    [
        (FOOTBALL, "correct_score", ["0:0", "2:1", "10:0", "other_home"], ["02:1", "2-1", "2:1\n", "other", "100:0"]),
        (FOOTBALL, "first_goalscorer", ["uof:sr:player:7", "none", "own_goal"], ["7", ":7", "Messi"]),
        (FOOTBALL, "half_time_full_time", ["home/draw"], ["home"]),
        (TENNIS, "correct_score", ["2:0", "1:2", "3:2", "0:3"], ["2:2", "3:3", "4:0", "1:1", "12:2"]),
        (TENNIS, "correct_score_set", ["7:6", "6:0", "13:12"], ["7-6"]),
        (TENNIS, "match_winner", ["home", "away"], ["draw", "Home", "1"]),
    ],
)
def test_outcomes_of_canonical_markets(sport, name, good, bad):
    kind = sport.markets[name]
    assert [each for each in good if not has_outcome(kind, each)] == []
    assert [each for each in bad if has_outcome(kind, each)] == []


# odds messages


def test_a_clean_message_is_the_same_object():
    market = priced(groups=("all", "score"), status="active", source="1", info={"in_play": True, "matched": "12.5"})
    message = odds(market, total("total=2.5"), priced("uof:899", "variant=x", (outcome("uof:sr:player:1"),)))
    checked = check(message, FOOTBALL)
    assert checked.message is message
    assert (checked.problems, checked.rounded) == ((), 0)


def test_odds_are_written_back_in_canonical_form():
    prices = {"1.5": "1.50", "2": "2.00", "1.85": "1.85", "1.01250": "1.0125", "03.4": "3.40", "1.8599999": "1.8599"}
    outcomes = tuple(outcome(f"o{index}", text) for index, text in enumerate(prices))
    checked = check(odds(priced("uof:1", "", outcomes)), FOOTBALL)
    assert [each.odds for each in checked.message.markets[0].outcomes] == list(prices.values())
    assert checked.rounded == 1  # zeros beyond the fourth decimal lose nothing


@pytest.mark.parametrize(
    "text", ["1", "1.00", "1.00009", "0", "-1.5", "NaN", "abc", "", "7.24E-4", "2000000", "9" * 99]
)
def test_bad_odds_of_an_active_outcome_refuse_its_market(text):
    bad = priced(outcomes=(outcome(), outcome("draw", text), outcome("away", active=False)))
    checked = check(odds(total("total=2.5"), bad, total("total=3.5")), FOOTBALL)
    assert codes(checked) == ["bad_odds"]
    assert (checked.problems[0].market, checked.problems[0].line, checked.problems[0].named) == ("1x2", "", True)
    assert [each.line for each in checked.message.markets] == ["total=2.5", "total=3.5"]


@pytest.mark.parametrize("text", ["1", "1.00", "0.5", "0", "1.00009", "-1", "1.00000000"])
def test_an_inactive_outcome_at_one_or_less_has_none(text):
    checked = check(odds(priced(outcomes=(outcome("home", text, active=False), outcome("draw")))), FOOTBALL)
    assert [each.odds for each in checked.message.markets[0].outcomes] == [None, "1.85"]


def test_an_inactive_outcome_keeps_a_price_and_refuses_what_is_none():
    kept = check(odds(priced(outcomes=(outcome("home", "2.5", active=False),))), FOOTBALL)
    assert kept.message.markets[0].outcomes[0].odds == "2.50"
    assert refused(odds(priced(outcomes=(outcome("home", "NaN", active=False),)))) == "bad_odds"


def test_absent_and_cleared_odds_stay_absent_and_cleared():
    message = odds(priced(outcomes=(OutcomeOdds(id="home", active=True), outcome("draw", None))))
    checked = check(message, FOOTBALL)
    assert checked.message is message
    assert checked.message.markets[0].outcomes[0].odds is UNSET


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"probability": "0.53"}, None),
        ({"probability": "1"}, None),
        ({"probability": None}, None),
        ({"size": "0"}, None),
        ({"size": "1204.55"}, None),
        ({"participant": "uof:sr:player:1"}, None),
        ({"probability": "1.01"}, "bad_odds"),
        ({"probability": "-0.1"}, "bad_odds"),
        ({"probability": "7.24E-4"}, "bad_odds"),
        ({"probability": "NaN"}, "bad_odds"),
        ({"size": "-1"}, "bad_odds"),
        ({"size": "1e9"}, "bad_odds"),
        ({"participant": " x"}, "bad_id"),
        ({"source": "a\x00"}, "bad_id"),
        ({"name": "x" * 1001}, "too_large"),
        ({"info": {"k": "x" * 1001}}, "too_large"),
        ({"info": {"k" * 101: 1}}, "bad_id"),
        ({"info": {str(key): 1 for key in range(101)}}, "too_large"),
        ({"info": {"k": 2**63}}, "too_large"),
        ({"info": {"k": "\x1b[31m"}}, "bad_id"),
    ],
)
def test_what_an_outcome_says(more, code):
    message = odds(priced(outcomes=(outcome(**more),)))
    if code is None:
        assert check(message, FOOTBALL).message is message
    else:
        assert refused(message) == code


@pytest.mark.parametrize(
    ("market", "code"),
    [
        (priced("1X2"), "bad_id"),
        (priced("winner"), "bad_id"),
        (priced(""), "bad_id"),
        (priced(":1x2"), "bad_id"),
        (priced("uof:"), "bad_id"),
        (priced("uof:a\nb"), "bad_id"),
        (priced("uof:" + "x" * 97), "bad_id"),
        (priced("1x2", "total=2.5"), "bad_id"),
        (total(""), "bad_id"),
        (total("total=2,5"), "bad_id"),
        (total("goals=2.5"), "bad_id"),
        (total("total=-2.5"), "bad_id"),
        (total("total=2.5|hcp=1"), "bad_id"),
        (total("total=" + "1" * 300), "bad_id"),
        (priced("total", "total=2.5", (outcome("Over"),)), "bad_id"),
        (priced("both_teams_to_score", "", (outcome("home"),)), "bad_id"),
        (priced(outcomes=(outcome(""),)), "bad_id"),
        (priced("uof:1", "", (outcome("x" * 201),)), "bad_id"),
        (priced("uof:1", "", (outcome("a\u202eb"),)), "bad_id"),
        (priced("uof:1", "", (outcome(" a"),)), "bad_id"),
        (priced("uof:1", "", (outcome("a\x00"),)), "bad_id"),
        (priced(outcomes=(outcome(), outcome("draw"), outcome())), "rule_repeated_outcome"),
        (priced("uof:1", "", tuple(outcome(str(each)) for each in range(501))), "too_large"),
        (priced(groups=tuple(str(each) for each in range(51))), "too_large"),
        (priced(groups=("all ",)), "bad_id"),
        (priced(name="x" * 1001), "too_large"),
        (priced(source="\t"), "bad_id"),
        (priced(info={"": 1}), "bad_id"),
    ],
)
def test_one_bad_market_of_three(market, code):
    good = total("total=2.5"), total("total=3.5")
    checked = check(odds(good[0], market, good[1]), FOOTBALL)
    assert codes(checked) == [code]
    assert checked.message.markets == good
    assert refused(odds(market)) == code


def test_a_draw_is_no_outcome_in_tennis():
    assert refused(odds(priced("match_winner", "", (outcome("draw"),))), TENNIS) == "bad_id"
    assert refused(odds(priced("1x2")), TENNIS) == "bad_id"


def test_lines_are_rewritten_where_certain():
    market = priced("game_winner", "set=2|game=03", (outcome("home"), outcome("away")))
    checked = check(odds(market), TENNIS)
    assert [each.line for each in checked.message.markets] == ["game=3|set=2"]
    unknown = priced("uof:1", "to=20|from=010", (outcome("1"),))
    assert check(odds(unknown), TENNIS).message.markets[0].line == "from=10|to=20"
    sourced = priced("1x2", "id=1.24297130")
    assert check(odds(sourced), FOOTBALL).message.markets[0].line == "id=1.24297130"


def test_a_market_twice_in_one_message_refuses_the_later():
    first, other, again = total("total=2.5"), total("total=3.5"), total("total=2.50")
    checked = check(odds(first, other, again), FOOTBALL)
    assert codes(checked) == ["rule_repeated_market"]
    assert checked.message.markets == (first, other)
    assert (checked.problems[0].line, checked.problems[0].named) == ("total=2.5", True)
    allowed = check(odds(first, again), FOOTBALL, Rules(repeated_market=False))
    assert len(allowed.message.markets) == 2


def test_problems_say_whether_a_stop_could_name_the_market():
    bad = priced("winner"), total("total=2,5"), total("total=2.50", outcome("over", "1.00"))
    problems = check(odds(*bad), FOOTBALL).problems
    assert [(each.market, each.line, each.named) for each in problems] == [
        ("winner", "", False),
        ("total", "total=2,5", False),
        ("total", "total=2.5", True),
    ]
    (long,) = check(odds(priced("x" * 5000)), FOOTBALL).problems
    assert len(long.market) == 200


def test_names_lose_their_control_characters():
    market = priced(name="A\x00 vs\x1b[31m B\x9f", outcomes=(outcome(name="Zoë\tK\u200dx"), outcome("draw", name="")))
    clean = check(odds(market), FOOTBALL).message.markets[0]
    assert clean.name == "A vs B"
    assert clean.outcomes[0].name == "Zoë K\u200dx"
    assert clean.outcomes[1] is market.outcomes[1]


def test_too_many_markets_refuse_the_message():
    many = tuple(total(f"total={each}.5") for each in range(3))
    assert refused(odds(*many), rules=Rules(limits=Limits(markets_max=2))) == "too_large"
    assert refused(odds(*many * 700)) == "too_large"


def test_no_markets_are_nothing_wrong():
    for message in (odds(), BetStop(ts=1, event=EVENT), BetStop(ts=1, event=EVENT, markets=())):
        assert check(message, FOOTBALL).message is message


# anything at all

TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
PRICE = st.sampled_from(["1.85", "1.5", "1.00", "NaN", "2.123456"]) | TEXT
ANY_OUTCOME = st.builds(
    OutcomeOdds,
    id=st.sampled_from(["home", "draw", "away", "over"]) | TEXT,
    name=TEXT,
    odds=PRICE,
    active=st.booleans(),
    probability=st.just(UNSET) | TEXT,
)
ANY_MARKET = st.builds(
    MarketOdds,
    market=st.sampled_from(["1x2", "total", "match_winner", "uof:1"]) | TEXT,
    line=st.sampled_from(["", "total=2.5", "total=2.50"]) | TEXT,
    outcomes=st.lists(ANY_OUTCOME, max_size=3).map(tuple),
)


@given(st.lists(ANY_MARKET, max_size=5).map(lambda each: odds(*each)), st.sampled_from(ALL))
def test_what_passed_passes_again_unchanged(message, sport):
    """Checks never raise for input, account for each market, and have nothing to add to what they let through."""
    checked = check(message, sport)
    kept = checked.message.markets if checked.message is not None else ()
    assert len(kept) + len(checked.problems) == len(message.markets)
    if checked.message is not None:
        again = check(checked.message, sport)
        assert again.message is checked.message
        assert (again.problems, again.rounded) == ((), 0)
