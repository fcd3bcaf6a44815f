"""The checks that every canonical message passes before it is appended.

The rule: the smallest piece is refused. A market that breaks a rule leaves its message, the others go on; what is
wrong with the message itself refuses the message. What is clean comes back as the same object.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sb_core.errors import ContractError, FeedError
from sb_core.messages import (
    Alive,
    AnyMessage,
    BetStop,
    Cancel,
    CancelRollback,
    Clock,
    Competition,
    Competitor,
    Fixture,
    Hold,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    Player,
    Producer,
    Release,
    ScoreChange,
    Settlement,
    SettlementRollback,
    SnapshotComplete,
    Tick,
)
from sb_core.sports.catalogue import Limits, Rules, Sport
from sb_core.sports.prices import Scope, check_groups, checked_market, checked_ref, checked_result, identify
from sb_core.sports.wording import (
    INTEGER_MAX,
    clean_name,
    is_id,
    is_prefixed,
    is_provider,
    want_id,
    want_info,
    want_integer,
    want_time,
)

DEFAULT_RULES: Final = Rules()
_SAID_CHARS_MAX: Final = 200
_NO_EVENT: Final = (Alive, SnapshotComplete, Producer, Tick)
_PLAYED: Final = frozenset({"ended", "closed"})
"""Statuses in which a score is final; what was abandoned may stand level anywhere."""
_NAMING: Final = (BetStop, Cancel, SettlementRollback, CancelRollback, Hold, Release)
_WINDOWED: Final = (Cancel, SettlementRollback, CancelRollback)
_REASONED: Final = (Cancel, Hold, Release)

_WithMarkets: TypeAlias = Odds | Settlement | BetStop | Cancel | SettlementRollback | CancelRollback | Hold | Release
AnyMarket = TypeVar("AnyMarket", MarketOdds, MarketRef, MarketResult)
Named = TypeVar("Named", Competition, Competitor, Player)
Thing = TypeVar("Thing", bound=Struct)


class Problem(Struct, frozen=True, kw_only=True):
    """Why something is refused.

    `market` and `line` are as the message said them, cut to 200 characters; None: it is about the whole message.
    `named` says whether they are a market's proper name, so that a stop can name it. Where they are not, nothing
    shown carries that name. The line of a named market is in canonical form.
    """

    code: str
    message: str
    market: str | None = None
    line: str | None = None
    named: bool = False


class Checked(Struct, frozen=True):
    """What is left of a message (None: nothing), what was refused of it, and how many odds lost decimals."""

    message: AnyMessage | None
    problems: tuple[Problem, ...] = ()
    rounded: int = 0


def check(message: AnyMessage, sport: Sport | None, rules: Rules = DEFAULT_RULES) -> Checked:
    """Check a canonical message against its sport.

    `sport` is None only for messages about no event (alive, snapshot_complete, tick). Never raises for input.
    """
    try:
        _check_head(message, sport)
        return Checked(message) if sport is None else _check_body(message, sport, Scope(sport, rules))
    except FeedError as error:
        return Checked(None, (Problem(code=error.code, message=error.message),))


def _check_body(message: AnyMessage, sport: Sport, scope: Scope) -> Checked:
    if isinstance(message, Odds):
        return _check_markets(message, message.markets, checked_market, scope)
    if isinstance(message, ScoreChange):
        return Checked(_checked_score(message, sport, scope))
    if isinstance(message, Fixture):
        return Checked(_checked_fixture(message, sport, scope))
    if isinstance(message, Settlement):
        return _check_markets(message, message.markets, checked_result, scope)
    return _check_refs(message, scope)


def _check_head(message: AnyMessage, sport: Sport | None) -> None:
    want_time(message.ts, "ts")
    if message.seq or message.received:
        want_integer(message.seq, "seq")
        want_time(message.received, "received")
    if not isinstance(message, _NO_EVENT):
        if sport is None:
            raise ContractError(f"{message.event[:40]!r} is checked without its sport")
        if not is_prefixed(message.event):
            raise FeedError("bad_id", f"event {message.event[:40]!r} is not <provider>:<their id>")
    if not is_id(message.producer):
        raise FeedError("bad_id", f"producer {message.producer[:40]!r} is no id")
    if message.provider and not is_provider(message.provider):
        raise FeedError("bad_id", f"provider {message.provider[:40]!r} is no provider's name")
    if message.id:
        want_id(message.id, "id")
    if message.request:
        want_id(message.request, "request")


def _check_markets(
    message: _WithMarkets,
    markets: tuple[AnyMarket, ...],
    checked: Callable[[AnyMarket, Scope], AnyMarket],
    scope: Scope,
) -> Checked:
    """Check a message's markets one by one; a message of which none is left is gone."""
    if len(markets) > scope.limits.markets_max:
        raise FeedError("too_large", f"{len(markets)} markets are more than {scope.limits.markets_max}")
    kept: list[AnyMarket] = []
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    same = True
    for market in markets:
        try:
            clean = checked(market, scope)
            key = clean.market, clean.line
            if key in seen and scope.rules.repeated_market:
                raise FeedError("rule_repeated_market", "a market is there twice in one message")
        except FeedError as error:
            problems.append(_problem(error, market, scope))
            continue
        seen.add(key)
        kept.append(clean)
        same = same and clean is market
    if problems and not kept:
        return Checked(None, tuple(problems), scope.rounded)
    if problems or not same:
        message = msgspec.structs.replace(message, markets=tuple(kept))
    return Checked(message, tuple(problems), scope.rounded)


def _problem(error: FeedError, market: MarketOdds | MarketRef | MarketResult, scope: Scope) -> Problem:
    """Say what is wrong with a market, and whether a stop could name it."""
    line = market.line
    try:
        _, line = identify(market.market, line, scope)
        named = True
    except FeedError as unnamed:
        named = unnamed.code.startswith("rule_")
    return Problem(
        code=error.code,
        message=error.message,
        market=market.market[:_SAID_CHARS_MAX],
        line=line[:_SAID_CHARS_MAX],
        named=named,
    )


def _check_refs(message: AnyMessage, scope: Scope) -> Checked:
    """Check what names markets without saying more of them, and messages that name none."""
    if isinstance(message, BetStop) and message.groups:
        check_groups(message.groups, scope)
    if isinstance(message, _WINDOWED):
        _check_window(message.from_, message.to)
    if isinstance(message, _REASONED):
        message = _reworded(message)
    if isinstance(message, _NAMING) and message.markets:
        return _check_markets(message, message.markets, checked_ref, scope)
    return Checked(message)


def _check_window(start: int | None, end: int | None) -> None:
    if start is not None:
        want_time(start, "from")
    if end is not None:
        want_time(end, "to")
    if start is not None and end is not None and start > end:
        raise FeedError("bad_time", "a window ends before it starts")


def _reworded(message: Cancel | Hold | Release) -> Cancel | Hold | Release:
    said = {field: getattr(message, field, None) for field in ("reason", "by")}
    return _with(message, **{field: clean_name(text) for field, text in said.items() if text})


def _checked_fixture(message: Fixture, sport: Sport, scope: Scope) -> Fixture:
    changed: dict[str, Any] = {}
    if isinstance(message.start, int):
        want_time(message.start, "start")
    _check_status(message.status, sport, scope)
    for field in ("replaces", "replaced_by"):
        other = getattr(message, field)
        if other and not is_prefixed(other):
            raise FeedError("bad_id", f"{field} {other[:40]!r} is not <provider>:<their id>")
    if message.name:
        changed["name"] = clean_name(message.name)
    if message.competition:
        competition = _renamed(message.competition, "competition")
        if competition.category:
            competition = _with(competition, category=clean_name(competition.category))
        changed["competition"] = competition
    if message.competitors:
        if len(message.competitors) > scope.limits.competitors_max:
            raise FeedError("too_large", f"{len(message.competitors)} competitors are too many")
        changed["competitors"] = tuple(_checked_competitor(each, scope.limits) for each in message.competitors)
    return _with(message, **changed)


def _checked_competitor(competitor: Competitor, limits: Limits) -> Competitor:
    competitor = _renamed(competitor, "competitor")
    if not competitor.players:
        return competitor
    if len(competitor.players) > limits.players_max:
        raise FeedError("too_large", f"{len(competitor.players)} players are too many")
    return _with(competitor, players=tuple(_renamed(player, "player") for player in competitor.players))


def _renamed(thing: Named, what: str) -> Named:
    want_id(thing.id, what)
    return _with(thing, name=clean_name(thing.name)) if thing.name else thing


def _with(thing: Thing, **fields: Any) -> Thing:
    """Return a struct with these fields, the same object when it has them already."""
    if all(getattr(thing, name) == value for name, value in fields.items()):
        return thing
    return msgspec.structs.replace(thing, **fields)


def _check_status(status: str | UnsetType, sport: Sport, scope: Scope) -> None:
    if scope.rules.status and status is not UNSET and status not in sport.statuses:
        raise FeedError("rule_status", f"{sport.name} has no event status {status}")


def _checked_score(message: ScoreChange, sport: Sport, scope: Scope) -> ScoreChange:
    rules, limits = scope.rules, scope.limits
    _check_status(message.status, sport, scope)
    if isinstance(message.period, str):
        want_id(message.period, "period")
        if rules.period_name and message.period not in sport.periods:
            raise FeedError("rule_period_name", f"{sport.name} has no period {message.period[:40]!r}")
    periods = () if isinstance(message.periods, UnsetType) else message.periods
    if len(periods) > limits.periods_max:
        raise FeedError("too_large", f"{len(periods)} periods are more than {limits.periods_max}")
    _check_points((message.home, message.away), scope)
    for part in periods:
        want_id(part.type, "period type")
        _check_points((part.home, part.away), scope)
        want_integer(part.number, "period")
        if rules.period and not 1 <= part.number <= sport.period_types.get(part.type, 0):
            raise FeedError("rule_period", f"{sport.name} has no {part.type[:40]} {part.number}")
    _check_clock(message, scope)
    if not isinstance(message.details, UnsetType):
        want_info(message.details, limits.info_keys_max)
    level = isinstance(message.home, int) and message.home == message.away
    if level and rules.draw and not sport.draws and message.status in _PLAYED and not _excused(message, sport):
        raise FeedError("rule_draw", f"a finished match of {sport.name} is no draw")
    return message


def _excused(message: ScoreChange, sport: Sport) -> bool:
    details = message.details
    return not isinstance(details, UnsetType) and any(details.get(excuse) for excuse in sport.draw_excuses)


def _check_points(points: tuple[int | UnsetType | None, ...], scope: Scope) -> None:
    for each in points:
        if not isinstance(each, int):
            continue
        if scope.rules.score and not 0 <= each <= scope.limits.score_max:
            raise FeedError("rule_score", f"a score is not between 0 and {scope.limits.score_max}")
        if abs(each) > INTEGER_MAX:
            raise FeedError("too_large", "a score is out of range")


def _check_clock(message: ScoreChange, scope: Scope) -> None:
    if not isinstance(message.clock, Clock):
        return
    for seconds in (message.clock.elapsed_s, message.clock.remaining_s):
        if seconds is None:
            continue
        if scope.rules.clock and not 0 <= seconds <= scope.limits.clock_s_max:
            raise FeedError("rule_clock", f"a clock is not between 0 and {scope.limits.clock_s_max} s")
        if abs(seconds) > INTEGER_MAX:
            raise FeedError("too_large", "a clock is out of range")
