"""What Alembic runs to migrate: over a connection that it is given, or as SQL text where there is none."""

from typing import Any, Final

from alembic import context

VERSION_TABLE: Final = "schema_version"

_given: Any = context.config.attributes

context.configure(
    connection=_given.get("connection"),
    dialect_name=None if "connection" in _given else "sqlite",
    version_table=VERSION_TABLE,
    transactional_ddl=False,
    transaction_per_migration=False,
    output_buffer=_given.get("output"),
)
context.run_migrations()
