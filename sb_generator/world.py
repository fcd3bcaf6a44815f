"""The simulated world: events of four sports that are announced, played and closed, and two producers that tell of them.

Virtual time in, canonical messages out: `step(now)` returns everything due up to `now`, stamped with the time at which it
was due, so that the messages of a seed are the same however often one steps. Nothing is read from clocks or the system.

The wanted rate is kept by refreshing prices: whatever incidents say counts against it, and what is left is filled with
price changes of the events in play and, more seldom, of those to come.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from sb_core.messages import Alive, AnyMessage, SnapshotComplete
from sb_generator import casting
from sb_generator.agenda import Due
from sb_generator.casting import PROVIDER
from sb_generator.chance import Chance
from sb_generator.life import Life
from sb_generator.playbill import PLAYS, SHARES
from sb_generator.voice import LIVE, PRE_MATCH

ALIVE_EVERY_MS: Final = 10_000
LEAD_MS: Final = (1_500_000, 3_600_000)
"""How long before its begin an event is announced."""
SPAWN_EVERY_MS: Final = 20
"""Between the first events of a world, so that they don't come in one burst."""
LIVE_MIN: Final = 24
LIVE_MAX: Final = 1_000
RATE_MIN: Final = 0.01
RATE_MAX: Final = 100_000.0
STORM_MS: Final = 5_000
"""In which a settlement storm ends all matches in play."""
DEBT_MS_MAX: Final = 10_000
"""How far incidents may push the next refresh into the future."""
UPCOMING_EVERY: Final = 8
"""One refresh of so many is of an event to come."""
TRIES_MAX: Final = 6
PRODUCERS: Final = (LIVE, PRE_MATCH)
LEFT_MAX: Final = 300
"""Events that are over of which a recovery still tells how they ended."""


class Census(Struct, frozen=True):
    """How many events there are by phase."""

    upcoming: int
    live: int
    ending: int


def live_wanted(rate: float) -> int:
    """Return how many events in play fit a rate of messages a second."""
    return int(min(max(rate * 0.8, LIVE_MIN), LIVE_MAX))


class World:
    """A world of `seed` that begins at `origin_ms`. The origin is in the events' ids, so runs never share any."""

    def __init__(self, seed: int, origin_ms: int, rate: float, live: int | None = None) -> None:
        self.seed = seed
        self.origin_ms = origin_ms
        self._chance = Chance(f"world {seed}")
        self._run = _base36(origin_ms)
        self._rate = min(max(rate, RATE_MIN), RATE_MAX)
        self._population = self._rate
        self._live_fixed = live
        self._agenda: list[tuple[int, int, Life, Due]] = []
        self._order = 0
        self._events = 0
        self._lives: dict[str, Life] = {}
        self._left: deque[Life] = deque(maxlen=LEFT_MAX)
        self._playing: set[str] = set()
        """Competitors of all events; nobody plays twice at a time while there are others."""
        self._refresh_ms = float(origin_ms)
        self._alive_ms = origin_ms
        self._openings: dict[str, float] = {}
        self._turn: list[Life] = []
        self._coming: list[Life] = []
        self._turns = 0
        self.now_ms = origin_ms
        self.silent: frozenset[str] = frozenset()
        """Producers whose alives are left out."""
        self._populate()

    def __repr__(self) -> str:
        return f"<World {self.seed} run={self._run} events={len(self._lives)} rate={self._rate}>"

    @property
    def run(self) -> str:
        """The part of this run's event ids that no other has."""
        return self._run

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self._rate

    def census(self) -> Census:
        """Count the events."""
        live = sum(each.live for each in self._lives.values())
        upcoming = sum(each.status in {"not_started", "delayed"} for each in self._lives.values())
        return Census(upcoming, live, len(self._lives) - live - upcoming)

    # the course of time

    def step(self, now_ms: int) -> list[AnyMessage]:
        """Return everything that is due up to `now_ms`, in order."""
        said: list[AnyMessage] = []
        while True:
            agenda_ms = self._agenda[0][0] if self._agenda else now_ms + 1
            opening_ms = min(self._openings.values())
            due_ms = min(agenda_ms, opening_ms, self._alive_ms)
            while self._refresh_ms < due_ms and self._refresh_ms <= now_ms:
                said += self._refresh()
            if due_ms > now_ms:
                break
            if due_ms == self._alive_ms:
                said += self._alives()
            elif due_ms == agenda_ms:
                said += self._act()
            else:
                self._open()
        self.now_ms = max(self.now_ms, now_ms)
        return said

    def _act(self) -> list[AnyMessage]:
        _, _, life, due = heappop(self._agenda)
        if life.gone:
            return []
        said, following = life.act(due)
        for each in following:
            self._push(life, each)
        if life.gone:
            self._left.append(self._lives.pop(life.plan.event))
            self._playing.difference_update(each.id for each in life.plan.competitors)
        self._refresh_ms = min(
            self._refresh_ms + len(said) * 1000.0 / self._rate, max(self._refresh_ms, due.ms + DEBT_MS_MAX)
        )
        return said

    def _alives(self) -> list[AnyMessage]:
        ts = self._alive_ms
        self._alive_ms += ALIVE_EVERY_MS
        return [Alive(ts=ts, provider=PROVIDER, producer=each) for each in PRODUCERS if each not in self.silent]

    def _push(self, life: Life, due: Due) -> None:
        self._order += 1
        heappush(self._agenda, (due.ms, self._order, life, due))

    # prices

    def _refresh(self) -> list[AnyMessage]:
        ms = int(self._refresh_ms)
        self._refresh_ms += 1000.0 / self._rate
        for _ in range(TRIES_MAX):
            life = self._next_turn()
            if life is None:
                break
            said = life.refresh(ms)
            if said is not None:
                return [said]
        return []

    def _next_turn(self) -> Life | None:
        """Go round the events in play, and now and then to one that is to come."""
        self._turns += 1
        if self._turns % UPCOMING_EVERY == 0:
            if not self._coming:
                self._coming = [each for each in self._lives.values() if each.status in {"not_started", "delayed"}]
            if self._coming:
                return self._coming.pop()
        while not self._turn:
            self._turn = [each for each in self._lives.values() if each.live]
            if not self._turn:
                return None
        return self._turn.pop()

    # the population

    def _wanted(self, sport: str) -> float:
        live = self._live_fixed if self._live_fixed is not None else live_wanted(self._population)
        return max(1.0, live * SHARES[sport])

    def _populate(self) -> None:
        """Begin with matches in play, spread over their course, and those to come, all sports mixed."""
        first: list[tuple[float, str, int, bool]] = []
        for sport, play in PLAYS.items():
            wanted = round(self._wanted(sport))
            for place in range(wanted):
                elapsed_ms = int((place + self._chance.uniform()) / wanted * play.duration_s * 950)
                first.append(((place + 0.5) / wanted, sport, self.origin_ms - elapsed_ms, True))
            self._openings[sport] = float(self.origin_ms)
            # those whose begin lies within the usual lead are there already
            while self._openings[sport] < self.origin_ms + LEAD_MS[0]:
                self._advance(sport)
                first.append((self._openings[sport], sport, _on_raster(self._openings[sport]), False))
            # from now on the opening is when an event is announced, not when it begins
            self._openings[sport] = max(self._openings[sport] - LEAD_MS[0], float(self.origin_ms + 1))
        for number, (_, sport, kick_off, joined) in enumerate(sorted(first)):
            self._spawn(sport, kick_off, self.origin_ms + number * SPAWN_EVERY_MS, joined=joined)

    def _advance(self, sport: str) -> None:
        gap_ms = PLAYS[sport].duration_s * 1000.0 / self._wanted(sport)
        self._openings[sport] += gap_ms * self._chance.between(0.6, 1.4)

    def _open(self) -> None:
        sport = min(self._openings, key=self._opening_of)
        at = int(self._openings[sport])
        self._advance(sport)
        lead_ms = LEAD_MS[0] if self._chance.happens(0.7) else self._chance.between(*LEAD_MS)
        self._spawn(sport, _on_raster(at + lead_ms), at)

    def _opening_of(self, sport: str) -> tuple[float, str]:
        return self._openings[sport], sport

    def _spawn(self, sport: str, kick_off: int, at: int, *, joined: bool = False) -> None:
        self._events += 1
        event = f"{PROVIDER}:{self._run}-{self._events}"
        chance = self._chance.fork(f"event {self._events}")
        plan = casting.plan(event, sport, kick_off, chance, self._playing, joined=joined, players=PLAYS[sport].players)
        life = Life(plan, PLAYS[sport], chance)
        self._lives[event] = life
        self._playing.update(each.id for each in plan.competitors)
        self._push(life, Due(at, "join" if joined else "announce"))

    # from outside

    def set_rate(self, rate: float, population: float | None = None) -> None:
        """Change the rate, and how many events there are to what fits `population`, the rate that is usual.

        More events in play are joined at once; that there should be fewer shows as matches end.
        """
        before = {sport: self._wanted(sport) for sport in PLAYS}
        self._rate = min(max(rate, RATE_MIN), RATE_MAX)
        self._population = population if population is not None else self._rate
        self._refresh_ms = min(self._refresh_ms, self.now_ms + 1000.0 / self._rate)
        spawned = 0
        for sport, play in PLAYS.items():
            for _ in range(round(self._wanted(sport)) - round(before[sport])):
                elapsed_ms = int(self._chance.uniform() * play.duration_s * 900)
                self._spawn(sport, self.now_ms - elapsed_ms, self.now_ms + spawned * SPAWN_EVERY_MS, joined=True)
                spawned += 1

    def storm(self, now_ms: int) -> None:
        """End every match in play within STORM_MS, so that all their markets settle at once."""
        for number, life in enumerate(self._lives.values()):
            end = life.hasten(now_ms + number * STORM_MS // len(self._lives))
            if end is not None:
                self._push(life, end)

    def resume(self, now_ms: int) -> None:
        """Go on after a pause: what happened meanwhile is told late, but no prices of that time, and no alives."""
        self._refresh_ms = max(self._refresh_ms, float(now_ms))
        self._alive_ms = max(self._alive_ms, now_ms + 1)
        self.now_ms = max(self.now_ms, now_ms)

    def interrupted(self, now_ms: int, request: str) -> list[AnyMessage]:
        """Say that the producers were away and that a recovery follows."""
        return [
            Alive(ts=now_ms, provider=PROVIDER, producer=each, subscribed=False, request=request) for each in PRODUCERS
        ]

    def recover(
        self, now_ms: int, request: str, producers: Iterable[str] = PRODUCERS, after_ms: int = 0
    ) -> list[AnyMessage]:
        """Say everything of some producers that stands, what was settled and cancelled since, then that this was all."""
        said: list[AnyMessage] = []
        wanted = frozenset(producers)
        for life in (*self._left, *self._lives.values()):
            if life.producer in wanted:
                said += life.snapshot(now_ms, request, after_ms)
        done = [each for each in PRODUCERS if each in wanted]
        said += [SnapshotComplete(ts=now_ms, provider=PROVIDER, producer=each, request=request) for each in done]
        return said


_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def _on_raster(ms: float) -> int:
    raster = casting.KICK_OFF_RASTER_MS
    return int(ms + raster - 1) // raster * raster


def phases(census: Census) -> Mapping[str, int]:
    """Return a census by name."""
    return {"upcoming": census.upcoming, "live": census.live, "ending": census.ending}
