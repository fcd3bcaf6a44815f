"""The simulation's workload, oracle and verdict on real engines, while services, engines and wires are broken in turn.

The measure is not another run: everything is held against what was accepted and what the topics hold, by the code that
judges the simulation (tests/sim).
"""

import os
from functools import partial

import pytest
import trail
import trio
from sim_workload import LIVE, PREMATCH
from simulation import Chance, Trace
from torture_story import live
from tortured import FromStart, WiredServices

pytestmark = pytest.mark.engines

SEED = int(os.environ.get("SB_TORTURE_SEED", "1"))
SAMPLE = (
    ("killed engine", "kafka"),
    ("stop", "football2"),
    ("deaf", "kafka"),
    ("cut", "mysql"),
    ("kill", "football"),
    ("hold", "redis"),
)
WHOLE_S = float(os.environ.get("SB_TORTURE_S", "1200"))
TRACE_SHOWN_MAX = 60


@pytest.fixture
def services(tmp_path, engines):
    made = WiredServices(tmp_path / "services", engines, Chance(SEED))
    for wire in made.wires.values():
        wire.__enter__()
    yield made
    made.kill()
    for name, wire in made.wires.items():
        wire.__exit__()
        if engines.stack.status(name).state == "paused":
            engines.stack.resume(name)
        elif engines.stack.running(name) is None:
            engines.stack.start(name)


def check(services, engines, **wanted):
    trace = Trace()
    story = partial(live, SEED, services, engines, trace, **wanted)
    oracle, done = trio.run(story, clock=FromStart())
    print(f"seed {SEED}: {len(done)} faults, {len(oracle.accepted)} messages accepted")
    print("\n".join(f"{name} {count}" for name, count in sorted(oracle.sometimes.items())))
    print("\n".join(f"{kind} at {at} {count}" for (kind, at), count in services.wires["mysql"].injected.items()))
    lines = [line for line in trace.lines if not line.endswith(" tick")][-TRACE_SHOWN_MAX:]
    assert not oracle.violations, "\n".join([*oracle.violations, "…", *lines])
    return oracle, done


@pytest.mark.slow
def test_no_promise_is_broken_on_real_engines(services, engines):
    oracle, done = check(services, engines, sample=SAMPLE)
    assert len(done) == len(SAMPLE)
    assert len(oracle.accepted) > 100


@pytest.mark.slow
def test_no_promise_is_broken_in_twenty_minutes_of_everything(services, engines):
    oracle, done = check(services, engines, active_s=WHOLE_S, silences=(LIVE, PREMATCH))
    assert len(done) > WHOLE_S / 40
    assert len(oracle.accepted) > WHOLE_S * 5


STEP = trail.Step(1, "sports-feed-tennis", 3, 4, "a", 10, 8, 1, 4, "a", 12, 10, 1)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"stood": 11, "epoch_before": 4}, "where the one before ended"),
        ({"owner": "b"}, "without a new epoch"),
        ({"owner": "b", "epoch": 5}, "moves an offset while it changes hands"),
        ({"epoch": 5, "stood": 12, "done_before": 10}, "raises the epoch of its own owner"),
        ({"next_offset": 9}, "goes back"),
        ({"done_offset": 7}, "goes back"),
        ({"generation": 0}, "goes back"),
        ({"done_offset": 13}, "has not come to"),
    ],
)
def test_a_step_that_breaks_a_promise_is_told(changed, why):
    before = STEP._replace(id=0, stood=9, next_offset=10, done_before=8, done_offset=8)
    assert list(trail.faults([before, STEP], [(1, 11, "e", 1)])) == []
    assert any(why in said for said in trail.faults([before, STEP._replace(**changed)], []))


def test_a_claim_made_once_more_is_none():
    first = STEP._replace(owner="b", epoch=5, next_offset=10, done_offset=8)
    again = first._replace(id=2, owner_before="b", epoch_before=5, epoch=6)
    assert list(trail.faults([first, again], [])) == []


def test_a_change_outside_of_its_transaction_is_told():
    for written in ((1, 12, "e", 1), (1, 9, "e", 1), (7, 11, "e", 1)):
        assert len(list(trail.faults([STEP], [written]))) == 1
