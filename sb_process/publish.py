"""What follows a commit: cache, then updates topic, in order, while the next batches are already being planned.

The rule: a partition's updates are appended in the order of their `rev`s; what was acknowledged is reported back, so
that the next transaction can say so (`done_offset`). A cache that fails never holds an update up.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import Histogram

from sb_core.errors import DependencyError
from sb_core.ports import Cache, Log
from sb_core.records import CacheEntry, Record
from sb_core.telemetry import Telemetry
from sb_process.retry import Retry

TOGETHER_RECORDS_MAX: Final = 1_000
"""Cycles that wait are published together up to about so many updates: each time is a round trip to cache and log."""


class Published(Struct, frozen=True):
    """One partition's share of a cycle: what to put and append, and up to where that makes the partition done."""

    partition: int
    owner: str
    cache_generation: int
    upto: int
    changes: int
    cache: list[CacheEntry]
    updates: list[Record]


class Publisher:
    """Takes cycles in order through a bounded channel; `done` is called with each share that was acknowledged."""

    def __init__(  # what it works with, each by name
        self,
        *,
        log: Log,
        cache: Cache,
        telemetry: Telemetry,
        overlap_max: int,
        done: Callable[[Published], None],
        cache_failed: Callable[[int], Any],
        retry: Retry,
        stage: Histogram,
    ) -> None:
        self._log = log
        self._cache = cache
        self._telemetry = telemetry
        self._done = done
        self._cache_failed = cache_failed
        self._retry = retry
        self._stage = stage
        self._send: MemoryObjectSendStream[list[Published]]
        self._receive: MemoryObjectReceiveStream[list[Published]]
        self._send, self._receive = anyio.create_memory_object_stream[list[Published]](overlap_max)
        self._retries = telemetry.counter("publish_retries_total", "Appends of updates that were tried again.")
        self._cache_skipped = telemetry.counter("cache_skipped_total", "Cache puts left out because the cache failed.")
        self._full = telemetry.counter("overlap_full_total", "Cycles that waited because publishing was behind.")

    async def submit(self, cycle: list[Published]) -> None:
        """Hand over a committed cycle; waits while `overlap_max` cycles are under way."""
        try:
            self._send.send_nowait(cycle)
        except anyio.WouldBlock:
            self._full.inc()
            await self._send.send(cycle)

    def finish(self) -> None:
        """Take no more; `run` ends when what was submitted is published."""
        self._send.close()

    async def run(self) -> None:
        """Publish until `finish`."""
        async with self._receive:
            async for cycle in self._receive:
                shares = list(cycle)
                with suppress(anyio.WouldBlock, anyio.EndOfStream):
                    while sum(len(share.updates) for share in shares) < TOGETHER_RECORDS_MAX:
                        shares += self._receive.receive_nowait()
                await self._publish(shares)

    async def _publish(self, cycle: list[Published]) -> None:
        begun = anyio.current_time()
        await self._put(cycle)
        put = anyio.current_time()
        self._stage.labels("cache").observe(put - begun)
        records = [record for share in cycle for record in share.updates]
        attempt = 0
        while records:
            try:
                await self._log.append(records)
                break
            except DependencyError as error:
                # an unknown outcome is appended again: readers drop what they have seen
                attempt += 1
                self._retries.inc()
                self._telemetry.warn("append_failed", what="updates", attempt=attempt, error=str(error))
                await self._retry.pause(attempt)
        self._stage.labels("append").observe(anyio.current_time() - put)
        for share in cycle:
            self._done(share)

    async def _put(self, cycle: list[Published]) -> None:
        # of an event in several cycles the newest is the last
        newest = {entry.event: (entry, share.cache_generation) for share in cycle for entry in share.cache}
        entries = [replace(entry, generation=generation) for entry, generation in newest.values()]
        if not entries:
            return
        try:
            await self._cache.put(entries)
        except DependencyError as error:
            self._cache_skipped.inc(len(entries))
            partitions = dict.fromkeys(share.partition for share in cycle if share.cache)
            self._telemetry.warn("cache_failed", partitions=list(partitions), error=str(error))
            for partition in partitions:
                await self._cache_failed(partition)
