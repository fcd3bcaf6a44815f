"""Recordings looped with ids of their own, 50 events at once: the account balances at the end, and memory stays flat.

What the services keep is bounded by settings, here so low that the bounds are met early, so that flat means flat.
"""

import re
import statistics
import time
from pathlib import Path

import pytest
from local_pipeline import balanced, finish_replay, running

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("loop")]

EVENTS = 50
BOUNDS = {
    "events_held_max": 200,
    "process_events_cached_max": 200,
    "cache_entries_max": 200,
    "ring_changes_max": 2_000,
    "lookback_ms": 5_000,
    "rest_answers_bytes_max": 1_048_576,
}
GROWTH_MAX = 1.1
"""Of the last fifth over the second one."""


def memory_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1_024


def looped(pipeline, files, speed, rounds, scale):
    return pipeline.replay(*files, speed=speed, scale=scale, rounds=rounds)


def explained(pipeline, reports):
    """Everything that was sent is accounted for, and so is what became of it."""
    account = pipeline.wait_through(sum(each["accepted"] for each in reports), deadline_s=60)
    assert balanced(account)
    assert [each["failed"] for each in reports] == [0] * len(reports)
    refused = sum(sum(each["refused"].values()) for each in reports)
    assert sum(account["refused"].values()) == refused
    # what closes a market or an event of which something was refused is a unit of its own
    assert account["received"] >= sum(each["accepted"] for each in reports) + refused
    assert account["changes"] == account["updates_published"]
    return account


def tennis(feeds):
    return [feeds / "betfair" / name for name in ("tennis-1.223716976.bz2", "tennis-1.223716981.ndjson")]


def test_rounds_of_fifty_events_are_events_of_their_own(feeds, tmp_path):
    with running(tmp_path / "data", "--feed", "none", **BOUNDS) as pipeline:
        report = finish_replay(looped(pipeline, tennis(feeds), "max", 2, EVENTS))
        account = explained(pipeline, [report])
        events = list(pipeline.events())
    assert report["rounds"] == 2
    assert len(events) == 2 * EVENTS * len({each["name"] for each in events})
    assert account["applied"] > 5_000


@pytest.mark.slow
def test_ten_minutes_of_fifty_events_leave_memory_flat(feeds, tmp_path):
    """Tennis's recordings are of one event; beside them football's, which is of 141; each sped up to a minute a round."""
    with running(tmp_path / "data", "--feed", "none", **BOUNDS) as pipeline:
        begun, memory = time.monotonic(), []
        football = [feeds / "betfair" / "football-1.242971311.bz2"]
        replays = [looped(pipeline, football, 800, 10, 1), looped(pipeline, tennis(feeds), 6_000, 10, EVENTS)]
        try:
            while any(each.poll() is None for each in replays):
                memory.append(memory_mb(pipeline.process.pid))
                time.sleep(5)
        finally:
            for each in replays:
                each.terminate()
        seconds = time.monotonic() - begun
        reports = [finish_replay(each) for each in replays]
        account = explained(pipeline, reports)
    fifth = len(memory) // 5
    early, late = statistics.fmean(memory[fifth : 2 * fifth]), statistics.fmean(memory[-fifth:])
    text = f"{seconds:.0f} s, {[round(each) for each in memory]} MB, {account}, {reports}"
    (tmp_path / "report.txt").write_text(text)
    print(text)
    assert seconds > 590
    assert [each["rounds"] for each in reports] == [10, 10]
    assert late < GROWTH_MAX * early, text
