"""What crosses the ports: records of the log, rows and positions of the store, entries of the cache.

The rule: plain frozen structs of plain values; a batch is one value, because a crossing costs as much for 1 as for 500.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

TopicPartition: TypeAlias = tuple[str, int]
Header: TypeAlias = tuple[str, bytes]
Version: TypeAlias = tuple[int, int]
"""(lineage, rev) of an event."""


class Record(Struct, frozen=True, gc=False):
    """What is appended. `partition` None means: by the key, as Kafka's default partitioner does. `ts` in ms."""

    topic: str
    key: str
    value: bytes | None
    ts: int
    partition: int | None = None
    headers: tuple[Header, ...] = ()


class Fetched(Struct, frozen=True, gc=False):
    """What is read back."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    ts: int
    headers: tuple[Header, ...] = ()


class Delivery(Struct, frozen=True):
    """One answer of a reader: partitions newly given or taken away, and records of those that were sought.

    The caller handles `revoked`, then `assigned` (claims each and seeks its position), then `records`.
    """

    assigned: tuple[TopicPartition, ...] = ()
    revoked: tuple[TopicPartition, ...] = ()
    records: Sequence[Fetched] = ()


class Position(Struct, frozen=True):
    """Where the fold of a feed partition stands, read when it is claimed.

    Everything below `done_offset` was acknowledged by cache and updates topic. `state` is the fold's own (JSON).
    """

    topic: str
    partition: int
    lineage: int
    epoch: int
    owner: str
    next_offset: int
    done_offset: int
    cache_generation: int
    state: bytes


class StoredEvent(Struct, frozen=True):
    """The fold's own state of an event and its markets, as last committed (JSON each)."""

    event: str
    state: bytes
    markets: tuple[bytes, ...]


class ShownEvent(Struct, frozen=True):
    """An event as shown: its header (shown.Header) and its markets (shown.Market), JSON each, markets in order."""

    event: str
    lineage: int
    rev: int
    header: bytes
    markets: tuple[bytes, ...]


class EventRow(Struct, frozen=True, gc=False):
    """A row of `events`. `search` is the folded text of names; `shown` and `state` are JSON."""

    event: str
    topic: str
    partition: int
    sport: str
    lineage: int
    rev: int
    name: str | None
    start: int | None
    status: str
    competition: str | None
    ts: int
    updated: int
    search: str
    shown: bytes
    state: bytes


class MarketRow(Struct, frozen=True, gc=False):
    """A row of `markets`; `shown` and `state` are JSON."""

    event: str
    market: str
    line: str
    status: str
    open: bool
    producer: str | None
    ts: int
    shown: bytes
    state: bytes


class OutcomeRow(Struct, frozen=True, gc=False):
    """A row of `outcomes`, for people and reports; odds in ten-thousandths."""

    event: str
    market: str
    line: str
    outcome: str
    name: str | None
    odds: int | None
    active: bool
    result: str | None


class ChangeRow(Struct, frozen=True, gc=False):
    """An entry of the change log, which is the outbox too; `update` is the whole record for the updates topic."""

    topic: str
    partition: int
    offset: int
    event: str
    lineage: int
    rev: int
    ts: int
    updated: int
    type: str
    update: bytes


class ParticipantRow(Struct, frozen=True, gc=False):
    """A competitor or player, guarded by (ts, event): an older row never replaces a newer one."""

    id: str
    sport: str
    name: str | None
    search: str
    ts: int
    event: str


class CompetitionRow(Struct, frozen=True, gc=False):
    """A competition, guarded like participants."""

    id: str
    sport: str
    name: str | None
    category: str | None
    search: str
    ts: int
    event: str


class Batch(Struct, frozen=True, kw_only=True):
    """One transaction of the fold on one partition. The fence is (epoch, owner, expected offset).

    A store that failed over may have lost what moved nothing else: it must not stand below `done_before` and
    `cache_generation` either.
    """

    topic: str
    partition: int
    epoch: int
    owner: str
    expected: int
    next_offset: int
    done_offset: int
    state: bytes
    counts: Mapping[str, int]
    done_before: int = 0
    cache_generation: int = 0
    events: Sequence[EventRow] = ()
    markets: Sequence[MarketRow] = ()
    outcomes: Sequence[OutcomeRow] = ()
    changes: Sequence[ChangeRow] = ()
    participants: Sequence[ParticipantRow] = ()
    competitions: Sequence[CompetitionRow] = ()
    listings: Sequence[tuple[str, str]] = ()
    """(producer key, event) pairs that are new: which events of this partition list which producer."""


class EventQuery(Struct, frozen=True, kw_only=True):
    """What `GET /v1/events` asks. Empty tuples and None ask for nothing; `after` is (start or -1, event), exclusive.

    Order: start (unknown first), then event.
    """

    sports: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    competitions: tuple[str, ...] = ()
    start_from: int | None = None
    start_to: int | None = None
    q: str | None = None
    after: tuple[int, str] | None = None
    limit: int = 100


class NamedQuery(Struct, frozen=True, kw_only=True):
    """What lists of participants and competitions ask; ordered by id, `after` exclusive; `q` is folded already."""

    sports: tuple[str, ...] = ()
    q: str | None = None
    after: str | None = None
    limit: int = 100


class CacheEntry(Struct, frozen=True, gc=False):
    """A whole shown event for the cache; stored only if (lineage, rev) is above what is there."""

    event: str
    generation: int
    lineage: int
    rev: int
    value: bytes
