"""The store on MySQL or MariaDB: what the services call, on Trio's side of the bridge.

The rules: one crossing per call; a read is cancelled with its caller; a transaction whose COMMIT was sent is waited for,
so that a caller who goes leaves either all of it or nothing, and no doubt where there need be none. Everything has a
deadline on the loop's side, which knows what it means; the bridge's own comes after it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar, Final, TypeVar

import anyio
import anyio.lowlevel
from asyncmy.connection import Connection

from sb_core.adapters import mysql_queries as queries
from sb_core.adapters import mysql_writes as writes
from sb_core.adapters import schema_versions
from sb_core.adapters.mysql_connect import (
    NOT_STORABLE,
    STATEMENTS_CACHED_MAX,
    TAKE_S,
    MysqlAddress,
    Pool,
    error_code,
    is_answer,
    is_lost,
    mapped_errors,
    parse_address,
    said,
)
from sb_core.adapters.mysql_days import KEEP_HOUSE_S, keep_house
from sb_core.adapters.mysql_groups import CommitGroups, is_large
from sb_core.adapters.mysql_schema import LOCK_WAIT_S, MIGRATE_S, migrate, version
from sb_core.adapters.store_calls import StoreCalls
from sb_core.bridge import CANCEL_GRACE_S, Bridge, open_bridge
from sb_core.errors import FencedError, UnavailableError, UnknownOutcomeError
from sb_core.ports import Clock
from sb_core.records import Batch

READERS_MAX: Final = 4
"""Connections that read at the same time."""
WRITERS_MAX: Final = 4
"""Connections in transactions at the same time: as many partitions as commit at once."""
READ_S: Final = 10.0
STATEMENTS_S: Final = 10.0
"""All of a transaction's statements together."""
COMMIT_S: Final = CANCEL_GRACE_S - 1
"""A COMMIT not answered by then has an unknown outcome; less than the bridge waits for a cancelled call."""
TRANSACTION_S: Final = TAKE_S + STATEMENTS_S + COMMIT_S
"""All of a transaction, with a connection taken for it."""
SLACK_S: Final = 2.0
_UNDONE: Final = frozenset({1205, 1213, 1290, 1792, 1836, 3100, 3101})
"""A COMMIT that the server refuses so has left nothing behind; after any other failure only reading back can tell."""

T = TypeVar("T")


class MysqlStore(StoreCalls):
    """Store on MySQL or MariaDB; made by `open_mysql_store`."""

    _queries: ClassVar = queries
    _writes: ClassVar = writes

    def __init__(self, address: MysqlAddress, clock: Clock, bridge: Bridge) -> None:
        self.address = address
        self._clock = clock
        self._bridge = bridge
        self._reading = Pool(address, READERS_MAX)
        self._writing = Pool(address, WRITERS_MAX, statements_max=STATEMENTS_CACHED_MAX)
        self._groups = CommitGroups(self._commit_together, TRANSACTION_S)
        self._closed = False

    def __repr__(self) -> str:
        """Tell where it is."""
        dropped = self._reading.dropped + self._writing.dropped
        return f"<MysqlStore {self.address!r} dropped={dropped}{' CLOSED' if self._closed else ''}>"

    async def migrate(self) -> int:
        """Bring the schema up to date; return its version. Raises SchemaError (newer), UnavailableError."""
        schema_versions.check_not_newer(await self.version())
        await self._bridge.call(self._migrate, deadline_s=LOCK_WAIT_S + MIGRATE_S + SLACK_S)
        await self.prune(0)
        return await self.version()

    async def version(self) -> int:
        """Return the schema's version, 0 for an empty database."""
        return await self._read("schema", version)

    async def prune(self, before_ms: int) -> int:
        """Remove days of changes that ended before then and were sent; return how many rows went."""
        now_ms = self._clock.now_ms()
        deadline_s = TAKE_S + KEEP_HOUSE_S + SLACK_S
        return await self._bridge.call(
            self._ask, "prune", self._writing, KEEP_HOUSE_S, keep_house, (now_ms, before_ms), deadline_s=deadline_s
        )

    async def ping(self) -> None:
        """Raise UnavailableError unless the database answers."""
        await self._read("ping", queries.ping)

    async def aclose(self) -> None:
        """Close all connections; what is in use fails."""
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            for pool in (self._reading, self._writing):
                await self._bridge.call(pool.close, deadline_s=SLACK_S)

    async def commit(self, batch: Batch) -> None:
        """Write a batch, all or nothing, small ones together. Raises FencedError, UnavailableError, UnknownOutcomeError."""
        if is_large(batch):
            await self._write("commit", writes.commit, [batch])
            return
        self._check_open()
        # for its turn, the transaction that is under way when that has passed, and its own
        deadline_s = 3 * TRANSACTION_S + SLACK_S
        await self._bridge.call(self._groups.commit, batch, deadline_s=deadline_s)

    async def _read(self, what: str, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        self._check_open()
        deadline_s = TAKE_S + READ_S + SLACK_S
        return await self._bridge.call(self._ask, what, self._reading, READ_S, work, args, deadline_s=deadline_s)

    async def _write(self, what: str, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        self._check_open()
        deadline_s = TRANSACTION_S + SLACK_S
        return await self._bridge.call(self._transact, what, work, args, deadline_s=deadline_s)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")

    # The loop's side.

    async def _migrate(self) -> None:
        with mapped_errors("schema"):
            async with asyncio.timeout(LOCK_WAIT_S + MIGRATE_S):
                await migrate(self.address)

    async def _ask(
        self, what: str, pool: Pool, within_s: float, work: Callable[..., Awaitable[T]], args: tuple[Any, ...]
    ) -> T:
        """Run statements that are no transaction."""
        with mapped_errors(what):
            connection = await pool.take()
            clean = False
            try:
                async with asyncio.timeout(within_s):
                    result = await work(connection.cursor(), *args)
                clean = True
            except Exception as error:
                if is_lost(error):
                    pool.forget_idle()
                raise
            finally:
                pool.give_back(connection, clean=clean)
            return result

    async def _commit_together(self, batches: list[Batch]) -> None:
        await self._transact("commit", writes.commit, (batches,))

    async def _transact(self, what: str, work: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        """Run one transaction: all of it or nothing."""
        pool = self._writing
        with mapped_errors(what):
            connection = await pool.take()
            clean = False
            try:
                async with asyncio.timeout(STATEMENTS_S):
                    await connection.begin()
                    try:
                        result = await work(connection.cursor(), *args)
                    except Exception as error:
                        # after a lock's timeout (1205) the server keeps the rest of the transaction: roll back always
                        if is_answer(error) or isinstance(error, (FencedError, *NOT_STORABLE)):
                            await connection.rollback()
                            clean = not is_lost(error)
                        raise
                await _commit(what, connection)
                clean = True
            except Exception as error:
                if is_lost(error) or is_lost(error.__cause__ or error):
                    pool.forget_idle()
                raise
            finally:
                # a cancelled or timed out transaction ends with its connection: the server rolls it back
                pool.give_back(connection, clean=clean)
            return result


async def _commit(what: str, connection: Connection) -> None:
    """COMMIT, and learn its outcome even when cancelled meanwhile. Raises UnknownOutcomeError where it can't be told."""
    job = asyncio.ensure_future(asyncio.wait_for(connection.commit(), COMMIT_S))
    try:
        await asyncio.wait({job})
    except asyncio.CancelledError:
        await asyncio.wait({job})  # bounded by its own deadline; a second cancellation leaves it, and the connection
    try:
        job.result()
    except Exception as error:
        if is_answer(error) and error_code(error) in _UNDONE:
            raise
        raise UnknownOutcomeError(f"{what}: {said(error)}") from error


@asynccontextmanager
async def connected_mysql_store(url: str, clock: Clock, *, bridge: Bridge | None = None) -> AsyncIterator[MysqlStore]:
    """Open the store at `mysql://user:password@host:port/database`, on this bridge or its own, whatever its schema.

    Raises ValueError for the URL.
    """
    address = parse_address(url)
    async with AsyncExitStack() as stack:
        if bridge is None:
            bridge = await stack.enter_async_context(open_bridge("mysql"))
        store = MysqlStore(address, clock, bridge)
        try:
            yield store
        finally:
            await store.aclose()


@asynccontextmanager
async def open_mysql_store(url: str, clock: Clock, *, bridge: Bridge | None = None) -> AsyncIterator[MysqlStore]:
    """Open a store whose schema is ours; `sb migrate` makes it so. Raises ValueError, UnavailableError, SchemaError."""
    async with connected_mysql_store(url, clock, bridge=bridge) as store:
        schema_versions.check(await store.version())
        yield store
