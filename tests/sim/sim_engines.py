"""What happens to the world's engines as a whole: the store fails over to a copy that lacks the newest, a copy lags.

The rule: a database is one thing; what it loses of one table it loses of all, back to one moment.
"""

from collections.abc import Sequence

import trio
from sim_oracle import Oracle
from sim_ports import Weather
from simulation import Chance, SimClock

from sb_core import topics
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import MemoryLog
from sb_core.adapters.sqlite_store import SqliteStore
from sb_core.records import CacheEntry, TopicPartition

LOST_S_MAX = 1.5
"""How much of the newest a failover may lose."""
COPIED_S_MAX = 1.2
"""How far a copy lags behind, at most."""


def copied(store: SqliteStore) -> bytes:
    """Return a store in memory as it is at this moment."""
    return store._writer.serialize()


async def fail_over(store: SqliteStore, chance: Chance, oracle: Oracle, weather: Weather) -> None:
    """Go back to what the store held a moment ago, and be down for a while."""
    saved = copied(store)
    await trio.sleep(chance.between(0.05, LOST_S_MAX))
    weather.down.add("store")
    published = {event: len(versions) - 1 for event, versions in oracle.versions.items()}
    store._writer.deserialize(saved)
    positions = await store.positions([topics.feed(sport) for sport in topics.SPORTS])
    for event, rev in published.items():
        row = await store.event(event)
        if row is None or row.rev < rev:
            oracle.happened("failover_after_publishing")
    oracle.failed_over(positions)
    await trio.sleep(chance.between(0.05, 2.0))
    weather.down.discard("store")


async def keep_copy(store: SqliteStore, copy: SqliteStore, chance: Chance) -> None:
    """Let a copy follow, late, for as long as this is let run."""
    while True:
        copy._writer.deserialize(copied(store))
        await trio.sleep(chance.between(0.1, COPIED_S_MAX))


async def outlive(log: MemoryLog, store: SqliteStore, place: TopicPartition) -> bool:
    """Let retention pass the position of a partition that nobody reads now; tell whether there was something to lose."""
    for position in await store.positions([place[0]]):
        partition = log._partitions[place]
        if position.partition == place[1] and position.next_offset < partition.end:
            partition.start = partition.end
            return True
    return False


class SmallCache(MemoryCache):
    """A cache that says whether it had to forget something."""

    evicted = False

    async def put(self, entries: Sequence[CacheEntry]) -> None:
        keys = {*self._entries, *((each.generation, each.event) for each in entries)}
        self.evicted = self.evicted or len(keys) > self.entries_max
        await super().put(entries)


def new_store() -> SqliteStore:
    """Return an empty store in memory."""
    return SqliteStore(":memory:", SimClock(), threads=False)
