"""A distribution node: follows the updates topics, holds what is live, loads what it doesn't hold.

The rule: nobody is ever given an event older than what this node has already seen of it.
"""

from collections.abc import Sequence
from typing import Any

import anyio
from anyio.abc import TaskStatus
from msgspec import Struct

from sb_core import shown


class EventSnapshot(Struct, frozen=True):
    """An event at one (lineage, rev). `event` is shared: treat it as frozen; its `stale` is always False."""

    lineage: int
    rev: int
    event: shown.Event


class ProducerRow(Struct, frozen=True, kw_only=True):
    """What sports-producers last said of a producer; times in ms."""

    provider: str
    producer: str
    state: str
    reason: str | None = None
    since: int | None = None
    last_alive: int | None = None
    recovery: str | None = None


class Node:
    """API first (the parts follow): what REST and the stream ask of it."""

    def __init__(self, context: Any) -> None:
        self._context = context

    @property
    def reason(self) -> str | None:
        """Why the node isn't ready, or None."""
        raise NotImplementedError

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the updates until cancelled; started() once the ends noted at start are reached."""
        raise NotImplementedError

    async def event(self, event: str, min_rev: int = 0) -> EventSnapshot | None:
        """Return the event, never older than seen, loading it when not held; None when nobody knows it.

        The newest found is returned even when it is below `min_rev`. Raises UnavailableError at the deadline.
        """
        raise NotImplementedError

    async def wait_rev(self, event: str, rev: int, timeout_s: float) -> bool:
        """Wait until this node has seen at least `rev` of the event; False at the timeout."""
        raise NotImplementedError

    def stale(self, sport: str) -> bool:
        """Tell whether this node's picture of the sport is older than SB_LAG_MS_MAX."""
        raise NotImplementedError

    def stale_since(self, sport: str) -> int | None:
        """Return up to when (ms) the sport's picture is known to be complete while it is stale, else None."""
        raise NotImplementedError

    def producers(self) -> Sequence[ProducerRow]:
        """List every producer known, ordered by (provider, producer)."""
        raise NotImplementedError
