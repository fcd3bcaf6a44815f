"""Bad pieces over real HTTP: what is refused is kept, and closes what it was about until newer odds."""

import json

import pytest
from bad_input import (
    EXTERNAL,
    LINES,
    TOTAL,
    XML,
    Open,
    accounted,
    every_letter,
    letters_of,
    market,
    now_ms,
    odds,
    send,
    uof_odds,
)

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bad_pieces")]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with accounted(tmp_path_factory.mktemp("bad") / "data") as started:
        yield started


# canonical pieces: what is refused, with which code, and what it closes


def outcome(**fields):
    return {**market(), "outcomes": [{"id": "home", **fields}, {"id": "draw", "odds": "3.00"}]}


def without(message, name):
    return {key: value for key, value in message.items() if key != name}


PIECES = {
    # event and ts -> message, code, what it closes
    "NaN": (lambda e, t: odds(e, t, outcome(odds="NaN")), "bad_odds", "1x2"),
    "Infinity": (lambda e, t: odds(e, t, outcome(odds="Infinity")), "bad_odds", "1x2"),
    "-inf": (lambda e, t: odds(e, t, outcome(odds="-inf")), "bad_odds", "1x2"),
    "negative": (lambda e, t: odds(e, t, outcome(odds="-2.10")), "bad_odds", "1x2"),
    "zero": (lambda e, t: odds(e, t, outcome(odds="0")), "bad_odds", "1x2"),
    "1.00": (lambda e, t: odds(e, t, outcome(odds="1.00")), "bad_odds", "1x2"),
    "beyond a million": (lambda e, t: odds(e, t, outcome(odds="1000000.0001")), "bad_odds", "1x2"),
    "exponent": (lambda e, t: odds(e, t, outcome(odds="2e0")), "bad_odds", "1x2"),
    "a float": (lambda e, t: odds(e, t, outcome(odds=2.1)), "bad_odds", "1x2"),
    "other digits": (lambda e, t: odds(e, t, outcome(odds="\N{ARABIC-INDIC DIGIT TWO}.5")), "bad_odds", "1x2"),
    "a long number": (lambda e, t: odds(e, t, outcome(odds="1" * 100_000)), "bad_odds", "1x2"),
    "outcome without id": (lambda e, t: odds(e, t, {"market": "1x2", "outcomes": [{"odds": "2.10"}]}), "schema", "1x2"),
    "outcome id a number": (lambda e, t: odds(e, t, outcome(id=2**53 + 1)), "schema", "1x2"),
    "unknown outcome": (lambda e, t: odds(e, t, outcome(id="nobody")), "bad_id", "1x2"),
    "outcome twice": (lambda e, t: odds(e, t, outcome(id="draw", odds="2.10")), "rule_repeated_outcome", "1x2"),
    "a line of nonsense": (lambda e, t: odds(e, t, market("total", "total=lots")), "bad_id", "event"),
    "unknown market": (lambda e, t: odds(e, t, market("no_such")), "bad_id", "nothing"),
    "market without name": (lambda e, t: odds(e, t, {"outcomes": []}), "schema", "event"),
    "no markets": (lambda e, t: without(odds(e, t), "markets"), "schema", "event"),
    "markets no list": (lambda e, t: odds(e, t, markets={}), "schema", "event"),
    "501 outcomes": (
        lambda e, t: odds(e, t, {"market": "acme:x", "outcomes": [{"id": str(n)} for n in range(501)]}),
        "too_large",
        "nothing",
    ),
    "no ts": (lambda e, t: without(odds(e, t), "ts"), "schema", "event"),
    "ts a text": (lambda e, t: odds(e, str(t)), "bad_time", "event"),
    "ts a fraction": (lambda e, t: odds(e, t + 0.5), "bad_time", "event"),
    "ts negative": (lambda e, _: odds(e, -1), "bad_time", "event"),
    "ts of 40 digits": (lambda e, _: odds(e, 10**40), "bad_time", "event"),
    "ts ahead": (lambda e, _: odds(e, now_ms() + 60_000), "bad_time", "event"),
    "no type": (lambda e, t: without(odds(e, t), "type"), "schema", "event"),
    "unknown type": (lambda e, t: odds(e, t, type="bet"), "unsupported_type", "event"),
    "our own type": (lambda e, t: odds(e, t, type="tick"), "unsupported_type", "event"),
    "other version": (lambda e, t: odds(e, t, v=2), "schema", "event"),
    "no event": (lambda e, t: without(odds(e, t), "event"), "schema", "nothing"),
    "event a number": (lambda _, t: odds(2**53 + 1, t), "schema", "nothing"),
    "event without provider": (lambda _, t: odds("12", t), "bad_id", "nothing"),
    "event of 300": (lambda _, t: odds("acme:" + "1" * 300, t), "bad_id", "nothing"),
    "event with a control": (lambda e, t: odds(e + "\x07", t), "bad_id", "nothing"),
    "unknown sport": (lambda _, t: odds("acme:chess", t, sport="chess"), "unsupported_sport", "nothing"),
    "no sport": (lambda _, t: without(odds("acme:none", t), "sport"), "unknown_sport", "nothing"),
    "id of 300": (lambda e, t: odds(e, t, id="1" * 300), "bad_id", "event"),
    "name of 1001": (
        lambda e, t: {"type": "fixture", "event": e, "sport": "football", "ts": t, "name": "x" * 1_001},
        "too_large",
        "event",
    ),
    "unknown status": (
        lambda e, t: {"type": "fixture", "event": e, "sport": "football", "ts": t, "status": "maybe"},
        "schema",
        "event",
    ),
    "score below zero": (
        lambda e, t: {"type": "score", "event": e, "sport": "football", "ts": t, "home": -1, "away": 0},
        "rule_score",
        "event",
    ),
    "a number": (lambda *_: 12, "schema", "nothing"),
    "null": (lambda *_: None, "schema", "nothing"),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_that_is_refused_closes_what_it_was_about_until_newer_odds(pipeline, name):
    make, code, closes = PIECES[name]
    standing = Open(pipeline)
    body = json.dumps([make(standing.event, standing.ts + 1_000)], ensure_ascii=False)
    answer = send(pipeline, body)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert told["accepted"] == 0
    assert [(each["index"], each["code"]) for each in told["refused"]] == [(0, code)]
    assert told["refused"][0].keys() == {"index", "event", "market", "code", "message"}
    assert letters_of(pipeline, answer) == [(code, body[1:-1].encode())]
    standing.check_closed(closes)


def test_bad_pieces_among_good_ones_cost_only_themselves(pipeline):
    first, bad, last = Open(pipeline), Open(pipeline), Open(pipeline)
    ts = first.ts + 1_000
    lines = [
        json.dumps(odds(first.event, ts, market(price="2.20"))),
        json.dumps(odds(bad.event, ts, market(price="0.20"), TOTAL)),
        "{",
        '{"a":' * 50 + "1" + "}" * 50,
        json.dumps(odds(last.event, ts, market(price="2.30"))),
    ]
    answer = send(pipeline, "\n".join(lines), LINES)
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 3, "the other market of the bad message goes on"
    assert [(each["index"], each["code"], each["market"]) for each in told["refused"]] == [
        (1, "bad_odds", "1x2"),
        (2, "malformed", None),
        (3, "too_deep", None),
    ]
    kept = [("bad_odds", lines[1]), ("malformed", lines[2]), ("too_deep", lines[3])]
    assert letters_of(pipeline, answer) == [(code, line.encode()) for code, line in kept]
    assert [price(each) for each in (first, bad, last)] == ["2.20", "2.10", "2.30"]
    bad.check_closed("1x2")


def price(standing):
    shown = {each["market"]: each for each in standing.shown()["markets"]}
    return shown["1x2"]["outcomes"][0]["odds"]


def test_a_refused_piece_can_be_replayed_once_it_is_newer(pipeline):
    """A replay is received anew, and refused anew for the same reason."""
    standing = Open(pipeline)
    answer = send(pipeline, json.dumps([odds(standing.event, standing.ts + 1, market(price="-1"))]))
    (letter,) = (item for item in every_letter(pipeline) if item["trace"] == answer.headers["sb-trace"])
    again = pipeline.http.post(
        f"{pipeline.url(4000)}/v1/deadletters/replay", json={"ids": [letter["id"]], "dry_run": True}
    ).json()
    assert [(each["result"], each["refused"][0]["code"]) for each in again["items"]] == [("refused", "bad_odds")]


# the UOF's own ways of being wrong


def swap(old, new):
    return lambda number, ts: uof_odds(number, ts).replace(old, new, 1)


def settle(outcome_attributes):
    return lambda number, ts: (
        f'<bet_settlement certainty="2" product="3" event_id="sr:match:{number}" timestamp="{ts}"><outcomes>'
        f'<market id="1"><outcome id="1" {outcome_attributes}/></market></outcomes></bet_settlement>'
    )


UOF = {
    # document, status, code, what it closes
    "NaN": (swap('odds="2.10"', 'odds="NaN"'), 202, "bad_odds", "1x2"),
    "INF": (swap('odds="2.10"', 'odds="INF"'), 202, "bad_odds", "1x2"),
    "negative": (swap('odds="2.10"', 'odds="-2.10"'), 202, "bad_odds", "1x2"),
    "below one": (swap('odds="2.10"', 'odds="7.24E-4"'), 202, "bad_odds", "1x2"),
    "a comma": (swap('odds="2.10"', 'odds="2,10"'), 202, "bad_odds", "1x2"),
    "no odds": (swap('odds="2.10"', ""), 202, "bad_odds", "1x2"),
    "no outcome id": (swap('outcome id="1"', "outcome"), 202, "schema", "1x2"),
    "no market id": (swap('market id="1"', "market"), 202, "schema", "event"),
    "misspelt market id": (swap('market id="18"', 'market idd="18"'), 202, "schema", "event"),
    "unknown market status": (swap('id="1" status="1"', 'id="1" status="9"'), 202, "schema", "1x2"),
    "outcome twice": (swap('outcome id="2"', 'outcome id="1"'), 202, "rule_repeated_outcome", "1x2"),
    "no event": (swap("event_id", "event_idd"), 422, "schema", "nothing"),
    "no timestamp": (swap("timestamp", "timestampp"), 422, "bad_time", "event"),
    "timestamp a text": (swap('timestamp="', 'timestamp="t'), 422, "bad_time", "event"),
    "timestamp ahead": (lambda number, _: uof_odds(number, now_ms() + 60_000), 422, "bad_time", "event"),
    "unknown document": (lambda *_: '<surprise product="3"/>', 422, "unsupported_type", "nothing"),
    "result missing": (settle(""), 422, "schema", "1x2"),
    "result 7": (settle('result="7"'), 422, "schema", "1x2"),
    "doctype": (lambda number, ts: EXTERNAL.replace("<odds/>", uof_odds(number, ts)), 400, "doctype", "nothing"),
    "cut off": (lambda number, ts: uof_odds(number, ts)[:-9], 400, "malformed", "nothing"),
}


@pytest.mark.parametrize("name", UOF)
def test_bad_uof_closes_what_it_was_about_until_newer_odds(pipeline, name):
    make, status, code, closes = UOF[name]
    standing = Open(pipeline, "uof")
    document = make(standing.number, standing.ts + 1_000)
    answer = send(pipeline, document, XML, provider="uof", sport="football")
    assert answer.status_code == status, answer.text
    assert [each["code"] for each in answer.json()["refused"]] == [code]
    assert letters_of(pipeline, answer) == [(code, document.encode())]
    standing.check_closed(closes)


def test_unknown_uof_attributes_are_ignored(pipeline):
    standing = Open(pipeline, "uof")
    document = uof_odds(standing.number, standing.ts + 1).replace("<outcome", "<outcome colour='red'")
    answer = send(pipeline, document.replace("<odds>", "<odds x='1'><huh/>"), XML, provider="uof", sport="football")
    assert answer.json() == {"accepted": 1, "refused": []}
    standing.check_closed("nothing")
