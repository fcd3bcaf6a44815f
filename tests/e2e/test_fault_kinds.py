"""Each kind of fault in front of the simulator, into a running pipeline: what is shown, and an account of every document.

The same world goes in clean first, without what the fault took away, under other ids. What stands after the faulty stream
must be that, or not open; where nothing was taken away, broken or dated otherwise, exactly that.
"""

import json
import time
from collections import Counter

import pytest
from local_pipeline import balanced, running

from sb_generator import explained
from sb_generator.chance import Chance
from sb_generator.faults import Faults, Rates
from sb_generator.rewrite import renamed
from sb_generator.sender import read_answer
from sb_generator.speech.canonical import CanonicalSpeaker
from sb_generator.struck import SpokenHandle
from sb_generator.world import World

pytestmark = pytest.mark.e2e

KINDS = Rates.__struct_fields__
KEPT = ("duplicate", "delay", "reorder", "burst")
"""Nothing is taken away and `ts` is kept: as messages of an event have distinct ones, what is shown is the same."""
RATE = 0.05
MINUTES = 7
"""Less than a wrong clock is ahead, so that every message that it stamps lies ahead of its arrival."""
PORTION = 200
SHOWN = ("status", "open", "certainty", "cancels")


def minutes_of_a_world(rate=3.0, live=4):
    """Messages with distinct `ts` within each event, up to now; no alives, so that time itself closes nothing."""
    begin = int(time.time() * 1000) - MINUTES * 60_000
    world = World(5, begin, rate, live=live)
    said = [each for each in world.step(begin + MINUTES * 60_000 - 1_000) if each.event]
    return CanonicalSpeaker().say(said)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with running(tmp_path_factory.mktemp("faults") / "data", "--feed", "none") as started:
        yield started


@pytest.fixture(scope="module")
def world():
    return minutes_of_a_world()


class Explained(explained.Explained):
    """Beside the account: the damaged documents that were accepted all the same."""

    def __init__(self):
        super().__init__()
        self.sound = []


def post(pipeline, documents, copy, account):
    """Send documents as a copy's; note what became of each."""
    for start in range(0, len(documents), PORTION):
        part = documents[start : start + PORTION]
        body = b"\n".join(renamed(each.data, "canonical", copy) for each in part)
        answer = pipeline.post("/v1/feeds/canonical", body, "application/x-ndjson")
        read = read_answer(answer.status_code, answer.content, None)
        assert read.is_judged, answer.text
        account.judged([each.marks for each in part], read.refused_at, failed=False)
        broken = {"corrupt", "truncate"}
        account.sound += [
            each.data for at, each in enumerate(part) if not read.refused_at.get(at) and broken & set(each.marks)
        ]


def state(pipeline, copy):
    """What is shown of a copy's events, under the original ids, without when it was said."""
    found = {}
    for item in pipeline.events():
        name, _, number = item["event"].rpartition("-")
        if number != str(copy) or "-" not in name:
            continue
        event = pipeline.get(f"/v1/events/{item['event']}", min_rev=item["rev"])
        markets = {}
        for market in event["markets"]:
            # prices that come after a settlement are not shown any more
            priced = market["status"] != "settled"
            outcomes = [(each["id"], each["odds"] if priced else None, each["result"]) for each in market["outcomes"]]
            markets[market["market"], market["line"]] = *(json.dumps(market[name]) for name in SHOWN), sorted(outcomes)
        found[name] = event["status"], event["score"], markets
    return found


COPIES = iter(range(1, 1_000))


def faulty(pipeline, world, rates, seed):
    """Send the world with faults, and clean without what was taken; return both states, and the account."""
    taken, copy, clean_copy = set(), next(COPIES), next(COPIES)
    faults = Faults(
        rates,
        Chance(seed),
        SpokenHandle("canonical"),
        lambda name, each: taken.add(each.data) if name not in KEPT and name != "poison" else None,
    )
    sent = faults.apply(world) + faults.flush()
    before, account = pipeline.account(), Explained()
    post(pipeline, sent, copy, account)
    after = pipeline.wait_through()
    assert balanced(after)
    post(pipeline, [each for each in world if each.data not in taken], clean_copy, Explained())
    pipeline.wait_through()
    told = account.told(faults.struck)
    explain(told, faults, len(sent))
    told["sound"] = account.sound
    received = after["received"] - before["received"]
    refused = sum(after["refused"].values()) - sum(before["refused"].values())
    assert received - refused == after["accepted"] - before["accepted"]
    return state(pipeline, copy), state(pipeline, clean_copy), told


def explain(told, faults, sent):
    """Every document that was offered is explained, for each kind and in sum."""
    assert sent == explained.balance(faults.offered, faults.struck)
    for name, counts in told.items():
        assert counts["sent"] == counts["accepted"] + counts["partly"] + counts["refused"] + counts["failed"], name
        assert name == "clean" or counts["struck"] == counts["sent"] + counts["taken"], (name, counts)
    assert told["clean"]["refused"] == told["clean"]["failed"] == 0


def hold(found, clean, *, first=False, exempt=frozenset()):
    """Each market equals the clean stream's, or isn't open.

    `first`: one that only struck messages name may be open, as nothing tells a first price with an old time from a late
    one. `exempt`: what damaged messages name that are right in themselves, by event and market.
    """
    open_in = Counter()
    for name, (_, _, markets) in found.items():
        _, _, others = clean.get(name, (None, None, {}))
        for key, market in markets.items():
            if market[1] == "true" and (name, key[0]) not in exempt and (name, None) not in exempt:
                open_in[name] += 1
                if first and key not in others:
                    continue
                assert others.get(key) == market, (name, key, others.get(key), market)
    return open_in


def undetectable(sound):
    """What damaged documents name that ingest could not tell from right ones: a digit is as good as another."""
    named = set()
    for data in sound:
        message = json.loads(data)
        event = (
            message.get("event", "").rpartition("-")[0]
            if message.get("event", "").count("-") > 1
            else message.get("event")
        )
        markets = message.get("markets")
        named |= {(event, each.get("market")) for each in markets} if markets else {(event, None)}
    return named


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in KEPT])
def test_what_is_open_is_what_a_clean_stream_without_the_struck_says(pipeline, world, kind):
    rate = RATE if kind not in {"silence", "flapping", "skew"} else 0.002
    found, clean, told = faulty(pipeline, world, Rates(**{kind: rate}), kind)
    assert told[kind]["struck"] > 5
    exempt = undetectable(told.pop("sound")) if kind in {"corrupt", "truncate"} else frozenset()
    assert sum(hold(found, clean, first=kind in {"stale", "skew"}, exempt=exempt).values()) > 20


@pytest.mark.parametrize("kind", KEPT)
def test_where_nothing_is_taken_away_it_equals_the_clean_stream(pipeline, world, kind):
    found, clean, told = faulty(pipeline, world, Rates(**{kind: RATE}), kind)
    assert told[kind]["struck"] > 5
    for name, (status, score, markets) in clean.items():
        assert (found[name][:2], name) == ((status, score), name)
        for key, market in markets.items():
            assert (name, key, found[name][2].get(key)) == (name, key, market)
    assert found == clean
    assert any(market[1] == "true" for _, _, markets in found.values() for market in markets.values())


def test_all_together(pipeline, world):
    found, clean, told = faulty(pipeline, world, Rates(**dict.fromkeys(KINDS, RATE)), "all")
    assert set(told) >= {"drop", "corrupt", "truncate", "stale", "poison", "duplicate"}
    hold(found, clean, first=True, exempt=undetectable(told["sound"]))
