"""One simulated event from its announcement to its close: what is said of it, when, and by which producer. Pure.

The rule: the agenda alone decides. Each step is due at a time, says something stamped with that time, and names the
steps that follow, so that how often anybody looks changes nothing. `ts` rises with every message of an event.

Before the match producer PRE_MATCH prices it; with the kick-off it hands over, and LIVE goes on. An incident stops the
markets it concerns first, then the score is told, what is decided is settled (live), and the rest is opened again with new
prices. After the end everything is settled again (confirmed), whatever has no result is cancelled, the event is closed.
"""

from collections.abc import Callable, Iterable, Iterator
from math import sqrt
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Struct, structs

from sb_core.messages import (
    AnyMessage,
    BetStop,
    Cancel,
    EventStatus,
    Fixture,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    ScoreChange,
    Settlement,
    SettlementRollback,
)
from sb_generator.casting import PROVIDER, Plan
from sb_generator.chance import Chance
from sb_generator.scene import Moment, Play, Sheet, Strengths
from sb_generator.settle import View
from sb_generator.shelf import Shelf

PRE_MATCH: Final = "3"
LIVE: Final = "1"
ALL: Final = ("all",)
MARKETS_A_MESSAGE_MAX: Final = 120
SCORE_DELAY_S: Final = 2.5
"""From a stop to the score that explains it, at most."""
SETTLE_DELAY_S: Final = 3.0
DRIFT_PULL: Final = 0.02
"""How much of its deviation a drifting strength loses at each step."""

Step: TypeAlias = Literal[
    "announce",
    "join",
    "delay",
    "kick_off",
    "moment",
    "score",
    "settle",
    "reopen",
    "rollback",
    "resettle",
    "confirm",
    "close",
]
Key: TypeAlias = tuple[str, str]
M = TypeVar("M", MarketOdds, MarketRef, MarketResult)


class Due(Struct, frozen=True):
    """A step of an event's agenda; `ms` is since 1970."""

    ms: int
    step: Step
    number: int = 0


class Life:
    """One event's life."""

    def __init__(self, plan: Plan, play: Play, chance: Chance) -> None:
        self.plan = plan
        self.play = play
        self.status: EventStatus = "not_started"
        self.gone = False
        self._chance = chance
        self._strengths = play.strengths(chance)
        self._moments = self._cut(play.play(chance.fork("match"), self._strengths))
        self._form = [0.0, 0.0]
        self._start = plan.kick_off
        self._at = -1
        self._facts: dict[Key, str] = {}
        self._shelf = Shelf(play)
        self._stops: dict[str, int] = {}
        self._producer = PRE_MATCH
        self._ts = 0
        self._due: list[Due] = []
        self._rolled: tuple[MarketResult, ...] = ()
        self._steps: dict[Step, Callable[[Due], list[AnyMessage]]] = {
            "announce": self._announce,
            "join": self._join,
            "delay": self._delay,
            "kick_off": self._kick_off,
            "moment": self._moment,
            "score": self._tell,
            "settle": self._settle,
            "reopen": self._reopen,
            "rollback": self._rollback,
            "resettle": self._resettle,
            "confirm": self._confirm,
            "close": self._close,
        }

    def __repr__(self) -> str:
        return f"<Life {self.plan.event} {self.status} moment={self._at}/{len(self._moments)}>"

    def _cut(self, moments: Iterable[Moment]) -> tuple[Moment, ...]:
        """End an abandoned match somewhere in between."""
        whole = tuple(moments)
        if self.plan.fate != "abandoned":
            return whole
        return whole[: 2 + self._chance.below(len(whole) - 2)]

    @property
    def live(self) -> bool:
        """Whether the match is being played."""
        return self.status == "live"

    @property
    def end_ms(self) -> int:
        """When the match ends."""
        return self._start + self._ms(self._moments[-1].at_s)

    @staticmethod
    def _ms(seconds: float) -> int:
        return int(seconds * 1000)

    def act(self, due: Due) -> tuple[list[AnyMessage], list[Due]]:
        """Take a step; return what is said and which steps follow."""
        self._due = []
        said = self._steps[due.step](due)
        return said, self._due

    def _stamp(self, ms: int) -> int:
        self._ts = max(ms, self._ts + 1)
        return self._ts

    def _later(self, ms: int, seconds: float, step: Step, number: int = 0) -> None:
        self._due.append(Due(ms + self._ms(seconds), step, number))

    # before the match

    def _announce(self, due: Due) -> list[AnyMessage]:
        said: list[AnyMessage] = [self._fixture(due.ms, whole=True)]
        said += self._odds(due.ms, self.play.before, every=True)
        if self.plan.fate == "delayed":
            self._due.append(Due(max(due.ms, self._start - 300_000), "delay"))
        else:
            self._due.append(Due(self._start, "kick_off"))
        return said

    def _join(self, due: Due) -> list[AnyMessage]:
        """Begin to tell of a match that began earlier, as it stands."""
        self.status, self._producer = "live", LIVE
        elapsed_s = (due.ms - self._start) / 1000
        while self._at + 1 < len(self._moments) - 1 and self._moments[self._at + 1].at_s <= elapsed_s:
            self._at += 1
            self._facts.update(self._moments[self._at].won)
        self._next_moment(due.ms)
        said: list[AnyMessage] = [self._fixture(due.ms, whole=True), self._score(due.ms)]
        return said + self._odds(due.ms, self.play.families, every=True)

    def _delay(self, due: Due) -> list[AnyMessage]:
        self._start += self.plan.delay_ms
        self.status = "delayed"
        self._due.append(Due(self._start, "kick_off"))
        return [self._fixture(due.ms)]

    def _kick_off(self, due: Due) -> list[AnyMessage]:
        if self.plan.fate == "postponed":
            self._start += 86_400_000
            self.status = "postponed"
            self._later(due.ms, 60, "confirm")
            return [self._stop(due.ms, ALL), self._fixture(due.ms)]
        said: list[AnyMessage] = []
        said += [Odds(**self._head(due.ms), markets=part) for part in _parts(self._shelf.hand_over())]
        self._producer, self.status, self._at = LIVE, "live", 0
        self._facts.update(self._moments[0].won)
        said += [self._fixture(due.ms), self._score(due.ms)]
        said += self._odds(due.ms, self.play.families, every=True)
        self._next_moment(due.ms)
        return said

    # in play

    def _next_moment(self, now: int) -> None:
        following = self._at + 1
        if following < len(self._moments):
            at = self._start + self._ms(self._moments[following].at_s)
            self._due.append(Due(max(at, now), "moment", following))
        elif self.plan.fate == "abandoned":
            self._due.append(Due(now + 30_000, "moment", following))

    def _moment(self, due: Due) -> list[AnyMessage]:
        if due.number >= len(self._moments):
            return self._abandon(due)
        moment = self._moments[due.number]
        said: list[AnyMessage] = []
        if moment.stop:
            said.append(self._stop(due.ms, moment.stop))
            until = due.ms + self._ms(moment.stop_s)
            for group in moment.stop:
                self._stops[group] = max(until, self._stops.get(group, 0))
        delay_s = 0.0
        if moment.stop == ALL and moment.incident in {"goal", "card"} and due.number + 1 < len(self._moments):
            delay_s = min(SCORE_DELAY_S, 0.4 * (self._moments[due.number + 1].at_s - moment.at_s))
        if delay_s <= 0:
            return said + self._tell(Due(due.ms, "score", due.number))
        self._later(due.ms, delay_s, "score", due.number)
        return said

    def _tell(self, due: Due) -> list[AnyMessage]:
        """Tell the score as a moment leaves it; what follows from it comes a little later."""
        self._at = due.number
        moment = self._moments[self._at]
        self._facts.update(moment.won)
        if moment.incident == "end":
            self.status = "ended"
            self._later(due.ms, SETTLE_DELAY_S, "settle")
            self._later(due.ms, self._chance.between(60, 240), "confirm")
            return [self._score(due.ms)]
        self._next_moment(due.ms)
        said: list[AnyMessage] = [self._score(due.ms)]
        if moment.stop == ALL:
            self._later(due.ms, min(SETTLE_DELAY_S, 0.5 * self._gap_s()), "settle")
        else:
            # nothing is stopped: what is decided must not stay open
            said += self._settle(due)
            said += self._odds(due.ms, self.play.families[:1])
        for group in moment.stop:
            self._due.append(Due(self._stops[group], "reopen"))
        return said

    def _gap_s(self) -> float:
        following = self._at + 1
        if following >= len(self._moments):
            return SETTLE_DELAY_S
        return self._moments[following].at_s - self._moments[self._at].at_s

    def _settle(self, due: Due) -> list[AnyMessage]:
        """Settle what is decided by now, as live."""
        results = self._shelf.results(self._view())
        if results and self.live and self._chance.happens(0.01):
            self._rolled = results
            self._later(due.ms, 8.0, "rollback")
        return self._settlements(due.ms, results, "live")

    def _rollback(self, due: Due) -> list[AnyMessage]:
        refs = tuple(MarketRef(market=each.market, line=each.line) for each in self._rolled)
        self._later(due.ms, 20.0, "resettle")
        return [SettlementRollback(**self._head(due.ms), markets=refs)]

    def _resettle(self, due: Due) -> list[AnyMessage]:
        return self._settlements(due.ms, self._rolled, "live")

    def _reopen(self, due: Due) -> list[AnyMessage]:
        over = [group for group, until in self._stops.items() if until <= due.ms]
        for group in over:
            del self._stops[group]
        if not self.live or not over:
            return []
        return [*self._odds(due.ms, self.play.families, every=True)]

    def _abandon(self, due: Due) -> list[AnyMessage]:
        self.status = "abandoned"
        self._later(due.ms, 120, "confirm")
        return [self._stop(due.ms, ALL), self._score(due.ms)]

    # after the match

    def _confirm(self, due: Due) -> list[AnyMessage]:
        """Settle everything for good and cancel what has no result."""
        results = self._shelf.results(self._view(), again=True) if self._at >= 0 else ()
        lost = self._shelf.others(results)
        said = self._settlements(due.ms, results, "confirmed")
        reason = self.status if self.status in {"postponed", "abandoned"} else "no result"
        said += [Cancel(**self._head(due.ms), markets=part, reason=reason) for part in _parts(lost)]
        if self.status == "postponed":
            self.gone = True
        else:
            self._later(due.ms, self._chance.between(30, 90), "close")
        return said

    def _close(self, due: Due) -> list[AnyMessage]:
        self.status, self.gone = "closed", True
        return [self._fixture(due.ms)]

    # what is said

    def _view(self) -> View:
        return View(self.play.sport, self._moments[self._at], self._facts)

    def _head(self, ms: int) -> dict[str, Any]:
        return {
            "ts": self._stamp(ms),
            "provider": PROVIDER,
            "producer": self._producer,
            "event": self.plan.event,
            "sport": self.play.sport,
        }

    def _fixture(self, ms: int, *, whole: bool = False) -> Fixture:
        plan = self.plan
        return Fixture(
            **self._head(ms),
            name=plan.name if whole else UNSET,
            start=self._start,
            status=self.status,
            competition=plan.competition if whole else UNSET,
            competitors=plan.competitors if whole else UNSET,
        )

    def _score(self, ms: int) -> ScoreChange:
        score = self._moments[self._at].score((ms - self._start) / 1000)
        return ScoreChange(
            **self._head(ms),
            home=score.home,
            away=score.away,
            period=score.period,
            clock=score.clock,
            periods=score.periods,
            details=score.details,
            status=self.status,
        )

    def _stop(self, ms: int, groups: tuple[str, ...]) -> BetStop:
        self._shelf.stop(groups)
        return BetStop(**self._head(ms), groups=groups)

    def _settlements(
        self, ms: int, results: tuple[MarketResult, ...], certainty: Literal["live", "confirmed"]
    ) -> list[AnyMessage]:
        return [Settlement(**self._head(ms), certainty=certainty, markets=part) for part in _parts(results)]

    # prices

    def refresh(self, ms: int) -> Odds | None:
        """Let time pass for the prices; return a part of the book whose prices moved, or None if nothing may be said."""
        families = self.play.families if self.live else self.play.before
        if self.status not in {"not_started", "delayed", "live"} or not self._shelf:
            return None
        self._drift(ms)
        first = self._chance.below(len(families))
        for step in range(len(families)):
            said = self._odds(ms, (families[(first + step) % len(families)],))
            if said:
                return said[0]
        return None

    def _drift(self, ms: int) -> None:
        """Let both strengths wander, and pull them back (an Ornstein-Uhlenbeck walk in steps of the time that passed)."""
        size = self.play.drift * sqrt(min(max(ms - self._ts, 0), 60_000) / 10_000)
        for side in (0, 1):
            self._form[side] += size * self._chance.normal() - DRIFT_PULL * self._form[side]

    def _sheet(self, ms: int) -> Sheet:
        moment = self._moments[max(self._at, 0)]
        clock_s = moment.clock_s((ms - self._start) / 1000) if self.live else 0.0
        strengths = Strengths(self._strengths.home * (1 + self._form[0]), self._strengths.away * (1 + self._form[1]))
        return Sheet(moment, clock_s, strengths, self.live)

    def _odds(self, ms: int, families: Iterable[str], *, every: bool = False) -> list[Odds]:
        """Price families; with `every`, also what did not change is said (and so opened again)."""
        stopped = {group for group, until in self._stops.items() if until > ms}
        if "all" in stopped:
            return []
        markets = self._shelf.price(self._sheet(ms), families, stopped, every=every)
        return [Odds(**self._head(ms), markets=part) for part in _parts(markets)]

    def snapshot(self, ms: int, request: str) -> list[AnyMessage]:
        """Say everything again, as an answer to a recovery; nothing if there is nothing to say yet or any more."""
        if self.gone or not self._shelf:
            return []
        said: list[AnyMessage] = [self._fixture(ms, whole=True)]
        if self._at >= 0:
            said.append(self._score(ms))
        if self.status in {"not_started", "delayed", "live"}:
            said += self._odds(ms, self.play.families if self.live else self.play.before, every=True)
        return [structs.replace(each, request=request) for each in said]


def _parts(markets: tuple[M, ...]) -> Iterator[tuple[M, ...]]:
    """Cut what is too much for one message."""
    for start in range(0, len(markets), MARKETS_A_MESSAGE_MAX):
        yield markets[start : start + MARKETS_A_MESSAGE_MAX]
