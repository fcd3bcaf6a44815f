"""Brings a MySQL or MariaDB database's schema up to date (`sb migrate`), and says which version it has.

The rules: one process at a time, by a lock of the server; an interrupted migration is simply run again; a database newer
than this code is left alone. Services only look: an operator decides when a schema moves.
"""

from typing import TYPE_CHECKING, Final

from sb_core.adapters import schema_versions
from sb_core.adapters.mysql_connect import CONNECT_S, MysqlAddress, QuietCursor
from sb_core.adapters.mysql_queries import query
from sb_core.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LOCK_WAIT_S: Final = 60
MIGRATE_S: Final = 3600.0
"""A change log of a month is copied row by row when its keys change."""

_LOCK: Final = "CONCAT('sb_migrate:', DATABASE())"


async def version(cursor: QuietCursor) -> int:
    """Return the schema's version, 0 for an empty database. Raises SchemaError for one that is no number."""
    columns = await query(
        cursor,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND table_name = 'schema_version' ORDER BY ordinal_position",
    )
    if not columns:
        return 0
    rows = await query(cursor, f"SELECT {columns[0][0]} FROM schema_version")  # noqa: S608  a column's name
    return max((schema_versions.number(row[0]) for row in rows), default=0)


async def migrate(address: MysqlAddress) -> None:
    """Migrate on a connection of SQLAlchemy's. Raises SchemaError, UnavailableError, and the driver's errors."""
    from sqlalchemy import URL  # noqa: PLC0415  for those who migrate
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_async_engine(
        URL.create(
            "mysql+asyncmy",
            username=address.user,
            password=address.password,
            host=address.host,
            port=address.port,
            database=address.database,
        ),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_S, "charset": "utf8mb4", "cursor_cls": QuietCursor},
    )
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


def _migrate(connection: "Connection") -> None:
    # the lock belongs to the session: a connection that breaks lets it go
    if connection.exec_driver_sql(f"SELECT GET_LOCK({_LOCK}, {LOCK_WAIT_S})").scalar() != 1:
        raise UnavailableError("schema: another process has been migrating this database for long")
    try:
        _adopt(connection)
        schema_versions.upgrade(connection)
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({_LOCK})")


def _adopt(connection: "Connection") -> None:
    """Make the table of versions Alembic's, where it is from the time before: in one statement, for DDL commits."""
    asked = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND"
    if connection.exec_driver_sql(f"{asked} table_name = 'schema_version' AND column_name = 'version'").scalar():
        connection.exec_driver_sql(
            "ALTER TABLE schema_version CHANGE version version_num VARCHAR(32) NOT NULL, DROP COLUMN applied_at"
        )
        connection.commit()
