"""The owner of producers' liveness in a running service: what it appends to the feed partitions, ticks, takeovers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import trio
from intake_driver import NOW, Driver, driver, odds
from msgspec.structs import replace

from sb_core import messages, topics
from sb_core.errors import UnknownOutcomeError
from sb_core.messages import Producer, Tick
from sb_core.records import Record
from sb_ingest.answers import IntakeRequest
from sb_ingest.liveness import AGAIN_HEARD_MS, AGAIN_MAX
from sb_ingest.producers import Liveness
from sb_ingest.service import IngestService

ALIVE = {"type": "alive", "provider": "acme", "producer": "1"}


@asynccontextmanager
async def serving(intake: Driver) -> AsyncIterator[IngestService]:
    """Run a whole service, without its port, on the driver's log; time is the driver's, waiting is real."""
    service = IngestService(intake.context, http=False)
    intake.intake = service.intake
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        await group.start(service.run, stop)
        yield service
        stop.set()


def told(intake: Driver, partition: int = 0, sport: str = "football") -> list[Producer]:
    """Return what a feed partition was told of producers."""
    found = [
        messages.decode(record.value or b"")
        for record in intake.records(topics.feed(sport))
        if record.partition == partition
    ]
    return [each for each in found if isinstance(each, Producer)]


def states(intake: Driver, partition: int = 0, sport: str = "football") -> list[tuple[str, int, int]]:
    """Return what the partition was told, what is the same as before left out."""
    said = [(each.state, each.gen, each.since) for each in told(intake, partition, sport)]
    return [each for each, before in zip(said, [None, *said], strict=False) if each != before]


async def until(intake: Driver, count: int) -> None:
    while len(states(intake)) < count:  # noqa: ASYNC110  nothing but the log itself says when
        await trio.sleep(0.01)


def test_every_feed_partition_hears_of_a_change(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake):
            assert (await intake.post({**ALIVE, "ts": NOW}))[0] == 202
            await until(intake, 1)
            intake.clock.ms += 30_000
            await until(intake, 2)
            expected = [("up", 0, 0), ("down", 1, NOW + 30_000)]
            for sport in topics.SPORTS:
                for partition in range(topics.PARTITIONS):
                    assert states(intake, partition, sport) == expected
            shown = msgspec.json.decode(intake.records(topics.PRODUCERS)[-1].value or b"")
            assert {"provider", "producer", "state", "reason", "since", "last_alive", "recovery"} <= shown.keys()
            assert (shown["state"], shown["reason"], shown["last_alive"]) == ("down", "silent", NOW)

    run(main)


def test_records_of_the_system_are_counted_apart(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake) as service:
            await intake.post({**ALIVE, "ts": NOW})
            await intake.post(odds())
            await until(intake, 1)
            account = await service.account()
            assert (account["received"], account["accepted"], account["control"]) == (2, 2, 1)
            counts = await intake.log.account()
            for sport in topics.SPORTS:
                ends = await intake.log.ends([topics.feed(sport)])
                assert sum(ends.values()) == counts[f"system:{sport}"] + (sport == "football")

    run(main)


def test_ticks_reach_every_feed_partition_each_second(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake):
            await trio.sleep(1.3)
            for sport in topics.SPORTS:
                ticks = [record for record in intake.records(topics.feed(sport)) if record.key == "tick"]
                assert len(ticks) >= topics.PARTITIONS
                assert {record.partition for record in ticks} == set(range(topics.PARTITIONS))
                assert isinstance(messages.decode(ticks[0].value or b""), Tick)

    run(main)


def test_a_new_owner_goes_on_from_what_the_old_one_knew(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            async with serving(intake):
                await intake.post({**ALIVE, "ts": NOW})
                await until(intake, 1)
                intake.clock.ms += 30_000
                await until(intake, 2)
            async with serving(intake) as service:
                await intake.post({**ALIVE, "ts": NOW + 30_000})
                await until(intake, 3)
                assert states(intake)[-1] == ("up", 1, NOW + 30_000)
                assert service.liveness.table["acme:1"].gen == 1
            intake.clock.ms += 30_000
            async with serving(intake):
                # nobody heard anything in between: that is silence too
                await until(intake, 4)
                assert states(intake)[-1] == ("down", 2, NOW + 60_000)

    run(main)


def test_a_change_that_could_not_be_written_is_written_later(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake):
            append = intake.log.append
            failed = 0

            async def unsure(records, counts=None):
                nonlocal failed
                offsets = await append(records, counts)
                if any(record.topic == topics.PRODUCERS for record in records) and failed < 1:
                    failed += 1
                    raise UnknownOutcomeError("who knows")
                return offsets

            intake.log.append = unsure
            await intake.post({**ALIVE, "ts": NOW})
            await until(intake, 1)
            intake.clock.ms += 30_000
            await until(intake, 2)
            # the outage is not told twice, since what had landed was read back
            assert states(intake) == [("up", 0, 0), ("down", 1, NOW + 30_000)]
            assert failed == 1

    run(main)


def test_a_word_that_came_late_is_answered(run) -> None:
    """An owner froze before it wrote that all is silent; when it goes on another one owns and knows better."""

    async def main() -> None:
        async with driver() as intake:
            async with serving(intake) as service:
                await intake.post({**ALIVE, "ts": NOW})
                await until(intake, 1)
                up = service.liveness.table["acme:1"]
                late = replace(up, state="down", reason="silent", gen=1, outage_since=NOW + 9)
            async with serving(intake) as service:
                await intake.post({**ALIVE, "ts": NOW + 10_000})
                await until_heard(service, NOW + 10_000)
                await intake.log.append(words(late))
                await until(intake, 3)
                assert [each[:2] for each in states(intake)] == [("up", 0), ("down", 1), ("up", 1)]
                assert newest(intake).gen == 1
                # an earlier state of the same generation: ours is told again, and nothing closes
                await intake.log.append(words(replace(late, state="recovering", reason=None)))
                await until(intake, 5)
                assert [each[:2] for each in states(intake)][3:] == [("recovering", 1), ("up", 1)]
                # and one that partitions ignore
                await intake.log.append(words(up))
                await trio.sleep(1.2)
                assert newest(intake).state == "up"
                assert newest(intake).gen == 1
            # and before anybody owned again
            await intake.log.append(words(replace(late, gen=2)))
            async with serving(intake):
                await until(intake, len(states(intake)) + 1)
                assert states(intake)[-1][:2] == ("up", 2)
                await trio.sleep(1.2)
                assert newest(intake).gen == 2, "answered once"
            async with serving(intake):
                await trio.sleep(1.2)
                assert newest(intake).gen == 2, "and for good"

    run(main)


def test_an_append_of_ones_own_that_lands_late_is_no_rival(run) -> None:
    """The log is slow: what the owner gave up lands while it owns anew."""

    async def main() -> None:
        async with driver() as intake, serving(intake) as service:
            await intake.post({**ALIVE, "ts": NOW})
            await until(intake, 1)
            append, given_up = intake.log.append, []

            async def slow(records, counts=None):
                if any(record.topic == topics.PRODUCERS for record in records) and len(given_up) < 2:
                    given_up.append((records, counts))
                    raise UnknownOutcomeError("who knows")
                return await append(records, counts)

            intake.log.append = slow
            intake.clock.ms += 30_000
            for count in (1, 2):
                while len(given_up) < count:  # noqa: ASYNC110
                    await trio.sleep(0.01)
                await trio.sleep(1.2)
                await append(*given_up[count - 1])
            await until(intake, 2)
            await trio.sleep(1.5)
            assert (newest(intake).state, newest(intake).gen) == ("down", 1)
            assert {each[:2] for each in states(intake)} == {("up", 0), ("down", 1)}
            assert service.liveness.table["acme:1"].gen == 1

    run(main)


def test_what_only_some_partitions_were_told_is_followed(run) -> None:
    """The append of an outage was torn: feeds have it, `sports-producers` doesn't, and the producer is heard again."""

    async def main() -> None:
        async with driver() as intake, serving(intake):
            await intake.post({**ALIVE, "ts": NOW})
            await until(intake, 1)
            append, torn = intake.log.append, []

            async def tear(records, counts=None):
                if any(record.topic == topics.PRODUCERS for record in records) and not torn:
                    torn.append(True)
                    await append([each for each in records if each.topic != topics.PRODUCERS])
                    raise UnknownOutcomeError("in part")
                return await append(records, counts)

            intake.log.append = tear
            intake.clock.ms += 30_000
            await until(intake, 2)
            await intake.post({**ALIVE, "ts": intake.clock.ms})
            await until(intake, 3)
            assert states(intake) == [("up", 0, 0), ("down", 1, NOW + 30_000), ("up", 1, NOW + 30_000)]

    run(main)


def test_who_hears_of_a_later_owner_owns_nothing_any_more(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake) as service:
            await intake.post({**ALIVE, "ts": NOW})
            await until(intake, 1)
            mine = service.liveness.table["acme:1"]
            later = replace(mine, gen=3, state="down", writer=mine.writer + (1 << 32))
            await intake.log.append(words(later))
            while service.liveness.table.get("acme:1", mine).writer <= later.writer:
                await trio.sleep(0.01)  # it lets go, and is assigned anew, as there is nobody else
                if newest(intake).writer > later.writer:
                    break
                await intake.post({**ALIVE, "ts": intake.clock.ms})
            assert newest(intake).gen == 3, "what the later one knew is what counts"

    run(main)


def newest(intake: Driver) -> Liveness:
    """Return what `sports-producers` says of acme:1."""
    (*_, last) = (each for each in intake.records(topics.PRODUCERS) if each.key == "acme:1")
    return msgspec.json.decode(last.value or b"", type=Liveness)


async def until_heard(service: IngestService, ts: int) -> None:
    while "acme:1" not in service.liveness.table or service.liveness.table["acme:1"].newest_ts < ts:  # noqa: ASYNC110
        await trio.sleep(0.01)


def words(said: Liveness) -> list[Record]:
    """Return what an owner appends to say so."""
    value = messages.encode(said.message(NOW))
    feeds = [
        Record(topics.feed(sport), said.key, value, NOW, number)
        for sport in topics.SPORTS
        for number in range(topics.PARTITIONS)
    ]
    return [*feeds, Record(topics.PRODUCERS, said.key, msgspec.json.encode(said), NOW)]


def test_states_are_told_again(run) -> None:
    """A partition may have lost the last one: all are told in turn, except of those that nobody hears any more."""

    async def main() -> None:
        async with driver(producer_again_s=10) as intake, serving(intake):
            names = [f"{number:02}" for number in range(AGAIN_MAX + 3)]

            async def alive(*producers: str) -> None:
                for each in producers:
                    await intake.post({**ALIVE, "producer": each, "ts": intake.clock.ms})

            await alive(*names)
            while {each.producer for each in told(intake)} != {*names}:  # noqa: ASYNC110
                await trio.sleep(0.01)
            for _ in range(2):
                had = len(told(intake))
                intake.clock.ms += 10_000
                await alive(*names)
                while len(told(intake)) < had + len(names):  # noqa: ASYNC110
                    await trio.sleep(0.01)
                again = told(intake)[had:]
                assert sorted(each.producer for each in again) == names
                assert all("@" in each.id for each in again)
                for sport in topics.SPORTS:
                    for partition in range(topics.PARTITIONS):
                        assert told(intake, partition, sport) == told(intake)
            intake.clock.ms += AGAIN_HEARD_MS + 1
            await alive("00")
            while told(intake)[-1].ts < intake.clock.ms or told(intake)[-1].producer != "00":  # noqa: ASYNC110
                await trio.sleep(0.01)
            intake.clock.ms += 10_000
            had = len(told(intake))
            await alive("00")
            await trio.sleep(1.2)
            assert [each.producer for each in told(intake)[had:]] == ["00"]

    run(main)


def test_the_first_answer_of_a_recovery_waits_for_its_announcement(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake):
            await intake.post({**ALIVE, "ts": NOW, "subscribed": False})
            await until(intake, 1)
            await trio.sleep(0.05)
            answer = await intake.post(odds("acme:1", ts=NOW - 60_000, producer="1", request="r9"))
            assert answer[0] == 202
            place = topics.partition_of("acme:1")
            records = [record for record in intake.records(topics.feed("football")) if record.partition == place]
            told = [messages.decode(record.value or b"") for record in records if record.key != "tick"]
            assert [messages.type_of(each) for each in told] == ["producer", "producer", "odds"]
            assert (told[1].recovery, told[1].gen) == ("r9", 1)
            # only the first one waits
            appends = intake.log.appends
            await intake.post(odds("acme:1", ts=NOW - 50_000, producer="1", request="r9"))
            assert intake.log.appends - appends <= 2

    run(main)


def test_sports_of_events_and_reference_documents_outlive_a_restart(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            async with serving(intake):
                await intake.post(odds("acme:77"))
            async with serving(intake) as service:
                assert service.known.sport_of("acme:77") == "football"
                bare = {key: value for key, value in odds("acme:77").items() if key != "sport"}
                assert (await intake.post(bare))[0] == 202

    run(main)


def test_another_nodes_answer_about_a_sport_is_followed(run) -> None:
    async def main() -> None:
        async with driver() as intake, serving(intake) as one, serving(intake) as two:
            body = msgspec.json.encode(odds("acme:5"))
            answer = await one.intake.accept(IntakeRequest(provider="canonical", body=body))
            assert answer.status == 202
            await trio.sleep(0.05)
            assert two.known.sport_of("acme:5") == "football"

    run(main)


def test_a_stop_refuses_what_is_new_and_finishes_what_is_at_work(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            service = IngestService(intake.context, http=False)
            stop = anyio.Event()
            statuses: list[int] = []
            append = intake.log.append

            async def slow(records, counts=None):
                await trio.sleep(0.2)
                return await append(records, counts)

            async def post() -> None:
                body = msgspec.json.encode(odds())
                statuses.append((await service.intake.accept(IntakeRequest(provider="canonical", body=body))).status)

            async with trio.open_nursery() as nursery:
                await nursery.start(service.run, stop)
                assert service.ops.reason is None
                intake.log.append = slow
                nursery.start_soon(post)
                await trio.sleep(0.05)
                stop.set()
                await trio.sleep(0.02)
                await post()
            assert sorted(statuses) == [202, 503]
            assert service.ops.reason == "stopping"

    run(main)


def betfair(pt: int, **change: object) -> bytes:
    definition = {
        "eventId": "9",
        "eventTypeId": "2",
        "bettingType": "ODDS",
        "marketType": "MATCH_ODDS",
        "status": "OPEN",
        "runners": [{"id": 1, "sortPriority": 1, "status": "ACTIVE"}, {"id": 2, "sortPriority": 2, "status": "ACTIVE"}],
    }
    whole = {"id": "1.5", "marketDefinition": definition, "rc": [{"id": 1, "atb": [[2.0, 10]]}], **change}
    return msgspec.json.encode({"op": "mcm", "pt": pt, "clk": "A", "mc": [whole]})


def test_a_session_that_goes_on_after_a_restart_is_down_until_its_picture(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            async with serving(intake):
                assert (await intake.post(betfair(NOW - 9), provider="betfair", session="s"))[0] == 202
                while not intake.records(topics.PRODUCERS):  # noqa: ASYNC110  nothing but the log itself says when
                    await trio.sleep(0.01)
            assert states(intake) == []
            async with serving(intake):
                status, answer = await intake.post(betfair(NOW - 8), provider="betfair", session="s")
                assert (status, answer["refused"][0]["code"]) == (422, "no_image")
                await until(intake, 1)
                assert (await intake.post(betfair(NOW - 5, img=True), provider="betfair", session="s"))[0] == 202
                await until(intake, 2)
                # what the picture said is newer than the outage
                assert [(state, gen) for state, gen, _ in states(intake)] == [("down", 1), ("up", 1)]
                assert all(since < NOW for _, _, since in states(intake))

    run(main)
