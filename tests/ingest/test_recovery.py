"""When a provider is asked to say everything again: the machine as a table, the request over HTTP, the owner in a service."""

import itertools
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

import anyio
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from intake_driver import NOW, driver

from sb_core.errors import UnavailableError
from sb_core.messages import Alive, SnapshotComplete
from sb_core.settings import Settings, SettingsError, load, shown
from sb_ingest import recovery
from sb_ingest.producers import hear, passed
from sb_ingest.recovery_http import HttpRecovery, recoveries
from sb_ingest.service import IngestService

T = 1_000_000_000
EVERY_MS = 30_000


class World:
    """Feeds the machines as the owner does, a second at a time."""

    def __init__(self, *, takes=True, answers=True) -> None:
        self.table = {}
        self.offset = 0
        self.now = T
        self.asked = []
        self.takes = takes
        self.answers = answers
        self.ends = True
        self.refused_ms = 0

    def hear(self, message) -> None:
        self.offset += 1
        found = hear(self.table, message, self.offset)
        if found is not None:
            self.table[found[0].key] = found[0]

    def alive(self, producer="1", **more) -> None:
        self.hear(Alive(ts=self.now, received=self.now, provider="p", producer=producer, **more))

    def complete(self, producer, request) -> None:
        self.hear(SnapshotComplete(ts=self.now, received=self.now, provider="p", producer=producer, request=request))

    def pass_s(self, seconds, alive=()) -> None:
        for second in range(seconds):
            self.now += 1_000
            if second % 10 == 9:
                for each in alive:
                    self.alive(each)
            for each in passed(self.table, self.now, session_silent_ms=60_000):
                self.table[each.key] = each
            for each in recovery.due(self.table, self.now, {"p"}, every_ms=EVERY_MS):
                self.table[each.key] = each
                self.asked.append((self.now, each.producer, each.asked, recovery.after(each, self.now)))
                if self.ends:
                    ended = recovery.Ended(each.key, each.asked, self.now, self.takes, self.refused_ms)
                    self.table[each.key] = recovery.answered(each, ended)
                if self.takes and self.answers:
                    self.complete(each.producer, each.asked)

    def state(self, producer="1"):
        return self.table[f"p:{producer}"]


def test_a_producer_that_is_back_after_silence_is_asked_and_is_up_when_it_has_answered():
    world = World()
    world.alive()
    world.pass_s(30)
    assert world.state().state == "down"
    assert world.asked == []  # there is nobody to answer
    world.alive()
    assert world.state().state == "up"
    world.pass_s(60, alive="1")
    ((at, producer, request, after),) = world.asked
    assert (at, producer, after) == (T + 31_000, "1", T - recovery.MARGIN_MS)
    assert (world.state().state, world.state().recovery, world.state().recovered_gen) == ("up", request, 1)


def test_what_was_asked_shows_as_recovering_with_the_request_whose_answers_count():
    world = World(answers=False)
    world.alive()
    world.alive(subscribed=False)
    world.pass_s(2)
    (_, _, request, _) = world.asked[0]
    assert (world.state().state, world.state().recovery, world.state().gen) == ("recovering", request, 1)
    world.complete("1", "of another request")
    assert world.state().state == "recovering"
    world.complete("1", request)
    assert world.state().state == "up"


def test_never_twice_within_the_limit_whatever_falls_silent_or_fails():
    world = World(takes=False)
    for each in "123":
        world.alive(each)
    world.pass_s(30)
    world.pass_s(600, alive="123")
    times = [at for at, *_ in world.asked]
    assert len(times) > 8
    assert {producer for _, producer, *_ in world.asked} == {"1", "2", "3"}
    assert all(later - earlier >= EVERY_MS for earlier, later in itertools.pairwise(times))
    assert len({request for _, _, request, _ in world.asked}) == len(times)


def test_a_request_that_fails_is_made_anew_ever_more_seldom():
    world = World(takes=False)
    world.alive()
    world.pass_s(30)
    world.pass_s(2_000, alive="1")
    times = [at for at, *_ in world.asked]
    gaps = [(later - earlier) // 1_000 for earlier, later in itertools.pairwise(times)]
    assert gaps[:5] == [30, 60, 120, 240, 480]
    assert set(gaps[5:]) <= {480}


@pytest.mark.parametrize("refused_s", [5, 90, 10_000])
def test_a_provider_that_says_for_how_long_it_takes_none_is_left_alone_for_so_long(refused_s):
    world = World(takes=False)
    world.refused_ms = refused_s * 1_000
    for each in "12":
        world.alive(each)
    world.pass_s(30)
    world.pass_s(5_000, alive="12")
    times = [at for at, *_ in world.asked]
    gaps = [(later - earlier) // 1_000 for earlier, later in itertools.pairwise(times)]
    least = min(max(refused_s, EVERY_MS // 1_000), recovery.REFUSED_MS_MAX // 1_000)
    assert gaps
    assert min(gaps) == least


def test_a_request_whose_end_nobody_knows_may_have_been_sent_late():
    world = World(answers=False)
    world.ends = False
    world.alive()
    world.pass_s(30)
    world.pass_s(100, alive="1")
    times = [at for at, *_ in world.asked]
    assert times[1] - times[0] == EVERY_MS + recovery.SENDING_MS


def test_the_limit_counts_from_the_end_of_a_request():
    world = World(answers=False)
    world.alive("1")
    world.alive("2")
    world.pass_s(30)
    world.ends = False
    world.alive("1")
    world.alive("2")
    world.pass_s(3)
    first = world.state(world.asked[0][1])
    world.table[first.key] = recovery.answered(first, recovery.Ended(first.key, first.asked, world.now, taken=True))
    ended = world.now
    world.pass_s(40, alive="12")
    assert world.asked[1][0] - ended == EVERY_MS


def test_a_request_that_was_taken_is_waited_for_longer():
    world = World(answers=False)
    world.alive()
    world.pass_s(30)
    world.pass_s(300, alive="1")
    times = [at for at, *_ in world.asked]
    assert times[1] - times[0] == recovery.ANSWER_MS


def test_a_recovery_that_the_provider_announces_is_not_asked_for_unless_it_never_ends():
    world = World()
    world.alive()
    world.alive(subscribed=False, request="theirs")
    world.pass_s(100, alive="1")
    assert world.asked == []
    world.pass_s(30, alive="1")
    assert len(world.asked) == 1


def test_an_outage_while_it_answers_is_asked_for_again():
    world = World(answers=False)
    world.alive()
    world.pass_s(30)
    world.alive()
    world.pass_s(2)
    (_, _, first, _) = world.asked[0]
    world.pass_s(25)
    assert world.state().gen == 2
    world.complete("1", first)  # it says nothing about the second outage
    world.alive()
    world.pass_s(40, alive="1")
    (_, _, second, after) = world.asked[1]
    assert second != first
    assert after == T - recovery.MARGIN_MS  # what the first should have brought is asked for again
    world.complete("1", second)
    assert (world.state().state, world.state().recovered_gen) == ("up", 2)


def test_after_a_clock_was_set_back_everything_is_asked_for():
    world = World()
    world.alive()
    for _ in range(5):
        world.now -= 600_000
        world.alive()
        world.now += 601_000
    assert (world.state().state, world.state().reason) == ("down", "clock_stepped")
    world.now += 1_000
    world.hear(Alive(ts=T - 590_000, received=world.now, provider="p", producer="1"))
    world.pass_s(3)
    assert [after for *_, after in world.asked] == [None]


def test_a_first_alive_owes_nothing_and_neither_does_who_cannot_be_asked():
    world = World()
    world.alive()
    world.pass_s(100, alive="1")
    assert world.asked == []
    world.hear(Alive(ts=world.now, received=world.now, provider="other", producer="1", subscribed=False))
    world.pass_s(100, alive="1")
    assert world.asked == []


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.integers(1, 50), st.booleans(), st.booleans())))
def test_the_limit_holds_for_every_course_of_events(course):
    world = World(answers=False)
    for producer, seconds, subscribed, takes in course:
        world.takes = takes
        world.alive(producer, subscribed=subscribed)
        world.pass_s(seconds)
    times = [at for at, *_ in world.asked]
    assert all(later - earlier >= EVERY_MS for earlier, later in itertools.pairwise(times))


# over HTTP


@asynccontextmanager
async def port(serve):
    """Serve connections with a function; yield the URL."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def provider(*statuses, headers=""):
    """Answer requests with these statuses, the last one for ever; yield (URL, requests)."""
    heard = []

    async def answer(stream):
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some()
            first, *fields = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            heard.append((first, {each.lower() for each in fields}))
            status = statuses[min(len(heard), len(statuses)) - 1]
            said = f"HTTP/1.1 {status} x\r\ncontent-length: 4\r\n{headers}connection: close\r\n\r\nsaid"
            await stream.send_all(said.encode())

    async with port(answer) as url:
        yield url, heard


def test_it_asks_as_the_providers_interface_wants_it(run):
    async def main():
        async with provider(202) as (url, heard):
            await HttpRecovery(url + "/base", "secret").ask("1", "77", 5)
            await HttpRecovery(url).ask("3", "78", None)
            await HttpRecovery(url).ask("a/b", "79", None)
        return heard

    heard = run(main)
    assert [line for line, _ in heard] == [
        "POST /base/v1/liveodds/recovery/initiate_request?request_id=77&after=5 HTTP/1.1",
        "POST /v1/pre/recovery/initiate_request?request_id=78 HTTP/1.1",
        "POST /v1/a%2Fb/recovery/initiate_request?request_id=79 HTTP/1.1",
    ]
    assert {"x-access-token: secret", "authorization: bearer secret"} <= heard[0][1]
    assert not any(each.startswith(("x-access-token", "authorization")) for each in heard[1][1])


def test_whoever_does_not_take_it_is_unavailable(run):
    async def main():
        async with provider(429, 503, 302) as (url, _):
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    await HttpRecovery(url).ask("1", "77", 5)
        with pytest.raises(UnavailableError):
            await HttpRecovery(url).ask("1", "77", 5)

    run(main)


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ("retry-after: 7\r\n", 7_000),
        ("date: Mon, 01 Jun 2026 12:00:00 GMT\r\nretry-after: Mon, 01 Jun 2026 12:01:30 GMT\r\n", 90_000),
        ("retry-after: 0\r\n", None),
        ("retry-after: -5\r\n", None),
        ("retry-after: soon\r\n", None),
        ("retry-after: Mon, 01 Jun 2026 12:01:30 GMT\r\n", None),
        ("date: Mon, 01 Jun 2026 12:00:00 GMT\r\nretry-after: Mon, 01 Jun 2026 11:00:00 GMT\r\n", None),
        ("date: Mon, 01 Jun 2026 12:00:00 -0000\r\nretry-after: Mon, 01 Jun 2026 12:00:09 GMT\r\n", None),
    ],
)
def test_a_refusal_says_for_how_long(run, headers, wait_ms):
    async def main():
        async with provider(429, headers=headers) as (url, _):
            with pytest.raises(UnavailableError) as refused:
                await HttpRecovery(url).ask("1", "77", 5)
            return refused.value

    assert getattr(run(main), "retry_after_ms", None) == wait_ms


def test_tokens_go_where_they_belong():
    settings = Settings(
        recovery_urls="uof=https://:token@api.example,sim=http://127.0.0.1:4004,x=http://h", api_key="ours"
    )
    found = recoveries(settings)
    assert {name: each._headers.get("x-access-token") for name, each in found.items()} == {
        "uof": "token",
        "sim": "ours",
        "x": None,
    }
    assert found["uof"]._url == "https://api.example"
    assert "token" not in str(shown(settings)["recovery_urls"]).replace("***", "")
    assert Settings(port_offset=5).recovery_urls == "sim=http://127.0.0.1:4009"


@pytest.mark.parametrize(
    "text", ["uof", "uof=", "=http://h", "uof=ftp://h", "uof=http://", "a=http://h,b", "a=http://["]
)
def test_wrong_targets_are_refused(text):
    with pytest.raises(SettingsError, match="SB_RECOVERY_URLS"):
        load({"SB_RECOVERY_URLS": text})


# in a service


@asynccontextmanager
async def serving(intake):
    service = IngestService(intake.context, http=False)
    intake.intake = service.intake
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        await group.start(service.run, stop)
        yield service
        stop.set()


async def until(told, seconds=5.0):
    with anyio.fail_after(seconds):
        while not told():  # noqa: ASYNC110  nothing but the state itself says when
            await anyio.sleep(0.01)


ALIVE = {"type": "alive", "provider": "acme", "producer": "1"}


def test_the_owner_asks_once_and_a_new_owner_keeps_to_the_limit(run):
    async def main():
        async with provider(500, 202) as (url, heard), driver(recovery_urls=f"acme={url}") as intake:
            async with serving(intake) as service:
                await intake.post({**ALIVE, "ts": NOW, "subscribed": False})
                await until(lambda: service.liveness.table.get("acme:1") is not None)
                intake.clock.ms += 2_000
                await until(lambda: heard)
                await until(lambda: service.liveness.table["acme:1"].answered)
                assert service.liveness.table["acme:1"].state == "recovering"
            async with serving(intake) as service:
                # the first try failed; the next one is due after 30 s, also for another owner
                intake.clock.ms += 18_000
                await intake.post({**ALIVE, "ts": NOW + 20_000})
                await anyio.sleep(1.5)
                assert len(heard) == 1
                intake.clock.ms += 12_000
                await until(lambda: len(heard) == 2)
                await until(lambda: service.liveness.table["acme:1"].taken)
                request = service.liveness.table["acme:1"].asked
                done = {"type": "snapshot_complete", "provider": "acme", "producer": "1", "request": request}
                assert (await intake.post({**done, "ts": NOW + 33_000}))[0] == HTTPStatus.ACCEPTED
                await until(lambda: service.liveness.table["acme:1"].state == "up")
                lines = (await service.ops.answer("/metrics")).body.decode().splitlines()
        return heard, lines

    heard, lines = run(main)
    assert [line.split(" ")[1].split("?")[0] for line, _ in heard] == ["/v1/liveodds/recovery/initiate_request"] * 2
    assert any("recovery_requests_total" in each and 'outcome="taken"' in each for each in lines)


def test_the_owner_leaves_a_provider_alone_for_as_long_as_it_says(run):
    async def main():
        async with (
            provider(429, 202, headers="retry-after: 100\r\n") as (url, heard),
            driver(recovery_urls=f"acme={url}") as intake,
        ):
            async with serving(intake) as service:
                await intake.post({**ALIVE, "ts": NOW, "subscribed": False})
                await until(lambda: service.liveness.table.get("acme:1") is not None)
                intake.clock.ms += 2_000
                await until(lambda: heard)
                await until(lambda: service.liveness.table["acme:1"].answered)
                assert service.liveness.table["acme:1"].refused_until - intake.clock.ms == 100_000
            async with serving(intake) as service:  # written down, so another owner knows
                for _ in range(6):
                    intake.clock.ms += 15_000
                    await intake.post({**ALIVE, "ts": intake.clock.ms})
                await anyio.sleep(1)
                assert len(heard) == 1
                intake.clock.ms += 15_000
                await intake.post({**ALIVE, "ts": intake.clock.ms})
                await until(lambda: service.liveness.table["acme:1"].taken)
                assert len(heard) == 2

    run(main)


def test_asking_never_holds_up_the_judgement_of_silence(run):
    held = []

    async def hold(stream):
        held.append(stream)
        await trio.sleep_forever()

    async def main():
        async with port(hold) as url, driver(recovery_urls=f"acme={url}") as intake, serving(intake) as service:
            await intake.post({**ALIVE, "ts": NOW, "subscribed": False})
            await until(lambda: "acme:1" in service.liveness.table)
            intake.clock.ms += 2_000
            await until(lambda: held)
            intake.clock.ms += 21_000
            await until(lambda: service.liveness.table["acme:1"].state == "down")

    run(main)
