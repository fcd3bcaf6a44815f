"""REST shows at a (lineage, rev) what a follower holds at it, on two nodes, while updates come; and nobody goes back.

Two nodes over one log and store, REST of either asked at random; what they must show is the fold of all updates so far.
"""

import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
from ports import free_port

from sb_core import client as clients
from sb_core import shown
from sb_core.adapters.replica import ReplicaStore
from sb_core.auth import Keys
from sb_core.client import StreamClient
from sb_core.errors import UnavailableError
from sb_core.ops import Ops
from sb_core.records import CacheEntry
from sb_core.telemetry import Telemetry
from sb_distribute.hub import Hub
from sb_distribute.loader import assembled
from sb_distribute.node import Node
from sb_distribute.rest import make_rest_app
from sb_distribute.stream import StreamServer

EVENTS = tuple(f"uof:e{number}" for number in range(20))
TICK_S = 0.5
DEADLINE_S = 600


@asynccontextmanager
async def second_node(on):
    """Another node of the same log, store and cache, with a stream of its own."""
    telemetry = Telemetry("second", level="error", now_ms=on.context.clock.now_ms)
    context = replace(on.context, telemetry=telemetry)
    node = Node(context)
    hub = Hub(node.state, node.want)
    node.listen(hub)
    port = free_port()
    server = StreamServer(node, hub, context, Ops("second", telemetry, context.clock), Keys())
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        await group.start(node.run)
        await group.start(partial(server.serve, bind="127.0.0.1", port=port, stop=stop))
        yield node, port, context
        group.cancel_scope.cancel()


def rest_of(node, context):
    registered = replace(context, telemetry=Telemetry("rest", level="error", now_ms=context.clock.now_ms))
    app = make_rest_app(node, registered, Ops("rest", registered.telemetry, context.clock), Keys())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


class Followed:
    """What a follower of a node held at every (lineage, rev)."""

    def __init__(self, client):
        self.client = client
        self.held = {}
        self.newest = {}

    async def run(self):
        await self.client.subscribe("s")
        async for happened in self.client:
            assert not isinstance(happened, clients.Gap | clients.Lost | clients.Refused), happened
            if isinstance(happened, clients.Snapshot | clients.Changed):
                event = happened.event
                self.held[event.event, event.lineage, event.rev] = event
                self.newest[event.event] = event.rev


async def ingest(on, a_market, per_s, chance):
    """Change events at a steady rate, as far as the machine lets us."""
    at, begun, count = 0.0, anyio.current_time(), 0
    while True:
        made = []
        while begun + count / per_s <= anyio.current_time() and len(made) < 200:
            odds = f"{chance.randrange(110, 900) / 100:.2f}"
            status = chance.choice(["active", "active", "suspended"])
            market = a_market("1x2", odds, status=status)
            made.append(on.make(chance.choice(EVENTS), shown.Changes(markets=[market]), cause="odds"))
            count += 1
        if made:
            await on.publish(*made)
        if anyio.current_time() - at > TICK_S:
            at = anyio.current_time()
            await on.tick()
        await anyio.sleep(0.005)


async def compare(rests, followers, samples, chance):
    """Ask REST; at each (lineage, rev) that it shows, every follower holds or comes to hold the same.

    A sample is a (lineage, rev) shown by a node and held by a follower, each pair of them counted once. Returns how many
    there were of each node with each follower.
    """
    seen, compared, asked = {}, Counter(), 0
    while sum(compared.values()) < samples:
        asked += 1
        which = asked % 2
        event = chance.choice(EVENTS)
        answer = await rests[which].get(f"/v1/events/{event}")
        assert answer.status_code == 200
        said = answer.json()
        version = said["lineage"], said["rev"]
        before = seen.get((which, event), (0, 0))
        assert version >= before, "a node went back"
        seen[which, event] = version
        if version > before:
            for number, follower in enumerate(followers):
                compared[which, number] += await same(follower, (event, *version), said)
        await (
            anyio.lowlevel.checkpoint()
        )  # what a node holds is answered at once: the nodes would never have their turn
    return compared


async def same(follower, key, said):
    """Compare what a follower holds with what was shown; False if a merged item passed over this rev."""
    with anyio.fail_after(30):
        while key not in follower.held:
            if follower.newest.get(key[0], 0) > key[2]:
                return False
            await anyio.sleep(0.002)
    held = msgspec.structs.replace(follower.held[key], stale=said["stale"])
    assert msgspec.json.decode(shown.encoder.encode(held)) == said
    return True


@pytest.mark.parametrize(
    ("samples", "per_s"), [(300, 200), pytest.param(10_000, 2_000, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_rest_shows_what_followers_hold(run, stage, a_market, samples, per_s):
    async def main():
        chance = random.Random(1)
        async with stage(lag_ms_max=60_000) as on, second_node(on) as (node, port, context):
            for event in EVENTS:
                await on.change(event, a_market("1x2", "1.50"))
            for event in EVENTS:
                await on.seen(event)
            url = f"ws://127.0.0.1:{port}"
            async with (
                on.client() as first, StreamClient(url, reconnect=False) as second,
                rest_of(on.node, on.context) as one, rest_of(node, context) as two,
                anyio.create_task_group() as group,
            ):  # fmt: skip
                followers = [Followed(first), Followed(second)]
                for follower in followers:
                    group.start_soon(follower.run)
                group.start_soon(ingest, on, a_market, per_s, chance)
                begun = anyio.current_time()
                compared = await compare((one, two), followers, samples, chance)
                assert len(compared) == 4
                assert min(compared.values()) > samples / 50, compared
                print(f"{compared}, {len(on.updates) / (anyio.current_time() - begun):.0f} updates/s")
                group.cancel_scope.cancel()

    run(main, deadline_s=DEADLINE_S)


class Behind:
    """A copy of the database that has what was a while ago."""

    def __init__(self, old):
        self._old = old

    async def event(self, event):
        await anyio.lowlevel.checkpoint()
        return self._old[event]


class Killed:
    """A cache that doesn't answer."""

    async def get(self, _keys):
        await anyio.lowlevel.checkpoint()
        raise UnavailableError("no cache")


async def make_trouble(on, trouble, old):
    """Let something happen to what stands behind a node; `old` are events as they were half-way."""
    cache, context, loader = on.context.cache, on.context, on.node._loader
    cache._entries.clear()
    if trouble == "late writer":
        entries = [CacheEntry(name, 1, row.lineage, row.rev, assembled_bytes(row)) for name, row in old.items()]
        await cache.put(entries)
        assert len(cache._entries) == len(old)
    elif trouble == "killed":
        loader._context = replace(context, cache=Killed())
    elif trouble == "replica behind":
        loader._context = replace(context, store=ReplicaStore(context.store, Behind(old)))


def assembled_bytes(row):
    return shown.encoder.encode(assembled(row))


@pytest.mark.parametrize("trouble", ["emptied", "late writer", "killed", "replica behind"])
def test_nobody_is_shown_less_than_the_node_has_seen(run, stage, a_market, trouble):
    names = EVENTS[:4]

    async def main():
        async with stage(events_held_max=1) as on:
            old = {}
            for count in range(8):
                for event in names:
                    await on.change(event, a_market("1x2", f"1.{10 + count}"))
                if count == 3:
                    old = {event: await on.context.store.event(event) for event in names}
            for event in names:
                await on.seen(event)
            await make_trouble(on, trouble, old)
            async with rest_of(on.node, on.context) as rest, on.client() as client:
                await client.subscribe("s", events=list(names))
                async for happened in client:
                    if isinstance(happened, clients.Synced):
                        break
                for event in names:
                    answer = (await rest.get(f"/v1/events/{event}")).json()
                    assert (answer["lineage"], answer["rev"]) == (1, on.oracle[event].rev)
                    assert answer["markets"] == msgspec.json.decode(shown.encoder.encode(on.oracle[event].markets))
                with anyio.fail_after(5):
                    while client.events("s") != {event: on.oracle[event] for event in names}:
                        await anext(client)

    run(main)
