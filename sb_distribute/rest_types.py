"""What REST answers besides the event itself: the items of its lists and the lists around them.

The rule: every key is always present, unknown is null and none is []; the OpenAPI document is made from these types.
"""

from msgspec import Raw, Struct

from sb_core.messages import ProducerState
from sb_core.shown import Changes, Header, Market


class SportItem(Struct, frozen=True, kw_only=True):
    """A sport that this node serves. `markets` counts its catalogue; `stale` as in its events."""

    sport: str
    name: str
    markets: int
    stale: bool


class SportList(Struct, frozen=True, kw_only=True):
    """All sports."""

    items: tuple[SportItem, ...]
    next: str | None = None


class CatalogueItem(Struct, frozen=True, kw_only=True):
    """A canonical market: what its line names, which outcomes it has, which groups of stops cover it.

    `line` lists the specifiers of its line, [] where it has none. `outcomes` are the fixed ids in order; further ids
    match `outcome_pattern`. Where `complete`, the fixed outcomes are all there are.
    """

    market: str
    name: str
    line: tuple[str, ...]
    outcomes: tuple[str, ...]
    outcome_pattern: str | None
    groups: tuple[str, ...]
    complete: bool


class CatalogueList(Struct, frozen=True, kw_only=True):
    """A sport's canonical markets, by name."""

    items: tuple[CatalogueItem, ...]
    next: str | None


class CompetitionItem(Struct, frozen=True, kw_only=True):
    """A competition; `category` is its country or tour, `ts` that of the message which last named it."""

    id: str
    sport: str
    name: str | None
    category: str | None
    ts: int


class CompetitionList(Struct, frozen=True, kw_only=True):
    """Competitions by id."""

    items: tuple[CompetitionItem, ...]
    next: str | None


class ParticipantItem(Struct, frozen=True, kw_only=True):
    """A competitor or player; `event` and `ts` are of the message which last named it."""

    id: str
    sport: str
    name: str | None
    event: str
    ts: int


class ParticipantList(Struct, frozen=True, kw_only=True):
    """Participants by id."""

    items: tuple[ParticipantItem, ...]
    next: str | None


class ProducerItem(Struct, frozen=True, kw_only=True):
    """A producer and its state, as the node that judges it last said. Times in ms."""

    provider: str
    producer: str
    state: ProducerState
    reason: str | None = None
    since: int | None = None
    last_alive: int | None = None
    recovery: str | None = None


class ProducerList(Struct, frozen=True, kw_only=True):
    """Producers by provider and id."""

    items: tuple[ProducerItem, ...]
    next: str | None


class EventList(Struct, frozen=True, kw_only=True):
    """Events without markets, by start (unknown first), then id."""

    items: tuple[Header, ...]
    next: str | None


class MarketList(Struct, frozen=True, kw_only=True):
    """Markets of an event by (market, line), and what is needed to know whether one may bet on them: `stale`."""

    event: str
    lineage: int
    rev: int
    stale: bool
    items: list[Market]
    next: str | None


class HistoryItem(Struct, frozen=True, kw_only=True):
    """One `rev` of an event: `type` is the message's that made it, `changes` are whole things as on the stream."""

    lineage: int
    rev: int
    ts: int
    updated: int
    type: str
    changes: Changes


class RawHistoryItem(Struct, frozen=True, kw_only=True):
    """A HistoryItem whose changes pass through as the bytes that the change log holds."""

    lineage: int
    rev: int
    ts: int
    updated: int
    type: str
    changes: Raw


class HistoryList(Struct, frozen=True, kw_only=True):
    """Changes in ascending `rev`. A page may be short, with a filter even empty, and still have a `next`."""

    items: tuple[HistoryItem, ...]
    next: str | None


class RawHistoryList(Struct, frozen=True, kw_only=True):
    """A HistoryList of raw items."""

    items: list[RawHistoryItem | HistoryItem]
    next: str | None


class Problem(Struct, frozen=True, kw_only=True):
    """An error (RFC 9457); `code` is stable and for programs, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
