"""Every call of the Kafka log cancelled at every one of its awaits: nothing is torn, lost, held on to or left behind."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.bridge import open_bridge
from sb_core.errors import DependencyError
from sb_core.records import Record
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec

pytestmark = pytest.mark.engines

FEED = "feed"
SPEC = TopicSpec(FEED, 2, None)
STEPS_MAX = 120


class Stepped:
    """A coroutine whose task is cancelled at its n-th await, as a deadline that falls just there would."""

    def __init__(self, coroutine, at):
        self.coroutine = coroutine
        self.at = at
        self.steps = 0

    def __await__(self):
        inner = self.coroutine.__await__()
        while True:
            try:
                waited_for = next(inner) if self.steps == 0 else inner.send(None)
            except StopIteration as end:
                return end.value
            if self.steps == self.at:
                asyncio.current_task().cancel()
            self.steps += 1
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  the cancellation: it goes in where the coroutine waits
                try:
                    waited_for = inner.throw(error)
                except StopIteration as end:
                    return end.value
                self.steps += 1
                yield waited_for


@asynccontextmanager
async def interrupting(bridge):
    """Let `at(n)` cancel the next crossings at their n-th await; it tells whether one got so far."""
    real = bridge.call
    state = {"at": None, "hit": False}

    async def call(function, *args, deadline_s):
        async def stepped(*given):
            each = Stepped(function(*given), state["at"])
            try:
                return await each
            finally:
                state["hit"] = state["hit"] or each.steps > state["at"]

        return await real(stepped if state["at"] is not None else function, *args, deadline_s=deadline_s)

    bridge.call = call
    yield state
    del bridge.call


async def at_every_await(state, ask):
    """Do `ask(n)` with a cancellation at await n = 0, 1, …, until it ends before; return how many there were."""
    for n in range(STEPS_MAX):
        state["at"], state["hit"] = n, False
        try:
            await ask(n)
        except DependencyError:
            assert state["hit"]
        finally:
            state["at"] = None
        if not state["hit"]:
            return n
    raise AssertionError(f"more than {STEPS_MAX} awaits")


def record(text):
    return [Record(FEED, "k", f"{text}".encode(), SystemClock().now_ms(), number) for number in range(2)]


async def tasks_of(bridge):
    async def count():
        return len(asyncio.all_tasks()) - 1

    return await bridge.call(count, deadline_s=5)


async def everything(log):
    reader = log.reader([FEED])
    for place in (await reader.read(records_max=1, wait_s=5)).assigned:
        reader.seek(place, 0)
    found = []
    while delivered := (await reader.read(records_max=500, wait_s=0.0)).records:
        found.extend(each.value.decode() for each in delivered if each.partition == 0)
    await reader.aclose()
    return found


def test_appends(kafka_log, run):
    async def main():
        async with kafka_log()() as log, interrupting(log._bridge) as state:
            await log.create([SPEC])
            told = []

            async def append(n):
                await log.append(record(n), {"accepted": 2})
                told.append(str(n))

            for _ in range(20):
                await at_every_await(state, append)
            found = await everything(log)
            assert set(told) <= set(found)
            assert await log.account() == {"accepted": 2 * len(found)}
            assert await log.ends([FEED]) == {(FEED, 0): len(found), (FEED, 1): len(found)}

    run(main)


def test_questions(kafka_log, run):
    async def main():
        async with kafka_log()() as log, interrupting(log._bridge) as state:
            await log.create([SPEC])
            await log.append(record(0), {"accepted": 2})
            before = await tasks_of(log._bridge)
            questions = (
                log.ping,
                log.account,
                partial(log.ends, [FEED]),
                partial(log.starts, [FEED]),
                partial(log.offsets_at, [FEED], 0),
                partial(log.committed, "members"),
            )
            for question in questions:
                for _ in range(3):
                    await at_every_await(state, lambda _, ask=question: ask())
                with trio.fail_after(5):
                    await question()
            assert await log.account() == {"accepted": 2}
            # the account has a reader of its own since it was first asked for
            assert await tasks_of(log._bridge) <= before + 8

    run(main, deadline_s=60)


def test_topics(kafka_log, run):
    async def main():
        async with kafka_log()() as log, interrupting(log._bridge) as state:
            awaits = await at_every_await(state, lambda n: log.create([TopicSpec(f"made{n}", 2, None)]))
            assert awaits > 3
            for n in range(awaits):
                await log.create([TopicSpec(f"made{n}", 2, None)])
                assert await log.partitions(f"made{n}") == 2

    run(main, deadline_s=60)


def test_reads_and_commits(kafka_log, run):
    """A member of a group reads on while its reads are cancelled wherever they wait: each record once, in order."""

    async def main():
        async with kafka_log()() as log, interrupting(log._bridge) as state:
            await log.create([SPEC])
            reader = log.reader([FEED], "members")
            place, seen = (FEED, 0), []

            async def read(_):
                delivery = await reader.read(records_max=3, wait_s=0.3)
                for each in delivery.assigned:
                    reader.seek(each, len(seen))
                seen.extend(each.offset for each in delivery.records if each.partition == 0)

            appended = 0
            while len(seen) < 150:
                if appended < 150:
                    for n in range(10):
                        await log.append(record(n))
                    appended += 10
                await at_every_await(state, read)
            assert seen == list(range(150))
            await at_every_await(state, lambda n: reader.commit({place: n}))
            await reader.commit({place: 150})
            assert await log.committed("members") == {place: 150}

    run(main, deadline_s=90)


def test_opening_leaves_nothing_behind(kafka_server, kafka_log, run):
    async def main():
        async with kafka_log()() as made:
            await made.create([SPEC])
            url = f"kafka://{kafka_server}/?prefix={made.address.prefix}"
            async with open_bridge() as bridge, interrupting(bridge) as state:
                before = await tasks_of(bridge)

                async def opened(_):
                    async with open_kafka_log(url, SystemClock(), bridge=bridge) as log:
                        state["at"] = None
                        assert await log.partitions(FEED) == 2

                assert await at_every_await(state, opened) > 3
                with trio.fail_after(5):
                    while await tasks_of(bridge) > before:  # noqa: ASYNC110  it happens over there
                        await trio.sleep(0.05)

    run(main, deadline_s=120)
