"""Numbers for what the world names: providers count their events, teams and players.

The rule: the number says the name again, so that whoever knows both sides can compare them.
"""

from functools import lru_cache
from typing import Final

EVENTS_OF_A_RUN: Final = 1_000_000


@lru_cache(maxsize=65_536)
def event_number(event: str) -> int:
    """Turn `sim:<run>-<n>` into a number."""
    run, _, number = event.partition(":")[2].partition("-")
    return int(run, 36) * EVENTS_OF_A_RUN + int(number)


@lru_cache(maxsize=65_536)
def number_of(name: str) -> int:
    """Turn `sim:<kind>:<hex>` into a number."""
    return int(name.rpartition(":")[2], 16)
