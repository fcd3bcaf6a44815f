"""What the fold knows: of an event, of its markets, of a partition's producers.

The rule: every state is a value. Machines copy what they change, so a batch that fails leaves memory as it was; what is
stored here is all that the fold needs, so memory can always be thrown away.
Odds are integers of ten-thousandths. A producer is named `<provider>:<producer>`.
Values have no cycles, and there are millions of them in memory: the garbage collector need not look at them (`gc`).
"""

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from sb_core.messages import (
    Competition,
    Competitor,
    EventStatus,
    Info,
    MarketStatus,
    OddsStatus,
    ProducerState,
    Result,
    Score,
)
from sb_core.shown import CancelWindow, ShownHold

Version: TypeAlias = tuple[int, int, int]
"""(producer generation, ts in ms, seq): compared within one producer and one lane."""
StopStatus: TypeAlias = Literal["suspended", "inactive"]
MarketId: TypeAlias = tuple[str, str]
"""(market, line)."""

IDS_MAX: Final = 64
"""How many of an event's last message ids are kept, and how many at one standing version."""
OUTAGES_MAX: Final = 32
"""How many outages of a producer a partition remembers."""
PRODUCER_IDS_MAX: Final = 8
"""How many of a producer's last records a partition knows by id."""
REQUESTS_MAX: Final = 4
"""How many recovery requests count as answers to one outage."""
NO_IDS: Final = "\n"
"""An event's last ids before the first; see `remember`."""
CANCELS_MAX: Final = 32
"""How many cancel windows a market may carry."""
WINDOWS_MAX: Final = 256
"""How many windows of cancels and their rollbacks a market remembers, by producer."""


class Standing(Struct, frozen=True, array_like=True, gc=False):
    """What stands in a lane for one producer: its version and the ids of the messages that came with it."""

    version: Version
    ids: tuple[str, ...]


Lane: TypeAlias = dict[str, Standing]
"""Producer (with a prefix where a lane has parts) to what stands for it."""


class OutcomeState(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One outcome; `listed` is false once the provider withdrew it from a complete list."""

    id: str
    source: str | None = None
    name: str | None = None
    participant: str | None = None
    odds: int | None = None
    active: bool = True
    probability: str | None = None
    size: str | None = None
    info: Info = {}
    listed: bool = True


class Settled(Struct, frozen=True, gc=False):
    """A settlement that stands: outcome id to (result, dead heat factor)."""

    certainty: str
    producer: str
    version: Version
    results: dict[str, tuple[Result, str | None]]


class MarketState(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One market. `status` is what the odds lane says; `shown` and `open` are what readers see of it all.

    `voids` are the cancels without an end that stand, `rollbacks` the floors that rollbacks left, by producer.
    """

    market: str
    line: str = ""
    source: str | None = None
    name: str | None = None
    groups: tuple[str, ...] | None = None
    info: Info = {}
    owner: str | None = None
    status: OddsStatus = "suspended"
    outcomes: tuple[OutcomeState, ...] = ()
    complete: bool = False
    ts: int = 0
    odds: Lane = {}
    settled: Settled | None = None
    settling: Lane = {}
    voids: tuple[str, ...] = ()
    cancels: tuple[CancelWindow, ...] = ()
    cancelling: Lane = {}
    rollbacks: dict[str, Version] = {}
    shown: MarketStatus = "suspended"
    open: bool = False

    @property
    def key(self) -> MarketId:
        """The market's name within its event."""
        return self.market, self.line


class Floor(Struct, frozen=True, array_like=True, gc=False):
    """A bet stop: odds of its producer that are not strictly newer show `status`."""

    version: Version
    status: StopStatus


class Floors(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One producer's stops on an event: on everything, on groups, on single markets (`market|line`)."""

    everything: Floor | None = None
    groups: dict[str, Floor] = {}
    markets: dict[str, Floor] = {}


class HoldState(Struct, frozen=True, omit_defaults=True, gc=False):
    """The lane of what operators hold on one target, and the hold that stands."""

    lane: Lane
    hold: ShownHold | None = None


class Listed(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A producer as an event lists it."""

    key: str
    state: ProducerState = "unknown"
    since: int | None = None
    reason: str | None = None


class EventState(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event without its markets."""

    event: str
    provider: str
    sport: str
    lineage: int = 1
    rev: int = 0
    ts: int = 0
    updated: int = 0
    name: str | None = None
    start: int | None = None
    status: EventStatus = "not_started"
    competition: Competition | None = None
    competitors: tuple[Competitor, ...] = ()
    score: Score | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    producers: tuple[Listed, ...] = ()
    holds: dict[str, HoldState] = {}
    stops: dict[str, Floors] = {}
    fixture: Lane = {}
    scoring: Lane = {}
    statuses: Lane = {}
    names_bytes: int = 0


class Fold(Struct, kw_only=True, gc=False):
    """An event, its markets in order, its last ids (see `remember`) and the digest of all it went through.

    `rendered` is a cache of the markets' shown JSON.
    """

    head: EventState
    markets: dict[MarketId, MarketState] = {}
    ids: str = NO_IDS
    digest: str = ""
    rendered: dict[MarketId, bytes] = {}


class Outage(Struct, frozen=True, array_like=True, gc=False):
    """One outage: its generation, since when in the source's clock, and the recovery requests that answer it.

    `stepped`: the clock itself stepped back, so that times before and after it do not compare.
    """

    gen: int
    since: int
    requests: tuple[str, ...] = ()
    stepped: bool = False


class ProducerView(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A producer as a partition's records tell of it."""

    state: ProducerState = "unknown"
    gen: int = 0
    since: int | None = None
    reason: str | None = None
    outages: tuple[Outage, ...] = ()
    base: int = 0
    """The generation before the first of `outages`."""
    ids: tuple[str, ...] = ()
    """The last records seen of it, so that one appended twice counts once."""


class PartitionState(Struct, kw_only=True, omit_defaults=True, gc=False):
    """What the fold knows of a partition beside its events; stored with the position."""

    producers: dict[str, ProducerView] = {}
    tick: int = 0
    lineage: int = 1
    """The lineage that its events have gone over to; below the position's while they are being closed."""
    gone_over: str = ""
    gone: int = 0
    """The last event that has, and how many have, while not all have."""


class StoredHead(Struct, kw_only=True, gc=False):
    """What the `state` column of an event's row holds."""

    head: EventState
    ids: str
    digest: str


encoder: Final = msgspec.json.Encoder()
head_decoder: Final = msgspec.json.Decoder(StoredHead)
market_decoder: Final = msgspec.json.Decoder(MarketState)
partition_decoder: Final = msgspec.json.Decoder(PartitionState)

UNKNOWN: Final = ProducerView()


def generation(view: ProducerView, ts: int, request: str | None) -> int:
    """Return the generation of a message: that of the latest outage it is newer than, or whose recovery it answers."""
    for outage in reversed(view.outages):
        if outage.since < ts or (request is not None and request in outage.requests):
            return outage.gen
    return view.base if view.outages else view.gen


def lifted(view: ProducerView, version: Version) -> Version:
    """Return a floor's version in the generation that its `ts` belongs to by what is known now.

    An outage is told of later than it began. Without this, odds dated after its `since` but before a stop that came in
    time would overtake that stop, just by being delivered after the record of the outage. Outages since the clock was
    set back began later, whatever their times.
    """
    gen = version[0]
    for outage in reversed(view.outages):
        if outage.gen <= version[0]:
            break
        if outage.stepped:
            gen = version[0]
        elif gen == version[0] and outage.since < version[1]:
            gen = outage.gen
    return version if gen == version[0] else (gen, version[1], version[2])


def knows(ids: str, message_id: str) -> bool:
    """Say whether an id is among an event's last ones."""
    return f"\n{message_id}\n" in ids


def remember(ids: str, message_id: str, ids_max: int = IDS_MAX) -> str:
    """Add an id to an event's last `ids_max` ones, each between line ends, which no id holds.

    One string, since every event has them and every message asks: as a tuple, most of the time would go into fetching
    and counting references to 64 strings that lie anywhere.
    """
    if ids.count("\n") > ids_max:
        ids = ids[ids.index("\n", 1) :]
    return f"{ids}{message_id}\n"


def stands(lane: Lane, key: str, version: Version, message_id: str) -> str | None:
    """Say how a message meets what stands in its lane: "duplicate", "stale", or None where it may apply."""
    standing = lane.get(key)
    if standing is None:
        return None
    if message_id in standing.ids:
        return "duplicate"
    return "stale" if version < standing.version else None


def advance(lane: Lane, key: str, version: Version, message_id: str) -> Lane:
    """Return the lane with the message's version standing; ids gather while the version stays the same."""
    standing = lane.get(key)
    ids: tuple[str, ...] = (message_id,)
    if standing is not None and standing.version == version:
        if message_id in standing.ids:
            return lane
        ids = (*standing.ids[-(IDS_MAX - 1) :], message_id)
    return {**lane, key: Standing(version, ids)}


def load(stored_state: bytes, stored_markets: tuple[bytes, ...]) -> Fold:
    """Rebuild an event from what the store holds of it."""
    stored = head_decoder.decode(stored_state)
    markets = [market_decoder.decode(each) for each in stored_markets]
    ordered = {m.key: m for m in sorted(markets, key=lambda m: m.key)}
    return Fold(head=stored.head, markets=ordered, ids=stored.ids, digest=stored.digest)
