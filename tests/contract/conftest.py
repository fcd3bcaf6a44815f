"""The adapters under contract, by name. An adapter exists when it passes: add its factory here, and nothing else."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import open_memory_log
from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.adapters.sqlite_store import open_sqlite_store

Opened = Callable[[], AbstractAsyncContextManager[Any]]


class StandingClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.ms = 1_782_240_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


def _memory_log(_: Path) -> Opened:
    return partial(open_memory_log, StandingClock())


def _sqlite_log(folder: Path) -> Opened:
    return partial(open_sqlite_log, str(folder / "log.db"), StandingClock())


def _sqlite_store(folder: Path) -> Opened:
    return partial(open_sqlite_store, str(folder / "store.db"), StandingClock(), threads=True)


def _sqlite_store_inline(folder: Path) -> Opened:
    return partial(open_sqlite_store, str(folder / "store.db"), StandingClock(), threads=False)


def _sqlite_store_memory(_: Path) -> Opened:
    return partial(open_sqlite_store, ":memory:", StandingClock(), threads=False)


def _memory_cache(_: Path) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[MemoryCache]:
        cache = MemoryCache(entries_max=1_000)
        yield cache
        await cache.aclose()

    return opened


LOGS = {"memory": _memory_log, "sqlite": _sqlite_log}
STORES = {"sqlite": _sqlite_store, "sqlite-inline": _sqlite_store_inline, "sqlite-memory": _sqlite_store_memory}
CACHES = {"memory": _memory_cache}


@pytest.fixture(params=LOGS.values(), ids=LOGS.keys())
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty log (Log, LogAdmin and `prune`)."""
    return request.param(tmp_path)


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty store."""
    return request.param(tmp_path)


@pytest.fixture(params=CACHES.values(), ids=CACHES.keys())
def open_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty cache of 1,000 entries."""
    return request.param(tmp_path)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()
