"""A small world in virtual time: the real services on memory adapters, with faults at every port, decided by one seed.

Trio's deterministic scheduling is private to Trio; it is named in one place, here, and a canary test watches it.
A crash kills a process's ports first (every later call parks without effect), then cancels its tasks; what was under
way at a port at that moment is done or not done, as the seed says.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from sb_core.errors import UnavailableError, UnknownOutcomeError

BASE_MS = 1_780_000_000_000
STEPS_MAX = 3_000_000


class Trace:
    """What happened, line by line, to compare two runs of one seed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, *words: object) -> None:
        self.lines.append(f"{trio.current_time():.6f} " + " ".join(map(str, words)))


class SimClock:
    """The clock that services are given: Trio's virtual time."""

    def now_ms(self) -> int:
        return BASE_MS + int(trio.current_time() * 1000)

    def monotonic_s(self) -> float:
        return trio.current_time()


class Chance:
    """All the world's randomness, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def entropy(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def delay_s(self, most: float) -> float:
        return self.random.random() * most


class Process:
    """What a crash kills. `alive` is asked by every port before and after it does anything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.scope = anyio.CancelScope()

    def crash(self) -> None:
        self.alive = False
        self.scope.cancel()


class Port:
    """A dependency as one process sees it: slow, failing, of unknown outcome, and gone once the process is dead."""

    def __init__(self, real: Any, process: Process, chance: Chance, trace: Trace, faults: float) -> None:
        self._real = real
        self._process = process
        self._chance = chance
        self._trace = trace
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name == "reader":
            return lambda *args, **kwargs: Port(real(*args, **kwargs), self._process, self._chance, self._trace, 0.0)
        if not callable(real) or name in {"seek", "pause"}:
            return real
        writes = name in {"append", "commit", "put"}
        return lambda *args, **kwargs: self._call(name, real, writes, args, kwargs)

    async def _call(
        self,
        name: str,
        real: Callable[..., Awaitable[Any]],
        writes: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],  # noqa: FBT001
    ) -> Any:
        await self._gate()
        chance = self._chance
        await anyio.sleep(chance.delay_s(0.004))
        await self._gate()
        if writes and chance.happens(self._faults):
            self._trace.note(self._process.name, name, "unavailable")
            raise UnavailableError("simulated")
        unknown = writes and name != "put" and chance.happens(self._faults)
        if unknown and chance.happens(0.5):
            self._trace.note(self._process.name, name, "lost")
            raise UnknownOutcomeError("simulated, not done")
        with anyio.CancelScope(shield=writes):
            # an effect under way is whole or not at all
            result = await real(*args, **kwargs)
        if writes:
            self._trace.note(self._process.name, name, "done")
        await anyio.sleep(chance.delay_s(0.004))
        await self._gate()
        if unknown:
            self._trace.note(self._process.name, name, "reply lost")
            raise UnknownOutcomeError("simulated, done")
        return result

    async def _gate(self) -> None:
        """Let nothing of a dead process through, shields or not."""
        if not self._process.alive:
            with anyio.CancelScope(shield=False):
                await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()


class _Steps(trio.abc.Instrument):
    """Counts scheduler steps, so that a livelock is a failure and not a hang."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if self.count > STEPS_MAX:
            raise RuntimeError(f"more than {STEPS_MAX} steps: a livelock at {task.name}")


def run(seed: int, main: Callable[[Chance, Trace], Awaitable[Any]]) -> tuple[Any, list[str]]:
    """Run a world from one seed; return what `main` returns, and the trace."""
    chance, trace = Chance(seed), Trace()
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio_run._r.seed(seed)
    try:
        result = trio.run(main, chance, trace, clock=MockClock(autojump_threshold=0), instruments=[_Steps()])
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before
    return result, trace.lines
