"""Small batches of several partitions in one transaction: who is told what, and what remains of those who left."""

import asyncio
import random

import anyio
import pytest

from sb_core.adapters.mysql_groups import ALONE_ROWS_MIN, GROUP_BATCHES_MAX, WAITING_BATCHES_MAX, CommitGroups, is_large
from sb_core.adapters.mysql_store import open_mysql_store
from sb_core.errors import BusyError, DependencyError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.records import Batch, ChangeRow, EventRow

FEED = "sports-feed-football"
NOW = 1_782_240_000_000
PARTITIONS = 12
ROUNDS = 60
TURN_S = 5


def batch_of(partition, offset=0, *, epoch=1, owner="one", name="A"):
    event = f"uof:sr:match:{partition}"
    return Batch(
        topic=FEED,
        partition=partition,
        epoch=epoch,
        owner=owner,
        expected=offset,
        next_offset=offset + 1,
        done_offset=0,
        state=b'{"at":%d}' % offset,
        counts={"applied": 1},
        events=[
            EventRow(
                event, FEED, partition, "football", 1, offset + 1, name, NOW, "live", None, NOW, NOW, "a", b"{}", b"{}"
            )
        ],
        changes=[ChangeRow(FEED, partition, offset, event, 1, offset + 1, NOW, NOW, "odds", b"{}")],
    )


class Database:
    """Takes groups as the store's transaction does: cancelled before its COMMIT it leaves nothing, after it all."""

    def __init__(self):
        self.groups = []
        self.errors = {}
        self.writing = 0

    async def transact(self, batches):
        assert self.writing == 0, "one at a time"
        self.writing += 1
        try:
            await asyncio.sleep(0.001)
            for error in [self.errors[each.partition] for each in batches if each.partition in self.errors]:
                raise error
            commit = asyncio.ensure_future(asyncio.sleep(0.001))
            try:
                await asyncio.wait({commit})
            except asyncio.CancelledError:
                await asyncio.wait({commit})
            self.groups.append([each.partition for each in batches])
        finally:
            self.writing -= 1


async def told(groups, partition):
    try:
        await groups.commit(batch_of(partition))
    except DependencyError as error:
        return type(error).__name__
    return "committed"


async def all_told(groups, count):
    return await asyncio.gather(*[told(groups, n) for n in range(count)])


def test_what_comes_meanwhile_goes_together():
    database = Database()
    assert asyncio.run(all_told(CommitGroups(database.transact, TURN_S), PARTITIONS)) == ["committed"] * PARTITIONS
    assert database.groups == [[*range(PARTITIONS)]]


def test_a_group_is_bounded():
    database = Database()
    asyncio.run(all_told(CommitGroups(database.transact, TURN_S), GROUP_BATCHES_MAX + 5))
    assert [len(group) for group in database.groups] == [GROUP_BATCHES_MAX, 5]


@pytest.mark.parametrize("error", [FencedError, DependencyError])
def test_only_whose_fault_it_is_is_refused(error):
    database = Database()
    database.errors = {3: error("three"), 5: error("five")}
    outcomes = asyncio.run(all_told(CommitGroups(database.transact, TURN_S), 7))
    assert [n for n, outcome in enumerate(outcomes) if outcome != "committed"] == [3, 5]
    assert {outcomes[3], outcomes[5]} == {error.__name__}
    assert sorted(n for group in database.groups for n in group) == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("error", [BusyError, UnavailableError, UnknownOutcomeError])
def test_what_befell_the_transaction_is_told_to_all(error):
    database = Database()
    database.errors = {3: error("down")}
    assert asyncio.run(all_told(CommitGroups(database.transact, TURN_S), 5)) == [error.__name__] * 5
    assert database.groups == []


@pytest.mark.parametrize("seed", range(20))
def test_who_leaves_takes_its_own_batch_and_no_other(seed):
    chance = random.Random(seed)
    database = Database()
    outcomes = {}

    async def commit(groups, n, patience_s):
        try:
            async with asyncio.timeout(patience_s):
                await groups.commit(batch_of(n))
            outcomes[n] = "committed"
        except TimeoutError:
            outcomes[n] = "left"

    async def main():
        groups = CommitGroups(database.transact, TURN_S)
        async with asyncio.TaskGroup() as tasks:
            for n in range(40):
                tasks.create_task(commit(groups, n, chance.choice((0.0003, 0.001, 0.0017, 0.003, 9, 9))))
                await asyncio.sleep(chance.choice((0, 0, 0.0004)))
        assert repr(groups) == "<CommitGroups writing=0 waiting=0>"

    asyncio.run(main())
    written = [n for group in database.groups for n in group]
    assert len(written) == len(set(written))
    assert {n for n, outcome in outcomes.items() if outcome == "committed"} <= set(written)
    assert {n for n, outcome in outcomes.items() if outcome == "left"}


def test_the_end_of_the_loop_is_told_to_those_who_wait():
    async def main():
        groups = CommitGroups(lambda _batches: asyncio.sleep(9), TURN_S)
        waiting = [asyncio.ensure_future(told(groups, n)) for n in range(3)]
        await asyncio.sleep(0.01)
        groups._runner.cancel()
        assert await asyncio.gather(*waiting) == ["UnavailableError"] * 3

    asyncio.run(main())


def test_who_has_no_turn_in_time_is_told_so_and_nothing_of_it_is_written():
    written = []

    async def transact(batches):
        await asyncio.sleep(0.1)
        written.extend(each.partition for each in batches)

    async def main():
        groups = CommitGroups(transact, 0.03)
        assert await all_told(groups, GROUP_BATCHES_MAX + 9) == ["committed"] * GROUP_BATCHES_MAX + ["BusyError"] * 9
        assert await told(groups, 70) == "committed"

    asyncio.run(main())
    assert written == [*range(GROUP_BATCHES_MAX), 70]


def test_no_more_than_so_many_wait():
    async def main():
        groups = CommitGroups(lambda _batches: asyncio.sleep(0.01), TURN_S)
        found = await all_told(groups, WAITING_BATCHES_MAX + 5)
        assert found.count("BusyError") == 5
        assert found.count("committed") == WAITING_BATCHES_MAX

    asyncio.run(main())


def test_a_large_batch_goes_alone():
    batch = batch_of(0)
    assert not is_large(batch)
    assert is_large(
        Batch(
            **{
                **{name: getattr(batch, name) for name in batch.__struct_fields__},
                "changes": batch.changes * ALONE_ROWS_MIN,
            }
        )
    )


# On the real database.


async def claimed(store):
    for partition in range(PARTITIONS):
        await store.claim((FEED, partition), "one")


async def commit_all(store, batches, patience_s=lambda _n: 30):
    """Commit batches at the same moment; return what each was told."""
    outcomes = {}

    async def commit(batch):
        with anyio.move_on_after(patience_s(batch.partition)):
            try:
                await store.commit(batch)
                outcomes[batch.partition] = "committed"
            except DependencyError as error:
                outcomes[batch.partition] = type(error).__name__

    async with anyio.create_task_group() as group:
        for batch in batches:
            group.start_soon(commit, batch)
    return outcomes


async def stands(store):
    """Return how far each partition stands, in its position, change log and event, which must be the same."""
    offsets = {}
    for position in await store.positions([FEED]):
        rows = await store.outbox((FEED, position.partition), 0, 10**6)
        assert len(rows) == position.next_offset
        assert {row.rev for row in rows} == set(range(1, position.next_offset + 1))
        offsets[position.partition] = position.next_offset
    assert (await store.account([FEED])).get("applied", 0) == sum(offsets.values())
    return offsets


@pytest.mark.engines
def test_a_dozen_partitions_are_one_commit(mysql_url, mysql_ask, clock, run):
    def commits():
        return int(mysql_ask("SHOW GLOBAL STATUS LIKE 'Com_commit'")[0][1])

    async def main():
        async with open_mysql_store(mysql_url, clock) as store:
            await claimed(store)
            before = commits()
            outcomes = await commit_all(store, [batch_of(n) for n in range(PARTITIONS)])
            assert set(outcomes.values()) == {"committed"}
            assert commits() - before <= PARTITIONS // 2
            assert await stands(store) == dict.fromkeys(range(PARTITIONS), 1)

    run(main)


@pytest.mark.engines
def test_one_fenced_and_one_unstorable_among_a_dozen(mysql_url, clock, run):
    async def main():
        async with open_mysql_store(mysql_url, clock) as store:
            await claimed(store)
            batches = [batch_of(n) for n in range(PARTITIONS)]
            batches[4] = batch_of(4, owner="another")
            batches[7] = batch_of(7, name="\ud800")
            outcomes = await commit_all(store, batches)
            assert (outcomes.pop(4), outcomes.pop(7)) == ("FencedError", "DependencyError")
            assert set(outcomes.values()) == {"committed"}
            assert await stands(store) == {n: int(n not in {4, 7}) for n in range(PARTITIONS)}

    run(main)


@pytest.mark.engines
def test_callers_that_leave_at_any_moment_harm_no_other(mysql_url, clock, run):
    chance = random.Random(1)

    async def main():
        async with open_mysql_store(mysql_url, clock) as store:
            await claimed(store)
            offsets = dict.fromkeys(range(PARTITIONS), 0)
            left = 0
            for _ in range(ROUNDS):
                patience_s = {n: chance.choice((0.001, 0.003, 0.006, 0.01, 30, 30, 30)) for n in offsets}
                outcomes = await commit_all(
                    store, [batch_of(n, at) for n, at in offsets.items()], patience_s.__getitem__
                )
                assert set(outcomes.values()) == {"committed"}
                assert {n for n, patience in patience_s.items() if patience == 30} <= outcomes.keys()
                found = await stands(store)
                assert all(found[n] == offsets[n] + 1 for n in outcomes)
                left += PARTITIONS - len(outcomes)
                offsets = found
            assert left

    run(main)
