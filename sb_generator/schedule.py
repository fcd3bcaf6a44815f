"""When messages are to go: rate curves by scenario, and the queue between the world and the network. Pure.

The schedule is open-loop: a message has the time at which it was planned, whether or not anybody is ready for it, so that
a slow receiver shows as lateness instead of as a lower rate. The queue is bounded; when it is full the world stands still.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import pi, sin
from typing import Final

from msgspec import Struct

from sb_generator.speech import Spoken

WAITING_MAX: Final = 50_000
"""Messages that may wait for the network."""
BATCH_MESSAGES_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1_000_000
OUTAGE_EVERY_S: Final = 240
OUTAGE_S: Final = 45


class Scenario(Struct, frozen=True):
    """How the wanted rate varies, as a factor by seconds since the start, and what else happens then.

    `outages`: the live producer falls silent now and then. `storms`: all matches end at once.
    """

    text: str
    factor: Callable[[float], float]
    outages: bool = False
    storms: bool = False


def _steady(_elapsed_s: float) -> float:
    return 1.0


def _evening(elapsed_s: float) -> float:
    return 1.0 + 0.8 * sin(2 * pi * elapsed_s / 3_600)


def _burst(elapsed_s: float) -> float:
    return 10.0 if elapsed_s % 120 >= 100 else 1.0


def _ramp(elapsed_s: float) -> float:
    return min(1.0, 0.05 + 0.95 * elapsed_s / RAMP_S)


def _saturday(elapsed_s: float) -> float:
    """Follow a Saturday from noon to six: every kick-off of the afternoon is at three."""
    hour = 12.0 + elapsed_s % SATURDAY_S / 3_600
    following = next(place for place, (until, _) in enumerate(_SATURDAY) if hour < until)
    until, factor = _SATURDAY[following]
    since, before = _SATURDAY[following - 1] if following else (12.0, factor)
    return before + (factor - before) * (hour - since) / (until - since)


def _quiet(_elapsed_s: float) -> float:
    return 0.1


RAMP_S: Final = 600
SATURDAY_S: Final = 6 * 3_600
STORM_EVERY_S: Final = 600
_SATURDAY: Final = (
    (13.0, 0.3),
    (14.5, 0.6),
    (15.0, 1.2),
    (15.1, 2.0),
    (15.8, 2.2),
    (16.1, 1.4),
    (16.9, 2.6),
    (17.1, 3.0),
    (18.0, 0.4),
)
"""(until which hour, as a factor): it rises to the kick-offs at three, rests at half time, peaks when all matches end."""


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "steady": Scenario("the wanted rate, constant", _steady),
    "ramp": Scenario("from a twentieth of the rate to all of it in ten minutes", _ramp),
    "saturday": Scenario(
        "noon to six on a Saturday: up to 2.2 times the rate from 15:00, three times when it ends", _saturday
    ),
    "storm": Scenario("every ten minutes all matches end at once, and all that is open settles", _steady, storms=True),
    "evening": Scenario("an hour's wave from a fifth of the rate to nearly twice", _evening),
    "burst": Scenario("ten times the rate for 20 s every two minutes", _burst),
    "quiet": Scenario("a tenth of the rate", _quiet),
    "outage": Scenario("the live producer falls silent for 45 s every four minutes", _steady, outages=True),
}


def silent(scenario: Scenario, elapsed_s: float) -> bool:
    """Say whether the live producer is silent now."""
    return scenario.outages and elapsed_s % OUTAGE_EVERY_S >= OUTAGE_EVERY_S - OUTAGE_S


def storms(scenario: Scenario, before_s: float, elapsed_s: float) -> bool:
    """Say whether a settlement storm begins between two times."""
    return scenario.storms and before_s // STORM_EVERY_S != elapsed_s // STORM_EVERY_S


class Queue:
    """What waits for the network, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Spoken] = deque()
        self.late_ms = 0
        self.late_ms_max = 0

    def __repr__(self) -> str:
        return f"<Queue {len(self._waiting)}/{WAITING_MAX} late={self.late_ms} ms>"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the world has to stand still."""
        return len(self._waiting) >= WAITING_MAX

    def put(self, planned: Iterable[Spoken]) -> None:
        """Add documents."""
        self._waiting.extend(planned)

    def clear(self) -> int:
        """Throw away what waits; return how many that were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def take(self, now_ms: int, *, apart: bool = False) -> list[Spoken]:
        """Take the documents of one request, of those that are due; `apart`: what is struck by faults goes alone."""
        taken: list[Spoken] = []
        size = 0
        while self._waiting and len(taken) < BATCH_MESSAGES_MAX and self._waiting[0].ms <= now_ms:
            size += len(self._waiting[0].data) + 1
            if taken and (size > BATCH_BYTES_MAX or (apart and self._waiting[0].marks)):
                break
            taken.append(self._waiting.popleft())
            if apart and taken[0].marks:
                break
        return taken

    @property
    def next_ms(self) -> int | None:
        """When the oldest document is planned to go."""
        return self._waiting[0].ms if self._waiting else None

    def sent(self, taken: list[Spoken], now_ms: int) -> None:
        """Note how late these were when they were answered for."""
        self.late_ms = max(0, now_ms - taken[0].ms)
        self.late_ms_max = max(self.late_ms_max, self.late_ms)
