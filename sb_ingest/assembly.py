"""From a request's documents to everything that one append writes: messages, refusals, closings, counts. Pure.

The rule: what is accepted is encoded once; what is refused gets its code and its dead letter, and closes what it was
about with a bet_stop of its own, which is an ordinary message of the account.
"""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from sb_core import deadletter, sports, topics
from sb_core.errors import FeedError
from sb_core.messages import (
    CONTROL_TYPES,
    SYSTEM_TYPES,
    AnyMessage,
    BetStop,
    Fixture,
    MarketRef,
    SnapshotComplete,
)
from sb_core.records import Record
from sb_ingest.documents import Document
from sb_ingest.knowledge import Known, RequestKnowledge, event_record, reference_record
from sb_ingest.limits import Limits
from sb_ingest.providers import Learnt, Normalised, Normaliser, Refusal
from sb_ingest.refusals import display, of_message, of_problem, unusable
from sb_ingest.rulebook import SportBook, enabled_part, named_market

STAGE: Final = "ingest"
_ID_BYTES: Final = 16

_encoder: Final = msgspec.json.Encoder(order="deterministic")
"""As messages.content_id, so that one encoding serves for the id and for the log."""


class Refused(Struct, frozen=True):
    """An item of the answer's `refused`."""

    index: int
    event: str | None
    market: str | None
    code: str
    message: str


class Terms(Struct, frozen=True, kw_only=True):
    """What is the same for a whole request. Times in ms."""

    provider: str
    received: int
    trace: str
    sport_hint: str | None
    routing_key: str | None
    ts_ahead_ms_max: int
    dead_letter_bytes_max: int
    limits: Limits
    only: tuple[str, str] | None = None
    """Of a replayed dead letter: the (market, line) that it was about."""


class Assembly:
    """What one request comes to. `accepted` counts the messages of the answer, `units` all that the account counts."""

    def __init__(self, terms: Terms, known: Known, books: dict[str, SportBook]) -> None:
        self.terms = terms
        self.records: list[Record] = []
        self.refused: list[Refused] = []
        self.counts: dict[str, int] = {}
        self.accepted = 0
        self.ignored = 0
        self.rounded = 0
        self.newest_ts = 0
        self.oldest_ts: int | None = None
        self.learnt: dict[str, None] = {}
        self.reference: list[tuple[str, bytes]] = []
        self.requests: dict[str, str] = {}
        """By producer, the newest recovery request that its messages answer."""
        self.completes_snapshot = False
        self.faults: list[Exception] = []
        self._known = known
        self._knowledge = RequestKnowledge(
            known, received=terms.received, sport_hint=terms.sport_hint, routing_key=terms.routing_key
        )
        self._books = books
        self._tail = b',"received":%d,"trace":"%s"}' % (terms.received, terms.trace.encode())
        self._ts_max = terms.received + terms.ts_ahead_ms_max
        self._raw_bytes_left = 4 * terms.limits.body_bytes_max

    def __repr__(self) -> str:
        return f"<Assembly {self.terms.provider} accepted={self.accepted} refused={len(self.refused)}>"

    @property
    def units(self) -> int:
        """How many units of the account this request is."""
        return self.counts.get("received", 0)

    def add(self, index: int, document: Document, normaliser: Normaliser, session: object, producer: str) -> Normalised:
        """Take in one document; returns what the normaliser made of it (nothing, if it could not be used)."""
        self._count("documents", 1)
        knowledge = self._knowledge
        if document.key is not None:
            knowledge = knowledge.of_document(document.key)
        if document.error is not None:
            # not raised: its traceback would hold this frame and so the document, a ring that waits for the collector
            found = unusable(document.error, document.data, session, producer)
        else:
            try:
                found = normaliser.normalise(document.data, knowledge, session, producer)
            except FeedError as error:
                found = unusable(error, document.data, session, producer)
            except Exception as error:  # noqa: BLE001  a fault of a normaliser costs its document, never the feed
                self.faults.append(error)
                said = FeedError("rule_fault", f"a fault of ours: {type(error).__name__}")
                found = unusable(said, document.data, session, producer)
        self.ignored += found.ignored
        if found.ignored:
            self._count("ignored", found.ignored)
        if found.learnt is not None:
            self._learn(found.learnt)
        for message in found.messages:
            self._message(index, message, document.data)
        for refusal in found.refusals:
            self._refuse(index, refusal)
        return found

    # messages

    def _message(self, index: int, message: AnyMessage, raw: bytes) -> None:
        if self.terms.only is not None:
            part = named_market(message, *self.terms.only)
            if part is None:
                return
            message = part
        try:
            if isinstance(message, CONTROL_TYPES):
                self._control(message)
            else:
                self._of_event(index, message, raw)
        except FeedError as error:
            self._refuse(index, of_message(error, message, raw))

    def _control(self, message: AnyMessage) -> None:
        message = msgspec.structs.replace(
            message, provider=message.provider or self.terms.provider, received=0, trace=""
        )
        self._check_ahead(message)
        checked = sports.check(message, None)
        if checked.message is None:
            raise FeedError(checked.problems[0].code, checked.problems[0].message)
        self.completes_snapshot = self.completes_snapshot or isinstance(message, SnapshotComplete)
        key = message.producer_key
        self.records.append(Record(topics.ALIVE, key, self._encoded(message), self.terms.received))
        self.accepted += 1
        self._count("received", 1)
        self._count("accepted", 1)
        self._count("control", 1)

    def _of_event(self, index: int, message: AnyMessage, raw: bytes) -> None:
        if isinstance(message, SYSTEM_TYPES):
            raise FeedError("unsupported_type", "messages of this type are written by the system itself")
        book = self._book(message.event, message.sport)
        self._check_ahead(message)
        name = book.sport.name
        if not message.provider or message.sport != name or message.received or message.trace:
            provider = message.provider or message.event.partition(":")[0]
            message = msgspec.structs.replace(message, provider=provider, sport=name, received=0, trace="")
        adjusted = self._adjusted(message, book)
        if adjusted is None:
            self.ignored += 1
            self._count("ignored", 1)
            return
        checked = sports.check(adjusted, book.sport, book.rules)
        if checked.message is not None:
            self._accept(checked.message, book)
            self.accepted += 1
            self.rounded += checked.rounded
            if isinstance(checked.message, Fixture) and isinstance(checked.message.replaces, str):
                self._replaced(checked.message, checked.message.replaces)
        for problem in checked.problems:
            self._refuse(index, of_problem(problem, message, raw))

    def _book(self, event: str, told: str) -> SportBook:
        """Find an event's sport: what is known of it, what the message says, or what the request says."""
        name = self._known.sport_of(event) or told or self.terms.sport_hint
        if not name:
            raise FeedError("unknown_sport", "neither the message nor an earlier one says the event's sport")
        book = self._books.get(name)
        if book is None:
            raise FeedError("unsupported_sport", f"sport {name[:40]!r} is not one of {', '.join(self._books)}")
        return book

    def _adjusted(self, message: AnyMessage, book: SportBook) -> AnyMessage | None:
        """Apply the configuration: enabled markets, then steps. Raises FeedError for a step's refusal."""
        adjusted = enabled_part(message, book)
        for step in book.steps:
            if adjusted is None:
                return None
            result = step.apply(adjusted)
            if isinstance(result, FeedError):
                raise result
            adjusted = result
        return adjusted

    def _check_ahead(self, message: AnyMessage) -> None:
        if message.ts > self._ts_max:
            raise FeedError("bad_time", f"ts is more than {self.terms.ts_ahead_ms_max} ms ahead of its arrival")

    def _accept(self, message: AnyMessage, book: SportBook) -> None:
        event = message.event
        self._know(event, book.sport.name)
        ts = message.ts
        if ts > self.newest_ts:  # noqa: PLR1730  the hot path: half the time of max()
            self.newest_ts = ts
        if self.oldest_ts is None or ts < self.oldest_ts:
            self.oldest_ts = ts
        if message.request is not None:
            self.requests[message.producer_key] = message.request
        self.records.append(Record(book.topic, event, self._encoded(message), self.terms.received))
        self._count("received", 1)
        self._count("accepted", 1)

    def _know(self, event: str, sport: str) -> None:
        if self._known.sport_of(event) is None:
            self._known.learn(event, sport)
        if self._known.unwritten(event) and event not in self.learnt:
            self.learnt[event] = None
            known = self._known.sport_of(event) or sport
            self.records.append(event_record(event, known, self.terms.received))

    def _encoded(self, message: AnyMessage) -> bytes:
        """Encode a message once: the bytes that its id is a digest of, then what ingest adds."""
        bare = _encoder.encode(message)
        if message.id:
            return bare[:-1] + self._tail
        digest = blake2b(bare, digest_size=_ID_BYTES).hexdigest()
        return bare[:-1] + b',"id":"' + digest.encode() + b'"' + self._tail

    def _replaced(self, message: Fixture, old: str) -> None:
        """Tell the event that this one replaces; a processor writes only events of its own partitions."""
        if old == message.event:
            return
        book = self._book(old, message.sport)
        told = Fixture(
            ts=message.ts,
            provider=message.provider,
            producer=message.producer,
            event=old,
            sport=book.sport.name,
            seq=message.seq,
            request=message.request,
            replaced_by=message.event,
        )
        self._accept(told, book)

    def _learn(self, learnt: Learnt) -> None:
        for event, sport in learnt.sports.items():
            if sport in self._books:
                self._know(event, sport)
        for key, document in learnt.reference.items():
            if self._known.reference(key) != document:
                self.records.append(reference_record(key, document, self.terms.received))
                self.reference.append((key, document))

    # refusals

    def _refuse(self, index: int, refusal: Refusal) -> None:
        only = self.terms.only
        if only is not None and refusal.market is not None and (refusal.market, refusal.line or "") != only:
            return
        self.refused.append(
            Refused(
                index=index,
                event=refusal.event,
                market=display(refusal.market, refusal.line),
                code=refusal.code,
                message=refusal.message,
            )
        )
        self._count("received", 1)
        self._count(f"refused:{refusal.code}", 1)
        self._close(refusal)
        self.records.append(self._dead_letter(index, refusal))

    def _close(self, refusal: Refusal) -> None:
        """Close what was refused: the market; the event, if that can't be named; nothing, if nothing shown is meant."""
        if refusal.event is None:
            return
        try:
            book = self._book(refusal.event, refusal.sport or "")
        except FeedError:
            return
        checked = sports.check(self._stop(refusal, book, refusal.market), book.sport, book.rules)
        if checked.message is None and refusal.market in book.sport.markets:
            # a market that we know: if it has no lines, it was that; else which of them it was can't be told
            only = msgspec.structs.replace(refusal, line="")
            checked = sports.check(self._stop(only, book, refusal.market), book.sport, book.rules)
            if checked.message is None:
                checked = sports.check(self._stop(refusal, book, None), book.sport, book.rules)
        if checked.message is not None:
            self._accept(checked.message, book)

    def _stop(self, refusal: Refusal, book: SportBook, market: str | None) -> BetStop:
        usable = refusal.ts is not None and 0 <= refusal.ts <= self._ts_max
        ts = refusal.ts if usable and refusal.ts is not None else self.terms.received
        event = refusal.event or ""
        marks = (event, market or "", refusal.line or "", refusal.code, str(ts))
        digest = blake2b("\0".join(marks).encode("utf-8", "replace"), digest_size=_ID_BYTES)
        digest.update(self._bounded(refusal.raw))
        return BetStop(
            ts=ts,
            id=digest.hexdigest(),
            provider=refusal.provider or event.partition(":")[0],
            producer=refusal.producer,
            event=event,
            sport=book.sport.name,
            markets=None if market is None else (MarketRef(market=market, line=refusal.line or ""),),
        )

    def _bounded(self, raw: bytes) -> bytes:
        """Return bytes to digest or to keep, none once this request has used its share."""
        if len(raw) > self._raw_bytes_left:
            return b""
        self._raw_bytes_left -= len(raw)
        return raw

    def _dead_letter(self, index: int, refusal: Refusal) -> Record:
        terms = self.terms
        raw = self._bounded(refusal.raw)
        made = deadletter.record(
            code=refusal.code,
            message=refusal.message,
            stage=STAGE,
            provider=terms.provider,
            source=f"request/{terms.trace}/{index}.{len(self.refused)}",
            raw=raw,
            received=terms.received,
            now=terms.received,
            trace=terms.trace,
            bytes_max=terms.dead_letter_bytes_max,
        )
        told = {
            "sb-sport": refusal.sport or terms.sport_hint,
            "sb-key": terms.routing_key,
            "sb-event": refusal.event,
            "sb-market": refusal.market,
            "sb-line": refusal.line,
            "sb-cut": None if len(raw) == len(refusal.raw) <= terms.dead_letter_bytes_max else "1",
        }
        more = tuple((name, text[:500].encode("utf-8", "replace")) for name, text in told.items() if text is not None)
        return msgspec.structs.replace(made, headers=made.headers + more)

    def refuse_body(self, code: str, message: str, body: bytes) -> None:
        """Refuse a body that no document could be had from."""
        self._refuse(0, Refusal(code=code, message=message, raw=body))

    def _count(self, name: str, number: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + number
