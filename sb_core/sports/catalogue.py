"""What a sport says of itself: periods, score, statuses, the catalogue of canonical markets, limits and rules.

The rule: a sport is data. A market's name holds its scope (`total` is regular time, `total_incl_ot` is not), its line
holds what the provider varies, its outcome ids never change.
"""

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from msgspec import Struct
from msgspec.structs import replace

from sb_core.errors import ContractError
from sb_core.messages import EventStatus
from sb_core.sports.lines import KINDS, Kind

STATUSES: Final[tuple[str, ...]] = get_args(EventStatus)

HOME_DRAW_AWAY: Final = ("home", "draw", "away")
HOME_AWAY: Final = ("home", "away")
HOME_NONE_AWAY: Final = ("home", "none", "away")
OVER_UNDER: Final = ("over", "under")
YES_NO: Final = ("yes", "no")
ODD_EVEN: Final = ("odd", "even")
DOUBLE_CHANCE: Final = ("home_or_draw", "home_or_away", "draw_or_away")
HALF_TIME_FULL_TIME: Final = tuple(f"{first}/{last}" for first in HOME_DRAW_AWAY for last in HOME_DRAW_AWAY)
OTHER_SCORES: Final = ("other_home", "other_draw", "other_away")
SCORE_PATTERN: Final = r"(?:0|[1-9][0-9]?):(?:0|[1-9][0-9]?)"
PLAYER_PATTERN: Final = r"[^:]+:.+"
"""A participant's id, `<provider>:<their id>`."""

MATCH: Final = ("all", "score", "regular_play")
FIRST_HALF: Final = ("all", "score", "1st_half")
SECOND_HALF: Final = ("all", "score", "2nd_half")
INCL_OT: Final = ("all", "score", "incl_ot")


class MarketType(Struct, frozen=True, kw_only=True):
    """A canonical market.

    `line` names its specifiers, sorted, and `line_kinds` says what each value is (() is the line ""). `outcomes` are
    the fixed ids in neutral order; further ids match `outcome_pattern` whole. With `complete` the fixed outcomes are
    all there can be and exactly one of them wins, so that an overround means something.
    """

    name: str
    title: str
    line: tuple[str, ...] = ()
    line_kinds: tuple[Kind, ...] = ()
    outcomes: tuple[str, ...] = ()
    outcome_pattern: str | None = None
    groups: tuple[str, ...] = ("all",)
    complete: bool = True


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts and numbers beyond which a piece of input is refused."""

    markets_max: int = 2_000
    """Markets named in one message."""
    outcomes_max: int = 500
    """Outcomes of one market."""
    groups_max: int = 50
    competitors_max: int = 500
    players_max: int = 200
    """Players of one competitor."""
    periods_max: int = 100
    info_keys_max: int = 100
    score_max: int = 999
    """Highest score of one side, in a period or in all."""
    clock_s_max: int = 86_400


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rules hold; a rule broken gives the code `rule_<name>`. `limits` None takes the sport's own."""

    repeated_outcome: bool = True
    repeated_market: bool = True
    draw: bool = True
    """No drawn score of a finished match in a sport that knows no draws."""
    score: bool = True
    """Scores from 0 to the limit."""
    period: bool = True
    """Types of period that the sport has, with a number within range."""
    period_name: bool = False
    """Only the sport's own names for the period; off, because a label unknown to us should not close an event."""
    clock: bool = True
    status: bool = True
    enabled_market: bool = True
    """With `markets`, no others than these."""
    markets: frozenset[str] | None = None
    limits: Limits | None = None


class Sport(Struct, frozen=True, kw_only=True):
    """A sport. Nothing outside of its module knows more about it than this."""

    name: str
    title: str
    periods: tuple[str, ...]
    """Names for `Score.period`."""
    period_types: Mapping[str, int]
    """Words for `PeriodScore.type`, each with its highest number."""
    score: str
    """What home and away count: goals, points, sets."""
    details: tuple[str, ...]
    """Names for `Score.details`."""
    markets: Mapping[str, MarketType]
    statuses: tuple[str, ...] = STATUSES
    draws: bool = True
    """Whether a finished match can be drawn."""
    draw_excuses: tuple[str, ...] = ("retired", "walkover", "defaulted")
    """Score details that explain a drawn score where there are no draws."""
    limits: Limits = Limits()


RULE_LIMITS: Final = {"score": "score_max", "clock": "clock_s_max"}
"""Rules that take a number, and the limit it sets; limits themselves can be set by their own names."""


def rules_for(
    sport: Sport, settings: Mapping[str, bool | int | str] = {}, markets: frozenset[str] | None = None
) -> Rules:
    """Make a sport's rules from a configuration: name -> on or off, or on with a limit. None in `markets` are all.

    Raises ValueError that names a rule or market which the sport does not have, or a value that does not fit.
    """
    switches: dict[str, bool] = {}
    limits: dict[str, int] = {}
    names = {field for field in Rules.__struct_fields__ if field not in {"markets", "limits"}}
    for name, value in settings.items():
        limit = RULE_LIMITS.get(name, name)
        if isinstance(value, bool) and name in names:
            switches[name] = value
        elif not isinstance(value, bool) and limit in Limits.__struct_fields__ and str(value).isdecimal():
            limits[limit] = int(value)
        else:
            raise ValueError(f"{sport.name} has no rule {name} = {value}")
    unknown = sorted(name for name in markets or () if ":" not in name and name not in sport.markets)
    if unknown:
        raise ValueError(f"{sport.name} has no market {unknown[0]}")
    return Rules(**switches, markets=markets, limits=replace(sport.limits, **limits) if limits else None)


def market(
    name: str,
    title: str,
    outcomes: tuple[str, ...],
    *line: str,
    groups: tuple[str, ...] = MATCH,
    pattern: str | None = None,
    complete: bool = True,
    **kinds: Kind,
) -> MarketType:
    """Describe a canonical market; `line` are its specifiers in any order, `kinds` where they differ from the usual."""
    names = tuple(sorted(line))
    return MarketType(
        name=name,
        title=title,
        line=names,
        line_kinds=tuple(kinds.get(each) or KINDS[each] for each in names),
        outcomes=outcomes,
        outcome_pattern=pattern,
        groups=groups,
        complete=complete and pattern is None,
    )


def catalogue(*markets: MarketType | Iterable[MarketType]) -> dict[str, MarketType]:
    """Key markets by name; raises ContractError when a name is there twice or lacks the group "all"."""
    named: dict[str, MarketType] = {}
    for each in markets:
        for one in (each,) if isinstance(each, MarketType) else each:
            if one.name in named or "all" not in one.groups or ":" in one.name:
                raise ContractError(f"market {one.name!r} does not fit into the catalogue")
            named[one.name] = one
    return named
