"""The cache out of reach, or emptied, under real services: what it held before is never read again, and nobody gets an error."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
from plain_feed import Feed
from pressing_sender import PressingSender
from services import Services
from undisturbed import settled

from sb_core.topics import partition_of

pytestmark = pytest.mark.engines

NAMES = ("ingest", "football", "distribute")
PORTS = (4000, 4101)
EVENTS = [f"away:{number}" for number in range(24)]
APPLIED_S = 60
READERS = 8
FLUSHES = 5


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path / "services", NAMES)
    made.ready_ports = (4000, 4002, 4003, 4101)
    yield made.start()
    made.kill()


def odds(event, ts, price="1.50"):
    outcomes = [{"id": each, "odds": price} for each in ("home", "draw", "away")]
    markets = [{"market": "1x2", "status": "active", "outcomes": outcomes}]
    return {"type": "odds", "event": event, "sport": "football", "ts": ts, "markets": markets}


def send(services, messages):
    body = "".join(json.dumps(each) + "\n" for each in messages)
    answer = services.http.post(
        f"{services.url(4000)}/v1/feeds/canonical", content=body, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 202, answer.text


def wait_applied(services, count):
    until = time.monotonic() + APPLIED_S
    while services.ask("football", "/v1/account").json()["applied"] < count:
        assert time.monotonic() < until
        time.sleep(0.05)


class Reading(threading.Thread):
    """Reads all events over REST, again and again; notes what went back to an older rev."""

    def __init__(self, services):
        super().__init__(daemon=True)
        self.services = services
        self.highest = dict.fromkeys(EVENTS, 0)
        self.back = []
        self.answers = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            for event in EVENTS:
                answer = self.services.ask("distribute", f"/v1/events/{event}")
                if answer is None or answer.status_code != 200:  # it is being restarted
                    time.sleep(0.02)
                    continue
                self.answers += 1
                rev = answer.json()["rev"]
                if rev < self.highest[event]:
                    self.back.append((event, self.highest[event], rev))
                self.highest[event] = max(rev, self.highest[event])

    def finish(self):
        self.over.set()
        self.join(30)


@contextmanager
def saved_and_killed(engines, services):
    """Have the cache away for a while, and back with all that it held."""
    with engines.cache(services.data) as cache:
        cache.save()
    dump = engines.stack.place("redis").data / "dump.rdb"
    assert dump.exists()
    engines.stack.kill("redis")
    try:
        yield
    finally:
        engines.stack.start("redis")
        dump.unlink()


@pytest.mark.parametrize("away_s", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_stop_while_the_cache_is_away_is_never_undone_by_what_it_held(services, engines, away_s):
    ts = int(time.time() * 1000)
    send(services, [odds(event, ts) for event in EVENTS])
    wait_applied(services, len(EVENTS))
    with engines.cache(services.data) as cache:
        old = {event: cache.get(f"sb:1:event:{{{event}}}") for event in EVENTS}
    assert all(b'"open":true' in value for value in old.values()), "the danger is real"
    reading = Reading(services)
    reading.start()
    with saved_and_killed(engines, services):
        begun = time.monotonic()
        send(services, [{"type": "bet_stop", "event": event, "sport": "football", "ts": ts + 1} for event in EVENTS])
        wait_applied(services, 2 * len(EVENTS))
        for name in ("football", "distribute"):
            services.kill_one(name)
            services.spawn(name)
        services.wait_ready()
        time.sleep(max(0, begun + away_s - time.monotonic()))
    services.kill_one("distribute")
    services.spawn("distribute")
    services.wait_ready()
    settled(services, NAMES, PORTS)
    reading.finish()
    assert reading.back == []
    assert reading.answers > len(EVENTS)
    for event in EVENTS:
        shown = services.ask("distribute", f"/v1/events/{event}").json()
        assert (shown["rev"], shown["markets"][0]["open"]) == (2, False)
    generations = engines.ask(services.data, "SELECT `partition`, cache_generation FROM positions")
    raised = {int(number): int(generation) for number, generation in generations}
    with engines.cache(services.data) as cache:
        for event in EVENTS:
            assert cache.get(f"sb:1:event:{{{event}}}") == old[event], "it was there all the time"
            assert raised[partition_of(event)] > 1


class Asking(threading.Thread):
    """Asks REST for all events over and over; notes every answer's status."""

    def __init__(self, services):
        super().__init__(daemon=True)
        self.services = services
        self.statuses = []
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            for event in EVENTS:
                answer = self.services.ask("distribute", f"/v1/events/{event}")
                self.statuses.append(None if answer is None else answer.status_code)


def test_a_cache_flushed_under_load_costs_one_read_of_the_database_per_event_and_no_error(tmp_path, engines):
    made = Services(tmp_path / "services", NAMES, lookback_ms=500)
    made.ready_ports = (4000, 4002, 4003, 4101)
    try:
        flushed(made.start(), engines)
    finally:
        made.kill()


def flushed(services, engines):
    ts = int(time.time() * 1000)
    send(services, [odds(event, ts) for event in EVENTS])
    wait_applied(services, len(EVENTS))
    services.kill_one("distribute")
    load = Feed(15, 100_000, events=40, first=0.05, sports=("football",)).messages
    sender = PressingSender(services.url(4000), load, per_s=300, batch=30)
    sender.start()
    time.sleep(1)  # so that none of the events lies within what the node reads again
    readers = [Asking(services) for _ in range(READERS)]
    with engines.cache(services.data) as cache:
        cache.flushdb()
        services.spawn("distribute")
        services.wait_ready()
        for reader in readers:
            reader.start()
        for _ in range(FLUSHES):
            sender.until(sender.sent + 150)
            cache.flushdb()
    for reader in readers:
        reader.over.set()
        reader.join(30)
    sender.enough = True
    sender.finish()
    assert {status for reader in readers for status in reader.statuses} == {200}
    assert all(len(reader.statuses) >= len(EVENTS) for reader in readers)
    loads = services.metric("distribute", "sb_data_distribution_event_loads_total")
    assert 0 < loads <= len(EVENTS) + len({each["event"] for each in load}), "one flight per event"
