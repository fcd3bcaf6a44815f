"""What was recorded, played again and recorded again, is the same: every byte, key and provider, in the same order."""

import json
import subprocess
import sys
import time

import pytest
from local_pipeline import ROOT, running

pytestmark = pytest.mark.e2e

BODIES = [
    ("canonical", None, b'{"type":"odds","ts":1700000000000,"event":"rec:1","sport":"football","markets":[]}'),
    ("canonical", None, b"{ broken"),
    ("canonical", None, b"\xff\xfe\x00 no text"),
    ("canonical", None, '{"type":"fixture","ts":1700000000001,"event":"rec:1","name":"Göztepe  /  Ünye"}'.encode()),
    (
        "uof",
        "hi.-.live.bet_stop.1.sr:match.7.-",
        b'<bet_stop product="1" event_id="sr:match:7" timestamp="1700000000002"/>',
    ),
]
CONTENT = {"canonical": "application/json", "uof": "application/xml"}


def recording(pipeline, path):
    command = [
        sys.executable,
        "-m",
        "sb_local.cli",
        "record",
        str(path),
        "--from",
        pipeline.url(4000),
        "--duration",
        "120",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "recording from" in process.stderr.readline()
    return process


def told(path):
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(each["provider"], each["key"], each["body"]) for each in lines], [each["t"] for each in lines]


def ended(process, path, lines):
    until = time.monotonic() + 30
    while path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=10)


def test_record_replay_record(tmp_path, feeds):
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    betfair = (feeds / "betfair" / "tennis-1.223716981.ndjson").read_bytes().split(b"\n")
    bodies = BODIES + [("betfair", None, line.strip()) for line in betfair if line.strip()]
    with running(tmp_path / "data", "--feed", "none") as pipeline:
        recorder = recording(pipeline, first)
        for provider, key, body in bodies:
            query = {"key": key} if key else {}
            query |= {"session": "s", "recorded": "1"} if provider == "betfair" else {}
            pipeline.post(f"/v1/feeds/{provider}", body, CONTENT.get(provider, "application/json"), **query)
        ended(recorder, first, len(bodies))
        recorder = recording(pipeline, second)
        report = pipeline.replayed(first)
        assert report["documents"] == len(bodies)
        ended(recorder, second, len(bodies))
    once, arrived = told(first)
    again, _ = told(second)
    assert once == again
    assert [key for _, key, _ in once] == [key for _, key, _ in bodies]
    assert [body.encode() if isinstance(body, str) else b"\xff\xfe\x00 no text" for _, _, body in once] == [
        body for _, _, body in bodies
    ]
    assert arrived == sorted(arrived)
