"""Recording from a real ingest service: record, replay what was recorded, record again: the same bytes."""

import gzip
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
from ports import free_offset

from sb_core.runtime import SystemClock, open_context
from sb_core.settings import Settings
from sb_generator.replay import ReplayOptions, replay
from sb_generator.sender import HttpSender
from sb_ingest.service import IngestService

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def recording(url, path, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "sb_generator.record_cli", "--from", url, str(path), "--json", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


async def recorded(url, folder, name, files, *, end, **options):
    """Replay files while recording into `name`; return what the command said and the recorded lines."""
    path = folder / name
    with recording(url, path, *(() if end is None else ("--lines", str(end)))) as process:
        await anyio.to_thread.run_sync(process.stderr.readline)
        async with HttpSender(url) as sender:
            report = await replay(ReplayOptions(files=tuple(map(str, files)), **options), sender.post, SystemClock())
        if end is None:
            await anyio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        out, _ = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=10))
    assert report.failed == 0, report
    data = path.read_bytes()
    lines = gzip.decompress(data) if name.endswith(".gz") else data
    return process.returncode, json.loads(out), [json.loads(line) for line in lines.splitlines()]


def test_record_replay_record_gives_the_same_bytes(run, feeds, tmp_path):
    files = [
        feeds / "betfair" / "tennis-1.223716981.ndjson",
        feeds / "betfair" / "tennis-1.223716890-truncated.ndjson",
        feeds / "betfair" / "messages" / "mcm_sub_image.json",
        feeds / "uof" / "all-types" / "odds_change.xml",
    ]

    async def main():
        settings = Settings(log_url="memory:", store_url="memory:", port_offset=free_offset(4000), log_level="error")
        url = f"http://127.0.0.1:{settings.port('feed-ingestion')}"
        async with open_context(settings, "feed-ingestion") as context, anyio.create_task_group() as group:
            stop = anyio.Event()
            await group.start(IngestService(context).run, stop)
            async with httpx.AsyncClient(base_url=url) as client:
                while (await client.get("/ready")).status_code != 200:  # noqa: ASYNC110  that is how one asks
                    await anyio.sleep(0.02)
            first = await recorded(url, tmp_path, "one.capture", files, end=4, sport="football", key="x.y")
            second = await recorded(url, tmp_path, "two.capture.gz", [tmp_path / "one.capture"], end=None)
            stop.set()
        return first, second

    (code, said, first), (code_2, said_2, second) = run(main)
    assert (code, code_2) == (0, 0)
    assert (said["lines"], said["problem"], said_2["lines"]) == (4, None, 4)
    assert [each["provider"] for each in first] == ["betfair", "betfair", "betfair", "uof"]
    assert [each["body"].strip().encode() for each in first] == [
        path.read_bytes().replace(b"\r\n", b"\n").strip() for path in files
    ]
    assert [(each["provider"], each["body"]) for each in second] == [(each["provider"], each["body"]) for each in first]
    assert [each["t"] for each in second] >= [each["t"] for each in first]


def test_nobody_there_is_a_failure_and_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "a"
    begun = time.monotonic()
    with recording("http://127.0.0.1:9", path) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert json.loads(out)["lines"] == 0
    assert "ConnectError" in err
    assert time.monotonic() - begun < 15
    path.write_bytes(b"precious")
    with recording("http://127.0.0.1:9", path) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert path.read_bytes() == b"precious"
