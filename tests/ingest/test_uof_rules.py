"""One test or row per rule: sport, time, statuses, prices, results, stops, windows, refusals."""

from typing import Any

import pytest
from uof_driver import KEY, Asked, read, shown

from sb_core.errors import FeedError

EVENT = 'product="1" event_id="sr:match:42" timestamp="1000"'


def ask() -> Asked:
    return Asked("football")


def odds_change(markets: str, attributes: str = EVENT) -> str:
    return f"<odds_change {attributes}><odds>{markets}</odds></odds_change>"


def one_market(market: str) -> dict[str, Any]:
    (odds,) = shown(read(odds_change(market), ask()))
    (only,) = odds["markets"]
    return only


def whole_refusal(document: str, asked: Asked) -> str:
    with pytest.raises(FeedError) as caught:
        read(document, asked)
    return caught.value.code


@pytest.mark.parametrize(
    ("asked", "sport"),
    [
        (Asked("hockey", "hi.-.live.bet_stop.5.sr:match.42.-", {"uof:sr:match:42": "basketball"}), "basketball"),
        (Asked("hockey", "hi.-.live.bet_stop.5.sr:match.42.-"), "tennis"),
        (Asked("hockey", "-.-.-.bet_stop.-.-.-.-"), "hockey"),
        (Asked("hockey", "nonsense"), "hockey"),
        (Asked(key="hi.-.live.bet_stop.1.sr:match.42.-"), "football"),
        (Asked(key="hi.-.live.bet_stop.2.sr:match.42.-"), "basketball"),
        (Asked(key="hi.-.live.bet_stop.4.sr:match.42.-"), "hockey"),
    ],
)
def test_sport_of_known_event_then_key_then_hint(asked: Asked, sport: str) -> None:
    (stop,) = shown(read(f"<bet_stop {EVENT} groups='all'/>", asked))
    assert stop["sport"] == sport


def fixture(sport: str) -> str:
    return f"""<fixtures_fixture generated_at="2026-06-23T10:00:00Z"><fixture id="sr:match:42">
      <tournament id="sr:tournament:1"><sport id="sr:sport:{sport}"/></tournament></fixture></fixtures_fixture>"""


def test_sport_of_document_comes_after_key_and_before_hint() -> None:
    assert shown(read(fixture("5"), Asked("football")))[0]["sport"] == "tennis"
    assert shown(read(fixture("5"), Asked("football", KEY)))[0]["sport"] == "football"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Asked(), "unknown_sport"),
        (Asked(key="hi.-.live.bet_stop.21.sr:match.42.-"), "unsupported_sport"),
        (Asked("curling"), "unsupported_sport"),
    ],
)
def test_no_sport(asked: Asked, code: str) -> None:
    assert whole_refusal(f"<bet_stop {EVENT} groups='all'/>", asked) == code


def test_sport_of_document_that_is_not_supported_is_refused_for_that_event() -> None:
    normalised = read(fixture("21"), Asked())
    (refusal,) = normalised.refusals
    assert (refusal.code, refusal.event, refusal.sport) == ("unsupported_sport", "uof:sr:match:42", None)


def test_a_namespace_changes_nothing() -> None:
    bare = f"<bet_stop {EVENT} groups='all'/>"
    named = bare.replace("<bet_stop", "<u:bet_stop xmlns:u='http://schemas.sportradar.com/x'")
    assert read(named, ask()).messages == read(bare, ask()).messages
    market = '<u:market id="1"><u:outcome id="1" odds="2.0"/></u:market>'
    document = odds_change(market).replace("odds_change ", "odds_change xmlns:u='urn:x' ")
    assert read(document, ask()).messages == read(odds_change(market.replace("u:", "")), ask()).messages


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<nonsense/>", "unsupported_type"),
        ("<bet_stop", "malformed"),
        ("", "malformed"),
        ("<!DOCTYPE a><alive/>", "doctype"),
        ('<alive timestamp="1"/>', "schema"),
        ('<alive product="1"/>', "bad_time"),
        ('<alive product="1" timestamp="soon"/>', "bad_time"),
        ('<alive product="1" timestamp="1" subscribed="maybe"/>', "schema"),
        ('<snapshot_complete product="1" timestamp="1"/>', "schema"),
        ('<bet_stop product="1" timestamp="1"/>', "schema"),
        ('<bet_stop product="1" timestamp="1" event_id="sr match"/>', "bad_id"),
        ("<schedule><sport_event id='sr:match:1'/></schedule>", "bad_time"),
        ("<schedule generated_at='2026-06-23T10:00:00'><sport_event id='sr:match:1'/></schedule>", "bad_time"),
        ("<schedule generated_at='2026-02-31T10:00:00Z'><sport_event id='sr:match:1'/></schedule>", "bad_time"),
        ("<schedule generated_at='1969-06-23T10:00:00Z'><sport_event id='sr:match:1'/></schedule>", "bad_time"),
        ("<schedule generated_at='2026-06-23T10:00:00Z'/>", "schema"),
    ],
)
def test_documents_of_which_nothing_can_be_used(document: str, code: str) -> None:
    assert whole_refusal(document, ask()) == code


@pytest.mark.parametrize(
    ("document", "code", "ts"),
    [
        ('<bet_stop product="1" event_id="sr:match:42"/>', "bad_time", None),
        ('<bet_stop product="1" event_id="sr:match:42" timestamp="-5"/>', "bad_time", None),
        ('<bet_stop product="1" event_id="sr:match:42" timestamp="12e3"/>', "bad_time", None),
        (f"<bet_settlement {EVENT}/>", "schema", 1000),
        (f"<bet_settlement {EVENT} certainty='3'><outcomes/></bet_settlement>", "schema", 1000),
        (f"<bet_cancel {EVENT}/>", "schema", 1000),
        (f"<bet_cancel {EVENT} start_time='x'><market id='1'/></bet_cancel>", "bad_time", 1000),
        (f"<bet_cancel {EVENT} start_time='9' end_time='8'><market id='1'/></bet_cancel>", "bad_time", 1000),
        (f"<rollback_bet_settlement {EVENT}/>", "schema", 1000),
        (f"<fixture_change {EVENT} start_time='x'/>", "bad_time", 1000),
    ],
)
def test_messages_refused_whole_close_their_event(document: str, code: str, ts: int | None) -> None:
    normalised = read(document, ask())
    (refusal,) = normalised.refusals
    assert normalised.messages == ()
    assert (refusal.code, refusal.event, refusal.sport, refusal.market) == (code, "uof:sr:match:42", "football", None)
    assert (refusal.ts, refusal.producer) == (ts, "1")
    assert refusal.raw == document.encode()


def test_a_product_that_is_no_id_closes_the_event_for_nobody_in_particular() -> None:
    (refusal,) = read('<bet_stop product="a b" event_id="sr:match:42" timestamp="1"/>', ask()).refusals
    assert (refusal.code, refusal.producer) == ("schema", "0")


def test_event_of_the_routing_key_stands_in() -> None:
    (stop,) = shown(read('<bet_stop product="1" timestamp="1" groups="all"/>', Asked(key=KEY)))
    assert stop["event"] == "uof:sr:match:42"


@pytest.mark.parametrize(
    ("attribute", "status"),
    [
        ("", "active"),
        ('status="1"', "active"),
        ('status="0"', "inactive"),
        ('status="-1"', "suspended"),
        ('status="-2"', "handed_over"),
    ],
)
def test_market_status(attribute: str, status: str) -> None:
    assert one_market(f'<market id="18" specifiers="total=2.50" {attribute}/>') == {
        "market": "total",
        "line": "total=2.5",
        "source": "18",
        "status": status,
    }


def test_market_status_settled_and_cancelled_say_so_beside_closed_odds() -> None:
    document = odds_change('<market id="1" status="-3"/><market id="29" status="-4"/><market id="10" status="1"/>')
    odds, settlement, cancel = shown(read(document, ask()))
    assert [(each["market"], each["status"]) for each in odds["markets"]] == [
        ("1x2", "inactive"),
        ("both_teams_to_score", "inactive"),
        ("double_chance", "active"),
    ]
    assert (settlement["type"], settlement["certainty"]) == ("settlement", "live")
    assert settlement["markets"] == [{"market": "1x2", "source": "1"}]
    assert (cancel["type"], cancel["markets"]) == ("cancel", [{"market": "both_teams_to_score", "source": "29"}])
    assert "to" not in cancel


@pytest.mark.parametrize(
    ("outcome", "odds", "active"),
    [
        ('odds="1.85" active="1"', "1.85", True),
        ('odds="1.85"', "1.85", True),
        ('odds="2"', "2", True),
        ('odds="1.2E1"', "12", True),
        ('odds="1.0125"', "1.0125", True),
        ('odds="1.5" active="0"', "1.5", False),
        ('active="0"', None, False),
        ('odds="1.0" active="0"', None, False),
        ('odds="0" active="0"', None, False),
        ('odds="-1" active="0"', None, False),
        ('odds="NaN" active="0"', None, False),
        ('odds="Infinity" active="0"', None, False),
    ],
)
def test_price(outcome: str, odds: str | None, active: bool) -> None:  # noqa: FBT001
    market = one_market(f'<market id="1"><outcome id="1" {outcome}/></market>')
    assert market["complete"] is True
    (only,) = market["outcomes"]
    assert (only["odds"], only["active"]) == (odds, active)


@pytest.mark.parametrize(
    ("market", "code"),
    [
        ('<market id="1"><outcome id="1" odds="NaN" active="1"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="Infinity"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="1.0"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="0.5"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="7.24E-4"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="-2"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="two"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="two" active="0"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="1e999"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="1" odds="2" probabilities="half"/></market>', "bad_odds"),
        ('<market id="1"><outcome id="9" odds="2"/></market>', "bad_id"),
        ('<market id="1"><outcome odds="2"/></market>', "schema"),
        ('<market id="1"><outcome id="1" odds="2" active="2"/></market>', "schema"),
        ('<market id="1" status="5"/>', "schema"),
    ],
)
def test_a_bad_market_is_refused_alone(market: str, code: str) -> None:
    document = odds_change(f'<market id="29"/>{market}<market id="10"/>')
    normalised = read(document, ask())
    (odds,) = shown(normalised)
    assert [each["market"] for each in odds["markets"]] == ["both_teams_to_score", "double_chance"]
    (refusal,) = normalised.refusals
    assert (refusal.code, refusal.event, refusal.sport) == (code, "uof:sr:match:42", "football")
    assert (refusal.market, refusal.line, refusal.ts, refusal.producer) == ("1x2", "", 1000, "1")
    assert refusal.raw == document.encode()


def test_a_market_without_an_id_closes_the_event() -> None:
    (refusal,) = read(odds_change('<market status="1"/>'), ask()).refusals
    assert (refusal.code, refusal.event, refusal.market) == ("schema", "uof:sr:match:42", None)


def test_a_bad_score_leaves_the_odds() -> None:
    document = odds_change('<market id="29"/>').replace("<odds>", '<sport_event_status home_score="a"/><odds>')
    normalised = read(document, ask())
    assert [each["type"] for each in shown(normalised)] == ["odds"]
    assert [(each.code, each.market) for each in normalised.refusals] == [("schema", None)]


@pytest.mark.parametrize(
    ("attributes", "result", "dead_heat"),
    [
        ('result="1"', "won", None),
        ('result="0"', "lost", None),
        ('result="-1"', "undecided", None),
        ('result="1" void_factor="0.0"', "won", None),
        ('result="1" void_factor="1"', "void", None),
        ('result="0" void_factor="1.0"', "void", None),
        ('void_factor="1.0"', "void", None),
        ('result="1" void_factor="0.5"', "half_won", None),
        ('result="0" void_factor="0.50"', "half_lost", None),
        ('result="1" dead_heat_factor="0.5"', "won", "0.5"),
        ('result="1" dead_heat_factor="1.0"', "won", None),
        ('result="1" dead_heat_factor="3.333E-1"', "won", "0.3333"),
    ],
)
def test_result(attributes: str, result: str, dead_heat: str | None) -> None:
    document = f"""<bet_settlement {EVENT} certainty="1"><outcomes><market id="29">
      <outcome id="74" {attributes}/></market></outcomes></bet_settlement>"""
    (settlement,) = shown(read(document, ask()))
    assert settlement["certainty"] == "live"
    (only,) = settlement["markets"][0]["outcomes"]
    assert (only["id"], only["result"], only.get("dead_heat")) == ("yes", result, dead_heat)


@pytest.mark.parametrize(
    "attributes", ["", 'result="2"', 'result="1" void_factor="0.25"', 'result="1" dead_heat_factor="NaN"']
)
def test_a_result_that_means_nothing_refuses_its_market(attributes: str) -> None:
    document = f"""<bet_settlement {EVENT} certainty="2"><outcomes><market id="29"><outcome id="74" {attributes}/></market>
      <market id="1"><outcome id="1" result="1"/></market></outcomes></bet_settlement>"""
    normalised = read(document, ask())
    assert [each["market"] for each in shown(normalised)[0]["markets"]] == ["1x2"]
    assert [(each.code, each.market) for each in normalised.refusals] == [("schema", "both_teams_to_score")]


@pytest.mark.parametrize(
    ("attributes", "groups", "status"),
    [
        ('groups="all"', None, "suspended"),
        ('groups="all|score"', None, "suspended"),
        ("", None, "suspended"),
        ('groups="score|corners"', ["score", "corners"], "suspended"),
        ('groups="score" market_status="-1"', ["score"], "suspended"),
        ('groups="score" market_status="0"', ["score"], "inactive"),
        ('groups="score" market_status="nonsense"', ["score"], "suspended"),
    ],
)
def test_bet_stop(attributes: str, groups: list[str] | None, status: str) -> None:
    (stop,) = shown(read(f"<bet_stop {EVENT} {attributes}/>", ask()))
    assert (stop.get("groups"), stop.get("status", "suspended")) == (groups, status)


def test_bet_cancel_gives_one_cancel_per_reason() -> None:
    document = f"""<bet_cancel {EVENT} superceded_by="sr:match:7"><market id="1" void_reason="12"/><market id="29"/>
      <market id="10" void_reason="12"/></bet_cancel>"""
    first, second = shown(read(document, ask()))
    assert (first["reason"], [each["market"] for each in first["markets"]]) == (
        "12; superceded_by sr:match:7",
        ["1x2", "double_chance"],
    )
    assert (second["reason"], second["markets"][0]["market"]) == ("superceded_by sr:match:7", "both_teams_to_score")


@pytest.mark.parametrize(
    ("attributes", "start", "status"),
    [
        ('start_time="5"', 5, None),
        ('start_time="5" change_type="2"', 5, None),
        ('start_time="5" change_type="3"', 5, "cancelled"),
        ('change_type="3"', None, "cancelled"),
        ('start_time="5" change_type="5" next_live_time="6"', 5, None),
    ],
)
def test_fixture_change(attributes: str, start: int | None, status: str | None) -> None:
    (message,) = shown(read(f"<fixture_change {EVENT} {attributes}/>", ask()))
    assert (message["type"], message.get("start"), message.get("status")) == ("fixture", start, status)


@pytest.mark.parametrize("document", [f"<fixture_change {EVENT} change_type='4'/>", odds_change("")])
def test_documents_that_say_nothing_are_ignored(document: str) -> None:
    normalised = read(document, ask())
    assert (normalised.messages, normalised.refusals, normalised.ignored) == ((), (), 1)


def test_alive_that_has_lost_its_subscription() -> None:
    (alive,) = shown(read('<alive product="3" timestamp="9" subscribed="0"/>', ask()))
    assert alive == {"type": "alive", "provider": "uof", "producer": "3", "ts": 9, "subscribed": False}


def test_a_schedule_refuses_one_event_of_several() -> None:
    document = """<schedule generated_at="2026-06-23T10:00:00.250+02:00">
      <sport_event id="sr:match:1" scheduled="yesterday" replaced_by="sr:match:3"/>
      <sport_event id="sr:match:2" scheduled="2026-06-23T18:00:00Z" name="A  vs B/C" replaced_by="sr:match:3"/>
      <sport_event/></schedule>"""
    normalised = read(document, ask())
    (message,) = shown(normalised)
    assert (message["ts"], message["start"]) == (1782201600250, 1782237600000)
    assert (message["name"], message["replaced_by"]) == ("A  vs B/C", "uof:sr:match:3")
    assert [(each.code, each.event) for each in normalised.refusals] == [
        ("bad_time", "uof:sr:match:1"),
        ("schema", None),
    ]
