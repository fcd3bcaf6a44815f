"""What every log promises."""

import random
from collections import Counter, defaultdict
from functools import partial

import anyio
import pytest

from sb_core.errors import ContractError, FencedError, LogTruncatedError, UnavailableError
from sb_core.records import Fetched, Record
from sb_core.topics import TopicSpec, partition_of

DAY_MS = 86_400_000
NOW = 1_782_240_000_000
FEED = "sports-feed-football"
UPDATES = "sports-updates-football"
EVENTS = "sports-events"
SPECS = (TopicSpec(FEED, 4, 7 * DAY_MS), TopicSpec(UPDATES, 4, 3 * DAY_MS), TopicSpec(EVENTS, 1, None, compacted=True))


def record(key="uof:sr:match:1", value=b"{}", *, topic=FEED, ts=NOW, partition=None, headers=()):
    return Record(topic, key, value, ts, partition, headers)


def numbered(count, *, first=0, topic=FEED, partition=0):
    return [record(f"k{n}", str(n).encode(), topic=topic, partition=partition) for n in range(first, first + count)]


async def told(reader):
    """Read until partitions are assigned; return what was revoked since, and them.

    How long that takes is a broker's business: the first group of its life waits until it has made its own topic.
    """
    revoked = []
    while True:
        delivery = await reader.read(records_max=1, wait_s=5)
        revoked += delivery.revoked
        if delivery.assigned:
            return sorted(revoked), sorted(delivery.assigned)


async def reading(log, topics=(FEED,), group=None):
    """Return a reader that stands at the beginning of all that it was assigned."""
    reader = log.reader(topics, group)
    _, assigned = await told(reader)
    starts = await log.starts(topics)
    for partition in assigned:
        reader.seek(partition, starts[partition])
    return reader


async def read_all(reader, *, records_max=1_000, wait_s=0.0):
    found = []
    while True:
        delivery = await reader.read(records_max=records_max, wait_s=wait_s)
        if not delivery.records:
            return found
        assert len(delivery.records) <= records_max
        found.extend(delivery.records)


def opened(open_log, run, test):
    async def main():
        async with open_log() as log:
            await log.create(SPECS)
            await test(log)

    run(main)


def test_offsets_are_consecutive_per_partition_from_zero(open_log, run):
    async def test(log):
        keys = [f"uof:sr:match:{n}" for n in range(100)]
        expected = Counter()
        for _ in range(3):
            offsets = await log.append([record(key) for key in keys])
            for key, offset in zip(keys, offsets, strict=True):
                partition = partition_of(key, 4)
                assert offset == expected[partition]
                expected[partition] += 1
        ends = await log.ends([FEED])
        assert ends == {(FEED, n): expected[n] for n in range(4)}
        assert await log.starts([FEED]) == {(FEED, n): 0 for n in range(4)}

    opened(open_log, run, test)


def test_an_append_may_go_to_several_topics_and_to_partitions_by_number(open_log, run):
    async def test(log):
        offsets = await log.append(
            [record(partition=3), record(topic=UPDATES, partition=3), record(partition=3), record(partition=0)]
        )
        assert offsets == [0, 0, 1, 0]
        for partition in (-1, 4):
            with pytest.raises(ContractError):
                await log.append([record(), record(partition=partition)])
        assert sum((await log.ends([FEED])).values()) == 3

    opened(open_log, run, test)


def test_records_come_back_whole_and_in_order(open_log, run):
    async def test(log):
        sent = [
            record("clé:ключ:鍵:🏈", '{"name":"Čalhanoğlu 🏈"}'.encode(), ts=NOW - 5, partition=1),
            record("", b"", ts=0, partition=1),
            record("gone", None, partition=1),
            record("raw", bytes(range(256)), partition=1, headers=(("sb-code", b"\x00\xff"), ("sb-code", b""))),
        ]
        offsets = await log.append(sent)
        reader = await reading(log)
        assert await read_all(reader) == [
            Fetched(r.topic, 1, offset, r.key, r.value, r.ts, r.headers)
            for r, offset in zip(sent, offsets, strict=True)
        ]

    opened(open_log, run, test)


def test_nothing_to_append_is_nothing_appended(open_log, run):
    async def test(log):
        assert list(await log.append([])) == []
        assert set((await log.ends([FEED])).values()) == {0}

    opened(open_log, run, test)


def test_counts_are_added_with_the_records_or_not_at_all(open_log, run):
    async def test(log):
        await log.append([record()], {"received": 3, "accepted": 1})
        await log.append([], {"received": 2})
        with pytest.raises(ContractError):
            await log.append([record(), record(topic="sports-feed-chess")], {"received": 2})
        assert await log.account() == {"received": 5, "accepted": 1}
        assert sum((await log.ends([FEED])).values()) == 1

    opened(open_log, run, test)


def test_a_reader_without_group_is_told_all_partitions_and_reads_what_it_sought(open_log, run):
    async def test(log):
        await log.append([record(partition=n) for n in range(4)])
        reader = log.reader([FEED])
        delivery = await reader.read(records_max=10, wait_s=1)
        assert sorted(delivery.assigned) == [(FEED, n) for n in range(4)]
        assert (delivery.revoked, list(delivery.records)) == ((), [])
        assert await read_all(reader) == []
        reader.seek((FEED, 2), 0)
        assert [(r.partition, r.offset) for r in await read_all(reader)] == [(2, 0)]
        reader.seek((FEED, 2), 0)
        reader.pause((FEED, 2))
        assert await read_all(reader) == []
        reader.seek((FEED, 2), 0)
        reader.seek((FEED, 3), 1)
        assert [(r.partition, r.offset) for r in await read_all(reader)] == [(2, 0)]

    opened(open_log, run, test)


def test_a_reader_goes_back_and_forth(open_log, run):
    async def test(log):
        await log.append(numbered(100))
        reader = await reading(log)
        for start in (90, 0, 50, 99, 100, 49):
            reader.seek((FEED, 0), start)
            assert [r.offset for r in await read_all(reader, records_max=7)] == list(range(start, 100))

    opened(open_log, run, test)


def test_an_append_wakes_who_waits(open_log, run):
    async def test(log):
        reader = await reading(log)
        other = await reading(log, (UPDATES,))
        woken = {}

        async def wait(name, who):
            woken[name] = await who.read(records_max=10, wait_s=20)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait, "first", reader)
                group.start_soon(wait, "other", other)
                await anyio.sleep(0.05)
                await log.append([record(value=b"1")])
                await anyio.sleep(0.05)
                assert list(woken) == ["first"]
                await log.append([record(value=b"2", topic=UPDATES)])
        assert [r.value for r in woken["first"].records] == [b"1"]
        assert [r.value for r in woken["other"].records] == [b"2"]

    opened(open_log, run, test)


def test_waiting_ends_at_its_deadline(open_log, run):
    async def test(log):
        reader = await reading(log)
        for wait_s in (0.0, 0.2):
            begun = anyio.current_time()
            delivery = await reader.read(records_max=10, wait_s=wait_s)
            took = anyio.current_time() - begun
            assert (delivery.assigned, delivery.revoked, list(delivery.records)) == ((), (), [])
            assert wait_s <= took < wait_s + 0.5

    opened(open_log, run, test)


def test_a_cancelled_read_loses_nothing(open_log, run):
    async def test(log):
        reader = await reading(log)
        found = []
        rng = random.Random(7)

        async def append():
            for n in range(60):
                await log.append(numbered(5, first=n * 5))

        async def read():
            while len(found) < 300:
                delivery = None
                with anyio.move_on_after(rng.choice((0, 0.0001, 0.001, 0.003))):
                    delivery = await reader.read(records_max=9, wait_s=1)
                found.extend(delivery.records if delivery is not None else ())

        async with anyio.create_task_group() as group:
            group.start_soon(append)
            group.start_soon(read)
        assert [r.offset for r in found] == list(range(300))
        assert [r.value for r in found] == [str(n).encode() for n in range(300)]

    opened(open_log, run, test)


def test_a_cancelled_append_happens_whole_or_not_at_all(open_log, run):
    async def test(log):
        acknowledged = set()
        rng = random.Random(3)

        async def append(n):
            with anyio.move_on_after(rng.choice((0, 0.0005, 0.002, 5))):
                await log.append([record(f"k{n}", f"{n}/{i}".encode(), partition=n % 4) for i in range(4)], {"n": 1})
                acknowledged.add(n)

        async with anyio.create_task_group() as group:
            for n in range(200):
                group.start_soon(append, n)
                if n % 10 == 0:
                    await anyio.sleep(0.001)
        offsets = await log.append([record("last", b"last/0", partition=0)], {"last": 1})
        found = defaultdict(list)
        for each in await read_all(await reading(log)):
            found[each.value.split(b"/")[0].decode()].append(each)
        assert found["last"][0].offset == offsets[0]
        assert {int(n) for n in found if n != "last"} >= acknowledged
        for n, records in found.items():
            first = records[0].offset
            expected = [(f"{n}/{i}".encode(), first + i) for i in range(1 if n == "last" else 4)]
            assert [(r.value, r.offset) for r in records] == expected
        assert (await log.account()).get("n", 0) == len(found) - 1

    opened(open_log, run, test)


def test_concurrent_appends_stay_unsplit_and_in_order(open_log, run):
    async def test(log):
        async def append(writer):
            for n in range(20):
                await log.append([record(f"{writer}", f"{writer}:{n}:{i}".encode()) for i in range(7)], {"n": 7})

        async with anyio.create_task_group() as group:
            for writer in range(40):
                group.start_soon(append, writer)
        assert await log.account() == {"n": 40 * 20 * 7}
        by_writer, by_partition = defaultdict(list), defaultdict(list)
        for each in await read_all(await reading(log)):
            by_writer[each.key].append(each)
            by_partition[each.partition].append(each.offset)
        for offsets in by_partition.values():
            assert offsets == list(range(len(offsets)))
        for writer, records in by_writer.items():
            assert [r.value for r in records] == [f"{writer}:{n}:{i}".encode() for n in range(20) for i in range(7)]
            for n in range(0, len(records), 7):
                assert records[n + 6].offset == records[n].offset + 6

    opened(open_log, run, test)


def test_a_full_partition_does_not_starve_the_others(open_log, run):
    async def test(log):
        await log.append(numbered(1_000, partition=0))
        await log.append(numbered(3, partition=3))
        reader = await reading(log)
        seen = []
        for _ in range(4):
            seen.extend((await reader.read(records_max=10, wait_s=0)).records)
        assert [r.offset for r in seen if r.partition == 3] == [0, 1, 2]

    opened(open_log, run, test)


def test_a_read_is_bounded_in_bytes_but_never_stuck(open_log, run):
    async def test(log):
        big = b"x" * 3_000_000
        for n in range(8):
            await log.append([record(value=big + str(n).encode(), partition=n % 2)])
        reader = await reading(log)
        found = []
        while True:
            delivery = await reader.read(records_max=1_000, wait_s=0)
            if not delivery.records:
                break
            assert len(delivery.records) <= 4
            found.extend(delivery.records)
        assert sorted(r.value[3_000_000:] for r in found) == [str(n).encode() for n in range(8)]
        assert [r.offset for r in found if r.partition == 1] == [0, 1, 2, 3]

    opened(open_log, run, test)


def test_a_position_beyond_the_end_is_an_error_naming_the_partition(open_log, run):
    async def test(log):
        await log.append([*numbered(3, partition=1), *numbered(2, partition=2)])
        reader = await reading(log)
        reader.seek((FEED, 1), 4)
        for _ in range(2):
            with pytest.raises(LogTruncatedError) as caught:
                await reader.read(records_max=10, wait_s=0)
            assert caught.value.partition == (FEED, 1)
        reader.pause((FEED, 1))
        assert [(r.partition, r.offset) for r in await read_all(reader)] == [(2, 0), (2, 1)]
        reader.seek((FEED, 1), 3)
        assert await read_all(reader) == []

    opened(open_log, run, test)


def test_retention_prunes_the_oldest_and_never_gives_an_offset_again(open_log, run):
    async def test(log):
        old, new = NOW - 8 * DAY_MS, NOW - 6 * DAY_MS
        await log.append([record(str(n), b"old", ts=old + n, partition=0) for n in range(5_000)])
        await log.append([record(str(n), b"new", ts=new, partition=0) for n in range(10)])
        await log.append([record("stray", b"old", ts=old, partition=0)])
        await log.append([record(str(n), b"old", ts=old, partition=1) for n in range(3)])
        reader = await reading(log)
        assert await log.prune(NOW) == 5_003
        assert await log.prune(NOW) == 0
        starts, ends = await log.starts([FEED]), await log.ends([FEED])
        assert (starts[FEED, 0], ends[FEED, 0]) == (5_000, 5_011)
        assert (starts[FEED, 1], ends[FEED, 1]) == (3, 3)
        with pytest.raises(LogTruncatedError) as caught:
            await read_all(reader)
        assert caught.value.partition in {(FEED, 0), (FEED, 1)}
        reader.seek((FEED, 0), 5_000)
        reader.seek((FEED, 1), 3)
        assert [r.offset for r in await read_all(reader)] == list(range(5_000, 5_011))
        assert list(await log.append([record(partition=1), record(partition=0)])) == [3, 5_011]

    opened(open_log, run, test)


def test_compaction_keeps_the_newest_of_each_key(open_log, run):
    async def test(log):
        for n in range(50):
            await log.append([record(f"event {n % 7}", f"{n}".encode(), topic=EVENTS)])
        await log.append([record("event 3", None, topic=EVENTS)])
        await log.prune(NOW + 1_000 * DAY_MS)
        newest = {}
        for each in await read_all(await reading(log, (EVENTS,)), records_max=3):
            newest[each.key] = each.value
        assert newest == {f"event {n}": None if n == 3 else f"{max(range(n, 50, 7))}".encode() for n in range(7)}
        assert (await log.ends([EVENTS]))[EVENTS, 0] == 51
        assert list(await log.append([record("event 3", b"back", topic=EVENTS)])) == [51]
        assert await log.prune(NOW) >= 1 or log.compacts_in_background

    opened(open_log, run, test)


def test_offsets_at_finds_the_first_record_of_a_time(open_log, run):
    async def test(log):
        rng = random.Random(11)
        stamps = [NOW + n * 10 + rng.randrange(-300, 300) for n in range(1_500)]
        for n in range(0, 1_500, 100):
            await log.append([record(ts=ts, partition=2) for ts in stamps[n : n + 100]])
        for ts in (0, min(stamps), NOW + 15, NOW + 2_560, NOW + 5_120, NOW + 9_999, max(stamps), max(stamps) + 1):
            expected = next((n for n, stamp in enumerate(stamps) if stamp >= ts), len(stamps))
            found = await log.offsets_at([FEED], ts)
            assert found == {(FEED, 0): 0, (FEED, 1): 0, (FEED, 2): expected, (FEED, 3): 0}

    opened(open_log, run, test)


def test_topics_are_made_once_and_their_partitions_are_fixed(open_log, run):
    async def test(log):
        await log.append([record()])
        await log.create(SPECS)
        await log.create([TopicSpec(FEED, 4, DAY_MS)])
        assert await log.partitions(FEED) == 4
        assert sum((await log.ends([FEED])).values()) == 1
        with pytest.raises(ContractError, match=r"sports-feed-football has 4 partitions, not 5"):
            await log.create([TopicSpec("sports-feed-tennis", 4, None), TopicSpec(FEED, 5, None)])
        with pytest.raises(ContractError, match="sports-feed-tennis"):
            await log.partitions("sports-feed-tennis")
        with pytest.raises(ContractError, match="sports-feed-tennis"):
            await log.ends(["sports-feed-tennis"])
        with pytest.raises(ContractError, match="sports-feed-tennis"):
            log.reader(["sports-feed-tennis"])

    opened(open_log, run, test)


def test_topics_are_listed_as_they_were_made(open_log, run):
    async def main():
        specs = TopicSpec(FEED, 4, None), TopicSpec(EVENTS, 1, None, compacted=True)
        async with open_log() as log:
            await log.create(())
            own = await log.topics()
            await log.create(specs)
            assert await log.topics() == {**own, **{spec.name: spec for spec in specs}}

    run(main)


def test_topics_grow_and_keep_what_they_have(open_log, run):
    async def test(log):
        await log.append([record(f"k{n}") for n in range(40)])
        before = await log.ends([FEED])
        for count in (6, 6):
            await log.grow([TopicSpec(FEED, count, 7 * DAY_MS), TopicSpec(UPDATES, count, 3 * DAY_MS)])
            assert (await log.partitions(FEED), await log.partitions(UPDATES)) == (6, 6)
        assert (await log.topics())[FEED].partitions == 6
        assert await log.ends([FEED]) == {**before, (FEED, 4): 0, (FEED, 5): 0}
        for wrong in (TopicSpec(FEED, 5, 7 * DAY_MS), TopicSpec("nowhere", 5, None)):
            with pytest.raises(ContractError):
                await log.grow([wrong])

    opened(open_log, run, test)


def test_one_member_of_a_group_has_all_partitions(open_log, run):
    async def test(log):
        reader = log.reader([FEED, UPDATES], "processors")
        expected = [(topic, n) for topic in (FEED, UPDATES) for n in range(4)]
        assert await told(reader) == ([], expected)
        await reader.aclose()
        assert await told(log.reader([FEED, UPDATES], "processors")) == ([], expected)

    opened(open_log, run, test)


def test_members_of_a_group_share_partitions_and_hand_them_over(open_log, run):
    async def test(log):
        first = await reading(log, group="processors")
        second = log.reader([FEED], "processors")
        lost, ours = await told(first)
        nothing, theirs = await told(second)
        assert lost == [(FEED, n) for n in range(4)]
        assert nothing == []
        assert sorted(ours + theirs) == [(FEED, n) for n in range(4)]
        assert len(ours) == len(theirs) == 2

        # What is not sought since gives nothing, and a lost partition can't be committed or sought.
        await log.append([record(partition=n) for n in range(4)])
        assert await read_all(first) == []
        first.seek(theirs[0], 0)
        assert await read_all(first) == []
        with pytest.raises(FencedError):
            await first.commit({theirs[0]: 1})
        for partition in theirs:
            second.seek(partition, 0)
        assert sorted((r.topic, r.partition) for r in await read_all(second)) == theirs

        await second.aclose()
        assert await told(first) == (ours, [(FEED, n) for n in range(4)])

    opened(open_log, run, test)


def test_a_rebalance_wakes_who_waits(open_log, run):
    async def test(log):
        first = await reading(log, group="processors")
        got = []

        async def wait():
            got.append(await first.read(records_max=1, wait_s=60))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.02)
                log.reader([FEED], "processors")
        assert len(got[0].revoked) == 4

    opened(open_log, run, test)


def test_members_of_a_group_are_counted(open_log, run):
    async def test(log):
        assert await log.members("processors") == 0
        first = await reading(log, group="processors")
        assert await log.members("processors") == 1
        second = log.reader([FEED], "processors")
        with anyio.fail_after(10):
            while await log.members("processors") < 2:
                await first.read(records_max=1, wait_s=0.1)
                await second.read(records_max=1, wait_s=0.1)
        assert await log.members("others") == 0
        await first.aclose()
        await second.aclose()
        assert await log.members("processors") == 0

    opened(open_log, run, test)


def test_group_offsets_are_kept_per_group(open_log, run):
    async def test(log):
        reader = await reading(log, group="processors")
        assert await log.committed("processors") == {}
        await reader.commit({(FEED, 0): 5, (FEED, 1): 7})
        await reader.commit({(FEED, 0): 6})
        assert await log.committed("processors") == {(FEED, 0): 6, (FEED, 1): 7}
        assert await log.committed("others") == {}
        with pytest.raises(ContractError):
            await log.reader([FEED]).commit({(FEED, 0): 1})

    opened(open_log, run, test)


def test_big_batches(open_log, run):
    async def test(log):
        records = [record(f"uof:sr:match:{n % 500}", b"x" * 200 + str(n).encode()) for n in range(20_000)]
        offsets = await log.append(records, {"accepted": len(records)})
        found = {(r.partition, r.offset): r.value for r in await read_all(await reading(log))}
        assert len(found) == 20_000
        for sent, offset in zip(records, offsets, strict=True):
            assert found[partition_of(sent.key, 4), offset] == sent.value

    opened(open_log, run, test)


def test_a_closed_log_answers_that_it_is(open_log, run):
    async def test(log):
        reader = await reading(log)
        errors = []

        async def wait():
            try:
                await reader.read(records_max=1, wait_s=60)
            except UnavailableError as error:
                errors.append(error)

        await log.ping()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.02)
                await log.aclose()
        assert len(errors) == 1
        for ask in (log.account, log.ping, partial(log.append, [record()]), partial(log.ends, [FEED])):
            with pytest.raises(UnavailableError):
                await ask()
        await reader.aclose()
        await log.aclose()

    opened(open_log, run, test)


def test_what_the_body_raises_comes_out_as_it_is(open_log, run):
    async def main():
        async with open_log() as log:
            await log.create(SPECS)
            raise UnavailableError("of the body")

    with pytest.raises(UnavailableError, match="of the body"):
        run(main)
