"""Connections cut at random, anywhere, and taken up on any of several nodes that restart: nothing missing, nothing twice.

The transport is simulated: what a node writes lies on the wire until a client takes it, and a cut loses what lies there.
Nodes read the same updates, each at its own pace; a restart leaves a node what the store and the updates topic still have.
The database is the list of all changes, of which retention takes the oldest away.
"""

import random

import msgspec
import pytest
import trio
from prometheus_client import CollectorRegistry, Counter

from sb_core import client_frames, shown
from sb_core.records import ChangeRow, Position
from sb_core.settings import Settings
from sb_core.topics import partition_of
from sb_distribute import wire
from sb_distribute.conflate import Change
from sb_distribute.filters import Filter
from sb_distribute.hub import Hub
from sb_distribute.join import DAY_S, RETENTION_SHARE, Joiner
from sb_distribute.session import Join, Limits, Session
from sb_distribute.state import NodeState

SPORTS = ("football", "tennis")
EVENTS = {f"a:{number}": SPORTS[number % 2] for number in range(12)}
MARKETS = (("1x2", ""), ("total", "total=2.5"))
PARTITIONS = tuple((f"sports-feed-{sport}", n) for sport in SPORTS for n in range(3))
WISHES = (
    {}, {"sports": ["football"]}, {"events": ["a:1", "a:2", "a:7"]}, {"competitions": ["c1"]}, {"markets": ["1x2"]},
    {"events": ["a:4"], "conflate_ms": 50}, {"sports": ["tennis"], "conflate_ms": 200},
)  # fmt: skip
NODES = 3
CLIENTS = 24
RETENTION_DAYS = 1
RING_CHANGES = 6
LOOKBACK_MAX = 30


class _Telemetry:
    def counter(self, name, text, labels=()):
        return Counter(name, text, labels, registry=CollectorRegistry())

    def warn(self, event, **fields):
        raise AssertionError((event, fields))


class _World:
    """Everything that nodes share: the fold's outcome, the log, the database, the time."""

    telemetry = _Telemetry()
    settings = Settings(retention_days=RETENTION_DAYS)

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.clock = self.store = self
        self.time_ms = 1_780_000_000_000
        self.now: dict[str, shown.Event] = {}
        self.history: dict[tuple[str, int], shown.Event] = {}
        self.updates: list[tuple[int, bytes]] = []
        self.rows: list[ChangeRow] = []
        self.offsets = [0] * len(PARTITIONS)

    def now_ms(self):
        return self.time_ms

    async def changes(self, partition, start, limit):
        found = [row for row in self.rows if (row.topic, row.partition) == partition and row.offset >= start]
        return found[:limit]

    async def positions(self, topics):
        places = [(place, index) for index, place in enumerate(PARTITIONS) if place[0] in topics]
        return [Position(*place, 1, 1, "", self.offsets[index] + 1, 0, 0, b"") for place, index in places]

    def prune(self):
        self.rows = [row for row in self.rows if row.updated >= self.time_ms - RETENTION_DAYS * DAY_S * 1000]

    def update(self):
        """One more change of any event."""
        chance = self.chance
        event = chance.choice(list(EVENTS))
        held = self.now.get(event) or shown.empty(event, EVENTS[event])
        is_open = chance.random() < 0.8
        market, line = chance.choice(MARKETS)
        outcome = shown.Outcome(id="home", odds=f"{chance.randrange(110, 900) / 100:.2f}")
        status = "active" if is_open else "suspended"
        changes = shown.Changes(
            markets=[shown.Market(market=market, line=line, status=status, open=is_open, outcomes=[outcome])]
        )
        if chance.random() < 0.05:
            changes.event = {"competition": {"id": chance.choice(["c1", "c2"])}}
        index = PARTITIONS.index((f"sports-feed-{held.sport}", partition_of(event, 3)))
        at = self.offsets[index] = self.offsets[index] + chance.randrange(1, 4)  # not every message changes something
        update = shown.Update(
            event=event, sport=held.sport, lineage=1, prev=held.rev, rev=held.rev + 1, ts=self.time_ms,
            updated=self.time_ms, changes=changes, cause_type="odds" if is_open else "bet_stop", at=at,
        )  # fmt: skip
        value = shown.encoder.encode(update)
        self.now[event] = self.history[event, update.rev] = shown.apply_changes(
            held, shown.update_decoder.decode(value)
        )
        topic, partition = PARTITIONS[index]
        self.rows.append(
            ChangeRow(topic, partition, at, event, 1, update.rev, self.time_ms, self.time_ms, update.cause_type, value)
        )
        self.updates.append((index, value))


class _Node:
    """The synchronous side of a distribution node, as Node drives it."""

    def __init__(self, world):
        self.world = world
        self.state = NodeState(PARTITIONS, held_max=100, ring_max=RING_CHANGES * len(PARTITIONS))
        self.hub = Hub(self.state, self.state.want)
        self.joiner = Joiner(self, self.hub, world)
        self.next = 0

    async def event(self, event):
        """Load an event that isn't held."""
        held = self.world.now.get(event)
        return None if held is None else self.state.loaded(held)

    def want(self, event):
        self.state.want(event)

    def begin(self):
        """Start anew: what the store says, what the updates topic still has, and whatever is live."""
        world = self.world
        self.state = NodeState(PARTITIONS, held_max=100, ring_max=RING_CHANGES * len(PARTITIONS))
        for index, offset in enumerate(world.offsets):
            self.state.begin(index, lineage=1, done_offset=offset + 1, next_offset=offset + 1)
        self.hub.forget(self.state, world.time_ms)
        self.next = max(0, len(world.updates) - world.chance.randrange(LOOKBACK_MAX))
        self.read(len(world.updates))
        for event in world.now:
            self.state.want(event)
        self.load()

    def read(self, most):
        """Take in some of what is new."""
        taken = self.world.updates[self.next : self.next + most]
        self.next += len(taken)
        before = self.state.position
        steps = []
        for index, value in taken:
            step = self.state.apply(index, Change(shown.raw_update_decoder.decode(value)))
            if step is not None:
                steps.append(step)
        if steps:
            self.hub.changed(steps, before, self.world.time_ms)

    def load(self):
        for event in list(self.state.wanted):
            if self.state.loaded(self.world.now[event]) is not None:
                self.hub.loaded(event, self.world.time_ms)


class _Client:
    """A client, its wire, and what the library makes of what comes."""

    def __init__(self, world, number):
        self.world = world
        self.asked = wire.Subscribe(sub="s", **WISHES[number % len(WISHES)])
        self.filter = Filter.of(self.asked, SPORTS)
        self.form = wire.FORMATS[number % 2]
        self.decoder = (msgspec.json if self.form is wire.JSON else msgspec.msgpack).Decoder(client_frames.Frame)
        self.followed = client_frames.Followed({"sub": "s"})
        self.name = f"client {number}"
        self.wire: list[bytes] = []
        self.node = self.session = None
        self.applied: dict[str, int] = {}
        self.history_gone = False

    @property
    def busy(self):
        return len(self.wire) > 5

    def write(self, messages):
        self.wire.extend(messages)

    def wake(self):
        """The connection's task looks by itself."""

    async def connect(self, node):
        self.node, self.wire = node, []
        self.session = Session(self.name, self.form, Limits(4, 20_000, 10_000), SPORTS, self.world.time_ms)
        node.hub.attach(self.session, self)
        cursor = self.followed.cursor
        self.history_gone = cursor is None or self.too_old(cursor)
        await node.joiner.join(self.session, Join(msgspec.structs.replace(self.asked, cursor=cursor), self.filter))
        self.pump()

    def too_old(self, cursor):
        written_s = int(cursor.split("-")[2], 16)
        return self.world.time_ms / 1000 - written_s > RETENTION_SHARE * RETENTION_DAYS * DAY_S

    def cut(self):
        self.node.hub.detach(self.session)
        self.session = None
        self.wire = []

    def pump(self):
        while self.session is not None and not self.busy:
            messages, more = self.session.take(self.node.hub, self.world.time_ms, 2_000)
            self.write(messages)
            if not more:
                return

    def take(self, most):
        """Hear some of what lies on the wire; return how a subscription began, if one did."""
        taken, self.wire = self.wire[:most], self.wire[most:]
        began = None
        for message in taken:
            said = self.decoder.decode(message)
            if not isinstance(said, client_frames.Heard):
                continue
            known = dict(self.followed.events)
            for happened in self.followed.hear(said):
                self.check(happened)
            if isinstance(said, client_frames.Subscribed):
                began = said
                self.check_begin(said, known)
        self.pump()
        return began

    def check_begin(self, said, known):
        assert said.recovered == (said.source != "snapshot")
        if said.recovered:
            assert self.followed.events == known
        else:
            assert not self.followed.events

    def check(self, happened):
        assert not isinstance(happened, client_frames.Gap), happened
        if isinstance(happened, client_frames.Snapshot):
            name, rev = happened.event.event, happened.event.rev
            self.applied[name] = self.followed.events[name].rev
            assert self.applied[name] >= rev
        elif isinstance(happened, client_frames.Changed):
            # what a cursor doesn't know of may come again, but is not applied again
            assert happened.item.rev > self.applied[happened.event.event]
            self.applied[happened.event.event] = happened.item.rev
        if isinstance(happened, client_frames.Snapshot | client_frames.Changed):
            event = happened.event
            was = self.world.history[event.event, event.rev]
            assert event == self.wanted(was)

    def wanted(self, event):
        markets = self.filter.markets
        if markets is None:
            return event
        return msgspec.structs.replace(event, markets=[each for each in event.markets if each.market in markets])

    def check_end(self):
        ours = {
            name: event
            for name, event in self.world.now.items()
            if self.filter.matches(name, event.sport, None if event.competition is None else event.competition.id)
        }
        assert self.followed.events.keys() == ours.keys()
        for name, event in ours.items():
            assert self.followed.events[name].markets == self.wanted(event).markets
            if self.filter.markets is None:
                assert self.followed.events[name] == event


async def _settle(nodes, clients, world):
    for node in nodes:
        node.read(len(world.updates))
        node.load()
    for client in clients:
        if client.session is None:
            await client.connect(nodes[0])
    for _ in range(200):
        world.time_ms += 100
        for node in nodes:
            node.hub.due(world.time_ms)
        for client in clients:
            client.pump()
            client.take(10)
    for client in clients:
        client.check_end()


class _Game:
    """One seed's nodes, clients and chance."""

    def __init__(self, seed):
        self.world = _World(seed)
        self.chance = self.world.chance
        for _ in range(40):
            self.world.update()
        self.nodes = [_Node(self.world) for _ in range(NODES)]
        for node in self.nodes:
            node.begin()
        self.clients = [_Client(self.world, number) for number in range(CLIENTS)]
        self.cuts = 0
        self.began = dict.fromkeys(("ring", "log", "snapshot"), 0)

    async def play(self, cuts):
        while self.cuts < cuts:
            self.go_on()
            for client in self.chance.sample(self.clients, 6):
                await self.touch(client)
            if self.chance.random() < 0.01:
                self.restart(self.chance.choice(self.nodes))
            if self.chance.random() < 0.002:
                # a long silence, after which history is gone; a node that is behind for so long would be stale
                for node in self.nodes:
                    node.read(len(self.world.updates))
                    node.load()
                self.world.time_ms += self.chance.randrange(DAY_S * 2000)
                self.world.prune()
        await _settle(self.nodes, self.clients, self.world)
        return self.began

    def go_on(self):
        self.world.time_ms += self.chance.randrange(1, 60)
        for _ in range(self.chance.randrange(3)):
            self.world.update()
        node = self.chance.choice(self.nodes)
        node.read(self.chance.randrange(6))
        node.load()
        node.hub.due(self.world.time_ms)

    async def touch(self, client):
        """Let a client connect, be cut off, or hear something."""
        if client.session is None:
            await client.connect(self.chance.choice(self.nodes))
        elif self.chance.random() < 0.4:
            client.cut()
            self.cuts += 1
            return
        said = client.take(self.chance.randrange(8))
        if said is not None:
            self.began[said.source] += 1
            assert said.source != "log" or not client.history_gone

    def restart(self, node):
        for client in self.clients:
            if client.session is not None and client.node is node:
                client.cut()
        node.begin()


def _run(seed, cuts):
    began = trio.run(_Game(seed).play, cuts)
    assert all(began.values()), began
    assert began["ring"] + began["log"] > began["snapshot"]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_missing_and_nothing_comes_twice(seed):
    _run(seed, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_hundred_thousand_cuts(seed):
    _run(seed, 5_000)
