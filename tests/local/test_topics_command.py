"""`sb topics` on the embedded log, as an operator types it; on Kafka it is tested beside the engines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from sb_core import topics
from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.records import Record
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec
from sb_local.topics import wrongs

ROOT = Path(__file__).resolve().parents[2]
DAY_MS = 86_400_000
FEED = TopicSpec("feed", 12, 7 * DAY_MS)


def sb(data, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "sb_local.cli", "topics", *arguments],
        cwd=ROOT,
        env={"SB_DATA": str(data), "PATH": os.environ["PATH"], "SB_LOG_LEVEL": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def made(data, *specs, records=()):
    async def main():
        async with open_sqlite_log(str(data / "log.db"), SystemClock()) as log:
            await log.create(specs)
            await log.append(records)

    data.mkdir()
    anyio.run(main, backend="trio")


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (FEED, ""),
        (None, "missing"),
        (TopicSpec("feed", 11, 7 * DAY_MS), "11 partitions, not 12"),
        (TopicSpec("feed", 12, DAY_MS // 2), "keeps 0.5 days, not 7 days"),
        (TopicSpec("feed", 12, None), "keeps for ever, not 7 days"),
        (TopicSpec("feed", 1, None, compacted=True), "1 partitions, not 12; compacted"),
    ],
)
def test_what_is_wrong_with_a_topic(found, wrong):
    assert wrongs(FEED, found) == wrong


def test_topics_are_made_once_and_verified(tmp_path):
    data = tmp_path / "data"
    before = sb(data, "verify")
    assert before.returncode == 1
    assert before.stdout.count("missing") == len(topics.specs())
    for _ in range(2):
        done = sb(data, "create", "--json")
        assert done.returncode == 0, done.stderr
        rows = {row["topic"]: row for row in json.loads(done.stdout)}
        assert rows.keys() == {spec.name for spec in topics.specs()}
        assert rows["sports-feed-hockey"] == {
            "topic": "sports-feed-hockey",
            "partitions": 12,
            "retention_ms": 7 * DAY_MS,
            "compacted": False,
            "records": 0,
            "wrong": "",
        }
    assert sb(data, "verify").returncode == 0


def test_a_topic_of_another_size_is_named_and_left_alone(tmp_path):
    data = tmp_path / "data"
    records = [Record("sports-feed-football", "k", b"{}", 1)] * 3
    made(data, TopicSpec("sports-feed-football", 6, 7 * DAY_MS), TopicSpec("mine", 1, None), records=records)
    done = sb(data, "create")
    assert (done.returncode, done.stdout) == (1, "")
    assert "sports-feed-football has 6 partitions, not 12" in done.stderr
    rows = {row["topic"]: row for row in json.loads(sb(data, "list", "--json").stdout)}
    assert (rows["sports-feed-football"]["records"], rows["sports-feed-football"]["wrong"]) == (
        3,
        "6 partitions, not 12",
    )
    assert (rows["mine"]["wrong"], rows["sports-feed-tennis"]["wrong"]) == ("", "missing")


@pytest.mark.parametrize("arguments", [(), ("delete",), ("list", "--force")])
def test_wrong_usage_is_2(tmp_path, arguments):
    assert sb(tmp_path, *arguments).returncode == 2
