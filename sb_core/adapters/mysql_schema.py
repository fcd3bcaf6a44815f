"""Brings a MySQL or MariaDB database's schema up to date, from the numbered files of `sb_core.schema.mysql`.

The rules: one process at a time, by a lock of the server; files bear repetition, because DDL commits by itself, so that
an interrupted migration is simply run again; a database newer than this code is left alone.
"""

from collections.abc import Iterator
from typing import Final

from sb_core.adapters.mysql_connect import QuietCursor
from sb_core.adapters.mysql_queries import query
from sb_core.adapters.sqlite_connect import migrations
from sb_core.errors import ContractError, UnavailableError

MYSQL_SCHEMA: Final = "sb_core.schema.mysql"
LOCK_WAIT_S: Final = 20
MIGRATE_S: Final = 60.0


async def migrate(cursor: QuietCursor) -> int:
    """Apply the schema files that the database lacks; return the version reached.

    Raises ContractError when the database is newer than this code, UnavailableError when another migrates for long.
    """
    files = migrations(MYSQL_SCHEMA)
    if await _version(cursor) == len(files):
        return len(files)
    # the lock belongs to the session: a connection that breaks lets it go
    ((got,),) = await query(cursor, "SELECT GET_LOCK(CONCAT('sb_migrate:', DATABASE()), %s)", (LOCK_WAIT_S,))
    if got != 1:
        raise UnavailableError("schema: another process has been migrating this database for long")
    try:
        await query(
            cursor,
            "CREATE TABLE IF NOT EXISTS schema_version (version INT PRIMARY KEY, applied_at TIMESTAMP NOT NULL"
            " DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB",
        )
        version = await _version(cursor)
        if version > len(files):
            raise ContractError(f"the database has schema version {version}, this code knows up to {len(files)}")
        for number, text in files[version:]:
            for statement in statements(text):
                await query(cursor, statement)
            await query(cursor, "INSERT INTO schema_version (version) VALUES (%s)", (number,))
    finally:
        await query(cursor, "SELECT RELEASE_LOCK(CONCAT('sb_migrate:', DATABASE()))")
    return len(files)


def statements(text: str) -> Iterator[str]:
    """Split a script at semicolons that end a line; whole-line comments go."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        if statement.strip().rstrip(";"):
            yield statement.strip().rstrip(";")


async def _version(cursor: QuietCursor) -> int:
    """Return the schema's version, 0 for an empty database."""
    found = await query(
        cursor,
        "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'schema_version'",
    )
    if not found:
        return 0
    rows = await query(cursor, "SELECT COALESCE(MAX(version), 0) FROM schema_version")
    return int(rows[0][0])
