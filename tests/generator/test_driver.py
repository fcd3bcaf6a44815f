"""The generator as a service: commands over HTTP, what it sends into a real server, and what it does when that fails."""

from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import httpx
import trio
import trio.testing
from ingest_stub import serving
from ports import free_offset

from sb_core import messages
from sb_core.messages import Alive, Fixture, SnapshotComplete
from sb_core.runtime import open_context
from sb_core.settings import Settings
from sb_core.telemetry import Telemetry
from sb_generator import delivery, schedule
from sb_generator.control import Controls, Patch
from sb_generator.delivery import Answer
from sb_generator.driver import Driver
from sb_generator.faults import Rates
from sb_generator.service import GeneratorService

NOW = 1_782_237_600_000


class Clock:
    """The mock clock's time as a clock of ours."""

    def now_ms(self):
        return NOW + round((trio.current_time() - self.begun) * 1000)

    def monotonic_s(self):
        return trio.current_time()

    begun = 0.0


def driven(script, **controls):
    """Run a driver on a mock clock with a send that `script` may change; return what was sent."""
    clock = Clock()
    sent = []

    async def accept(*_):
        return Answer(status=202, accepted=1)

    async def main():
        clock.begun = trio.current_time()
        made = Driver(Controls(**{"state": "running", **controls}), clock, Telemetry("test", now_ms=clock.now_ms))
        made.answer = accept

        async def send(provider, body, content_type, query):
            answer = await made.answer(provider, body, content_type, query)
            if answer.is_judged:
                assert (provider, content_type, query) == ("canonical", "application/x-ndjson", {})
                sent.extend((clock.now_ms(), line) for line in body.split(b"\n"))
            return answer

        async with anyio.create_task_group() as group:
            group.start_soon(made.play)
            group.start_soon(made.send, send)
            await script(made)
            group.cancel_scope.cancel()
        return made

    made = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return made, [(at, messages.decode(line)) for at, line in sent] if not controls.get("faults") else sent


def test_messages_go_when_they_are_planned():
    async def script(_made):
        await anyio.sleep(20)

    made, sent = driven(script)
    assert 900 < len(sent) < 1_200
    # one event's messages of one instant are a millisecond apart
    assert all(-10 <= at - message.ts <= 200 for at, message in sent)
    state = made.state()
    assert state["made"] - state["waiting"] == state["sent"] == len(sent)
    # the world is a moment ahead
    assert state["waiting"] < 20
    assert state["late_ms_max"] <= 200
    assert (state["failed"], state["refused"]) == (0, {})


def test_a_pause_is_followed_by_a_recovery_and_a_stop_by_another_run():
    runs = []

    async def script(made):
        await anyio.sleep(5)
        runs.append(made.run)
        made.command("pause")
        await anyio.sleep(60)
        made.command("start")
        await anyio.sleep(5)
        made.command("stop")
        await anyio.sleep(5)
        made.command("pause")
        assert made.state()["state"] == "stopped"
        made.command("start")
        await anyio.sleep(5)
        runs.append(made.run)
        made.patch(Patch(seed=77))
        await anyio.sleep(5)
        runs.append(made.run)

    _, sent = driven(script)
    silent = [(before, after) for (before, _), (after, _) in pairwise(sent) if after - before > 2_000]
    assert len(silent) == 2
    assert any(isinstance(each, SnapshotComplete) for _, each in sent)
    assert any(isinstance(each, Alive) and not each.subscribed for _, each in sent)
    assert len(set(runs)) == 3
    events = {each.event.partition("-")[0] for _, each in sent if each.event}
    assert events == {f"sim:{run}" for run in runs}


def test_what_could_not_be_delivered_is_followed_by_a_recovery(monkeypatch):
    monkeypatch.setattr(delivery, "ATTEMPTS_MAX", 2)

    async def script(made):
        accept = made.answer

        async def refuse(*_):
            return Answer(status=401, code="unauthorized")

        await anyio.sleep(3)
        made.answer = refuse
        await anyio.sleep(1)
        made.answer = accept
        await anyio.sleep(5)

    made, sent = driven(script)
    assert made.state()["failed"] > 10
    assert any(isinstance(each, SnapshotComplete) and each.request for _, each in sent)


def test_the_queue_is_bounded_and_the_world_waits_for_it(monkeypatch):
    monkeypatch.setattr(schedule, "WAITING_MAX", 500)

    async def script(made):
        accept = made.answer
        gate = anyio.Event()

        async def wait(*_):
            await gate.wait()
            return await accept()

        made.answer = wait
        await anyio.sleep(120)
        waiting = made.state()["waiting"]
        assert 500 <= waiting < 700
        gate.set()
        await anyio.sleep(10)
        assert made.state()["waiting"] < 20

    made, sent = driven(script)
    assert made.state()["late_ms_max"] > 60_000  # the first request of the queue waited
    # the prices of the time between were never made
    assert len(sent) < 6_000
    assert len({messages.encode(each) for _, each in sent}) == len(sent)


def test_an_outage_silences_the_live_producer_and_ends_in_a_recovery():
    async def script(_made):
        await anyio.sleep(schedule.OUTAGE_EVERY_S + 20)

    _, sent = driven(script, scenario="outage", rate=5.0)
    begun, ended = (schedule.OUTAGE_EVERY_S - schedule.OUTAGE_S) * 1000, schedule.OUTAGE_EVERY_S * 1000
    silent = [each.producer for at, each in sent if NOW + begun + 200 < at < NOW + ended - 200]
    assert silent
    assert set(silent) == {"3"}
    assert any(isinstance(each, SnapshotComplete) for at, each in sent if at >= NOW + ended)


def test_faults_change_what_is_sent():
    async def script(_made):
        await anyio.sleep(30)

    made, sent = driven(script, faults=Rates(drop=0.1, corrupt=0.1))
    struck = made.state()["struck"]
    assert struck["drop"] > 50
    assert struck["corrupt"] > 50
    broken = 0
    for _, line in sent:
        try:
            messages.decode(line)
        except ValueError:
            broken += 1
    assert broken > 20


def test_a_halt_sends_what_waits():
    async def script(made):
        await anyio.sleep(2.05)
        made.halt()
        with anyio.fail_after(5):
            await made.drained()
        assert made.state()["sent"] == made.state()["made"] > 50

    driven(script)


def test_events_of_other_runs_are_ended():
    async def script(made):
        await anyio.sleep(1)
        ours = f"sim:{made.run}-1"
        made.end_events(
            [("sim:old-1", "tennis", "abandoned"), (ours, "tennis", "abandoned"), ("uof:x", "tennis", "cancelled")]
        )
        await anyio.sleep(1)

    _, sent = driven(script)
    ended = [each for _, each in sent if isinstance(each, Fixture) and each.status in {"abandoned", "cancelled"}]
    assert [(each.event, each.status) for each in ended] == [("sim:old-1", "abandoned")]


# over HTTP


@asynccontextmanager
async def generator(ingest_url, *, started=True, **settings):
    made = Settings(
        log_url="memory:",
        store_url="memory:",
        port_offset=free_offset(4004),
        ingest_url=ingest_url,
        distribute_url="http://127.0.0.1:9",
        log_level="error",
        **settings,
    )
    async with open_context(made, "feed-generator") as context, anyio.create_task_group() as group:
        service = GeneratorService(context, started=started)
        stop = anyio.Event()
        await group.start(service.run, stop)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{made.port('feed-generator')}") as client:
            yield client
        stop.set()


async def odds_came(feeds):
    while not any(b'"odds"' in each[2] for each in feeds.requests):  # noqa: ASYNC110  a stub has no events
        await anyio.sleep(0.02)


def test_it_answers_stopped_and_starts_when_told(run):
    async def main():
        async with serving() as feeds, generator(feeds.url, started=False) as client:
            ready = await client.get("/ready")
            first = (await client.get("/v1/state")).json()
            await anyio.sleep(0.3)
            assert feeds.requests == []
            started = (await client.post("/v1/start")).json()
            with anyio.fail_after(5):
                await odds_came(feeds)
            paused = (await client.post("/v1/pause")).json()
            stopped = (await client.post("/v1/stop")).json()
        return ready, first, started, paused, stopped, feeds.requests

    ready, first, started, paused, stopped, requests = run(main)
    assert ready.status_code == 200
    assert [each["state"] for each in (first, started, paused, stopped)] == ["stopped", "running", "paused", "stopped"]
    assert (first["run"], first["events"]) == (None, None)
    assert set(first) == set(started) == set(stopped)
    assert requests[0][0] == "/v1/feeds/canonical"
    assert requests[0][1][b"content-type"] == b"application/x-ndjson"


def test_first_odds_come_within_a_second(run):
    async def main():
        async with serving() as feeds:
            begun = trio.current_time()
            async with generator(feeds.url):
                await odds_came(feeds)
                return trio.current_time() - begun

    assert run(main) < 2.0


def test_without_ingest_it_is_degraded_and_stops_in_time(run):
    async def main():
        async with generator("http://127.0.0.1:9") as client:
            health = {}
            while health.get("status") != "degraded":
                await anyio.sleep(0.05)
                health = (await client.get("/health")).json()
            ready = (await client.get("/ready")).status_code
            begun = trio.current_time()
        return health, ready, trio.current_time() - begun

    health, ready, stopping = run(main)
    assert "no_answer" in health["checks"]["ingest"]["detail"]
    assert ready == 200
    assert stopping < 4


PATCHES = [
    ({"rate": 7, "scenario": "evening"}, 200),
    ({"seed": 5, "faults": {"drop": 0.5}, "more": 1}, 200),
    ({"rate": None, "scenario": None, "faults": None}, 200),
    ({"rate": 0}, 422),
    ({"rate": "fast"}, 422),
    ({"seed": -1}, 422),
    ({"scenario": "holiday"}, 422),
    ({"faults": {"rain": 0.1}}, 422),
    ({"faults": {"drop": 2}}, 422),
    ([], 422),
]


def test_patches(run):
    async def main():
        async with serving() as feeds, generator(feeds.url, started=False) as client:
            found = []
            for body, _ in PATCHES:
                answer = await client.patch("/v1/state", json=body)
                found.append((answer.status_code, answer.json()))
            broken = await client.patch("/v1/state", content=b"{")
            return found, broken, (await client.get("/v1/state")).json()

    found, broken, last = run(main)
    assert [status for status, _ in found] == [status for _, status in PATCHES]
    assert (found[0][1]["rate"], found[0][1]["scenario"]) == (7.0, "evening")
    assert (found[1][1]["rate"], found[1][1]["seed"], found[1][1]["faults"]["drop"]) == (7.0, 5, 0.5)
    assert found[3][1]["code"] == "schema"
    assert broken.status_code == 400
    assert (last["rate"], last["scenario"], last["seed"]) == (50.0, "steady", 5)
    assert set(last["faults"].values()) == {0.0}


def test_a_recovery_that_is_asked_for_is_answered_once_in_30_s(run):
    async def main():
        async with serving() as feeds, generator(feeds.url, started=False) as client:
            ask = "/v1/liveodds/recovery/initiate_request?after=1&request_id=r77"
            stopped = await client.post(ask)
            await client.patch("/v1/state", json={"language": "uof"})
            await client.post("/v1/start")
            with anyio.fail_after(5):
                while not any(b"odds_change" in each[2] for each in feeds.requests):  # noqa: ASYNC110  as above
                    await anyio.sleep(0.02)
            first, again = await client.post(ask), await client.post(ask)
            wrong = await client.post("/v1/other/recovery/initiate_request?request_id=r1")
            with anyio.fail_after(10):
                while not any(b"snapshot_complete" in each[2] for each in feeds.requests):  # noqa: ASYNC110
                    await anyio.sleep(0.02)
        said = b"\n".join(each[2] for each in feeds.requests)
        return stopped, first, again, wrong, said

    stopped, first, again, wrong, said = run(main)
    assert [each.status_code for each in (stopped, first, again, wrong)] == [503, 202, 429, 400]
    assert b'response_code="ACCEPTED"' in first.content
    assert 0 < int(again.headers["retry-after"]) <= 30
    assert said.count(b'snapshot_complete request_id=\\"r77\\"') == 1  # of the producer that was asked
    assert said.count(b'request_id=\\"r77\\"') > 5


def test_commands_ask_for_the_scope(run):
    digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # of "key"

    async def main():
        async with serving() as feeds, generator(feeds.url, started=False, api_keys=f"a:{digest}:read") as client:
            headers = {"authorization": "Bearer key"}
            return [
                (await client.get("/v1/state")).status_code,
                (await client.get("/v1/state", headers=headers)).status_code,
                (await client.post("/v1/start", headers=headers)).status_code,
                (await client.get("/v1/start", headers=headers)).status_code,
            ]

    assert run(main) == [401, 200, 403, 405]
