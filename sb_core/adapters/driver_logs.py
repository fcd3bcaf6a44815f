"""What drivers log, in moderation: one that retries ten times a second says so once in a while.

The rule: the first of its kind always comes through, and the next one says how many were left out; a kind is a logger,
a level and a message before its arguments are filled in.
"""

import copy
import logging
import time
from typing import Final

EVERY_S: Final = 10.0
KINDS_MAX: Final = 256


class Throttle(logging.Handler):
    """Passes records on to the root logger."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on, unless one of its kind was just passed on."""
        kind = record.name, record.levelno, str(record.msg)
        now = time.monotonic()
        passed_at, left_out = self._kinds.get(kind, (-self._every_s, 0))
        if now - passed_at < self._every_s:
            self._kinds[kind] = passed_at, left_out + 1
            return
        if len(self._kinds) >= KINDS_MAX:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        root = logging.getLogger()
        if record.levelno < root.level:
            return
        if left_out:
            record = copy.copy(record)
            record.msg = f"{record.getMessage()} ({left_out} more of this kind were left out)"
            record.args = None
        root.handle(record)


def throttle(logger: str) -> None:
    """Have all that a driver logs go through a Throttle."""
    found = logging.getLogger(logger)
    if not any(isinstance(handler, Throttle) for handler in found.handlers):
        found.propagate = False
        found.addHandler(Throttle())
