import asyncio
import logging
import random
import threading
import time

import pytest
import trio

from sb_core import bridge as bridge_module
from sb_core.bridge import Bridge, open_bridge
from sb_core.errors import ContractError, UnavailableError, UnknownOutcomeError


class Journal:
    """What happened over there; appended to by the loop's thread only."""

    def __init__(self):
        self.lines = []
        self.threads = set()

    def say(self, line):
        self.lines.append(line)
        self.threads.add(threading.get_ident())


async def echo(value):
    await asyncio.sleep(0)
    return value


async def fail(error):
    await asyncio.sleep(0)
    raise error


async def nap(journal, name, seconds=60.0, cleanup_s=0.0):
    journal.say(f"{name} begins")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if cleanup_s:
            await asyncio.sleep(cleanup_s)
        journal.say(f"{name} cancelled")
        raise
    journal.say(f"{name} ends")
    return name


async def until(condition, deadline_s=5.0):
    with trio.fail_after(deadline_s):
        while not condition():  # noqa: ASYNC110  what it looks at happens in another thread
            await trio.sleep(0.001)


def bridged(run, test, **options):
    async def main():
        before = threading.active_count()
        async with open_bridge() as bridge:
            await test(bridge)
        assert not bridge._thread.is_alive()
        assert threading.active_count() <= before + 1  # Trio keeps the worker that joined the thread for a while
        assert not bridge._calls

    run(main, **options)


def test_a_call_returns_what_the_coroutine_returns_from_another_thread(run):
    async def test(bridge):
        async def where():
            return threading.get_ident()

        assert await bridge.call(echo, 7, deadline_s=5) == 7
        assert await bridge.call(where, deadline_s=5) == bridge._thread.ident != threading.get_ident()

    bridged(run, test)


@pytest.mark.parametrize("name", ["call", "call_shielded"])
def test_an_exception_comes_across_as_it_is(run, name):
    async def test(bridge):
        call = getattr(bridge, name)
        for error in (ValueError("odd"), UnavailableError("away"), ContractError("ours"), TimeoutError("theirs")):
            with pytest.raises(type(error)) as caught:
                await call(fail, error, deadline_s=5)
            assert caught.value is error
        with pytest.raises(TypeError):
            await call(echo, deadline_s=5)
        assert await call(echo, 1, deadline_s=5) == 1

    bridged(run, test)


@pytest.mark.parametrize("name", ["call", "call_shielded"])
def test_cancelled_error_of_theirs_never_comes_across(run, name):
    async def test(bridge):
        with pytest.raises(UnavailableError):
            await getattr(bridge, name)(fail, asyncio.CancelledError(), deadline_s=5)

    bridged(run, test)


def test_many_concurrent_calls_get_their_own_answers(run):
    async def test(bridge):
        answers = {}

        async def ask(n):
            for i in range(20):
                answers[n, i] = await bridge.call(echo, (n, i), deadline_s=20)

        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(ask, n)
        assert len(answers) == 2_000
        assert all(key == value for key, value in answers.items())

    bridged(run, test)


def test_what_is_posted_runs_in_order_with_calls(run):
    async def test(bridge):
        journal = Journal()

        async def say(line):
            journal.say(line)

        for n in range(0, 100, 2):
            bridge.post(journal.say, n)
            await bridge.call(say, n + 1, deadline_s=5)
        assert journal.lines == list(range(100))
        assert journal.threads == {bridge._thread.ident}

    bridged(run, test)


def test_a_cancelled_call_has_ended_over_there_before_its_caller_goes_on(run):
    async def test(bridge):
        journal = Journal()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel():
                    await until(lambda: journal.lines)
                    scope.cancel()

                try:
                    await bridge.call(nap, journal, "one", 60.0, 0.1, deadline_s=60)
                except trio.Cancelled:
                    assert journal.lines == ["one begins", "one cancelled"]
                    raise
        assert scope.cancelled_caught

    bridged(run, test)


def test_cancellation_at_every_point_ends_or_answers_and_tears_nothing(run):
    """Thousands of calls cancelled at times around every step of the crossing: each begun task has ended by then."""

    async def test(bridge):
        rng = random.Random(5)
        open_jobs = set()
        outcomes = {"value": 0, "cancelled": 0}

        async def steps(n, count):
            open_jobs.add(n)
            try:
                for _ in range(count):
                    await asyncio.sleep(0)
                return n
            finally:
                open_jobs.discard(n)

        async def one(n):
            result = None
            with trio.CancelScope() as scope:
                if rng.random() < 0.1:
                    scope.cancel()
                else:
                    scope.deadline = trio.current_time() + rng.expovariate(1 / 0.002)
                result = await bridge.call(steps, n, rng.randrange(30), deadline_s=20)
            assert n not in open_jobs
            assert (result == n) is not scope.cancelled_caught
            outcomes["cancelled" if scope.cancelled_caught else "value"] += 1

        for first in range(0, 3_000, 30):
            async with trio.open_nursery() as nursery:
                for n in range(first, first + 30):
                    nursery.start_soon(one, n)
        assert min(outcomes.values()) > 100, outcomes
        assert bridge.given_up == 0

    bridged(run, test)


def test_a_result_in_spite_of_cancellation_is_returned(run):
    async def test(bridge):
        async def insist():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "done all the same"

        answers = []
        with trio.move_on_after(0.05) as scope:
            answers.append(await bridge.call(insist, deadline_s=60))
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert answers == ["done all the same"]
        assert await bridge.call(insist, deadline_s=0.05) == "done all the same"

    bridged(run, test)


@pytest.mark.parametrize(("error", "expected"), [(OSError("noise"), None), (ContractError("ours"), ContractError)])
def test_what_a_cancelled_task_says_is_noise_unless_it_is_our_fault(run, error, expected):
    async def test(bridge):
        async def grumble():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise error from None

        async def ask():
            with trio.move_on_after(0.05) as scope:
                await bridge.call(grumble, deadline_s=60)
            assert scope.cancelled_caught

        if expected is None:
            await ask()
        else:
            with pytest.raises(expected):
                await ask()

    bridged(run, test)


def test_at_the_deadline_a_call_is_cancelled_and_unavailable(run):
    async def test(bridge):
        journal = Journal()
        begun = trio.current_time()
        with pytest.raises(UnavailableError, match=r"nap did not answer within 0\.1 s"):
            await bridge.call(nap, journal, "one", deadline_s=0.1)
        assert 0.1 <= trio.current_time() - begun < 2
        assert journal.lines == ["one begins", "one cancelled"]

    bridged(run, test)


def test_a_shielded_call_goes_on_after_its_deadline_and_after_cancellation(run):
    async def test(bridge):
        journal = Journal()
        with pytest.raises(UnknownOutcomeError):
            await bridge.call_shielded(nap, journal, "late", 0.3, deadline_s=0.05)
        with trio.move_on_after(0.05) as scope:
            await bridge.call_shielded(nap, journal, "left", 0.3, deadline_s=60)
        assert scope.cancelled_caught
        assert journal.lines == ["late begins", "left begins"]
        await until(lambda: len(journal.lines) == 4)
        assert journal.lines[2:] == ["late ends", "left ends"]
        assert await bridge.call_shielded(nap, journal, "whole", 0.01, deadline_s=5) == "whole"

    bridged(run, test)


def test_a_task_that_does_not_end_is_given_up_and_logged(run, monkeypatch, caplog):
    monkeypatch.setattr(bridge_module, "CANCEL_GRACE_S", 0.1)
    monkeypatch.setattr(bridge_module, "CLOSE_S", 0.3)

    async def test(bridge):
        async def stubborn():
            until_s = time.monotonic() + 1.0
            while time.monotonic() < until_s:
                try:
                    await asyncio.sleep(until_s - time.monotonic())
                except asyncio.CancelledError:
                    continue

        begun = trio.current_time()
        with pytest.raises(UnavailableError):
            await bridge.call(stubborn, deadline_s=0.05)
        assert trio.current_time() - begun < 0.9
        assert bridge.given_up == 1
        assert await bridge.call(echo, 3, deadline_s=5) == 3
        await trio.sleep(1.0)

    with caplog.at_level(logging.ERROR, "sb_core.bridge"):
        bridged(run, test)
    assert "left behind" in caplog.text


def test_a_loop_that_hangs_does_not_hold_its_callers(run, monkeypatch):
    monkeypatch.setattr(bridge_module, "CANCEL_GRACE_S", 0.1)

    async def test(bridge):
        async def block():
            time.sleep(0.8)  # noqa: ASYNC251  this is the fault

        begun = trio.current_time()
        with trio.move_on_after(0.05) as scope:
            await bridge.call(block, deadline_s=60)
        assert scope.cancelled_caught
        assert trio.current_time() - begun < 0.7

    bridged(run, test)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_when_the_loop_dies_every_call_ends_with_our_fault(run, error):
    async def main():
        journal = Journal()
        async with open_bridge() as bridge:
            errors = []

            async def wait(name):
                with pytest.raises(ContractError) as caught:
                    await bridge.call(nap, journal, name, deadline_s=60)
                errors.append(caught.value)

            async with trio.open_nursery() as nursery:
                for n in range(5):
                    nursery.start_soon(wait, str(n))
                await until(lambda: len(journal.lines) == 5)
                with pytest.raises(ContractError):
                    await bridge.call(fail, error, deadline_s=60)
            assert len(errors) == 5
            with pytest.raises(ContractError, match="died"):
                await bridge.call(echo, 1, deadline_s=5)
            with pytest.raises(ContractError, match="died"):
                bridge.post(print)
            await until(lambda: not bridge._thread.is_alive())
        assert sorted(journal.lines[5:]) == [f"{n} cancelled" for n in range(5)]

    run(main)


def test_closing_ends_what_is_under_way_and_refuses_what_comes(run):
    async def main():
        journal = Journal()
        async with open_bridge() as bridge:
            failed = []

            async def wait(call, name):
                with pytest.raises(UnavailableError):
                    await call(nap, journal, name, 60.0, 0.05, deadline_s=60)
                failed.append(name)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, bridge.call, "call")
                nursery.start_soon(wait, bridge.call_shielded, "shielded")
                with pytest.raises(UnknownOutcomeError):
                    await bridge.call_shielded(nap, journal, "left", deadline_s=0.05)
                await bridge.aclose()
            assert sorted(failed) == ["call", "shielded"]
            assert sorted(line for line in journal.lines if "cancelled" in line) == [
                "call cancelled",
                "left cancelled",
                "shielded cancelled",
            ]
            with pytest.raises(UnavailableError):
                await bridge.call(echo, 1, deadline_s=5)
            with pytest.raises(UnavailableError):
                bridge.post(print)
            await bridge.aclose()
        assert not bridge._thread.is_alive()

    run(main)


def test_an_answer_after_the_end_of_the_run_is_nobodys(run):
    journal = Journal()
    bridge = Bridge()

    async def leave():
        with trio.move_on_after(0.05):
            await bridge.call_shielded(nap, journal, "late", 0.3, deadline_s=60)

    async def come_back():
        assert await bridge.call(echo, 1, deadline_s=5) == 1
        await until(lambda: "late ends" in journal.lines)
        assert await bridge.call(echo, 2, deadline_s=5) == 2
        await bridge.aclose()

    run(leave)
    time.sleep(0.4)
    run(come_back)
    assert journal.lines == ["late begins", "late ends"]
