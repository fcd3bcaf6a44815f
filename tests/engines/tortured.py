"""The ground under the oracle on real engines: services as processes, their wires, and what is seen of them from outside.

The rules: nothing is asked of a service that a stranger could not ask; everything else is read from topics, the database
and the cache, by connections that no fault of ours touches.
"""

import json
from contextlib import asynccontextmanager
from functools import partial

import httpx
import trio
from engine_wire import Wire
from faulty_wire import FaultyWire
from services import Services
from sim_clients import CutError
from sim_verdict import Rest
from sim_workload import SPORT_OF, corrupt
from websockets.exceptions import WebSocketException
from websockets.trio.client import connect

from sb_core import shown, topics
from sb_core.adapters.mysql_connect import parse_address
from sb_core.errors import DependencyError
from sb_core.records import Record
from sb_core.runtime import SystemClock
from sb_ingest.answers import IntakeAnswer

INGESTS = ("ingest", "ingest2")
PROCESSORS = ("football", "football2", "tennis")
NODES = ("distribute", "distribute2")
NAMES = (*INGESTS, *PROCESSORS, *NODES)
SPORTS = ("football", "tennis")
ENGINES = ("kafka", "mysql", "redis")
HTTP_S = 20
RECORDS_MAX = 1_000
SWALLOWED = 0.02
"""How often an answer gets lost between ingest and a provider."""
TRANSACTIONS_STRUCK = 0.01
"""The share of transactions that the wire to the database does something bad to."""
EXPECTED = {200, 404, 429, 503}


class WiredServices(Services):
    """Two of everything that may be two, each engine behind a wire."""

    def __init__(self, data, engines, chance):
        super().__init__(data, NAMES)
        address, stack = parse_address(engines.stack.store_url), engines.stack
        self.wires = {
            "kafka": Wire("127.0.0.1", engines.wired_port, listen_port=engines.wire_port),
            "mysql": FaultyWire(
                address.host, address.port, share=TRANSACTIONS_STRUCK, seed=int(chance.between(0, 1_000_000))
            ),
            "redis": Wire("127.0.0.1", int(stack.cache_url.rpartition("/")[0].rpartition(":")[2])),
        }

    def environment(self):
        environment = super().environment()
        for name, engine in (("SB_LOG_URL", "kafka"), ("SB_STORE_URL", "mysql"), ("SB_CACHE_URL", "redis")):
            environment[name] = self.wires[engine].url(environment[name])
        return environment


class FromStart(trio.abc.Clock):
    """Trio's time, in seconds from the start."""

    def start_clock(self):
        self.begun_s = SystemClock().monotonic_s()

    def current_time(self):
        return SystemClock().monotonic_s() - self.begun_s

    def deadline_to_sleep_time(self, deadline):
        return deadline - self.current_time()


class Tortured:
    """What the simulation's providers and clients stand on here (sim_provider.Ground)."""

    steps_ms = 0

    def __init__(self, chance, trace, oracle, services, opened, http, nursery):
        self.chance, self.trace, self.oracle = chance, trace, oracle
        self.clock = SystemClock()
        self.services = services
        self.log, self.admin, self.store, self.cache = opened.log, opened.admin, opened.store, opened.cache
        self.nursery = nursery
        self.recovering = 0
        self.enough = False
        self.away = set()
        """Services that are killed, stopped or leaving, by us."""
        self.unread_since_ms = None
        """Since when nobody behind the wire has read anything of the log."""
        self.witnessing = trio.CancelScope()
        self.read_s = 0.0
        """When all that was in the updates topics was last known here."""
        self.http = http
        self.applications = []
        self._known = {}

    # providers

    async def post(self, request):
        name = self.chance.pick(INGESTS)
        url = f"{self.services.base(name)}/v1/feeds/{request.provider}"
        try:
            answer = await self.http.post(url, content=request.body, headers={"content-type": request.content_type})
        except httpx.TransportError as error:
            raise CutError from error
        if self.chance.happens(SWALLOWED):
            raise CutError
        return IntakeAnswer(answer.status_code, answer.content)

    async def operate(self):
        """Replay a dead letter now and then, until it is enough."""
        while not self.enough:
            await trio.sleep(self.chance.between(1, 6))
            base = self.services.base(self.chance.pick(INGESTS))
            try:
                page = await self.http.get(f"{base}/v1/deadletters", params={"limit": 100})
                if page.status_code == 200 and page.json()["items"]:
                    letter = self.chance.pick([each["id"] for each in page.json()["items"]])
                    asked = {"ids": [letter], "dry_run": False}
                    answer = await self.http.post(f"{base}/v1/deadletters/replay", json=asked)
                    self.oracle.happened(f"letter_answered_{answer.status_code}")
            except httpx.TransportError:
                self.oracle.happened("letter_cut")

    async def slip(self):
        """Put a record into a feed that nobody can read, counted as a foreign writer would."""
        event, partition, body = corrupt(self.chance)
        record = Record(topics.feed("football"), event, body, self.clock.now_ms(), partition)
        await self.log.append([record], {"received": 1, "accepted": 1})

    # what is seen

    async def witness(self):
        """Show the oracle every record of the updates topics, until `witnessing` is cancelled."""
        with self.witnessing:
            await self._witness()

    async def _witness(self):
        while True:
            reader = self.log.reader([topics.updates(sport) for sport in SPORTS])
            try:
                while True:
                    await self._see(await reader.read(records_max=RECORDS_MAX, wait_s=0.2), reader)
            except DependencyError as error:
                self.trace.note("the witness waits:", error)
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await reader.aclose()
            await trio.sleep(0.2)

    async def _see(self, delivery, reader):
        for place in delivery.assigned:
            reader.seek(place, self._known.setdefault(place, 0))
        for record in delivery.records:
            place = record.topic, record.partition
            self.oracle.expect(
                record.offset == self._known[place], f"{place}: {record.offset} after {self._known[place]}"
            )
            self._known[place] = record.offset + 1
            self.oracle.appended("a processor", [record])
        if not delivery.assigned and len(delivery.records) < RECORDS_MAX:
            self.read_s = trio.current_time()

    async def ask(self):
        """Be a REST client: nobody is given an older event than was given when it asked."""
        given = {}

        async def one(name, event):
            life = self.services.processes[name].pid
            before = given.get((life, event), 0)
            try:
                answer = await self.http.get(f"{self.services.base(name)}/v1/events/{event}")
            except httpx.TransportError:
                self.oracle.happened("rest_cut")
                return
            if self.services.processes[name].pid != life:
                return
            self.oracle.happened(f"rest_{answer.status_code}")
            self.oracle.expect(
                answer.status_code in EXPECTED, f"rest answered {answer.status_code}: {answer.text[:500]}"
            )
            if answer.status_code == 200:
                event_shown = shown.event_decoder.decode(answer.content)
                self.oracle.expect(
                    event_shown.rev >= before, f"rest of {name} went back to {event} rev {event_shown.rev}"
                )
                given[life, event] = max(event_shown.rev, given.get((life, event), 0))
                self.oracle.read(f"rest of {name}", event_shown)

        while True:
            await trio.sleep(self.chance.between(0.05, 0.5))
            self.nursery.start_soon(one, self.chance.pick(NODES), self.chance.pick(tuple(SPORT_OF)))

    async def follow(self, application):
        """Let an application follow the stream for ever, from node to node."""
        while True:
            name = self.chance.pick(NODES)
            try:
                async with line(self.services.stream(name), name) as connection:
                    await connection.socket.send(application.asked().decode())
                    await application.stay(connection)
            except* (
                CutError,
                OSError,
                WebSocketException,
                trio.BrokenResourceError,
                trio.ClosedResourceError,
                EOFError,
            ):
                self.oracle.happened("stream_cut")
            application.connection = None
            await trio.sleep(self.chance.between(0, 0.4))

    async def watch_processes(self):
        """See that no service ends unless we end it."""
        while True:
            await trio.sleep(0.5)
            for name, process in self.services.processes.items():
                code = process.poll()
                if code is not None and name not in self.away:
                    tail = self.services.log_of(name).read_text()[-3000:]
                    self.oracle.violated(f"{name} ended by itself with {code}: {tail}")

    # at rest

    async def node_event(self, name, event):
        answer = await self.http.get(f"{self.services.base(name)}/v1/events/{event}")
        return shown.event_decoder.decode(answer.content) if answer.status_code == 200 else None

    async def whole(self, *names):
        """Read topics from their starts to their ends; return the records by partition."""
        found, ends = {}, await self.admin.ends(names)
        reader = self.log.reader(names)
        known = dict.fromkeys(ends, 0)
        while any(known[place] < end for place, end in ends.items()):
            delivery = await reader.read(records_max=RECORDS_MAX, wait_s=1)
            for place in delivery.assigned:
                reader.seek(place, 0)
            for record in delivery.records:
                found.setdefault((record.topic, record.partition), []).append(record)
                known[record.topic, record.partition] = record.offset + 1
        await reader.aclose()
        return {place: found.get(place, []) for place in ends}

    async def at_rest(self):
        feeds = await self.whole(*(topics.feed(sport) for sport in SPORTS))
        return Rest(
            oracle=self.oracle,
            feeds=feeds,
            starts=await self.admin.starts([topics.feed(sport) for sport in SPORTS]),
            updates=await self.whole(*(topics.updates(sport) for sport in SPORTS)),
            alive=(await self.whole(topics.ALIVE))[topics.ALIVE, 0],
            letters=(await self.whole(topics.DEAD_LETTER))[topics.DEAD_LETTER, 0],
            account=await self.log.account(),
            store=self.store,
            cache=self.cache,
            nodes={name: partial(self.node_event, name) for name in NODES},
        )

    def error_lines(self):
        """Return what services logged as errors; what drivers say of faults of ours is none."""
        lines = (json.loads(each) for name in NAMES for each in self._lines(name))
        return [each for each in lines if each["level"] == "error" and each["event"] != "library_log"]

    def _lines(self, name):
        return [each for each in self.services.log_of(name).read_text().splitlines() if each.startswith("{")]


class Line:
    """The client's end of one connection to the stream; what Application.stay asks of it."""

    def __init__(self, socket, node):
        self.socket = socket
        self.node = node

    async def receive(self):
        return await self.socket.recv()


@asynccontextmanager
async def line(url, node):
    options = {"subprotocols": ["sb.v1.json"], "max_size": 64 * 2**20, "compression": None, "proxy": None}
    async with connect(f"{url}/v1/stream", open_timeout=10, close_timeout=1, **options) as socket:
        yield Line(socket, node)
