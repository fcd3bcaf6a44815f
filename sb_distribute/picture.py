"""What subscriptions ask of the node.

The rule: answers are of this moment and given at once.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sb_distribute.conflate import Version
from sb_distribute.cursor import Position
from sb_distribute.wire import Format


class Pictured(NamedTuple):
    """An event encoded: its version, its sport, and whether it was shown as stale."""

    version: Version
    sport: str
    stale: bool
    body: bytes


class Picture(Protocol):
    """What subscriptions ask of the node: events as they are now, the position, and which sports are stale."""

    @property
    def position(self) -> Position:
        """Where the node stands."""

    @property
    def stale(self) -> Mapping[str, int]:
        """The sports that are stale, and since when (ms)."""

    def snapshot(self, event: str, markets: frozenset[str] | None, form: Format) -> Pictured | None:
        """Return an event as it is now, None when it isn't held."""
