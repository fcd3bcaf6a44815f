"""Any stream of updates, any subscriptions, any slowness, losses and resumes: what a client knows is what was.

The whole synchronous side runs as it is in the node: state, hub, sessions, joining, and the client library's applying.
Only the socket (an outlet that a test makes busy) and the database (the list of all changes) stand in.
"""

from functools import partial
from unittest.mock import patch

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from sb_core import client_frames, shown
from sb_core.records import ChangeRow, Position
from sb_core.settings import Settings
from sb_core.shown import Changes
from sb_core.topics import partition_of
from sb_distribute import lanes, wire
from sb_distribute.conflate import Change
from sb_distribute.filters import Filter
from sb_distribute.hub import Hub
from sb_distribute.join import Joiner
from sb_distribute.session import Join, Limits, Session
from sb_distribute.state import NodeState

EVENTS = ("a:1", "a:2", "a:3")
MARKETS = (("1x2", ""), ("total", "total=2.5"))
COMPETITIONS = ("c1", "c2")
SPORT_OF = {"a:1": "football", "a:2": "football", "a:3": "tennis"}
PARTITIONS = tuple((f"sports-feed-{sport}", n) for sport in ("football", "tennis") for n in range(2))


class _Telemetry:
    def counter(self, name, text, labels=()):
        return Counter(name, text, labels, registry=CollectorRegistry())

    def warn(self, event, **fields):
        raise AssertionError((event, fields))


class _World:
    """The node's synchronous side, the oracle and the history."""

    telemetry = _Telemetry()

    def __init__(self, ring_max):
        self.time_ms = 1_000
        self.state = NodeState(PARTITIONS, held_max=100, ring_max=ring_max * len(PARTITIONS))
        self.hub = Hub(self.state, self.state.want)
        self.store = self.clock = self
        self.settings = Settings()
        self.joiner = Joiner(self, self.hub, self)
        self.oracle: dict[str, shown.Event] = {}
        self.history: dict[tuple[str, int], shown.Event] = {}
        self.log: list[ChangeRow] = []
        self.meanwhile: list[int] = []
        self.offsets = dict.fromkeys(range(len(PARTITIONS)), 0)
        self.sent = []
        self.outbox_bytes_max = 3_000

    def now_ms(self):
        return self.time_ms

    # what Joiner asks of node and store

    async def event(self, event):
        return self.oracle.get(event)

    def want(self, event):
        self.state.want(event)

    async def changes(self, partition, start, limit):
        rows = [row for row in self.log if (row.topic, row.partition) == partition and row.offset >= start][:limit]
        while self.meanwhile:
            # the world goes on while the database is read
            number = self.meanwhile.pop()
            market = _market(MARKETS[number % 2], 11 + number % 50, number % 3 > 0)
            self.update(EVENTS[number % 3], shown.Changes(markets=[market]), "odds", lost=False)
        return rows

    async def positions(self, topics):
        places = [(place, index) for index, place in enumerate(PARTITIONS) if place[0] in topics]
        return [Position(*place, 1, 1, "", self.offsets[index], 0, 0, b"") for place, index in places]

    # what happens

    def index(self, event):
        return PARTITIONS.index((f"sports-feed-{SPORT_OF[event]}", partition_of(event, 2)))

    def update(self, event, changes, cause, *, lost):
        held = self.oracle.get(event) or shown.empty(event, SPORT_OF[event])
        known = {(each.market, each.line) for each in held.markets}
        # the fold says only of markets that there are that their status moved
        statuses = [each for each in changes.statuses if (each.market, each.line) in known]
        changes = msgspec.structs.replace(changes, statuses=statuses)
        index = self.index(event)
        at = self.offsets[index]
        self.offsets[index] += 1
        update = shown.Update(
            event=event, sport=held.sport, lineage=1, prev=held.rev, rev=held.rev + 1, ts=self.time_ms,
            updated=self.time_ms, changes=changes, cause_type=cause, at=at,
        )  # fmt: skip
        value = shown.encoder.encode(update)
        after = shown.apply_changes(held, shown.update_decoder.decode(value))
        self.oracle[event] = self.history[event, update.rev] = after
        topic, partition = PARTITIONS[index]
        self.log.append(ChangeRow(topic, partition, at, event, 1, update.rev, 0, 0, cause, value))
        if lost:
            before = self.state.position
            self.state.skip(index, event)
            self.hub.missing(event, SPORT_OF[event], before, self.time_ms)
        else:
            before = self.state.position
            step = self.state.apply(index, Change(shown.raw_update_decoder.decode(value)))
            assert step is not None
            self.hub.changed([step], before, self.time_ms)

    def load(self):
        for event in list(self.state.wanted):
            assert self.state.loaded(self.oracle[event]) is not None
            self.hub.loaded(event, self.time_ms)


class _Client:
    """A session, its outlet, and what the client library makes of it."""

    def __init__(self, world, number, wish, form):
        self.world = world
        self.asked = wire.Subscribe(sub="s", **wish)
        self.filter = Filter.of(self.asked, ("football", "tennis"))
        self.form = form
        self.decoder = (msgspec.json if form is wire.JSON else msgspec.msgpack).Decoder(client_frames.Frame)
        self.followed = client_frames.Followed({"sub": "s"})
        self.name = f"client {number}"
        self.busy = False
        self.owed = False
        self.session = None

    def write(self, messages):
        for message in messages:
            self.world.sent.append((self.name, self.world.time_ms, message))
            said = self.decoder.decode(message)
            if isinstance(said, client_frames.Heard):
                for happened in self.followed.hear(said):
                    self.check(happened)

    def wake(self):
        self.owed = True

    @property
    def connected(self):
        return self.session is not None

    async def connect(self):
        world = self.world
        self.session = Session(
            self.name, self.form, Limits(4, self.world.outbox_bytes_max, 10_000), ("football", "tennis"), world.time_ms
        )
        world.hub.attach(self.session, self)
        asked = msgspec.structs.replace(self.asked, cursor=self.followed.cursor)
        await world.joiner.join(self.session, Join(asked, self.filter))
        self.pump()

    def disconnect(self):
        self.world.hub.detach(self.session)
        self.session = None

    def pump(self, bytes_max=500):
        """What the connection's own task does."""
        more = self.connected
        while more and not self.busy:
            messages, more = self.session.take(self.world.hub, self.world.time_ms, bytes_max)
            self.write(messages)

    def wanted(self, event):
        markets = self.filter.markets
        if markets is None:
            return event
        return msgspec.structs.replace(event, markets=[each for each in event.markets if each.market in markets])

    def check(self, happened):
        """Whatever a client is told makes it equal to what was at that rev."""
        assert not isinstance(happened, client_frames.Gap), happened
        if isinstance(happened, client_frames.Snapshot):
            event = happened.event
        elif isinstance(happened, client_frames.Changed):
            event, item = happened.event, happened.item
            shut = {
                (each.market, each.line)
                for rev in range(item.prev + 1, item.rev)
                for each in self.wanted(self.world.history[item.event, rev]).markets
                if not each.open
            }
            named = {(each.market, each.line) for each in item.changes.closed}
            opened = {(each.market, each.line) for each in event.markets if each.open}
            assert named <= shut
            assert item.con or not named
            if item.prev:
                before = self.world.history[item.event, item.prev].markets
                assert shut & opened & {(each.market, each.line) for each in before if each.open} <= named
        else:
            return
        was = self.world.history[event.event, event.rev]
        assert event == self.wanted(was)

    def check_end(self):
        ours = {
            name: event
            for name, event in self.world.oracle.items()
            if self.filter.matches(name, event.sport, None if event.competition is None else event.competition.id)
        }
        assert self.followed.events.keys() == ours.keys()
        for name, event in ours.items():
            known = self.followed.events[name]
            assert known.markets == self.wanted(event).markets
            if self.filter.markets is None:
                assert known == event
            assert (known.status, known.score, known.competition) == (event.status, event.score, event.competition)


def _market(key, tenths, is_open):
    return shown.Market(
        market=key[0], line=key[1], status="active" if is_open else "suspended", open=is_open,
        outcomes=[shown.Outcome(id="home", odds=f"{tenths / 10:.2f}")],
    )  # fmt: skip


wishes = st.fixed_dictionaries(
    {},
    optional={"markets": st.sampled_from([["1x2"], ["total"], ["none"]]), "conflate_ms": st.sampled_from([0, 50, 200])},
).flatmap(
    lambda rest: st.sampled_from(
        [
            {},
            {"sports": ["football"]},
            {"events": ["a:1", "a:3"]},
            {"events": ["a:2"]},
            {"competitions": ["c1"]},
            {"competitions": ["c1", "c2"]},
        ]
    ).map(lambda which: {**which, **rest})
)
changes = st.builds(
    lambda markets, statuses, competition, status: shown.Changes(
        event={
            **({"competition": {"id": competition}} if competition else {}),
            **({"status": status} if status else {}),
        },
        markets=[_market(key, tenths, is_open) for key, (tenths, is_open) in markets.items()],
        statuses=[
            shown.StatusChange(market=key[0], line=key[1], status="active" if is_open else "settled", open=is_open)
            for key, is_open in statuses.items()
            if key not in markets
        ],
    ),
    st.dictionaries(st.sampled_from(MARKETS), st.tuples(st.integers(11, 90), st.booleans()), max_size=3),
    st.dictionaries(st.sampled_from(MARKETS), st.booleans(), max_size=2),
    st.sampled_from([None, None, None, *COMPETITIONS]),
    st.sampled_from([None, None, "live", "ended"]),
)
updates = st.tuples(
    st.just("update"),
    st.sampled_from(EVENTS),
    changes,
    st.sampled_from(["odds", "odds", "odds", "bet_stop", "settlement"]),
    st.sampled_from([False, False, False, False, True]),
)
others = st.tuples(
    st.sampled_from(["busy", "free", "connect", "connect", "time", "load", "beat"]),
    st.integers(0, 2),
    st.integers(1, 120),
)
steps = st.lists(st.one_of(updates, updates, others), min_size=5, max_size=60)


async def _play(ring_max, wanted, doings, *, lossy, outbox_bytes_max=3_000):
    world = _World(ring_max)
    world.outbox_bytes_max = outbox_bytes_max
    clients = []
    for number, (wish, form) in enumerate(wanted):
        clients.append(_Client(world, number, wish, form))
        await clients[-1].connect()
    for doing in doings:
        if doing[0] == "update":
            world.update(doing[1], doing[2], doing[3], lost=lossy and doing[4])
        else:
            await _other(world, clients[doing[1] % len(clients)], doing[0], doing[2])
    for client in clients:
        if not client.connected:
            await client.connect()
    world.load()
    for client in clients:
        client.busy = False
        client.pump()
    world.time_ms += 1_000
    world.hub.due(world.time_ms)
    for client in clients:
        client.pump()
        client.check_end()
    return world.sent


async def _other(world, client, what, number):
    if what == "busy":
        client.busy = True
    elif what == "free":
        client.busy = False
        client.pump(number * 20)
    elif what == "connect":
        if client.connected:
            client.disconnect()
        else:
            client.busy = False
            world.meanwhile = [number, number + 1]
            await client.connect()
    elif what == "time":
        world.time_ms += number
        world.hub.due(world.time_ms)
    elif what == "load":
        world.load()
    else:
        world.time_ms += 10_000
        world.hub.due(world.time_ms)  # which comes a hundred times a second
        world.hub.beat(world.time_ms)


@pytest.mark.parametrize("ring_max", [2, 1_000])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=st.lists(st.tuples(wishes, st.sampled_from(wire.FORMATS)), min_size=1, max_size=3), doings=steps)
def test_clients_know_what_was(ring_max, wanted, doings):
    trio.run(partial(_play, ring_max, wanted, doings, lossy=False))


conflated = wishes.map(lambda wish: {**wish, "conflate_ms": wish.get("conflate_ms") or 50})
passing = st.tuples(st.just("time"), st.just(0), st.sampled_from([1, 20, 60, 200]))
slowness = st.tuples(
    st.sampled_from(["busy", "free", "free", "connect", "load", "beat"]), st.integers(0, 2), st.just(10**6)
)
"""Who is free again is given all that waits in one step."""
priced = st.tuples(
    st.just("update"),
    st.sampled_from(EVENTS),
    st.builds(
        lambda key, tenths, is_open: shown.Changes(markets=[_market(key, tenths, is_open)]),
        st.sampled_from(MARKETS), st.integers(11, 90), st.booleans(),
    ),
    st.sampled_from(["odds"] * 9 + ["bet_stop"]),
    st.sampled_from([False] * 9 + [True]),
)  # fmt: skip
paces = st.lists(
    st.one_of(priced, priced, priced, priced, passing, passing, slowness, updates), min_size=20, max_size=80
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    wanted=st.lists(st.tuples(conflated, st.sampled_from(wire.FORMATS)), min_size=1, max_size=3),
    doings=paces,
    lossy=st.booleans(),
    lanes_max=st.sampled_from([1, 64]),
    changes_max=st.sampled_from([1, 3, 1_000]),
)
def test_lanes_send_what_putting_each_change_as_it_comes_would(wanted, doings, lossy, lanes_max, changes_max):
    """As long as no outbox is full: who has a lane notices that when it is due, not before."""

    def sent(lanes_max, changes_max):
        play = partial(_play, 1_000, wanted, doings, lossy=lossy, outbox_bytes_max=10**6)
        with patch.object(lanes, "LANES_MAX", lanes_max), patch.object(lanes, "LANE_CHANGES_MAX", changes_max):
            return sorted(trio.run(play), key=lambda each: each[:2])

    assert sent(lanes_max, changes_max) == sent(0, 1)


_NOTHING = Changes()
_JOINS_AND_ENDS = Changes(event={"competition": {"id": "c1"}, "status": "ended"})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=st.lists(st.tuples(wishes, st.sampled_from(wire.FORMATS)), min_size=1, max_size=3), doings=steps)
@example(  # what nobody could read ended the event, and made it one that the client follows
    wanted=[({"competitions": ["c1"]}, wire.JSON)],
    doings=[
        ("connect", 0, 1),
        ("update", "a:1", _NOTHING, "odds", False),
        ("update", "a:1", _JOINS_AND_ENDS, "odds", True),
        ("load", 0, 1),
    ],
)
def test_clients_recover_from_what_nobody_could_read(wanted, doings):
    trio.run(partial(_play, 2, wanted, doings, lossy=True))
