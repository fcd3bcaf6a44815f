"""What subscriptions ask of the node, and of their lanes.

The rule: answers are of this moment and given at once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Raw

from sb_distribute.conflate import Version
from sb_distribute.cursor import Position
from sb_distribute.wire import Format

if TYPE_CHECKING:
    from sb_distribute.subscriptions import Subscription


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


class Bringer(Protocol):
    """What brings changes that a subscription looks at later: its lane. `end` numbers the next one."""

    end: int

    def bring(self, sub: "Subscription", seen: int) -> None:
        """Put what came since number `seen`."""

    def items(self, sub: "Subscription", seen: int, form: Format, now_ms: int) -> list[Raw] | None:
        """Give what came since as items that are due, where nothing else waits; None where it must be put."""
