"""The processor's loop over real embedded adapters: assignment, outbox, fences, retries, cache generations."""

from contextlib import asynccontextmanager

import anyio
import pytest
from fold_driver import odds, producer, stop

from sb_core import messages as m
from sb_core import shown, topics
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import open_memory_log
from sb_core.adapters.sqlite_store import open_sqlite_store
from sb_core.config import PipelineConfig
from sb_core.errors import UnavailableError, UnknownOutcomeError
from sb_core.records import Record
from sb_core.runtime import Context, SystemClock
from sb_core.settings import Settings
from sb_core.telemetry import Telemetry
from sb_process.processor import Processor
from sb_process.service import read_account

FEED = topics.feed("football")
UPDATES = topics.updates("football")


class Entropy:
    def __init__(self):
        self.drawn = 0

    def __call__(self, count):
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")


@asynccontextmanager
async def world(**changes):
    clock = SystemClock()
    async with open_memory_log(clock) as log, open_sqlite_store(":memory:", clock, threads=False) as store:
        await log.create(topics.specs())
        telemetry = Telemetry("data-processing-football", level="error", now_ms=clock.now_ms)
        yield Context(
            settings=Settings(process_wait_ms=5, **changes),
            log=log,
            admin=log,
            store=store,
            cache=MemoryCache(entries_max=1000),
            clock=clock,
            telemetry=telemetry,
            entropy=Entropy(),
            config=PipelineConfig(),
        )


def feed_record(message):
    key = message.event or "producer"
    return Record(FEED, key, m.encode(message), message.ts)


async def append(context, *messages):
    await context.log.append([feed_record(message) for message in messages])


async def drain(context, count, sport="football"):
    """Read the updates topic from its start until `count` updates are there, dropping what was seen, as readers do."""
    reader = context.log.reader([topics.updates(sport)])
    found = {}
    with anyio.fail_after(5):
        while len(found) < count:
            delivery = await reader.read(records_max=1000, wait_s=0.2)
            for place in delivery.assigned:
                reader.seek(place, 0)
            for record in delivery.records:
                if record.key != "tick":
                    update = shown.update_decoder.decode(record.value)
                    assert found.setdefault((update.event, update.lineage, update.rev), update) == update
    await reader.aclose()
    return list(found.values())


@asynccontextmanager
async def processing(context):
    processor = Processor(context, "football")
    stop_event = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(processor.run, stop_event)
        try:
            yield processor
        finally:
            stop_event.set()


def test_messages_become_updates_rows_cache_and_an_account(run):
    async def main():
        async with world() as context:
            await append(context, odds(1, event="uof:a"), odds(2, event="uof:b"), odds(3, "2.50", event="uof:a"))
            async with processing(context):
                updates = await drain(context, 3)
            assert sorted((each.event, each.rev) for each in updates) == [("uof:a", 1), ("uof:a", 2), ("uof:b", 1)]
            stored = await context.store.event("uof:a")
            assert stored.rev == 2
            cached = shown.event_decoder.decode((await context.cache.get([(1, "uof:a")]))[0])
            assert cached.rev == 2
            assert cached.markets == [shown.market_decoder.decode(each) for each in stored.markets]
            account = await read_account(context, ("football",))
            assert (account["applied"], account["changes"], account["updates_published"]) == (3, 3, 3)
            assert (account["pending"], account["balanced"]) == (0, True)

    run(main)


def test_a_restart_goes_on_where_the_position_stands_and_repeats_nothing(run):
    async def main():
        async with world() as context:
            await append(context, odds(1))
            async with processing(context):
                await drain(context, 1)
            await append(context, odds(2, "2.50"))
            async with processing(context):
                updates = await drain(context, 2)
            assert [each.rev for each in updates] == [1, 2]

    run(main)


def test_what_was_committed_but_not_published_is_published_on_assignment(run):
    async def main():
        async with world() as context:
            append_really = context.log.append
            failing = True

            async def refuse(records, counts=None):
                if failing and any(record.topic == UPDATES for record in records):
                    raise UnavailableError("no updates today")
                return await append_really(records, counts)

            context.log.append = refuse
            await append_really([feed_record(odds(1)), feed_record(odds(2, "2.50"))])
            with anyio.move_on_after(0.3):
                async with processing(context):
                    await anyio.sleep(10)
            assert (await context.store.event("uof:1")).rev == 2
            failing = False
            async with processing(context):
                updates = await drain(context, 2)
            assert [each.rev for each in updates] == [1, 2]
            assert (await read_account(context, ("football",)))["updates_published"] == 2

    run(main)


def test_a_second_owner_fences_the_first_out_and_nothing_happens_twice(run):
    async def main():
        async with world() as context:
            await append(context, odds(1))
            async with processing(context) as processor:
                await drain(context, 1)
                place = FEED, topics.partition_of("uof:1")
                await context.store.claim(place, "someone else")
                await append(context, odds(2, "2.50"))
                updates = await drain(context, 2)
            assert [each.rev for each in updates] == [1, 2]
            metric = context.telemetry.registry.get_sample_value("sb_data_processing_football_fenced_total")
            assert metric == 1
            assert processor.held[place[1]].epoch > 2

    run(main)


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_commit_reply_is_read_back(run, happened):
    async def main():
        async with world() as context:
            commit = context.store.commit
            lost = []

            async def lose(batch):
                if not lost and batch.changes:
                    lost.append(batch)
                    if happened:
                        await commit(batch)
                    raise UnknownOutcomeError("the reply was lost")
                await commit(batch)

            context.store.commit = lose
            await append(context, odds(1))
            async with processing(context):
                updates = await drain(context, 1)
            assert [each.rev for each in updates] == [1]
            assert lost
            assert (await read_account(context, ("football",)))["applied"] == 1

    run(main)


def test_a_cache_that_fails_holds_nothing_up_and_its_old_values_are_never_read(run):
    async def main():
        async with world() as context:
            await append(context, odds(1))
            async with processing(context):
                await drain(context, 1)
            put = context.cache.put

            async def fail(_entries):
                raise UnavailableError("no cache")

            context.cache.put = fail
            await append(context, stop(2))
            async with processing(context):
                await drain(context, 2)
            context.cache.put = put
            positions = await context.store.positions([FEED])
            generation = next(
                each.cache_generation for each in positions if each.partition == topics.partition_of("uof:1")
            )
            assert generation > 1
            assert await context.cache.get([(generation, "uof:1")]) == [None]
            await append(context, odds(3))
            async with processing(context):
                await drain(context, 3)
            cached = (await context.cache.get([(generation, "uof:1")]))[0]
            assert shown.event_decoder.decode(cached).rev == 3

    run(main)


def test_a_store_that_loses_what_moved_no_offset_is_noticed(run):
    """It failed over: the settled position and the raised cache generation are gone, all else is there."""

    async def main():
        async with world() as context:
            connection, put = context.store._writer, context.cache.put
            partition = topics.partition_of("uof:1")
            saved = []

            async def fail(_entries):
                saved.append(connection.serialize())
                raise UnavailableError("no cache")

            async def generation():
                positions = await context.store.positions([FEED])
                return next(each.cache_generation for each in positions if each.partition == partition)

            await append(context, odds(1))
            async with processing(context):
                await drain(context, 1)
                context.cache.put = fail
                await append(context, stop(2))
                await drain(context, 2)
                with anyio.fail_after(5):
                    while (await read_account(context, ("football",)))["updates_published"] < 2:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
                context.cache.put = put
                forgotten = await generation()
                connection.deserialize(saved[-1])
                assert await generation() < forgotten
                assert (await read_account(context, ("football",)))["updates_published"] < 2
                await append(context, odds(3))
                await drain(context, 3)
            account = await read_account(context, ("football",))
            assert (account["changes"], account["updates_published"]) == (3, 3)
            assert shown.event_decoder.decode((await context.cache.get([(await generation(), "uof:1")]))[0]).rev == 3
            context.cache.put = fail
            async with processing(context):  # one that knows nothing of what the store forgot
                await append(context, odds(4, "2.50"))
                await drain(context, 4)
                with anyio.fail_after(5):
                    while (await read_account(context, ("football",)))["updates_published"] < 4:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
            # what the cache holds under that number must not come back
            assert await generation() not in {1, forgotten}

    run(main)


def test_ticks_pass_on_and_producers_reach_events_loaded_from_the_store(run):
    async def main():
        async with world() as context:
            await append(context, odds(10))
            async with processing(context):
                await drain(context, 1)
            partition = topics.partition_of("uof:1")
            down = producer("down", 1, 20)
            tick = m.Tick(ts=1234)
            await context.log.append(
                [
                    Record(FEED, "producer", m.encode(down), 20, partition),
                    Record(FEED, "tick", m.encode(tick), 20, partition),
                ]
            )
            async with processing(context):
                updates = await drain(context, 2)
            assert updates[1].changes.statuses[0].open is False
            ends = await context.admin.ends([UPDATES])
            assert ends[UPDATES, partition] == 3

    run(main)


def test_a_state_told_again_costs_nothing_and_reaches_who_missed_it(run):
    """Ingest tells states again; the partition whose lineage was raised past the last one has it from then on."""

    async def main():
        async with world() as context:
            place, asked, listing = topics.partition_of("uof:1"), [], context.store.listing

            async def listed(*args):
                asked.append(args)
                return await listing(*args)

            context.store.listing = listed
            down, up = (Record(FEED, "uof:3", m.encode(producer(state, 1, 20)), 20, place) for state in ("down", "up"))
            await append(context, odds(10))
            await context.log.append([down])
            async with processing(context):
                await drain(context, 2)
                await context.log.append([down, down])
                await append(context, odds(21, "2.50"))
                assert (await drain(context, 3))[-1].rev == 3
                assert len(asked) == 1
            await context.log.append([up])
            end = (await context.admin.ends([FEED]))[FEED, place]
            await context.store.raise_lineage((FEED, place), end)
            await context.log.append([up, up])
            async with processing(context):
                updates = await drain(context, 5)
                assert [(each.lineage, each.rev) for each in updates[3:]] == [(2, 4), (2, 5)]
                assert updates[-1].changes.event["producers"][0]["state"] == "up"
                assert len(asked) == 2

    run(main)


def test_a_position_outside_of_the_log_stops_the_partition_and_no_other(run):
    async def main():
        async with world() as context:
            lost = topics.partition_of("uof:1")
            other = next(f"uof:{n}" for n in range(2, 50) if topics.partition_of(f"uof:{n}") != lost)
            await context.store.claim((FEED, lost), "x")
            await context.store.raise_lineage((FEED, lost), 7)
            async with processing(context) as processor:
                await append(context, odds(1, event=other), odds(1))
                await drain(context, 1)
                assert list(processor.stopped) == [lost]

    run(main)
