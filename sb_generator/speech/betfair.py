"""Betfair's Exchange Stream: a subscription's image of each market, then deltas of its ladders, with `pt` and `clk`.

The rule: a market is told first by an image with its definition, later by what changed; a definition always comes whole.
With `conflate_ms` changes wait that long and come merged, marked `con` where more than one went into it.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from sb_core import odds as odds_text
from sb_core import sports
from sb_core.messages import (
    AnyMessage,
    BetStop,
    Cancel,
    CancelRollback,
    Competitor,
    Fixture,
    MarketOdds,
    MarketResult,
    Odds,
    Settlement,
)
from sb_generator.speech import Spoken
from sb_generator.speech.betfair_words import EVENT_TYPES, word_of
from sb_generator.speech.exchange import MarketBook
from sb_generator.speech.ids import event_number

FEED: Final = "betfair"
HEARTBEAT_MS: Final = 5_000
TAKEN_BACK_MS: Final = 180_000
"""A cancelled event may be played after all within that time."""
MARKETS_A_MESSAGE_MAX: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RESULTS: Final = {"won": "WINNER", "lost": "LOSER", "void": "REMOVED"}


class _Event:
    """What definitions say of an event, and its markets by ours."""

    def __init__(self, event: str, sport: str) -> None:
        self.number = event_number(event)
        self.sport = sport
        self.name: str | None = None
        self.start = 0
        self.in_play = False
        self.competitors: tuple[Competitor, ...] = ()
        self.markets: dict[tuple[str, str], MarketBook] = {}

    def define(self) -> None:
        for book in self.markets.values():
            book.in_play = self.in_play
            book.defined = False


class BetfairSpeaker:
    """A connection with one subscription for everything."""

    provider = FEED
    content_type = "application/x-ndjson"
    session = True
    apart = False

    def __init__(self, conflate_ms: int = 0) -> None:
        self._conflate_ms = conflate_ms
        self._events: dict[str, _Event] = {}
        self._owed: dict[str, MarketBook] = {}
        """Markets of which something is to be said, by id."""
        self._over: dict[str, int] = {}
        """Events that are over, and when that was said."""
        self._pt = 0
        self._clk = 0
        self._flushed_ms = 0
        self._first = True

    def __repr__(self) -> str:
        return f"<BetfairSpeaker events={len(self._events)} clk={self._clk}>"

    @property
    def books(self) -> Iterator[MarketBook]:
        """All markets that are held."""
        return (book for event in self._events.values() for book in event.markets.values())

    def begin(self, ms: int) -> list[Spoken]:
        """Connect."""
        self._events.clear()
        self._owed.clear()
        self._first = True
        hello = {"op": "connection", "connectionId": f"{ms}-{self._clk}"}
        status = {"op": "status", "id": 1, "statusCode": "SUCCESS", "connectionClosed": False}
        return [Spoken(msgspec.json.encode(each), ms) for each in (hello, status)]

    def say(self, messages: Iterable[AnyMessage]) -> list[Spoken]:
        """Take messages of the world in; say what they change, or have it wait to be merged."""
        said: list[Spoken] = []
        for message in messages:
            if not message.event:
                continue
            self._take(message)
            if not self._conflate_ms or message.ts - self._flushed_ms >= self._conflate_ms:
                said += self._flush(message.ts)
        return said

    def pause(self, ms: int) -> list[Spoken]:
        """Say what has waited long enough, and that the connection lives where nothing was said."""
        said = self._flush(ms) if ms - self._flushed_ms >= self._conflate_ms else []
        if not said and ms - self._pt >= HEARTBEAT_MS:
            return [self._spoken({"ct": "HEARTBEAT"}, ms)]
        return said

    def again(self, ms: int) -> list[Spoken]:
        """Send an image of every market, as to a client that subscribes again after an interruption."""
        for book in self.books:
            if book.status == "CLOSED":
                continue
            self._owed[book.id] = book
            book.defined = False
        self._first = False
        return self._flush(ms, whole=True)

    def body(self, documents: Iterable[Spoken]) -> bytes:
        """Join lines."""
        return b"\n".join([each.data for each in documents])

    # what the world says

    def _take(self, message: AnyMessage) -> None:
        event = self._events.get(message.event)
        if event is None:
            event = self._events[message.event] = _Event(message.event, message.sport)
        if isinstance(message, Fixture):
            self._fixture(event, message)
        elif isinstance(message, Odds):
            for market in message.markets:
                self._odds(event, message.event, market)
        elif isinstance(message, BetStop):
            catalogue = sports.get(event.sport).markets
            for (name, _), book in event.markets.items():
                if book.status == "OPEN" and set(message.groups or ("all",)) & set(catalogue[name].groups):
                    self._turn(book, "SUSPENDED")
        elif isinstance(message, Settlement | Cancel | CancelRollback):
            self._end(event, message)

    def _fixture(self, event: _Event, message: Fixture) -> None:
        before = event.name, event.start, event.in_play
        event.name = message.name if isinstance(message.name, str) else event.name
        event.start = message.start if isinstance(message.start, int) else event.start
        event.in_play = event.in_play or message.status == "live"
        if isinstance(message.competitors, tuple):
            event.competitors = message.competitors
        if before != (event.name, event.start, event.in_play):
            event.define()
            self._owed.update((book.id, book) for book in event.markets.values() if book.status != "CLOSED")
        if message.status in {"closed", "cancelled", "postponed"}:
            self._over[message.event] = message.ts
        else:
            self._over.pop(message.event, None)

    def _odds(self, event: _Event, name: str, market: MarketOdds) -> None:
        book = event.markets.get((market.market, market.line))
        if book is None:
            word = word_of(event.sport, market.market, market.line, event.competitors)
            if word is None or market.status != "active":
                return
            book = MarketBook(f"1.{event.number}{len(event.markets):03d}", name, word)
            book.in_play = event.in_play
            event.markets[market.market, market.line] = book
        if market.status != "active":
            self._turn(book, "SUSPENDED")
            return
        outcomes = () if market.outcomes is msgspec.UNSET else market.outcomes
        prices = {each.id: odds_text.parse(each.odds) if each.odds else None for each in outcomes}
        for runner in book.runners:
            runner.price(prices.get(runner.word.outcome))
        book.changes += 1
        self._owed[book.id] = book
        self._turn(book, "OPEN")

    def _end(self, event: _Event, message: Settlement | Cancel | CancelRollback) -> None:
        if not isinstance(message, Settlement) and message.to is not None:
            return
        for each in message.markets:
            book = event.markets.get((each.market, each.line))
            if book is None:
                continue
            if isinstance(message, Cancel):
                self._turn(book, "CLOSED", {runner.word.outcome: "REMOVED" for runner in book.runners})
            elif isinstance(message, CancelRollback) or message.certainty == "live":
                self._turn(book, "SUSPENDED")
            elif isinstance(each, MarketResult):
                self._turn(book, "CLOSED", {one.id: _RESULTS[one.result] for one in each.outcomes})

    def _turn(self, book: MarketBook, status: str, results: dict[str, str] | None = None) -> None:
        book.turn(status, results)
        if not book.defined:
            self._owed[book.id] = book

    # what is said of it

    def _flush(self, ms: int, *, whole: bool = False) -> list[Spoken]:
        self._flushed_ms = ms
        owed, self._owed = list(self._owed.values()), {}
        said = []
        for start in range(0, len(owed), MARKETS_A_MESSAGE_MAX):
            part = owed[start : start + MARKETS_A_MESSAGE_MAX]
            changes = [each for each in (self._change(book, whole=whole) for book in part) if each is not None]
            if changes:
                kind = (
                    {"ct": "SUB_IMAGE", "initialClk": "sb"} if self._first else {"ct": "RESUB_DELTA"} if whole else {}
                )
                self._first = False
                said.append(self._spoken({**kind, "mc": changes}, ms))
        self._forget(ms)
        return said

    def _forget(self, ms: int) -> None:
        """Forget events that have been over for a while and whose markets are all closed."""
        for name in [name for name, since in self._over.items() if ms - since > TAKEN_BACK_MS]:
            event = self._events.get(name)
            if event is None or all(book.status == "CLOSED" for book in event.markets.values()):
                self._events.pop(name, None)
                del self._over[name]

    def _spoken(self, fields: dict[str, Any], ms: int) -> Spoken:
        self._pt = max(self._pt, ms)
        self._clk += 1
        stamp = {"op": "mcm", "id": 2, "clk": f"c{self._clk}", "pt": self._pt, "conflateMs": self._conflate_ms}
        return Spoken(msgspec.json.encode({**stamp, **fields}), ms)

    def _change(self, book: MarketBook, *, whole: bool) -> dict[str, Any] | None:
        image = whole or not book.told
        runners = [each for each in (runner.change(whole=image) for runner in book.runners) if each is not None]
        made: dict[str, Any] = {"id": book.id}
        if not book.defined:
            made["marketDefinition"] = self._definition(book)
        if image:
            made["img"] = True
        elif not runners and book.defined:
            return None
        if runners:
            made["rc"] = runners
        if self._conflate_ms and book.changes > 1:
            made["con"] = True
        book.told, book.defined, book.changes = True, True, 0
        return made

    def _definition(self, book: MarketBook) -> dict[str, Any]:
        event = self._events[book.event]
        start = (_EPOCH + timedelta(milliseconds=event.start)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        runners = [
            {
                "id": runner.word.id,
                "sortPriority": place,
                "status": book.results.get(runner.word.outcome, "ACTIVE"),
                **({"name": runner.word.name} if runner.word.name else {}),
            }
            for place, runner in enumerate(book.runners, start=1)
        ]
        return {
            **_ALWAYS,
            "eventId": str(event.number),
            "eventTypeId": EVENT_TYPES[event.sport],
            "marketType": book.word.type,
            "numberOfWinners": book.word.winners,
            "numberOfActiveRunners": sum(each["status"] == "ACTIVE" for each in runners),
            "marketTime": start,
            "suspendTime": start,
            "openDate": start,
            "status": book.status,
            "inPlay": book.in_play,
            "betDelay": 5 if book.in_play else 0,
            "version": book.version,
            "runners": runners,
            **({"eventName": event.name} if event.name else {}),
            **({"name": book.word.name} if book.word.name else {}),
        }


_ALWAYS: Final = {
    "bspMarket": False,
    "turnInPlayEnabled": True,
    "persistenceEnabled": True,
    "marketBaseRate": 5,
    "bettingType": "ODDS",
    "bspReconciled": False,
    "complete": True,
    "crossMatching": True,
    "runnersVoidable": False,
    "discountAllowed": True,
    "timezone": "GMT",
    "countryCode": "GB",
    "regulators": ["MR_INT"],
}
