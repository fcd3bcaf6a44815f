"""What the Kafka log promises when brokers, connections and processes fail."""

import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import trio
from kafka_proxy import FETCH, Proxy

from sb_core.adapters import kafka_admin, kafka_consumer, kafka_writer
from sb_core.adapters import kafka_log as kafka_log_module
from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.errors import ContractError, DependencyError, UnavailableError, UnknownOutcomeError
from sb_core.records import Record
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec

pytestmark = pytest.mark.engines

FEED = "feed"
SPEC = TopicSpec(FEED, 4, None)
CHILD = Path(__file__).with_name("kafka_child.py")


def batch(writer, n, count=8):
    # now, as ingest does it: a broker goes by the records' times when it forgets the state of a producer (after a day,
    # and when it starts), and without that state it can't tell that something was sent before
    now = SystemClock().now_ms()
    return [Record(FEED, f"{writer}", f"{writer}:{n}:{i}".encode(), now, i % 4) for i in range(count)]


async def everything(log):
    reader = log.reader([FEED])
    ends = await log.ends([FEED])
    assert set((await reader.read(records_max=1, wait_s=5)).assigned) == ends.keys()
    for place in ends:
        reader.seek(place, 0)
    found = []
    while len(found) < sum(ends.values()):
        found.extend((await reader.read(records_max=5_000, wait_s=5)).records)
    await reader.aclose()
    return found


def by_append(records):
    """Return {(writer, n): {i: offset}} and check that nothing is there twice, and each partition in order."""
    found = defaultdict(dict)
    newest = {}
    for each in records:
        writer, n, i = map(int, each.value.decode().split(":"))
        assert i not in found[writer, n], f"{each.value} is there twice"
        found[writer, n][i] = each.offset
        assert newest.get((each.partition, writer), (-1, -1)) < (n, i), "out of order"
        newest[each.partition, writer] = n, i
    return found


class Appending:
    """Writers that append one batch after the other and remember what they were told."""

    def __init__(self, log):
        self.log = log
        self.acknowledged = {}
        self.unknown = set()
        self.unavailable = set()
        self.waited_s_max = 0.0

    async def write(self, writer, stop):
        n = 0
        while not stop.is_set():
            begun = trio.current_time()
            try:
                self.acknowledged[writer, n] = await self.log.append(batch(writer, n), {"accepted": 8})
            except UnknownOutcomeError:
                self.unknown.add((writer, n))
            except UnavailableError:
                self.unavailable.add((writer, n))
                await trio.sleep(0.05)
            self.waited_s_max = max(self.waited_s_max, trio.current_time() - begun)
            n += 1

    async def check(self):
        records = await everything(self.log)
        found = by_append(records)
        for key, offsets in self.acknowledged.items():
            assert [found[key][i] for i in range(8)] == list(offsets)
        assert not self.unavailable & found.keys()
        assert found.keys() <= self.acknowledged.keys() | self.unknown
        assert (await self.log.account()).get("accepted", 0) == len(records)


async def read_on(reader, seen, stop):
    """Read until `stop`, whatever becomes of the broker, each partition from where it was left."""
    while not stop.is_set():
        try:
            delivery = await reader.read(records_max=500, wait_s=0.5)
        except UnavailableError:
            continue
        for place in delivery.assigned:
            reader.seek(place, 1 + max((each.offset for each in seen if each.partition == place[1]), default=-1))
        seen.extend(delivery.records)


def check_gapless(seen):
    for partition in range(4):
        offsets = [each.offset for each in seen if each.partition == partition]
        assert offsets == list(range(len(offsets)))


async def until(condition, deadline_s=20):
    with trio.fail_after(deadline_s):
        while not condition():  # noqa: ASYNC110  it happens in the broker
            await trio.sleep(0.05)


def test_lost_answers_put_nothing_into_the_log_twice(native_stack, kafka_log, run):
    async def main():
        proxy = Proxy(native_stack.lossy_port, lose=0.2, seed=3)
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve, native_stack.proxy_port)
            async with kafka_log(servers=f"127.0.0.1:{native_stack.lossy_port}")() as log:
                await log.create([SPEC])
                appending = Appending(log)
                stop = trio.Event()
                async with trio.open_nursery() as writers:
                    for writer in range(4):
                        writers.start_soon(appending.write, writer, stop)
                    await until(lambda: proxy.lost >= 15)
                    stop.set()
                proxy.lose = 0.0
                assert not appending.unknown
                assert not appending.unavailable
                assert len(appending.acknowledged) > 60
                await appending.check()
            nursery.cancel_scope.cancel()

    run(main, deadline_s=60)


def test_cancelled_appends_are_whole_or_absent_wherever_they_were_cancelled(native_stack, kafka_log, run):
    async def main():
        rng = random.Random(9)
        proxy = Proxy(native_stack.lossy_port, delay_s=0.02, seed=4)
        acknowledged, cancelled = set(), set()
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve, native_stack.proxy_port)
            async with kafka_log(servers=f"127.0.0.1:{native_stack.lossy_port}")() as log:
                await log.create([SPEC])

                async def write(writer):
                    for n in range(40):
                        with trio.move_on_after(rng.expovariate(1 / 0.03)) as scope:
                            await log.append(batch(writer, n), {"accepted": 8})
                        (cancelled if scope.cancelled_caught else acknowledged).add((writer, n))

                async with trio.open_nursery() as writers:
                    for writer in range(8):
                        writers.start_soon(write, writer)
                await log.append(batch(99, 0), {"accepted": 8})
                records = await everything(log)
                found = by_append(records)
                assert acknowledged <= found.keys()
                assert all(len(each) == 8 for each in found.values())
                arrived = cancelled & found.keys()
                assert len(cancelled) > 30
                assert 0 < len(arrived) < len(cancelled), "some were taken back in time, some were not"
                assert (await log.account())["accepted"] == len(records)
            nursery.cancel_scope.cancel()

    run(main, deadline_s=60)


@pytest.mark.slow  # a broker's return takes its time, and the driver's threads with it: make test-all has the room
def test_a_broker_killed_in_the_midst_loses_nothing_acknowledged(native_stack, kafka_log, run):
    async def main():
        async with kafka_log(servers=native_stack.servers)() as log:
            await log.create([SPEC])
            appending = Appending(log)
            stop = trio.Event()
            seen = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_on, log.reader([FEED], "members"), seen, stop)
                for writer in range(3):
                    nursery.start_soon(appending.write, writer, stop)
                for _ in range(2):
                    await trio.sleep(1)
                    await trio.to_thread.run_sync(native_stack.stack.kill, "kafka")
                    await trio.sleep(1)
                    goal = len(appending.acknowledged) + 20
                    await trio.to_thread.run_sync(native_stack.stack.start, "kafka")
                    await until(lambda goal=goal: len(appending.acknowledged) >= goal)
                await trio.sleep(0.5)
                stop.set()
            await appending.check()
            check_gapless(seen)
            assert len(seen) > 100

    run(main, deadline_s=90)


def test_a_broker_that_hangs_leaves_outcomes_unknown_and_goes_on_where_it_was(
    native_stack, kafka_log, run, monkeypatch
):
    monkeypatch.setattr(kafka_writer, "APPEND_DEADLINE_S", 1.0)
    monkeypatch.setattr(kafka_admin, "ASK_DEADLINE_S", 0.5)
    monkeypatch.setattr(kafka_consumer, "LOOK_EVERY_S", 0.1)

    async def main():
        async with kafka_log(servers=native_stack.servers)() as log:
            await log.create([SPEC])
            appending = Appending(log)
            stop = trio.Event()
            seen = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_on, log.reader([FEED]), seen, stop)
                for writer in range(4):
                    nursery.start_soon(appending.write, writer, stop)
                await trio.sleep(0.5)
                native_stack.stack.pause("kafka")
                try:
                    await trio.sleep(3.5)
                    assert appending.unknown, "what was sent"
                    assert appending.unavailable, "what waited behind it, and was taken back"
                    assert appending.waited_s_max < 2
                    begun = trio.current_time()
                    with pytest.raises(UnavailableError):
                        await log.ping()
                    assert trio.current_time() - begun < 8
                finally:
                    native_stack.stack.resume("kafka")
                goal, read = len(appending.acknowledged) + 20, len(seen)
                await until(lambda: len(appending.acknowledged) >= goal and len(seen) > read)
                stop.set()
            await appending.check()
            check_gapless(seen)

    run(main, deadline_s=60)


def test_a_client_that_gets_nothing_while_its_partition_grows_ends_its_process(
    native_stack, kafka_log, run, monkeypatch
):
    monkeypatch.setattr(kafka_consumer, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(kafka_consumer, "CATCH_UP_S", 0.4)

    async def main():
        proxy = Proxy(native_stack.lossy_port)
        async with trio.open_nursery() as nursery, kafka_log(servers=native_stack.servers)() as direct:
            await nursery.start(proxy.serve, native_stack.proxy_port)
            await direct.create([SPEC])
            through = kafka_log(servers=f"127.0.0.1:{native_stack.lossy_port}", prefix=direct.address.prefix)
            async with through() as log:
                await log.partitions(FEED)
                reader = log.reader([FEED])
                for place in (await reader.read(records_max=1, wait_s=5)).assigned:
                    reader.seek(place, 0)
                await direct.append(batch(0, 0))
                seen = []
                while len(seen) < 8:
                    seen.extend((await reader.read(records_max=8, wait_s=5)).records)
                proxy.withheld = {FETCH}
                with pytest.raises(ContractError, match=r"the client has died: feed/\d stood at 2 for"):  # noqa: PT012
                    for n in range(200):
                        await direct.append(batch(0, 1 + n))
                        # empty would mean that nothing is there
                        with pytest.raises(UnavailableError, match="did not come"):
                            await reader.read(records_max=8, wait_s=0.1)
            nursery.cancel_scope.cancel()

    run(main)


def test_without_a_broker_everything_ends_in_time_with_our_own_errors(native_stack, kafka_log, run, monkeypatch):
    monkeypatch.setattr(kafka_writer, "APPEND_DEADLINE_S", 1.0)
    monkeypatch.setattr(kafka_admin, "ASK_DEADLINE_S", 1.0)
    monkeypatch.setattr(kafka_consumer, "COMMIT_DEADLINE_S", 1.0)
    monkeypatch.setattr(kafka_log_module, "OPEN_DEADLINE_S", 3.0)

    async def main():
        opened = kafka_log(servers=native_stack.servers)
        async with opened() as log:
            await log.create([SPEC])
            await log.append(batch(0, 0), {"accepted": 8})
            plain, member = log.reader([FEED]), log.reader([FEED], "members")
            assert (await plain.read(records_max=1, wait_s=5)).assigned
            assert (await member.read(records_max=1, wait_s=5)).assigned
            member.seek((FEED, 0), 0)
            await trio.to_thread.run_sync(native_stack.stack.kill, "kafka")
            try:
                for ask in (
                    lambda: log.append(batch(0, 1), {"accepted": 8}),
                    lambda: log.ends([FEED]),
                    lambda: log.committed("members"),
                    log.ping,
                    lambda: member.commit({(FEED, 0): 1}),
                ):
                    begun = trio.current_time()
                    with pytest.raises(DependencyError):
                        await ask()
                    assert trio.current_time() - begun < 3
                begun = trio.current_time()
                await member.aclose()
                assert trio.current_time() - begun < 3
                begun = trio.current_time()
                await log.aclose()
                took_s = trio.current_time() - begun
                begun = trio.current_time()
                with pytest.raises(UnavailableError), trio.fail_after(10):
                    async with open_kafka_log(f"kafka://{native_stack.servers}", SystemClock()):
                        pass
                assert trio.current_time() - begun < 5
            finally:
                await trio.to_thread.run_sync(native_stack.stack.start, "kafka")
            assert took_s < 2.5

    run(main, deadline_s=100)


def started(what, servers, log):
    command = [sys.executable, CHILD, what, f"kafka://{servers}/?prefix={log.address.prefix}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lifetime_s", [0.3, 0.7, 1.5])
def test_a_killed_process_tears_no_append_and_no_count(kafka_server, kafka_log, run, lifetime_s):
    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            child = started("append", kafka_server, log)
            first = await trio.to_thread.run_sync(child.stdout.readline)
            await trio.sleep(lifetime_s)
            child.kill()
            acknowledged = [first, *child.stdout]
            child.wait()
            child.stdout.close()
            await trio.sleep(0.3)  # what was sent before the kill may still be on its way into the log
            records = await everything(log)
            found = by_append(records)
            assert len(acknowledged) > 5
            for line in acknowledged[:-1]:
                assert len(found[tuple(map(int, line.split(":")))]) == 20
            assert all(len(each) == 20 for each in found.values())
            assert await log.account() == {"accepted": len(records)}

    run(main)


def test_a_killed_members_partitions_move_in_time(kafka_server, kafka_log, run):
    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            reader = log.reader([FEED], "members")
            while len((await reader.read(records_max=1, wait_s=5)).assigned) < 4:
                pass
            child = started("member", kafka_server, log)
            given = await trio.to_thread.run_sync(child.stdout.readline)
            assert len(given.split(",")) == 2
            assert len((await reader.read(records_max=1, wait_s=5)).assigned) == 2
            child.send_signal(signal.SIGKILL)
            begun = trio.current_time()
            while len((await reader.read(records_max=1, wait_s=1)).assigned) < 4:
                assert trio.current_time() - begun < 15
            took_s = trio.current_time() - begun
            child.wait()
            child.stdout.close()
            assert 3 < took_s < 10

    run(main)
