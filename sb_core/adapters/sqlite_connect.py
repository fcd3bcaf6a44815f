"""Opens SQLite, brings its schema up to date, and maps its errors to ours.

The rule: autocommit connections (transactions are written out), WAL, and no sqlite3 exception above the adapters.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from sb_core.errors import ContractError, DependencyError, UnavailableError, UnknownOutcomeError

BUSY_WAIT_MS_MAX: Final = 2_000
"""How long a statement waits for another process's transaction."""

LOG_SCHEMA: Final = "sb_core.schema.log"

_TRANSIENT: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_UNDONE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY})
"""A COMMIT that fails so has left nothing behind; after any other failure only reading back can tell."""

_NUMBERED: Final = re.compile(r"(\d{4})_\w+\.sql")


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 where the error has none (raised by the driver itself)."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


@contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours.

    UnavailableError is worth a retry, a plain DependencyError (constraint, too big, not storable) is not.
    """
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:
        raise ContractError(f"{what}: {error}") from error
    except sqlite3.Error as error:
        kind = UnavailableError if primary_code(error) in _TRANSIENT else DependencyError
        raise kind(f"{what}: {error}") from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise DependencyError(f"{what}: not storable: {error}") from error


def commit(connection: sqlite3.Connection) -> None:
    """COMMIT. Raises UnknownOutcomeError where it can't be told whether it happened."""
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        rollback(connection)
        if primary_code(error) in _UNDONE:
            raise
        raise UnknownOutcomeError(f"commit: {error}") from error


def rollback(connection: sqlite3.Connection) -> None:
    """Leave no transaction open, whatever happened before."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            # SQLite had rolled back by itself (disk full, I/O error): only then is there nothing to roll back.
            if connection.in_transaction:
                raise


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the body in one write transaction: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        rollback(connection)
        raise
    commit(connection)


def connect(
    path: str, *, synchronous: Literal["FULL", "NORMAL"], page_bytes: int = 4096, cache_kib: int = 16_384
) -> sqlite3.Connection:
    """Open a connection; the file and its folder are made when missing. Raises UnavailableError."""
    with mapped_errors(f"opening {path}"):
        if path != ":memory:":
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UnavailableError(f"opening {path}: {error}") from error
        connection = sqlite3.connect(
            path,
            timeout=BUSY_WAIT_MS_MAX / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute(f"PRAGMA page_size={page_bytes}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA secure_delete=OFF")
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute(f"PRAGMA cache_size=-{cache_kib}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def migrations(package: str) -> tuple[tuple[int, str], ...]:
    """List the numbered SQL files of a schema package as (version, text), ascending without a hole."""
    found = []
    for entry in resources.files(package).iterdir():
        match = _NUMBERED.fullmatch(entry.name)
        if match:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    found.sort()
    if [version for version, _ in found] != list(range(1, len(found) + 1)):
        raise ContractError(f"schema files of {package} are not numbered 1, 2, 3, …")
    return tuple(found)


def migrate(connection: sqlite3.Connection, package: str) -> int:
    """Apply the schema files that the database lacks, each in its own transaction; return the version reached.

    Raises ContractError when the database is newer than this code.
    """
    files = migrations(package)
    with mapped_errors("schema"):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)"
        )
        version = _version(connection)
        if version > len(files):
            raise ContractError(f"the database has schema version {version}, this code knows up to {len(files)}")
        for number, text in files[version:]:
            with transaction(connection):
                if _version(connection) >= number:  # another process was faster
                    continue
                for statement in statements(text):
                    connection.execute(statement)
                connection.execute("INSERT INTO schema_version VALUES (?, datetime('now'))", (number,))
    return len(files)


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    return int(row[0])


def statements(text: str) -> Iterator[str]:
    """Split a script; `executescript` would commit the transaction that it stands in."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            if statement.strip():
                yield statement
            statement = ""
    if statement.strip():
        yield statement
