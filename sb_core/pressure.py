"""What processors tell ingest when their store holds them up, so that senders hear of it before the log is all there is.

The rule: a notice counts for NOTICE_S from its arrival and is repeated while it holds, so that a processor that dies in
the midst of it shuts nobody out.
"""

from typing import Final

import msgspec
from msgspec import Struct

from sb_core import topics
from sb_core.records import Record

STALL_S: Final = 2.0
"""How long the store may hold one step of the fold up before that is told."""
REPEAT_S: Final = 1.0
NOTICE_S: Final = 3.0
OLD_MS: Final = 60_000
"""A notice that was written this long ago, by whatever clock, is history."""
REASON_CHARS_MAX: Final = 200


class Notice(Struct, frozen=True):
    """The value of a record of `sports-processors`; the key is the sport."""

    sport: str
    blocked: bool
    reason: str | None
    ts: int


_decoder: Final = msgspec.json.Decoder(Notice)


def record(sport: str, reason: str | None, now_ms: int) -> Record:
    """Make a notice: held up for a reason, or (None) not any more."""
    notice = Notice(sport, reason is not None, None if reason is None else reason[:REASON_CHARS_MAX], now_ms)
    return Record(topics.PROCESSORS, sport, msgspec.json.encode(notice), now_ms)


class Pressure:
    """What was told of, by feed topic."""

    def __init__(self) -> None:
        self._until_s: dict[str, tuple[float, str]] = {}

    def __repr__(self) -> str:
        return f"<Pressure {sorted(self._until_s)}>"

    def take(self, value: bytes | None, now_s: float, now_ms: int) -> None:
        """Take a notice that arrives now; raises msgspec.MsgspecError."""
        notice = _decoder.decode(value or b"")
        feed = topics.feed(notice.sport)
        self._until_s.pop(feed, None)
        if notice.blocked and now_ms - notice.ts < OLD_MS:
            self._until_s[feed] = now_s + NOTICE_S, notice.reason or "the store is slow"

    def reason(self, feeds: set[str], now_s: float) -> str | None:
        """Say why nothing should be appended to these topics now; None where it may be."""
        for feed in sorted(feeds & self._until_s.keys()):
            until_s, reason = self._until_s[feed]
            if now_s < until_s:
                return f"{feed} is held up: {reason}"
            del self._until_s[feed]
        return None
