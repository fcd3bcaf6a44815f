"""The world's markets as Betfair has them: types, runners with their fixed ids, and which of ours each is. Pure.

The rule: an exchange has fewer markets than the world. What isn't here isn't spoken of.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sb_core.messages import Competitor
from sb_generator.speech.ids import number_of

EVENT_TYPES: Final = {"football": "1", "tennis": "2", "basketball": "7522", "hockey": "7524"}
THE_DRAW: Final = 58805
_UNDER: Final = 47972
_OVER: Final = 47973
_YES: Final = 30246
_NO: Final = 110503
_HALF_LINE: Final = re.compile(r"total=([0-9]{1,2})\.5")


class RunnerWord(Struct, frozen=True):
    """A runner: which outcome it is, its selection id, and its name where the type is told by names."""

    outcome: str
    id: int
    name: str | None = None


class MarketWord(Struct, frozen=True):
    """A market's type, runners in order, how many win, and its own name where that says which set it is."""

    type: str
    runners: tuple[RunnerWord, ...]
    winners: int = 1
    name: str | None = None


def _sides(competitors: Sequence[Competitor]) -> tuple[RunnerWord, RunnerWord]:
    home, away = (RunnerWord(each.side or "", number_of(each.id), each.name) for each in competitors)
    return home, away


def _two(kind: str) -> Callable[[Sequence[Competitor], str], MarketWord | None]:
    return lambda competitors, _line: MarketWord(kind, _sides(competitors))


def _three(kind: str) -> Callable[[Sequence[Competitor], str], MarketWord | None]:
    draw = RunnerWord("draw", THE_DRAW, "The Draw")
    return lambda competitors, _line: MarketWord(kind, (*_sides(competitors), draw))


def _goals(kind: str) -> Callable[[Sequence[Competitor], str], MarketWord | None]:
    def word(_competitors: Sequence[Competitor], line: str) -> MarketWord | None:
        half = _HALF_LINE.fullmatch(line)
        if half is None:
            return None
        names = (f"Under {half[1]}.5 Goals", f"Over {half[1]}.5 Goals")
        runners = (RunnerWord("under", _UNDER, names[0]), RunnerWord("over", _OVER, names[1]))
        return MarketWord(f"{kind}_{half[1]}5", runners)

    return word


def _set_winner(competitors: Sequence[Competitor], line: str) -> MarketWord:
    return MarketWord("SET_WINNER", _sides(competitors), name=f"Set {line.removeprefix('set=')} Winner")


def _fixed(kind: str, *runners: RunnerWord, winners: int = 1) -> Callable[[Sequence[Competitor], str], MarketWord]:
    return lambda _competitors, _line: MarketWord(kind, runners, winners)


_WORDS: Final[Mapping[str, Mapping[str, Callable[[Sequence[Competitor], str], MarketWord | None]]]] = {
    "football": {
        "1x2": _three("MATCH_ODDS"),
        "1x2_1st_half": _three("HALF_TIME"),
        "draw_no_bet": _two("DRAW_NO_BET"),
        "total": _goals("OVER_UNDER"),
        "total_1st_half": _goals("FIRST_HALF_GOALS"),
        "both_teams_to_score": _fixed(
            "BOTH_TEAMS_TO_SCORE", RunnerWord("yes", _YES, "Yes"), RunnerWord("no", _NO, "No")
        ),
        "double_chance": _fixed(
            "DOUBLE_CHANCE",
            RunnerWord("home_or_draw", 58948, "Home or Draw"),
            RunnerWord("draw_or_away", 58949, "Draw or Away"),
            RunnerWord("home_or_away", 58950, "Home or Away"),
            winners=2,
        ),
        "odd_even": _fixed("ODD_OR_EVEN", RunnerWord("odd", 27, "Odd"), RunnerWord("even", 28, "Even")),
    },
    "tennis": {"match_winner": _two("MATCH_ODDS"), "set_winner": _set_winner},
    "basketball": {"money_line": _two("MATCH_ODDS")},
    "hockey": {"money_line_incl_ot": _two("MATCH_ODDS")},
}


def word_of(sport: str, market: str, line: str, competitors: Sequence[Competitor]) -> MarketWord | None:
    """Return what Betfair calls a market; None for one that it hasn't."""
    word = _WORDS[sport].get(market)
    return word(competitors, line) if word is not None and len(competitors) == 2 else None
