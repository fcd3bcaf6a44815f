"""What ingest knows beyond a request, from compacted topics: sports of events, reference documents, producers. No I/O.

The rule: the first answer about an event wins, on every node and after every restart. What was learnt here counts at
once, but is written again with every request that touches it until the log has acknowledged it once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from sb_core import topics
from sb_core.records import Fetched, Record
from sb_ingest.producers import Liveness

EVENTS_MAX: Final = 2_000_000
"""Events whose sport is kept in memory; the oldest are forgotten first."""
REFERENCE_BYTES_MAX: Final = 256 * 1024 * 1024


class EventSport(Struct, frozen=True):
    """A value of `sports-events`."""

    event: str
    sport: str


_event_sport: Final = msgspec.json.Decoder(EventSport)
_liveness: Final = msgspec.json.Decoder(Liveness)


class Known:
    """Sports of events and reference documents, in memory."""

    def __init__(self) -> None:
        self.forgotten = 0
        """Events forgotten at the limit."""
        self.disputed = 0
        """Events that two nodes said different sports of."""
        self.full = 0
        """Reference documents not kept at the limit."""
        self._sports: dict[str, str] = {}
        self._unwritten: set[str] = set()
        self._reference: dict[str, bytes] = {}
        self._reference_bytes = 0
        self._producers: dict[str, Liveness] = {}
        self.overhear: Callable[[int, Liveness], None] = lambda _offset, _said: None
        """Who else is told of each record of producers, with its offset."""

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

    def __len__(self) -> int:
        return len(self._sports)

    def learn(self, event: str, sport: str) -> str:
        """Take a sport for an event's, unless it has one already; return the one it has."""
        known = self.sport_of(event)
        if known is not None:
            return known
        if len(self._sports) >= EVENTS_MAX:
            oldest = next(iter(self._sports))
            del self._sports[oldest]
            self._unwritten.discard(oldest)
            self.forgotten += 1
        self._sports[event] = sport
        self._unwritten.add(event)
        return sport

    def unwritten(self, event: str) -> bool:
        """Say whether the log has not acknowledged this event's sport yet."""
        return event in self._unwritten

    def written(self, events: Iterable[str]) -> None:
        """Note that the log has acknowledged these events' sports."""
        self._unwritten.difference_update(events)

    def keep(self, key: str, document: bytes) -> bool:
        """Keep a reference document; False when there is no room for it."""
        size = self._reference_bytes + len(document) - len(self._reference.get(key, b""))
        if size > REFERENCE_BYTES_MAX:
            self.full += 1
            return False
        self._reference[key] = document
        self._reference_bytes = size
        return True

    def take(self, record: Fetched) -> None:
        """Take over a record of one of the topics. Raises what msgspec does for one that can't be read."""
        if record.value is None:
            return
        if record.topic == topics.REFERENCE:
            self.keep(record.key, record.value)
        elif record.topic == topics.PRODUCERS:
            said = self._producers[record.key] = _liveness.decode(record.value)
            self.overhear(record.offset, said)
        else:
            self._take_event(_event_sport.decode(record.value))

    def _take_event(self, told: EventSport) -> None:
        known = self._sports.get(told.event)
        if known is not None and known != told.sport:
            # Another node wrote at the same time. What stands first in the topic wins everywhere.
            self.disputed += 1
            if told.event in self._unwritten:
                self._sports[told.event] = told.sport
        self.learn(told.event, told.sport)
        self._unwritten.discard(told.event)


class Trial(Known):
    """What is known, with what a dry run learns on top: nothing of it outlives the trial."""

    def __init__(self, known: Known) -> None:
        super().__init__()
        self._beneath = known

    def sport_of(self, event: str) -> str | None:
        """Return an event's sport."""
        return super().sport_of(event) or self._beneath.sport_of(event)

    def reference(self, key: str) -> bytes | None:
        """Return a reference document."""
        return super().reference(key) or self._beneath.reference(key)


class RequestKnowledge:
    """What normalisers may ask during one request (a providers.Knowledge)."""

    def __init__(self, known: Known, *, received: int, sport_hint: str | None, routing_key: str | None) -> None:
        self._known = known
        self.received = received
        self.sport_hint = sport_hint
        self.routing_key = routing_key

    def of_document(self, routing_key: str) -> "RequestKnowledge":
        """Return what is known about a document with a routing key of its own."""
        return RequestKnowledge(
            self._known, received=self.received, sport_hint=self.sport_hint, routing_key=routing_key
        )

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
