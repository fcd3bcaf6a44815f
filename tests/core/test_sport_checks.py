"""Checks of whole messages: heads, stops, settlements, scores, fixtures, and rules on or off."""

import msgspec
import pytest

from sb_core import sports
from sb_core.errors import CODES, ContractError
from sb_core.messages import (
    Alive,
    BetStop,
    Cancel,
    Clock,
    Competition,
    Competitor,
    Fixture,
    Hold,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    OutcomeOdds,
    OutcomeResult,
    PeriodScore,
    Player,
    Producer,
    ScoreChange,
    Settlement,
    SettlementRollback,
    SnapshotComplete,
    Tick,
)
from sb_core.sports import Limits, Rules, check, rules_for

FOOTBALL, BASKETBALL, TENNIS, HOCKEY = (sports.get(name) for name in sports.names())
EVENT = "uof:sr:match:42"


def outcome(which="home", odds="1.85", **more):
    return OutcomeOdds(id=which, odds=odds, **more)


def priced(market="1x2", line="", outcomes=(), **more):
    outcomes = outcomes or tuple(outcome(name) for name in ("home", "draw", "away"))
    return MarketOdds(market=market, line=line, outcomes=outcomes, **more)


def odds(*markets, **more):
    return Odds(**{"ts": 1_782_240_000_190, "event": EVENT, **more}, markets=markets)


def codes(checked):
    return [problem.code for problem in checked.problems]


def refused(message, sport=FOOTBALL, rules=sports.checks.DEFAULT_RULES):
    """Check a message that must be refused as a whole, and return the code."""
    checked = check(message, sport, rules)
    assert checked.message is None
    (problem,) = checked.problems
    assert problem.code in CODES or problem.code.startswith("rule_")
    return problem.code


# what all messages share


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ts": -1}, "bad_time"),
        ({"ts": 253_402_300_800_000}, "bad_time"),
        ({"ts": 10**5000}, "bad_time"),
        ({"received": -5}, "bad_time"),
        ({"seq": -1}, "too_large"),
        ({"seq": 2**63}, "too_large"),
        ({"event": ""}, "bad_id"),
        ({"event": "42"}, "bad_id"),
        ({"event": ":42"}, "bad_id"),
        ({"event": "uof:"}, "bad_id"),
        ({"event": "uof: 42"}, "bad_id"),
        ({"event": "uof:4\x002"}, "bad_id"),
        ({"event": "uof:42 "}, "bad_id"),
        ({"event": "uof:" + "4" * 200}, "bad_id"),
        ({"event": "u of:42"}, "bad_id"),
        ({"producer": ""}, "bad_id"),
        ({"producer": "1\n"}, "bad_id"),
        ({"provider": "uof:x"}, "bad_id"),
        ({"id": "x" * 201}, "bad_id"),
        ({"request": "a\tb"}, "bad_id"),
    ],
)
def test_a_bad_head_refuses_the_message(more, code):
    assert refused(odds(priced(), **more)) == code


def test_the_edges_of_time_and_length_are_fine():
    for ts in (0, 1234, 253_402_300_799_999):
        message = odds(priced(), ts=ts, event="uof:" + "4" * 196, seq=2**63 - 1)
        assert check(message, FOOTBALL).message is message


def test_messages_without_event_need_no_sport():
    for message in (Alive(ts=1, provider="uof", producer="1"), SnapshotComplete(ts=1), Tick(ts=1)):
        assert check(message, None).message is message
    assert refused(Alive(ts=-1, provider="uof"), None) == "bad_time"
    assert refused(Alive(ts=1, provider="a b"), None) == "bad_id"
    message = Producer(ts=1, provider="uof", state="down", gen=1, since=1)
    assert check(message, FOOTBALL).message is message
    with pytest.raises(ContractError):
        check(odds(priced()), None)


# stops, settlements, cancels, holds


@pytest.mark.parametrize("cls", [BetStop, Cancel, SettlementRollback, Hold])
def test_messages_that_name_markets(cls):
    refs = MarketRef(market="total", line="total=2.50"), MarketRef(market="nonsense"), MarketRef(market="uof:7")
    checked = check(cls(ts=1, event=EVENT, markets=refs), FOOTBALL)
    assert codes(checked) == ["bad_id"]
    assert [(each.market, each.line) for each in checked.message.markets] == [("total", "total=2.5"), ("uof:7", "")]
    assert type(checked.message) is cls
    assert check(cls(ts=1, event=EVENT, markets=refs[1:2]), FOOTBALL).message is None


def test_groups_of_a_stop():
    assert refused(BetStop(ts=1, event=EVENT, groups=("all\x00",))) == "bad_id"
    assert refused(BetStop(ts=1, event=EVENT, groups=("all",) * 51)) == "too_large"


@pytest.mark.parametrize(("start", "end"), [(-1, None), (None, 10**18), (7, 5)])
def test_windows(start, end):
    refs = (MarketRef(market="1x2"),)
    assert refused(Cancel(ts=1, event=EVENT, markets=refs, from_=start, to=end)) == "bad_time"
    fine = Cancel(ts=1, event=EVENT, markets=refs, from_=5, to=7)
    assert check(fine, FOOTBALL).message is fine


def test_reasons_are_cleaned_and_bounded():
    held = Hold(ts=1, event=EVENT, reason="goal\x07?", by="anna")
    assert check(held, FOOTBALL).message == Hold(ts=1, event=EVENT, reason="goal?", by="anna")
    assert refused(Hold(ts=1, event=EVENT, reason="x" * 1001)) == "too_large"


def settled(market, line, *outcomes):
    return MarketResult(market=market, line=line, outcomes=outcomes)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (settled("1x2", "", OutcomeResult(id="1", result="won")), "bad_id"),
        (settled("1x2", "", *[OutcomeResult(id="home", result="won")] * 2), "rule_repeated_outcome"),
        (settled("1x2", "", OutcomeResult(id="home", result="won", dead_heat="1.5")), "bad_odds"),
        (settled("1x2", "", OutcomeResult(id="home", result="won", dead_heat="5E-1")), "bad_odds"),
        (settled("total", "", OutcomeResult(id="over", result="won")), "bad_id"),
    ],
)
def test_settlements(result, code):
    good = settled("total", "total=2.5", OutcomeResult(id="over", result="half_won", dead_heat="0.5"))
    message = Settlement(ts=1, event=EVENT, certainty="live", markets=(good, result))
    checked = check(message, FOOTBALL)
    assert codes(checked) == [code]
    assert checked.message.markets == (good,)


def test_a_clean_settlement_is_the_same_object():
    result = settled(
        "match_winner", "", OutcomeResult(id="home", result="won"), OutcomeResult(id="away", result="lost")
    )
    message = Settlement(ts=1, event=EVENT, certainty="confirmed", markets=(result,))
    assert check(message, TENNIS).message is message
    named = settled("uof:1", "a=1.0", OutcomeResult(id="x", result="won", name="a\x00b"))
    clean = check(msgspec.structs.replace(message, markets=(named,)), TENNIS).message.markets[0]
    assert (clean.line, clean.outcomes[0].name) == ("a=1", "ab")


# scores


def scored(home=1, away=0, **more):
    return ScoreChange(ts=1, event=EVENT, home=home, away=away, **more)


@pytest.mark.parametrize(
    ("message", "sport", "code"),
    [
        (scored(-1), FOOTBALL, "rule_score"),
        (scored(1, 100), FOOTBALL, "rule_score"),
        (scored(periods=(PeriodScore(number=1, type="half", home=-1),)), FOOTBALL, "rule_score"),
        (scored(periods=(PeriodScore(number=3, type="half"),)), FOOTBALL, "rule_period"),
        (scored(periods=(PeriodScore(number=0, type="half"),)), FOOTBALL, "rule_period"),
        (scored(periods=(PeriodScore(number=1, type="set"),)), FOOTBALL, "rule_period"),
        (scored(periods=(PeriodScore(number=6, type="set"),)), TENNIS, "rule_period"),
        (scored(periods=(PeriodScore(number=5, type="quarter"),)), BASKETBALL, "rule_period"),
        (scored(periods=(PeriodScore(number=4, type="period"),)), HOCKEY, "rule_period"),
        (scored(periods=(PeriodScore(number=1, type="half"),) * 101), FOOTBALL, "too_large"),
        (scored(clock=Clock(elapsed_s=-1)), FOOTBALL, "rule_clock"),
        (scored(clock=Clock(remaining_s=86_401)), FOOTBALL, "rule_clock"),
        (scored(details={"k": "x" * 1001}), FOOTBALL, "too_large"),
        (scored(period="2nd\x00half"), FOOTBALL, "bad_id"),
        (scored(1, 1, status="ended"), TENNIS, "rule_draw"),
        (scored(1, 1, status="closed"), TENNIS, "rule_draw"),
        (scored(88, 88, status="ended"), BASKETBALL, "rule_draw"),
    ],
)
def test_impossible_scores(message, sport, code):
    assert refused(message, sport) == code


@pytest.mark.parametrize(
    ("message", "sport"),
    [
        (scored(1, 1, status="ended"), FOOTBALL),
        (scored(2, 2, status="ended"), HOCKEY),
        (scored(1, 1, status="live"), TENNIS),
        (scored(1, 1, status="abandoned"), TENNIS),
        (scored(1, 1, status="ended", details={"retired": "away"}), TENNIS),
        (scored(None, None, status="ended"), TENNIS),
        (scored(period="2nd_half", periods=(PeriodScore(number=1, type="half", home=1, away=0),)), FOOTBALL),
        (scored(period="injury_time"), FOOTBALL),
        (scored(clock=Clock(elapsed_s=4260, stopped=False), details={"corners_home": 3}), FOOTBALL),
        (scored(periods=(PeriodScore(number=5, type="overtime"),)), BASKETBALL),
    ],
)
def test_scores_that_happen(message, sport):
    assert check(message, sport).message is message


def test_rules_can_be_off_and_bounds_cannot():
    drawn = scored(1, 1, status="ended")
    assert check(drawn, TENNIS, Rules(draw=False)).message is drawn
    assert check(scored(-1), FOOTBALL, Rules(score=False)).message == scored(-1)
    assert refused(scored(10**30), FOOTBALL, Rules(score=False)) == "too_large"
    far = scored(clock=Clock(elapsed_s=10**30))
    assert refused(far, FOOTBALL, Rules(clock=False)) == "too_large"
    assert refused(scored(period="injury_time"), FOOTBALL, Rules(period_name=True)) == "rule_period_name"
    twice = odds(priced(outcomes=(outcome(), outcome())))
    assert check(twice, FOOTBALL, Rules(repeated_outcome=False)).message is twice
    odd = scored(periods=(PeriodScore(number=9, type="round"),))
    assert check(odd, FOOTBALL, Rules(period=False)).message is odd


def test_a_sport_may_lack_a_status():
    cricket = msgspec.structs.replace(FOOTBALL, statuses=("not_started", "live", "ended"))
    assert refused(scored(status="postponed"), cricket) == "rule_status"
    assert refused(Fixture(ts=1, event=EVENT, status="postponed"), cricket) == "rule_status"
    assert check(scored(status="postponed"), cricket, Rules(status=False)).problems == ()


def test_rules_from_a_configuration():
    rules = rules_for(TENNIS, {"draw": False, "score": 7, "markets_max": 10}, frozenset({"match_winner", "uof:5"}))
    assert rules.draw is False
    assert rules.score is True
    assert rules.limits == Limits(score_max=7, markets_max=10)
    both = odds(priced("match_winner", "", (outcome(),)), priced("total_sets", "total=2.5", (outcome("over"),)))
    checked = check(both, TENNIS, rules)
    assert codes(checked) == ["rule_enabled_market"]
    assert checked.problems[0].named
    assert [each.market for each in checked.message.markets] == ["match_winner"]
    assert rules_for(TENNIS) == Rules()
    for wrong in ({"drow": False}, {"score": "many"}, {"markets_max": True}, {"draw": 3}, {"limits": 5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            rules_for(TENNIS, wrong)
    with pytest.raises(ValueError, match="1x2"):
        rules_for(TENNIS, markets=frozenset({"1x2"}))


# fixtures


def test_a_fixture_is_cleaned():
    fixture = Fixture(
        ts=1,
        event=EVENT,
        name="A\x00 vs B",
        start=1_782_237_600_000,
        status="not_started",
        competition=Competition(id="uof:sr:tournament:1", name="Premier\nLeague", category="Eng\x07land"),
        competitors=(
            Competitor(id="uof:1", name="A\x1b[0m", side="home", players=(Player(id="uof:p1", name="P\x00"),)),
            Competitor(id="uof:2", name="B", side="away"),
        ),
        replaces="uof:sr:match:41",
    )
    clean = check(fixture, FOOTBALL).message
    assert clean.name == "A vs B"
    assert (clean.competition.name, clean.competition.category) == ("Premier League", "England")
    assert [each.name for each in clean.competitors] == ["A", "B"]
    assert clean.competitors[0].players[0].name == "P"
    assert check(clean, FOOTBALL).message is clean


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"start": -1}, "bad_time"),
        ({"start": 10**18}, "bad_time"),
        ({"name": "x" * 1001}, "too_large"),
        ({"competition": Competition(id="")}, "bad_id"),
        ({"competitors": (Competitor(id="a\x00"),)}, "bad_id"),
        ({"competitors": (Competitor(id="a", players=(Player(id=" "),)),)}, "bad_id"),
        ({"competitors": (Competitor(id="a"),) * 501}, "too_large"),
        ({"competitors": (Competitor(id="a", players=(Player(id="b"),) * 201),)}, "too_large"),
        ({"replaces": "41"}, "bad_id"),
        ({"replaced_by": "uof:4 1\n"}, "bad_id"),
    ],
)
def test_bad_fixtures(more, code):
    assert refused(Fixture(ts=1, event=EVENT, **more)) == code


def test_an_empty_fixture_says_nothing_wrong():
    for fixture in (Fixture(ts=1, event=EVENT), Fixture(ts=1, event=EVENT, start=None, name=None, competition=None)):
        assert check(fixture, FOOTBALL).message is fixture
