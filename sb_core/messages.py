"""Canonical messages: what every provider's input becomes, and what the feed topics hold.

The rule: a field that is absent means unchanged (UNSET), null means cleared (None), an unknown key is ignored.
Prices and other decimals are strings here; the fold turns odds into integers of ten-thousandths (see `odds`).
Times are integer milliseconds since 1970 UTC.
"""

from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

EventStatus: TypeAlias = Literal[
    "not_started",
    "live",
    "suspended",
    "delayed",
    "interrupted",
    "postponed",
    "abandoned",
    "ended",
    "closed",
    "cancelled",
]
MarketStatus: TypeAlias = Literal["active", "suspended", "inactive", "handed_over", "settled", "cancelled"]
OddsStatus: TypeAlias = Literal["active", "suspended", "inactive", "handed_over"]
"""What an odds message may say of a market; settled and cancelled come from messages of their own."""
Result: TypeAlias = Literal["won", "lost", "void", "half_won", "half_lost", "undecided"]
ProducerState: TypeAlias = Literal["unknown", "up", "recovering", "down"]
Side: TypeAlias = Literal["home", "away"]
Scalar: TypeAlias = str | int | bool | None
Info: TypeAlias = dict[str, Scalar]
"""Provider's extras: flat, and decimals as strings."""

FINISHED: Final = frozenset({"abandoned", "ended", "closed", "cancelled"})
"""Event statuses in which no market is open."""


class Player(Struct, frozen=True, kw_only=True, gc=False):
    """A member of a competitor."""

    id: str
    name: str | None = None


class Competitor(Struct, frozen=True, kw_only=True, gc=False):
    """A team, a player or a doubles pair that takes part in an event."""

    id: str
    name: str | None = None
    side: Side | None = None
    players: tuple[Player, ...] = ()


class Competition(Struct, frozen=True, kw_only=True, gc=False):
    """A league or tournament; category is its country or tour."""

    id: str
    name: str | None = None
    category: str | None = None


class Clock(Struct, frozen=True, kw_only=True, gc=False):
    """A match clock in seconds."""

    elapsed_s: int | None = None
    remaining_s: int | None = None
    stopped: bool | None = None


class PeriodScore(Struct, frozen=True, kw_only=True, gc=False):
    """The score within one period; `type` is the sport's word for it (half, quarter, set, period, overtime, penalties)."""

    number: int
    type: str
    home: int | None = None
    away: int | None = None


class Score(Struct, frozen=True, kw_only=True, gc=False):
    """A whole score: goals, points or sets, the period it stands in, and what else the sport counts (`details`)."""

    home: int | None = None
    away: int | None = None
    period: str | None = None
    clock: Clock | None = None
    periods: tuple[PeriodScore, ...] = ()
    details: Info = {}


class OutcomeOdds(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an odds message says of one outcome."""

    id: str
    source: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    participant: str | UnsetType | None = UNSET
    odds: str | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    probability: str | UnsetType | None = UNSET
    size: str | UnsetType | None = UNSET
    info: Info | UnsetType = UNSET


class MarketOdds(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an odds message says of one market; with `complete` the outcomes named are all there are."""

    market: str
    line: str = ""
    source: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    status: OddsStatus | UnsetType = UNSET
    groups: tuple[str, ...] | UnsetType | None = UNSET
    outcomes: tuple[OutcomeOdds, ...] | UnsetType = UNSET
    complete: bool = False
    info: Info | UnsetType = UNSET


class MarketRef(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Names a market of the message's event."""

    market: str
    line: str = ""
    source: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    groups: tuple[str, ...] | UnsetType | None = UNSET


class OutcomeResult(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How one outcome ended; `dead_heat` is a factor as a decimal string."""

    id: str
    result: Result
    dead_heat: str | None = None
    source: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET


class MarketResult(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How one market ended."""

    market: str
    line: str = ""
    source: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    groups: tuple[str, ...] | UnsetType | None = UNSET
    outcomes: tuple[OutcomeResult, ...] = ()


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """What all canonical messages share.

    `seq` orders beside `ts` where the provider's module says so. `request` marks what a recovery sent.
    `received` and `trace` are set by ingest; `id` defaults to a digest of the content.
    """

    ts: int
    v: int = 1
    id: str = ""
    provider: str = ""
    producer: str = "0"
    event: str = ""
    sport: str = ""
    seq: int = 0
    received: int = 0
    trace: str = ""
    request: str | None = None

    @property
    def producer_key(self) -> str:
        """The producer's identity across providers."""
        return f"{self.provider}:{self.producer}"


class Fixture(Message, frozen=True, tag="fixture"):
    """An event's description."""

    name: str | UnsetType | None = UNSET
    start: int | UnsetType | None = UNSET
    status: EventStatus | UnsetType = UNSET
    competition: Competition | UnsetType | None = UNSET
    competitors: tuple[Competitor, ...] | UnsetType = UNSET
    replaces: str | UnsetType | None = UNSET
    replaced_by: str | UnsetType | None = UNSET


class Odds(Message, frozen=True, tag="odds"):
    """Prices and statuses of some markets; markets not named are unchanged."""

    markets: tuple[MarketOdds, ...]


class BetStop(Message, frozen=True, tag="bet_stop"):
    """Closes groups of markets, named markets, or (neither given) all of the event's."""

    groups: tuple[str, ...] | None = None
    markets: tuple[MarketRef, ...] | None = None
    status: Literal["suspended", "inactive"] = "suspended"


class ScoreChange(Message, frozen=True, tag="score"):
    """A score, or the parts of it that moved."""

    home: int | UnsetType | None = UNSET
    away: int | UnsetType | None = UNSET
    period: str | UnsetType | None = UNSET
    clock: Clock | UnsetType | None = UNSET
    periods: tuple[PeriodScore, ...] | UnsetType = UNSET
    details: Info | UnsetType = UNSET
    status: EventStatus | UnsetType = UNSET


class Settlement(Message, frozen=True, tag="settlement"):
    """Results of markets; confirmed beats live at any `ts`."""

    certainty: Literal["live", "confirmed"]
    markets: tuple[MarketResult, ...]


class Cancel(Message, frozen=True, tag="cancel"):
    """Voids bets on markets, within a window [from, to) in ms when given."""

    markets: tuple[MarketRef, ...]
    from_: int | None = msgspec.field(default=None, name="from")
    to: int | None = None
    reason: str | None = None


class SettlementRollback(Message, frozen=True, tag="settlement_rollback"):
    """Takes a settlement back; the market stays suspended until newer odds."""

    markets: tuple[MarketRef, ...]
    from_: int | None = msgspec.field(default=None, name="from")
    to: int | None = None


class CancelRollback(Message, frozen=True, tag="cancel_rollback"):
    """Takes a cancel back; the market stays suspended until newer odds."""

    markets: tuple[MarketRef, ...]
    from_: int | None = msgspec.field(default=None, name="from")
    to: int | None = None


class Hold(Message, frozen=True, tag="hold"):
    """An operator's stop on markets (none named: the event); wins over all odds until released."""

    markets: tuple[MarketRef, ...] | None = None
    reason: str | None = None
    by: str | None = None


class Release(Message, frozen=True, tag="release"):
    """Ends an operator's hold."""

    markets: tuple[MarketRef, ...] | None = None
    reason: str | None = None
    by: str | None = None


class Alive(Message, frozen=True, tag="alive"):
    """A producer says that it lives; not `subscribed` asks for a recovery."""

    subscribed: bool = True


class SnapshotComplete(Message, frozen=True, tag="snapshot_complete"):
    """A producer has sent everything that a recovery asked for."""


class Producer(Message, frozen=True, tag="producer"):
    """A producer's change of state, written by the liveness owner to every partition it serves.

    `gen` counts its outages; `since` is in the source's clock, in ms. `recovery` is the request whose answers count as
    newer than the outage.
    """

    state: ProducerState
    gen: int
    since: int
    reason: str | None = None
    recovery: str | None = None


class Tick(Message, frozen=True, tag="tick"):
    """Time passing, written by ingest to every feed partition each second; `ts` is ingest's clock in ms."""


AnyMessage: TypeAlias = (
    Fixture
    | Odds
    | BetStop
    | ScoreChange
    | Settlement
    | Cancel
    | SettlementRollback
    | CancelRollback
    | Hold
    | Release
    | Alive
    | SnapshotComplete
    | Producer
    | Tick
)
SYSTEM_TYPES: Final = (Producer, Tick)
"""Types that only the system itself writes; refused from outside."""
CONTROL_TYPES: Final = (Alive, SnapshotComplete)
"""Types that go to sports-alive and count as control."""

encoder: Final = msgspec.json.Encoder()
decoder: Final = msgspec.json.Decoder(AnyMessage)
_digest_encoder: Final = msgspec.json.Encoder(order="deterministic")


def type_of(message: Message) -> str:
    """Return the wire's word for a message's type."""
    tag = message.__struct_config__.tag
    return str(tag)


def encode(message: AnyMessage) -> bytes:
    """Write a message as the JSON that topics hold."""
    return encoder.encode(message)


def decode(value: bytes) -> AnyMessage:
    """Read a topic's JSON; raises msgspec.DecodeError (or ValidationError) on anything else."""
    message: AnyMessage = decoder.decode(value)
    return message


def content_id(message: AnyMessage) -> str:
    """Digest a message's content without what ingest adds, so that sending it again gives the same id.

    The order of keys in `info` and `details` is no content.
    """
    bare = msgspec.structs.replace(message, id="", received=0, trace="")
    return blake2b(_digest_encoder.encode(bare), digest_size=16).hexdigest()
