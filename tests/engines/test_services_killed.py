"""Everything is killed in turn while a feed runs through real services on real engines: nothing lost, nothing twice.

The measure is the same feed run once, whole and undisturbed, on embedded parts.
"""

import json
import os
import random
import time
from itertools import cycle

import pytest
from clinging_follower import ClingingFollower
from follower import canonical
from plain_feed import Feed
from pressing_sender import PressingSender
from services import Services
from undisturbed import Left, check_left, patience_s, settled

from sb_core.topics import partition_of

pytestmark = pytest.mark.engines

MESSAGES = 20_000
EVENTS = 60
TORTURE_MESSAGES = int(os.environ.get("SB_TORTURE_MESSAGES", "1000000"))
TORTURE_ROUNDS = 5
ENGINES = ("kafka", "mysql", "redis")
VICTIMS = ("football", "ingest", "kafka", "tennis", "mysql", "redis", "distribute", "football2", "basketball", "hockey")
BACK_S = 120
FEW_MESSAGES = 5_000
FEW = ("ingest", "football", "football2", "distribute")
FEW_VICTIMS = ("football", "ingest", "kafka", "mysql", "redis", "distribute")


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path / "services").start()
    yield made
    made.kill()


@pytest.fixture
def few(tmp_path):
    made = Services(tmp_path / "services", FEW)
    made.ready_ports = (4000, 4002, 4003, 4101)
    yield made.start()
    made.kill()


class Killer:
    """Takes one part away, hard or cleanly, and brings it back at once."""

    def __init__(self, services, stack):
        self.services = services
        self.stack = stack
        self.done = []

    def strike(self, victim, *, hard):
        if victim in ENGINES:
            (self.stack.kill if hard else self.stack.stop)(victim)
            self.stack.start(victim, wait=False)
        else:
            (self.services.kill_one if hard else self.services.stop_one)(victim)
            self.services.spawn(victim)
        self.done.append((victim, hard))

    def wait_back(self, victim):
        if victim in ENGINES:
            self.stack.await_healthy(victim, BACK_S)
            return
        until = time.monotonic() + BACK_S
        while not self.services.ready(victim):
            assert self.services.processes[victim].poll() is None, self.services.tail()
            assert time.monotonic() < until, f"{victim} is not back: {self.services.tail()}"
            time.sleep(0.05)


def disturbed(services, stack, messages, strikes, chance):
    """Send all while `strikes` come at even distances; return the sender and the follower once all is through.

    What is sent stays below the next strike's place, or all would be sent while the first one killed comes back.
    """
    killer = Killer(services, stack)
    places = [int(len(messages) * (n + chance.random()) / (len(strikes) + 1)) for n in range(len(strikes))]
    with ClingingFollower(services.url(4003, "ws")) as follower:
        sender = PressingSender(services.url(4000), messages)
        sender.allowed = places[0]
        sender.start()
        for (victim, hard), until, after in zip(strikes, places, [*places[1:], len(messages)], strict=True):
            sender.until(until)
            killer.strike(victim, hard=hard)
            sender.allowed = after
            killer.wait_back(victim)
        sender.finish()
        account = settled(services, services.names, services.accounts, deadline_s=patience_s(messages))
        versions = {item["event"]: (item["lineage"], item["rev"]) for item in services.state().values()}
        follower.wait_for(versions, deadline_s=patience_s(messages))
    return sender, follower, account


def check_follower(follower, events):
    follower.check()
    assert follower.gaps == []
    assert {name: canonical(event) for name, event in follower.events.items()} == {
        name: canonical(event) for name, event in events.items()
    }
    assert follower.back == []


def check_cache(services, engines, events):
    """Whatever the cache holds under a partition's generation is what REST gives."""
    generations = {
        (topic.rpartition("-")[2], int(number)): int(generation)
        for topic, number, generation in engines.ask(
            services.data, "SELECT topic, `partition`, cache_generation FROM positions"
        )
    }
    found = 0
    with engines.cache(services.data) as cache:
        for name, event in events.items():
            value = cache.get(f"sb:{generations[event['sport'], partition_of(name)]}:event:{{{name}}}")
            if value is not None:
                found += 1
                cached = json.loads(value.partition(b" ")[2])
                assert canonical(cached) == canonical(event)
    return found


def check(services, engines, messages, whole, strikes, seed):
    sender, follower, account = disturbed(services, engines.stack, messages, strikes, random.Random(seed))
    for name in services.names:
        assert services.logged(name, "crashed") == []
    check_left(Left(services, account), whole)
    events = services.state()
    check_follower(follower, events)
    assert follower.returns >= sum(victim == "distribute" for victim, _ in strikes)
    assert check_cache(services, engines, events) > 0
    assert sender.sent == len(messages)


def test_every_kind_of_part_killed_once(few, engines, whole):
    messages = Feed(5, FEW_MESSAGES, events=EVENTS, first=0.1, sports=("football",)).messages
    check(few, engines, messages, whole(messages), [(victim, True) for victim in FEW_VICTIMS], 1)


@pytest.mark.slow
def test_every_part_killed_once(services, engines, whole):
    messages = Feed(5, MESSAGES, events=EVENTS, first=0.1).messages
    check(services, engines, messages, whole(messages), [(victim, True) for victim in VICTIMS], 1)


@pytest.mark.slow
def test_every_part_killed_and_stopped_five_times_in_a_million_messages(services, engines, whole):
    messages = Feed(6, TORTURE_MESSAGES, events=2_000, first=0.02).messages
    hard = cycle((True, False))
    strikes = [(victim, next(hard)) for _ in range(2 * TORTURE_ROUNDS) for victim in (*VICTIMS, "redis")]
    check(services, engines, messages, whole(messages), strikes, 2)
