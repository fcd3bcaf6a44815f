"""How markets end: from a match's state to the results of a market's outcomes. Pure.

The rule: a result is given as soon as nothing can change it any more (over 1.5 with the second goal), never before, and
at the end of a match every market that refers to something played has one. On split lines the halves of a stake
are judged apart: by a quarter over the line is half won, on the line void.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from sb_core.messages import Result
from sb_core.sports import parse_line
from sb_generator.prices import quarters_of
from sb_generator.scene import Moment

Facts: TypeAlias = Mapping[tuple[str, str], str]
"""What incidents decided: (market, line) -> winner."""
Results: TypeAlias = tuple[Result, ...]

REGULAR: Final[Mapping[str, tuple[str, int]]] = {
    "football": ("half", 2),
    "basketball": ("quarter", 4),
    "hockey": ("period", 3),
}
"""Periods that are regular time: their type and number."""
_SUFFIXES: Final = ("_1st_half", "_2nd_half", "_quarter", "_period", "_incl_ot", "_set")
_BY_ABOVE: Final[Mapping[int, Result]] = {1: "half_won", 0: "void", -1: "half_lost"}
_TURNED: Final[Mapping[Result, Result]] = {
    "won": "lost",
    "lost": "won",
    "half_won": "half_lost",
    "half_lost": "half_won",
    "void": "void",
}


class Stretch(Struct, frozen=True):
    """The score of what a market is about, and whether that is over."""

    home: int
    away: int
    over: bool


class View:
    """A match as settlement sees it; built once a moment."""

    def __init__(self, sport: str, moment: Moment, facts: Facts, players: tuple[str, ...] = ()) -> None:
        self.sport = sport
        self.players = players
        self.moment = moment
        self.facts = facts
        self.ended = moment.incident == "end"
        self._stretches: dict[tuple[str, str], Stretch] = {}

    def results(self, market: str, line: str, outcomes: tuple[str, ...]) -> Results | None:
        """Return the result of each outcome, or None while the market isn't decided."""
        winner = self.facts.get((market, line))
        if winner is not None:
            return _won_by(outcomes, (winner,))
        rules = _TENNIS if self.sport == "tennis" else _RULES
        base, suffix = _split(market, rules)
        rule = rules.get(base)
        if rule is None:
            return None
        specifiers = parse_line(line) if line else {}
        return rule(self, self._stretch(suffix, base, specifiers), specifiers, outcomes)

    def _stretch(self, suffix: str, base: str, specifiers: Mapping[str, str]) -> Stretch:
        number = specifiers.get(suffix[1:], "") if suffix else base if base in _OTHER_COUNTS else ""
        key = suffix, number
        if key not in self._stretches:
            self._stretches[key] = self._measured(suffix, number)
        return self._stretches[key]

    def _measured(self, suffix: str, number: str) -> Stretch:
        moment = self.moment
        if number in _OTHER_COUNTS:
            home, away = (moment.details.get(f"corners_{side}", 0) for side in ("home", "away"))
            return Stretch(int(home or 0), int(away or 0), self.ended)
        if suffix == "_incl_ot" or (self.sport == "tennis" and not suffix):
            return Stretch(moment.home, moment.away, self.ended)
        if suffix in {"_quarter", "_period", "_set"}:
            return self._of(suffix[1:], (int(number),))
        if suffix in {"_1st_half", "_2nd_half"}:
            half = 1 if suffix == "_1st_half" else 2
            if self.sport == "basketball":
                return self._of("quarter", (2 * half - 1, 2 * half))
            return self._of("half", (half,))
        kind, count = REGULAR[self.sport]
        return self._of(kind, range(1, count + 1))

    def set_score(self, number: str) -> Stretch:
        """Return the games of a set."""
        return self._of("set", (int(number),))

    def _of(self, kind: str, numbers: Iterable[int]) -> Stretch:
        wanted = set(numbers)
        parts = [part for part in self.moment.periods if part.type == kind and part.number in wanted]
        over = all((kind, number) in self.moment.done for number in wanted)
        return Stretch(sum(part.home or 0 for part in parts), sum(part.away or 0 for part in parts), over)


def _split(market: str, whole: Mapping[str, "_Rule"]) -> tuple[str, str]:
    if market in whole and market != "money_line":
        return market, ""
    for suffix in _SUFFIXES:
        if market.endswith(suffix):
            return market.removesuffix(suffix), suffix
    return (market, "_incl_ot") if market == "money_line" else (market, "")


def _won_by(outcomes: tuple[str, ...], winners: Iterable[str]) -> Results:
    return tuple("won" if outcome in winners else "lost" for outcome in outcomes)


def above(quarters: int) -> Result:
    """Return the result of a stake that ends so many quarters above its line."""
    return "won" if quarters > 1 else "lost" if quarters < -1 else _BY_ABOVE[quarters]


def _pair(first: Result) -> Results:
    return first, _TURNED[first]


def _side(home: int, away: int) -> str:
    return "home" if home > away else "away" if away > home else "draw"


def _result(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    return _won_by(outcomes, (_side(at.home, at.away),)) if at.over else None


def _double(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    if not at.over:
        return None
    side = _side(at.home, at.away)
    return _won_by(outcomes, [outcome for outcome in outcomes if side in outcome.split("_or_")])


def _no_draw(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    if not at.over:
        return None
    return _pair("void") if at.home == at.away else _won_by(outcomes, (_side(at.home, at.away),))


def _counted(count: Callable[[Stretch], int]) -> "_Rule":
    def rule(_view: View, at: Stretch, specifiers: Mapping[str, str], _outcomes: tuple[str, ...]) -> Results | None:
        over = above(4 * count(at) - quarters_of(specifiers["total"]))
        # what is counted only grows
        return _pair(over) if at.over or over == "won" else None

    return rule


def _handicap(_view: View, at: Stretch, specifiers: Mapping[str, str], _outcomes: tuple[str, ...]) -> Results | None:
    if not at.over:
        return None
    return _pair(above(4 * (at.home - at.away) + quarters_of(specifiers["hcp"])))


def _european(_view: View, at: Stretch, specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    home, _, away = specifiers["hcp"].partition(":")
    return _won_by(outcomes, (_side(at.home + int(home), at.away + int(away)),)) if at.over else None


def _both(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    if at.home and at.away:
        return _won_by(outcomes, ("yes",))
    return _won_by(outcomes, ("no",)) if at.over else None


def _odd(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    return _won_by(outcomes, ("odd" if (at.home + at.away) % 2 else "even",)) if at.over else None


def _score(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    return _won_by(outcomes, (f"{at.home}:{at.away}",)) if at.over else None


def _overtime(view: View, _at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    if any(part.type == "overtime" for part in view.moment.periods):
        return _won_by(outcomes, ("yes",))
    return _won_by(outcomes, ("no",)) if view.ended else None


def _games(view: View) -> Stretch:
    periods = view.moment.periods
    return Stretch(sum(part.home or 0 for part in periods), sum(part.away or 0 for part in periods), view.ended)


def _player_points(
    view: View, _at: Stretch, specifiers: Mapping[str, str], _outcomes: tuple[str, ...]
) -> Results | None:
    player = specifiers["player"]
    if player not in view.players or len(view.players) != len(view.moment.tally):
        return None
    over = above(4 * view.moment.tally[view.players.index(player)] - quarters_of(specifiers["total"]))
    # overtime counts too
    return _pair(over) if view.ended or over == "won" else None


def _total_games(view: View, at: Stretch, specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    counted = at if "set" in specifiers else _games(view)
    return _RULES["total"](view, counted, specifiers, outcomes)


def _lead_games(view: View, _at: Stretch, specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    return _handicap(view, _games(view), specifiers, outcomes)


def _set_winner(view: View, _at: Stretch, specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    at = view.set_score(specifiers["set"])
    return _won_by(outcomes, (_side(at.home, at.away),)) if at.over else None


def _tie_break(view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
    if at.home + at.away >= 12 and min(at.home, at.away) >= 6:
        return _won_by(outcomes, ("yes",))
    return _won_by(outcomes, ("no",)) if at.over or view.ended else None


def _wins_a_set(side: str) -> "_Rule":
    def rule(_view: View, at: Stretch, _specifiers: Mapping[str, str], outcomes: tuple[str, ...]) -> Results | None:
        if at.home if side == "home" else at.away:
            return _won_by(outcomes, ("yes",))
        return _won_by(outcomes, ("no",)) if at.over else None

    return rule


_Rule: TypeAlias = Callable[[View, Stretch, Mapping[str, str], tuple[str, ...]], Results | None]

_OTHER_COUNTS: Final = frozenset({"corners_total"})
_RULES: Final[dict[str, _Rule]] = {
    "1x2": _result,
    "money_line": _result,
    "double_chance": _double,
    "draw_no_bet": _no_draw,
    "total": _counted(lambda at: at.home + at.away),
    "corners_total": _counted(lambda at: at.home + at.away),
    "home_total": _counted(lambda at: at.home),
    "away_total": _counted(lambda at: at.away),
    "handicap": _handicap,
    "asian_handicap": _handicap,
    "european_handicap": _european,
    "both_teams_to_score": _both,
    "odd_even": _odd,
    "correct_score": _score,
    "overtime": _overtime,
    "player_total_points": _player_points,
}
_TENNIS: Final[dict[str, _Rule]] = {
    "match_winner": _result,
    "correct_score": _score,
    "total_sets": _counted(lambda at: at.home + at.away),
    "set_handicap": _handicap,
    "home_wins_a_set": _wins_a_set("home"),
    "away_wins_a_set": _wins_a_set("away"),
    "total_games": _total_games,
    "game_handicap": _lead_games,
    "set_winner": _set_winner,
    "tie_break": _tie_break,
}
