"""A cache in memory, bounded by the number of entries; what was neither put nor got for longest goes first.

The rule: an entry is never replaced by a lower or equal (lineage, rev).
"""

from collections import OrderedDict
from collections.abc import Sequence

import anyio.lowlevel

from sb_core.errors import ContractError
from sb_core.records import CacheEntry


class MemoryCache:
    """Cache in this process."""

    def __init__(self, *, entries_max: int) -> None:
        if entries_max < 1:
            raise ContractError("a cache holds at least one entry")
        self.entries_max = entries_max
        self._entries: OrderedDict[tuple[int, str], CacheEntry] = OrderedDict()

    def __repr__(self) -> str:
        """Tell how full it is."""
        return f"<MemoryCache {len(self._entries)} of {self.entries_max}>"

    def __len__(self) -> int:
        """Return the number of entries held."""
        return len(self._entries)

    async def put(self, entries: Sequence[CacheEntry]) -> None:
        """Put what is newer than what is there."""
        await anyio.lowlevel.checkpoint()
        held = self._entries
        for entry in entries:
            key = entry.generation, entry.event
            there = held.get(key)
            if there is None or (entry.lineage, entry.rev) > (there.lineage, there.rev):
                held[key] = entry
            held.move_to_end(key)
        while len(held) > self.entries_max:
            held.popitem(last=False)

    async def get(self, keys: Sequence[tuple[int, str]]) -> Sequence[bytes | None]:
        """Return the value per key of (generation, event), None where there is none."""
        await anyio.lowlevel.checkpoint()
        values: list[bytes | None] = []
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                values.append(None)
            else:
                self._entries.move_to_end(key)
                values.append(entry.value)
        return values

    async def ping(self) -> None:
        """Is always there."""
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Drop everything."""
        self._entries.clear()
        await anyio.lowlevel.checkpoint()
