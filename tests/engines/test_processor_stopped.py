"""A processor that stands still beyond its lease (SIGSTOP) and comes back to partitions that are another's: no stale write."""

import json
import random
import signal
import time

import pytest
from plain_feed import Feed
from pressing_sender import PressingSender
from services import Services
from undisturbed import Left, check_left, settled

pytestmark = pytest.mark.engines

PAIR = ("football", "football2")
PER_S = 400
BATCH = 40
SECONDS_MAX = 30
"""For one stop: the lease of 6 s, a rebalance, and the way back."""
MOVE_S = 120
FENCED = "sb_data_processing_football_fenced_total"


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path / "services", names=("ingest", *PAIR, "distribute"))
    made.ready_ports = (4000, 4002, 4003, 4101)
    made.start()
    yield made
    made.kill()


class Watched:
    """What one processor says in its log from a moment on."""

    def __init__(self, services, name):
        self.path = services.log_of(name)
        self.begun = self.path.stat().st_size

    def assigned(self):
        with self.path.open("rb") as file:
            file.seek(self.begun)
            lines = [json.loads(line) for line in file if line.startswith(b'{"time"') and line.endswith(b"}\n")]
        return {line["partition"] for line in lines if line["event"] == "assigned"}

    def wait_assigned(self, count):
        until = time.monotonic() + MOVE_S
        while len(self.assigned()) < count:
            assert time.monotonic() < until, f"{self.path.name}: only {sorted(self.assigned())}"
            time.sleep(0.05)


def stopped_in_turn(services, times, chance):
    """Stop either processor in the midst of its work, let the other take over, and let it go on."""
    for _ in range(times):
        victim, other = chance.sample(PAIR, 2)
        time.sleep(chance.uniform(0.2, 1.5))
        taking, coming = Watched(services, other), Watched(services, victim)
        services.signal(victim, signal.SIGSTOP)
        taking.wait_assigned(12)
        time.sleep(chance.uniform(0, 0.5))
        services.signal(victim, signal.SIGCONT)
        coming.wait_assigned(6)


def check(services, whole, times, seed):
    messages = Feed(seed, times * SECONDS_MAX * PER_S, events=40, first=0.05, sports=("football",)).messages
    sender = PressingSender(services.url(4000), messages, per_s=PER_S, batch=BATCH)
    sender.start()
    stopped_in_turn(services, times, random.Random(seed))
    sender.enough = True
    sender.finish()
    account = settled(services, PAIR, ports=(4000, 4101))
    check_left(Left(services, account), whole(messages[: sender.sent]))
    fenced = 0
    for name in PAIR:
        assert services.logged(name, "crashed") == []
        fenced += len(services.logged(name, "fenced"))
        assert services.metric(name, FENCED) == len(services.logged(name, "fenced"))
    return fenced


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_partitions_of_a_stopped_processor_move_and_its_late_writes_are_refused(services, whole, times):
    check(services, whole, times, 11)


@pytest.mark.slow
def test_a_processor_stopped_fifty_times_writes_nothing_stale(services, whole):
    assert check(services, whole, 50, 12) > 0, "never met the fence"
