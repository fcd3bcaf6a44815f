"""The world's providers: each says what a producer says, in bursts, and sends every message until it is answered.

The rule: a provider knows only what it was answered; what was answered 202 is what the oracle takes for accepted. Where
its posts go (a simulated door, or HTTP), the ground that it stands on knows.
"""

from typing import Final, Protocol

import msgspec
import trio
from sim_clients import NDJSON, CutError
from sim_oracle import Oracle
from sim_watch import SILENT_S, see_silence
from sim_workload import FOOTBALL, LIVE, PREMATCH, TENNIS, Maker, Sent
from simulation import Chance, Trace

from sb_core.ports import Clock
from sb_ingest.answers import IntakeAnswer, IntakeRequest

ALIVE_S: Final = 4.0
RESENT_MAX: Final = 30
"""Old bodies that a provider may send again."""


class Ground(Protocol):
    """What a provider stands on; `post` gives None where nobody is there to be asked, and raises CutError."""

    chance: Chance
    oracle: Oracle
    trace: Trace
    clock: Clock
    nursery: trio.Nursery
    recovering: int
    """Recoveries of producers under way."""

    @property
    def steps_ms(self) -> int:
        """By how much the live source's clock jumps once."""
        ...

    async def post(self, request: IntakeRequest) -> IntakeAnswer | None: ...


class Provider:
    """One producer: its messages, its alives, its silences and recoveries; sends until answered."""

    def __init__(self, world: Ground, producer: str) -> None:
        self.world = world
        self.chance = world.chance
        self.maker = Maker(world.chance, producer, world.clock)
        self.pace = 1.0
        """How long it pauses between bursts, of what is usual."""
        self.producer = producer
        self.silent = False
        self.enough = False
        """It begins nothing any more."""
        self.out = 0
        """Posts under way."""
        self._old: list[list[Sent]] = []

    async def run(self, until_s: float) -> None:
        """Send until then, in bursts, reordered within a window, with repeats."""
        chance = self.chance
        if self.producer == PREMATCH:
            self._begin(self.maker.make("odds", event) for event in FOOTBALL + TENNIS)
        while trio.current_time() < until_s and not self.enough:
            await trio.sleep(chance.between(0.02, 0.9) * self.pace)
            if self.silent:
                continue
            burst = self.maker.about_events(1 + int(chance.between(0, 6)))
            burst = chance.shuffled_within(burst, 4)
            if self._old and chance.happens(0.25):
                burst.extend(chance.pick(self._old))
            while burst:
                cut = 1 + int(chance.between(0, 4))
                self._begin(burst[:cut])
                burst = burst[cut:]

    async def beat(self, until_s: float) -> None:
        stepping = self.world.steps_ms and self.producer == LIVE
        steps_s = self.chance.between(1, until_s - 1)
        while trio.current_time() < until_s and not self.enough:
            if stepping and not self.maker.skew_ms and trio.current_time() > steps_s:
                self.maker.skew_ms = self.world.steps_ms
                self.world.oracle.happened("clock_stepped")
            if not self.silent:
                self._begin([self.maker.alive()])
            await trio.sleep(ALIVE_S / 8 if stepping else ALIVE_S)

    async def fall_silent(self, silence_s: float) -> None:
        """Say nothing, then come back with a recovery."""
        self.world.trace.note("producer", self.producer, "falls silent for", f"{silence_s:.3f}")
        self.silent = True
        if silence_s > SILENT_S:
            await trio.sleep(SILENT_S)
            see_silence(self.world.oracle, self.producer)
            silence_s -= SILENT_S
        await trio.sleep(silence_s)
        await self.recover()
        self.silent = False

    async def recover(self) -> None:
        """Say that all was lost, say all again, and that this was all."""
        request = f"r{self.producer}-{self.maker.count}"
        self.world.oracle.happened("recovery")
        self.world.recovering += 1
        await self.send([self.maker.alive(subscribed=False, request=request)])
        again = [self.maker.make("odds", event, request=request) for event in self._some_of(FOOTBALL + TENNIS)]
        for start in range(0, len(again), 4):
            await self.send(again[start : start + 4])
        await self.send([self.maker.complete(request)])
        self.world.recovering -= 1
        await self.send([self.maker.alive()])

    def _some_of(self, events: tuple[str, ...]) -> list[str]:
        return [event for event in events if self.chance.happens(0.7)]

    def _begin(self, messages: object) -> None:
        self.world.nursery.start_soon(self.send, list(messages))  # type: ignore[call-overload]

    async def send(self, messages: list[Sent]) -> None:
        """Post until it is answered for good."""
        self.out += 1
        body = b"\n".join(each.body for each in messages)
        request = IntakeRequest(provider="canonical", body=body, content_type=NDJSON)
        while True:
            try:
                answer = await self.world.post(request)
            except CutError:
                self.world.oracle.happened("post_cut")
                answer = None
            if answer is not None:
                if answer.status in {202, 422}:
                    break
                self.world.oracle.expect(answer.status in {429, 503}, f"answered {answer.status}: {answer.body!r}")
                self.world.oracle.happened(f"answered_{answer.status}")
            await trio.sleep(self.chance.between(0.05, 0.5))
        self._answered(messages, answer.body)
        self.out -= 1

    def _answered(self, messages: list[Sent], body: bytes) -> None:
        oracle = self.world.oracle
        told = msgspec.json.decode(body)
        fine = [each for each in messages if each.fine]
        refused = {each["index"] for each in told["refused"]}
        bad = {index for index, each in enumerate(messages) if not each.fine}
        early = {index for index, each in enumerate(messages) if each.early}
        oracle.expect(told["accepted"] == len(messages) - len(refused), f"accepted {told['accepted']} of {messages}")
        oracle.expect(bad - early <= refused <= bad, f"refused {told['refused']} and not {bad}")
        for each in fine:
            if each.id:
                oracle.accepted[each.id] = each.event
        if fine and fine[0].id:
            self._old.append(fine)
            del self._old[:-RESENT_MAX]
