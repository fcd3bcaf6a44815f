"""`kill -9` in the middle of a replay, start again, replay from the start: the same state, revs and history as without it.

The moments are seeded. With an even seed the replay is paced, and they are a share of what an uninterrupted run accepts;
with an odd one it is as fast as can be, so that requests, batches of the fold and their publication are all at work.
"""

import random
import time

import httpx
import pytest
from local_pipeline import Pipeline, balanced
from plain_feed import Feed

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("kill")]

FEED_MESSAGES = 2_400
MOMENTS = 20
ATTEMPTS_MAX = 3
SPEEDS = {"football": 40_000, "tennis": 100_000, "canonical": 160}
"""Times the recorded speed: each replay takes one to two seconds."""
BUSY_S = 0.6
"""How long the pipeline is busy with a whole feed, about."""
OUTCOMES = ("applied", "unchanged", "stale", "duplicate")


@pytest.fixture(scope="module")
def files(feeds, tmp_path_factory):
    betfair = feeds / "betfair"
    made = tmp_path_factory.mktemp("feed") / "feed.ndjson"
    return {
        "football": [betfair / "football-1.242971311.bz2"],
        "tennis": [betfair / "tennis-1.223716976.bz2", betfair / "tennis-1.223716981.ndjson"],
        "canonical": [Feed(20, FEED_MESSAGES).write(made)],
    }


class Outcome:
    """What a run left: events, histories and the account."""

    def __init__(self, pipeline, account):
        self.account = account
        self.events = {name: _timeless(event) for name, event in pipeline.state().items()}
        self.histories = {name: [_timeless(entry) for entry in pipeline.history(name)] for name in self.events}


def _timeless(shown):
    """Leave out `updated`, which is when we received what made the rev."""
    return {name: value for name, value in shown.items() if name not in {"updated", "stale"}}


def _options(feed):
    return {"provider": "canonical" if feed == "canonical" else "betfair"}


@pytest.fixture(scope="module")
def uninterrupted(files, tmp_path_factory):
    """Run each feed once, whole, when it is first asked for."""
    known = {}

    def run(feed):
        if feed not in known:
            pipeline = Pipeline(tmp_path_factory.mktemp("whole") / "data")
            pipeline.start("--feed", "none")
            try:
                report = pipeline.replayed(*files[feed], **_options(feed))
                known[feed] = Outcome(pipeline, pipeline.wait_through(report["accepted"]))
            finally:
                pipeline.kill()
        return known[feed]

    return run


def kill_at(pipeline, accepted, jitter_s):
    """Kill the pipeline once so many units are accepted; return how many it had told of."""
    until = time.monotonic() + 30
    told = 0
    with httpx.Client(timeout=5, trust_env=False) as http:
        while told < accepted:
            assert time.monotonic() < until, f"only {told} of {accepted} accepted"
            told = http.get(f"{pipeline.url(4000)}/v1/account").json()["accepted"]
            time.sleep(0.002)
    time.sleep(jitter_s)
    pipeline.kill()
    return told


def interrupted(pipeline, paths, feed, total, chance, *, paced):
    """Start, replay, kill; half of the time once more, while it recovers. Returns what was accepted at least."""
    pipeline.start("--feed", "none")
    replay = pipeline.replay(*paths, speed=SPEEDS[feed] if paced else "max", **_options(feed))
    try:
        if paced:
            told = kill_at(pipeline, int(total * chance.uniform(0.02, 0.95)), chance.uniform(0, 0.03))
        else:
            told = kill_at(pipeline, 1, chance.uniform(0, BUSY_S))
    finally:
        replay.kill()
        replay.communicate()
    if chance.random() < 0.5:
        pipeline.start("--feed", "none", ready=False)
        time.sleep(chance.uniform(0.3, 1.2))
        pipeline.kill()
    return told


def check_killed(tmp_path, files, uninterrupted, feed, seed):
    chance = random.Random(f"{feed} {seed}")
    whole = uninterrupted(feed)
    total = whole.account["accepted"]
    paced = seed % 2 == 0
    for attempt in range(ATTEMPTS_MAX):
        pipeline = Pipeline(tmp_path / f"data{attempt}")
        try:
            told = interrupted(pipeline, files[feed], feed, total, chance, paced=paced)
            pipeline.start("--feed", "none")
            before = pipeline.wait_through()
            assert balanced(before), before
            assert told <= before["accepted"] <= total, "what was accepted is durable, and nothing came twice"
            if paced and before["accepted"] == total:
                continue  # on a busy machine the replay was over before the kill
            report = pipeline.replayed(*files[feed], **_options(feed))
            assert report["accepted"] == total
            account = pipeline.wait_through(before["accepted"] + total)
            found = Outcome(pipeline, account)
            break
        finally:
            pipeline.kill()
    else:
        pytest.fail("no kill came in the middle of a replay")
    assert found.events.keys() == whole.events.keys()
    for name, event in whole.events.items():
        assert found.histories[name] == whole.histories[name]
        assert found.events[name] == event
    check_account(account, before, whole.account)


def check_account(account, before, whole):
    assert balanced(account), account
    total = whole["accepted"]
    assert account["accepted"] == before["accepted"] + total
    assert account["unknown"] == 0
    assert account["changes"] == whole["changes"] == account["updates_published"]
    assert account["applied"] == whole["applied"], "each effect once"
    assert sum(account[name] for name in OUTCOMES) == account["accepted"]


MOMENTS_FAST = [("football", 1), ("tennis", 0), ("canonical", 0), ("canonical", 1)]
MOMENTS_SLOW = [(("football", "tennis", "canonical")[number % 3], 10 + number) for number in range(MOMENTS)]


@pytest.mark.parametrize(("feed", "seed"), MOMENTS_FAST)
def test_a_kill_in_the_middle_changes_nothing(tmp_path, files, uninterrupted, feed, seed):
    check_killed(tmp_path, files, uninterrupted, feed, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("feed", "seed"), MOMENTS_SLOW)
def test_a_kill_at_any_of_twenty_moments_changes_nothing(tmp_path, files, uninterrupted, feed, seed):
    check_killed(tmp_path, files, uninterrupted, feed, seed)
