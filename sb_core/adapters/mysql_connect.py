"""Connections to MySQL and MariaDB: the address, a bounded pool, and what their errors mean.

The rules: a connection goes back to the pool only when it is known to be clean, whatever else happened it is closed;
nothing foreign leaks, every error becomes one of ours. All of this runs on the bridge's loop.
"""

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from asyncmy import errors
from asyncmy.connection import Connection
from asyncmy.constants import CLIENT
from asyncmy.cursors import Cursor
from msgspec import Struct

from sb_core.errors import BusyError, ContractError, DependencyError, UnavailableError

PORT: Final = 3306
CONNECT_S: Final = 5
TAKE_S: Final = 8.0
"""How long a call waits for a connection, made or given back."""
LOCK_WAIT_S: Final = 3
"""How long a statement waits for another transaction's rows; then 1205, and the transaction begins anew."""
IDLE_S: Final = 5
"""A connection that asks nothing for so long is closed by the server, and its transaction rolled back: a process that
stands still, or a machine that is gone without a word, doesn't hold locks that its successor waits for."""
STATEMENTS_CACHED_MAX: Final = 64
"""Prepared statements that a writing connection keeps."""

_SESSION: Final = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'",
    f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}, lock_wait_timeout = {LOCK_WAIT_S}",
    f"SET SESSION wait_timeout = {IDLE_S}",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
LOST: Final = frozenset(
    {1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2014, 2027, 2055}
)
"""The connection is no more, or will soon be none."""
BUSY: Final = frozenset({1205, 1206, 1213, 3101, 3572})
"""Others hold the rows; the server itself is well."""
READ_ONLY: Final = frozenset({1290, 1792, 1836, 3100})
"""The server was demoted, so that its address leads elsewhere by now: connect again."""
_TRANSIENT: Final = (
    LOST
    | READ_ONLY
    | BUSY
    | {1021, 1030, 1041, 1037, 1038, 1114, 1180, 1197, 1598}  # space, memory, engine
    | {1040, 1135, 1203, 1226, 2002, 2003, 1129, 1130}  # connections
    | {1044, 1045, 1049, 1142, 1143, 1227, 1698, 3118, 4151}  # rights and database: an operator's to mend
    | {1317, 1969, 3024}  # interrupted, took too long
)
NOT_STORABLE: Final = (UnicodeError, OverflowError, struct.error)
"""Raised while a statement is made, before any of it is sent."""
_OURS: Final = frozenset({1054, 1064, 1136, 1146, 1210, 1241, 1305})
"""Statements or tables are not what this code thinks."""


class MysqlAddress(Struct, frozen=True):
    """Where the store is: `mysql://user:password@host:port/database`, percent-encoded as URLs are."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def __repr__(self) -> str:
        """Tell where, and no secret."""
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"


def parse_address(url: str) -> MysqlAddress:
    """Read a `mysql:` URL. Raises ValueError, which says what is wrong with it and not the password."""
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "mysql" or not parts.hostname or not parts.username or not database or "/" in database:
        raise ValueError("it is not mysql://user:password@host:port/database")
    if parts.query or parts.fragment:
        raise ValueError("a mysql: URL has no options")
    try:
        port = parts.port or PORT
    except ValueError as error:
        raise ValueError("its port is no port") from error
    return MysqlAddress(parts.hostname, port, unquote(parts.username), unquote(parts.password or ""), database)


class QuietCursor(Cursor):
    """A cursor that doesn't ask for warnings: MySQL 8 has one for each VALUES(), a round trip and a line of log each."""

    async def _show_warnings(self, conn: Connection) -> None:
        """Leave them where they are; strict mode makes errors of those that matter."""


class Pool:
    """At most `size` connections to one database; belongs to the loop's thread."""

    def __init__(self, address: MysqlAddress, size: int, *, statements_max: int = 0) -> None:
        self.address = address
        self.dropped = 0
        """Connections that were closed because nobody knew what state they were in."""
        self._statements_max = statements_max
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closed = False

    async def take(self) -> Connection:
        """Return a clean connection, which must be given back. Raises TimeoutError after TAKE_S."""
        async with asyncio.timeout(TAKE_S):
            await self._slots.acquire()
            try:
                while self._idle:
                    connection = self._idle.pop()
                    if not connection._stream_broken:  # type: ignore[attr-defined]  # noqa: SLF001  closed while it lay here
                        break
                    connection.close()
                else:
                    connection = await self._connect()
            except BaseException:
                self._slots.release()
                raise
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection, *, clean: bool) -> None:
        """Take a connection back, or close it when it isn't certainly outside of any transaction and statement."""
        self._busy.discard(connection)
        self._slots.release()
        if clean and not self._closed:
            self._idle.append(connection)
            return
        self.dropped += not clean
        connection.close()

    def forget_idle(self) -> None:
        """Close what lies idle: one lost connection means that the others lead nowhere, too."""
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """Close everything, also what is in use."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()

    async def _connect(self) -> Connection:
        connection = Connection(  # type: ignore[no-untyped-call]
            host=self.address.host,
            port=self.address.port,
            user=self.address.user,
            password=self.address.password,
            database=self.address.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_S,
            client_flag=CLIENT.FOUND_ROWS,  # the fence counts rows that match, changed or not
            autocommit=True,
            cursor_cls=QuietCursor,
            stmt_cache_size=self._statements_max,
        )
        try:
            await connection.connect()
            for statement in _SESSION:
                await connection.query(statement)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            # what the driver says of a connection that is closed the moment it was accepted
            connection.close()
            raise ConnectionError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection


def error_code(error: BaseException) -> int:
    """Return the code of a server's or driver's error; 0 for anything else."""
    code = error.args[0] if isinstance(error, errors.MySQLError) and error.args else 0
    return code if isinstance(code, int) else 0


def is_answer(error: BaseException) -> bool:
    """Say whether the server itself refused a statement, so that the connection is still in step with it."""
    code = error_code(error)
    return 1000 <= code < 2000 or code >= 3000  # between them are the client's own


def is_lost(error: BaseException) -> bool:
    """Say whether other connections are likely to be lost as well."""
    code = error_code(error)
    return code in LOST or code in READ_ONLY or isinstance(error, (OSError, EOFError, errors.InterfaceError))


@contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours.

    UnavailableError is worth a retry, a plain DependencyError (constraint, too long, not storable) is not.
    """
    try:
        yield
    except (DependencyError, ContractError):
        raise
    except errors.MySQLError as error:
        raise _mapped(what, error) from error
    except TimeoutError as error:
        raise UnavailableError(f"{what}: not answered in time") from error
    except (OSError, EOFError) as error:
        raise UnavailableError(f"{what}: {said(error)}") from error
    except NOT_STORABLE as error:
        raise DependencyError(f"{what}: not storable: {error}") from error


def said(error: BaseException) -> str:
    """Return what an error says, by name."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _mapped(what: str, error: Any) -> Exception:
    code = error_code(error)
    text = f"{what}: {said(error)}"
    if code in _OURS:
        return ContractError(text)
    if code in BUSY:
        return BusyError(text)
    # the driver's own errors carry no server's code: the connection is out of step, closed or was never there
    if code in _TRANSIENT or not is_answer(error):
        return UnavailableError(text)
    return DependencyError(text)
