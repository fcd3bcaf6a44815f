"""The world's clients: providers that send until they are answered, and applications that follow the stream.

The rule: a client knows only what it was told. A provider repeats the same bytes after 503, 429 or a cut; an application
applies what it hears by the client library's own rules and takes its cursor with it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import trio
from sim_oracle import Oracle
from simulation import Chance, Process

from sb_core.client_frames import Changed, Followed, Frame, Gap, Happened, Heard, Snapshot, Updates
from sb_core.topics import SPORTS
from sb_distribute import wire
from sb_distribute.hub import FLUSH_BYTES_MAX, Hub
from sb_distribute.join import Joiner
from sb_distribute.node import Node
from sb_distribute.session import Join, Limits, Session
from sb_distribute.wire import RefusedError
from sb_ingest.answers import IntakeAnswer, IntakeRequest
from sb_ingest.intake import Intake

OUTLET_FRAMES_MAX: Final = 4
"""Frames on the way to a client; with more its outlet is busy, as a full socket is."""
HANGS: Final = 0.02
"""How often, by frames, a client that hangs does so."""
NDJSON: Final = "application/x-ndjson"
_frames: Final = msgspec.json.Decoder(Frame)


class CutError(Exception):
    """The connection broke; nobody knows what became of the request."""


class Door:
    """The way into a process from outside: gone with the process. Requests run as the process's own tasks."""

    def __init__(self, process: Process, nursery: trio.Nursery, service: Any) -> None:
        self.process = process
        self.nursery = nursery
        self.service = service

    async def post(self, intake: Intake, request: IntakeRequest, chance: Chance) -> IntakeAnswer:
        """Post and wait for the answer. Raises CutError where the process dies, or the network swallows the answer."""
        if not self.process.alive:
            raise CutError
        answers: list[IntakeAnswer] = []
        over = trio.Event()

        async def serve() -> None:
            answer = await intake.accept(request)
            await self.process.gate()
            answers.append(answer)
            over.set()

        self.process.wakes[over] = over.set
        self.nursery.start_soon(serve)
        try:
            await over.wait()
        finally:
            del self.process.wakes[over]
        if not answers or chance.happens(0.02):
            raise CutError
        return answers[0]


class Distribution:
    """A node with its hub, as the stream's server wires them, without sockets."""

    def __init__(self, node: Node, hub: Hub, joiner: Joiner, process: Process, chance: Chance, stream: Any) -> None:
        self.node = node
        self.hub = hub
        self.joiner = joiner
        self.stream = stream
        self.process = process
        self.chance = chance

    async def run(self) -> None:
        """Run the node, and the hub's clocks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.node.run)
            nursery.start_soon(self._clocks)
            if self.stream is not None:
                nursery.start_soon(self.stream._keep_alive)

    async def _clocks(self) -> None:
        clock = self.node.clock
        while True:
            due_ms = self.hub.next_due_ms()
            await trio.sleep(0.05 if due_ms is not None else 0.25)
            await self.process.gate()
            self.hub.due(clock.now_ms())
            self.hub.beat(clock.now_ms())


class Connection:
    """Server's end and client's end of one stream; the hub's Outlet."""

    def __init__(self, server: Distribution, oracle: Oracle) -> None:
        self.server = server
        self.oracle = oracle
        self.frames: deque[bytes] = deque()
        self.arrived = trio.Event()
        self.wakeup = trio.Event()
        self.owed = False
        self.closed = False
        limits = Limits(8, 1_000_000, 3_000)
        server.process.wakes[self] = self.cut
        self.session = Session(server.chance.entropy(8).hex(), wire.JSON, limits, SPORTS, server.node.clock.now_ms())

    def cut(self) -> None:
        """End it: neither side hears of the other any more."""
        self.closed = True
        self.server.process.wakes.pop(self, None)
        self.arrived.set()
        self.wakeup.set()

    @property
    def busy(self) -> bool:
        return len(self.frames) >= OUTLET_FRAMES_MAX or self.closed

    @property
    def well(self) -> bool:
        """Whether nothing hinders what is said at one end from being heard at the other."""
        process = self.server.process
        return process.alive and not process.paused and not self.closed and not self.frames

    def write(self, messages: Sequence[bytes]) -> None:
        if not self.server.process.alive:
            self.oracle.violated("a dead node wrote to a client")
        self.frames.extend(messages)
        self.arrived.set()
        if self.busy:
            self.wake()

    def wake(self) -> None:
        self.owed = True
        self.wakeup.set()

    async def serve(self, asked: bytes) -> None:
        """Be the server's task: subscribe, then take over whenever the outlet was busy."""
        hub, session, now_ms = self.server.hub, self.session, self.server.node.clock.now_ms
        hub.attach(session, self)
        session.hello(self.server.node.lineage)
        try:
            effect = session.receive(asked, now_ms())
            if isinstance(effect, Join):
                try:
                    await self.server.joiner.join(session, effect)
                except RefusedError as refused:
                    session.refuse(refused)
            hub.flush((session,), now_ms())
            while not self.closed:
                await self.wakeup.wait()
                self.wakeup = trio.Event()
                await self.server.process.gate()
                if self.owed and len(self.frames) < OUTLET_FRAMES_MAX and not self.closed:
                    messages, self.owed = session.take(hub, now_ms(), FLUSH_BYTES_MAX)
                    if messages:
                        self.write(messages)
                    if self.owed:
                        self.wakeup.set()
        finally:
            hub.detach(session)

    async def receive(self) -> bytes:
        """Be the client's side: the next frame. Raises CutError when the node is gone."""
        while not self.frames:
            if not self.server.process.alive:
                raise CutError
            self.arrived = trio.Event()
            await self.arrived.wait()
        frame = self.frames.popleft()
        if self.owed:
            self.wakeup.set()
        return frame


class Application:
    """A client of the stream that comes, goes, is slow and comes back with its cursor."""

    def __init__(self, name: str, request: dict[str, Any], chance: Chance, oracle: Oracle) -> None:
        self.name = name
        self.chance = chance
        self.oracle = oracle
        self.followed = Followed({"op": "subscribe", "sub": "s", **request})
        self.connection: Any = None
        self.hangs = False
        """It hangs, and vanishes."""
        self.hurried = False
        """No more cuts and no more slowness."""
        self.reads = True
        """It waits for frames; else it has one in hand that it has not looked at."""

    async def stay(self, connection: Any) -> None:
        """Follow one connection until it is cut."""
        self.connection = connection
        while True:
            self.reads = True
            frame = await connection.receive()
            self.reads = False
            if self.hangs and not self.hurried and self.chance.happens(HANGS):
                await self._hang(connection)
            if not self.hurried and self.chance.happens(0.3):
                await trio.sleep(self.chance.between(0, 0.25))
            self.hear(_frames.decode(frame))
            if not self.hurried and self.chance.happens(0.012):
                raise CutError

    async def _hang(self, connection: Any) -> None:
        """Read nothing for longer than the node waits, or go for good without a word."""
        if self.chance.happens(0.3):
            connection.abandon()
            raise CutError
        await trio.sleep(self.chance.between(0.5, 5.0))

    def hear(self, said: Any) -> None:
        if not isinstance(said, Heard):
            return
        if isinstance(said, Updates):
            for item in said.items:
                if item.con:
                    self.oracle.conflated(self.name, item)
        for happened in self.followed.hear(said):
            self._judge(happened)

    def _judge(self, happened: Happened) -> None:
        if isinstance(happened, Gap):
            self.oracle.violated(f"{self.name} was given a gap: {happened}")
        elif isinstance(happened, Changed | Snapshot):
            self.oracle.read(self.name, happened.event)
        elif happened.__class__.__name__ == "Subscribed":
            self.oracle.happened(f"subscribed_from_{happened.source}")  # type: ignore[union-attr]

    def asked(self) -> bytes:
        """Return the request to begin or to go on with."""
        cursor = {} if self.followed.cursor is None else {"cursor": self.followed.cursor}
        return msgspec.json.encode({**self.followed.request, **cursor})
