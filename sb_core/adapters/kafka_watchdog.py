"""The watchdog of a reader of the Kafka log: a client that stands still while its partitions grow has died unnoticed.

The rule: what is judged is what a reader waits for, by ends that the brokers tell meanwhile; so neither a slow reader
nor brokers that are down are taken for a dead client. Plain code without a clock: one look after the other.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sb_core.records import TopicPartition

LOOK_EVERY_S: Final = 5.0
LOOKS_MAX: Final = 6
"""So many looks in a row at one position, while the end moved on, and the process ends: half a minute."""
NOWHERE: Final = -1
"""The position in partitions that a group takes its time to give."""


class Stood(Struct):
    """A partition that has not moved: where it stands, its end when that was first seen, and looks since."""

    position: int
    end: int
    looks: int = 0


class Watchdog:
    """What it saw of one reader."""

    def __init__(self) -> None:
        self._stood: dict[TopicPartition, Stood] = {}

    def __repr__(self) -> str:
        return f"<Watchdog {self._stood}>"

    def look(self, seen: Mapping[TopicPartition, tuple[int, int]]) -> str | None:
        """Look at the (position, end) of all partitions waited for; return what is wrong, or None."""
        stood = self._stood
        self._stood = {}
        for partition, (position, end) in seen.items():
            before = stood.get(partition)
            if end <= position or before is None or before.position != position:
                self._stood[partition] = Stood(position, end)
                continue
            before.looks += 1
            self._stood[partition] = before
            if before.looks >= LOOKS_MAX and end > before.end:
                where = "without a group's word" if position == NOWHERE else f"at {position}"
                name = f"{partition[0]}/{partition[1]}"
                return f"{name} stood {where} for {before.looks} looks while its end went from {before.end} to {end}"
        return None

    def forget(self) -> None:
        """Begin anew: nobody read, or no broker answered."""
        self._stood.clear()
