"""Virtual time, chance and processes: what the simulated world is made of.

Trio's deterministic scheduling is private to Trio; it is named in one place, here, and a canary test watches it.
A crash kills a process's ports first (every later call parks without effect), then cancels its tasks; what was under
way at a port at that moment is done, not done or done later, as the seed says.
"""

import gc
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio._core._run as trio_run
from trio.testing import MockClock

BASE_MS = 1_780_000_000_000
STEPS_PER_VIRTUAL_S_MAX = 60_000
"""Scheduler steps within one second of virtual time; more is a livelock (a busy second takes about 3,000)."""

VIRTUAL_S_MAX = 600
"""A world that has not come to its end by then never will (the longest take about 120)."""

T = TypeVar("T")


class LivelockError(Exception):
    """The world turns without time passing, or without end."""


class Trace:
    """What happened, line by line, to compare two runs of one seed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, *words: object) -> None:
        self.lines.append(f"{trio.current_time():.6f} " + " ".join(map(str, words)))


class SimClock:
    """The clock that services are given: Trio's virtual time, and by how much this machine's wall clock is off."""

    def __init__(self) -> None:
        self.off_ms = 0

    def now_ms(self) -> int:
        return BASE_MS + int(trio.current_time() * 1000) + self.off_ms

    def monotonic_s(self) -> float:
        return trio.current_time()


class Chance:
    """All the world's randomness, from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)

    def entropy(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, least: float, most: float) -> float:
        return least + self.random.random() * (most - least)

    def pick(self, items: list[T] | tuple[T, ...]) -> T:
        return items[int(self.random.random() * len(items))]

    def weighted(self, weights: dict[T, float]) -> T:
        drawn = self.random.random() * sum(weights.values())
        for item, weight in weights.items():
            drawn -= weight
            if drawn < 0:
                return item
        return next(reversed(weights))

    def shuffled_within(self, items: list[T], window: int) -> list[T]:
        """Reorder, none by more than about `window` places."""
        keyed = [(place + self.random.random() * window, place) for place in range(len(items))]
        return [items[place] for _, place in sorted(keyed)]


class Process:
    """What a crash kills and a pause freezes. Every port asks `gate` before and after it does anything."""

    def __init__(self, name: str, life: int) -> None:
        self.name = name
        self.life = life
        self.alive = True
        self.scope = trio.CancelScope()
        self.died = trio.Event()
        self.wakes: dict[object, Callable[[], None]] = {}
        """Who is to be woken when it dies."""
        self.resumed: trio.Event | None = None
        self.appended: trio.Event | None = None
        """Set when the last append that was issued has come to its end: a process's appends keep their order."""

    def __repr__(self) -> str:
        state = "dead" if not self.alive else "paused" if self.paused else "alive"
        return f"<Process {self.name}#{self.life} {state}>"

    @property
    def paused(self) -> bool:
        return self.resumed is not None and not self.resumed.is_set()

    def crash(self) -> None:
        """Kill as SIGKILL does: no call of its gets through from now on, and no `finally` does either."""
        self.alive = False
        self.died.set()
        for wake in list(self.wakes.values()):
            wake()
        self.scope.cancel()

    def pause(self) -> None:
        """Stop as SIGSTOP does: nothing that it asks or is answered gets through until `resume`."""
        self.resumed = trio.Event()

    def resume(self) -> None:
        if self.resumed is not None:
            self.resumed.set()

    async def gate(self) -> None:
        """Let nothing of a dead process through, shields or not, and nothing of a paused one before it goes on."""
        while True:
            if not self.alive:
                await trio.sleep_forever()
            if not self.paused:
                return
            assert self.resumed is not None
            await self.resumed.wait()


class Steps(trio.abc.Instrument):
    """Counts scheduler steps and time, so that a livelock is a failure and not a hang."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.count = 0
        self.most = 0
        self.livelock = ""
        self._second = 0
        self._begun = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if self.count & 63:
            return
        second = int(trio.current_time())
        if second != self._second:
            self._second, self._begun = second, self.count
        spent = self.count - self._begun
        self.most = max(self.most, spent)
        if spent > STEPS_PER_VIRTUAL_S_MAX or second > VIRTUAL_S_MAX:
            # an instrument can't raise; cancelled, whatever turns ends at its next checkpoint
            self.livelock = self.livelock or f"{spent} steps within second {second}, at {task.name}"
            self.scope.cancel()


def run(seed: int, main: Callable[[Chance, Trace], Awaitable[T]]) -> tuple[T, list[str], Steps]:
    """Run a world from one seed; return what `main` returns, the trace, and the steps that it took."""
    chance, trace, steps = Chance(seed), Trace(), Steps()

    async def bounded() -> T:
        with steps.scope:
            return await main(chance, trace)
        raise LivelockError(steps.livelock)

    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio_run._r.seed(seed)
    gc.disable()  # a fifth of the time, and finalizers at moments of their own
    try:
        result = trio.run(bounded, clock=MockClock(autojump_threshold=0), instruments=[steps])
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING, state = before
        trio_run._r.setstate(state)
        gc.enable()
    return result, trace.lines, steps
