"""The store's schema by number: which one this code works with, how to get there, and what is said where it differs.

The rules: a service never works on a schema that isn't its own; who is older is told to migrate, who is newer to be left
alone. Alembic is loaded by those who migrate only: the newest schema is known from the names of the files.
`python -m sb_core.adapters.schema_versions` writes what `sqlite.sql` must be.
"""

import io
import re
import sys
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sb_core.errors import SchemaError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

PACKAGE: Final = "sb_core.schema"
MEND: Final = "run `sb migrate`"

_FILE: Final = re.compile(r"v(\d{4})_\w+\.py")


@cache
def newest() -> int:
    """Return the version that this code works with."""
    found = (_FILE.fullmatch(entry.name) for entry in resources.files(f"{PACKAGE}.versions").iterdir())
    return max(int(match[1]) for match in found if match)


def number(version: str | int) -> int:
    """Read a version as the database has it. Raises SchemaError."""
    text = str(version)
    if not text.isdecimal():
        raise SchemaError(f"the database has schema version {text!r}, which this code doesn't know")
    return int(text)


def check_not_newer(version: int) -> None:
    """Raise SchemaError for a schema that later code has made."""
    if version > newest():
        raise SchemaError(
            f"the database has schema version {version}, this code knows up to {newest()}: use the software that made it"
        )


def check(version: int) -> None:
    """Raise SchemaError unless the schema is the one that this code works with; 0 is an empty database."""
    check_not_newer(version)
    if version < newest():
        held = f"has schema version {version}" if version else "has no schema yet"
        raise SchemaError(f"the database {held}, this code works with {newest()}: {MEND}")


def sqlite_text() -> str:
    """Return the whole schema for an empty SQLite database."""
    return resources.files(PACKAGE).joinpath("sqlite.sql").read_text(encoding="utf-8")


def rendered(since: int = 0) -> str:
    """Write down what brings a SQLite database from a version (0: empty) to the newest."""
    output = io.StringIO()
    _alembic(f"{since or 'base'}:head", output=output)
    return re.sub(r"(?m)^-- Running upgrade.*\n+", "", output.getvalue())


def upgrade(connection: "Connection") -> None:
    """Migrate the database behind a connection of SQLAlchemy's, and commit."""
    _alembic("head", connection=connection)
    connection.commit()


def _alembic(revision: str, **attributes: Any) -> None:
    from alembic import command  # noqa: PLC0415  half a second, for those who migrate
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes=attributes)
    with resources.as_file(resources.files(PACKAGE)) as folder:
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        command.upgrade(config, revision, sql="output" in attributes)


if __name__ == "__main__":
    Path(str(resources.files(PACKAGE).joinpath("sqlite.sql"))).write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"sqlite.sql is at version {newest()}\n")
