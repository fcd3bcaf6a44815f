"""How state is shown: the JSON of markets, headers, snapshots and updates, as WIRE.md lays it down.

The rule: what is shown is a function of state alone; a market's JSON is made once and used in row, log and snapshot.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from sb_core import odds
from sb_core.messages import Result, Score
from sb_core.shown import EventProducer, Header, Market, Outcome, ShownHold, StatusChange
from sb_core.sports import MarketType
from sb_process.state import EventState, Fold, MarketState, OutcomeState

_encoder = msgspec.json.Encoder()


class RenderedChanges(Struct, kw_only=True, gc=False):
    """shown.Changes with markets already encoded."""

    event: dict[str, Any] = {}
    score: Score | None = None
    markets: list[Raw] = []
    statuses: list[StatusChange] = []
    closed: list[Any] = []


class RenderedUpdate(Struct, kw_only=True, gc=False):
    """shown.Update with its changes already rendered."""

    v: int = 1
    event: str
    sport: str
    lineage: int
    prev: int
    rev: int
    ts: int
    updated: int
    changes: RenderedChanges
    trace: str
    received: int
    cause: str
    cause_type: str
    at: int
    digest: str
    con: bool = False


def margin(market: MarketState, kind: MarketType | None) -> int | None:
    """Return the overround in ten-thousandths where every outcome of the complete set is priced, else None."""
    if kind is not None and kind.complete and kind.outcomes:
        priced = {outcome.id: outcome.odds for outcome in market.outcomes}
        prices = list(map(priced.get, kind.outcomes))
    elif market.complete:
        prices = [outcome.odds for outcome in market.outcomes if outcome.listed]
    else:
        return None
    if not prices or None in prices:
        return None
    return odds.overround(cast(list[int], prices))


_NO_RESULT: Final[tuple[Result | None, str | None]] = (None, None)


def _outcome(state: OutcomeState, results: Mapping[str, tuple[Result, str | None]], overround: int | None) -> Outcome:
    price = state.odds
    result, dead_heat = results.get(state.id, _NO_RESULT) if results else _NO_RESULT
    return Outcome(
        id=state.id,
        source=state.source,
        name=state.name,
        participant=state.participant,
        odds=None if price is None else odds.text(price),
        fair=None if price is None or overround is None else odds.text(odds.fair(price, overround)),
        active=state.active,
        probability=state.probability,
        size=state.size,
        result=result,
        dead_heat=dead_heat,
        info=state.info,
    )


def market_struct(state: MarketState, kind: MarketType | None) -> Market:
    """Show a market; `kind` is its entry in the sport's catalogue, if it has one."""
    overround = margin(state, kind)
    results = {} if state.settled is None else state.settled.results
    return Market(
        market=state.market,
        line=state.line,
        name=state.name,
        status=state.shown,
        open=state.open,
        source=state.source,
        producer=None if state.owner is None else state.owner.partition(":")[2],
        groups=state.groups,
        ts=state.ts or None,
        certainty=None if state.settled is None else state.settled.certainty,
        cancels=state.cancels,
        overround=None if overround is None else f"{overround // odds.SCALE}.{overround % odds.SCALE:04d}",
        info=state.info,
        outcomes=[_outcome(each, results, overround) for each in state.outcomes],
    )


def market(state: MarketState, kind: MarketType | None) -> bytes:
    """Write a market as shown.Market JSON."""
    return _encoder.encode(market_struct(state, kind))


def producers(head: EventState) -> tuple[EventProducer, ...]:
    """Show the producers that an event lists."""
    return tuple(
        EventProducer(
            producer=each.key.partition(":")[2], state=each.state, since=each.since or None, reason=each.reason
        )
        for each in head.producers
    )


def holds(head: EventState) -> tuple[ShownHold, ...]:
    """Show the holds that stand, in the order of their targets."""
    return tuple(state.hold for _, state in sorted(head.holds.items()) if state.hold is not None)


def header(head: EventState) -> Header:
    """Show an event without its markets."""
    return Header(
        event=head.event,
        provider=head.provider,
        sport=head.sport,
        name=head.name,
        start=head.start,
        status=head.status,
        competition=head.competition,
        competitors=head.competitors,
        score=head.score,
        producers=producers(head),
        replaces=head.replaces,
        replaced_by=head.replaced_by,
        holds=holds(head),
        lineage=head.lineage,
        rev=head.rev,
        ts=head.ts,
        updated=head.updated,
    )


def snapshot(shown_header: bytes, markets: list[bytes]) -> bytes:
    """Join a header's JSON and markets' JSON (in order) into a whole shown.Event."""
    return b'%s,"markets":[%s]}' % (shown_header[:-1], b",".join(markets))


def rendered(fold: Fold, kinds: Any) -> list[bytes]:
    """Return the JSON of all markets in order, rendering those whose cache is empty. `kinds` is the sport's catalogue."""
    out = []
    cache = fold.rendered
    for key, state in fold.markets.items():
        got = cache.get(key)
        if got is None:
            got = cache[key] = market(state, kinds.get(key[0]))
        out.append(got)
    return out


def encode(value: Struct) -> bytes:
    """Write any struct as JSON."""
    return _encoder.encode(value)
