"""A recording played again: rounds and copies with ids and times of their own; and the bar that shows how far it is."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest
from ingest_stub import serving
from uof_driver import Asked

from sb_core.runtime import SystemClock
from sb_generator import progress, sources
from sb_generator.copies import Times, copies
from sb_generator.faults import Rates
from sb_generator.replay import ReplayOptions, ReplayReport, replay
from sb_generator.sender import HttpSender
from sb_generator.split import Document
from sb_ingest import capture
from sb_ingest.providers.betfair import BetfairNormaliser
from sb_ingest.providers.uof import Uof

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_790_000_000_000
RECORDED = [
    ("betfair/football-1.242971311.bz2", "betfair"),
    ("betfair/tennis-1.223716976.bz2", "betfair"),
    ("betfair/tennis-1.223716981.ndjson", "betfair"),
]


def copied(path, numbers, times):
    return list(copies(sources.documents(path), times, numbers, None))


@pytest.mark.parametrize(("name", "provider"), RECORDED)
def test_copies_are_the_recording_under_other_ids(feeds, name, provider):
    """Each copy, normalised alone, gives the messages of the original: other events, moved times, nothing else."""
    original = normalised(copied(feeds / name, range(1), Times(NOW, None, None)))
    both = copied(feeds / name, range(1, 3), Times(NOW, None, NOW - 86_400_000))
    for number in (1, 2):
        mine = normalised(both[number - 1 :: 2])
        assert len(mine) == len(original)
        for before, after in zip(original, mine, strict=True):
            assert after.event == f"{before.event}-{number}"
            assert after.ts - before.ts == 86_400_000
            sources_of = [each.source for each in getattr(before, "markets", ())]
            assert [each.source for each in getattr(after, "markets", ())] == [
                f"{each}-{number}" for each in sources_of
            ]
            assert type(after) is type(before)
    assert {each.provider for each in both} == {provider}


def normalised(documents):
    session, found = None, []
    for document in documents:
        made = BetfairNormaliser().normalise(document.data, Asked(), session, "0")
        session = made.session
        found += made.messages
    return found


def test_uof_documents_and_keys_are_copied(feeds):
    for path in sorted((feeds / "uof" / "recorded").glob("*.xml")):
        for original, each in zip(
            sources.documents(path), copied(path, range(4, 5), Times(NOW, None, None)), strict=True
        ):
            asked = Asked(sport="football", known={})
            before = Uof().normalise(original.data, asked, None, "0")
            after = Uof().normalise(each.data, asked, None, "0")
            assert [m.event for m in after.messages] == [m.event and f"{m.event}-4" for m in before.messages]
            assert after.ignored == before.ignored


def test_capture_lines_are_copied_inside(tmp_path):
    line = capture.line(
        NOW, "uof", "hi.-.live.bet_stop.1.sr:match.7.-", b'<bet_stop event_id="sr:match:7" timestamp="1700000000000"/>'
    )
    path = tmp_path / "a.ndjson"
    path.write_bytes(line)
    [each] = copied(path, range(2, 3), Times(NOW, None, NOW - 5))
    read = json.loads(each.data)
    assert read["key"] == "hi.-.live.bet_stop.1.sr:match.7-2.-"
    assert read["body"] == '<bet_stop event_id="sr:match:7-2" timestamp="1700000000005"/>'
    assert (read["t"], each.key, each.ts) == (NOW + 5, read["key"], NOW)


def test_times_pass_at_the_speed_at_which_a_round_is_played():
    documents = [
        Document(b'{"type":"alive","ts":%d}' % ts, "line", "canonical", ts)
        for ts in range(1_700_000_000_000, 1_700_000_060_000, 10_000)
    ]
    found = list(copies(documents, Times(NOW, 4.0, None), range(1), None))
    assert [json.loads(each.data)["ts"] - NOW for each in found] == [0, 2_500, 5_000, 7_500, 10_000, 12_500]
    assert [each.ts for each in found] == [each.ts for each in documents]


def test_a_loop_plays_rounds_of_their_own(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(
        b'{"type":"odds","ts":1700000000000,"event":"a:1"}\n{"type":"odds","ts":1700000001000,"event":"a:2"}\n'
    )

    async def main():
        async with serving() as feeds, HttpSender(feeds.url) as sender:
            options = ReplayOptions(files=(str(path),), loop=True, rounds=3, scale=2)
            return await replay(options, sender.post, SystemClock()), feeds.requests

    report, requests = run(main)
    assert (report.rounds, report.documents, report.files) == (3, 12, 3)
    assert report.read_bytes == report.total_bytes == path.stat().st_size
    events = [[json.loads(line)["event"] for line in each[2].split(b"\n")] for each in requests]
    assert events == [
        ["a:1", "a:1-1", "a:2", "a:2-1"],
        ["a:1-2", "a:1-3", "a:2-2", "a:2-3"],
        ["a:1-4", "a:1-5", "a:2-4", "a:2-5"],
    ]
    assert all("begin=1" in each[0] for each in requests)


def test_a_replays_faults_are_explained(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(
        b"\n".join(
            b'{"type":"odds","ts":%d,"event":"a:1","producer":"1"}' % (1_700_000_000_000 + 2_000 * n)
            for n in range(600)
        )
    )

    async def main():
        async with serving() as feeds, HttpSender(feeds.url) as sender:
            rates = Rates(drop=0.05, duplicate=0.05, poison=0.05, stale=0.05, corrupt=0.05, delay=0.05)
            return await replay(ReplayOptions(files=(str(path),), faults=rates), sender.post, SystemClock())

    report = run(main)
    assert set(report.faults) >= {"clean", "drop", "duplicate", "poison"}
    for counts in report.faults.values():
        assert counts["sent"] == counts["accepted"] + counts["partly"] + counts["refused"] + counts["failed"]


# a terminal


def test_the_bar_says_how_far_how_fast_and_how_long():
    report = ReplayReport(documents=500, read_bytes=250, total_bytes=1_000, seconds=10.0, rounds=1)
    assert progress.bar(report, 50.0) == "[######..................]  25%  500 documents  50/s  0:30 to go"
    assert "? to go" in progress.bar(ReplayReport(), 0.0)
    assert "1:06:40 to go" in progress.bar(msgspec.structs.replace(report, seconds=1333.34, rounds=2), 1.0)


def test_no_bar_where_there_is_no_terminal(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"type":"alive","ts":1}\n')

    async def main():
        async with serving() as feeds:
            command = [sys.executable, "-m", "sb_generator.replay_cli", str(path), "--to", feeds.url]
            return await anyio.to_thread.run_sync(
                lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
            )

    done = run(main)
    assert done.stderr == b""
    assert b"1 documents" in done.stdout
