"""Cycles overlap: what must stay in order does, and what may go ahead does."""

import anyio
import pytest
import trio
import trio.testing
from fold_driver import odds
from msgspec.structs import replace
from test_processor import FEED, UPDATES, append, drain, processing, world

from sb_core import shown, topics
from sb_core.errors import FencedError
from sb_core.records import Position
from sb_process.cycles import Cycles
from sb_process.held import claimed
from sb_process.publish import Published

OTHER = next(f"uof:{n}" for n in range(2, 99) if topics.partition_of(f"uof:{n}") != topics.partition_of("uof:1"))


class Gate:
    """Holds the commits of one partition until it is opened, and notes all that were made."""

    def __init__(self, store, event):
        self.partition = topics.partition_of(event)
        self.opened = anyio.Event()
        self.commits = []
        self.at_once = {}
        self.most = 0
        self._commit = store.commit
        store.commit = self.commit

    async def commit(self, batch):
        place = batch.partition
        self.at_once[place] = self.at_once.get(place, 0) + 1
        self.most = max(self.most, self.at_once[place])
        if place == self.partition:
            await self.opened.wait()
        await self._commit(batch)
        self.commits.append((place, batch.next_offset))
        self.at_once[place] -= 1


async def until(true):
    with anyio.fail_after(5):
        while not true():  # noqa: ASYNC110  what others do
            await anyio.sleep(0.005)


def test_one_partition_that_waits_holds_up_neither_others_nor_its_own_order(run):
    async def main():
        async with world(process_overlap_max=3, process_batch_max=1) as context:
            gate = Gate(context.store, "uof:1")
            await append(context, odds(1, event="uof:1"))
            async with processing(context):
                await until(lambda: gate.at_once.get(gate.partition))
                await append(context, odds(2, event=OTHER))
                await until(lambda: any(place != gate.partition for place, _ in gate.commits))
                await append(context, odds(2, "2.50", event="uof:1"), odds(3, "2.75", event="uof:1"))
                await anyio.sleep(0.05)
                gate.opened.set()
                updates = await drain(context, 4)
            assert gate.most == 1, "never two transactions of a partition at once"
            assert [each.rev for each in updates if each.event == "uof:1"] == [1, 2, 3]

    run(main)


def test_updates_of_a_partition_keep_their_order_when_a_later_cycle_commits_first(run):
    async def main():
        async with world(process_overlap_max=2, process_batch_max=2) as context:
            gate = Gate(context.store, OTHER)
            # the first cycle holds both partitions, the second one only that which is not held up
            await append(context, odds(1, event="uof:1"), odds(1, event=OTHER))
            async with processing(context):
                await until(lambda: len(gate.commits) == 1 and gate.at_once.get(gate.partition))
                await append(context, odds(2, "2.50", event="uof:1"))
                await until(lambda: len(gate.commits) == 2)
                place = UPDATES, topics.partition_of("uof:1")
                assert (await context.log.ends([UPDATES]))[place] == 0, "the first cycle is not over"
                gate.opened.set()
                await drain(context, 3)
            reader = context.log.reader([UPDATES])
            for each in (await reader.read(records_max=10, wait_s=1)).assigned:
                reader.seek(each, 0)
            records = (await reader.read(records_max=10, wait_s=1)).records
            mine = [shown.update_decoder.decode(each.value).rev for each in records if each.partition == place[1]]
            assert mine == [1, 2]

    run(main)


def test_batches_read_before_a_fence_are_dropped_and_read_again(run):
    async def main():
        async with world(process_overlap_max=3, process_batch_max=1) as context:
            commit, refusals = context.store.commit, []

            async def refuse_once(batch):
                if batch.changes and not refusals:
                    refusals.append(batch.next_offset)
                    await anyio.sleep(0.05)  # so that what follows is read, and waits behind it
                    raise FencedError("lost")
                await commit(batch)

            context.store.commit = refuse_once
            await append(context, *(odds(n, f"{2 + n / 100:.2f}", event="uof:1") for n in range(1, 6)))
            async with processing(context):
                updates = await drain(context, 5)
            assert refusals == [1]
            assert [each.rev for each in updates] == [1, 2, 3, 4, 5]
            account = await context.store.account([FEED])
            assert account["applied"] == 5

    run(main)


def test_what_was_read_before_a_partition_was_lost_is_read_again(run):
    """Else the records between the new claim's position and those already read would be passed over."""

    async def main():
        async with world(process_overlap_max=3, process_batch_max=2) as context:
            commit, lost, opened = context.store.commit, set(), anyio.Event()

            async def refuse_once_each(batch):
                if batch.changes and batch.partition not in lost:
                    lost.add(batch.partition)
                    if batch.partition == topics.partition_of(OTHER):
                        await opened.wait()
                    raise FencedError("lost")
                await commit(batch)

            context.store.commit = refuse_once_each
            await append(context, odds(1, event="uof:1"), odds(1, event=OTHER))
            async with processing(context) as processor:
                await until(lambda: len(lost) == 2 and topics.partition_of("uof:1") not in processor.held)
                await append(context, odds(2, "2.50", event=OTHER))
                await anyio.sleep(0.05)
                opened.set()
                updates = await drain(context, 3)
            assert [each.rev for each in updates if each.event == OTHER] == [1, 2]
            assert (await context.store.account([FEED]))["applied"] == 3

    run(main)


@pytest.mark.parametrize("count_max", [1, 3])
def test_no_more_cycles_than_the_limit_are_under_way(run, count_max):
    async def main():
        async with world() as context:
            held = claimed(await context.store.claim((FEED, 0), "me"), "me")
        cycles = Cycles(count_max)
        begun = [await cycles.begin([(held, [])]) for _ in range(count_max)]
        assert not cycles.idle
        with anyio.move_on_after(0.05) as waiting:
            await cycles.begin([])
        assert waiting.cancelled_caught
        assert [share.before for cycle in begun[1:] for share in cycle.shares] == [
            share.over for cycle in begun[:-1] for share in cycle.shares
        ]
        with anyio.move_on_after(0.05) as waiting:
            await cycles.drained()
        assert waiting.cancelled_caught
        for cycle in begun:
            cycles.end(cycle)
        await cycles.drained()
        assert cycles.idle

    run(main)


def test_what_a_holding_before_published_counts_for_none_after_it_though_its_epoch_comes_again():
    """A store that fails over may lose a claim and give its epoch once more; the simulation found it (seed 1080)."""
    position = Position(FEED, 5, 1, 4, "one", 14, 13, 1, b"{}")
    held = claimed(position, "another")
    share = Published(5, "one", 1, 16, 1, [], [])
    held.acknowledge(share)
    assert (held.published, held.published_changes) == (13, 0)
    held.acknowledge(replace(share, owner="another", upto=14))
    assert (held.published, held.published_changes) == (14, 1)


def test_what_comes_drop_by_drop_is_gathered_and_what_comes_after_a_pause_is_not_kept():
    """In virtual time: a message each millisecond, and transactions that take five."""

    async def main():
        async with world(process_overlap_max=4) as context:
            commit, sizes, ended = context.store.commit, [], []

            async def slow(batch):
                await anyio.sleep(0.005)
                await commit(batch)
                if batch.changes:
                    sizes.append(len(batch.changes))
                    ended.append(anyio.current_time())

            context.store.commit = slow
            async with processing(context):
                for n in range(1, 201):
                    await append(context, odds(n, f"{2 + n / 100:.2f}"))
                    await anyio.sleep(0.001)
                await anyio.sleep(0.1)
                assert sum(sizes) == 200
                # reads are twice a transaction's time apart, and a transaction and its read are hardly more than one
                assert 200 / 22 <= len(sizes) <= 200 / 8
                begun = anyio.current_time()
                await append(context, odds(201, "9.50"))
                await anyio.sleep(0.1)
                assert ended[-1] - begun < 0.007, "read at once"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
