"""The node: never older than seen, one load at a time, deadlines, and getting up again."""

import anyio
import msgspec
import pytest

from sb_core import topics
from sb_core.errors import LogTruncatedError, UnavailableError
from sb_core.records import Record
from sb_distribute import loader as loaders
from sb_distribute import node as nodes


def test_wait_rev(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            assert await on.node.wait_rev("uof:e1", 1, 2)
            assert not await on.node.wait_rev("uof:e1", 2, 0.05)
            arrived = []

            async def wait():
                arrived.append(await on.node.wait_rev("uof:e1", 3, 2))

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.01)
                await on.change("uof:e1", a_market("1x2", "1.60"))
                await on.change("uof:e1", a_market("1x2", "1.70"))
            assert arrived == [True]
            assert (await on.node.event("uof:e1", 3)).rev == 3
            assert not on.node._waiters

    run(main)


def test_one_load_serves_all_who_ask(run, stage, a_market):
    async def main():
        async def before(on):
            await on.change("uof:old", a_market("1x2", "1.50"), fields={"status": "closed"}, published=False)

        async with stage(before=before) as on:
            found = []

            async def ask():
                found.append(await on.node.event("uof:old"))

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(ask)
            assert all(each.event == on.oracle["uof:old"] for each in found)
            loads = on.context.telemetry.registry.get_sample_value(
                "sb_data_distribution_event_loads_total", {"source": "cache"}
            )
            assert loads == 1

    run(main)


def test_a_cache_that_lags_is_not_believed(run, stage, a_market):
    async def main():
        async with stage(events_held_max=1) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            put = on.context.cache.put

            async def forgetful(_):
                await anyio.lowlevel.checkpoint()

            object.__setattr__(on.context.cache, "put", forgetful)
            await on.change("uof:e1", a_market("1x2", "1.60"))
            await on.seen("uof:e1")
            await on.change("uof:e2", a_market("1x2", "1.60"))
            await on.seen("uof:e2")
            assert on.node.state.live("uof:e1") is None
            assert (await on.node.event("uof:e1")).event == on.oracle["uof:e1"]
            object.__setattr__(on.context.cache, "put", put)

    run(main)


def test_an_event_that_is_seen_but_cannot_be_had(run, stage, a_market, monkeypatch):
    monkeypatch.setattr(loaders, "LOAD_DEADLINE_S", 0.1)

    async def main():
        async with stage(events_held_max=1) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"), stored=False)
            await on.seen("uof:e1")
            await on.change("uof:e2", a_market("1x2", "1.50"))
            await on.seen("uof:e2")
            with pytest.raises(UnavailableError):
                await on.node.event("uof:e1")

    run(main)


def test_a_truncated_log_makes_it_begin_anew(run, stage, a_market, monkeypatch):
    monkeypatch.setattr(nodes, "BACKOFF_S_MAX", 0.1)

    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            first = on.node.state
            read = type(on.context.log.reader([topics.PRODUCERS])).read
            failed = []

            async def truncated(self, **given):
                if not failed and topics.updates("football") in self.topics:
                    failed.append(True)
                    raise LogTruncatedError("gone")
                return await read(self, **given)

            monkeypatch.setattr(type(on.context.log.reader([topics.PRODUCERS])), "read", truncated)
            await on.change("uof:e1", a_market("1x2", "1.60"))
            with anyio.fail_after(5):
                while on.node.state is first or on.node.reason is not None:  # noqa: ASYNC110  asked from outside
                    await anyio.sleep(0.01)
            assert (await on.node.event("uof:e1")).event == on.oracle["uof:e1"]
            assert on.hub.state is on.node.state

    run(main)


def test_beginning_anew_never_goes_back(run, stage, a_market, monkeypatch):
    monkeypatch.setattr(nodes, "BACKOFF_S_MAX", 0.1)

    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            # committed, and not published yet: the node knows it from the store
            await on.change("uof:e1", a_market("1x2", "1.60"), published=False)
            on.node.state._lives.clear()
            assert (await on.node.event("uof:e1")).rev == 2
            first = on.node.state
            read = type(on.context.log.reader([topics.PRODUCERS])).read

            async def truncated(self, **given):
                if on.node.state is first and topics.updates("football") in self.topics:
                    raise LogTruncatedError("gone")
                return await read(self, **given)

            monkeypatch.setattr(type(on.context.log.reader([topics.PRODUCERS])), "read", truncated)
            await on.change("uof:e2", a_market("1x2", "1.60"))
            with anyio.fail_after(5):
                while on.node.state is first or on.node.reason is not None:  # noqa: ASYNC110  asked from outside
                    await anyio.sleep(0.01)
            assert on.node.state.live("uof:e1").version == (1, 1)
            assert (await on.node.event("uof:e1")).event == on.oracle["uof:e1"]

    run(main)


def test_producers_are_shown(run, stage):
    async def main():
        async with stage() as on:
            row = {"provider": "uof", "producer": "1", "state": "down", "reason": "silent", "since": 5, "last_alive": 4}
            await on.context.log.append([Record(topics.PRODUCERS, "uof:1", msgspec.json.encode(row), 1, 0)])
            with anyio.fail_after(2):
                while not on.node.producers():  # noqa: ASYNC110  asked from outside
                    await anyio.sleep(0.01)
            (shown,) = on.node.producers()
            assert (shown.provider, shown.producer, shown.state, shown.recovery) == ("uof", "1", "down", None)

    run(main)


def test_where_it_stands(run, stage, a_market):
    async def main():
        async with stage() as on:
            ends = await on.context.admin.ends([topics.updates(sport) for sport in topics.SPORTS])
            assert on.node.reached(ends)
            assert on.node.lag_ms() < 5_000
            assert on.node.reason is None
            await on.change("uof:e1", a_market("1x2", "1.50"))
            ends = await on.context.admin.ends([topics.updates("football")])
            await on.seen("uof:e1")
            assert on.node.reached(ends)

    run(main)


def test_nothing_is_fresh_before_it_is_ready(stage, run):
    async def main():
        async with stage() as on:
            other = nodes.Node(on.context)
            assert other.reason == "starting"
            assert other.stale("football")
            assert other.stale("no such sport")
            assert other.lag_ms() is None

    run(main)
