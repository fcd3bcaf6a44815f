"""Events as boards: what people look at, made of what readers are shown. Pure."""

from collections.abc import Iterable

from sb_console.observations import Board, BoardMarket, Price
from sb_core.messages import Score
from sb_core.shown import Changes, Event, Market


def board_of(event: Event) -> Board:
    """Make a board of an event."""
    return Board(
        event=event.event,
        name=event.name,
        sport=event.sport,
        competition=event.competition.name if event.competition is not None else None,
        status=event.status,
        start=event.start,
        score=score_words(event.score),
        lineage=event.lineage,
        rev=event.rev,
        ts=event.ts,
        updated=event.updated,
        stale=event.stale,
        holds=len(event.holds),
        producers=[f"{each.producer} {each.state}" for each in event.producers],
        markets=[market_of(each) for each in event.markets],
    )


def market_of(market: Market) -> BoardMarket:
    """Make a board's market."""
    return BoardMarket(
        market=market.market,
        line=market.line,
        name=market.name,
        status=market.status,
        open=market.open,
        outcomes=[Price(each.id, each.name, each.odds, each.active, each.result) for each in market.outcomes],
    )


def markets_of(changes: Changes, limit: int) -> list[BoardMarket]:
    """Return the first few markets that changed; of those whose status moved there is no more than that."""
    made = [market_of(each) for each in changes.markets[:limit]]
    moved: Iterable[BoardMarket] = (
        BoardMarket(each.market, each.line, None, each.status, each.open, []) for each in changes.statuses[:limit]
    )
    return [*made, *moved][:limit]


def score_words(score: Score | None) -> str | None:
    """Write a score in one line."""
    if score is None:
        return None
    words = f"{score.home if score.home is not None else '-'}:{score.away if score.away is not None else '-'}"
    if score.period:
        words += f" {score.period}"
    elapsed_s = score.clock.elapsed_s if score.clock is not None else None
    return words if elapsed_s is None else f"{words} {elapsed_s // 60}:{elapsed_s % 60:02d}"
