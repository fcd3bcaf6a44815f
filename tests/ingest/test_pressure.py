"""From a store that holds the fold up to a 503 for the sender, and back."""

import anyio
import msgspec
import pytest
from intake_driver import driver, odds

from sb_core import pressure, topics
from sb_core.adapters.memory_log import open_memory_log
from sb_core.errors import UnavailableError
from sb_core.pressure import NOTICE_S, OLD_MS, Pressure
from sb_core.telemetry import Telemetry
from sb_process.trouble import Trouble

FEED = topics.feed("football")
NOW = 1_782_240_000_000


def told(reason="disk full", sport="football", ts=NOW):
    return pressure.record(sport, reason, ts).value


def test_a_notice_holds_for_a_while_and_for_its_sport():
    found = Pressure()
    found.take(told(), 10.0, NOW)
    assert found.reason({FEED, topics.ALIVE}, 10.0) == f"{FEED} is held up: disk full"
    assert found.reason({topics.feed("tennis")}, 10.0) is None
    assert found.reason({FEED}, 10.0 + NOTICE_S) is None


def test_a_notice_ends_by_another_and_an_old_one_says_nothing():
    found = Pressure()
    found.take(told(), 10.0, NOW)
    found.take(told(None), 10.5, NOW)
    assert found.reason({FEED}, 10.5) is None
    found.take(told(ts=NOW - OLD_MS), 11.0, NOW)
    assert found.reason({FEED}, 11.0) is None


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]"])
def test_what_is_no_notice_is_refused(value):
    with pytest.raises(msgspec.MsgspecError):
        Pressure().take(value, 1.0, NOW)


def test_a_sender_hears_of_it_and_nothing_is_appended(run):
    async def test():
        async with driver() as ingest:
            ingest.pressure.take(told(ts=ingest.clock.now_ms()), ingest.clock.monotonic_s(), ingest.clock.now_ms())
            status, body = await ingest.post(odds())
            assert (status, body["code"]) == (503, "unavailable")
            assert "disk full" in body["detail"]
            assert ingest.feed() == []
            assert (await ingest.post(odds("acme:2") | {"sport": "hockey"}))[0] == 202
            ingest.pressure.take(told(None, ts=ingest.clock.now_ms()), 0.0, ingest.clock.now_ms())
            assert (await ingest.post(odds()))[0] == 202
            assert len(ingest.feed()) == 1
            account = await ingest.account()
            assert (account["received"], account["accepted"], account["balanced"]) == (2, 2, True)

    run(test)


class Context:
    def __init__(self, log, clock):
        self.log, self.clock = log, clock
        self.telemetry = Telemetry("data-processing-football", level="error", now_ms=clock.now_ms)


class Clock:
    s = 100.0

    def monotonic_s(self):
        return self.s

    def now_ms(self):
        return NOW + int(self.s * 1000)


async def notices(log):
    reader = log.reader([topics.PROCESSORS])
    found = []
    delivery = await reader.read(records_max=100, wait_s=0.1)
    for place in delivery.assigned:
        reader.seek(place, 0)
    found = [msgspec.json.decode(each.value) for each in (await reader.read(records_max=100, wait_s=0.1)).records]
    await reader.aclose()
    return [(each["sport"], each["blocked"], each["reason"]) for each in found]


def test_what_waits_for_the_store_for_long_is_told_again_and_again_until_it_is_over(run):
    async def test():
        clock = Clock()
        async with open_memory_log(clock) as log:
            await log.create(topics.specs())
            trouble = Trouble(Context(log, clock), "football")

            async def look(after_s):
                clock.s += after_s
                await trouble._look(clock.s)

            with trouble.working():
                trouble.note(UnavailableError("the table is full"))
                trouble.note(UnavailableError("the circuit is open"))
                await look(1.9)
                assert await notices(log) == []
                await look(0.2)
                await look(0.5)
                await look(0.6)
            await look(0.1)
            await look(5.0)
            said = ("football", True, "the table is full")
            assert await notices(log) == [said, said, ("football", False, None)]
            with trouble.working():
                await look(pressure.STALL_S)
            assert (await notices(log))[-1][2] == "the store has not answered for 2.0 s"

    run(test)


def test_short_steps_one_after_the_other_are_no_stall(run):
    async def test():
        clock = Clock()
        async with open_memory_log(clock) as log:
            await log.create(topics.specs())
            trouble = Trouble(Context(log, clock), "football")
            for _ in range(10):
                with trouble.working():
                    clock.s += 1.0
                    await trouble._look(clock.s)
            assert await notices(log) == []

    run(test)


def test_a_log_that_does_not_take_the_notice_holds_nothing_up(run):
    class Deaf:
        async def append(self, _records):
            await anyio.sleep_forever()

    async def test():
        clock = Clock()
        trouble = Trouble(Context(Deaf(), clock), "football")
        with trouble.working(), anyio.fail_after(3):
            clock.s += 3
            await trouble._look(clock.s)

    run(test)
