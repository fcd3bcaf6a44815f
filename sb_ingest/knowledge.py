"""What ingest knows beyond a request, from compacted topics: sports of events, reference documents, producers.

The rule: the first answer about an event wins, on every node and after every restart. What was learnt here counts at
once, but is written again with every request that touches it until the log has acknowledged it once.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from sb_core import topics
from sb_core.errors import DependencyError, LogTruncatedError
from sb_core.ports import Log, LogAdmin, Reader
from sb_core.records import Fetched, Record
from sb_core.telemetry import Telemetry
from sb_ingest.producers import Liveness, awaits

READ_RECORDS_MAX: Final = 5_000
EVENTS_MAX: Final = 2_000_000
"""Events whose sport is kept in memory; the oldest are forgotten first."""
REFERENCE_BYTES_MAX: Final = 256 * 1024 * 1024
_IDLE_S: Final = 0.5
_IDLE_READS_MAX: Final = 4
"""Empty answers after which a topic's end counts as reached, as compaction may have left a hole there."""
_RETRY_S: Final = 1.0


class EventSport(Struct, frozen=True):
    """A value of `sports-events`."""

    event: str
    sport: str


_event_sport: Final = msgspec.json.Decoder(EventSport)
_liveness: Final = msgspec.json.Decoder(Liveness)


class Known:
    """Sports of events and reference documents, in memory."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._sports: dict[str, str] = {}
        self._unwritten: set[str] = set()
        self._reference: dict[str, bytes] = {}
        self._reference_bytes = 0
        self._producers: dict[str, Liveness] = {}
        self._told = anyio.Event()
        self._forgotten = telemetry.counter("known_events_forgotten_total", "Events forgotten at the limit.")
        self._full = telemetry.counter("reference_full_total", "Reference documents not kept at the limit.")
        self._count = telemetry.gauge("known_events", "Events whose sport is known.")

    def __repr__(self) -> str:
        return f"<Known events={len(self._sports)} unwritten={len(self._unwritten)} reference={len(self._reference)}>"

    def sport_of(self, event: str) -> str | None:
        """Return an event's sport."""
        return self._sports.get(event)

    def reference(self, key: str) -> bytes | None:
        """Return a reference document."""
        return self._reference.get(key)

    def producers(self) -> Mapping[str, Liveness]:
        """Return the producers, as their owner last wrote them."""
        return self._producers

    async def recovery_told(self, producer: str, request: str) -> None:
        """Wait until the producer's owner has said on the feed that this request's answers count."""
        while awaits(self._producers.get(producer), request):
            await self._told.wait()

    def learn(self, event: str, sport: str) -> str:
        """Take a sport for an event's, unless it has one already; return the one it has."""
        known = self.sport_of(event)
        if known is not None:
            return known
        if len(self._sports) >= EVENTS_MAX:
            oldest = next(iter(self._sports))
            del self._sports[oldest]
            self._unwritten.discard(oldest)
            self._forgotten.inc()
        self._sports[event] = sport
        self._unwritten.add(event)
        return sport

    def unwritten(self, event: str) -> bool:
        """Say whether the log has not acknowledged this event's sport yet."""
        return event in self._unwritten

    def written(self, events: Iterable[str]) -> None:
        """Note that the log has acknowledged these events' sports."""
        self._unwritten.difference_update(events)
        self._count.set(len(self._sports))

    def keep(self, key: str, document: bytes) -> bool:
        """Keep a reference document; False when there is no room for it."""
        size = self._reference_bytes + len(document) - len(self._reference.get(key, b""))
        if size > REFERENCE_BYTES_MAX:
            self._full.inc()
            return False
        self._reference[key] = document
        self._reference_bytes = size
        return True

    def take(self, record: Fetched) -> None:
        """Take over a record of one of the topics."""
        if record.value is None:
            return
        try:
            if record.topic == topics.REFERENCE:
                self.keep(record.key, record.value)
            elif record.topic == topics.PRODUCERS:
                self._producers[record.key] = _liveness.decode(record.value)
                self._told.set()
                self._told = anyio.Event()
            else:
                self._take_event(_event_sport.decode(record.value))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            detail = str(error)
            self._telemetry.error("knowledge_unreadable", topic=record.topic, offset=record.offset, detail=detail)

    def _take_event(self, told: EventSport) -> None:
        known = self._sports.get(told.event)
        if known is not None and known != told.sport:
            # Another node wrote at the same time. What stands first in the topic wins everywhere.
            self._telemetry.warn("sport_disputed", event_id=told.event, known=known, told=told.sport)
            if told.event in self._unwritten:
                self._sports[told.event] = told.sport
        self.learn(told.event, told.sport)
        self._unwritten.discard(told.event)

    async def follow(self, log: Log, admin: LogAdmin, loaded: anyio.Event) -> None:
        """Read the topics, set `loaded` at their ends, and go on for ever with what other nodes write."""
        names = (topics.EVENTS, topics.REFERENCE, topics.PRODUCERS)

        async def take(records: Sequence[Fetched]) -> None:
            for record in records:
                self.take(record)

        while True:
            reader = log.reader(names)
            try:
                await read_to_end(reader, admin, names, take)
                self._count.set(len(self._sports))
                loaded.set()
                while True:
                    delivery = await reader.read(records_max=READ_RECORDS_MAX, wait_s=60.0)
                    await take(delivery.records)
            except DependencyError as error:
                self._telemetry.warn("knowledge_read_failed", error=type(error).__name__, detail=str(error))
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await reader.aclose()
            await anyio.sleep(_RETRY_S)


class Trial(Known):
    """What is known, with what a dry run learns on top: nothing of it outlives the trial."""

    def __init__(self, known: Known, telemetry: Telemetry) -> None:
        super().__init__(telemetry)
        self._beneath = known

    def sport_of(self, event: str) -> str | None:
        """Return an event's sport."""
        return super().sport_of(event) or self._beneath.sport_of(event)

    def reference(self, key: str) -> bytes | None:
        """Return a reference document."""
        return super().reference(key) or self._beneath.reference(key)


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


class RequestKnowledge:
    """What normalisers may ask during one request (a providers.Knowledge)."""

    def __init__(self, known: Known, *, received: int, sport_hint: str | None, routing_key: str | None) -> None:
        self._known = known
        self.received = received
        self.sport_hint = sport_hint
        self.routing_key = routing_key

    def sport_of(self, event: str) -> str | None:
        """Return an event's sport."""
        return self._known.sport_of(event)

    def reference(self, key: str) -> bytes | None:
        """Return a reference document."""
        return self._known.reference(key)


def event_record(event: str, sport: str, now: int) -> Record:
    """Make the record of `sports-events` for an event."""
    return Record(topics.EVENTS, event, msgspec.json.encode(EventSport(event, sport)), now)


def reference_record(key: str, document: bytes, now: int) -> Record:
    """Make the record of `sports-reference` for a reference document."""
    return Record(topics.REFERENCE, key, document, now)
