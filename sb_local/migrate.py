"""`sb migrate`: brings the database's schema up to date; a one-shot job before the services start.

The rule: it may run at any time and as often as one likes; exit 0 only when the schema is the one that this code works with.
"""

import argparse
import sys
from collections.abc import Sequence

import anyio
import msgspec
from msgspec import Struct

from sb_core import settings as settings_module
from sb_core.adapters import schema_versions
from sb_core.errors import DependencyError, SchemaError
from sb_core.runtime import SystemClock, open_context
from sb_core.settings import Settings, SettingsError, redacted


class Outcome(Struct, frozen=True):
    """Where the schema stood and stands; `wanted` is the version that this code works with. 0: no schema."""

    store: str
    before: int | None
    now: int
    wanted: int


async def _migrate(settings: Settings, *, look: bool) -> Outcome:
    wanted = schema_versions.newest()
    where = redacted(settings.store_url)
    if not settings.store_url.startswith("mysql:"):
        # the embedded store is brought up to date whenever it is opened
        async with open_context(settings.changed(log_url="memory:", cache_url="memory:"), "migrate"):
            return Outcome(where, None, wanted, wanted)
    from sb_core.adapters.mysql_store import connected_mysql_store  # noqa: PLC0415  only who uses it loads it

    async with connected_mysql_store(settings.store_url, SystemClock()) as store:
        before = await store.version()
        return Outcome(where, before, before if look else await store.migrate(), wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """Migrate, or only look, and say which version the schema has."""
    parser = argparse.ArgumentParser(prog="sb migrate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 unless the schema is up to date")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    try:
        outcome = anyio.run(_run, arguments, backend="trio")
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"sb migrate: {error}\n")
        return 2
    except (SchemaError, DependencyError) as error:
        sys.stderr.write(f"sb migrate: {error}\n")
        return 1
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    else:
        moved = f" (was {outcome.before})" if outcome.before not in {None, outcome.now} else ""
        sys.stdout.write(
            f"{outcome.store}: schema version {outcome.now}{moved}, this code works with {outcome.wanted}\n"
        )
    return 0 if outcome.now == outcome.wanted else 1


async def _run(arguments: argparse.Namespace) -> Outcome:
    return await _migrate(settings_module.load(), look=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
