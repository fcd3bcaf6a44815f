"""Any stream of updates, any subscriptions, any slowness, losses and resumes: what a client knows is what was.

The whole synchronous side runs as it is in the node: state, hub, sessions, joining, and the client library's applying.
Only the socket (an outlet that a test makes busy) and the database (the list of all changes) stand in.
"""

import random
from functools import partial
from unittest.mock import patch

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from sb_core import client_frames, shown
from sb_core.errors import UnavailableError
from sb_core.messages import FINISHED
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
        self.ring_max = ring_max
        self.clients: list[_Client] = []
        self.restarted = False
        self.down = False

    def now_ms(self):
        return self.time_ms

    # what Joiner asks of node and store

    async def event(self, event):
        if self.down:
            raise UnavailableError("simulated")
        known = self.oracle.get(event)
        if known is not None and self.state.live(event) is None:
            self._loaded(event)
        return known

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
        cause = "fixture" if changes.event else cause
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
        self.down = False
        for event in list(self.state.wanted):
            self._loaded(event)

    def _loaded(self, event):
        wanted = event in self.state.wanted
        if event not in self.oracle:
            del self.state.wanted[event]
            self.hub.absent(event)
            return
        assert self.state.loaded(self.oracle[event]) is not None
        if wanted:
            self.hub.loaded(event, self.time_ms)

    def unavailable(self):
        """What can't be loaded for long is taken from clients."""
        for event in list(self.state.wanted):
            self.hub.unavailable(event, self.time_ms)

    def pass_(self, what, number):
        if what == "time":
            self.time_ms += number
            self.hub.due(self.time_ms)
        elif what == "load":
            self.load()
        elif what == "restart":
            self.restart(down=number % 2 == 1)
        elif what == "unavailable":
            self.unavailable()
        else:
            self.time_ms += 10_000
            self.hub.due(self.time_ms)  # which comes a hundred times a second
            self.hub.beat(self.time_ms)

    def restart(self, *, down):
        """Go on as another node, which knows what the store knew when it began."""
        for client in self.clients:
            if client.connected:
                client.disconnect()
        self.state = NodeState(PARTITIONS, held_max=100, ring_max=self.ring_max * len(PARTITIONS))
        for index, offset in self.offsets.items():
            self.state.begin(index, lineage=1, done_offset=offset, next_offset=offset)
        self.hub = Hub(self.state, self.state.want)
        self.joiner = Joiner(self, self.hub, self)
        for event, held in self.oracle.items():
            if held.status not in FINISHED:
                self.state.want(event)
        self.restarted, self.down = True, down
        if not down:
            self.load()


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
        assert self.followed.events.keys() <= ours.keys()
        for name, event in ours.items():
            known = self.followed.events.get(name)
            if known is None:
                # of what is finished, a node gives what has changed since it began
                assert self.world.restarted
                assert self.filter.kind != "events"
                assert event.status in FINISHED
                continue
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
    st.sampled_from(["busy", "free", "connect", "connect", "time", "load", "beat", "restart", "forget", "unavailable"]),
    st.integers(0, 2),
    st.integers(1, 120),
)
steps = st.lists(st.one_of(updates, updates, others), min_size=5, max_size=60)


async def _play(ring_max, wanted, doings, *, lossy, outbox_bytes_max=3_000):
    world = _World(ring_max)
    world.outbox_bytes_max = outbox_bytes_max
    clients = world.clients
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
    for _ in range(2):  # what is owed may turn out to be wanted only when its turn comes
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
    elif what in {"connect", "forget"}:
        if what == "forget":
            client.followed = client_frames.Followed({"sub": "s"})
        if client.connected:
            client.disconnect()
        else:
            client.busy = False
            world.meanwhile = [number, number + 1]
            await client.connect()
    else:
        world.pass_(what, number)


_NOTHING = Changes()
_ENDS = Changes(event={"status": "ended"})
_JOINS_AND_ENDS = Changes(event={"competition": {"id": "c1"}, "status": "ended"})


@pytest.mark.parametrize("ring_max", [2, 1_000])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=st.lists(st.tuples(wishes, st.sampled_from(wire.FORMATS)), min_size=1, max_size=3), doings=steps)
@example(  # what had ended before the node began isn't given to who comes new, and goes on while he is away
    wanted=[({}, wire.JSON)],
    doings=[
        ("update", "a:1", _ENDS, "odds", False),
        ("restart", 0, 2),
        ("forget", 0, 1),
        ("connect", 0, 1),
        ("update", "a:1", _NOTHING, "odds", False),
        ("load", 0, 1),
        ("connect", 0, 1),
    ],
)
@example(  # the same, and it goes on as one that has not ended
    wanted=[({}, wire.JSON)],
    doings=[
        ("update", "a:1", _ENDS, "odds", False),
        ("restart", 0, 2),
        ("forget", 0, 1),
        ("connect", 0, 1),
        ("update", "a:1", Changes(event={"status": "live"}), "odds", False),
        ("load", 0, 1),
        ("connect", 0, 1),
    ],
)
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
unfinished = updates.filter(lambda update: update[2].event.get("status") not in FINISHED)
paces = st.lists(
    st.one_of(priced, priced, priced, priced, passing, passing, slowness, unfinished), min_size=20, max_size=80
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
    """As long as no outbox is full and what is finished doesn't go on: in a lane that is noticed when due, not before."""

    def sent(lanes_max, changes_max):
        play = partial(_play, 1_000, wanted, doings, lossy=lossy, outbox_bytes_max=10**6)
        # events that are loaded at once come in the same order
        with (
            patch.object(lanes, "LANES_MAX", lanes_max),
            patch.object(lanes, "LANE_CHANGES_MAX", changes_max),
            patch.object(trio._core._run, "_r", random.Random(0)),
        ):
            return sorted(trio.run(play), key=lambda each: each[:2])

    assert sent(lanes_max, changes_max) == sent(0, 1)


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
@example(  # who begins while an event is missing, and comes again when it is there, doesn't know it
    wanted=[({}, wire.JSON)],
    doings=[
        ("connect", 0, 1),
        ("update", "a:1", _NOTHING, "odds", False),
        ("update", "a:1", _NOTHING, "odds", True),
        ("connect", 0, 1),
        ("connect", 0, 1),
        ("load", 0, 1),
        ("connect", 0, 1),
        ("update", "a:1", _NOTHING, "odds", False),
    ],
)
@example(  # the same, and it came again to another node, where the event had never been missing
    wanted=[({"competitions": ["c1"]}, wire.JSON)],
    doings=[
        ("update", "a:1", _NOTHING, "odds", False),
        ("update", "a:1", _JOINS_AND_ENDS, "odds", True),
        ("restart", 0, 2),
    ],
)
@example(  # who was told that an event is gone, since it can't be had, doesn't have it when he comes again
    wanted=[({"events": ["a:2"]}, wire.JSON)],
    doings=[
        ("update", "a:2", _NOTHING, "odds", False),
        ("update", "a:2", _NOTHING, "odds", True),
        ("unavailable", 0, 1),
        ("connect", 0, 1),
        ("load", 0, 1),
    ],
)
def test_clients_recover_from_what_nobody_could_read(wanted, doings):
    trio.run(partial(_play, 2, wanted, doings, lossy=True))
