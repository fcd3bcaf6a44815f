"""How migrations say types and tables, once for both kinds of database.

The rule: texts are utf8mb4 and compare byte by byte on MySQL, as they do on SQLite; JSON is kept as text, so that a person
can read it with either's shell. A migration may lean on what is here, so nothing here changes its meaning.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PLACE = sa.Integer()
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
MEDIUM = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def on_mysql() -> bool:
    """Say whether this runs on MySQL or MariaDB."""
    return op.get_context().dialect.name == "mysql"


def key(chars: int) -> Any:
    """Return the type of a text that an index holds."""
    return sa.String(chars).with_variant(sa.Text(), "sqlite")


def column(name: str, kind: Any, comment: str | None = None, *, null: bool = False) -> Any:
    """Return a column."""
    return sa.Column(name, kind, nullable=null, comment=comment)


def table(name: str, *parts: Any, rowid: bool = False) -> None:
    """Make a table unless it is there."""
    op.create_table(
        name,
        *parts,
        if_not_exists=on_mysql(),
        mysql_engine="InnoDB",
        mysql_default_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        sqlite_with_rowid=rowid,
    )


def index(name: str, on: str, columns: list[Any], *, unique: bool = False) -> None:
    """Make an index unless it is there."""
    if not on_mysql() or name not in _indexes(on):
        op.create_index(name, on, columns, unique=unique)


def _indexes(on: str) -> set[str]:
    return {str(each["name"]) for each in sa.inspect(op.get_bind()).get_indexes(on)}


def has_column(on: str, name: str) -> bool:
    """Say whether a table has a column; for MySQL, where a migration may have got that far before."""
    return name in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(on)}


def is_partitioned(on: str) -> bool:
    """Say whether a table is parted; for MySQL."""
    asked = sa.text(
        "SELECT COUNT(partition_name) FROM information_schema.partitions"
        " WHERE table_schema = DATABASE() AND table_name = :name"
    )
    return bool(op.get_bind().execute(asked, {"name": on}).scalar())
