"""Bad bodies over real HTTP: each answered as WIRE.md says and kept with its bytes; memory stays bounded; the rest goes on."""

import base64
import gzip
import hashlib
import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_input import EXTERNAL, GZIP, JSON, LINES, XML, Open, accounted, letters_of, market, now_ms, numbers, odds, send
from local_pipeline import FOOTBALL, balanced, running

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bad_input")]

PROBLEM = {"type", "title", "status", "detail", "code", "instance"}
PEAK_BYTES_MAX = 450_000_000
BODY_BYTES = 8_000_000


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with accounted(tmp_path_factory.mktemp("bad") / "data") as started:
        yield started


# bodies that no document can be had from

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij"))
    + "]><odds>&j;</odds>"
)
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
