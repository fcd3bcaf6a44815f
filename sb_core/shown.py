"""What readers see: the event of REST, cache and WebSocket snapshots, and the changes that lead from one `rev` to the next.

The rule: a snapshot at (lineage, rev), with the changes after it applied in order, is the snapshot at the later rev.
Every key is always present; unknown is null, none is [].
"""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sb_core.messages import Competition, Competitor, EventStatus, Info, MarketStatus, ProducerState, Result, Score


class Outcome(Struct, kw_only=True, gc=False):
    """One outcome of a market as shown; `odds` stay while the market is closed."""

    id: str
    source: str | None = None
    name: str | None = None
    participant: str | None = None
    odds: str | None = None
    fair: str | None = None
    active: bool = True
    probability: str | None = None
    size: str | None = None
    result: Result | None = None
    dead_heat: str | None = None
    info: Info = {}


class CancelWindow(Struct, kw_only=True, frozen=True, gc=False):
    """A cancel with an end: bets placed within [from, to) are void."""

    from_: int | None = msgspec.field(default=None, name="from")
    to: int | None = None
    reason: str | None = None
    ts: int = 0


class Market(Struct, kw_only=True, gc=False):
    """One market as shown."""

    market: str
    line: str = ""
    name: str | None = None
    status: MarketStatus = "active"
    open: bool = False
    source: str | None = None
    producer: str | None = None
    groups: tuple[str, ...] | None = None
    ts: int | None = None
    certainty: str | None = None
    cancels: tuple[CancelWindow, ...] = ()
    overround: str | None = None
    info: Info = {}
    outcomes: list[Outcome] = []


class EventProducer(Struct, kw_only=True, frozen=True, gc=False):
    """A producer that an event has had something from."""

    producer: str
    state: ProducerState = "unknown"
    since: int | None = None
    reason: str | None = None


class ShownHold(Struct, kw_only=True, frozen=True, gc=False):
    """An operator's hold that stands; market and line are null for the whole event."""

    market: str | None = None
    line: str | None = None
    reason: str | None = None
    by: str | None = None
    ts: int = 0


class Header(Struct, kw_only=True, gc=False):
    """An event without its markets, as lists show it. `stale` is filled in by the node that answers."""

    event: str
    provider: str
    sport: str
    name: str | None = None
    start: int | None = None
    status: EventStatus = "not_started"
    competition: Competition | None = None
    competitors: tuple[Competitor, ...] = ()
    score: Score | None = None
    producers: tuple[EventProducer, ...] = ()
    replaces: str | None = None
    replaced_by: str | None = None
    holds: tuple[ShownHold, ...] = ()
    lineage: int = 1
    rev: int = 0
    ts: int = 0
    updated: int = 0
    stale: bool = False


class Event(Header, kw_only=True):
    """A whole event as shown; markets are ordered by (market, line)."""

    markets: list[Market] = []


class MarketKey(Struct, kw_only=True, frozen=True, gc=False):
    """Names a market of an event."""

    market: str
    line: str


class StatusChange(Struct, kw_only=True, frozen=True, gc=False):
    """A market of which only the status moved."""

    market: str
    line: str
    status: MarketStatus
    open: bool


class Changes(Struct, kw_only=True, gc=False):
    """What changed from one `rev` to the next, as whole things.

    `event` holds changed top-level fields of Header (not score, rev, ts, updated, lineage, stale).
    """

    event: dict[str, Any] = {}
    score: Score | None = None
    markets: list[Market] = []
    statuses: list[StatusChange] = []
    closed: list[MarketKey] = []


class Update(Struct, kw_only=True, gc=False):
    """A record of sports-updates-<sport>: one per `rev`, and the body of a change-log entry.

    `sent` is null here: a record that is published again is the same, byte for byte.
    """

    v: int = 1
    event: str
    sport: str
    lineage: int
    prev: int
    rev: int
    ts: int
    updated: int
    changes: Changes
    trace: str = ""
    received: int = 0
    cause: str = ""
    cause_type: str = ""
    at: int = 0
    digest: str = ""
    sent: int | None = None
    con: bool = False


class RawUpdate(Struct, kw_only=True, gc=False):
    """An Update whose changes stay as bytes, for those who pass them on without looking inside."""

    event: str
    sport: str
    lineage: int
    prev: int
    rev: int
    ts: int
    updated: int
    changes: Raw
    received: int = 0
    cause: str = ""
    cause_type: str = ""
    at: int = 0
    digest: str = ""


class UpdateTick(Struct, kw_only=True, tag_field="type", tag="tick"):
    """The newest tick of a feed partition, passed on; `ts` is ingest's clock in ms. Updates carry no `type`."""

    ts: int


EVENT_FIELDS: Final = (
    "provider",
    "sport",
    "name",
    "start",
    "status",
    "competition",
    "competitors",
    "producers",
    "replaces",
    "replaced_by",
    "holds",
)
"""The top-level fields that `Changes.event` may carry."""

_FIELD_TYPES: Final[dict[str, Any]] = {
    field.name: field.type for field in msgspec.structs.fields(Header) if field.name in EVENT_FIELDS
}


def market_order(market: Market) -> tuple[str, str]:
    """Order markets as every reader shows them."""
    return market.market, market.line


def apply_changes(event: Event, update: Update) -> Event:
    """Return the event at the update's (lineage, rev). The event given is left as it was.

    The caller has checked that the update follows: this does not look at `prev`.
    """
    changes = update.changes
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    for name, value in changes.event.items():
        if name in _FIELD_TYPES:
            fields[name] = msgspec.convert(value, _FIELD_TYPES[name])
    if changes.score is not None:
        fields["score"] = changes.score
    markets = {(market.market, market.line): market for market in event.markets}
    for market in changes.markets:
        markets[market.market, market.line] = market
    for moved in changes.statuses:
        key = moved.market, moved.line
        if key in markets:
            markets[key] = msgspec.structs.replace(markets[key], status=moved.status, open=moved.open)
    fields["markets"] = sorted(markets.values(), key=market_order)
    fields.update(lineage=update.lineage, rev=update.rev, ts=update.ts, updated=update.updated)
    return Event(**fields)


def empty(event: str, sport: str) -> Event:
    """Return an event at rev 0, to which the changes of rev 1 apply."""
    return Event(event=event, provider=event.partition(":")[0], sport=sport)


encoder: Final = msgspec.json.Encoder()
event_decoder: Final = msgspec.json.Decoder(Event)
header_decoder: Final = msgspec.json.Decoder(Header)
market_decoder: Final = msgspec.json.Decoder(Market)
update_decoder: Final = msgspec.json.Decoder(Update)
raw_update_decoder: Final = msgspec.json.Decoder(RawUpdate)
