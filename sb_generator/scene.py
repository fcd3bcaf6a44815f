"""What a simulated match consists of: moments that change its score, and offers that are priced from it. Pure.

The rule: a match is played to its end before it begins, by its own chance; the world then shows its moments at their
times. Prices are made from the moment that stands and the clock only, never from what is yet to come.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from sb_core.messages import Clock, Info, PeriodScore, Score
from sb_generator.chance import Chance

Incident: TypeAlias = Literal["start", "goal", "points", "point", "game", "card", "corner", "penalty", "period", "end"]


class Strengths(Struct, frozen=True, gc=False):
    """How strong two sides are; what the numbers mean is the sport's matter."""

    home: float
    away: float


class Moment(Struct, frozen=True, kw_only=True, gc=False):
    """The state of a match from `at_s` on (seconds since it began, breaks included).

    `played_s` is the match clock at that time, which runs at `pace` (0: stands). `stop` names the groups of markets that
    are stopped with it and `stop_s` for how long. `won` says what is decided by it, beyond scores: ((market, line), winner).
    """

    at_s: float
    home: int
    away: int
    period: str
    periods: tuple[PeriodScore, ...]
    incident: Incident
    played_s: float = 0.0
    pace: float = 0.0
    length_s: int | None = None
    details: Info = {}
    stop: tuple[str, ...] = ()
    stop_s: float = 0.0
    won: tuple[tuple[tuple[str, str], str], ...] = ()
    done: frozenset[tuple[str, int]] = frozenset()
    """Periods that are over: (type, number)."""
    tally: tuple[int, ...] = ()
    """What each player scored, home's first; () where nobody counts that."""

    def clock_s(self, at_s: float) -> float:
        """Return the match clock, `at_s` after the begin."""
        return self.played_s + self.pace * (at_s - self.at_s) if at_s > self.at_s else self.played_s

    def score(self, at_s: float) -> Score:
        """Return the score as it is told."""
        clock = None
        if self.length_s is not None:
            elapsed = int(self.clock_s(at_s))
            clock = Clock(
                elapsed_s=elapsed, remaining_s=max(0, self.length_s - elapsed) or None, stopped=self.pace == 0.0
            )
        return Score(
            home=self.home,
            away=self.away,
            period=self.period,
            clock=clock,
            periods=self.periods,
            details=self.details,
        )


class Offer(Struct, frozen=True, gc=False):
    """A market to be priced: its outcomes with their probabilities. `whole`: exactly one of them wins."""

    market: str
    line: str
    outcomes: tuple[str, ...]
    probabilities: tuple[float, ...]
    whole: bool = True


class Ending(Struct, frozen=True, gc=False):
    """How a market ended that was never offered: several winners share it (a dead heat)."""

    market: str
    line: str
    outcomes: tuple[str, ...]
    winners: frozenset[str]


class Sheet(Struct, frozen=True, gc=False):
    """What a sport's model needs: the moment that stands, the match clock in seconds, the strengths at this time.

    `players` are ids, home's first.
    """

    moment: Moment
    clock_s: float
    strengths: Strengths
    live: bool
    players: tuple[str, ...] = ()


def _nothing(_moments: Sequence[Moment], _players: tuple[str, ...]) -> Iterator[Ending]:
    return iter(())


class Play(Struct, frozen=True, kw_only=True):
    """A sport as the world plays it.

    `families` are parts of the book that are priced together, `before` those offered before the match too. `book` gives
    the same object for the same outlook. `duration_s` is about how long a match takes, `players` how many a side names.
    `unseen` says how markets end that nobody was offered.
    """

    sport: str
    margin: float
    duration_s: float
    families: tuple[str, ...]
    before: tuple[str, ...]
    strengths: Callable[[Chance], Strengths]
    play: Callable[[Chance, Strengths], Sequence[Moment]]
    book: Callable[[Sheet, str], tuple[Offer, ...]]
    drift: float = 0.01
    """Relative change of a side's strength between two updates of prices: a step of the model's raster."""
    players: int = 0
    unseen: Callable[[Sequence[Moment], tuple[str, ...]], Iterator[Ending]] = _nothing


def added(periods: tuple[PeriodScore, ...], home: int, away: int) -> tuple[PeriodScore, ...]:
    """Return period scores with something added to the last one."""
    last = periods[-1]
    raised = PeriodScore(number=last.number, type=last.type, home=(last.home or 0) + home, away=(last.away or 0) + away)
    return (*periods[:-1], raised)


def begun(periods: tuple[PeriodScore, ...], kind: str, number: int) -> tuple[PeriodScore, ...]:
    """Return period scores with a new period at 0:0."""
    return (*periods, PeriodScore(number=number, type=kind, home=0, away=0))
