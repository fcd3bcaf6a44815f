"""What Betfair input can do wrong: refusals by the smallest piece, what they close, and sessions that are lost."""

import json
from typing import Any

import pytest
from betfair_driver import MARKET, Feed, change, closed, definition, handicap, market, of, prices, runners, started

from sb_core.errors import FeedError
from sb_core.messages import Odds, Settlement
from sb_ingest.providers.betfair_wire import LEVELS_MAX


@pytest.mark.parametrize(
    ("price", "size"),
    [(1.0, 5), (0.5, 5), (-2, 5), (1_000_001, 5), (2, -1), ("NaN", 5), (2, "NaN"), ("sNaN", 0), ("sNaN", 1), (2, "sNaN"), (2, "Infinity"), (2, 1e300)],
)  # fmt: skip
def test_what_is_no_offer_closes_the_market_until_newer_odds(price: object, size: object) -> None:
    feed = started()
    result = feed.send(change([{"id": 11, "atb": [[price, size]]}, {"id": 22, "atb": [[4, 1]]}]))
    if size == 0:
        assert result.refusals == ()
        return
    [refusal] = result.refusals
    assert (refusal.code, refusal.event, refusal.sport) == ("bad_odds", "betfair:7", "football")
    assert (refusal.market, refusal.line, refusal.ts) == ("1x2", "", feed.pt)
    assert of(result, Odds) is None
    # the rest of that delta is known all the same
    assert prices(feed.send(change([{"id": 58805, "atb": [[5, 1]]}]))) == {
        "home": "2.00",
        "away": "4.00",
        "draw": "5.00",
    }


def test_a_bad_price_of_one_pair_refuses_that_line_alone() -> None:
    feed = Feed()
    feed.send(change(md=handicap()))
    result = feed.send(change([{"id": 11, "hc": -0.5, "atb": [[0.2, 1]]}, {"id": 11, "atb": [[1.8, 1]]}]))
    assert [(r.code, r.market, r.line) for r in result.refusals] == [("bad_odds", "asian_handicap", "hcp=-0.5")]
    assert market(result).line == "hcp=0"


@pytest.mark.parametrize("betting_type", ["LINE", "ASIAN_HANDICAP_SINGLE_LINE", "RANGE"])
def test_other_betting_types_are_unsupported(betting_type: str) -> None:
    feed = Feed()
    result = feed.send(change(md=definition(bettingType=betting_type, marketType="TOTALS")))
    for refusal in (*result.refusals, *feed.send(change([{"id": 11, "atb": [[2, 1]]}])).refusals):
        assert (refusal.code, refusal.event, refusal.sport) == ("unsupported_type", "betfair:7", "football")
        # closing it closes nothing else of the event
        assert (refusal.market, refusal.line) == ("betfair:TOTALS", f"id={MARKET}")
    assert result.messages == ()


def test_a_definition_without_a_betting_type_is_of_odds() -> None:
    said = {name: value for name, value in definition().items() if name != "bettingType"}
    assert market(Feed().send(change(md=said))).market == "1x2"


def test_an_unsupported_sport_is_remembered_for_later_changes() -> None:
    feed = Feed()
    codes = [
        feed.send(change(md=definition(eventTypeId=7))).refusals,
        feed.send(change([{"id": 11, "ltp": 2}])).refusals,
    ]
    assert [(r.code, r.event, r.market) for [r] in codes] == [("unsupported_sport", "betfair:7", None)] * 2


def test_one_broken_change_of_three_is_refused_alone_and_waits_for_an_image() -> None:
    feed = Feed()
    feed.send(*(change(id=id_, md=definition(eventId=id_[-1])) for id_ in ("1.1", "1.2", "1.3")))
    good = [{"id": 11, "atb": [[2, 1]]}]
    broken = {"id": "1.2", "rc": [{"id": 11, "atb": [[2]]}]}
    result = feed.send(change(good, id="1.1"), broken, change(good, id="1.3"))
    assert [message.event for message in result.messages] == ["betfair:1", "betfair:3"]
    [refusal] = result.refusals
    assert (refusal.code, refusal.event, refusal.market, refusal.line) == ("schema", "betfair:2", "1x2", "")
    assert json.loads(refusal.raw)["mc"][1] == broken
    # its ladders miss something now: neither deltas nor a definition mend that
    for later in (change(good, id="1.2"), change(good, id="1.2", md=definition(eventId="2"))):
        result = feed.send(later)
        assert [r.code for r in result.refusals] == ["no_image"]
        assert of(result, Odds) is None
    assert prices(feed.send(change(good, id="1.2", img=True)))["home"] == "2.00"


def test_of_a_large_message_a_refusal_keeps_its_own_change() -> None:
    images = [change([{"id": 11, "atb": [[2, n]] * 100}], id=f"1.{n}") for n in range(200)]
    result = Feed().send(*images)
    assert [json.loads(refusal.raw) for refusal in result.refusals] == images


def test_a_broken_market_is_settled_all_the_same() -> None:
    feed = started()
    feed.send({"id": MARKET, "rc": "?"})
    result = feed.send(change(md=closed("WINNER", "LOSER", "LOSER")))
    assert [r.code for r in result.refusals] == ["no_image"]
    assert of(result, Settlement).markets[0].outcomes[0].result == "won"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (change(md=definition(marketTime="yesterday")), "bad_time"),
        (change(md=definition(openDate="2026-01-01T12:00:00")), "bad_time"),
        (change(md=definition(status="DREAMING")), "schema"),
        (change(md=definition(eventId="a b")), "schema"),
        (change(md=definition(runners=runners("ACTIVE") * 2)), "schema"),
        (change(md=definition(eventId="8")), "schema"),
        (change(md=definition(eventTypeId="7")), "schema"),
        (change([{"id": 99, "atb": [[2, 1]]}]), "bad_id"),
        (change([{"id": 11, "hc": "NaN"}]), "bad_odds"),
        (change([{"id": 11, "hc": "sNaN"}]), "bad_odds"),
        (change([{"id": 11, "atb": [[2, 1]] * (LEVELS_MAX + 1)}]), "too_large"),
    ],
)
def test_broken_changes_close_the_market_they_were_about(broken: dict[str, Any], code: str) -> None:
    result = started().send(broken)
    assert [(r.code, r.event, r.market, r.line) for r in result.refusals] == [(code, "betfair:7", "1x2", "")]
    assert of(result, Odds) is None


@pytest.mark.parametrize("fields", [{"marketTime": "?"}, {"status": "?"}, {"runners": runners("ACTIVE") * 2}])
def test_a_broken_first_definition_closes_nothing_and_holds_nothing(fields: dict[str, Any]) -> None:
    feed = Feed()
    [refusal] = feed.send(change(md=definition(**fields))).refusals
    assert (refusal.event, refusal.market) == (None, None)
    assert [r.code for r in feed.send(change()).refusals] == ["no_image"]


def test_levels_held_are_bounded() -> None:
    feed = started()
    for start in (0, LEVELS_MAX):
        levels = [[round(2 + (start + step) / 100, 2), 1] for step in range(LEVELS_MAX)]
        result = feed.send(change([{"id": 22, "atb": levels}]))
    assert [r.code for r in result.refusals] == ["too_large"]


def test_503_loses_the_session_which_goes_on_from_images() -> None:
    feed = started()
    result = feed.document(b'{"op":"mcm","id":2,"status":503}')
    assert result.lost == "the stream says status 503"
    assert (result.messages, result.refusals, result.ignored) == ((), (), 1)
    # neither a delta nor a definition is a whole picture
    assert [r.code for r in feed.send(change([{"id": 11, "atb": [[3, 1]]}])).refusals] == ["no_image"]
    assert [r.code for r in feed.send(change(md=definition())).refusals] == ["no_image"]
    result = feed.send(change([{"id": 11, "atb": [[3, 1]]}], md=definition(), img=True))
    assert prices(result) == {"home": "3.00", "away": None, "draw": None}


def test_a_closed_connection_loses_the_session_and_other_statuses_do_not() -> None:
    feed = started()
    assert (
        feed.document(
            b'{"op":"status","statusCode":"FAILURE","errorCode":"INVALID_INPUT","connectionClosed":false}'
        ).lost
        is None
    )
    assert feed.send(change([{"id": 11, "atb": [[3, 1]]}])).refusals == ()
    assert (
        feed.document(b'{"op":"status","statusCode":"FAILURE","errorCode":"TIMEOUT","connectionClosed":true}').lost
        == "connection closed: TIMEOUT"
    )


def test_heartbeats_and_empty_messages_are_ignored() -> None:
    feed = started()
    session = feed.session
    for document in (
        b'{"op":"mcm","ct":"HEARTBEAT","pt":5}',
        b'{"op":"mcm","mc":[]}',
        b'{"op":"connection"}',
        b'{"op":"mcm","mc":null,"status":null}',
    ):
        assert feed.document(document).ignored == 1
        assert feed.session is session


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "malformed"),
        (b'{"op":"mcm"', "malformed"),
        (b'\xff\xfe{"op":1}', "malformed"),
        (b'{"op":"mcm","clk":"\xff"}', "malformed"),
        (b"[]", "schema"),
        (b'{"pt":1}', "schema"),
        (b'{"op":"ocm","pt":1}', "unsupported_type"),
        (b'{"op":"mcm","mc":[{"id":"1.1"}]}', "bad_time"),
        (b'{"op":"mcm","pt":-1,"mc":[{"id":"1.1"}]}', "bad_time"),
        (b'{"op":"mcm","pt":1e30,"mc":[{"id":"1.1"}]}', "schema"),
        (b'{"op":"mcm","pt":1,"x":' + b"[" * 100_000, "too_deep"),
        (b'{"op":"mcm","pt":1,"mc":[' + b",".join([b"{}"] * 5_001) + b"]}", "too_large"),
    ],
)
def test_documents_of_which_nothing_can_be_used(document: bytes, code: str) -> None:
    with pytest.raises(FeedError) as refused:
        Feed().document(document)
    assert refused.value.code == code


def test_closed_markets_make_room_when_a_session_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_ingest.providers.betfair.MARKETS_HELD_MAX", 3)
    feed = Feed()
    feed.send(*(change(id=f"1.{n}", md=definition(eventId=str(n))) for n in range(3)))
    assert [r.code for r in feed.send(change(id="1.3", md=definition(eventId="3"))).refusals] == ["too_large"]
    feed.send(change(id="1.1", md=closed("WINNER", "LOSER", "LOSER", eventId="1")))
    assert feed.send(change(id="1.3", md=definition(eventId="3"))).refusals == ()
    assert [r.code for r in feed.send(change(id="1.1")).refusals] == ["no_image"]
    assert prices(feed.send(change(id="1.0"))) == {"home": None, "away": None, "draw": None}
