"""What an expression sees of an update: one row per outcome, market or, where neither changed, update. Pure.

sport=football market=1x2 odds>5      event~"^uof:"  kind=closed      name~arsenal and not open
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sb_console.observations import BoardMarket, TapeItem
from sb_console.query import Node, QueryError, holds

FIELDS: Final = (
    "sport",
    "event",
    "name",
    "kind",
    "rev",
    "lineage",
    "con",
    "delay_ms",
    "market",
    "line",
    "status",
    "open",
    "outcome",
    "odds",
)


def matches(node: Node | None, item: TapeItem) -> bool:
    """Say whether an expression holds for any row of an update; what asks for other fields never does."""
    if node is None:
        return True
    try:
        return any(holds(node, _looking(row)) for row in rows(item))
    except QueryError:
        return False


def rows(item: TapeItem) -> Iterator[Mapping[str, Any]]:
    """Return an update's rows."""
    shared: dict[str, Any] = dict.fromkeys(FIELDS)
    shared.update(
        sport=item.sport,
        event=item.event,
        name=item.name,
        kind=item.kind,
        rev=item.rev,
        lineage=item.lineage,
        con=item.con,
        delay_ms=item.at - item.received,
    )
    if not item.markets:
        yield shared
    for market in item.markets:
        yield from _of_market(shared, market)


def _of_market(shared: Mapping[str, Any], market: BoardMarket) -> Iterator[Mapping[str, Any]]:
    about = {**shared, "market": market.market, "line": market.line, "status": market.status, "open": market.open}
    if not market.outcomes:
        yield about
    for each in market.outcomes:
        yield {**about, "outcome": each.outcome, "odds": each.odds}


def check(node: Node | None) -> None:
    """Raise QueryError where an expression asks for a field that updates haven't."""
    if node is not None:
        for each in _paths(node):
            if len(each) != 1 or each[0] not in FIELDS:
                raise QueryError(f"updates have no {'.'.join(each)}; they have {', '.join(FIELDS)}")


def _paths(node: Node) -> Iterator[tuple[str, ...]]:
    if hasattr(node, "path"):
        yield node.path
    for term in getattr(node, "terms", ()):
        yield from _paths(term)
    if hasattr(node, "term"):
        yield from _paths(node.term)


def _looking(row: Mapping[str, Any]) -> Any:
    def look(path: tuple[str, ...]) -> Any:
        if len(path) != 1 or path[0] not in row:
            raise QueryError(f"updates have no {'.'.join(path)}")
        return row[path[0]]

    return look
