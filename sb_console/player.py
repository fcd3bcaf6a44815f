"""Plays a recording, or the console's own past: a position in time that goes on, stands, or jumps.

The rule: going on reduces what follows; jumping starts from the keyframe before: either way the snapshot is the same.
"""

from sb_console.model import Snapshot
from sb_console.observations import Observation
from sb_console.record import Chunk, Recording, RecordingError
from sb_console.reduce import reduce


class Player:
    """A position in a recording; `pending` are observations after its last chunk. Raises RecordingError."""

    def __init__(self, recording: Recording, at: int | None = None, pending: Chunk | None = None) -> None:
        self._recording = recording
        self._pending = pending
        self.playing = False
        span = recording.span
        starts = [span[0]] if span else []
        ends = [span[1]] if span else []
        if pending is not None and pending.observations:
            starts.append(pending.observations[0].at)
            ends.append(pending.observations[-1].at)
        if not starts:
            raise RecordingError("nothing is recorded yet")
        self.first, self.last = min(starts), max(ends)
        self.at = self.first
        self.snapshot = Snapshot()
        self._left: list[Observation] = []
        self.seek(self.first if at is None else at)

    def __repr__(self) -> str:
        return f"<Player {self.at} of {self.first} to {self.last} {'playing' if self.playing else 'standing'}>"

    def seek(self, at: int) -> None:
        """Jump to a time, at most to either end."""
        self.at = max(self.first, min(self.last, at))
        self.snapshot = self._recording.seek(self.at, self._pending)
        self._left = self._recording.after(self.at, self._pending)

    def advance(self, by_ms: int) -> None:
        """Go on by a time; at the end it stands."""
        target = min(self.last, self.at + by_ms)
        while True:
            while self._left and self._left[0].at <= target:
                self.snapshot = reduce(self.snapshot, self._left.pop(0))
            if self._left or self.at >= target:
                break
            self.at = max(self.at, min(target, self.snapshot.at))
            self._left = self._recording.after(self.at, self._pending)
            if not self._left or self._left[0].at > target:
                break
        self.at = target
        self.playing = self.playing and self.at < self.last
