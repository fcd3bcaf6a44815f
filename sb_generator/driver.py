"""Plays the world against the clock: steps it, applies scenario and faults, and sends what it says when that is planned.

The rule: what waits is bounded; when it is full the world stands still, and what it would have said is told late or, as
far as it is prices only, not at all. What could not be delivered is followed by a recovery.

The world is stepped AHEAD_MS into the future, so that what it says waits for its time and not the other way round.
"""

import gc
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import anyio
from msgspec import Struct, structs

from sb_core.errors import DependencyError
from sb_core.messages import AnyMessage, EventStatus, Fixture
from sb_core.ports import Clock
from sb_core.telemetry import Telemetry
from sb_generator.casting import PROVIDER
from sb_generator.chance import Chance
from sb_generator.control import Command, Controls, Patch, commanded, patched
from sb_generator.delivery import Answer, Send, deliver
from sb_generator.explained import Explained
from sb_generator.faults import Faults
from sb_generator.schedule import SCENARIOS, Queue, silent, storms
from sb_generator.speech import Speaker, Spoken
from sb_generator.speech.canonical import FEED
from sb_generator.speech.languages import LANGUAGES
from sb_generator.struck import SpokenHandle
from sb_generator.voice import LIVE
from sb_generator.world import PRODUCERS, World, phases

GC_THRESHOLDS: Final = (1_000, 4, 25_000)
"""For a process that does nothing else. A world is a million objects without cycles, some always replaced: looking
through what is new is to be short (below 1 ms; 60 ms, twice a second, with the other services' thresholds), looking
through all of it (200 ms and more) rare (about once in an hour)."""
TICK_S_MAX: Final = 0.02
TICK_S_MIN: Final = 0.004
TICK_MESSAGES: Final = 10
"""A step of the world makes about so many: nothing is sent meanwhile, so what is due then is that late."""
AHEAD_MS: Final = 100
STALL_MS_MAX: Final = 2_000
"""A world that stood still for longer goes on without the prices of that time."""
SILENT_MS: Final = 15_000
"""After a pause that its receivers may have taken for an outage, everything is said again."""
RECOVERY_DELAY_MS: Final = 2_000
RECOVERY_EVERY_S: Final = 30
"""How often a recovery may be asked for."""
POPULATED_S: Final = 25.0
"""After which even a large world has all its matches."""
IDLE_S: Final = 3_600.0
OWED_MAX: Final = 8
"""Recoveries that wait for their time, or for a silent producer."""


class _Owed(Struct, frozen=True):
    """A recovery to be told at `ms`, of what was said after `after_ms`."""

    ms: int
    request: str
    producers: tuple[str, ...] = PRODUCERS
    after_ms: int = 0


class Driver:
    """The generator without its port."""

    def __init__(self, controls: Controls, clock: Clock, telemetry: Telemetry) -> None:
        self.controls = controls
        self._clock = clock
        self._telemetry = telemetry
        self._queue = Queue()
        self._wake = anyio.Event()
        self._emptied = anyio.Event()
        self._begun = anyio.Event()
        self._world: World | None = None
        self._speaker: Speaker = LANGUAGES[controls.language]()
        self.on_sent: Callable[[list[float]], None] | None = None
        """Hears, for each document handed to the network, how late that was, in ms."""
        self._session = ""
        self._begun_ms = 0
        self._stood_ms = 0
        self._from_ms = 0
        """Since when the world runs without a break: nothing was planned to go before."""
        self._recoveries = 0
        self._asked_ms = -RECOVERY_EVERY_S * 1000
        self._owed: list[_Owed] = []
        self._sending = False
        self._lost = False
        self._trouble: str | None = None
        self._counts = dict.fromkeys(("made", "sent", "accepted", "retried", "failed", "discarded"), 0)
        self._refused: dict[str, int] = {}
        self._faults, self._explained = self._faulty()
        self._made = telemetry.counter("messages_made_total", "Messages that the world said.")
        self._sent = telemetry.counter("messages_sent_total", "Messages sent, by what became of them.", ("outcome",))
        self._late = telemetry.histogram("lateness_seconds", "From a message's planned time to its sending.")
        self._waiting = telemetry.gauge("waiting_messages", "Messages that wait for the network.")

    def __repr__(self) -> str:
        return f"<Driver {self.controls.state} {self._world!r} {self._queue!r}>"

    def _faulty(self) -> tuple[Faults[Spoken], Explained]:
        handle = SpokenHandle(self._speaker.provider)
        return Faults(self.controls.faults, Chance(f"faults {self.controls.seed}"), handle), Explained()

    @property
    def run(self) -> str | None:
        """The part of event ids that is this run's own; None before the first start."""
        return None if self._world is None else self._world.run

    def state(self) -> dict[str, object]:
        """Return the body of GET /v1/state."""
        controls, world = self.controls, self._world
        return {
            "state": controls.state,
            "rate": controls.rate,
            "seed": controls.seed,
            "scenario": controls.scenario,
            "language": controls.language,
            "faults": structs.asdict(controls.faults),
            "scenarios": {name: each.text for name, each in SCENARIOS.items()},
            "languages": list(LANGUAGES),
            "run": self.run,
            "since": self._begun_ms or None,
            "events": phases(world.census()) if world is not None else None,
            **self._counts,
            "refused": dict(sorted(self._refused.items())),
            "struck": dict(self._faults.struck),
            "offered": self._faults.offered,
            "held": self._faults.held,
            "account": self._explained.told(self._faults.struck),
            "waiting": len(self._queue),
            "late_ms": self._queue.late_ms,
            "late_ms_max": self._queue.late_ms_max,
        }

    # commands

    def command(self, command: Command) -> None:
        """Start, pause or stop."""
        before, self.controls = self.controls, commanded(self.controls, command)
        if self.controls.state != before.state:
            self._telemetry.info("generator", state=self.controls.state, before=before.state)
        if self.controls.state == "stopped":
            self._world = None

    def patch(self, patch: Patch) -> None:
        """Change what is wanted; another seed or language makes another world. Raises ValueError."""
        before, self.controls = self.controls, patched(self.controls, patch)
        if (self.controls.seed, self.controls.language) != (before.seed, before.language):
            self._world = None
            # what waits is of a world, perhaps in a language, that is no more
            self._counts["discarded"] += self._queue.clear()
        if (self.controls.faults, self.controls.language) != (before.faults, before.language):
            self._put(self._faults.flush())
            if self.controls.language != before.language:
                self._speaker = LANGUAGES[self.controls.language]()
            self._faults, self._explained = self._faulty()

    def halt(self) -> None:
        """Say nothing new from now on."""
        self.controls = commanded(self.controls, "stop")
        self._put(self._faults.flush())

    async def ping(self) -> None:
        """Raise DependencyError while ingest doesn't take what is sent."""
        if self._trouble is not None:
            raise DependencyError(self._trouble)

    async def drained(self) -> None:
        """Wait until everything that waits is sent."""
        while len(self._queue) or self._sending:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def another_run(self, run: str | None) -> str:
        """Wait for a world of another run than this; return its run."""
        while self.run is None or self.run == run:
            self._begun = anyio.Event()
            await self._begun.wait()
        return self.run

    def ask(self, request: str, producers: Iterable[str] = PRODUCERS, after_ms: int = 0) -> int | None:
        """Have producers say everything again, for whoever asks; return the seconds until that may be asked again.

        0: it is said, with this request's id. None: there is no world to speak of.
        """
        if self._world is None or self.controls.state != "running":
            return None
        now_ms = self._clock.now_ms()
        waits_ms = self._asked_ms + RECOVERY_EVERY_S * 1000 - now_ms
        if waits_ms > 0:
            return -(-waits_ms // 1000)
        self._asked_ms = now_ms
        self._owed = [*self._owed[-OWED_MAX:], _Owed(now_ms, request, tuple(producers), after_ms)]
        return 0

    # the world

    async def play(self) -> None:
        """Step the world, for ever."""
        begun_s: float | None = self._clock.monotonic_s()
        while True:
            if self.controls.state == "running":
                self.tick(self._clock.now_ms() + AHEAD_MS)
            if begun_s is not None and self._clock.monotonic_s() - begun_s > POPULATED_S:
                # what a world needs lives long: looking through all of it again and again would make messages late
                gc.freeze()
                begun_s = None
            await anyio.sleep(min(TICK_S_MAX, max(TICK_S_MIN, TICK_MESSAGES / self.controls.rate)))

    def tick(self, now_ms: int) -> None:
        """Bring the world to a time."""
        if self._queue.full:
            return
        world = self._world
        if world is None:
            world = self._begin(now_ms)
        before_s, elapsed_s = (self._stood_ms - self._begun_ms) / 1000, (now_ms - self._begun_ms) / 1000
        scenario = SCENARIOS[self.controls.scenario]
        rate = self.controls.rate * scenario.factor(elapsed_s)
        if abs(rate - world.rate) > 0.01 * rate:
            world.set_rate(rate, population=self.controls.rate)
        stood_ms = now_ms - self._stood_ms
        if stood_ms > STALL_MS_MAX:
            world.resume(now_ms)
            self._from_ms = now_ms
        if storms(scenario, before_s, elapsed_s):
            world.storm(now_ms)
        said = world.step(now_ms)
        quiet = frozenset({LIVE}) if silent(scenario, elapsed_s) else frozenset[str]()
        back = world.silent - quiet
        world.silent = quiet
        self.say(each for each in said if each.producer not in quiet)
        if stood_ms > SILENT_MS or back or self._lost:
            self._interrupted(world, now_ms)
        self._recover(world, now_ms)
        self._tell(self._speaker.pause(now_ms))
        self._put(self._faults.passed(now_ms))
        self._stood_ms = now_ms

    def _begin(self, now_ms: int) -> World:
        self._begun_ms = self._stood_ms = self._from_ms = now_ms
        self._owed = []
        world = self._world = World(self.controls.seed, now_ms, self.controls.rate)
        self._session = f"{PROVIDER}-{world.run}"
        self._tell(self._speaker.begin(now_ms))
        self._begun.set()
        self._telemetry.info("world", seed=world.seed, run=world.run)
        return world

    def _interrupted(self, world: World, now_ms: int) -> None:
        """Announce a recovery. It comes a little later, as one that was asked for does: receivers note the outage first."""
        self._lost = False
        self._recoveries += 1
        request = f"{world.run}-r{self._recoveries}"
        self.say(world.interrupted(now_ms, request))
        self._owed.append(_Owed(now_ms + RECOVERY_DELAY_MS, request))

    def _recover(self, world: World, now_ms: int) -> None:
        """Answer the recoveries that are due, but for what of a silent producer: it can't."""
        due = [each for each in self._owed if now_ms >= each.ms and world.silent.isdisjoint(each.producers)]
        for each in due:
            self._owed.remove(each)
            self.say(world.recover(now_ms, each.request, each.producers, each.after_ms))
            self._tell(self._speaker.again(now_ms))

    def end_events(self, events: Iterable[tuple[str, str, EventStatus]]) -> None:
        """Tell the end of simulated events that aren't this run's: (event, sport, status).

        Only canonical messages name them; other languages have ids of their own.
        """
        if self._speaker.provider != FEED:
            return
        ours = f"{PROVIDER}:{self.run}-"
        now_ms = self._clock.now_ms()
        self.say(
            Fixture(ts=now_ms, provider=PROVIDER, producer=LIVE, event=event, sport=sport, status=status)
            for event, sport, status in events
            if event.startswith(f"{PROVIDER}:") and not event.startswith(ours)
        )

    def say(self, messages: Iterable[AnyMessage]) -> None:
        """Queue messages in the language that is spoken, with faults."""
        said = list(messages)
        self._counts["made"] += len(said)
        self._made.inc(len(said))
        self._tell(self._speaker.say(said))

    def _tell(self, spoken: list[Spoken]) -> None:
        self._put(self._faults.apply(spoken) if self.controls.faults else spoken)

    def _put(self, spoken: list[Spoken]) -> None:
        from_ms = self._from_ms
        self._queue.put([each if each.ms >= from_ms else structs.replace(each, ms=from_ms) for each in spoken])
        self._waiting.set(len(self._queue))
        if len(self._queue):
            self._wake.set()

    # the network

    async def send(self, send: Send) -> None:
        """Send what waits, in order, when it is planned, one request at a time, for ever."""

        async def noted(provider: str, body: bytes, content_type: str, query: Mapping[str, str], /) -> Answer:
            answer = await send(provider, body, content_type, query)
            self._trouble = None if answer.is_judged else f"{answer.status} {answer.code} {answer.detail}"
            return answer

        while True:
            await self._until_due()
            batch = self._queue.take(self._clock.now_ms(), apart=self._speaker.apart)
            self._sending = True
            try:
                await self._deliver(noted, batch)
            finally:
                self._sending = False
            if not len(self._queue):
                self._emptied.set()

    async def _until_due(self) -> None:
        """Wait for something that is to go now."""
        while True:
            next_ms = self._queue.next_ms
            wait_s = IDLE_S if next_ms is None else (next_ms - self._clock.now_ms()) / 1000
            if wait_s <= 0:
                return
            if next_ms is not None:
                await anyio.sleep(wait_s)
                return
            self._wake = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._wake.wait()

    async def _deliver(self, send: Send, batch: list[Spoken]) -> None:
        if not batch:
            return
        speaker = self._speaker
        query = {"session": self._session} if speaker.session else {}
        now_ms = self._clock.now_ms()
        self._late.observe(max(0, now_ms - batch[0].ms) / 1000)
        if self.on_sent is not None:
            self.on_sent([float(now_ms - each.ms) for each in batch])
        delivered = await deliver(send, speaker.provider, speaker.body(batch), speaker.content_type, query)
        self._counts["sent"] += len(batch)
        self._counts["retried"] += delivered.retried
        self._queue.sent(batch, self._clock.now_ms())
        self._waiting.set(len(self._queue))
        self._judge(delivered.answer, batch)

    def _judge(self, answer: Answer, batch: list[Spoken]) -> None:
        failed = not answer.is_judged
        self._explained.judged((each.marks for each in batch), answer.refused_at, failed=failed)
        if failed:
            self._counts["failed"] += len(batch)
            self._sent.labels("failed").inc(len(batch))
            # whoever listens has a picture with holes now
            self._lost = True
            self._telemetry.warn("not_delivered", messages=len(batch), status=answer.status, detail=answer.detail)
            return
        refused = sum(answer.refused.values())
        self._counts["accepted"] += answer.accepted
        self._sent.labels("accepted").inc(answer.accepted)
        self._sent.labels("refused").inc(refused)
        for code, number in answer.refused.items():
            self._refused[code] = self._refused.get(code, 0) + number
        if refused and not self.controls.faults:
            self._telemetry.warn("refused", codes=dict(answer.refused))
