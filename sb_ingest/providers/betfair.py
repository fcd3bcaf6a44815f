"""Betfair's Exchange Stream: market changes in, canonical messages out.

The rule: a message of the stream becomes at most a handful of messages per event (fixture, odds, settlement …), all at its
`pt`, and a new session state. What one market change says wrongly is refused with that change (the line, where one runner's
offers are wrong), and the others go on. A market whose change could not be read at all is `broken`: its ladders miss
something, so it is refused as `no_image` until an image. What is older than the market's newest message tells nothing new:
it is passed on as the market stands, at its own old time, so that the fold counts it as stale, and the ladders stay.

`seq` orders messages of equal `pt` within a session.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from sb_core.errors import FeedError
from sb_core.messages import AnyMessage
from sb_core.sports import find
from sb_ingest.providers import Knowledge, Normalised, Refusal
from sb_ingest.providers.betfair_markets import BETTING_TYPES, SPORTS, Line, plain_lines, plan_lines
from sb_ingest.providers.betfair_messages import Touched, event_messages, how_ended
from sb_ingest.providers.betfair_state import (
    MARKETS_HELD_MAX,
    EventFacts,
    Foreign,
    Held,
    Session,
    change_ladders,
    hold,
    is_over,
    learn_event,
    named_places,
)
from sb_ingest.providers.betfair_wire import (
    TS_MS_MAX,
    MarketChange,
    MarketDefinition,
    StreamMessage,
    decode_change,
    decode_message,
    instant_ms,
    market_named,
    runner_source,
)

PROVIDER: Final = "betfair"
REFUSED_BYTES_MAX: Final = 65_536
"""A refusal keeps the whole message's bytes (a replay takes from it what was refused), of a larger one only its change."""
_UNAVAILABLE: Final = 400
"""From here on a message's `status` says that the stream is not up to date (503)."""


class BetfairNormaliser:
    """Normalises stream messages (`mcm`, `connection`, `status`), one a document."""

    name = PROVIDER
    session_based = True

    def normalise(self, document: bytes, knowledge: Knowledge, session: object | None, producer: str) -> Normalised:
        """Turn one stream message into messages and the session's new state; the state given stays as it was.

        Raises FeedError for a document of which nothing can be used; the session goes on as it was.
        """
        message = decode_message(document)
        before = session if isinstance(session, Session) else Session()
        if message.op == "mcm":
            return _market_changes(message, document, before, knowledge, producer)
        if message.op == "connection":
            return Normalised(ignored=1, session=before)
        if message.op == "status":
            if message.status_code == "SUCCESS" or not message.connection_closed:
                return Normalised(ignored=1, session=before)
            reason = f"connection closed: {message.error_code or message.status_code}"
            return Normalised(ignored=1, session=Session(images_only=True), lost=reason)
        raise FeedError("unsupported_type", f"no stream message is of type {message.op!r}")


def _market_changes(
    message: StreamMessage, document: bytes, before: Session, knowledge: Knowledge, producer: str
) -> Normalised:
    changes = message.mc or []
    lost = None
    if message.status is not None and message.status >= _UNAVAILABLE:
        lost = f"the stream says status {message.status}"
    if not changes:
        return Normalised(ignored=1, session=Session(images_only=True) if lost else before, lost=lost)
    if message.pt is None or not 0 <= message.pt <= TS_MS_MAX:
        raise FeedError("bad_time", "market changes without a usable pt")
    seq = 0
    if message.pt == before.pt:
        again = message.clk is not None and message.clk == before.clk
        seq = before.seq if again else before.seq + 1
    batch = _Batch(before, knowledge, producer, message.pt, seq)
    for change in changes:
        batch.take(change, document if len(document) <= REFUSED_BYTES_MAX else bytes(change))
    messages = batch.messages()
    after = msgspec.structs.replace(
        before, markets=batch.markets, events=batch.events, pt=message.pt, clk=message.clk, seq=seq
    )
    return Normalised(
        messages=tuple(messages),
        refusals=tuple(batch.refusals),
        session=Session(images_only=True) if lost else after,
        lost=lost,
    )


class _Batch:
    """The market changes of one message, taken one by one on top of a session's state."""

    def __init__(self, before: Session, knowledge: Knowledge, producer: str, pt: int, seq: int) -> None:
        self.before = before
        self.knowledge = knowledge
        self.producer = producer
        self.pt = pt
        self.seq = seq
        self.markets = dict(before.markets)
        self.events = dict(before.events)
        self.piece = b""
        self.touched: dict[str, Touched] = {}
        self.refusals: list[Refusal] = []

    def take(self, raw: Raw, piece: bytes) -> None:
        """Take one market change; `piece` are the bytes to keep if it is refused."""
        self.piece = piece
        try:
            change = decode_change(raw)
        except FeedError as error:
            self._break(market_named(raw), error)
            return
        try:
            self._take(str(change.id), change)
        except FeedError as error:
            self._break(str(change.id), error)

    def _take(self, source: str, change: MarketChange) -> None:
        known = self.markets.get(source)
        if isinstance(known, Held) and self.pt < known.pt and not change.img:
            self._await_image(known, self._touch(known, change))
            return
        market = known
        if change.definition and (known or change.img or not self.before.images_only):
            market = self._define(source, known, change.definition)
            self.markets[source] = market
        if market is None:
            self._refuse("no_image", f"market {source} changed before its definition or image")
            return
        if isinstance(market, Foreign):
            self._refuse(market.code, market.message, market)
            return
        if isinstance(known, Held):
            self._withdraw(known, market)
        touched = self._touch(market, change)
        market, problems = change_ladders(market, change, self.pt)
        self.markets[source] = market
        if not self._await_image(market, touched):
            self._refuse_lines(market, {market.places[runner]: error for runner, error in problems.items()})

    def _await_image(self, market: Held, touched: Touched) -> bool:
        """Refuse what is touched of a market whose ladders miss something; say whether that is so."""
        if market.broken:
            error = FeedError("no_image", f"market {market.source} waits for an image: {market.broken}")
            self._refuse_lines(market, dict.fromkeys(sorted(touched.places), error))
        return bool(market.broken)

    def _define(self, source: str, known: Held | Foreign | None, definition: MarketDefinition) -> Held | Foreign:
        """Return a market with a new definition. Raises FeedError for one that cannot be."""
        if known is None and len(self.markets) >= MARKETS_HELD_MAX:
            self._make_room()
        event = f"{PROVIDER}:{definition.event_id}"
        type_id = str(definition.event_type_id)
        name = SPORTS.get(type_id)
        facts = self.events.get(event)
        name = name and (facts.sport if facts else self.knowledge.sport_of(event) or name)
        sport = find(name) if name else None
        held = known if isinstance(known, Held) else None
        if held and (held.event != event or sport is None or definition.betting_type not in BETTING_TYPES):
            raise FeedError("schema", f"market {source} of {held.event} turned into another market")
        if name is None or sport is None:
            message = f"eventTypeId {type_id} is no sport that we have"
            # a sport by their name, so that no hint of the request makes the event one of ours
            return Foreign(code="unsupported_sport", message=message, event=event, sport=f"{PROVIDER}:{type_id}")
        if definition.betting_type not in BETTING_TYPES:
            line = plain_lines(source, definition)[0]
            message = f"betting type {definition.betting_type} of market {source}"
            return Foreign(code="unsupported_type", message=message, event=event, sport=name, line=line)
        instant_ms(definition.market_time)
        facts = learn_event(facts or EventFacts(sport=name), source, definition)
        if held and _shape(held.definition) == _shape(definition):
            lines = held.lines
        else:
            lines = plan_lines(source, definition, sport)
            if any(facts.claims.get(line.key, source) != source for line in lines):
                lines = plain_lines(source, definition)
            claims = facts.claims | {line.key: source for line in lines}
            facts = msgspec.structs.replace(facts, claims=claims)
        self.events[event] = facts
        return hold(held, source, event, facts.sport, definition, lines)

    def _make_room(self) -> None:
        """Forget markets that have closed and those that are refused anyway. Raises FeedError `too_large`."""
        for source, market in tuple(self.markets.items()):
            over = isinstance(market, Foreign) or market.definition.status == "CLOSED"
            if over and source not in self.touched:
                del self.markets[source]
        if len(self.markets) >= MARKETS_HELD_MAX:
            raise FeedError("too_large", f"a session holds at most {MARKETS_HELD_MAX} markets")
        in_use = {market.event for market in self.markets.values()}
        self.events = {event: facts for event, facts in self.events.items() if event in in_use}

    def _withdraw(self, known: Held, market: Held) -> None:
        if known.lines is not market.lines:
            kept = {line.key for line in market.lines}
            touched = self._touched(known)
            touched.withdrawn |= {line.key: line for line in known.lines if line.key not in kept}
            touched.places, touched.refused = set(), set()

    def _touched(self, market: Held) -> Touched:
        touched = self.touched.get(market.source)
        if touched is None:
            before = self.before.markets.get(market.source)
            touched = Touched(market.source, before if isinstance(before, Held) else None)
            self.touched[market.source] = touched
        return touched

    def _touch(self, market: Held, change: MarketChange) -> Touched:
        touched = self._touched(market)
        touched.places |= named_places(market, change)
        touched.conflated = bool(change.con)
        return touched

    def _break(self, source: str | None, error: FeedError) -> None:
        """Refuse a change of which nothing could be used; a market that we hold can be trusted only after an image."""
        held = self.markets.get(source) if source else None
        if not isinstance(held, Held):
            self._refuse(error.code, error.message)
            return
        self.markets[held.source] = msgspec.structs.replace(held, broken=error.message)
        self._touched(held)
        self._refuse_lines(held, dict.fromkeys(range(len(held.lines)), error))

    def _refuse(self, code: str, message: str, foreign: Foreign | None = None) -> None:
        line: Line | None = foreign.line if foreign else None
        self.refusals.append(
            Refusal(
                code=code,
                message=message,
                raw=self.piece,
                event=foreign.event if foreign else None,
                sport=foreign.sport if foreign else None,
                market=line.market if line else None,
                line=line.line if line else None,
                ts=self.pt,
                provider=PROVIDER,
                producer=self.producer,
            )
        )

    def _refuse_lines(self, held: Held, errors: dict[int, FeedError]) -> None:
        """Refuse lines of a market, one by one, because each has to be closed by its own name."""
        for place, error in errors.items():
            foreign = Foreign(
                code=error.code, message=error.message, event=held.event, sport=held.sport, line=held.lines[place]
            )
            self._refuse(error.code, error.message, foreign)
            self._touched(held).refused.add(place)

    def messages(self) -> list[AnyMessage]:
        """Return the messages of all events touched, in the order in which they were first named."""
        by_event: dict[str, list[tuple[Held, Touched]]] = {}
        for source, touched in self.touched.items():
            held = self.markets[source]
            if isinstance(held, Held):
                by_event.setdefault(held.event, []).append((held, touched))
                ended = how_ended(held.definition)
                if ended != held.ended:
                    self.markets[source] = msgspec.structs.replace(held, ended=ended)
        messages: list[AnyMessage] = []
        for event, markets in by_event.items():
            facts = self._concluded(event, markets)
            before = self.before.events.get(event)
            head: dict[str, Any] = {
                "ts": self.pt,
                "seq": self.seq,
                "provider": PROVIDER,
                "producer": self.producer,
                "event": event,
                "sport": facts.sport,
            }
            told = before is not None and before.shown == facts.shown
            messages += event_messages(head, None if told else facts, markets)
        return messages

    def _concluded(self, event: str, markets: list[tuple[Held, Touched]]) -> EventFacts:
        """Return an event's facts, ended if the last of its markets has just closed."""
        facts = self.events[event]
        if facts.status != "ended" and any(held.definition.status == "CLOSED" for held, _ in markets):
            all_held = [self.markets.get(source) for source in sorted(facts.sources)]
            if is_over([held for held in all_held if isinstance(held, Held)]):
                facts = msgspec.structs.replace(facts, status="ended")
                self.events[event] = facts
        return facts


def _shape(definition: MarketDefinition) -> list[tuple[str, str | int]]:
    """Return what a market's lines are made of; while it stays the lines stay, whatever names come later."""
    runners: list[tuple[str, str | int]] = [
        (runner_source(runner.id, runner.hc), runner.sort_priority) for runner in definition.runners
    ]
    return [(definition.betting_type, definition.market_type), *runners]
