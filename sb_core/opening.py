"""Opens what the settings name: log, store with its replica, cache, each behind its port.

The rules: only here are adapters chosen, so that a driver is loaded by those who use it; what lies behind a network has a
circuit breaker and a bulkhead of its own; whatever can't be opened is said with its setting.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

import anyio
from msgspec import Struct

from sb_core import topics
from sb_core.adapters.guarded import (
    CACHE_CALLS_MAX,
    CACHE_SLOW_S,
    STORE_CALLS_MAX,
    STORE_SLOW_S,
    Guard,
    GuardedCache,
    GuardedStore,
)
from sb_core.adapters.replica import ReplicaStore
from sb_core.bridge import Bridge, open_bridge
from sb_core.circuit import Circuit
from sb_core.errors import DependencyError
from sb_core.ports import Cache, Clock, Log, LogAdmin, Store
from sb_core.settings import Settings, SettingsError

OPEN_DEADLINE_S: Final = 30.0

T = TypeVar("T")


class Opened(Struct, frozen=True):
    """What the settings name; `circuits` by what they guard: store, replica, cache."""

    log: Log
    admin: LogAdmin
    store: Store
    cache: Cache
    circuits: dict[str, Circuit]


async def open_adapters(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Opened:
    """Open everything onto the stack, and make the topics. Raises SettingsError, SchemaError, DependencyError."""
    return await _within(OPEN_DEADLINE_S, partial(_Opening(stack, settings, clock).everything))


@asynccontextmanager
async def open_log(settings: Settings, clock: Clock) -> AsyncIterator[tuple[Log, LogAdmin]]:
    """Open the log alone, and make no topics: for commands that look after it."""
    async with AsyncExitStack() as stack:
        yield await _within(OPEN_DEADLINE_S, _Opening(stack, settings, clock).log)


class _Opening:
    """Opens parts onto a stack. The bridge to asyncio is shared, made for the first that needs it, and closed last."""

    def __init__(self, stack: AsyncExitStack, settings: Settings, clock: Clock) -> None:
        self._stack = stack
        self._settings = settings
        self._clock = clock
        self._bridge: Bridge | None = None
        self._circuits: dict[str, Circuit] = {}

    async def everything(self) -> Opened:
        log, admin = await self.log()
        store = await self._store()
        if self._settings.store_replica_url:
            store = ReplicaStore(store, await self._replica())
        cache = await self._cache()
        await admin.create(topics.specs(partitions=self._settings.partitions))
        return Opened(log, admin, store, cache, self._circuits)

    async def log(self) -> tuple[Log, LogAdmin]:
        url, clock = self._settings.log_url, self._clock
        scheme, path = _split(url, "SB_LOG_URL")
        if scheme == "sqlite":
            from sb_core.adapters.sqlite_log import open_sqlite_log  # noqa: PLC0415  only who uses it loads it

            _make_folder(path, "SB_LOG_URL")
            embedded = await self._stack.enter_async_context(open_sqlite_log(path, clock))
            return embedded, embedded
        if scheme == "memory":
            from sb_core.adapters.memory_log import open_memory_log  # noqa: PLC0415  only who uses it loads it

            passing = await self._stack.enter_async_context(open_memory_log(clock))
            return passing, passing
        if scheme == "kafka":
            from sb_core.adapters.kafka_log import open_kafka_log  # noqa: PLC0415  only who uses it loads it

            try:
                opening = open_kafka_log(url, clock, bridge=await self._the_bridge())
                kafka = await self._stack.enter_async_context(opening)
            except ValueError as error:
                raise SettingsError(f"SB_LOG_URL: {error}") from error
            return kafka, kafka
        raise SettingsError(f"SB_LOG_URL begins with {scheme}:, whose adapter is not built yet")

    async def _store(self) -> Store:
        url = self._settings.store_url
        if not url.startswith("mysql:"):
            return await self._sqlite_store(url, "SB_STORE_URL")
        from sb_core.adapters.mysql_store import open_mysql_store  # noqa: PLC0415  only who uses it loads it

        try:
            opening = open_mysql_store(url, self._clock, bridge=await self._the_bridge())
            store = await self._stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError(f"SB_STORE_URL: {error}") from error
        return GuardedStore(store, self._guard("store", STORE_CALLS_MAX, STORE_SLOW_S))

    async def _replica(self) -> Store:
        """Open the replica; it need not be there yet, nor be as new as the primary."""
        url = self._settings.store_replica_url
        if not url.startswith("mysql:"):
            return await self._sqlite_store(url, "SB_STORE_REPLICA_URL")
        from sb_core.adapters.mysql_store import connected_mysql_store  # noqa: PLC0415  only who uses it loads it

        try:
            opening = connected_mysql_store(url, self._clock, bridge=await self._the_bridge())
            store = await self._stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError(f"SB_STORE_REPLICA_URL: {error}") from error
        return GuardedStore(store, self._guard("replica", STORE_CALLS_MAX, STORE_SLOW_S))

    async def _sqlite_store(self, url: str, env: str) -> Store:
        scheme, path = _split(url, env)
        if scheme not in {"sqlite", "memory"}:
            raise SettingsError(f"{env} begins with {scheme}:, whose adapter is not built yet")
        from sb_core.adapters.sqlite_store import open_sqlite_store  # noqa: PLC0415  only who uses it loads it

        if scheme == "memory":
            opening = open_sqlite_store(":memory:", self._clock, threads=False)
        else:
            _make_folder(path, env)
            opening = open_sqlite_store(path, self._clock, threads=True)
        return cast(Store, await self._stack.enter_async_context(opening))

    async def _cache(self) -> Cache:
        settings = self._settings
        scheme, _ = _split(settings.cache_url, "SB_CACHE_URL")
        if scheme in {"redis", "redis+cluster"}:
            from sb_core.adapters.redis_cache import open_redis_cache  # noqa: PLC0415  only who uses it loads it

            try:
                opening = open_redis_cache(settings.cache_url, entropy=os.urandom, bridge=await self._the_bridge())
                redis = await self._stack.enter_async_context(opening)
            except ValueError as error:
                raise SettingsError(f"SB_CACHE_URL: {error}") from error
            return GuardedCache(redis, self._guard("cache", CACHE_CALLS_MAX, CACHE_SLOW_S))
        if scheme != "memory":
            raise SettingsError(f"SB_CACHE_URL begins with {scheme}:, whose adapter is not built yet")
        from sb_core.adapters.memory_cache import MemoryCache  # noqa: PLC0415  only who uses it loads it

        cache = MemoryCache(entries_max=settings.cache_entries_max)
        self._stack.push_async_callback(cache.aclose)
        return cache

    async def _the_bridge(self) -> Bridge:
        if self._bridge is None:
            self._bridge = await self._stack.enter_async_context(open_bridge())
        return self._bridge

    def _guard(self, name: str, calls_max: int, slow_s: float) -> Guard:
        circuit = self._circuits[name] = Circuit(name)
        return Guard(circuit, self._clock, os.urandom, calls_max=calls_max, slow_s=slow_s)


def _split(url: str, env: str) -> tuple[str, str]:
    """Return scheme and file path: `sqlite:///rel.db` is relative, `sqlite:////abs.db` absolute, as everywhere."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise SettingsError(f"{env} is {url!r}, which is no URL")
    if scheme == "sqlite":
        if not rest.startswith("///") or len(rest) == 3:
            raise SettingsError(f"{env} must be sqlite:///path")
        return scheme, rest[3:]
    return scheme, rest


def _make_folder(path: str, env: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{env}: the folder of {path} can't be made: {error.strerror}") from error


async def _within(seconds: float, opening: Callable[[], Awaitable[T]]) -> T:
    try:
        with anyio.fail_after(seconds):
            return await opening()
    except TimeoutError as error:
        raise DependencyError(f"log, store or cache did not open within {seconds:g} s") from error
