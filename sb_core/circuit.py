"""A circuit breaker: after several failures in a row a dependency is left alone for a while, then tried by one call.

The rule: plain code, time is an argument. Closed: calls go through. Open: none does, until `until_s`. Half open: one does,
and its outcome closes the circuit, or opens it for longer.
"""

from typing import Final, Literal

FAILURES_MAX: Final = 5
"""Failures in a row that open the circuit."""
OPEN_S_MIN: Final = 0.25
OPEN_S_MAX: Final = 1.0
"""Short, because what is waited for is the dependency's return: an attempt a second costs nobody anything."""
PROBE_S_MAX: Final = 15.0
"""A probe that isn't heard of for this long is given up, and another may go."""

State = Literal["closed", "open", "half_open"]


class Circuit:
    """The state of one dependency. `opened` and `refused` count since the start."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened = 0
        self.refused = 0
        self.busy = 0
        """Calls that found the bulkhead full."""
        self._failures = 0
        self._open_s = 0.0
        self._until_s = 0.0
        self._probe_until_s = 0.0

    def __repr__(self) -> str:
        return f"<Circuit {self.name} failures={self._failures} opened={self.opened} refused={self.refused}>"

    def state(self, now_s: float) -> State:
        """Return the state for those who look."""
        if self._failures < FAILURES_MAX:
            return "closed"
        return "open" if now_s < self._until_s else "half_open"

    def admit(self, now_s: float) -> float | None:
        """Let a call through (None), or say for how many seconds nobody is let through."""
        if self._failures < FAILURES_MAX:
            return None
        if now_s < self._until_s:
            self.refused += 1
            return self._until_s - now_s
        if now_s < self._probe_until_s:
            self.refused += 1
            return OPEN_S_MIN
        self._probe_until_s = now_s + PROBE_S_MAX
        return None

    def succeeded(self) -> None:
        """Note an answer: the dependency is well."""
        self._failures = 0
        self._open_s = 0.0

    def failed(self, now_s: float, draw: float) -> None:
        """Note a failure; `draw` in [0, 1) keeps processes from coming back all at once."""
        self._failures += 1
        self._probe_until_s = 0.0
        if self._failures >= FAILURES_MAX and now_s >= self._until_s:
            self.opened += 1
            self._open_s = min(OPEN_S_MAX, self._open_s * 2 or OPEN_S_MIN)
            self._until_s = now_s + self._open_s * (1 - draw / 2)

    def undecided(self) -> None:
        """Note a call that told nothing of the dependency: another probe may go."""
        self._probe_until_s = 0.0
