"""Follows the compacted topics that ingest's knowledge comes from, and what holds processors up.

The rule: a service takes nothing in before it has read them to their ends; what other nodes write counts as it comes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec

from sb_core import topics
from sb_core.errors import DependencyError, LogTruncatedError
from sb_core.ports import LogAdmin, Reader
from sb_core.pressure import Pressure
from sb_core.records import Fetched
from sb_core.runtime import Context
from sb_ingest.knowledge import Known
from sb_ingest.producers import awaits

READ_RECORDS_MAX: Final = 5_000
_NAMES: Final = (topics.EVENTS, topics.REFERENCE, topics.PRODUCERS, topics.PROCESSORS)
_IDLE_S: Final = 0.5
_IDLE_READS_MAX: Final = 4
"""Empty answers after which a topic's end counts as reached, as compaction may have left a hole there."""
_RETRY_S: Final = 1.0


class Follower:
    """Keeps a node's knowledge up to date."""

    def __init__(self, known: Known, pressure: Pressure, context: Context) -> None:
        self._known = known
        self._pressure = pressure
        self._clock = context.clock
        self._log = context.log
        self._admin = context.admin
        telemetry = self._telemetry = context.telemetry
        self._told = anyio.Event()
        self._events = telemetry.gauge("known_events", "Events whose sport is known.")
        self._limits = telemetry.gauge("knowledge_limit_hits_count", "Times that knowledge met a limit.", ("limit",))
        self._disputed = telemetry.gauge("disputed_events", "Events that two nodes said different sports of.")

    def __repr__(self) -> str:
        return f"<Follower {self._known!r}>"

    async def run(self, loaded: anyio.Event) -> None:
        """Read the topics, set `loaded` at their ends, and go on for ever with what other nodes write."""
        while True:
            reader = self._log.reader(_NAMES)
            try:
                await read_to_end(reader, self._admin, _NAMES, self._take)
                loaded.set()
                while True:
                    delivery = await reader.read(records_max=READ_RECORDS_MAX, wait_s=60.0)
                    await self._take(delivery.records)
            except DependencyError as error:
                self._telemetry.warn("knowledge_read_failed", error=type(error).__name__, detail=str(error))
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await reader.aclose()
            await anyio.sleep(_RETRY_S)

    async def _take(self, records: Sequence[Fetched]) -> None:
        for record in records:
            try:
                if record.topic == topics.PROCESSORS:
                    self._pressure.take(record.value, self._clock.monotonic_s(), self._clock.now_ms())
                else:
                    self._known.take(record)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                detail = str(error)
                self._telemetry.error("knowledge_unreadable", topic=record.topic, offset=record.offset, detail=detail)
        self._events.set(len(self._known))
        self._limits.labels("events_max").set(self._known.forgotten)
        self._limits.labels("reference_bytes_max").set(self._known.full)
        self._disputed.set(self._known.disputed)
        self._told.set()
        self._told = anyio.Event()

    async def recovery_told(self, producer: str, request: str) -> None:
        """Wait until the producer's owner has said on the feed that this request's answers count."""
        while awaits(self._known.producers().get(producer), request):
            await self._told.wait()


async def read_to_end(
    reader: Reader,
    admin: LogAdmin,
    names: Sequence[str],
    take: Callable[[Sequence[Fetched]], Awaitable[None]],
) -> None:
    """Read topics from their start up to the ends they had when this began. Raises DependencyError."""
    ends = await admin.ends(names)
    starts = await admin.starts(names)
    behind = {place for place, end in ends.items() if end > starts[place]}
    sought = False
    idle = 0
    while behind or not sought:
        try:
            delivery = await reader.read(records_max=READ_RECORDS_MAX, wait_s=_IDLE_S)
        except LogTruncatedError:
            starts = await admin.starts(names)
            for place in starts:
                reader.seek(place, starts[place])
            continue
        for place in delivery.assigned:
            reader.seek(place, starts[place])
            sought = True
        await take(delivery.records)
        for record in delivery.records:
            place = (record.topic, record.partition)
            if record.offset + 1 >= ends[place]:
                behind.discard(place)
        idle = 0 if delivery.records or delivery.assigned else idle + 1
        if idle >= _IDLE_READS_MAX:
            return
