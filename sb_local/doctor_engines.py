"""What `sb doctor` finds of engines behind a network: whether they answer, and whether schema and topics are this code's.

The rule: it looks and changes nothing, and each engine is given a few seconds; embedded parts are not looked at here.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from sb_core import topics
from sb_core.adapters import schema_versions
from sb_core.errors import DependencyError, SchemaError
from sb_core.opening import open_log
from sb_core.runtime import SystemClock
from sb_core.settings import Settings, redacted

LOOK_S: Final = 6.0

Look = Callable[[Settings], Awaitable[str]]
"""Says what is wrong with an engine that answers, "" if nothing is. Raises DependencyError."""


async def look(settings: Settings) -> list[tuple[str, str, str]]:
    """Return (setting, what is wrong or "", where) of each engine that the settings name."""
    found = []
    for name, url, scheme, ask in (
        ("SB_LOG_URL", settings.log_url, "kafka:", _log),
        ("SB_STORE_URL", settings.store_url, "mysql:", _store),
        ("SB_CACHE_URL", settings.cache_url, "redis", _cache),
    ):
        if url.startswith(scheme):
            found.append((name, await _bounded(ask, settings), redacted(url)))
    return found


async def _bounded(ask: Look, settings: Settings) -> str:
    try:
        with anyio.fail_after(LOOK_S):
            return await ask(settings)
    except TimeoutError:
        return f"it does not answer within {LOOK_S:g} s"
    except (DependencyError, SchemaError, ValueError) as error:
        return str(error)


async def _log(settings: Settings) -> str:
    async with open_log(settings, SystemClock()) as (_, admin):
        there = await admin.topics()
    wanted = topics.specs(partitions=settings.partitions)
    missing = [spec.name for spec in wanted if spec.name not in there]
    other = [spec.name for spec in wanted if spec.name in there and there[spec.name].partitions != spec.partitions]
    if other:
        return f"topics with another number of partitions: {', '.join(other)}"
    return f"topics that are missing, for services to make: {', '.join(missing)}" if missing else ""


async def _store(settings: Settings) -> str:
    from sb_core.adapters.mysql_store import connected_mysql_store  # noqa: PLC0415  only who uses it loads it

    async with connected_mysql_store(settings.store_url, SystemClock()) as store:
        schema_versions.check(await store.version())
    return ""


async def _cache(settings: Settings) -> str:
    from sb_core.adapters.redis_cache import open_redis_cache  # noqa: PLC0415  only who uses it loads it

    async with open_redis_cache(settings.cache_url) as cache:
        await cache.ping()
    return ""
