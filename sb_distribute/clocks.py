"""Time on a node whose wall clock may be set while it runs.

The rule: what is waited for (conflation, heartbeats, allowances) goes by a clock that nobody sets; how old a picture
is goes by both, and the older answer counts.
"""

from sb_core.ports import Clock


class SteadyClock:
    """The wall time of when this was made, going on by itself whatever the wall clock is set to."""

    def __init__(self, clock: Clock) -> None:
        self.wall = clock
        self._ahead_ms = clock.now_ms() - clock.monotonic_s() * 1000

    def __repr__(self) -> str:
        return f"<SteadyClock {self.now_ms()}>"

    def now_ms(self) -> int:
        """Return ms since 1970 UTC; never steps."""
        return round(self._ahead_ms + self.wall.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        """Return a time that never steps, in seconds."""
        return self.wall.monotonic_s()


class Freshness:
    """How old each sport's picture is.

    The wall clock alone would call it fresh for as long as it was set back by, or as a tick that a wrong clock wrote
    lies ahead.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moved: dict[str, tuple[int, float]] = {}

    def __repr__(self) -> str:
        return f"<Freshness {self._moved}>"

    def age_ms(self, sport: str, complete_to: int) -> int:
        """Return the age of a picture that is complete up to then (ms); ask often, it counts from when it was seen first."""
        now_s = self._clock.monotonic_s()
        moved = self._moved.get(sport)
        if moved is None or moved[0] != complete_to:
            moved = self._moved[sport] = complete_to, now_s
        return max(self._clock.now_ms() - complete_to, int((now_s - moved[1]) * 1000))
