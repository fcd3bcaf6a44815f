"""The store on SQLite: one connection that writes, others that read beside it.

The rules: a transaction runs to its end even when its caller is cancelled; reads never wait for writes. With
`threads=False` everything runs inline on one connection, deterministically, as the simulation needs it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from sb_core.adapters import sqlite_queries as queries
from sb_core.adapters import sqlite_writes as writes
from sb_core.adapters.sqlite_connect import connect, mapped_errors
from sb_core.adapters.sqlite_schema import migrate
from sb_core.adapters.store_calls import StoreCalls
from sb_core.errors import ContractError, UnavailableError
from sb_core.ports import Clock

PAGE_BYTES: Final = 8192
"""Rows are large and a batch changes many: measured a fifth faster than pages of 4096."""
READERS_MAX: Final = 2
"""Connections that read at the same time."""

T = TypeVar("T")


class SqliteStore(StoreCalls):
    """Store on SQLite; made by `open_sqlite_store`."""

    _queries: ClassVar = queries
    _writes: ClassVar = writes

    def __init__(self, path: str, clock: Clock, *, threads: bool) -> None:
        if threads and path == ":memory:":
            raise ContractError("a store in memory has one connection: open it with threads=False")
        self.path = path
        self.threads = threads
        self._clock = clock
        self._closed = False
        self._writer = connect(path, synchronous="NORMAL", page_bytes=PAGE_BYTES)
        try:
            migrate(self._writer)
            count = READERS_MAX if threads else 0
            self._idle = [connect(path, synchronous="NORMAL", page_bytes=PAGE_BYTES) for _ in range(count)]
        except BaseException:
            self._writer.close()
            raise
        self._writing = anyio.CapacityLimiter(1)
        self._reading = anyio.CapacityLimiter(READERS_MAX)

    def __repr__(self) -> str:
        """Tell where it is."""
        return f"<SqliteStore {self.path}{' CLOSED' if self._closed else ''}>"

    async def prune(self, before_ms: int) -> int:
        """Remove changes received before then that were sent; return how many rows went."""
        total = 0
        for partition in await self._read("prune", queries.partitions):
            while pruned := await self._write("prune", writes.prune_changes, partition, before_ms):
                total += pruned
        return total

    async def ping(self) -> None:
        """Raise UnavailableError unless the database answers."""
        await self._read("ping", lambda connection: connection.execute("SELECT 1").fetchone())

    async def aclose(self) -> None:
        """Let what runs end, then close."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            async with self._writing:
                for connection in (*self._idle, self._writer):
                    connection.close()
                self._idle.clear()

    async def _write(self, what: str, work: Callable[..., T], *args: Any) -> T:
        return await self._run(what, self._writing, partial(work, self._writer, *args))

    async def _read(self, what: str, work: Callable[..., T], *args: Any) -> T:
        if not self.threads:
            return await self._write(what, work, *args)

        def on_idle_connection() -> T:
            connection = self._idle.pop()
            try:
                return work(connection, *args)
            finally:
                self._idle.append(connection)

        return await self._run(what, self._reading, on_idle_connection)

    async def _run(self, what: str, limiter: anyio.CapacityLimiter, work: Callable[[], T]) -> T:
        """Run it, in a thread or here. A thread is waited for whatever happens, so no transaction is left half done."""
        if self._closed:
            raise UnavailableError("the store is closed")
        with mapped_errors(what):
            if self.threads:
                return await anyio.to_thread.run_sync(work, limiter=limiter)
            await anyio.lowlevel.checkpoint()
            return work()


@asynccontextmanager
async def open_sqlite_store(path: str, clock: Clock, *, threads: bool) -> AsyncIterator[SqliteStore]:
    """Open a store, making or bringing up to date its schema. Raises UnavailableError, ContractError (newer schema)."""
    store = SqliteStore(path, clock, threads=threads)
    try:
        yield store
    finally:
        await store.aclose()
