"""The world: the real services as processes that crash, freeze and come back, their clients, and the end of it all.

The rule: everything that happens is decided by the seed. A world ends by itself: faults stop, what was begun is
finished, and when nothing moves any more the verdict is spoken (sim_verdict).
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
import msgspec
import trio
from msgspec import Struct
from sim_clients import Application, Connection, CutError, Distribution, Door
from sim_engines import SmallCache, fail_over, keep_copy, new_store, outlive
from sim_oracle import Oracle
from sim_ports import SimCache, SimLog, SimStore, Weather, Wire
from sim_verdict import Rest
from sim_wire import Line
from sim_workload import corrupt
from simulation import Chance, Process, SimClock, Trace

from sb_core import topics
from sb_core.adapters.memory_log import MemoryLog
from sb_core.adapters.replica import ReplicaStore
from sb_core.config import PipelineConfig
from sb_core.errors import UnavailableError
from sb_core.keyring import KeyRing
from sb_core.ops import Ops
from sb_core.records import Record, TopicPartition
from sb_core.runtime import Context
from sb_core.settings import Settings
from sb_core.shown import Event
from sb_core.telemetry import Telemetry
from sb_distribute.hub import Hub
from sb_distribute.join import Joiner
from sb_distribute.node import Node
from sb_distribute.stream import StreamServer
from sb_ingest.answers import IntakeAnswer, IntakeRequest
from sb_ingest.service import IngestService
from sb_local.lineage import raised
from sb_process.processor import Processor

SESSION_S_MAX: Final = 2.0
"""How long a group keeps the partitions of a member that went silent, at most."""
AWAY_S_MAX: Final = 2.5
"""How long a crashed process stays away, at most."""
STOP_S: Final = 10.0
"""A service that was told to stop is gone by then."""
WIRED_EVERY: Final = 8
"""In one of so many worlds clients and nodes speak real WebSocket."""
NOTICED_S: Final = 1.5
"""Within this time of a failover every partition has had a tick, and its processor has met the fence."""
SETTLE_S_MAX: Final = 60.0
"""By when after the last fault nothing may move any more."""
SPORTS: Final = ("football", "tennis")


class Shape(Struct, frozen=True):
    """What kind of world a seed is. Times in seconds of virtual time."""

    active_s: float
    silence: str
    """A producer falls silent long enough to be down ("short"), or to be judged so ("long"); else empty."""
    ingests: int
    nodes: int
    copy: bool
    """Nodes read events from a copy of the store that lags."""
    steps: int
    """By how much the clock of a source jumps once (ms)."""
    cache_entries_max: int
    failovers: int
    crashes: int
    pauses: int
    outages: int
    leaders_lost: int
    clocks_set: int
    """How often the wall clock of one of our own machines is set, and set back."""
    weather: Weather


class Words:
    """Where a process's log lines go: into the trace; an error line is a violation."""

    def __init__(self, process: Process, oracle: Oracle) -> None:
        self._process = process
        self._oracle = oracle

    def write(self, text: str) -> None:
        line = msgspec.json.decode(text)
        event = line["event"]
        if not self._process.alive:
            return
        self._oracle.note(self._process.name, "says", event, line.get("detail") or line.get("error") or "")
        self._oracle.happened(f"said_{event}")
        if line["level"] == "error" and not (event == "partition_stopped" and self._oracle.outlived):
            self._oracle.violated(f"{self._process.name} says {text.strip()[:2000]}")

    def flush(self) -> None:
        """Nothing waits."""


class World:
    """Everything there is, in one nursery."""

    def __init__(self, chance: Chance, trace: Trace, shape: Shape, nursery: trio.Nursery) -> None:
        self.chance = chance
        self.trace = trace
        self.shape = shape
        self.nursery = nursery
        self.clock = SimClock()
        self.clocks: dict[str, SimClock] = {}
        """By process, the clock of its machine."""
        self.oracle = Oracle(trace)
        self.weather = msgspec.structs.replace(shape.weather, down=set(), leaderless=set())
        self.log = MemoryLog(self.clock)
        self.store = new_store()
        self.copy = new_store() if shape.copy else None
        self.cache = SmallCache(entries_max=shape.cache_entries_max)
        self.settings = Settings(
            process_wait_ms=400,
            process_batch_max=40,
            process_overlap_max=4,
            lag_ms_max=4_000,
            ring_changes_max=48 * 6,
            append_deadline_ms=1_200,
            stream_write_deadline_ms=1_500,
            stream_heartbeat_ms=3_000,
            producer_again_s=10,
        )
        self.processes: dict[str, Process] = {}
        self.wires: dict[str, Wire] = {}
        self.doors: dict[str, Door] = {}
        self.stores: dict[str, SimStore] = {}
        self.copies: dict[str, ReplicaStore] = {}
        self.wired = chance.seed % WIRED_EVERY == 0
        """Clients speak real WebSocket."""
        self.healing = False
        self.unsettled = 0
        """What is under way that needs ingest: operators' replays, failovers that the next ticks let everybody notice."""
        self.recovering = 0
        """Recoveries of producers under way."""
        self._stops: dict[str, anyio.Event] = {}
        self._ended: dict[str, trio.Event] = {}

    # processes

    def start(self) -> None:
        """Start every process; each is started again whenever it has died."""
        for number in range(self.shape.ingests):
            self.nursery.start_soon(self._live, f"ingest-{number}", self._ingest)
        for name in ("football-0", "football-1", "tennis-0"):
            self.nursery.start_soon(self._live, name, self._process)
        for number in range(self.shape.nodes):
            self.nursery.start_soon(self._live, f"node-{number}", self._distribute)
        if self.copy is not None:
            self.nursery.start_soon(keep_copy, self.store, self.copy, self.chance)

    async def _live(self, name: str, body: Callable[..., Awaitable[None]]) -> None:
        stop = self._stops[name] = anyio.Event()
        ended = self._ended[name] = trio.Event()
        life = 0
        while not stop.is_set():
            life += 1
            process = self.processes[name] = Process(name, life)
            self.trace.note(name, "starts", life)
            over = trio.Event()
            process.wakes[over] = over.set
            self.nursery.start_soon(self._run, process, body, stop, over)
            await over.wait()
            wire = self.wires[name]
            if process.alive:
                break
            self.nursery.start_soon(self._bury, wire)
            await trio.sleep(self.chance.between(0.05, 0.5 if self.healing else AWAY_S_MAX))
        ended.set()

    async def _run(
        self, process: Process, body: Callable[..., Awaitable[None]], stop: anyio.Event, over: trio.Event
    ) -> None:
        wire = Wire(process, self.chance, self.weather, self.oracle, self.nursery)
        self.wires[process.name] = wire
        try:
            with process.scope:
                await body(process, self._context(process, wire), stop)
        except Exception as error:  # noqa: BLE001  whatever ends a service by itself is a finding
            if process.alive:
                self.oracle.violated(f"{process.name} crashed by itself: {_told(error)}")
                process.alive = False
        else:
            if process.alive and not stop.is_set():
                self.oracle.violated(f"{process.name} ended by itself")
        over.set()

    async def _bury(self, wire: Wire) -> None:
        """Let the groups notice that a process is gone."""
        await trio.sleep(self.chance.between(0.05, SESSION_S_MAX))
        self._expel(wire)

    def _expel(self, wire: Wire) -> None:
        moved = [reader.expel() for reader in wire.readers]
        if any(moved):
            self.trace.note(wire.process.name, "expelled")
            self._rebalanced()

    def _rebalanced(self) -> None:
        self.oracle.happened("rebalance")
        if any(store.committing for store in self.stores.values()):
            self.oracle.happened("rebalance_in_mid_batch")

    def _context(self, process: Process, wire: Wire) -> Context:
        log: Any = SimLog(wire, self.log)
        store: Any = SimStore(wire, self.store)
        cache: Any = SimCache(wire, self.cache)
        self.stores[process.name] = store
        if self.copy is not None and process.name.startswith("node"):
            store = self.copies[process.name] = ReplicaStore(store, SimStore(wire, self.copy))  # type: ignore[arg-type]
        words: Any = Words(process, self.oracle)
        clock = self.clocks.setdefault(process.name, SimClock())
        return Context(
            settings=self.settings,
            log=log,
            admin=log,
            store=store,
            cache=cache,
            clock=clock,
            telemetry=Telemetry(process.name, level="warn", stream=words, now_ms=clock.now_ms),
            entropy=self.chance.entropy,
            config=PipelineConfig(),
        )

    async def _ingest(self, process: Process, context: Context, stop: anyio.Event) -> None:
        service = IngestService(context, http=False)
        async with trio.open_nursery() as nursery:
            self.doors[process.name] = Door(process, nursery, service)
            await service.run(stop)
            nursery.cancel_scope.cancel()

    async def _process(self, process: Process, context: Context, stop: anyio.Event) -> None:
        await Processor(context, process.name.partition("-")[0]).run(stop)

    async def _distribute(self, process: Process, context: Context, stop: anyio.Event) -> None:
        node = Node(context)
        hub = Hub(node.state, node.want)
        node.listen(hub)
        stream = None
        if self.wired:
            keys = KeyRing.of(self.settings, context.telemetry)
            stream = StreamServer(node, hub, context, Ops("distribution", context.telemetry, context.clock), keys)
        distribution = Distribution(node, hub, Joiner(node, hub, context), process, self.chance, stream)
        async with trio.open_nursery() as nursery:
            self.doors[process.name] = Door(process, nursery, distribution)
            nursery.start_soon(distribution.run)
            await stop.wait()
            nursery.cancel_scope.cancel()

    async def stop(self, *names: str) -> None:
        """Tell processes to stop; who is not gone in STOP_S broke a promise."""
        for name in names:
            self._stops[name].set()
        with trio.move_on_after(STOP_S) as scope:
            for name in names:
                await self._ended[name].wait()
        if scope.cancelled_caught:
            left = [name for name in names if not self._ended[name].is_set()]
            self.oracle.violated(f"{left} did not stop within {STOP_S:g} s")

    # what happens to them

    def crash(self, name: str) -> None:
        process = self.processes[name]
        if process.alive:
            self.trace.note(name, "crashes")
            self.oracle.happened("crash")
            if self.recovering:
                self.oracle.happened("crash_in_recovery")
            if self.oracle.assigning.get(name):
                self.oracle.happened("crash_in_assignment")
            process.crash()

    async def pause(self, name: str, pause_s: float) -> None:
        """Freeze a process for longer than its group waits for it; then it goes on as if nothing had been."""
        process, wire = self.processes[name], self.wires[name]
        if not process.alive or process.paused:
            return
        self.trace.note(name, "freezes for", f"{pause_s:.3f}")
        process.pause()
        patience_s = self.chance.between(0.3, SESSION_S_MAX)
        await trio.sleep(min(patience_s, pause_s))
        if pause_s > patience_s:
            self._expel(wire)
            await trio.sleep(pause_s - patience_s)
        process.resume()
        self.trace.note(name, "goes on")
        if process.alive and pause_s > patience_s:
            self.oracle.happened("zombie")
            await trio.sleep(self.chance.between(0, 0.3))
            if process.alive:  # who died meanwhile never comes back
                for reader in wire.readers:
                    reader.rejoin()
                self._rebalanced()

    async def outage(self, port: str, outage_s: float) -> None:
        self.trace.note(port, "is down for", f"{outage_s:.3f}")
        self.weather.down.add(port)
        self.oracle.happened(f"outage_{port}")
        await trio.sleep(outage_s)
        self.weather.down.discard(port)

    async def lose_leader(self, leader: int, gone_s: float) -> None:
        """Lose one node of the log, until the others lead its partitions."""
        self.trace.note("log", "loses the leader", leader, "for", f"{gone_s:.3f}")
        self.oracle.happened("leader_lost")
        self.weather.leaderless.add(leader)
        await trio.sleep(gone_s)
        self.weather.leaderless.discard(leader)

    async def set_clock(self, name: str, off_ms: int, off_s: float) -> None:
        """Set a machine's wall clock, and after a while set it right."""
        self.trace.note(name, "clock is off by", off_ms, "ms for", f"{off_s:.3f}")
        self.oracle.happened("own_clock_forward" if off_ms > 0 else "own_clock_back")
        self.clocks.setdefault(name, SimClock()).off_ms = off_ms
        await trio.sleep(off_s)
        self.clocks[name].off_ms = 0

    async def fail_over(self) -> None:
        self.unsettled += 1
        await fail_over(self.store, self.chance, self.oracle, self.weather)
        await trio.sleep(NOTICED_S)
        self.unsettled -= 1

    async def outlive(self, sport: str, goes_on: bool) -> None:  # noqa: FBT001
        """Keep a sport's only processor away until retention has passed one of its positions: it stops that partition.

        An operator may let it go on, once that was noticed.
        """
        name, place = f"{sport}-0", (topics.feed(sport), self.chance.seed % topics.PARTITIONS)
        while not self.oracle.outlived and not self.healing:
            await trio.sleep(self.chance.between(0.5, 1.5))
            self.crash(name)
            await trio.sleep(0.04)
            if not self.processes[name].alive and await outlive(self.log, self.store, place):
                self.trace.note(place, "is outlived")
                self.oracle.outlived.add(place)
        if goes_on and self.oracle.outlived:
            await self._let_go_on(name, place)

    async def _let_go_on(self, name: str, place: TopicPartition) -> None:
        """Be the operator who reads that a partition stopped, stops its processor and raises its lineage."""
        while not self.oracle.sometimes["said_partition_stopped"]:
            await trio.sleep(0.2)
            if await self._stood(place) >= self.log.bounds(place)[0]:
                # a commit that was on the wire when its process died came after retention, and saved the position
                self.oracle.outlived.discard(place)
                return
        await trio.sleep(self.chance.between(1.0, 4.0))
        self.crash(name)
        stood = await self._stood(place)
        operator = Process("operator", 1)
        context = self._context(operator, Wire(operator, self.chance, self.weather, self.oracle, self.nursery))
        while place not in self.oracle.raised:
            try:
                await raised(context, place)
            except UnavailableError:
                await trio.sleep(0.3)
            else:
                position = {each.partition: each for each in await self.store.positions([place[0]])}[place[1]]
                self.oracle.went_on(position, stood)
        self.crash(name)  # it may have come back before, and have stopped that partition again

    async def _stood(self, place: TopicPartition) -> int:
        return {each.partition: each.next_offset for each in await self.store.positions([place[0]])}[place[1]]

    async def slip(self) -> None:
        """Put a record into a feed that nobody can read, counted as a foreign writer would."""
        event, partition, body = corrupt(self.chance)
        record = Record(topics.feed("football"), event, body, self.clock.now_ms(), partition)
        await self.log.append([record], {"received": 1, "accepted": 1})

    def heal(self) -> None:
        """No more faults: what the world owes is paid from here on."""
        self.healing = True
        calm = Weather(down=set(), leaderless=set())
        for name in calm.__struct_fields__:
            setattr(self.weather, name, getattr(calm, name))
        for clock in self.clocks.values():
            clock.off_ms = 0

    async def at_rest(self) -> Rest:
        """Return what there is."""
        kept = {place: partition.records for place, partition in self.log._partitions.items()}
        feeds = [(topics.feed(sport), n) for sport in SPORTS for n in range(topics.PARTITIONS)]
        return Rest(
            oracle=self.oracle,
            feeds={place: kept[place] for place in feeds},
            starts={place: self.log.bounds(place)[0] for place in feeds},
            updates=kept,
            alive=kept[topics.ALIVE, 0],
            letters=kept[topics.DEAD_LETTER, 0],
            account=await self.log.account(),
            store=self.store,
            cache=self.cache,
            nodes={name: partial(self._asked, name) for name in self.nodes()},
            evicted=self.cache.evicted,
        )

    async def _asked(self, name: str, event: str) -> Event | None:
        snapshot = await self.doors[name].service.node.event(event)
        return None if snapshot is None else snapshot.event

    # the way in and out

    def nodes(self) -> list[str]:
        return [f"node-{number}" for number in range(self.shape.nodes)]

    def door(self, kind: str) -> Door | None:
        """Return a door of a process of that kind that is alive, any of them."""
        doors = [door for name, door in self.doors.items() if name.startswith(kind) and door.process.alive]
        return self.chance.pick(doors) if doors else None

    @property
    def steps_ms(self) -> int:
        """Return by how much the live source's clock jumps once."""
        return self.shape.steps

    async def post(self, request: IntakeRequest) -> IntakeAnswer | None:
        """Post to any ingest that lives; None where none does. Raises CutError."""
        door = self.door("ingest")
        return None if door is None else await door.post(door.service.intake, request, self.chance)

    async def follow(self, application: Application) -> None:
        """Let an application follow the stream for ever, from node to node."""
        while True:
            door = self.door("node")
            if door is None or door.service.node.reason is not None:
                await trio.sleep(0.2)
                continue
            connection: Any = Connection(door.service, self.oracle)
            if self.wired:
                connection = Line(door.service.stream, door.process, self.oracle)
            door.nursery.start_soon(connection.serve, application.asked())
            try:
                await application.stay(connection)
            except CutError:
                connection.cut()
            await trio.sleep(self.chance.between(0, 0.4))


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    trail = error.__traceback__
    places = []
    while trail is not None:
        places.append(f"{trail.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trail.tb_lineno}")
        trail = trail.tb_next
    return f"{type(error).__name__}: {error} at {' '.join(places[-6:])}"
