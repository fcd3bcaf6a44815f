"""Where every group stands: positions from the store, starts and ends from the log's admin port.

The rules: a look is two requests to the log whatever the number of partitions (starts are asked for now and then only)
and one to the store; nothing is opened that isn't there, so that a console beside no pipeline leaves no files behind.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio

from sb_console import observations as seen
from sb_core import sports, topics
from sb_core.config import ConfigError
from sb_core.errors import ContractError, DependencyError, UnavailableError
from sb_core.records import TopicPartition
from sb_core.runtime import Context, open_context
from sb_core.settings import Settings, SettingsError

OPEN_AGAIN_S: Final = 1.0
STARTS_EVERY_S: Final = 10.0
REQUESTS: Final = 2
"""Requests to the log of the dearest look: ends, and starts."""
_SQLITE: Final = "sqlite:///"


class Stores:
    """The log and the store, kept open by `run`; opened again when the files they lie in are others."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.changed(log_level="error")
        self._context: Context | None = None
        self._trouble: Exception = UnavailableError("not opened yet")
        self._opened: tuple[object, ...] = ()
        self._again = anyio.Event()
        self._tried = anyio.Event()

    def __repr__(self) -> str:
        return f"<Stores {'open' if self._context else self._trouble}>"

    async def run(self) -> None:
        """Keep them open, for ever."""
        while True:
            self._again = anyio.Event()
            try:
                self._opened = _there(self._settings)
                async with open_context(self._settings, "console") as context:
                    self._context = context
                    self._tried.set()
                    await self._again.wait()
            except (DependencyError, ContractError, SettingsError, ConfigError, OSError) as error:
                self._trouble = error
            finally:
                self._context = None
                self._tried.set()
            await anyio.sleep(OPEN_AGAIN_S)

    async def context(self) -> Context:
        """Return them open. Raises what opening raised."""
        await self._tried.wait()
        if self._context is None:
            raise self._trouble
        if _there(self._settings) != self._opened:
            self._again.set()
            raise UnavailableError("the files were replaced: opening them again")
        return self._context


def _there(settings: Settings) -> tuple[object, ...]:
    """Return what tells the files from others in their place. Raise UnavailableError where opening would make a new, empty log or store, or one that lives in another process."""
    found: list[object] = []
    for url in (settings.log_url, settings.store_url):
        if url.startswith("memory:"):
            raise UnavailableError(f"{url} lives in another process' memory: there is nothing to look at from here")
        if url.startswith(_SQLITE):
            try:
                found.append(Path(url.removeprefix(_SQLITE)).stat().st_ino)
            except OSError as error:
                raise UnavailableError(f"there is no {url.removeprefix(_SQLITE)}") from error
    return tuple(found)


class PositionsCollector:
    """Looks at all partitions of all feed topics."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._starts: dict[TopicPartition, int] = {}
        self._starts_at = 0.0

    async def look(self, at: int) -> Sequence[seen.Observation]:
        """Make one round. Raises DependencyError and what opening raises."""
        context = await self._stores.context()
        if anyio.current_time() >= self._starts_at:
            self._starts = dict(await context.admin.starts(_feeds()))
            self._starts_at = anyio.current_time() + STARTS_EVERY_S
        return [seen.PlacesSeen(at, await places(context, self._starts), REQUESTS)]


def _feeds() -> list[str]:
    return [topics.feed(name) for name in sports.names()]


async def places(context: Context, starts: Mapping[TopicPartition, int]) -> list[seen.Place]:
    """Return where every partition of every feed stands; `starts` are their oldest offsets, 0 unless given."""
    # positions first: what is processed in between makes the lag larger than it is, never below zero
    positions = {(each.topic, each.partition): each for each in await context.store.positions(_feeds())}
    found = []
    for place, end in sorted((await context.admin.ends(_feeds())).items()):
        position = positions.get(place)
        found.append(
            seen.Place(
                group=f"sb-process-{topics.sport_of(place[0])}",
                topic=place[0],
                partition=place[1],
                committed=position.next_offset if position else None,
                done=position.done_offset if position else None,
                start=starts.get(place, 0),
                end=end,
                owner=position.owner[:8] if position else "",
                epoch=position.epoch if position else 0,
                lineage=position.lineage if position else 0,
            )
        )
    return found
