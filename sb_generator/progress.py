"""A progress bar for a terminal: how far, how fast, how long it will still take. Pure but for the writing.

The rule: it is narration on standard error, and nothing at all where that is no terminal.
"""

import sys
from typing import Final

from sb_core.ports import Clock
from sb_generator.replay import ReplayReport

WIDTH: Final = 24
EVERY_S: Final = 0.2


def bar(report: ReplayReport, rate: float) -> str:
    """Draw one line: the share of the files' bytes that was played, documents, documents a second, time to go."""
    done = min(1.0, report.read_bytes / report.total_bytes) if report.total_bytes else 0.0
    filled = int(done * WIDTH)
    left_s = report.seconds * (1.0 - done) / done if done > 0 else None
    round_of = f"round {report.rounds}  " if report.rounds > 1 else ""
    return (
        f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done:4.0%}  {round_of}{report.documents} documents  "
        f"{rate:,.0f}/s  {_duration(left_s)} to go"
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressBar:
    """Draws a replay's progress over itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drawn_s = 0.0
        self._before: tuple[float, int] = clock.monotonic_s(), 0
        self._drawn = False

    def __repr__(self) -> str:
        return f"<ProgressBar drawn={self._drawn}>"

    def show(self, report: ReplayReport) -> None:
        """Draw, if it is time."""
        now_s = self._clock.monotonic_s()
        if now_s - self._drawn_s < EVERY_S:
            return
        since_s, documents = self._before
        rate = (report.documents - documents) / max(now_s - since_s, 1e-6)
        self._before = now_s, report.documents
        self._drawn_s, self._drawn = now_s, True
        sys.stderr.write(f"\r\x1b[K{bar(report, rate)}")
        sys.stderr.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
