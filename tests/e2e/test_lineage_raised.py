"""Retention takes records before they were processed: the partition stops, and goes on with all closed when told to."""

import json
import os
import subprocess
import sys
import time

import anyio
import pytest
from follower import Follower, canonical
from local_pipeline import ROOT, Pipeline

from sb_core import messages as m
from sb_core import topics
from sb_core.records import Record
from sb_core.runtime import open_context
from sb_core.settings import load

pytestmark = pytest.mark.e2e

PARTITION = 4
FEED = topics.feed("football")
EVENTS = [f"gone:{n}" for n in range(60) if topics.partition_of(f"gone:{n}") == PARTITION]
OTHER = next(f"gone:{n}" for n in range(60) if topics.partition_of(f"gone:{n}") != PARTITION)
DAYS_8_MS = 8 * 86_400_000


def odds(event, ts, price):
    outcomes = [{"id": each, "odds": price} for each in ("home", "draw", "away")]
    markets = [{"market": "1x2", "status": "active", "outcomes": outcomes}]
    return {"type": "odds", "event": event, "sport": "football", "ts": ts, "markets": markets}


def post(pipeline, *messages):
    body = "".join(json.dumps(each) + "\n" for each in messages)
    assert pipeline.post("/v1/feeds/canonical", body, "application/x-ndjson").status_code == 202


def opened(pipeline, event):
    answer = pipeline.http.get(pipeline.url(4002) + f"/v1/events/{event}")
    return answer.status_code == 200 and [market["open"] for market in answer.json()["markets"]] == [True]


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def let_go():
    """What retention does, a week later."""

    async def let_go(context):
        await context.admin.prune(context.clock.now_ms() + DAYS_8_MS)

    return let_go


@pytest.fixture
def saved():
    """Save the store of a pipeline that isn't running; return what puts it back."""

    def saved(pipeline):
        kept = {path: path.read_bytes() for path in pipeline.data.glob("store.db*")}
        assert kept

        def put_back():
            for path in pipeline.data.glob("store.db*"):
                path.unlink()
            for path, content in kept.items():
                path.write_bytes(content)

        return put_back

    return saved


def lose_stops(pipeline, ts, let_go):
    """Have stops come while no processor runs, and retention take them all."""

    async def main():
        async with open_context(load({**pipeline.environment(), "SB_LOG_LEVEL": "error"}), "test") as context:
            stops = [m.BetStop(ts=ts, id=f"stop:{each}", event=each, sport="football", provider="x") for each in EVENTS]
            await context.log.append([Record(FEED, each.event, m.encode(each), ts) for each in stops])
            ends = await context.admin.ends([FEED])
            await let_go(context)
            assert (await context.admin.starts([FEED]))[FEED, PARTITION] == ends[FEED, PARTITION]

    anyio.run(main, backend="trio")


def raise_lineage(pipeline):
    name = f"{FEED}/{PARTITION}"
    command = [sys.executable, "-m", "sb_local.cli", "lineage", "raise", "--sport", "football"]
    done = subprocess.run(
        [*command, "--partition", str(PARTITION)],
        cwd=ROOT,
        env={**os.environ, **pipeline.environment()},
        input=f"{name}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("with lineage ")[2])


def test_stops_that_retention_took_leave_nothing_open(tmp_path, let_go):
    pipeline = Pipeline(tmp_path / "data")
    ts = int(time.time() * 1000)
    try:
        pipeline.start("--feed", "none")
        post(pipeline, *(odds(each, ts, "3.00") for each in (*EVENTS, OTHER)))
        until(lambda: all(opened(pipeline, each) for each in (*EVENTS, OTHER)))
        assert pipeline.stop()[0] == 0
        lose_stops(pipeline, ts + 1, let_go)
        pipeline.start("--feed", "none", ready=False)
        until(lambda: "partition_stopped" in pipeline.tail())
        assert not pipeline.is_ready()
        pipeline.kill()
        assert raise_lineage(pipeline) == 2
        pipeline.start("--feed", "none")
        with Follower(pipeline.url(4003, "ws"), sports=["football"]) as follower:
            until(lambda: not any(opened(pipeline, each) for each in EVENTS))
            shown = {each: pipeline.get(f"/v1/events/{each}") for each in (*EVENTS, OTHER)}
            assert {(shown[each]["lineage"], shown[each]["rev"]) for each in EVENTS} == {(2, 2)}
            assert (shown[OTHER]["lineage"], opened(pipeline, OTHER)) == (1, True)
            follower.wait_for({each: (shown[each]["lineage"], shown[each]["rev"]) for each in shown})
            post(pipeline, odds(EVENTS[0], ts, "2.00"), odds(EVENTS[1], ts + 2, "2.00"))
            until(lambda: opened(pipeline, EVENTS[1]))
            assert not opened(pipeline, EVENTS[0])
            last = pipeline.get(f"/v1/events/{EVENTS[1]}")
            follower.wait_for({EVENTS[1]: (2, 3)})
            assert follower.texts[EVENTS[1], 2, 3] == canonical(last)
            assert follower.gaps == []
        pipeline.kill()
        pipeline.start("--feed", "none")
        assert {(each, pipeline.get(f"/v1/events/{each}")["rev"]) for each in EVENTS[2:]} == {
            (each, 2) for each in EVENTS[2:]
        }
        assert [entry["rev"] for entry in pipeline.history(EVENTS[1])] == [1, 2, 3]
    finally:
        pipeline.kill()


def test_a_lineage_that_was_published_is_not_given_again_by_a_store_put_back_to_before_it(tmp_path, saved):
    pipeline = Pipeline(tmp_path / "data")
    ts = int(time.time() * 1000)
    try:
        pipeline.start("--feed", "none")
        post(pipeline, *(odds(each, ts, "3.00") for each in EVENTS))
        until(lambda: all(opened(pipeline, each) for each in EVENTS))
        assert pipeline.stop()[0] == 0
        put_back = saved(pipeline)
        for lineage in (2, 3):  # each time from the first one
            assert raise_lineage(pipeline) == lineage
            pipeline.start("--feed", "none")
            with Follower(pipeline.url(4003, "ws"), sports=["football"]) as follower:
                follower.wait_for(dict.fromkeys(EVENTS, (lineage, 2)))
            assert pipeline.stop()[0] == 0
            put_back()
    finally:
        pipeline.kill()
