"""Operators' commands on a data folder that nothing runs on."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from sb_console.lag import Look, judge
from sb_core import topics
from sb_core.records import Record
from sb_core.runtime import open_context
from sb_core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def sb(data, *arguments, typed=""):
    return subprocess.run(
        [sys.executable, "-m", "sb_local.cli", *arguments],
        cwd=ROOT,
        env={"SB_DATA": str(data), "PATH": "/usr/bin:/bin", "SB_LOG_LEVEL": "error"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("lag", "grown", "moved", "expected"),
    [
        (0, 0, 0, "OK"),
        (0, 100, 100, "OK"),
        (5, 100, 100, "OK"),
        (50, 0, 0, "STALLED"),
        (50, 10, 0, "STALLED"),
        (500, 100, 20, "GROWING"),
        (500, 10, 200, "DRAINING"),
    ],
)
def test_two_looks_are_enough_for_a_verdict(lag, grown, moved, expected):
    before, after = Look(0, 1_000 - lag - moved, 1_000 - grown), Look(1_000, 1_000 - lag, 1_000)
    assert judge((before, after), stalled_ms=1_000).verdict == expected


@pytest.fixture
def data(tmp_path):
    """A folder whose feed has three records that nobody has processed."""

    async def main():
        async with open_context(Settings(data=str(tmp_path / "data"), log_level="error"), "test") as context:
            record = Record(topics.feed("football"), "x:1", b"{}", 1, 4)
            await context.log.append([record] * 3)
            await context.store.claim((topics.feed("football"), 4), "someone")

    anyio.run(main, backend="trio")
    return tmp_path / "data"


def test_lag_names_the_stalled_partition_first_and_exits_1(data):
    done = sb(data, "lag", "--json")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 48
    assert (rows[0]["topic"], rows[0]["partition"], rows[0]["lag"]) == ("sports-feed-football", 4, 3)
    assert rows[0]["verdict"] == "STALLED"
    assert {row["verdict"] for row in rows[1:]} == {"OK"}
    assert "STALLED" in sb(data, "lag").stdout


def test_lineage_is_raised_only_for_the_name_typed(data):
    arguments = ("lineage", "raise", "--sport", "football", "--partition", "4")
    assert sb(data, *arguments, typed="yes\n").returncode == 1
    done = sb(data, *arguments, typed="sports-feed-football/4\n")
    assert done.returncode == 0, done.stderr
    assert "lineage 2" in done.stdout
    assert sb(data, "lineage", "raise", "--sport", "football", "--partition", "12").returncode == 2
