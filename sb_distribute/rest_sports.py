"""The sports that REST names: their list, their catalogue, and the check of a `sport` filter.

The rule: what a sport is stands in its module (sb_core.sports); here it is only written down for clients.
"""

from collections.abc import Iterable

from sb_core import sports
from sb_distribute.node import Node
from sb_distribute.rest_queries import BadQueryError
from sb_distribute.rest_types import CatalogueItem, SportItem


def check_sports(named: Iterable[str]) -> None:
    """Raise BadQueryError `unknown_sport` for a filter on a sport that does not exist."""
    for name in named:
        if sports.find(name) is None:
            raise BadQueryError("unknown_sport", f"no sport {name[:40]!r}; there are {', '.join(sports.names())}")


def sport_items(node: Node) -> list[SportItem]:
    """List all sports by name."""
    found = [sports.get(name) for name in sorted(sports.names())]
    return [
        SportItem(sport=each.name, name=each.title, markets=len(each.markets), stale=node.stale(each.name))
        for each in found
    ]


def catalogue_items(sport: sports.Sport) -> list[CatalogueItem]:
    """List a sport's canonical markets by name."""
    return [
        CatalogueItem(
            market=each.name,
            name=each.title,
            line=each.line,
            outcomes=each.outcomes,
            outcome_pattern=each.outcome_pattern,
            groups=each.groups,
            complete=each.complete,
        )
        for each in sorted(sport.markets.values(), key=lambda market: market.name)
    ]
