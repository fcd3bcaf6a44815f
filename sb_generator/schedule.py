"""When messages are to go: rate curves by scenario, and the queue between the world and the network. Pure.

The schedule is open-loop: a message has the time at which it was planned, whether or not anybody is ready for it, so that
a slow receiver shows as lateness instead of as a lower rate. The queue is bounded; when it is full the world stands still.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import pi, sin
from typing import Final

from msgspec import Struct

WAITING_MAX: Final = 50_000
"""Messages that may wait for the network."""
BATCH_MESSAGES_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1_000_000
OUTAGE_EVERY_S: Final = 240
OUTAGE_S: Final = 45


class Scenario(Struct, frozen=True):
    """How the wanted rate varies, as a factor by seconds since the start, and when the live producer falls silent."""

    text: str
    factor: Callable[[float], float]
    outages: bool = False


def _steady(_elapsed_s: float) -> float:
    return 1.0


def _evening(elapsed_s: float) -> float:
    return 1.0 + 0.8 * sin(2 * pi * elapsed_s / 3_600)


def _burst(elapsed_s: float) -> float:
    return 10.0 if elapsed_s % 120 >= 100 else 1.0


def _quiet(_elapsed_s: float) -> float:
    return 0.1


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "steady": Scenario("the wanted rate", _steady),
    "evening": Scenario("an hour's wave from a fifth of the rate to nearly twice", _evening),
    "burst": Scenario("ten times the rate for 20 s every two minutes", _burst),
    "quiet": Scenario("a tenth of the rate", _quiet),
    "outage": Scenario("the live producer falls silent for 45 s every four minutes", _steady, outages=True),
}


def silent(scenario: Scenario, elapsed_s: float) -> bool:
    """Say whether the live producer is silent now."""
    return scenario.outages and elapsed_s % OUTAGE_EVERY_S >= OUTAGE_EVERY_S - OUTAGE_S


class Planned(Struct, frozen=True, gc=False):
    """A document and when it was planned to go, in ms since 1970."""

    data: bytes
    ms: int


class Queue:
    """What waits for the network, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Planned] = deque()
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

    def put(self, planned: Iterable[Planned]) -> None:
        """Add documents."""
        self._waiting.extend(planned)

    def clear(self) -> int:
        """Throw away what waits; return how many that were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def take(self) -> list[Planned]:
        """Take the documents of one request."""
        taken: list[Planned] = []
        size = 0
        while self._waiting and len(taken) < BATCH_MESSAGES_MAX:
            size += len(self._waiting[0].data) + 1
            if taken and size > BATCH_BYTES_MAX:
                break
            taken.append(self._waiting.popleft())
        return taken

    def sent(self, taken: list[Planned], now_ms: int) -> None:
        """Note how late these were when they were answered for."""
        self.late_ms = max(0, now_ms - taken[0].ms)
        self.late_ms_max = max(self.late_ms_max, self.late_ms)
