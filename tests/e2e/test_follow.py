"""A client of the stream, written without the project's code, follows a replay: its state is REST's at every rev it held."""

from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import pairwise

import pytest
from follower import Follower, applied, canonical, opened, restricted
from local_pipeline import balanced, finish_replay, running
from plain_feed import Feed
from plain_open import OpenTimes

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("follow")]

FOOTBALL = ("football-1.242971311.bz2",)
TENNIS = ("tennis-1.223716976.bz2", "tennis-1.223716981.ndjson")
MARKETS = ["1x2", "match_winner", "acme:winner"]
FEED_MESSAGES = 1_500
WHOLE = ("plain", "conflated", "msgpack", "cut")
PARTLY = ("markets", "cut_markets")
CUT = ("cut", "cut_markets")
SMALL_REVS_MAX = 40
SAMPLE = 40
CUT_AFTER = {"cut": 25, "cut_markets": 8}
"""Items after which the connection of a client breaks."""
CUT_S_MAX = 30


class Followed:
    """What a replay left behind: the followers, REST's events, and every event's whole past folded from its history."""

    def __init__(self, pipeline, followers, report, account):
        self.pipeline = pipeline
        self.followers = followers
        self.report = report
        self.account = account
        self.events = pipeline.state()
        self.past = {name: _past(pipeline, event) for name, event in self.events.items()}


def _past(pipeline, event):
    """Fold an event's history by the client's own code: rev -> event."""
    states = {}
    state = {"event": event["event"], "stale": False, "score": None, "markets": [], "rev": 0}
    for entry in pipeline.history(event["event"]):
        assert entry["rev"] == state["rev"] + 1, "a hole in the history"
        state = applied(state, entry)
        states[entry["lineage"], entry["rev"]] = state
    return states


def follow(pipeline, paths, speed):
    """Subscribe in every way, replay, cut one client in the middle, and wait until all hold what REST gives."""
    url = pipeline.url(4003, "ws")
    with ExitStack() as stack:
        ways = {
            "plain": Follower(url),
            "conflated": Follower(url, conflate_ms=200),
            "markets": Follower(url, markets=MARKETS),
            "msgpack": Follower(url, form="msgpack"),
            "cut": Follower(url),
            "cut_markets": Follower(url, form="msgpack", conflate_ms=100, markets=MARKETS),
        }
        for follower in ways.values():
            stack.enter_context(follower)
        for name in CUT:
            ways[name].cut_after(CUT_AFTER[name])
        replay = pipeline.replay(*paths, speed=speed)
        for name in CUT:
            assert ways[name].was_cut.wait(CUT_S_MAX), f"{name} had only {len(ways[name].items)} items"
            ways[name].resume()
        report = finish_replay(replay)
        account = pipeline.wait_through(report["accepted"])
        followed = Followed(pipeline, ways, report, account)
        versions = {name: (event["lineage"], event["rev"]) for name, event in followed.events.items()}
        filtered = {name: _last_of(past, MARKETS) for name, past in followed.past.items()}
        for name, follower in ways.items():
            follower.wait_for(versions if name in WHOLE else filtered)
    return followed


def _last_of(past, markets):
    """Return the last version that changed something which a market filter lets through."""
    last = before = None
    for version, event in past.items():
        seen = canonical({**restricted(event, markets), "lineage": 0, "rev": 0, "ts": 0, "updated": 0})
        if seen != before:
            last, before = version, seen
    return last


SPEEDS = {"football": 14_000, "tennis": 50_000, "canonical": 80}
"""Times the recorded speed: three to seven seconds each."""


def following(request, feeds, tmp_path_factory):
    """Replay one feed with five clients listening; the canonical one has what the recorded ones lack, stops above all."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    if name == "canonical":
        paths = [Feed(7, FEED_MESSAGES).write(folder / "feed.ndjson")]
    else:
        paths = [feeds / "betfair" / file for file in (FOOTBALL if name == "football" else TENNIS)]
    with running(folder / "data", "--feed", "none") as pipeline:
        found = follow(pipeline, paths, SPEEDS[name])
        found.name = name
        found.open_times = OpenTimes(*paths) if name != "canonical" else None
        yield found


followed = pytest.fixture(scope="module", params=SPEEDS)(following)


@pytest.mark.parametrize("way", WHOLE)
def test_a_follower_ends_with_what_rest_gives(followed, way):
    follower = followed.followers[way]
    follower.check()
    assert follower.events.keys() == followed.events.keys()
    for name, event in followed.events.items():
        assert canonical(follower.events[name]) == canonical(event)
    assert all(event["stale"] is False for event in followed.events.values())
    assert follower.stale == set()


@pytest.mark.parametrize("way", PARTLY)
def test_a_follower_with_a_market_filter_ends_with_those_markets(followed, way):
    follower = followed.followers[way]
    follower.check()
    assert follower.events.keys() == followed.events.keys()
    for name, event in followed.events.items():
        mine, theirs = follower.events[name], restricted(event, MARKETS)
        late = ("rev", "ts", "updated")  # a rev that changes only other markets is not sent
        assert mine["rev"] <= theirs["rev"]
        assert canonical({**mine, **{key: theirs[key] for key in late}}) == canonical(theirs)
    assert any(event["markets"] for event in follower.events.values())


@pytest.mark.parametrize("way", [*WHOLE, *PARTLY])
def test_no_gap_was_seen(followed, way):
    follower = followed.followers[way]
    assert follower.gaps == []
    if way not in CUT:
        assert follower.loose == [], "without a reconnect `prev` is exactly what was sent before"
    assert len(follower.items) > 10
    assert follower.gone == []
    before = {}
    for shown in follower.shown:
        version, last = (shown.lineage, shown.rev), before.get(shown.event, (0, 0))
        # a snapshot on its way when the connection broke comes once more
        assert version > last or (version == last and way in CUT), "an event went back"
        before[shown.event] = shown.lineage, shown.rev


@pytest.mark.parametrize("way", WHOLE)
def test_every_version_held_is_the_fold_of_the_history(followed, way):
    follower = followed.followers[way]
    assert len(follower.texts) > 15
    for (name, lineage, rev), text in follower.texts.items():
        assert text == canonical(followed.past[name][lineage, rev]), (name, rev)


@pytest.mark.parametrize("way", PARTLY)
def test_every_version_held_by_market_is_the_fold_of_the_history(followed, way):
    for (name, lineage, rev), text in followed.followers[way].texts.items():
        assert text == canonical(restricted(followed.past[name][lineage, rev], MARKETS)), (name, rev)


def test_every_version_held_is_what_rest_gives_at_that_rev(followed):
    """All revs of small events, a sample of large ones."""
    versions = defaultdict(set)
    for way in WHOLE:
        for name, lineage, rev in followed.followers[way].texts:
            versions[name].add((lineage, rev))
    asked = 0
    for name, held in versions.items():
        ordered = sorted(held)
        sample = ordered if len(ordered) <= SMALL_REVS_MAX else ordered[:: len(ordered) // SAMPLE]
        for lineage, rev in sample:
            then = followed.pipeline.get(f"/v1/events/{name}", at_rev=rev)
            assert then["lineage"] == lineage
            texts = [followed.followers[way].texts.get((name, lineage, rev)) for way in WHOLE]
            for text in filter(None, texts):
                assert text == canonical(then)
            asked += 1
    assert asked > 30


@pytest.mark.parametrize("way", [*WHOLE, *PARTLY])
def test_no_market_was_open_that_the_same_prefix_has_closed(followed, way):
    """Hold every `open` against the fold, and where a file says it in its own words, against those."""
    shut = judged = 0
    for shown in followed.followers[way].shown:
        then = followed.past[shown.event][shown.lineage, shown.rev]
        markets = {key for key in keys(then) if way in WHOLE or key[0] in MARKETS}
        assert shown.open == opened(then) & markets
        shut += len(markets - shown.open)
        judged += len(shown.open)
        if followed.open_times is not None:
            sources = {(each["market"], each["line"]): each["source"] for each in then["markets"]}
            for key in shown.open:
                assert followed.open_times.may_be_open(sources[key], then["ts"]), (shown.event, shown.rev, key)
    assert judged > 10
    # the football file ends before anything of it closes
    assert (shut > 0) is (followed.name != "football")


@pytest.mark.parametrize("way", WHOLE)
def test_a_merged_item_names_what_was_shut_in_between(followed, way):
    follower = followed.followers[way]
    for item in follower.items:
        past = followed.past[item.event]
        states = [past[item.lineage, rev] for rev in range(max(1, item.prev), item.rev + 1)]
        assert item.con is (item.rev - item.prev > 1)
        end = opened(states[-1])
        shut = {key for before, after in pairwise(states) for key in opened(before) - opened(after)}
        ever = {key for event in states for key in keys(event) - opened(event)}
        assert shut & end <= set(item.closed) <= ever & end


def keys(event):
    return {(each["market"], each["line"]) for each in event["markets"]}


def test_conflation_merges(followed):
    """A stop takes everything pending of its event with it; where there are few, much is merged."""
    plain, conflated = followed.followers["plain"], followed.followers["conflated"]
    assert any(item.closed for item in conflated.items) or followed.name != "canonical"
    assert len(conflated.items) < len(plain.items)
    assert Counter(item.con for item in conflated.items)[True] > 0


@pytest.mark.parametrize("way", CUT)
def test_a_cut_client_resumes_without_a_snapshot(followed, way):
    follower = followed.followers[way]
    first, second = follower.subscribed
    assert first[0] is False
    assert second[:2] in {(True, "ring"), (True, "log")}


def test_the_account_balances(followed):
    assert balanced(followed.account)
    assert followed.account["changes"] == sum(event["rev"] for event in followed.events.values())
    assert followed.account["updates_published"] == followed.account["changes"]
    assert followed.account["accepted"] == followed.report["accepted"]
    assert followed.report["failed"] == 0
