"""A raised lineage closes all that its partition shows, in bounded steps, once, before anything new is read."""

import anyio
import anyio.lowlevel
import pytest
from fold_driver import hold, odds, settle, stop
from test_processor import FEED, append, drain, processing, world
from test_processor_attack import Ports, undone

from sb_core import shown, topics
from sb_core.errors import UnavailableError, UnknownOutcomeError
from sb_process import lineage
from sb_process.processor import Processor
from sb_process.service import read_account

EVENTS = [f"uof:{n}" for n in range(99) if topics.partition_of(f"uof:{n}") == topics.partition_of("uof:1")][:5]
PLACE = FEED, topics.partition_of("uof:1")
CALLS = 40


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    monkeypatch.setattr(lineage, "EVENTS_MAX", 2)


async def raised(context):
    """Have all events open, lose the stops that come then, and go on behind them."""
    await append(context, *(odds(10, event=each) for each in EVENTS))
    async with processing(context):
        await drain(context, len(EVENTS))
    await append(context, *(stop(20, event=each) for each in EVENTS))
    assert await context.store.raise_lineage(PLACE, 2 * len(EVENTS)) == 2


async def finish(context):
    """Let an undisturbed processor go on; return the updates of both lineages, having seen that all is as if once."""
    async with processing(context):
        updates = await drain(context, 2 * len(EVENTS))
    expected = [(each, *version) for each in EVENTS for version in ((1, 1), (2, 2))]
    assert sorted((each.event, each.lineage, each.rev) for each in updates) == sorted(expected)
    for event in EVENTS:
        stored = await context.store.event(event)
        assert (stored.lineage, stored.rev) == (2, 2)
        assert [shown.market_decoder.decode(each).open for each in stored.markets] == [False]
        assert [row.rev for row in await context.store.history(event, 1, 10)] == [1, 2]
    (position,) = [each for each in await context.store.positions([FEED]) if each.partition == PLACE[1]]
    keys = [(position.cache_generation, event) for event in EVENTS]
    cached = [each for each in await context.cache.get(keys) if each is not None]  # not all, where a put failed
    assert [shown.event_decoder.decode(each).rev for each in cached] == [2] * len(cached)
    account = await read_account(context, ("football",))
    assert account["applied"] == len(EVENTS)
    assert account["changes"] == account["updates_published"] == 2 * len(EVENTS)
    return updates


def test_what_was_open_is_closed_and_only_newer_odds_open_it_again(run):
    async def main():
        async with world() as context:
            await raised(context)
            updates = await finish(context)
            (entry,) = await context.cache.get([(2, EVENTS[0])])
            assert shown.event_decoder.decode(entry).rev == 2
            closing = [each for each in updates if each.lineage == 2]
            assert {each.at for each in closing} == {2 * len(EVENTS) - 1}
            assert all(not status.open for each in closing for status in each.changes.statuses)
            await append(context, odds(10, "3.00", event=EVENTS[0]), odds(11, "3.00", event=EVENTS[1]))
            async with processing(context):
                after = (await drain(context, 2 * len(EVENTS) + 2))[2 * len(EVENTS) :]
            opened = {each.event: each.changes.markets[0].open for each in after}
            assert opened == {EVENTS[0]: False, EVENTS[1]: True}
            assert {(each.lineage, each.prev, each.rev) for each in after} == {(2, 2, 3)}

    run(main)


def test_an_event_that_was_closed_already_goes_over_too_and_settled_and_held_ones_stay_so(run):
    async def main():
        async with world() as context:
            before = stop(20, event=EVENTS[0]), settle(20, event=EVENTS[1]), hold(20, event=EVENTS[2])
            await append(context, *(odds(10, event=each) for each in EVENTS), *before)
            async with processing(context):
                await drain(context, len(EVENTS) + 3)
            await context.store.raise_lineage(PLACE, len(EVENTS) + 3)
            async with processing(context):
                await drain(context, 2 * len(EVENTS) + 3)
            stored = [await context.store.event(each) for each in EVENTS]
            assert [(each.lineage, each.rev) for each in stored] == [(2, 3)] * 3 + [(2, 2)] * 2
            markets = [shown.market_decoder.decode(each.markets[0]) for each in stored]
            assert [each.status for each in markets] == ["suspended", "settled"] + ["suspended"] * 3
            assert shown.header_decoder.decode(stored[2].header).holds

    run(main)


def test_a_partition_without_events_goes_over_at_once(run):
    async def main():
        async with world() as context:
            await context.store.raise_lineage(PLACE, 0)
            await append(context, odds(10, event=EVENTS[0]))
            async with processing(context):
                (update,) = await drain(context, 1)
            assert (update.lineage, update.rev, update.changes.markets[0].open) == (2, 1, True)

    run(main)


async def disturbed(context, meddle):
    """Run a processor until it is cut off, or has closed everything; return how many calls that took."""
    scope = anyio.CancelScope()
    ports = Ports(context, lambda *call: meddle(scope, *call))
    stopping = anyio.Event()

    async def watch():
        published = 0
        while published != 2 * len(EVENTS):
            await anyio.sleep(0.005)
            published = (await context.store.account([FEED])).get("updates_published")
        stopping.set()

    with scope, anyio.move_on_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await Processor(context, "football").run(stopping)
            group.cancel_scope.cancel()
    undone(context)
    return ports.calls


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_processor_cut_off_while_a_partition_goes_over_leaves_everything_as_if_once(run, when):
    async def main():
        cuts = 0
        for cut in range(1, CALLS):
            async with world() as context:
                await raised(context)

                async def meddle(scope, number, _name, call, args, cut=cut):
                    if number == cut and when == "before":
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
                    result = await call(*args)
                    if number == cut:
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
                    return result

                cuts += await disturbed(context, meddle) == cut
                await finish(context)
        assert cuts > 15

    run(main, deadline_s=120)


FAILURES = {
    "did not happen": (UnavailableError("no"), False),
    "nobody knows, it did": (UnknownOutcomeError("?"), True),
    "nobody knows, it did not": (UnknownOutcomeError("?"), False),
}


@pytest.mark.parametrize("way", FAILURES)
def test_a_dependency_that_fails_while_a_partition_goes_over_leaves_everything_as_if_once(run, way):
    error, happens = FAILURES[way]

    async def main():
        for failing in range(13, CALLS, 2):  # those before claim other partitions
            async with world() as context:
                await raised(context)

                async def meddle(_scope, number, _name, call, args, failing=failing):
                    if number == failing:
                        if happens:
                            await call(*args)
                        raise error
                    return await call(*args)

                await disturbed(context, meddle)
                await finish(context)

    run(main, deadline_s=120)
