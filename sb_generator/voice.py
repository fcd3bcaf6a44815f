"""How an event speaks: its state as canonical messages, each stamped later than the one before. Pure.

The rule: `ts` rises with every message of an event, whoever of its producers speaks.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeVar

from msgspec import UNSET

from sb_core.messages import (
    AnyMessage,
    BetStop,
    Cancel,
    CancelRollback,
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
from sb_generator.scene import Moment

PRE_MATCH: Final = "3"
LIVE: Final = "1"
ALL: Final = ("all",)
LASTING: Final = frozenset({Settlement, SettlementRollback, Cancel, CancelRollback})
"""What prices can't say again: a recovery repeats it as it was said."""
MARKETS_A_MESSAGE_MAX: Final = 120
M = TypeVar("M", MarketOdds, MarketRef, MarketResult)


class Voice:
    """What an event is at the moment, as far as messages say it."""

    __slots__ = ("clock_from", "name", "plan", "producer", "sport", "start", "status", "ts")

    def __init__(self, plan: Plan, sport: str) -> None:
        self.plan = plan
        self.sport = sport
        self.name = plan.name
        self.status: EventStatus = "not_started"
        self.start = plan.kick_off
        self.clock_from = plan.kick_off
        """When the match clock began to run, as if it had never been interrupted."""
        self.producer = PRE_MATCH
        self.ts = 0

    def __repr__(self) -> str:
        return f"<Voice {self.plan.event} {self.status}>"

    def head(self, ms: int) -> dict[str, Any]:
        """Return what every message of the event has."""
        self.ts = max(ms, self.ts + 1)
        return {
            "ts": self.ts,
            "provider": PROVIDER,
            "producer": self.producer,
            "event": self.plan.event,
            "sport": self.sport,
        }

    def fixture(self, ms: int, *, whole: bool = False) -> Fixture:
        """Say status and start; with `whole` the names too."""
        plan = self.plan
        return Fixture(
            **self.head(ms),
            name=self.name if whole else UNSET,
            start=self.start,
            status=self.status,
            competition=plan.competition if whole else UNSET,
            competitors=plan.competitors if whole else UNSET,
        )

    def score(self, ms: int, moment: Moment) -> ScoreChange:
        """Say the score and the status."""
        score = moment.score((ms - self.clock_from) / 1000)
        return ScoreChange(
            **self.head(ms),
            home=score.home,
            away=score.away,
            period=score.period,
            clock=score.clock,
            periods=score.periods,
            details=score.details,
            status=self.status,
        )

    def stop(self, ms: int, groups: tuple[str, ...]) -> BetStop:
        """Stop groups of markets."""
        return BetStop(**self.head(ms), groups=groups)

    def odds(self, ms: int, markets: tuple[MarketOdds, ...]) -> list[Odds]:
        """Say markets, in as many messages as they need."""
        if not markets:
            return []
        if len(markets) <= MARKETS_A_MESSAGE_MAX:
            return [Odds(**self.head(ms), markets=markets)]
        return [Odds(**self.head(ms), markets=part) for part in parts(markets)]

    def refreshed(self, ms: int, markets: tuple[MarketOdds, ...]) -> Odds:
        """Say the markets of one family: they fit one message."""
        self.ts = ts = max(ms, self.ts + 1)
        return Odds(
            ts=ts, provider=PROVIDER, producer=self.producer, event=self.plan.event, sport=self.sport, markets=markets
        )

    def settle(
        self, ms: int, results: tuple[MarketResult, ...], certainty: Literal["live", "confirmed"]
    ) -> list[AnyMessage]:
        """Settle markets."""
        return [Settlement(**self.head(ms), certainty=certainty, markets=part) for part in parts(results)]

    def unsettle(self, ms: int, markets: tuple[MarketRef, ...]) -> list[AnyMessage]:
        """Take settlements back."""
        return [SettlementRollback(**self.head(ms), markets=part) for part in parts(markets)]

    def cancel(
        self, ms: int, markets: tuple[MarketRef, ...], reason: str, window: tuple[int, int] | None = None
    ) -> list[AnyMessage]:
        """Cancel markets, for bets within a window if there is one."""
        begin, end = window or (None, None)
        return [Cancel(**self.head(ms), markets=part, reason=reason, from_=begin, to=end) for part in parts(markets)]

    def uncancel(
        self, ms: int, markets: tuple[MarketRef, ...], window: tuple[int, int] | None = None
    ) -> list[AnyMessage]:
        """Take cancels back."""
        begin, end = window or (None, None)
        return [CancelRollback(**self.head(ms), markets=part, from_=begin, to=end) for part in parts(markets)]


def parts(markets: tuple[M, ...]) -> Iterator[tuple[M, ...]]:
    """Cut what is too much for one message."""
    for start in range(0, len(markets), MARKETS_A_MESSAGE_MAX):
        yield markets[start : start + MARKETS_A_MESSAGE_MAX]
