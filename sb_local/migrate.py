"""`sb migrate`: brings the database's schema up to date; a one-shot job before the services start."""

import argparse
import sys
from collections.abc import Sequence

import anyio

from sb_core import settings as settings_module
from sb_core.adapters.mysql_store import open_mysql_store
from sb_core.errors import ContractError, DependencyError
from sb_core.runtime import SystemClock
from sb_core.settings import Settings, SettingsError, redacted


async def _migrate(settings: Settings) -> int:
    async with open_mysql_store(settings.store_url, SystemClock()) as store:
        return await store.migrate()


def main(argv: Sequence[str] | None = None) -> int:
    """Migrate, and say which version was reached."""
    argparse.ArgumentParser(prog="sb migrate", description=__doc__).parse_args(argv)
    try:
        settings = settings_module.load()
    except SettingsError as error:
        sys.stderr.write(f"sb migrate: {error}\n")
        return 2
    try:
        version = anyio.run(_migrate, settings, backend="trio")
    except (ContractError, DependencyError, ValueError) as error:
        sys.stderr.write(f"sb migrate: {error}\n")
        return 1
    sys.stdout.write(f"{redacted(settings.store_url)}: schema version {version}\n")
    return 0
