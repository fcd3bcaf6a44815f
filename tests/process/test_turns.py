"""A producer's outage moves thousands of events: planning it lets others have the loop in between."""

from types import SimpleNamespace

import anyio
from fold_driver import Driver, odds

from sb_core import messages as m
from sb_process import plan as planning
from sb_process.batches import TURN_S, Batches

EVENTS = 60


def outage(driver):
    driver.batch([driver.record(odds(1, event=f"uof:{number}")) for number in range(EVENTS)])
    record = m.Producer(
        ts=2, id="out", provider="uof", producer="1", state="down", gen=1, since=2, reason="silent", received=60
    )
    listed = {record.producer_key: [f"uof:{number}" for number in range(EVENTS)]}
    batch = [planning.decode(driver.record(record, record.producer_key))]
    return planning.planned(batch, driver.state, driver.folds, listed, driver.around)


def test_every_event_of_an_outage_is_a_step():
    steps = outage(Driver())
    count = 0
    try:
        while True:
            next(steps)
            count += 1
    except StopIteration as done:
        plan = done.value
    assert len(plan.updates) == EVENTS
    assert count >= 2 * EVENTS  # once as it is moved, once as its rows are made


def test_others_have_the_loop_while_an_outage_is_planned(run):
    async def test():
        now_s = [0.0]

        def monotonic_s():
            now_s[0] += TURN_S  # each step takes a turn's time
            return now_s[0]

        batches = Batches.__new__(Batches)
        batches._context = SimpleNamespace(clock=SimpleNamespace(monotonic_s=monotonic_s))
        turns = 0

        async def other():
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            plan = await batches._in_turns(outage(Driver()))
            group.cancel_scope.cancel()
        assert len(plan.updates) == EVENTS
        assert turns >= EVENTS

    run(test)
