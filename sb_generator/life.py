"""One simulated event from its announcement to its close: what is said of it, when, and by which producer. Pure.

The rule: the agenda alone decides. Each step is due at a time, says something stamped with that time, and names the
steps that follow, so that how often anybody looks changes nothing.

Before the match producer PRE_MATCH prices it; with the kick-off it hands over, and LIVE goes on. An incident stops the
markets it concerns first, then the score is told, what is decided is settled (live), and the rest is opened again with new
prices. After the end everything is settled again (confirmed), whatever has no result is cancelled, the event is closed.
What may befall an event beside that is its plan's fate: delays, moved starts, new names, postponements, cancellations
(some of them taken back), interruptions, abandonments.

Between incidents prices follow both sides' form (form.py).
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from msgspec import structs

from sb_core.messages import AnyMessage, EventStatus, MarketRef, MarketResult, Odds
from sb_generator.agenda import Due, Step
from sb_generator.casting import Plan
from sb_generator.chance import Chance
from sb_generator.form import Form
from sb_generator.outlook import Outlook
from sb_generator.scene import Moment, Play
from sb_generator.settle import View
from sb_generator.shelf import Shelf
from sb_generator.voice import ALL, LASTING, LIVE, Voice

SCORE_DELAY_S: Final = 2.5
"""From a stop to the score that explains it, at most."""
SETTLE_DELAY_S: Final = 3.0
INTERRUPTED_S: Final = (180.0, 900.0)
LATE_BETS_MS: Final = 5_000
"""Bets placed so long before a stop that came too late are void."""
_ROLLED: Final = 0.01
_VOIDED: Final = 0.02
_UNSEEN: Final = 0.5
PRICED: Final = frozenset({"not_started", "delayed", "live"})

Key: TypeAlias = tuple[str, str]
Said: TypeAlias = list[AnyMessage]


class Life:
    """One event's life."""

    def __init__(self, plan: Plan, play: Play, chance: Chance) -> None:
        self.plan = plan
        self.play = play
        self.gone = False
        self._voice = Voice(plan, play.sport)
        self._chance = chance
        strengths = play.strengths(chance)
        self._moments = self._cut(play.play(chance.fork("match"), strengths))
        self._at = -1
        self._facts: dict[Key, str] = {}
        self._shelf = Shelf(play)
        self._outlook = Outlook(play, self._shelf, Form(strengths, play.drift), self._moments[0], plan.players)
        self._stops: dict[str, int] = {}
        self._due: list[Due] = []
        self._lasting: Said = []
        self._acted_ms = 0
        self._rolled: tuple[MarketResult, ...] = ()
        self._pause_ms = 0
        self._voided: tuple[tuple[MarketRef, ...], tuple[int, int]] = ((), (0, 0))
        self._halt_at = 1 + chance.below(max(1, len(self._moments) - 2)) if plan.fate == "interrupted" else -1
        steps = (
            *(self._announce, self._join, self._delay, self._move, self._rename, self._call_off, self._reinstate),
            *(self._kick_off, self._moment, self._resume, self._score, self._settle, self._reopen, self._rollback),
            *(self._resettle, self._unvoid, self._confirm, self._close),
        )
        self._steps: dict[str, Callable[[Due], Said]] = {each.__name__[1:]: each for each in steps}

    def __repr__(self) -> str:
        return f"<Life {self.plan.event} {self.status} moment={self._at}/{len(self._moments)}>"

    def _cut(self, moments: Iterable[Moment]) -> tuple[Moment, ...]:
        """End an abandoned match somewhere in between."""
        whole = tuple(moments)
        if self.plan.fate != "abandoned":
            return whole
        return whole[: 2 + self._chance.below(len(whole) - 2)]

    @property
    def status(self) -> EventStatus:
        """The event's status."""
        return self._voice.status

    @property
    def producer(self) -> str:
        """Who speaks of the event now."""
        return self._voice.producer

    @property
    def live(self) -> bool:
        """Whether the match is being played."""
        return self._voice.status == "live"

    def act(self, due: Due) -> tuple[Said, list[Due]]:
        """Take a step; return what is said and which steps follow."""
        self._due, self._acted_ms, self._outlook.until = [], due.ms, 0
        said = self._steps[due.step](due)
        self._lasting += [each for each in said if each.__class__ in LASTING]
        return said, self._due

    def hasten(self, ms: int) -> Due | None:
        """End a match that is played now, at its next moment; None for one that isn't played."""
        last = len(self._moments) - 1
        ended = not self.live or self._at >= last or self.plan.fate == "abandoned"
        return None if ended else Due(ms, "moment", last)

    def _later(self, ms: int, seconds: float, step: Step, number: int = 0) -> None:
        self._due.append(Due(ms + int(seconds * 1000), step, number))

    # before the match

    def _announce(self, due: Due) -> Said:
        said: Said = [self._voice.fixture(due.ms, whole=True), *self._odds(due.ms, self.play.before, every=True)]
        ahead_s = max(0.0, (self._voice.start - due.ms) / 1000)
        fate = self.plan.fate
        if fate == "delayed":
            self._later(due.ms, max(0.0, ahead_s - 300), "delay")
        elif fate == "moved":
            self._later(due.ms, 0.3 * ahead_s, "move")
        elif fate in {"cancelled", "reinstated"}:
            self._later(due.ms, 0.5 * ahead_s, "call_off")
        else:
            self._due.append(Due(self._voice.start, "kick_off"))
        if fate == "renamed":
            self._later(due.ms, 0.4 * ahead_s, "rename")
        return said

    def _join(self, due: Due) -> Said:
        """Begin to tell of a match that began earlier, as it stands."""
        voice = self._voice
        voice.status, voice.producer = "live", LIVE
        elapsed_s = (due.ms - voice.start) / 1000
        while self._at + 1 < len(self._moments) - 1 and self._moments[self._at + 1].at_s <= elapsed_s:
            self._at += 1
            self._facts.update(self._moments[self._at].won)
        self._next_moment(due.ms)
        said: Said = [voice.fixture(due.ms, whole=True), voice.score(due.ms, self._moments[self._at])]
        return said + self._odds(due.ms, self.play.families, every=True)

    def _delay(self, due: Due) -> Said:
        self._voice.start += self.plan.delay_ms
        self._voice.status = "delayed"
        self._due.append(Due(self._voice.start, "kick_off"))
        return [self._voice.fixture(due.ms)]

    def _move(self, due: Due) -> Said:
        """Play it at another time than was said."""
        self._voice.start += self.plan.delay_ms
        self._due.append(Due(self._voice.start, "kick_off"))
        return [self._voice.fixture(due.ms)]

    def _rename(self, due: Due) -> Said:
        self._voice.name = f"{self.plan.name} ({self.plan.competition.name})"
        return [self._voice.fixture(due.ms, whole=True)]

    def _call_off(self, due: Due) -> Said:
        voice = self._voice
        said: Said = [self._stop(due.ms, ALL)]
        voice.status = "cancelled"
        said += [voice.fixture(due.ms), *voice.cancel(due.ms, self._shelf.others(()), "called off")]
        if self.plan.fate == "reinstated":
            self._later(due.ms, 60.0, "reinstate")
        else:
            self.gone = True
        return said

    def _reinstate(self, due: Due) -> Said:
        """Take the cancellation back: it is played after all."""
        voice = self._voice
        said = voice.uncancel(due.ms, self._shelf.others(()))
        voice.status = "not_started"
        self._due.append(Due(max(voice.start, due.ms + 1_000), "kick_off"))
        return [*said, voice.fixture(due.ms), *self._odds(due.ms, self.play.before, every=True)]

    def _kick_off(self, due: Due) -> Said:
        voice = self._voice
        if self.plan.fate == "postponed":
            voice.start += 86_400_000
            voice.status = "postponed"
            self._later(due.ms, 60, "confirm")
            return [self._stop(due.ms, ALL), voice.fixture(due.ms)]
        said: Said = [*voice.odds(due.ms, self._shelf.hand_over())]
        voice.producer, voice.status, self._at = LIVE, "live", 0
        voice.clock_from = voice.start
        self._facts.update(self._moments[0].won)
        said += [voice.fixture(due.ms), voice.score(due.ms, self._moments[0])]
        said += self._odds(due.ms, self.play.families, every=True)
        self._next_moment(due.ms)
        return said

    # in play

    def _next_moment(self, now: int) -> None:
        following = self._at + 1
        if following < len(self._moments):
            at = self._voice.clock_from + int(self._moments[following].at_s * 1000)
            self._due.append(Due(max(at, now), "moment", following))
        elif self.plan.fate == "abandoned":
            self._due.append(Due(now + 30_000, "moment", following))

    def _moment(self, due: Due) -> Said:
        if due.number >= len(self._moments):
            return self._abandon(due)
        if due.number <= self._at:
            return []
        if due.number == self._halt_at:
            return self._interrupt(due)
        moment = self._moments[due.number]
        said: Said = []
        if moment.stop:
            said.append(self._stop(due.ms, moment.stop))
            until = due.ms + int(moment.stop_s * 1000)
            for group in moment.stop:
                self._stops[group] = max(until, self._stops.get(group, 0))
        if moment.stop != ALL or moment.incident not in {"goal", "card"}:
            return said + self._score(Due(due.ms, "score", due.number))
        self._later(due.ms, min(SCORE_DELAY_S, 0.4 * self._gap_s(due.number)), "score", due.number)
        return said

    def _gap_s(self, number: int) -> float:
        """Return the time from a moment to the next."""
        if number + 1 >= len(self._moments):
            return SETTLE_DELAY_S
        return self._moments[number + 1].at_s - self._moments[number].at_s

    def _interrupt(self, due: Due) -> Said:
        """Stop playing for a while; the match goes on where it was."""
        self._halt_at = -1
        self._pause_ms = int(self._chance.between(*INTERRUPTED_S)) * 1000
        self._voice.status = "interrupted"
        self._due.append(Due(due.ms + self._pause_ms, "resume", due.number))
        return [self._stop(due.ms, ALL), self._voice.score(due.ms, self._moments[self._at])]

    def _resume(self, due: Due) -> Said:
        self._voice.status = "live"
        self._voice.clock_from += self._pause_ms
        self._stops.clear()
        said: Said = [self._voice.score(due.ms, self._moments[self._at])]
        said += self._odds(due.ms, self.play.families, every=True)
        self._later(due.ms, 1.0, "moment", due.number)
        return said

    def _score(self, due: Due) -> Said:
        """Tell the score as a moment leaves it; what follows from it comes a little later."""
        if due.number <= self._at:
            return []
        self._at = due.number
        moment = self._moments[self._at]
        self._facts.update(moment.won)
        if moment.incident == "end":
            self._voice.status = "ended"
            self._later(due.ms, SETTLE_DELAY_S, "settle")
            self._later(due.ms, self._chance.between(60, 240), "confirm")
            return [self._voice.score(due.ms, moment)]
        self._next_moment(due.ms)
        said: Said = [self._voice.score(due.ms, moment)]
        if moment.stop == ALL:
            self._later(due.ms, min(SETTLE_DELAY_S, 0.5 * self._gap_s(self._at)), "settle")
            said += self._void(due)
        else:
            # nothing is stopped: what is decided must not stay open
            said += self._settle(due)
            said += self._odds(due.ms, self.play.families[:1])
        for group in moment.stop:
            self._due.append(Due(self._stops[group], "reopen"))
        return said

    def _void(self, due: Due) -> Said:
        """Now and then a stop came too late: bets of the seconds before it are void, and sometimes that is taken back."""
        if self._moments[self._at].incident != "goal" or not self._chance.happens(_VOIDED):
            return []
        markets = self._shelf.some("regular_play", 3) or self._shelf.others(())[:3]
        window = due.ms - LATE_BETS_MS, due.ms
        if self._chance.happens(0.5):
            self._voided = markets, window
            self._later(due.ms, 25.0, "unvoid")
        return self._voice.cancel(due.ms, markets, "late stop", window)

    def _unvoid(self, due: Due) -> Said:
        markets, window = self._voided
        return self._voice.uncancel(due.ms, markets, window) if self.live else []

    def _settle(self, due: Due) -> Said:
        """Settle what is decided by now, as live."""
        results = self._shelf.results(self._view())
        if results and self.live and self._chance.happens(_ROLLED):
            self._rolled = results
            self._later(due.ms, 8.0, "rollback")
        return self._voice.settle(due.ms, results, "live")

    def _rollback(self, due: Due) -> Said:
        refs = tuple(MarketRef(market=each.market, line=each.line) for each in self._rolled)
        self._later(due.ms, 20.0, "resettle")
        return self._voice.unsettle(due.ms, refs)

    def _resettle(self, due: Due) -> Said:
        return self._voice.settle(due.ms, self._rolled, "live")

    def _reopen(self, due: Due) -> Said:
        left = {group: until for group, until in self._stops.items() if until > due.ms}
        over, self._stops = len(left) < len(self._stops), left
        return [*self._odds(due.ms, self.play.families, every=True)] if over and self.live else []

    def _abandon(self, due: Due) -> Said:
        self._voice.status = "abandoned"
        self._later(due.ms, 120, "confirm")
        return [self._stop(due.ms, ALL), self._voice.score(due.ms, self._moments[self._at])]

    # after the match

    def _confirm(self, due: Due) -> Said:
        """Settle everything for good and cancel what has no result."""
        results = self._shelf.results(self._view(), again=True) if self._at >= 0 else ()
        lost = self._shelf.others(results)
        if self.status == "ended" and self._chance.happens(_UNSEEN):
            results += self._shelf.unseen(self.play.unseen(self._moments, self.plan.players))
        said = self._voice.settle(due.ms, results, "confirmed")
        reason = self.status if self.status in {"postponed", "abandoned"} else "no result"
        said += self._voice.cancel(due.ms, lost, reason)
        if self.status == "postponed":
            self.gone = True
        else:
            self._later(due.ms, self._chance.between(30, 90), "close")
        return said

    def _close(self, due: Due) -> Said:
        self._voice.status, self.gone = "closed", True
        return [self._voice.fixture(due.ms)]

    # what is said

    def _view(self) -> View:
        return View(self.play.sport, self._moments[self._at], self._facts, self.plan.players)

    def _stop(self, ms: int, groups: tuple[str, ...]) -> AnyMessage:
        self._shelf.stop(groups)
        return self._voice.stop(ms, groups)

    # prices

    def refresh(self, ms: int) -> Odds | None:
        """Let prices move; return a part of the book whose prices moved, or None if nothing may be said."""
        status = self._voice.status
        if status not in PRICED or not self._shelf:
            return None
        stopped = self._stopped(ms)
        if "all" in stopped:
            return None
        outlook = self._outlook
        if ms >= outlook.until:
            self._look(ms)
        markets = outlook.drift(self._chance.uniform(), stopped)
        return self._voice.refreshed(ms, markets) if markets else None

    def _look(self, ms: int) -> Outlook:
        """Look at what stands now."""
        self._outlook.look(self._moments[max(self._at, 0)], ms, self._voice.clock_from if self.live else None)
        return self._outlook

    def _stopped(self, ms: int) -> set[str]:
        return {group for group, until in self._stops.items() if until > ms} if self._stops else NONE

    def _odds(self, ms: int, families: Iterable[str], *, every: bool = False) -> list[Odds]:
        """Price families; with `every`, also what did not change is said (and so opened again)."""
        stopped = self._stopped(ms)
        if "all" in stopped:
            return []
        return self._voice.odds(ms, self._shelf.price(self._look(ms).sheet, families, stopped, every=every))

    def snapshot(self, ms: int, request: str, after_ms: int = 0) -> Said:
        """Say everything again, as an answer to a recovery; of an event that is over, how it ended after a time."""
        voice = self._voice
        if not self._shelf or (self.gone and self._acted_ms <= after_ms):
            return []
        said: Said = [each for each in self._lasting if each.ts > after_ms]
        said.append(voice.fixture(ms, whole=True))
        if self._at >= 0:
            said.append(voice.score(ms, self._moments[self._at]))
        stopped = self._stopped(ms)
        outlook = self._look(ms)
        priced = () if self.status not in PRICED or "all" in stopped else outlook.families
        said += voice.odds(ms, self._shelf.whole(outlook.sheet, priced, stopped))
        return [structs.replace(each, request=request) for each in said]


NONE: Final[set[str]] = set()
