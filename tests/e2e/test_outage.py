"""A producer that falls silent, as readers over REST and WebSocket see it: closed in time, open again only by what is newer.

Limits are short here, as settings allow; the slow ones are those of every installation: 20 s of silence, a recovery in 30 s.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from follower import Follower, canonical
from local_pipeline import balanced, running

from sb_core import messages
from sb_generator.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("outage")]

WAIT_S = 40
EVENTS = ("acme:1", "acme:2", "acme:3")
LIMITS = [
    pytest.param(2, 3, id="short"),
    pytest.param(20, 30, id="true", marks=pytest.mark.slow),
]
"""Seconds of silence that are an outage, and between two requests of a recovery."""
CLOSED_S = 1.0
"""Beyond the silence that is allowed, until every reader must know."""


def now_ms():
    return int(time.time() * 1000)


def until(found, what):
    end = time.monotonic() + WAIT_S
    while not (got := found()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return got


def judged(pipeline, lines):
    """Post until it is judged, as a sender does that is told to come again."""
    end = time.monotonic() + WAIT_S
    while (answer := pipeline.post("/v1/feeds/canonical", lines, "application/x-ndjson")).status_code == 503:
        assert time.monotonic() < end, answer.text
        time.sleep(0.2)
    return answer


class Producer:
    """One producer's messages, as a provider posts them; `ahead_ms` is how wrong its clock is."""

    def __init__(self, pipeline, name="1"):
        self.pipeline = pipeline
        self.name = name
        self.ahead_ms = 0
        self.accepted = 0
        self.last = 0.0
        self.last_ts = 0

    def post(self, *items):
        lines = "\n".join(json.dumps(each) for each in items)
        answer = judged(self.pipeline, lines)
        assert answer.status_code in {202, 422}, answer.text
        self.accepted += answer.json()["accepted"]
        return answer.json()

    def alive(self, **more):
        self.last, self.last_ts = time.monotonic(), now_ms() + self.ahead_ms
        self.post({"type": "alive", "provider": "acme", "producer": self.name, "ts": self.last_ts, **more})

    def odds(self, event, price, ts=None, market="1x2"):
        return {
            "type": "odds", "event": event, "sport": "football", "producer": self.name,
            "ts": now_ms() + self.ahead_ms if ts is None else ts,
            "markets": [{"market": market, "outcomes": [
                {"id": each, "odds": price} for each in (("home", "draw", "away") if market == "1x2" else ("yes", "no"))
            ]}],
        }  # fmt: skip


class Beating:
    """Calls `say` in a thread of its own, at once and then every `every_s`, while the context lasts."""

    def __init__(self, say, every_s):
        self.say, self.every_s = say, every_s
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(10)

    def _run(self):
        while not self.stop.is_set():
            self.say()
            self.stop.wait(self.every_s)


def opened(pipeline, event):
    answer = pipeline.http.get(pipeline.url(4002) + f"/v1/events/{event}")
    return {each["market"] for each in answer.json().get("markets", ()) if each["open"]}


def followed(follower, event):
    return {each["market"] for each in follower.events[event]["markets"] if each["open"]}


def agree(pipeline, follower, events):
    """Both surfaces show the same at the same rev, and no rev was missed."""
    held = {event: pipeline.get(f"/v1/events/{event}") for event in events}
    follower.wait_for({event: (each["lineage"], each["rev"]) for event, each in held.items()})
    for event, each in held.items():
        assert follower.texts[event, each["lineage"], each["rev"]] == canonical(each)
    assert follower.gaps == []


@pytest.mark.parametrize(("silent_s", "_every_s"), LIMITS)
def test_silence_closes_for_everybody_and_only_what_is_newer_opens_again(tmp_path, silent_s, _every_s):
    with running(tmp_path / "data", "--feed", "none", producer_silent_s=silent_s) as pipeline:
        producer = Producer(pipeline)
        producer.alive()
        producer.post(*(producer.odds(each, "3.00") for each in EVENTS))
        until(lambda: opened(pipeline, EVENTS[0]), "never open")
        with Follower(pipeline.url(4003, "ws"), sports=["football"]) as follower:
            before = {each: pipeline.get(f"/v1/events/{each}")["rev"] for each in EVENTS}
            with Beating(producer.alive, silent_s / 4):
                time.sleep(1.5 * silent_s)
                assert all(opened(pipeline, each) for each in EVENTS)
            until(lambda: not any(opened(pipeline, each) for each in EVENTS), "REST shows it open")
            rest_s = time.monotonic() - producer.last
            until(lambda: not any(followed(follower, each) for each in EVENTS), "the stream shows it open")
            stream_s = time.monotonic() - producer.last
            assert max(rest_s, stream_s) < silent_s + CLOSED_S + 0.5, (rest_s, stream_s)
            for event in EVENTS:
                shown = pipeline.get(f"/v1/events/{event}")
                assert shown["rev"] == before[event] + 1  # a change with a rev, on both
                assert [(each["producer"], each["state"], each["reason"]) for each in shown["producers"]] == [
                    ("1", "down", "silent")
                ]
            agree(pipeline, follower, EVENTS)
            # prices from before the outage open nothing: newer ones of a market that stood, and one nobody had seen
            late = [
                producer.odds(EVENTS[0], "2.50", producer.last_ts + 1),
                producer.odds(EVENTS[1], "1.95", producer.last_ts + 1, "both_teams_to_score"),
            ]
            producer.post(*late)
            producer.alive()
            pipeline.wait_through(producer.accepted)
            assert not any(opened(pipeline, each) for each in EVENTS)
            up = until(lambda: [e for e in pipeline.get("/v1/producers")["items"] if e["state"] == "up"], "never up")
            assert up[0]["producer"] == "1"
            producer.post(producer.odds(EVENTS[2], "2.40", producer.last_ts - 1_000 * silent_s))  # still on its way
            pipeline.wait_through(producer.accepted)
            assert not any(opened(pipeline, each) for each in EVENTS)
            # the same price again is enough
            rev = pipeline.get(f"/v1/events/{EVENTS[2]}")["rev"]
            producer.post(producer.odds(EVENTS[2], "3.00"))
            until(lambda: opened(pipeline, EVENTS[2]), "the same price opened nothing")
            assert pipeline.get(f"/v1/events/{EVENTS[2]}")["rev"] == rev + 1
            assert not opened(pipeline, EVENTS[0]) | opened(pipeline, EVENTS[1])
            agree(pipeline, follower, EVENTS)
        assert balanced(pipeline.wait_through())


def test_a_clock_ten_minutes_ahead_that_is_corrected_freezes_nothing(tmp_path):
    """With a bound on `ts` wide enough to let it in; else it is refused, which closes what it is about."""
    with running(tmp_path / "data", "--feed", "none", ts_ahead_ms_max=900_000) as pipeline:
        producer = Producer(pipeline)
        producer.ahead_ms = 600_000
        producer.alive()
        producer.post(*(producer.odds(each, "3.00") for each in EVENTS))
        until(lambda: opened(pipeline, EVENTS[0]), "never open")
        producer.ahead_ms = 0
        producer.post(producer.odds(EVENTS[0], "2.00"))  # a new price that can't count yet
        for _ in range(5):
            producer.alive()
            time.sleep(0.005)
        until(lambda: not any(opened(pipeline, each) for each in EVENTS), "frozen open")
        assert pipeline.get("/v1/producers")["items"][0]["reason"] == "clock_stepped"
        time.sleep(0.01)
        producer.alive()
        producer.post(*(producer.odds(each, "2.10") for each in EVENTS))
        pipeline.wait_through(producer.accepted)
        until(lambda: all(opened(pipeline, each) for each in EVENTS), "never open again")
        prices = [pipeline.get(f"/v1/events/{each}")["markets"][0]["outcomes"][0]["odds"] for each in EVENTS]
        assert prices == ["2.10"] * 3


def test_a_clock_too_far_ahead_is_refused_and_closes(tmp_path):
    with running(tmp_path / "data", "--feed", "none") as pipeline:
        producer = Producer(pipeline)
        producer.alive()
        producer.post(*(producer.odds(each, "3.00") for each in EVENTS))
        until(lambda: all(opened(pipeline, each) for each in EVENTS), "never open")
        producer.ahead_ms = 600_000
        said = producer.post(*(producer.odds(each, "2.00") for each in EVENTS))
        assert {each["code"] for each in said["refused"]} == {"bad_time"}
        until(lambda: not any(opened(pipeline, each) for each in EVENTS), "open at a price that is not the newest")
        producer.ahead_ms = 0
        producer.post(*(producer.odds(each, "2.10") for each in EVENTS))
        until(lambda: all(opened(pipeline, each) for each in EVENTS), "frozen shut")


# recovery


class Provider:
    """A provider's recovery interface, and the world that it speaks of."""

    def __init__(self):
        self.requests = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                url = urlsplit(self.path)
                owner.requests.append((time.monotonic(), url.path, parse_qs(url.query)))
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def shown(pipeline):
    """Everything of every event but when it was said and how often it changed."""
    found = {}
    for name, event in pipeline.state().items():
        markets = [{key: value for key, value in each.items() if key != "ts"} for each in event["markets"]]
        kept = ("name", "start", "status", "competition", "competitors", "score")
        found[name] = {key: event[key] for key in kept} | {"markets": markets}
    return found


def different(found, wanted):
    """Say where two states differ; prices that stand at settled or cancelled markets, and withdrawn outcomes, are history."""
    told = []
    for name, event in wanted.items():
        mine = {(each["market"], each["line"]): each for each in found[name]["markets"]}
        theirs = {(each["market"], each["line"]): each for each in event["markets"]}
        told += [(name, key) for key in event if key != "markets" and found[name][key] != event[key]]
        for key in mine.keys() | theirs.keys():
            pair = [each and essence(each) for each in (mine.get(key), theirs.get(key))]
            if pair[0] != pair[1]:
                told.append(
                    (
                        name,
                        key,
                        [(each, *(one[each] for one in pair)) for each in pair[0] if pair[0][each] != pair[1][each]],
                    )
                )
    return told


def essence(market):
    if market["status"] not in {"settled", "cancelled"}:
        # outcomes that came and went while nobody heard are nobody's business any more
        return market | {"outcomes": {each["id"]: each for each in market["outcomes"] if each["active"]}}
    outcomes = {each["id"]: (each["result"], each["dead_heat"]) for each in market["outcomes"]}
    return {key: market[key] for key in ("status", "open", "certainty", "cancels")} | {"outcomes": outcomes}


def sent(pipeline, said):
    """Post messages; return how many were accepted."""
    accepted = 0
    for start in range(0, len(said), 400):
        body = b"\n".join(messages.encode(each) for each in said[start : start + 400])
        answer = judged(pipeline, body)
        assert answer.status_code == 202, answer.text
        assert answer.json()["refused"] == []
        accepted += answer.json()["accepted"]
    return accepted


def heard(pipeline, producer):
    ts = now_ms()
    for each in producer:
        sent(pipeline, [messages.Alive(ts=ts, provider="sim", producer=each)])


MINUTE = 60_000


@pytest.mark.parametrize(("silent_s", "every_s"), LIMITS)
def test_a_recovery_brings_the_exact_state_back_and_is_asked_for_seldom(tmp_path, silent_s, every_s):
    """Half an hour of a world, of which the live producer's last 20 minutes are lost; another pipeline loses nothing."""
    settings = {"producer_silent_s": silent_s, "recovery_every_s": every_s}
    begin = now_ms() - 31 * MINUTE
    world = World(9, begin, 2.0, live=10)
    first = [each for each in world.step(begin + 10 * MINUTE) if each.event]
    lost = [each for each in world.step(begin + 30 * MINUTE) if each.event]
    with Provider() as provider, running(tmp_path / "clean", "--feed", "none") as clean, running(
        tmp_path / "data", "--feed", "none", recovery_urls=f"sim={provider.url}", **settings
    ) as pipeline:  # fmt: skip
        heard(pipeline, "1")
        sent(pipeline, first)
        sent(pipeline, [each for each in lost if each.producer != "1"])
        until(lambda: state_of(pipeline) == "down", "never down")
        assert provider.requests == []  # nobody is there to answer
        until(lambda: not live_open(pipeline), "open")
        with Beating(lambda: heard(pipeline, "1"), silent_s / 4):
            until(lambda: provider.requests, "never asked")
            _, path, query = provider.requests[0]
            assert path == "/v1/liveodds/recovery/initiate_request"
            again = world.recover(now_ms(), query["request_id"][0], ("1",), begin + 10 * MINUTE)
            sent(pipeline, again)
            until(lambda: state_of(pipeline) == "up", "never up")
            pipeline.wait_through()
            asked = len(provider.requests)
            sent(clean, first + lost)
            # what a recovery says, said without one, is only a whole book
            sent(clean, [plain(each) for each in again if each.event])
            clean.wait_through()
            found, wanted = shown(pipeline), shown(clean)
            assert set(found) == set(wanted)
            assert different(found, wanted) == []
            assert live_open(pipeline) > 20
        # another outage, right after: the second request waits for its time
        until(lambda: state_of(pipeline) == "down", "never down again")
        with Beating(lambda: heard(pipeline, "1"), silent_s / 4):
            until(lambda: len(provider.requests) > asked, "never asked again")
        times = [at for at, *_ in provider.requests]
        assert all(later - earlier >= every_s - 0.2 for earlier, later in pairwise(times)), times


def live_open(pipeline):
    """Count the open markets of the live producer."""
    events = pipeline.state().values()
    return sum(each["open"] for event in events for each in event["markets"] if each["producer"] == "1")


def plain(message):
    return messages.decode(messages.encode(message).replace(b',"request":"%b"' % message.request.encode(), b""))


def state_of(pipeline):
    found = [each for each in pipeline.get("/v1/producers")["items"] if each["producer"] == "1"]
    return found[0]["state"] if found else None


# the simulator, as `make up` starts it


def metric(pipeline, port, name):
    lines = pipeline.http.get(pipeline.url(port) + "/metrics").text.splitlines()
    return sum(float(each.rpartition(" ")[2]) for each in lines if each.partition("{")[0].split(" ")[0] == name)


def simulator(pipeline, **changes):
    answer = pipeline.http.patch(pipeline.url(4004) + "/v1/state", json=changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.slow
def test_the_simulators_silence_ends_in_a_recovery_that_ingest_asks_for(tmp_path):
    """Faults take away all that both producers say; with nothing set, ingest asks port 4004 when they are back."""
    with running(tmp_path / "data") as pipeline:
        until(lambda: live_open(pipeline) > 200, "nothing is open")
        asked = metric(pipeline, 4000, "sb_feed_ingestion_recovery_requests_total")
        simulator(pipeline, faults={"silence": 1.0})
        until(lambda: {each["state"] for each in pipeline.get("/v1/producers")["items"]} == {"down"}, "never down")
        until(lambda: not live_open(pipeline), "open")
        assert metric(pipeline, 4000, "sb_feed_ingestion_recovery_requests_total") == asked
        simulator(pipeline, faults={})
        ends = time.monotonic() + 60
        while (
            metric(pipeline, 4000, "sb_feed_ingestion_recovery_requests_total") < asked + 2 and time.monotonic() < ends
        ):
            time.sleep(0.5)
        ends = time.monotonic() + 120
        while {each["state"] for each in pipeline.get("/v1/producers")["items"]} != {"up"}:
            assert time.monotonic() < ends, "never up"
            time.sleep(0.5)
        recoveries = {each["producer"]: each["recovery"] for each in pipeline.get("/v1/producers")["items"]}
        assert len(set(recoveries.values())) == 2  # a request of each
        assert abs(int(recoveries["1"]) - int(recoveries["3"])) >= 30
        until(lambda: live_open(pipeline) > 200, "nothing is open again")
