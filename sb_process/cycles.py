"""Cycles under way: the batches of one read each, side by side, as many cycles at once as a limit says.

The rules: of each partition one batch goes after the other, in the order in which they were read; cycles are published
in that order, too, though they are committed in any; whoever changes what partitions are held waits until all are over.
"""

from collections.abc import Sequence
from typing import Final

import anyio
from msgspec import Struct

from sb_core.records import Fetched
from sb_core.settings import Settings
from sb_process.held import Held

REMOTE_OVERLAP: Final = 4
"""Cycles at once where each waits for a network; on embedded parts overlap only makes batches smaller and dearer."""


def overlap_max(settings: Settings) -> int:
    """Return how many cycles may be under way at once."""
    return settings.process_overlap_max or (REMOTE_OVERLAP if settings.store_url.startswith("mysql:") else 1)


class Share(Struct, frozen=True):
    """One partition's batch of a cycle: it waits for `before`, and sets `over` at its end."""

    held: Held
    records: Sequence[Fetched]
    before: anyio.Event
    over: anyio.Event


class Cycle(Struct, frozen=True):
    """What was read at once. It is published after `before`, and sets `over` then."""

    shares: list[Share]
    before: anyio.Event
    over: anyio.Event


class Cycles:
    """Makes cycles, `count_max` at once."""

    def __init__(self, count_max: int) -> None:
        self._slots = anyio.Semaphore(count_max)
        self._count_max = count_max
        self._last: dict[int, anyio.Event] = {}
        self._published = _set()

    def __repr__(self) -> str:
        return f"<Cycles {self._count_max - self._slots.value} of {self._count_max}>"

    @property
    def idle(self) -> bool:
        """Say that none is under way."""
        return self._slots.value == self._count_max

    @property
    def full(self) -> bool:
        """Say that the next one must wait."""
        return self._slots.value == 0

    async def begin(self, batches: Sequence[tuple[Held, Sequence[Fetched]]]) -> Cycle:
        """Return the next cycle, waiting while as many are under way as may be. `end` it, whatever becomes of it."""
        await self._slots.acquire()
        shares = []
        for held, records in batches:
            over = anyio.Event()
            shares.append(Share(held, records, self._last.get(held.partition) or _set(), over))
            self._last[held.partition] = over
        before, self._published = self._published, anyio.Event()
        return Cycle(shares, before, self._published)

    def end(self, cycle: Cycle) -> None:
        """Let the next ones go on."""
        cycle.over.set()
        self._slots.release()

    async def drained(self) -> None:
        """Wait until none is under way."""
        await self._published.wait()


def _set() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event
