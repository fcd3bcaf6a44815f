"""Brings the embedded store's schema up to date when it is opened: nobody has to think of it.

The rule: one transaction, so that a database has one version or the other; an empty one is made without Alembic.
"""

import sqlite3
from typing import Final

from sb_core.adapters import schema_versions
from sb_core.adapters.sqlite_connect import mapped_errors, statements, transaction

_VERSIONS: Final = "SELECT {column} FROM schema_version"
_ADOPTED: Final = (
    "DROP TABLE schema_version",
    "CREATE TABLE schema_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
    "INSERT INTO schema_version VALUES ('1')",
)
"""For a database from the time before Alembic, of which there is version 1 only."""


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the schema up to date; return its version. Raises SchemaError when the database is newer than this code."""
    newest = schema_versions.newest()
    with mapped_errors("schema"):
        if _version(connection)[0] == newest:
            return newest
        with transaction(connection):
            version, is_old = _version(connection)  # another process may have been faster
            schema_versions.check_not_newer(version)
            if version < newest:
                text = schema_versions.rendered(version) if version else schema_versions.sqlite_text()
                for statement in (*(_ADOPTED if is_old else ()), *statements(text)):
                    connection.execute(statement)
    return newest


def _version(connection: sqlite3.Connection) -> tuple[int, bool]:
    """Return the version, 0 for an empty database, and whether it is from before Alembic."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(schema_version)")]
    if not columns:
        return 0, False
    rows = connection.execute(_VERSIONS.format(column=columns[0])).fetchall()
    return max((schema_versions.number(row[0]) for row in rows), default=0), columns[0] == "version"
