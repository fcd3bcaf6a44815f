"""Replaying into a real HTTP server: what is sent, what is sent again, and what the report says."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import trio
import trio.testing
from ingest_stub import serving

from sb_core.runtime import SystemClock
from sb_generator import delivery, faults, replay_cli
from sb_generator.delivery import Answer, deliver
from sb_generator.replay import ReplayOptions, replay
from sb_generator.sender import HttpSender, read_answer

ROOT = Path(__file__).resolve().parents[2]
FULL = (429, b'{"code":"too_many"}', [("retry-after", "0")])
UNKNOWN = (503, b'{"code":"unknown_outcome","detail":"send it again"}', [("retry-after", "0")])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery, "WAIT_FIRST_S", 0.01)
    monkeypatch.setattr(delivery, "WAIT_MAX_S", 0.02)


def replayed(run, *answers, **options):
    async def main():
        async with serving(*answers) as feeds, HttpSender(feeds.url + "/", options.pop("api_key", None)) as sender:
            return await replay(ReplayOptions(**options), sender.post, SystemClock()), feeds.requests

    return run(main)


def query(request):
    return {name: values[0] for name, values in parse_qs(urlsplit(request[0]).query).items()}


def test_a_file_is_sent_in_a_session_of_its_own(run, feeds):
    path = feeds / "betfair" / "tennis-1.223716981.ndjson"
    report, requests = replayed(run, files=(str(path), str(path)), sport="tennis", api_key="secret")
    assert [urlsplit(each[0]).path for each in requests] == ["/v1/feeds/betfair"] * 2
    assert [query(each) for each in requests] == [
        {"session": "tennis-1.223716981", "recorded": "1", "sport": "tennis"},
        {"session": "tennis-1.223716981-2", "recorded": "1", "sport": "tennis"},
    ]
    assert requests[0][1][b"authorization"] == b"Bearer secret"
    assert requests[0][1][b"content-type"] == b"application/x-ndjson"
    assert requests[0][2] == path.read_bytes().strip().replace(b"\r\n", b"\n")
    assert (report.files, report.documents, report.requests, report.failed) == (2, 106, 2, 0)
    assert report.bytes == sum(len(each[2]) for each in requests)


def test_what_was_not_judged_is_sent_again_unchanged(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"op":1}\n{"op":2}\n')
    busy = (409, b'{"code":"session_busy"}', [])
    report, requests = replayed(run, FULL, UNKNOWN, b"cut", busy, files=(str(path),))
    assert len(requests) == 5
    assert len({each[2] for each in requests}) == 1
    assert (report.requests, report.retried, report.accepted, report.failed) == (1, 4, 1, 0)


def test_sending_again_ends_some_time(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"op":1}\n{"op":2}\n')
    report, requests = replayed(run, *[UNKNOWN] * 50, files=(str(path),))
    assert len(requests) == delivery.ATTEMPTS_MAX
    assert (report.failed, report.documents, report.accepted) == (2, 2, 0)
    assert "503 unknown_outcome: send it again" in report.problems[0]


def test_refusals_are_counted_by_code_and_other_errors_are_problems(run, tmp_path):
    paths = []
    for number in range(4):
        path = tmp_path / f"{number}.ndjson"
        path.write_bytes(b'{"op":1}')
        paths.append(str(path))
    report, requests = replayed(
        run,
        (422, b'{"accepted":0,"refused":[{"code":"no_image"},{"code":"no_image"}]}', []),
        (400, b'{"code":"malformed","detail":"no JSON"}', []),
        (401, b'{"code":"unauthorized","detail":"send a key"}', []),
        (400, b'{"code":"bad_parameter","detail":"session"}', []),
        files=tuple(paths),
    )
    assert len(requests) == 4
    assert report.refused == {"malformed": 1, "no_image": 2}
    assert (report.failed, report.retried) == (2, 0)
    assert ["401 unauthorized" in report.problems[0], "400 bad_parameter" in report.problems[1]] == [True, True]


def test_a_request_too_large_is_cut_in_two(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"\n".join(b'{"op":%d}' % number for number in range(7)))
    too_large = (413, b'{"code":"too_large"}', [])
    report, requests = replayed(run, too_large, files=(str(path),))
    assert [each[2].count(b"\n") + 1 for each in requests] == [7, 3, 4]
    assert requests[1][2] + b"\n" + requests[2][2] == path.read_bytes()
    assert (report.documents, report.refused) == (7, {})
    report, _ = replayed(run, *[too_large] * 50, files=(str(path),))
    assert report.refused == {"too_large": 7}


def test_a_broken_source_is_a_problem_after_what_could_be_read(run, tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b'{"op":1}\n' * 1000)[:-10])
    other = tmp_path / "other.ndjson"
    other.write_bytes(b'{"what":1}')
    last = tmp_path / "last.ndjson"
    last.write_bytes(b'{"type":"alive"}')
    report, requests = replayed(run, files=(str(path), str(other), str(last)))
    assert requests[0][2].startswith(b'{"op":1}\n{"op":1}')
    assert urlsplit(requests[-1][0]).path == "/v1/feeds/canonical"
    assert len(report.problems) == 2
    assert "a.gz" in report.problems[0]
    assert "name it" in report.problems[1]


def test_a_truncated_document_is_sent_as_it_is(run, feeds):
    path = feeds / "betfair" / "tennis-1.223716890-truncated.ndjson"
    report, requests = replayed(run, (422, b'{"refused":[{"code":"malformed"}]}', []), files=(str(path),))
    assert requests[0][2] == path.read_bytes().strip()
    assert (report.documents, report.refused, report.failed, report.problems) == (1, {"malformed": 1}, 0, ())


def test_original_timing(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"\n".join(b'{"op":1,"pt":%d}' % ts for ts in (1_000, 1_010, 61_000, 31_000, 121_000)))
    clock = trio.testing.MockClock(autojump_threshold=0.1)
    sent = []

    class Clock:
        def now_ms(self):
            return 0

        def monotonic_s(self):
            return trio.current_time()

    async def send(_provider, body, _content_type, _query):
        sent.append((round(trio.current_time() - begun, 3), body.count(b"\n") + 1))
        return Answer(status=202, accepted=1)

    async def main():
        nonlocal begun
        begun = trio.current_time()
        return await replay(ReplayOptions(files=(str(path),), speed=2.0, start=1_010), send, Clock())

    begun = 0.0
    trio.run(main, clock=clock)
    assert sent == [(0.0, 1), (29.995, 2), (59.995, 1)]


def test_loop_goes_on_until_it_is_cancelled(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"op":1}')
    sent = []

    async def main():
        async def send(_provider, body, _content_type, _query):
            sent.append(body)
            if len(sent) == 3:
                scope.cancel()
            return Answer(status=202)

        with anyio.CancelScope() as scope:
            await replay(ReplayOptions(files=(str(path),), loop=True), send, SystemClock())
        return scope.cancelled_caught

    assert run(main)
    assert sent == [b'{"op":1}'] * 3


def test_faults_are_the_same_for_the_same_seed_and_change_what_is_sent(run, tmp_path):
    path = tmp_path / "a.ndjson"
    lines = [b'{"op":%d}' % number for number in range(800)]
    path.write_bytes(b"\n".join(lines))
    rates = faults.parse("drop=0.05,duplicate=0.05,reorder=0.05,corrupt=0.05")

    def sent(seed):
        _, requests = replayed(run, files=(str(path),), faults=rates, seed=seed)
        return [line for request in requests for line in request[2].split(b"\n")]

    first = sent(1)
    assert first == sent(1)
    assert first != sent(2)
    dropped, broken = set(lines) - set(first), [each for each in first if each not in lines]
    assert 10 < len(dropped) - len(set(broken)) < 80
    assert 15 < len(broken) < 90
    assert len(first) > 760
    assert [each for each in dict.fromkeys(first) if each in lines] != [each for each in lines if each in first]


def test_retry_after_is_kept_to(run):
    async def main():
        answers = [Answer(status=429, retry_after_s=0.3), Answer(status=202)]

        async def send(*_):
            return answers.pop(0)

        begun = trio.current_time()
        delivered = await deliver(send, "uof", b"", "", {})
        return delivered, trio.current_time() - begun

    delivered, waited = run(main)
    assert (delivered.answer.status, delivered.retried) == (202, 1)
    assert waited >= 0.3


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b"\xff", b'{"refused":5}'])
def test_answers_that_are_no_json_are_answers(content):
    assert read_answer(502, content, "soon").status == 502


def sb(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sb_generator.replay_cli", *arguments],
        cwd=ROOT,
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.json",), "no such file"),
        ((__file__, "--speed", "0"), "positive"),
        ((__file__, "--from", "yesterday"), "RFC 3339"),
        ((__file__, "--faults", "rain=1"), "no fault"),
        ((__file__, "--to", "localhost:4000"), "http"),
        ((), "required"),
    ],
)
def test_wrong_usage(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        replay_cli.main(arguments)
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert said in err


def test_the_command_reports_as_json_and_fails_when_nobody_answers(run, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"op":1}\n')

    async def main():
        async with serving((401, b'{"code":"unauthorized"}', [])) as feeds:
            arguments = (str(path), "--to", feeds.url, "--json")
            failed = await anyio.to_thread.run_sync(lambda: sb(*arguments, SB_API_KEY="k"))
            passed = await anyio.to_thread.run_sync(lambda: sb(*arguments))
            return failed, passed, feeds.requests

    failed, passed, requests = run(main)
    assert (failed.returncode, passed.returncode) == (1, 0)
    assert json.loads(failed.stdout)["failed"] == 1
    assert "401" in failed.stderr
    assert json.loads(passed.stdout)["accepted"] == 1
    assert requests[0][1][b"authorization"] == b"Bearer k"
