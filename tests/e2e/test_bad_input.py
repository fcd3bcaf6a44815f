"""Bad input over real HTTP: each piece answered as WIRE.md says, kept with its bytes, closing what it was about; the rest goes on."""

import base64
import gzip
import hashlib
import itertools
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from local_pipeline import FOOTBALL, balanced, running

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bad_input")]

JSON, XML, LINES = "application/json", "application/xml", "application/x-ndjson"
GZIP = {"content-encoding": "gzip"}
PROBLEM = {"type", "title", "status", "detail", "code", "instance"}
BEFORE_MS = 5_000
"""How long before now the odds that stand are said to be."""
PEAK_BYTES_MAX = 400_000_000
BODY_BYTES = 8_000_000

numbers = itertools.count(1)


def now_ms():
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with running(tmp_path_factory.mktemp("bad") / "data", "--feed", "none") as started:
        yield started
        # whatever the tests of this module sent: nothing is stuck, and everything is accounted for
        account = started.wait_through()
        assert balanced(account), account
        letters = every_letter(started)
        assert len(letters) == sum(account["refused"].values())
        assert account["dead_lettered"] == {}


def every_letter(pipeline):
    letters, cursor = [], "0"
    while cursor is not None:
        page = pipeline.http.get(
            f"{pipeline.url(4000)}/v1/deadletters", params={"limit": 1000, "cursor": cursor}
        ).json()
        letters += page["items"]
        cursor = page["next"]
    return letters


def letters_of(pipeline, answer):
    """The dead letters of one request, whole: (code, bytes)."""
    found = []
    for item in every_letter(pipeline):
        if item["trace"] == answer.headers["sb-trace"]:
            letter = pipeline.http.get(f"{pipeline.url(4000)}/v1/deadletters/{item['id']}").json()
            found.append((letter["code"], letter_bytes(letter)))
    return found


def letter_bytes(letter):
    body = letter["body"]
    kept = body.encode() if isinstance(body, str) else base64.b64decode(body["b64"])
    if not letter["cut"]:
        assert letter["length"] == len(kept)
        assert letter["sha256"] == hashlib.sha256(kept).hexdigest()
    return kept


def send(pipeline, body, content_type=JSON, headers=None, provider="canonical", **parameters):
    return pipeline.http.post(
        f"{pipeline.url(4000)}/v1/feeds/{provider}",
        content=body if isinstance(body, bytes) else body.encode(),
        headers={"content-type": content_type, **(headers or {})},
        params=parameters,
    )


# events that stand open before something bad comes


def market(name="1x2", line="", price="2.10", ids=("home", "draw", "away")):
    return {"market": name, "line": line, "outcomes": [{"id": each, "odds": price} for each in ids]}


TOTAL = market("total", "total=2.5", "1.90", ("over", "under"))


def odds(event, ts, *markets, **fields):
    message = {
        "type": "odds",
        "event": event,
        "sport": "football",
        "ts": ts,
        "markets": [*markets] or [market(), TOTAL],
    }
    return {**message, **fields}


class Open:
    """An event of its own with two markets open, 1x2 and total."""

    def __init__(self, pipeline, provider="acme"):
        self.pipeline = pipeline
        self.number = next(numbers)
        self.ts = now_ms() - BEFORE_MS
        self.event = f"acme:{self.number}" if provider == "acme" else f"uof:sr:match:{self.number}"
        self.provider = provider
        self.good(self.ts)
        assert self.status() == {"1x2": True, "total": True}

    def good(self, ts):
        if self.provider == "acme":
            answer = send(self.pipeline, json.dumps(odds(self.event, ts)))
        else:
            answer = send(self.pipeline, uof_odds(self.number, ts), XML, provider="uof", sport="football")
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"accepted": 1, "refused": []}

    def shown(self):
        self.pipeline.wait_through(ports=[FOOTBALL])
        return self.pipeline.event(self.event)

    def status(self):
        """Whether 1x2 and total are open; what was refused may have created another market, which is closed."""
        shown = {each["market"]: each["open"] for each in self.shown()["markets"]}
        standing = {name: shown.pop(name) for name in ("1x2", "total")}
        assert not any(shown.values())
        return standing

    def check_closed(self, what):
        """`what` is closed until newer odds: a market's name, "event", or "nothing"."""
        expected = {"1x2": what not in {"1x2", "event"}, "total": what not in {"total", "event"}}
        assert self.status() == expected
        self.good(self.ts - 1)
        assert self.status() == expected, "older odds open nothing"
        self.good(now_ms() + 1)
        assert self.status() == {"1x2": True, "total": True}, "newer odds open it again"


# bodies that no document can be had from

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij"))
    + "]><odds>&j;</odds>"
)
EXTERNAL = '<!DOCTYPE odds SYSTEM "file:///etc/passwd"><odds/>'
ENTITY_FILE = '<!DOCTYPE odds [<!ENTITY x SYSTEM "file:///etc/passwd">]><odds name="&x;"/>'
GOOD = json.dumps(odds("acme:0", 1_700_000_000_000))

BODIES = {
    # body, content type, headers, status, code
    "empty": ("", JSON, {}, 400, "malformed"),
    "blank": (" \r\n", JSON, {}, 400, "malformed"),
    "empty xml": ("", XML, {}, 400, "malformed"),
    "empty lines": ("\n\n", LINES, {}, 400, "malformed"),
    "truncated json": (GOOD[:-7], JSON, {}, 400, "malformed"),
    "json and more": (GOOD + "}", JSON, {}, 400, "malformed"),
    "python": ("{'type': 'odds'}", JSON, {}, 400, "malformed"),
    "bare NaN": (GOOD.replace('"2.10"', "NaN"), JSON, {}, 400, "malformed"),
    "bare Infinity": (GOOD.replace('"2.10"', "Infinity"), JSON, {}, 400, "malformed"),
    "bare -Infinity": (GOOD.replace('"2.10"', "-Infinity"), JSON, {}, 400, "malformed"),
    "json not utf-8": (GOOD.encode().replace(b"acme", b"ac\xfce"), JSON, {}, 400, "malformed"),
    "overlong utf-8": (GOOD.encode().replace(b"acme", b"ac\xc0\xaee"), JSON, {}, 400, "malformed"),
    "lone surrogate": (GOOD.replace("acme", "ac\\ud800e"), JSON, {}, 400, "malformed"),
    "json as utf-16": (GOOD.encode("utf-16"), JSON, {}, 400, "malformed"),
    "array bomb": ("[" * 500_000, JSON, {}, 400, "too_deep"),
    "closed array bomb": ("[" * 500_000 + "]" * 500_000, JSON, {}, 400, "too_deep"),
    "object bomb": ('{"a":' * 200_000 + "1" + "}" * 200_000, JSON, {}, 400, "too_deep"),
    "33 levels": ('{"a":' * 33 + "1" + "}" * 33, JSON, {}, 400, "too_deep"),
    "truncated xml": ("<odds ts='1'", XML, {}, 400, "malformed"),
    "unclosed xml": ("<odds><market></odds>", XML, {}, 400, "malformed"),
    "xml control character": ("<fixture name='\x01'/>", XML, {}, 400, "malformed"),
    "xml numeric control character": ("<fixture name='&#1;'/>", XML, {}, 400, "malformed"),
    "unknown entity": ("<odds name='&nbsp;'/>", XML, {}, 400, "malformed"),
    "xml not utf-8": (b"<odds name='\xfc'/>", XML, {}, 400, "malformed"),
    "xml as utf-16": ("<odds/>".encode("utf-16"), XML, {}, 400, "malformed"),
    "xml in utf-7": ("<?xml version='1.0' encoding='utf-7'?><odds/>", XML, {}, 400, "malformed"),
    "json as xml": (GOOD, XML, {}, 400, "malformed"),
    "xml as json": ("<odds/>", JSON, {}, 400, "malformed"),
    "entity bomb": (LAUGHS, XML, {}, 400, "doctype"),
    "external doctype": (EXTERNAL, XML, {}, 400, "doctype"),
    "external entity": (ENTITY_FILE, XML, {}, 400, "doctype"),
    "xml depth bomb": ("<a>" * 500_000 + "</a>" * 500_000, XML, {}, 400, "too_deep"),
    "xml 33 levels": ("<a>" * 33 + "</a>" * 33, XML, {}, 400, "too_deep"),
    "no gzip": (GOOD, JSON, GZIP, 400, "malformed"),
    "truncated gzip": (gzip.compress(GOOD.encode())[:-9], JSON, GZIP, 400, "malformed"),
    "gzip in gzip": (gzip.compress(gzip.compress(GOOD.encode())), JSON, GZIP, 400, "malformed"),
    "gzip of nothing": (gzip.compress(b""), JSON, GZIP, 400, "malformed"),
    "gzip bomb": (gzip.compress(b"[" * 10_000_000), JSON, GZIP, 413, "too_large"),
    "gzip bomb of members": (gzip.compress(b" " * 1_000_000) * 40, JSON, GZIP, 413, "too_large"),
    "10 MB": ('{"a":"' + "x" * 10_000_000 + '"}', JSON, {}, 413, "too_large"),
    "10 MB in 9 of gzip": (
        gzip.compress(b'{"a":"' + base64.b64encode(hashlib.shake_128(b"x").digest(7_500_000)) + b'"}'),
        JSON,
        GZIP,
        413,
        "too_large",
    ),
    "many items": ("[" + "1," * 20_000 + "1]", JSON, {}, 413, "too_large"),
    "many lines": ("1\n" * 20_001, LINES, {}, 413, "too_large"),
    "many documents": ("<a/>" * 20_001, XML, {}, 413, "too_large"),
    "plain text": (GOOD, "text/plain", {}, 415, "unsupported_media_type"),
    "no type": (GOOD, "", {}, 415, "unsupported_media_type"),
    "form": (GOOD, "application/x-www-form-urlencoded", {}, 415, "unsupported_media_type"),
    "other charset": (GOOD, "application/json; charset=iso-8859-9", {}, 415, "unsupported_media_type"),
    "brotli": (GOOD, JSON, {"content-encoding": "br"}, 415, "unsupported_media_type"),
    "deflate bomb": (GOOD, JSON, {"content-encoding": "gzip, gzip"}, 415, "unsupported_media_type"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_no_document_can_be_had_from(pipeline, name):
    body, content_type, headers, status, code = BODIES[name]
    body = body if isinstance(body, bytes) else body.encode()
    answer = send(pipeline, body, content_type, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told.keys() >= PROBLEM
    assert told["status"] == status
    if status == 400 and body:
        (letter,) = letters_of(pipeline, answer)
        assert letter[0] == code
        # long ones are cut at SB_DEAD_LETTER_BYTES_MAX, a document's own bytes are without the blanks around it
        assert letter[1] == body[:262_144] or letter[1] == body.strip()[:262_144]
        assert [each["code"] for each in told["refused"]] == [code]


def test_an_unknown_provider(pipeline):
    answer = send(pipeline, GOOD, provider="nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_provider")


def test_10_mb_without_a_length(pipeline):
    """A chunked body is stopped at the limit, not at its end."""

    def chunks():
        for _ in range(160):
            yield b" " * 65_536

    answer = pipeline.http.post(
        f"{pipeline.url(4000)}/v1/feeds/canonical", content=chunks(), headers={"content-type": JSON}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_length_that_can_be_read_in_two_ways(pipeline):
    """Content-Length beside Transfer-Encoding hides a second request; it is refused, and the connection ends."""
    request = (
        b"POST /v1/feeds/canonical HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", 4000 + pipeline.offset), timeout=10) as connection:
        connection.sendall(request)
        while data := connection.recv(65_536):
            received += data
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1


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


def test_large_ids_stay_exact(pipeline):
    event = f"acme:{2**53 + 1}"
    ids = [str(2**53 + 1), str(2**64 + 1), "9" * 100]
    big = {
        "market": f"acme:{2**63 + 1}",
        "line": f"id={2**53 + 1}",
        "outcomes": [{"id": i, "odds": "2.10"} for i in ids],
    }
    assert send(pipeline, json.dumps(odds(event, now_ms(), big))).status_code == 202
    pipeline.wait_through(ports=[FOOTBALL])
    shown = pipeline.event(event)
    assert shown["event"] == event
    (found,) = shown["markets"]
    assert (found["market"], found["line"]) == (big["market"], big["line"])
    assert [each["id"] for each in found["outcomes"]] == ids


def test_unknown_keys_and_attributes_are_ignored(pipeline):
    strange = odds("acme:strange", now_ms(), {**market(), "colour": {"deep": [1, 2]}}, colour="red")
    assert send(pipeline, json.dumps(strange)).json() == {"accepted": 1, "refused": []}
    xml = (
        f"<bet_stop ts='{now_ms()}' event='acme:strange' colour='red'><market market='1x2' x='y'/><strange/></bet_stop>"
    )
    assert send(pipeline, xml, XML).json() == {"accepted": 1, "refused": []}
    pipeline.wait_through(ports=[FOOTBALL])
    assert [each["open"] for each in pipeline.event("acme:strange")["markets"]] == [False]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("x" * 300, "x" * 300),
        ("Ş" * 300, "Ş" * 300),
        ("A\x00B\x07 v \x1b[31mC\x1b[0m", "AB v C"),
        ("A\tv\r\nB", "A v B"),
        ("A\x85v\x9bB", "A vB"),
    ],
)
def test_names_of_300_characters_stay_and_control_characters_go(pipeline, sent, shown):
    event = f"acme:{next(numbers)}"
    message = {"type": "fixture", "event": event, "sport": "football", "ts": now_ms(), "name": sent}
    assert send(pipeline, json.dumps(message)).json() == {"accepted": 1, "refused": []}
    pipeline.wait_through(ports=[FOOTBALL])
    assert pipeline.event(event)["name"] == shown


# the UOF's own ways of being wrong

UOF_MARKETS = (
    '<market id="1" status="1"><outcome id="1" odds="2.10" active="1"/><outcome id="2" odds="3.30" active="1"/>'
    '<outcome id="3" odds="3.50" active="1"/></market><market id="18" specifiers="total=2.5" status="1">'
    '<outcome id="12" odds="1.90" active="1"/><outcome id="13" odds="1.90" active="1"/></market>'
)


def uof_odds(number, ts):
    head = f'product="3" event_id="sr:match:{number}" timestamp="{ts}"'
    return f"<odds_change {head}><odds>{UOF_MARKETS}</odds></odds_change>"


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


# memory


BOMBS = {
    "brackets": (b"[" * BODY_BYTES, JSON, {}),
    "objects": (b'{"a":' * (BODY_BYTES // 5), JSON, {}),
    "one string": (b'{"a":"' + b"x" * BODY_BYTES + b'\\"","b":[' + b"[]," * 40 + b"[]]}", JSON, {}),
    "outcomes": (
        b'{"type":"odds","ts":1,"sport":"football","event":"acme:bomb","markets":[{"market":"1x2","outcomes":['
        + b'{"id":"a"},' * (BODY_BYTES // 11)
        + b'{"id":"a"}]}]}',
        JSON,
        {},
    ),
    "lines": (b"x\n" * 20_000, LINES, {}),
    "open tags": (b"<a>" * (BODY_BYTES // 3), XML, {}),
    "empty tags": (b"<r>" + b"<a/>" * (BODY_BYTES // 4) + b"</r>", XML, {}),
    "attributes": (b"<r " + b" ".join(b'a%d="1"' % n for n in range(650_000)) + b"/>", XML, {}),
    "one tag": (b"<a " + b"x" * BODY_BYTES, XML, {}),
    "laughs": (LAUGHS.encode(), XML, {}),
    "gzip of 1 GB": (gzip.compress(b" " * 100_000_000, 1) * 10, JSON, GZIP),
    "10 MB": (b" " * 10_000_000, JSON, {}),
}


def test_memory_stays_bounded_under_bombs_and_good_messages_go_through(tmp_path):
    with running(tmp_path / "data", "--feed", "none") as pipeline, ThreadPoolExecutor(4) as threads:
        standing = Open(pipeline)
        bombs = [BOMBS[name] for name in BOMBS] * 2
        answers = list(threads.map(lambda bomb: send(pipeline, *bomb).status_code, bombs))
        assert set(answers) <= {400, 413, 422, 429}
        assert answers.count(429) < len(answers)
        standing.check_closed("nothing")
        account = pipeline.wait_through()
        assert balanced(account)
        assert peak_bytes(pipeline) < PEAK_BYTES_MAX


def peak_bytes(pipeline):
    status = Path(f"/proc/{pipeline.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
