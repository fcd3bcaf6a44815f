"""Which canonical market a Betfair market is: its name, its lines and its outcomes.

The rule: two markets of an event never share (market, line). A canonical name is used where the type, the runners and the
sport's catalogue leave no doubt, and where Betfair has that type once an event; all else is `betfair:<type>` with the line
`id=<market id>`. The runner that Betfair lists first (`sortPriority` 1) is home, the next away.

Definitions of a live stream carry no names, so runners are known by place and by Betfair's own fixed ids where these were
seen beside names in recorded catalogues (The Draw, Yes, correct scores, under before over), else only by name.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from msgspec import Struct

from sb_core.errors import FeedError
from sb_core.sports import MarketType, Sport, make_line
from sb_ingest.providers.betfair_wire import MarketDefinition, RunnerDefinition, decimal_text, runner_source

SPORTS: Final[Mapping[str, str]] = {"1": "football", "2": "tennis", "7522": "basketball", "7524": "hockey"}
"""Our sports by Betfair's eventTypeId."""
DOUBLE_LINE: Final = "ASIAN_HANDICAP_DOUBLE_LINE"
BETTING_TYPES: Final = frozenset({"ODDS", DOUBLE_LINE})
"""The others (LINE, ASIAN_HANDICAP_SINGLE_LINE, RANGE …) are refused as `unsupported_type`."""

Runners: TypeAlias = tuple[RunnerDefinition, ...]
Ids: TypeAlias = tuple[str, ...]
"""Outcome ids in the order of the runners."""
Reader: TypeAlias = Callable[[Runners], Ids | None]
"""Knows the runners of one kind of market; None where it is in doubt."""


class LineOutcome(Struct, frozen=True):
    """An outcome of a line, and the runner it is (`source`); `participant` is a competitor's id."""

    id: str
    source: str
    participant: str | None = None


class Line(Struct, frozen=True):
    """A canonical market that (part of) a Betfair market is."""

    market: str
    line: str
    outcomes: tuple[LineOutcome, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What no two source markets of an event may share."""
        return self.market, self.line


_DRAWS: Final = frozenset({"58805", "2004841"})
"""The Draw of a match and of its first half."""
_YES: Final = "30246"
_DRAW_DRAW: Final = "3710152"
_SCORES: Final[Mapping[str, str]] = {
    str(runner): score
    for runner, score in enumerate(
        [
            "0:0",
            "1:0",
            "1:1",
            "0:1",
            "2:0",
            "2:1",
            "2:2",
            "1:2",
            "0:2",
            "3:0",
            "3:1",
            "3:2",
            "3:3",
            "2:3",
            "1:3",
            "0:3",
        ],
        start=1,
    )
} | {"9063254": "other_home", "9063255": "other_away", "9063256": "other_draw"}
"""Correct scores by their fixed runner ids."""
_NAMED: Final[Mapping[str, str]] = {
    "any other home win": "other_home",
    "any other away win": "other_away",
    "any other draw": "other_draw",
    "any unquoted home": "other_home",
    "any unquoted away": "other_away",
    "any unquoted draw": "other_draw",
    "home or draw": "home_or_draw",
    "draw or away": "draw_or_away",
    "home or away": "home_or_away",
    "odd": "odd",
    "even": "even",
    "yes": "yes",
    "no": "no",
}
_SCORE_NAME: Final = re.compile(r"([0-9]{1,2}) ?- ?([0-9]{1,2})", re.ASCII)
_GOALS: Final = re.compile(r"(OVER_UNDER|FIRST_HALF_GOALS)_([0-9]{1,2})5", re.ASCII)
_SET_NAME: Final = re.compile(r"Set ([1-5]) Winner", re.ASCII | re.IGNORECASE)


def _sides(runners: Runners) -> Ids | None:
    known = len(runners) == 2 and not any(str(runner.id) in _DRAWS for runner in runners)
    return ("home", "away") if known else None


def _sides_and_draw(runners: Runners) -> Ids | None:
    """Know the draw by its id, else it is the third of three."""
    if len(runners) != 3:
        return None
    draws = [place for place, runner in enumerate(runners) if str(runner.id) in _DRAWS] or [2]
    sides = iter(("home", "away"))
    return tuple("draw" if place in draws else next(sides) for place in range(3)) if len(draws) == 1 else None


def _under_and_over(runners: Runners) -> Ids | None:
    """Know them by name; without names under comes first."""
    if len(runners) != 2:
        return None
    if all(runner.name is None for runner in runners):
        return "under", "over"
    ids = tuple((runner.name or "").partition(" ")[0].lower() for runner in runners)
    return ids if set(ids) == {"over", "under"} else None


def _yes_and_no(runners: Runners) -> Ids | None:
    if len(runners) != 2:
        return None
    if all(runner.name is None for runner in runners):
        ids = tuple("yes" if str(runner.id) == _YES else "no" for runner in runners)
    else:
        ids = _by_name(runners) or ()
    return ids if set(ids) == {"yes", "no"} else None


def _scores(runners: Runners) -> Ids | None:
    ids = []
    for runner in runners:
        name = (runner.name or "").strip()
        score = _SCORE_NAME.fullmatch(name)
        if score:
            ids.append(f"{int(score[1])}:{int(score[2])}")
        elif name:
            ids.append(_NAMED.get(name.lower(), ""))
        else:
            ids.append(_SCORES.get(str(runner.id), ""))
    return tuple(ids) if all(ids) else None


def _half_and_full_time(runners: Runners) -> Ids | None:
    """Know the nine by place, if Draw/Draw stands in the middle."""
    if len(runners) != 9 or str(runners[4].id) != _DRAW_DRAW:
        return None
    results = ("home", "draw", "away")
    return tuple(f"{half}/{full}" for half in results for full in results)


def _by_name(runners: Runners) -> Ids | None:
    ids = tuple(_NAMED.get((runner.name or "").strip().lower(), "") for runner in runners)
    return ids if all(ids) else None


_TYPES: Final[Mapping[str, Mapping[str, tuple[tuple[str, Reader], ...]]]] = {
    "football": {
        "MATCH_ODDS": (("1x2", _sides_and_draw),),
        "HALF_TIME": (("1x2_1st_half", _sides_and_draw),),
        "DRAW_NO_BET": (("draw_no_bet", _sides),),
        "TO_QUALIFY": (("to_qualify", _sides),),
        "BOTH_TEAMS_TO_SCORE": (("both_teams_to_score", _yes_and_no),),
        "CORRECT_SCORE": (("correct_score", _scores),),
        "HALF_TIME_SCORE": (("correct_score_1st_half", _scores),),
        "HALF_TIME_FULL_TIME": (("half_time_full_time", _half_and_full_time),),
        "DOUBLE_CHANCE": (("double_chance", _by_name),),
        "ODD_OR_EVEN": (("odd_even", _by_name),),
    },
    "tennis": {"MATCH_ODDS": (("match_winner", _sides),), "SET_WINNER": (("set_winner", _sides),)},
    "basketball": {"MATCH_ODDS": (("money_line", _sides), ("1x2", _sides_and_draw))},
    "hockey": {"MATCH_ODDS": (("money_line_incl_ot", _sides), ("1x2", _sides_and_draw))},
}
"""Canonical names by sport and type. Two-way winners count overtime, three-way ones end with regular time."""
_HANDICAP_TYPES: Final = frozenset({"ASIAN_HANDICAP", "HANDICAP"})
_HANDICAPS: Final[Mapping[str, str]] = {
    "football": "asian_handicap",
    "basketball": "handicap_incl_ot",
    "hockey": "handicap_incl_ot",
}


def plan_lines(source: str, definition: MarketDefinition, sport: Sport) -> tuple[Line, ...]:
    """Return the lines of a market, as if no other market of the event could claim them.

    Raises FeedError `schema` for a definition in which a runner is twice, `bad_odds` for a handicap that is no number.
    """
    runners = _ordered(definition)
    if len({runner_source(runner.id, runner.hc) for runner in runners}) != len(runners):
        raise FeedError("schema", f"market {source} has a runner twice")
    if definition.betting_type == DOUBLE_LINE:
        return _pairs(source, definition, runners, sport) or plain_lines(source, definition)
    for market, read in _candidates(definition, sport):
        ids = read(runners)
        if ids is not None and _fit(ids, sport.markets.get(market)):
            line = make_line(_specifiers(source, definition))
            return (Line(market, line, _outcomes(runners, ids, with_sides=definition.market_type in _WITH_SIDES)),)
    return plain_lines(source, definition)


def plain_lines(source: str, definition: MarketDefinition) -> tuple[Line, ...]:
    """Return the one line of a market under Betfair's own type, with Betfair's own runners."""
    sources = (runner_source(runner.id, runner.hc) for runner in _ordered(definition))
    outcomes = tuple(LineOutcome(each, each) for each in sources)
    return (Line(f"betfair:{definition.market_type}", make_line({"id": source}), outcomes),)


def sides(definition: MarketDefinition) -> tuple[RunnerDefinition, ...]:
    """Return home and away of a match, () where the market does not tell them."""
    if definition.market_type != "MATCH_ODDS" or definition.betting_type != "ODDS":
        return ()
    runners = _ordered(definition)
    ids = _sides(runners) or _sides_and_draw(runners) or ()
    return tuple(runner for runner, outcome in zip(runners, ids, strict=False) if outcome != "draw")


_WITH_SIDES: Final = frozenset({"MATCH_ODDS", "SET_WINNER"})
"""Types whose runners are the match's competitors by id (those of HALF_TIME have ids of their own)."""


def _ordered(definition: MarketDefinition) -> Runners:
    return tuple(sorted(definition.runners, key=lambda runner: runner.sort_priority))


def _candidates(definition: MarketDefinition, sport: Sport) -> tuple[tuple[str, Reader], ...]:
    goals = _GOALS.fullmatch(definition.market_type) if sport.name == "football" else None
    if goals:
        return (("total" if goals[1] == "OVER_UNDER" else "total_1st_half", _under_and_over),)
    return _TYPES.get(sport.name, {}).get(definition.market_type, ())


def _specifiers(source: str, definition: MarketDefinition) -> dict[str, str]:
    goals = _GOALS.fullmatch(definition.market_type)
    if goals:
        return {"total": f"{int(goals[2])}.5"}
    if definition.market_type == "SET_WINNER":
        named = _SET_NAME.fullmatch((definition.name or "").strip())
        return {"set": named[1]} if named else {"id": source}
    return {}


def _fit(ids: Ids, catalogued: MarketType | None) -> bool:
    """Say whether the catalogue has the market with these outcomes, and all of them where the set is complete."""
    if catalogued is None or len(set(ids)) != len(ids):
        return False
    fixed, pattern = set(catalogued.outcomes), catalogued.outcome_pattern
    if catalogued.complete and fixed != set(ids):
        return False
    return all(each in fixed or (pattern is not None and re.fullmatch(pattern, each, re.ASCII)) for each in ids)


def _outcomes(runners: Runners, ids: Ids, *, with_sides: bool) -> tuple[LineOutcome, ...]:
    return tuple(
        LineOutcome(
            outcome,
            runner_source(runner.id, runner.hc),
            f"betfair:{runner.id}" if with_sides and outcome != "draw" else None,
        )
        for runner, outcome in zip(runners, ids, strict=True)
    )


def _pairs(source: str, definition: MarketDefinition, runners: Runners, sport: Sport) -> tuple[Line, ...]:
    """Return a line for each pair of a double-line market, () where the pairs are not certain.

    Handicaps pair opposite values, and `hcp` is the home runner's; totals pair equal ones.
    """
    ids = list(dict.fromkeys(str(runner.id) for runner in runners))
    if len(ids) != 2:
        return ()
    by_side = [{runner.hc or Decimal(0): runner for runner in runners if str(runner.id) == each} for each in ids]
    home, away = by_side
    opposite = home.keys() == {-hc for hc in away}
    if not opposite and home.keys() != away.keys():
        return ()
    is_handicap = definition.market_type in _HANDICAP_TYPES
    if home.keys() == away.keys() == {Decimal(0)} and not is_handicap:
        return ()
    catalogued = _HANDICAPS.get(sport.name, "") if is_handicap and opposite else ""
    lines = []
    for hc, first in home.items():
        pair = first, away[-hc if opposite else hc]
        value = decimal_text(hc)
        if catalogued in sport.markets:
            outcomes = _outcomes(pair, ("home", "away"), with_sides=True)
            lines.append(Line(catalogued, make_line({"hcp": value}), outcomes))
        else:
            outcomes = _outcomes(pair, tuple(runner_source(each.id, each.hc) for each in pair), with_sides=False)
            line = make_line({"hcp" if opposite else "total": value, "id": source})
            lines.append(Line(f"betfair:{definition.market_type}", line, outcomes))
    return tuple(lines)
