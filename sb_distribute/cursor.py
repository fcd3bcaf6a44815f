"""Cursors: up to where a subscription has been sent everything, in terms that every node understands.

The rule: a cursor names, per feed partition that can concern the subscription, an offset from which on (inclusive)
changes may be missing. Everything below was sent. It also carries a digest of the filter and the partitions' lineages,
because under another filter or lineage it means nothing; and when it was written, because history ends somewhere.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from sb_distribute.wire import CURSOR_CHARS_MAX

_CURSOR: Final = re.compile(r"c2-([0-9a-f]{16})-([0-9a-f]{1,12})-([0-9a-f]{1,8})((?:-[0-9a-f]{1,16})+)", re.ASCII)


class Cursor(Struct, frozen=True):
    """A cursor taken apart; `lineages` is the sum over its partitions, `offsets` are in their order.

    `written_s` is when it was written (s since 1970 UTC): what retention has passed since then may be missing anywhere.
    """

    digest: str
    written_s: int
    lineages: int
    offsets: tuple[int, ...]


class Position:
    """Where a node stands: per feed partition the offset from which on changes may still come, and the lineage."""

    __slots__ = ("_hex", "_texts", "lineages", "offsets")

    def __init__(self, offsets: Sequence[int], lineages: Sequence[int]) -> None:
        self.offsets = tuple(offsets)
        self.lineages = tuple(lineages)
        self._hex: list[str] | None = None
        self._texts: dict[tuple[int, ...], str] = {}

    def __repr__(self) -> str:
        return f"<Position {' '.join(map(str, self.offsets))}>"

    def text(self, indices: tuple[int, ...]) -> str:
        """Write the part of a cursor that is the same for all subscriptions of these partitions."""
        text = self._texts.get(indices)
        if text is None:
            if self._hex is None:
                self._hex = [f"{offset:x}" for offset in self.offsets]
            written = self._hex
            text = f"{self.lineage_sum(indices):x}-" + "-".join([written[i] for i in indices])
            self._texts[indices] = text
        return text

    def lineage_sum(self, indices: tuple[int, ...]) -> int:
        """Return what a cursor of these partitions carries as its lineages."""
        return sum([self.lineages[i] for i in indices])

    def moved(self, places: Mapping[int, tuple[int, int]]) -> "Position":
        """Return this position with other (lineage, offset) at some indices; what was written of the rest is kept."""
        offsets, lineages = list(self.offsets), list(self.lineages)
        for index, (lineage, offset) in places.items():
            offsets[index], lineages[index] = offset, lineage
        moved = Position(offsets, lineages)
        if self._hex is not None:
            moved._hex = self._hex.copy()
            for index, (_, offset) in places.items():
                moved._hex[index] = f"{offset:x}"
        return moved

    def nowhere(self) -> "Position":
        """Return the position from which nobody can go on, unless from the first change of all: it has no lineage."""
        nothing = [0] * len(self.offsets)
        return Position(nothing, nothing)

    def at(self, indices: tuple[int, ...], offsets: tuple[int, ...]) -> "Position":
        """Return this position set back to a cursor's offsets."""
        moved = list(self.offsets)
        for index, offset in zip(indices, offsets, strict=True):
            moved[index] = offset
        return Position(moved, self.lineages)


def write(digest: str, position: Position, indices: tuple[int, ...], now_ms: int) -> str:
    """Write a cursor."""
    return f"c2-{digest}-{now_ms // 1000:x}-{position.text(indices)}"


def parse(text: str) -> Cursor:
    """Read a cursor. Raises ValueError for what none of our nodes wrote."""
    match = _CURSOR.fullmatch(text) if len(text) <= CURSOR_CHARS_MAX else None
    if match is None:
        raise ValueError("this is no cursor")
    offsets = tuple(int(part, 16) for part in match[4][1:].split("-"))
    return Cursor(match[1], int(match[2], 16), int(match[3], 16), offsets)
