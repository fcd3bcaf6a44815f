"""A sport gets more partitions: nothing is lost, every event goes on where it was, and outages still reach all of them."""

import json
import os
import subprocess
import sys
import time

import pytest
from follower import Follower
from local_pipeline import ROOT, Pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("outage")]

COUNT = 30
FEED = "sports-feed-football"
EVENTS = [f"moved:{n}" for n in range(40)]
WAIT_S = 60
TRIES = 5


def until(holds, told=lambda: None):
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def post(pipeline, *messages):
    body = "".join(json.dumps(each) + "\n" for each in messages)
    until(lambda: pipeline.post("/v1/feeds/canonical", body, "application/x-ndjson").status_code == 202)


def alive():
    return {"type": "alive", "provider": "x", "producer": "1", "ts": int(time.time() * 1000)}


def odds(event, price):
    outcomes = [{"id": each, "odds": price} for each in ("home", "draw", "away")]
    markets = [{"market": "1x2", "status": "active", "outcomes": outcomes}]
    head = {"type": "odds", "provider": "x", "producer": "1", "event": event, "sport": "football"}
    return {**head, "ts": int(time.time() * 1000), "markets": markets}


def shown(pipeline, event):
    answer = pipeline.http.get(pipeline.url(4002) + f"/v1/events/{event}")
    if answer.status_code != 200:
        return None
    told = answer.json()
    return told["lineage"], told["rev"], told["markets"][0]["open"]


def up(pipeline, event):
    """Say whether the event's producer is told to be up, which is a change of its own when the odds came first."""
    answer = pipeline.http.get(pipeline.url(4002) + f"/v1/events/{event}")
    return answer.status_code == 200 and [each["state"] for each in answer.json()["producers"]] == ["up"]


def repartition(pipeline, count, **given):
    """Call the command; again, as a person would, where a busy machine's broker didn't answer in time."""
    for _ in range(TRIES):
        done = repartition_once(pipeline, count, **given)
        if "no answer within" not in done.stderr:
            break
    return done


def repartition_once(pipeline, count, typed=FEED, **settings):
    command = [sys.executable, "-m", "sb_local.cli", "topics", "repartition", "--sport", "football"]
    return subprocess.run(
        [*command, "--partitions", str(count)],
        cwd=ROOT,
        env={**os.environ, **pipeline.environment(), "SB_LOG_LEVEL": "error", **settings},
        input=f"{typed}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_refusals(pipeline):
    """What lies in the log unprocessed must be processed first; fewer partitions there can't be."""
    assert repartition(pipeline, COUNT, typed="football").returncode == 1
    assert repartition(pipeline, 11).returncode == 2
    left = pipeline.environment() | {"SB_STORE_URL": f"sqlite:///{pipeline.data / 'other.db'}"}
    behind = repartition(pipeline, COUNT, SB_STORE_URL=left["SB_STORE_URL"])
    assert behind.returncode == 1
    assert "not through" in behind.stderr


def test_a_sport_gets_more_partitions(tmp_path):
    pipeline = Pipeline(tmp_path / "data", producer_silent_s=300)
    try:
        pipeline.start("--feed", "none")
        post(pipeline, alive(), *(odds(each, "2.00") for each in EVENTS))
        until(lambda: all(up(pipeline, each) and shown(pipeline, each)[2] for each in EVENTS))
        before = {each: shown(pipeline, each)[1] for each in EVENTS}
        running = repartition(pipeline, COUNT)
        assert running.returncode == 1
        assert "still written to: stop ingest" in running.stderr
        assert pipeline.stop()[0] == 0
        check_refusals(pipeline)
        done = repartition(pipeline, COUNT)
        assert done.returncode == 0, done.stderr
        assert f"SB_PARTITIONS=football={COUNT}" in done.stdout
        again = repartition(pipeline, COUNT, SB_PARTITIONS=f"football={COUNT}")
        assert again.returncode == 0, again.stderr
        with pytest.raises(RuntimeError, match="30 partitions, not 12"):
            pipeline.start("--feed", "none")
        pipeline.kill()
        pipeline.settings |= {"SB_PARTITIONS": f"football={COUNT}", "SB_PRODUCER_SILENT_S": "2"}
        pipeline.start("--feed", "none")
        with Follower(pipeline.url(4003, "ws"), sports=["football"]) as follower:
            # silent since before: closed wherever its events are now
            until(
                lambda: [shown(pipeline, each) for each in EVENTS] == [(3, before[each] + 1, False) for each in EVENTS],
                lambda: ([shown(pipeline, each) for each in EVENTS], before),
            )
            post(pipeline, alive(), *(odds(each, "3.00") for each in EVENTS))
            follower.wait_for({each: (3, before[each] + 2) for each in EVENTS})
            assert follower.gaps == []
        for event in EVENTS:
            revs = [entry["rev"] for entry in pipeline.history(event)]
            assert revs == list(range(1, len(revs) + 1))
        assert pipeline.stop()[0] == 0
    finally:
        pipeline.kill()
