"""One message's way: what store, log and REST remember of it, put in order.

The rule: a time is shown only where something remembers it; what nothing remembers is said to be so.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import anyio
import msgspec

from sb_console import observations as seen
from sb_console.collectors.asking import Asker, AskError
from sb_console.collectors.boards import board_of
from sb_console.collectors.positions import Stores
from sb_core import topics
from sb_core.config import ConfigError
from sb_core.errors import ContractError, DependencyError
from sb_core.ports import Log
from sb_core.records import Fetched, TopicPartition
from sb_core.runtime import Context
from sb_core.settings import SettingsError
from sb_core.shown import Event, Update, update_decoder

READ_S_MAX: Final = 2.0
WAIT_S: Final = 0.2
MESSAGE_CHARS_MAX: Final = 20_000


class Tracer:
    """Finds messages."""

    def __init__(self, asker: Asker, rest_url: str, stores: Stores) -> None:
        self._asker = asker
        self._events = f"{rest_url}/v1/events/"
        self._stores = stores

    async def trace(self, event: str, rev: int, at: int) -> seen.TraceSeen:
        """Find the message that made a `rev` (0: the newest). Never raises for what can't be found."""
        key = f"{event}@{rev}" if rev else event
        try:
            context = await self._stores.context()
            if not rev:
                newest = await context.store.event(event)
                rev = newest.rev if newest is not None else 0
                key = f"{event}@{rev}"
            rows = await context.store.history(event, rev, 1)
            if not rows or rows[0].rev != rev:
                return _not_found(at, key, "the change log has no such rev of it")
            update = update_decoder.decode(rows[0].update)
            place = (rows[0].topic, rows[0].partition)
            record = await self._record(context, place, update.at)
        except (DependencyError, ContractError, SettingsError, ConfigError, OSError, msgspec.MsgspecError) as error:
            return _not_found(at, key, str(error))
        after, before = await self._board(event, rev), await self._board(event, rev - 1) if rev > 1 else None
        message = None if record is None or record.value is None else record.value.decode("utf-8", "replace")
        return seen.TraceSeen(
            at=at,
            key=key,
            steps=_steps(update, place, record),
            message=None if message is None else message[:MESSAGE_CHARS_MAX],
            before=before,
            after=after,
        )

    async def _record(self, context: Context, place: TopicPartition, offset: int) -> Fetched | None:
        """Read the message from its feed partition; None where retention has taken it."""
        start = (await context.admin.starts([place[0]]))[place]
        return await read_one(context.log, place, offset) if offset >= start else None

    async def _board(self, event: str, rev: int) -> seen.Board | None:
        try:
            shown: Event = await self._asker.json(f"{self._events}{quote(event, safe='')}?at_rev={rev}", Event)
        except AskError:
            return None
        return board_of(shown)


async def read_one(log: Log, place: TopicPartition, offset: int) -> Fetched | None:
    """Read one record. Raises DependencyError."""
    reader = log.reader([place[0]])
    try:
        with anyio.move_on_after(READ_S_MAX):
            while True:
                delivery = await reader.read(records_max=1, wait_s=WAIT_S)
                for assigned in delivery.assigned:
                    if assigned == place:
                        reader.seek(assigned, offset)
                for record in delivery.records:
                    if (record.topic, record.partition, record.offset) == (*place, offset):
                        return record
        return None
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await reader.aclose()


def _steps(update: Update, place: TopicPartition, record: Fetched | None) -> Sequence[seen.Step]:
    feed, partition = place
    sport = topics.sport_of(feed)
    appended = record.ts if record is not None else None
    return [
        seen.Step("provider", update.ts, f"said {update.cause_type or 'something'} {update.cause}"),
        seen.Step("ingest", update.received or None, f"received, trace {update.trace or '-'}"),
        seen.Step("log", appended, f"{feed}/{partition} offset {update.at}" + ("" if record else ", no longer kept")),
        seen.Step("process", None, f"rev {update.prev} → {update.rev}, lineage {update.lineage}, {_changed(update)}"),
        seen.Step("store", None, f"change log of {update.event} at rev {update.rev}, digest {update.digest or '-'}"),
        seen.Step("log", None, f"{topics.updates(sport)}/{partition}, one record for this rev"),
        seen.Step("distribute", None, "REST and WebSocket show it at this rev"),
    ]


def _changed(update: Update) -> str:
    changes = update.changes
    parts = [
        f"{len(changes.markets)} markets" if changes.markets else "",
        f"{len(changes.statuses)} statuses" if changes.statuses else "",
        f"{len(changes.closed)} closed" if changes.closed else "",
        "score" if changes.score is not None else "",
        "fields " + ", ".join(changes.event) if changes.event else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing shown"


def _not_found(at: int, key: str, error: str) -> seen.TraceSeen:
    return seen.TraceSeen(at=at, key=key, steps=(), message=None, before=None, after=None, error=error)
