"""What a node tells whoever serves its clients (the hub).

The rule: calls are synchronous, in the order of events, and never wait.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sb_distribute.cursor import Position
from sb_distribute.state import NodeState, Step


class NodeListener(Protocol):
    """Who wants to know what the node learns (the hub). Calls are synchronous and in the order of events."""

    def changed(self, steps: Sequence[Step], before: Position, now_ms: int) -> None:
        """Take changes; `before` is the node's position before the first."""

    def missing(self, event: str, sport: str, before: Position, now_ms: int) -> None:
        """Take note that a change of an event, after position `before`, could not be read."""

    def absent(self, event: str) -> None:
        """Take note that nobody knows an event that was asked for."""

    def loaded(self, event: str, now_ms: int) -> None:
        """Take note that a missing event is held again."""

    def unavailable(self, event: str, now_ms: int) -> None:
        """Take note that a missing event can't be had for now."""

    def staleness(self, stale: Mapping[str, int], now_ms: int) -> None:
        """Take note of the stale sports, and since when (ms)."""

    def forget(self, state: NodeState, now_ms: int) -> None:
        """Go on with another, empty state."""
