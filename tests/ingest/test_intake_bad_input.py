"""Bad input, each with its exact status and codes: nothing crashes, nothing is silently dropped, the rest goes on."""

import gzip
import json
from functools import partial

import pytest
from intake_driver import NOW, Driver, driver, market, odds

# packed without the time, so that tests have the same ids in every process
packed = partial(gzip.compress, mtime=0)

JSON = "application/json"
XML = "application/xml"
LINES = "application/x-ndjson"


def text(message: object) -> str:
    return json.dumps(message)


def one_market(**outcome: object) -> dict[str, object]:
    return odds(markets=[{"market": "1x2", "outcomes": [{"id": "home", **outcome}]}])


BOMB = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><odds ts="1" event="a:1">&b;</odds>'

WHOLE_BODIES = [
    # body, content type, more of the request, status, code
    ("", JSON, {}, 400, "malformed"),
    ("  \r\n ", JSON, {}, 400, "malformed"),
    ("\n\n", LINES, {}, 400, "malformed"),
    ("\ufeff", JSON, {}, 400, "malformed"),
    (text(odds())[:-5], JSON, {}, 400, "malformed"),
    (text(odds()) + "x", JSON, {}, 400, "malformed"),
    ("{'type':'odds'}", JSON, {}, 400, "malformed"),
    (text(odds()).replace(str(NOW), "NaN"), JSON, {}, 400, "malformed"),
    (text(odds()).replace('"1.85"', "Infinity"), JSON, {}, 400, "malformed"),
    (text(odds()).replace('"1.85"', "-Infinity"), JSON, {}, 400, "malformed"),
    (text(odds()).replace("acme", "ac\\ud800me"), JSON, {}, 400, "malformed"),
    (text(odds()).encode().replace(b"acme", b"ac\xffme"), JSON, {}, 400, "malformed"),
    ("[" * 100_000, JSON, {}, 400, "too_deep"),
    ("[" * 100_000 + "]" * 100_000, JSON, {}, 400, "too_deep"),
    ('{"a":' * 40 + "1" + "}" * 40, JSON, {}, 400, "too_deep"),
    ('{"a":' * 5_000 + "1" + "}" * 5_000, JSON, {}, 400, "too_deep"),
    ("<odds", XML, {}, 400, "malformed"),
    ("<odds><market></odds>", XML, {}, 400, "malformed"),
    ("<odds>\x01</odds>", XML, {}, 400, "malformed"),
    ("<odds name='&nope;'/>", XML, {}, 400, "malformed"),
    ("plain text", XML, {}, 400, "malformed"),
    (text(odds()), XML, {}, 400, "malformed"),
    ("<odds/>", JSON, {}, 400, "malformed"),
    ("<odds/>".encode("utf-16"), XML, {}, 400, "malformed"),
    (b"<odds name='\xff'/>", XML, {}, 400, "malformed"),
    (b"<?xml version='1.0' encoding='utf-7'?><odds/>", XML, {}, 400, "malformed"),
    (BOMB, XML, {}, 400, "doctype"),
    ('<!DOCTYPE odds SYSTEM "http://127.0.0.1/x"><odds/>', XML, {}, 400, "doctype"),
    ("<a>" * 100 + "</a>" * 100, XML, {}, 400, "too_deep"),
    ("<a>" * 100_000 + "</a>" * 100_000, XML, {}, 400, "too_deep"),
    (text(odds()), "text/plain", {}, 415, "unsupported_media_type"),
    (text(odds()), "", {}, 415, "unsupported_media_type"),
    (text(odds()), "application/json; charset=utf-16", {}, 415, "unsupported_media_type"),
    (text(odds()), JSON, {"content_encoding": "br"}, 415, "unsupported_media_type"),
    (text(odds()), JSON, {"content_encoding": "gzip"}, 400, "malformed"),
    (packed(b"[" * 1000)[:-9], JSON, {"content_encoding": "gzip"}, 400, "malformed"),
    (packed(b" " * 100_000_000), JSON, {"content_encoding": "gzip"}, 413, "too_large"),
    (packed(packed(b"{}")), JSON, {"content_encoding": "gzip"}, 400, "malformed"),
    (" " * 10_000_000, JSON, {}, 413, "too_large"),
    ("[" + ",".join(["1"] * 20_001) + "]", JSON, {}, 413, "too_large"),
    ("1\n" * 20_001, LINES, {}, 413, "too_large"),
    ("<a/>" * 20_001, XML, {}, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "content_type", "more", "status", "code"), WHOLE_BODIES)
def test_a_body_that_is_no_use_at_all(run, body, content_type, more, status, code) -> None:
    async def main() -> None:
        async with driver() as intake:
            given = await intake.post(body, content_type, **more)
            assert (given[0], given[1]["code"]) == (status, code)
            assert given[1]["status"] == status
            assert {"type", "title", "status", "detail", "code", "instance"} <= given[1].keys()
            account = await intake.account()
            assert account["balanced"]
            assert account["accepted"] == 0
            # what could be read at all is kept; what is too large or of no known type was never taken in
            kept = [code] if status == 400 and body else []
            assert [letter[0] for letter in intake.dead_letters()] == kept
            assert account["refused"] == dict.fromkeys(kept, 1)

    run(main)


PIECES = [
    # message, code, the market that is closed (None: the event; "": nothing)
    (one_market(odds="NaN"), "bad_odds", "1x2"),
    (one_market(odds="Infinity"), "bad_odds", "1x2"),
    (one_market(odds="-1.85"), "bad_odds", "1x2"),
    (one_market(odds="1.00"), "bad_odds", "1x2"),
    (one_market(odds="1e3"), "bad_odds", "1x2"),
    (one_market(odds="1000000.01"), "bad_odds", "1x2"),
    (one_market(odds="\u0663.\u0665"), "bad_odds", "1x2"),
    (one_market(odds=1.85), "bad_odds", "1x2"),
    (one_market(odds=2), "bad_odds", "1x2"),
    (one_market(odds="1.85", active="yes"), "schema", "1x2"),
    (one_market(odds="1.85", probability="7.24E-4"), "bad_odds", "1x2"),
    (odds(markets=[{"market": "1x2", "outcomes": [{"odds": "1.85"}]}]), "schema", "1x2"),
    (odds(markets=[{"market": "1x2", "outcomes": [{"id": 2**53 + 1, "odds": "1.85"}]}]), "schema", "1x2"),
    (odds(markets=[{"market": "1x2", "outcomes": [{"id": "both", "odds": "1.85"}]}]), "bad_id", "1x2"),
    (odds(markets=[{"market": "1x2", "outcomes": [{"id": "home"}, {"id": "home"}]}]), "rule_repeated_outcome", "1x2"),
    (odds(markets=[market("no_such_market")]), "bad_id", ""),
    (odds(markets=[market("total", line="total=much")]), "bad_id", None),
    (odds(markets=[market("1x2", line="total=2.5")]), "bad_id", "1x2"),
    (odds(markets=[{"outcomes": []}]), "schema", None),
    (odds(markets=[{"market": 7}]), "schema", None),
    (odds(markets={"market": "1x2"}), "schema", None),
    (odds(markets=None), "schema", None),
    ({"type": "odds", "ts": NOW, "event": "acme:1", "sport": "football"}, "schema", None),
    (odds(event=2**53 + 1), "schema", ""),
    (odds(event=""), "schema", ""),
    (odds(event="no prefix"), "bad_id", ""),
    (odds(event="acme:" + "x" * 300), "bad_id", ""),
    (odds(event="acme:\u0000"), "bad_id", ""),
    (odds(event=None), "schema", ""),
    (odds(ts="yesterday"), "bad_time", None),
    (odds(ts=1.5), "bad_time", None),
    (odds(ts=-1), "bad_time", None),
    (odds(ts=10**30), "bad_time", None),
    (odds(ts=NOW + 10_001), "bad_time", None),
    ({key: value for key, value in odds().items() if key != "ts"}, "schema", None),
    (odds(seq=10**20), "too_large", None),
    (odds(v=2), "schema", None),
    (odds(sport=None), "unknown_sport", ""),
    ({**odds(), "sport": "chess"}, "unsupported_sport", ""),
    ({key: value for key, value in odds().items() if key != "sport"}, "unknown_sport", ""),
    (odds(type="bet"), "unsupported_type", None),
    (odds(type=None), "schema", None),
    ({"type": "tick", "ts": NOW}, "unsupported_type", ""),
    (
        {"type": "producer", "ts": NOW, "provider": "uof", "producer": "1", "state": "up", "gen": 0, "since": 0},
        "unsupported_type",
        "",
    ),
    ({"type": "alive", "ts": NOW, "provider": "acme"}, "schema", ""),
    ({"type": "alive", "ts": NOW, "producer": "1"}, "schema", ""),
    ({"type": "fixture", "ts": NOW, "event": "acme:1", "sport": "football", "name": "x" * 1_001}, "too_large", None),
    ({"type": "fixture", "ts": NOW, "event": "acme:1", "sport": "football", "status": "on"}, "schema", None),
    ({"type": "score", "ts": NOW, "event": "acme:1", "sport": "football", "home": -1, "away": 0}, "rule_score", None),
    ({"type": "score", "ts": NOW, "event": "acme:1", "sport": "tennis", "home": "1"}, "schema", None),
    ([1, 2], "schema", ""),
    ("a text", "schema", ""),
    (None, "schema", ""),
    (12, "schema", ""),
]


@pytest.mark.parametrize(("message", "code", "closes"), PIECES)
def test_a_piece_that_is_refused_closes_what_it_was_about(run, message, code, closes) -> None:
    async def main() -> None:
        async with driver() as intake:
            body = json.dumps([message])
            status, answer = await intake.post(body)
            assert status == 422
            assert answer["accepted"] == 0
            assert [(each["index"], each["code"]) for each in answer["refused"]] == [(0, code)]
            assert answer["refused"][0].keys() == {"index", "event", "market", "code", "message"}
            assert intake.dead_letters() == [(code, json.dumps(message).encode())]
            _assert_closed(intake, closes)
            account = await intake.account()
            assert account["balanced"]
            assert account["refused"] == {code: 1}
            assert account["accepted"] == (0 if closes == "" else 1)

    run(main)


def _assert_closed(intake: Driver, closes: str | None) -> None:
    stops = [*intake.feed("football"), *intake.feed("tennis")]
    if closes == "":
        assert stops == []
        return
    assert [(stop.event, stop.status) for stop in stops] == [("acme:1", "suspended")]
    assert [ref.market for ref in stops[0].markets or ()] == ([closes] if closes else [])


def test_lines_that_are_broken_cost_only_themselves(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            lines = [text(odds()), "{", text(odds("acme:2")), "[" * 50 + "]" * 50, text(odds("acme:3"))]
            status, answer = await intake.post("\n".join(lines), LINES)
            assert status == 202
            assert answer["accepted"] == 3
            assert [(each["index"], each["code"]) for each in answer["refused"]] == [(1, "malformed"), (3, "too_deep")]

    run(main)


def test_joined_xml_documents_that_are_broken_cost_only_themselves(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            good = f'<?xml version="1.0"?><bet_stop ts="{NOW}" event="acme:1" sport="football"/>'
            status, answer = await intake.post(good + '<?xml version="1.0"?><odds <' + good + "<!-- bye -->", XML)
            assert status == 202
            assert answer["accepted"] == 2
            assert [(each["index"], each["code"]) for each in answer["refused"]] == [(1, "malformed")]

    run(main)


def test_unknown_attributes_and_keys_are_ignored(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            xml = f'<bet_stop ts="{NOW}" event="acme:1" sport="football" colour="red"><market market="1x2" x="y"/><z/></bet_stop>'
            assert await intake.post(xml, XML) == (202, {"accepted": 1, "refused": []})
            strange = odds(colour="red", markets=[market(colour="red")])
            assert await intake.post(strange) == (202, {"accepted": 1, "refused": []})

    run(main)


def test_names_are_cleaned_or_refused_by_their_length(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            fixture = {"type": "fixture", "ts": NOW, "event": "acme:1", "sport": "football"}
            names = ["A\u0000\u001b[31m v\tB", "x" * 300]
            for name in names:
                assert (await intake.post({**fixture, "name": name}))[0] == 202
            assert [message.name for message in intake.feed()] == ["A v B", "x" * 300]

    run(main)


def test_one_bad_market_of_forty_is_refused_and_the_others_go_on(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            lines = [f"total={number}.5" for number in range(40)]
            markets = [
                {
                    "market": "total",
                    "line": line,
                    "outcomes": [{"id": "over", "odds": "1.90"}, {"id": "under", "odds": "1.90"}],
                }
                for line in lines
            ]
            for spoil in ({"odds": 1.9}, {"odds": "0.9"}):
                markets[17]["outcomes"] = [{"id": "over", **spoil}]
                event = f"acme:{spoil['odds']}"
                status, answer = await intake.post(odds(event, markets=markets))
                assert status == 202
                assert answer["accepted"] == 1
                assert [(each["code"], each["market"]) for each in answer["refused"]] == [
                    ("bad_odds", "total|total=17.5")
                ]
                kept, stop = [message for message in intake.feed() if message.event == event]
                assert [each.line for each in kept.markets] == lines[:17] + lines[18:]
                assert [(ref.market, ref.line) for ref in stop.markets] == [("total", "total=17.5")]
                assert stop.ts == kept.ts == NOW
            account = await intake.account()
            assert (account["received"], account["accepted"], account["refused"]) == (6, 4, {"bad_odds": 2})

    run(main)


def test_recorded_lsports_documents_are_refused_by_name(run, feeds) -> None:
    async def main() -> None:
        async with driver() as intake:
            for file in sorted((feeds / "lsports").glob("*.json")):
                status, answer = await intake.post(file.read_bytes())
                assert status == 422, file.name
                assert {each["code"] for each in answer["refused"]} == {"schema"}, file.name
            assert (await intake.account())["balanced"]

    run(main)
