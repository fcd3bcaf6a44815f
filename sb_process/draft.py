"""One message's attempt at an event: working copies, what each part of it came to, and what it would show.

The rule: the fold given is never changed; a draft that ends as duplicate is thrown away, of a stale one only lanes stay.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from sb_core.errors import FeedError
from sb_core.messages import FINISHED, MarketOdds, MarketRef, MarketResult, MarketStatus, Message
from sb_core.sports import MarketType
from sb_process.state import (
    UNKNOWN,
    EventState,
    Fold,
    Lane,
    Listed,
    MarketId,
    MarketState,
    ProducerView,
    StopStatus,
    Version,
    advance,
    encoder,
    generation,
    lifted,
)

Outcome: TypeAlias = Literal["applied", "unchanged", "stale", "duplicate"]
MARKETS_MAX: Final = 4_000
"""Markets of one event; a provider's largest book has about 1,000."""
NAMES_BYTES_MAX: Final = 400_000
"""Names and lines of an event's markets, as JSON: so that an update that moves the status of all of them always fits."""
PRODUCERS_MAX: Final = 256
"""Producers that one event lists."""
PARTS_MAX: Final = 3 * PRODUCERS_MAX
"""What a market's lane holds beside that of producers who own nothing: live, confirmed, rollback."""
OUTCOMES_MAX: Final = 1_000
"""Outcomes of one market, withdrawn ones included."""


class Rules(Struct, frozen=True):
    """What the fold is told of its surroundings: the partition's producers, their ranks, the sport's catalogue."""

    sport: str
    lineage: int
    kinds: Mapping[str, MarketType]
    rank: Callable[[str], int]
    views: Mapping[str, ProducerView]


class Draft:
    """Working copies of an event while one message is applied to it."""

    __slots__ = (
        "before",
        "changed",
        "content",
        "created",
        "created_markets",
        "fields",
        "head",
        "message",
        "moved",
        "producer",
        "reshow",
        "rules",
        "score_changed",
        "verdicts",
        "version",
    )

    def __init__(self, before: Fold, message: Message, rules: Rules) -> None:
        self.before = before
        self.head: EventState = replace(before.head)
        self.message = message
        self.rules = rules
        self.producer = message.producer_key
        view = rules.views.get(self.producer, UNKNOWN)
        self.version: Version = (generation(view, message.ts, message.request), message.ts, message.seq)
        self.changed: dict[MarketId, MarketState] = {}
        self.content: set[MarketId] = set()
        self.moved: set[MarketId] = set()
        self.fields: set[str] = set()
        self.score_changed = False
        self.reshow = False
        self.created = before.head.rev == 0
        self.created_markets = 0
        self.verdicts: list[str | None] = []

    def known(self, ref: MarketOdds | MarketRef | MarketResult) -> MarketState | None:
        """Return a market as it was before the message, which may name it twice: a part is never stale for another."""
        return self.before.markets.get((ref.market, ref.line))

    def edit(self, ref: MarketOdds | MarketRef | MarketResult) -> MarketState:
        """Return a copy of a market to change, creating it where the message is the first to name it.

        Raises FeedError `too_large` beyond MARKETS_MAX and NAMES_BYTES_MAX.
        """
        key = ref.market, ref.line
        standing = self.changed.get(key)
        if standing is not None:
            return standing
        known = self.before.markets.get(key)
        if known is None:
            self._count(key)
            kind = self.rules.kinds.get(ref.market)
            made = MarketState(market=ref.market, line=ref.line, groups=None if kind is None else kind.groups)
            self.content.add(key)
        else:
            made = replace(known)
        _learn(made, ref, self.content)
        self.changed[key] = made
        return made

    def pass_by(self, state: MarketState, lane: Literal["odds", "settling"], part: str) -> None:
        """Let what may not apply now stand in its lane all the same, so that it may not when it is sent again either.

        Whether it may depends on what else stands at the moment; ids alone would tell only for the last IDS_MAX
        messages. Nothing that is shown changes. Raises FeedError `too_large` beyond PARTS_MAX.
        """
        made = self.changed.setdefault(state.key, replace(state))
        standing: Lane = getattr(made, lane)
        if part not in standing and len(standing) >= PARTS_MAX:
            raise FeedError("too_large", f"more than {PARTS_MAX} producers", event=self.head.event, market=state.market)
        setattr(made, lane, advance(standing, part, self.version, self.message.id))

    def _count(self, key: MarketId) -> None:
        """Make room for one more market, or refuse it."""
        self.created_markets += 1
        if len(self.before.markets) + self.created_markets > MARKETS_MAX:
            raise FeedError("too_large", f"more than {MARKETS_MAX} markets", event=self.head.event)
        self.head.names_bytes += len(encoder.encode(key))
        if self.head.names_bytes > NAMES_BYTES_MAX:
            raise FeedError("too_large", f"names of more than {NAMES_BYTES_MAX} bytes", event=self.head.event)

    def listed(self) -> None:
        """List the message's producer on the event, with the state the partition knows it in."""
        for each in self.head.producers:
            if each.key == self.producer:
                return
        view = self.rules.views.get(self.producer, UNKNOWN)
        added = Listed(key=self.producer, state=view.state, since=view.since, reason=view.reason)
        if len(self.head.producers) >= PRODUCERS_MAX:
            raise FeedError("too_large", f"more than {PRODUCERS_MAX} producers", event=self.head.event)
        self.head.producers = tuple(sorted((*self.head.producers, added), key=lambda each: each.key))
        self.fields.add("producers")

    def show(self) -> None:
        """Bring `shown` and `open` up to date: of the markets touched, or of all where the event as a whole moved."""
        keys = [*self.before.markets, *self.changed] if self.reshow else list(self.changed)
        for key in keys:
            state = self.changed.get(key) or self.before.markets[key]
            shown, is_open = standing(self.head, state, self.rules.views)
            if shown == state.shown and is_open == state.open:
                continue
            if key not in self.changed:
                state = self.changed[key] = replace(state)
            state.shown = shown
            state.open = is_open
            self.moved.add(key)

    @property
    def outcome(self) -> Outcome:
        """What the message came to, in the order that the design gives."""
        verdicts = set(self.verdicts)
        if "duplicate" in verdicts:
            return "duplicate"
        if verdicts == {"stale"}:
            return "stale"
        if self.created or self.content or self.moved or self.fields or self.score_changed:
            return "applied"
        return "unchanged"


def _learn(state: MarketState, ref: MarketOdds | MarketRef | MarketResult, content: set[MarketId]) -> None:
    """Take over what a message says of a market's name, groups and source, where it says anything."""
    name, groups, source = ref.name, ref.groups, ref.source
    if not isinstance(name, UnsetType) and name != state.name:
        state.name = name
        content.add(state.key)
    if not isinstance(groups, UnsetType) and groups != state.groups:
        state.groups = groups
        content.add(state.key)
    if not isinstance(source, UnsetType) and source != state.source:
        state.source = source
        content.add(state.key)


def stopped(
    head: EventState, market: MarketState, owner: str, version: Version, view: ProducerView
) -> StopStatus | None:
    """Return the most closed status among the stops that cover a market's odds, or None; `view` is the owner's."""
    floors = head.stops.get(owner)
    if floors is None:
        return None
    covering = [floors.everything, floors.markets.get(target(market.key))]
    if market.groups is None:
        covering.extend(floors.groups.values())
    else:
        covering.extend(floors.groups.get(group) for group in market.groups)
    statuses = {floor.status for floor in covering if floor is not None and version <= lifted(view, floor.version)}
    if not statuses:
        return None
    return "inactive" if "inactive" in statuses else "suspended"


def rolled_back(market: MarketState, owner: str, version: Version, view: ProducerView) -> bool:
    """Say whether a rollback still keeps the market suspended.

    Versions compare within one producer; odds of another are newer than a rollback when their `ts` is.
    """
    for producer, floor in market.rollbacks.items():
        if (version <= lifted(view, floor)) if producer == owner else (version[1] <= floor[1]):
            return True
    return False


def target(key: MarketId) -> str:
    """Name a market where a string is needed; ids hold no control characters."""
    return f"{key[0]}\t{key[1]}"


def held(head: EventState, key: MarketId) -> bool:
    """Say whether an operator holds the event or the market."""
    for name in ("", target(key)):
        state = head.holds.get(name)
        if state is not None and state.hold is not None:
            return True
    return False


def standing(head: EventState, market: MarketState, views: Mapping[str, ProducerView]) -> tuple[MarketStatus, bool]:
    """Return the status that a market shows, and whether one may bet on it."""
    owner = market.owner
    if owner is None:
        status: MarketStatus = market.status
        version = (0, 0, 0)
    else:
        version = market.odds[owner].version
        status = market.status
        if status in {"active", "suspended"}:
            if head.stops:
                status = stopped(head, market, owner, version, views.get(owner, UNKNOWN)) or status
            if (
                market.rollbacks
                and status == "active"
                and rolled_back(market, owner, version, views.get(owner, UNKNOWN))
            ):
                status = "suspended"
    if status == "active" and head.holds and held(head, market.key):
        status = "suspended"
    if market.voids:
        return "cancelled", False
    if market.settled is not None:
        return "settled", False
    if status != "active" or owner is None or head.status in FINISHED:
        return status, False
    view = views.get(owner, UNKNOWN)
    return status, view.state != "down" and version[0] >= view.gen
