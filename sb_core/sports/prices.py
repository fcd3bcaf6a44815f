"""The markets of an odds message: names, lines, outcomes and prices, on the hot path.

The rule: a clean market comes back as the same object; nothing is built unless something changes.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET

from sb_core import odds
from sb_core.decimals import CHARS_MAX, is_plain, is_unit, shortest
from sb_core.errors import FeedError
from sb_core.messages import Info, MarketOdds, MarketRef, MarketResult, OutcomeOdds, OutcomeResult
from sb_core.sports.catalogue import Limits, MarketType, Rules, Sport
from sb_core.sports.lines import LINE_CHARS_MAX, canonical_line, line_for
from sb_core.sports.wording import MARKET_CHARS_MAX, clean_name, is_id, is_prefixed, want_id, want_info


class Scope:
    """What one message is checked against, and the count of its odds that were rounded."""

    __slots__ = ("limits", "markets", "rounded", "rules")

    def __init__(self, sport: Sport, rules: Rules) -> None:
        self.markets = sport.markets
        self.rules = rules
        self.limits: Limits = rules.limits or sport.limits
        self.rounded = 0


@lru_cache(maxsize=65_536)
def _canonical_odds(text: str) -> str:
    return odds.text(odds.parse(text))


@lru_cache(maxsize=16_384)
def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII | re.DOTALL) is not None


def price(text: str, scope: Scope) -> str:
    """Return the odds of an active outcome in canonical form. Raises FeedError `bad_odds`."""
    if len(text) > CHARS_MAX:
        raise FeedError("bad_odds", f"odds {text[:CHARS_MAX]!r} are too long")
    canonical = _canonical_odds(text)
    if canonical != text and text.partition(".")[2].rstrip("0")[4:]:
        scope.rounded += 1
    return canonical


def withdrawn_price(text: str, scope: Scope) -> str | None:
    """Return the odds of an inactive outcome: None for 1.00 or less. Raises FeedError `bad_odds`."""
    number = shortest(text)
    if number is not None and (number.startswith("-") or odds.scaled(number[:CHARS_MAX]) <= odds.SCALE):
        return None
    return price(text, scope)


def has_outcome(kind: MarketType, outcome: str) -> bool:
    """Say whether a canonical market has an outcome."""
    if outcome in kind.outcomes:
        return True
    return kind.outcome_pattern is not None and _matches(kind.outcome_pattern, outcome)


def identify(market: str, line: str, scope: Scope) -> tuple[MarketType | None, str]:
    """Return a market's type, None for a provider's own, and its line in canonical form.

    Raises FeedError `bad_id`, or `rule_enabled_market` for a market that the configuration leaves out.
    """
    if len(line) > LINE_CHARS_MAX:
        raise FeedError("bad_id", f"a line of {len(line)} characters is longer than {LINE_CHARS_MAX}")
    kind = scope.markets.get(market)
    if kind is not None:
        if line or kind.line:
            line = line_for(line, kind.line, kind.line_kinds)
    elif not is_prefixed(market, MARKET_CHARS_MAX):
        raise FeedError("bad_id", f"market {market[:40]!r} is neither in the catalogue nor <provider>:<their type>")
    elif line:
        line = canonical_line(line)
    rules = scope.rules
    if rules.markets is not None and rules.enabled_market and market not in rules.markets:
        raise FeedError("rule_enabled_market", f"market {market!r} is not enabled")
    return kind, line


def checked_ref(ref: MarketRef, scope: Scope) -> MarketRef:
    """Check the name of a market. Raises FeedError."""
    _, line = identify(ref.market, ref.line, scope)
    changed = _described(ref, scope)
    if line != ref.line:
        changed["line"] = line
    return msgspec.structs.replace(ref, **changed) if changed else ref


def checked_market(market: MarketOdds, scope: Scope) -> MarketOdds:
    """Check one market of an odds message. Raises FeedError."""
    kind, line = identify(market.market, market.line, scope)
    changed = _described(market, scope)
    if line is not market.line and line != market.line:
        changed["line"] = line
    if market.info is not UNSET and market.info:
        _check_info(market.info, scope)
    outcomes = market.outcomes
    if outcomes is not UNSET:
        _check_ids(outcomes, kind, scope)
        checked = [_checked_outcome(outcome, scope) for outcome in outcomes]
        if any(new is not old for new, old in zip(checked, outcomes, strict=True)):
            changed["outcomes"] = tuple(checked)
    return msgspec.structs.replace(market, **changed) if changed else market


def checked_result(market: MarketResult, scope: Scope) -> MarketResult:
    """Check one market of a settlement. Raises FeedError."""
    kind, line = identify(market.market, market.line, scope)
    changed = _described(market, scope)
    if line != market.line:
        changed["line"] = line
    _check_ids(market.outcomes, kind, scope)
    checked = [_checked_outcome_result(outcome) for outcome in market.outcomes]
    if any(new is not old for new, old in zip(checked, market.outcomes, strict=True)):
        changed["outcomes"] = tuple(checked)
    return msgspec.structs.replace(market, **changed) if changed else market


def _check_ids(
    outcomes: tuple[OutcomeOdds, ...] | tuple[OutcomeResult, ...], kind: MarketType | None, scope: Scope
) -> None:
    if len(outcomes) > scope.limits.outcomes_max:
        raise FeedError("too_large", f"{len(outcomes)} outcomes are more than {scope.limits.outcomes_max}")
    named = () if kind is None else kind.outcomes
    for outcome in outcomes:
        if outcome.id in named:
            continue
        if not is_id(outcome.id):
            raise FeedError("bad_id", f"outcome {outcome.id[:40]!r} is no id")
        if kind is not None and not has_outcome(kind, outcome.id):
            raise FeedError("bad_id", f"{kind.name} has no outcome {outcome.id[:40]!r}")
    if scope.rules.repeated_outcome and len({outcome.id for outcome in outcomes}) != len(outcomes):
        raise FeedError("rule_repeated_outcome", "an outcome is there twice")


def _checked_outcome(outcome: OutcomeOdds, scope: Scope) -> OutcomeOdds:
    changed: dict[str, Any] | None = None
    written = outcome.odds
    if written is not UNSET and written is not None:
        canonical = withdrawn_price(written, scope) if outcome.active is False else price(written, scope)
        if canonical is not written and canonical != written:
            changed = {"odds": canonical}
    if outcome.probability and not is_unit(outcome.probability):
        raise FeedError("bad_odds", f"probability {outcome.probability[:40]!r} is no plain decimal from 0 to 1")
    if outcome.size and not is_plain(outcome.size):
        raise FeedError("bad_odds", f"size {outcome.size[:40]!r} is no plain decimal")
    if outcome.source:
        want_id(outcome.source, "source")
    if outcome.participant:
        want_id(outcome.participant, "participant")
    if outcome.name:
        name = clean_name(outcome.name)
        if name is not outcome.name:
            changed = {**(changed or {}), "name": name}
    if outcome.info is not UNSET and outcome.info:
        _check_info(outcome.info, scope)
    return msgspec.structs.replace(outcome, **changed) if changed else outcome


def _checked_outcome_result(outcome: OutcomeResult) -> OutcomeResult:
    if outcome.dead_heat is not None and not is_unit(outcome.dead_heat):
        raise FeedError("bad_odds", f"dead heat factor {outcome.dead_heat[:40]!r} is no plain decimal from 0 to 1")
    if outcome.source:
        want_id(outcome.source, "source")
    if not outcome.name:
        return outcome
    name = clean_name(outcome.name)
    return outcome if name is outcome.name else msgspec.structs.replace(outcome, name=name)


def _described(market: MarketOdds | MarketRef | MarketResult, scope: Scope) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if market.source:
        want_id(market.source, "source")
    if market.name:
        name = clean_name(market.name)
        if name is not market.name:
            changed["name"] = name
    if market.groups:
        check_groups(market.groups, scope)
    return changed


def check_groups(groups: tuple[str, ...], scope: Scope) -> None:
    """Raise FeedError unless groups are few and named by ids."""
    if len(groups) > scope.limits.groups_max:
        raise FeedError("too_large", f"{len(groups)} groups are more than {scope.limits.groups_max}")
    for group in groups:
        want_id(group, "group")


def _check_info(info: Info, scope: Scope) -> None:
    want_info(info, scope.limits.info_keys_max)
