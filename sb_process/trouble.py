"""Notices when the store holds the fold up, by failing or by not answering, and tells ingest (sb_core.pressure)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from sb_core import pressure
from sb_core.errors import DependencyError
from sb_core.runtime import Context

LOOK_S: Final = 0.5
TELL_DEADLINE_S: Final = 1.0


class Trouble:
    """Watches the steps of one processor that wait for the store."""

    def __init__(self, context: Context, sport: str) -> None:
        self._context = context
        self._sport = sport
        self._since_s: dict[int, float] = {}
        self._steps = 0
        self._reason = ""
        self._told_at_s: float | None = None
        self._stalls = context.telemetry.counter("store_stalls_total", "Times that the store held the fold up.")

    def __repr__(self) -> str:
        return f"<Trouble {self._sport} steps={len(self._since_s)}{'' if self._told_at_s is None else ' TOLD'}>"

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark a step that waits for the store, all its attempts together."""
        self._steps += 1
        step = self._steps
        self._since_s[step] = self._context.clock.monotonic_s()
        try:
            yield
        finally:
            del self._since_s[step]

    def note(self, error: DependencyError) -> None:
        """Remember what the store said, unless a step has been in trouble for other reasons before."""
        if not self._reason:
            self._reason = str(error)

    async def watch(self) -> None:
        """Look at what waits, for ever."""
        while True:
            await anyio.sleep(LOOK_S)
            await self._look(self._context.clock.monotonic_s())

    async def _look(self, now_s: float) -> None:
        waited_s = now_s - min(self._since_s.values(), default=now_s)
        if waited_s < pressure.STALL_S:
            if self._told_at_s is not None:
                self._told_at_s = None
                await self._tell(None)
            if not waited_s:
                self._reason = ""
        elif self._told_at_s is None or now_s - self._told_at_s >= pressure.REPEAT_S:
            if self._told_at_s is None:
                self._stalls.inc()
            self._told_at_s = now_s
            await self._tell(self._reason or f"the store has not answered for {waited_s:.1f} s")

    async def _tell(self, reason: str | None) -> None:
        record = pressure.record(self._sport, reason, self._context.clock.now_ms())
        self._context.telemetry.warn("store_stall", text=reason or "over")
        with anyio.move_on_after(TELL_DEADLINE_S):
            try:
                await self._context.log.append([record])
            except DependencyError as error:
                self._context.telemetry.debug("store_stall_untold", error=str(error))
