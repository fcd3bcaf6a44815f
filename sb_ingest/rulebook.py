"""What pipeline.toml means for each sport, worked out once at the start: rules, limits, enabled markets, steps.

The rule: a name in the file that no rule or limit has is warned about, since a misspelt rule would be off unseen.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from sb_core import sports, topics
from sb_core.config import PipelineConfig, Step
from sb_core.messages import AnyMessage, BetStop, Cancel, CancelRollback, Hold, Odds, Release, Settlement
from sb_core.messages import SettlementRollback as Rollback
from sb_core.sports import Limits, Rules, Sport

_WITH_MARKETS = (Odds, Settlement, BetStop, Cancel, Rollback, CancelRollback, Hold, Release)


class SportBook(Struct, frozen=True):
    """How messages of one sport are judged; `markets` None: all are enabled."""

    sport: Sport
    topic: str
    rules: Rules
    markets: frozenset[str] | None
    steps: tuple[Step, ...]


def compile_books(config: PipelineConfig, warn: Callable[[str], None]) -> dict[str, SportBook]:
    """Work out the books of all registered sports."""
    return {name: _book(config, name, warn) for name in sports.names()}


def _book(config: PipelineConfig, name: str, warn: Callable[[str], None]) -> SportBook:
    sport = sports.get(name)
    flags: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for rule, value in config.rules(name).items():
        if rule in Limits.__struct_fields__ and isinstance(value, int) and not isinstance(value, bool):
            limits[rule] = value
        elif rule in Rules.__struct_fields__ and isinstance(value, bool):
            flags[rule] = value
        else:
            warn(f"sports.{name}.rules.{rule} is no rule of ingest's, or its value is of the wrong kind")
    changed = msgspec.structs.replace(sport.limits, **limits) if limits else None
    enabled = config.sports[name].markets if name in config.sports else None
    return SportBook(sport, topics.feed(name), Rules(limits=changed, **flags), enabled, config.steps(name))


def enabled_part(message: AnyMessage, book: SportBook) -> AnyMessage | None:
    """Leave out the markets that the configuration has not enabled; None when nothing is left to say."""
    if book.markets is None or not isinstance(message, _WITH_MARKETS) or not message.markets:
        return message
    kept = tuple(market for market in message.markets if market.market in book.markets)
    if len(kept) == len(message.markets):
        return message
    return msgspec.structs.replace(message, markets=kept) if kept else None


def named_market(message: AnyMessage, market: str, line: str) -> AnyMessage | None:
    """Leave only one market of a message; None when it doesn't name that one."""
    if not isinstance(message, _WITH_MARKETS):
        return None
    kept = tuple(each for each in message.markets or () if (each.market, each.line) == (market, line))
    return msgspec.structs.replace(message, markets=kept) if kept else None
