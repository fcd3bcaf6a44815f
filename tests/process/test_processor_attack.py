"""Attacks on the processor's loop: every port call cut off or failing, stops while dependencies are down, crashes."""

import anyio
import anyio.lowlevel
import pytest
from fold_driver import fixture, odds, producer, stop
from test_processor import FEED, UPDATES, append, drain, feed_record, processing, world

from sb_core import messages as m
from sb_core import shown, topics
from sb_core.errors import DependencyError, UnavailableError, UnknownOutcomeError
from sb_core.records import Record
from sb_process.processor import Processor
from sb_process.service import read_account

OTHER = next(f"uof:{n}" for n in range(2, 99) if topics.partition_of(f"uof:{n}") != topics.partition_of("uof:1"))
PLACE = FEED, topics.partition_of("uof:1")


SYSTEM = {"system:football": topics.PARTITIONS}
"""How many records of the story the system wrote itself."""


class Ports:
    """Stands before a context's ports and lets a plan meddle with each call; checks what holds at every commit."""

    def __init__(self, context, meddle):
        self.meddle = meddle
        self.calls = 0
        self.acknowledged = set()
        self.rows = {}
        for port, names in (
            (
                context.store,
                (
                    "claim",
                    "load",
                    "listing",
                    "listed",
                    "commit",
                    "outbox",
                    "event",
                    "positions",
                    "raise_cache_generation",
                ),
            ),
            (context.log, ("append",)),
            (context.cache, ("put",)),
        ):
            for name in names:
                setattr(port, name, self.wrapped(name, getattr(port, name)))

    def wrapped(self, name, call):
        async def wrapper(*args):
            self.calls += 1
            if name == "commit":
                self.check(args[0])
            result = await self.meddle(self.calls, name, call, args)
            if name == "append":
                for record in args[0]:
                    if record.topic == UPDATES and record.key != "tick":
                        update = shown.update_decoder.decode(record.value)
                        self.acknowledged.add((record.partition, update.at, update.event))
            return result

        return wrapper

    def check(self, batch):
        """Everything below `done_offset` was acknowledged by the updates topic."""
        for row in batch.changes:
            self.rows[row.partition, row.offset, row.event] = row
        for partition, offset, event in self.rows:
            if partition == batch.partition and offset < batch.done_offset:
                assert (partition, offset, event) in self.acknowledged


def story():
    """Return what makes every kind of effect: new events, dead letters, an outage, a stop, two partitions."""
    return [
        feed_record(odds(1, id="a1")),
        feed_record(odds(1, event=OTHER, id="b1")),
        feed_record(fixture(2, name="A vs B", id="a2")),
        Record(FEED, "uof:1", b'{"type":"odds"', 3),
        feed_record(odds(4, "2.50", id="a3")),
        feed_record(odds(4, "2.50", id="a3")),
        *(Record(FEED, "uof:1:p", m.encode(producer("down", 1, 5, id="p1")), 5, place) for place in range(12)),
        feed_record(stop(6, event=OTHER, id="b2")),
        feed_record(odds(7, "2.75", id="a4")),
    ]


EXPECTED = {"uof:1": 6, OTHER: 3}


async def finish(context):
    """Let an undisturbed processor end the story; return the account, having checked that all is as if once."""
    async with processing(context):
        updates = await drain(context, sum(EXPECTED.values()))
    revs = sorted((each.event, each.rev) for each in updates)
    assert revs == sorted((event, rev) for event, last in EXPECTED.items() for rev in range(1, last + 1))
    for event, last in EXPECTED.items():
        stored = await context.store.event(event)
        assert stored.rev == last
        folded = shown.empty(event, "football")
        for each in sorted((each for each in updates if each.event == event), key=lambda each: each.rev):
            folded = shown.apply_changes(folded, each)
        assert folded.markets == [shown.market_decoder.decode(each) for each in stored.markets]
    account = await read_account(context, ("football",))
    assert {name: account[name] for name in ("applied", "duplicate", "dead_lettered", "changes", "pending")} == {
        "applied": 6,
        "duplicate": 1,
        "dead_lettered": {"malformed": 1},
        "changes": 9,
        "pending": 0,
    }
    return account


async def disturbed(meddle, context):
    """Run a processor over the story until it ends, is cut off, or has nothing left to do."""
    scope = anyio.CancelScope()
    ports = Ports(context, lambda *call: meddle(scope, *call))
    processor = Processor(context, "football")
    stopping = anyio.Event()

    async def watch():
        with anyio.move_on_after(3):
            while not scope.cancel_called:
                counts = dict(await context.store.account([FEED]))
                if (counts.pop("changes", 0), counts.pop("updates_published", 0), sum(counts.values())) == (9, 9, 20):
                    break
                await anyio.sleep(0.005)
        stopping.set()

    with scope:
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await processor.run(stopping)
            group.cancel_scope.cancel()
    return ports


def undone(context):
    """Take the meddling away again."""
    for port in (context.store, context.log, context.cache):
        for name in [name for name, value in vars(port).items() if getattr(value, "__name__", "") == "wrapper"]:
            delattr(port, name)


CALLS = 40
"""More calls than the story takes; beyond its end nothing is disturbed, which is a case of its own."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_processor_cut_off_at_any_call_leaves_everything_as_if_once(run, when):
    async def main():
        for cut in range(1, CALLS):
            async with world() as context:
                await context.log.append(story(), SYSTEM)

                async def meddle(scope, number, _name, call, args, cut=cut):
                    if number == cut and when == "before":
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
                    result = await call(*args)
                    if number == cut:
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
                    return result

                await disturbed(meddle, context)
                undone(context)
                await finish(context)

    run(main, deadline_s=120)


FAILURES = {
    "did not happen": (UnavailableError("no"), False),
    "nobody knows, it did": (UnknownOutcomeError("?"), True),
    "nobody knows, it did not": (UnknownOutcomeError("?"), False),
}


@pytest.mark.parametrize("way", FAILURES)
def test_a_dependency_that_fails_at_any_call_leaves_everything_as_if_once(run, way):
    error, happens = FAILURES[way]

    async def main():
        for failing in range(1, CALLS, 1 if happens else 2):
            async with world() as context:
                await context.log.append(story(), SYSTEM)

                async def meddle(_scope, number, _name, call, args, failing=failing):
                    if number == failing:
                        if happens:
                            await call(*args)
                        raise error
                    return await call(*args)

                ports = await disturbed(meddle, context)
                assert ports.calls > failing or failing > 20
                undone(context)
                await finish(context)

    run(main, deadline_s=120)


def down(*names):
    async def meddle(_scope, _number, name, call, args):
        if name in names:
            raise UnavailableError(f"no {name}")
        return await call(*args)

    return meddle


@pytest.mark.parametrize(
    "names",
    [("claim",), ("load",), ("commit",), ("listing",), ("append",), ("put", "raise_cache_generation"), ("outbox",)],
)
def test_a_processor_told_to_stop_is_gone_in_time_whatever_is_down(run, names):
    async def main():
        async with world(stop_deadline_s=2) as context:
            await context.log.append(story(), SYSTEM)
            if names == ("outbox",):
                # something to publish again
                await disturbed(down("append"), context)
                undone(context)
            Ports(context, lambda *call: down(*names)(None, *call))
            stopping = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(Processor(context, "football").run, stopping)
                await anyio.sleep(0.3)
                stopping.set()
                begun = anyio.current_time()
            assert anyio.current_time() - begun < 2
            undone(context)
            await finish(context)

    run(main)


def test_a_record_that_the_store_refuses_is_a_dead_letter_and_closes_its_event(run):
    async def main():
        async with world() as context:

            async def meddle(_number, name, call, args):
                if name == "commit" and any(b"9.99" in row.update for row in args[0].changes):
                    raise DependencyError("a row does not fit")
                return await call(*args)

            Ports(context, meddle)
            await append(context, odds(1), odds(2, "9.99"), odds(2, "3.00", event=OTHER), odds(3, "2.50", id="good"))
            async with processing(context):
                updates = await drain(context, 4)
            mine = [each for each in updates if each.event == "uof:1"]
            assert [(each.rev, each.cause_type) for each in mine] == [(1, "odds"), (2, "bet_stop"), (3, "odds")]
            account = await read_account(context, ("football",))
            assert (account["applied"], account["dead_lettered"]) == (3, {"rule_store": 1})

    run(main)


def test_a_dead_letter_that_is_repeated_after_a_crash_is_recognised(run):
    async def main():
        async with world() as context:
            await context.log.append(story(), SYSTEM)

            async def meddle(scope, _number, name, call, args):
                if name == "commit" and args[0].partition == PLACE[1]:
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
                return await call(*args)

            await disturbed(meddle, context)
            undone(context)
            await finish(context)
            reader = context.log.reader([topics.DEAD_LETTER])
            found = []
            while len(found) < 2:
                delivery = await reader.read(records_max=10, wait_s=1)
                for place in delivery.assigned:
                    reader.seek(place, 0)
                found.extend(delivery.records)
            await reader.aclose()
            assert {record.key for record in found} == {f"{FEED}/{PLACE[1]}/2"}

    run(main)


def test_the_group_is_told_what_was_published(run):
    async def main():
        async with world() as context:
            await context.log.append(story(), SYSTEM)
            await finish(context)
            committed = await context.admin.committed("sb-process-football")
            ends = await context.admin.ends([FEED])
            assert {place: offset for place, offset in committed.items() if offset} == {
                place: end for place, end in ends.items() if end
            }

    run(main)


def test_partitions_that_move_in_the_middle_of_a_cycle_are_fenced_and_nothing_happens_twice(run):
    async def main():
        async with world() as context:
            slow = anyio.Event()

            async def meddle(_number, name, call, args):
                if name == "commit" and not slow.is_set():
                    slow.set()
                    await anyio.sleep(0.2)  # meanwhile the other takes over
                return await call(*args)

            Ports(context, meddle)
            await context.log.append(story(), SYSTEM)
            stopping = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(Processor(context, "football").run, stopping)
                await slow.wait()
                group.start_soon(Processor(context, "football").run, stopping)
                await drain(context, 9)
                stopping.set()
            undone(context)
            await finish(context)

    run(main)
