"""Trying again: exponential with full jitter, for as long as it takes.

The rule: a dependency that fails for a while never ends a processor; each failure is told.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from sb_core.errors import DependencyError
from sb_core.telemetry import Telemetry

BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
DRAW_BYTES: Final = 4

T = TypeVar("T")


class Retry:
    """Waits between attempts; the jitter comes from `entropy`, bytes on demand."""

    def __init__(self, telemetry: Telemetry, entropy: Callable[[int], bytes]) -> None:
        self._telemetry = telemetry
        self._entropy = entropy

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt after this one (the first is 1)."""
        draw = int.from_bytes(self._entropy(DRAW_BYTES), "big") / 256**DRAW_BYTES
        await anyio.sleep(BACKOFF_S_MIN + draw * min(BACKOFF_S_MAX, BACKOFF_S_MIN * math.pow(2, min(attempt, 10))))

    async def insist(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again until there is an answer."""
        attempt = 0
        while True:
            try:
                return await ask()
            except DependencyError as error:
                attempt += 1
                self._telemetry.warn(f"{what}_failed", attempt=attempt, error=str(error))
                await self.pause(attempt)
