"""Trying again: exponential with full jitter, within a budget, for as long as it takes.

The rules: a dependency that fails for a while never ends a processor; each failure is told; this is the one layer that
tries again, so that retries don't multiply; all of a processor's retries together share one budget.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from sb_core.errors import DependencyError
from sb_core.telemetry import Telemetry
from sb_process.trouble import Trouble

BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 1.0
"""No longer than a circuit stays open: what is waited for is the dependency's return."""
DRAW_BYTES: Final = 4
RETRIES_PER_S_MAX: Final = 20.0
RETRIES_BURST_MAX: Final = 40
"""The budget: so many a second, and so many at once after a while without any."""

T = TypeVar("T")


class Retry:
    """Waits between attempts; the jitter comes from `entropy`, bytes on demand."""

    def __init__(self, telemetry: Telemetry, entropy: Callable[[int], bytes], trouble: Trouble) -> None:
        self._telemetry = telemetry
        self.trouble = trouble
        self._entropy = entropy
        self._spent_until_s = 0.0
        self._over = telemetry.counter("retries_over_budget_total", "Retries that waited for the budget.")

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt after this one (the first is 1)."""
        draw = int.from_bytes(self._entropy(DRAW_BYTES), "big") / 256**DRAW_BYTES
        await anyio.sleep(BACKOFF_S_MIN + draw * min(BACKOFF_S_MAX, BACKOFF_S_MIN * math.pow(2, min(attempt, 10))))
        now_s = anyio.current_time()
        burst_s = RETRIES_BURST_MAX / RETRIES_PER_S_MAX
        self._spent_until_s = max(self._spent_until_s, now_s - burst_s) + 1 / RETRIES_PER_S_MAX
        if self._spent_until_s > now_s:
            self._over.inc()
            await anyio.sleep(self._spent_until_s - now_s)

    async def insist_on_store(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the store again until there is an answer, and have it told when that takes long."""
        with self.trouble.working():
            return await self.insist(what, ask, self.trouble.note)

    async def insist(
        self, what: str, ask: Callable[[], Awaitable[T]], note: Callable[[DependencyError], None] | None = None
    ) -> T:
        """Ask again until there is an answer."""
        attempt = 0
        while True:
            try:
                return await ask()
            except DependencyError as error:
                attempt += 1
                if note is not None:
                    note(error)
                self._telemetry.warn(f"{what}_failed", attempt=attempt, error=str(error))
                await self.pause(attempt)
