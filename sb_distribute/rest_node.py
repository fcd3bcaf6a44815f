"""What REST asks of the node it belongs to.

The rule: REST knows nothing of logs, rings and caches; an event comes from the node, which refuses pictures older than
those it has seen. Whatever can wait has a deadline here.
"""

from typing import Final

import anyio

from sb_distribute.node import EventSnapshot, Node

READ_S_MAX: Final = 5.0
"""Longest wait for the node or the store before a request is answered 503."""
MIN_REV_S_MAX: Final = 2.0
"""Longest wait for the `min_rev` that a request asks for."""


class RestProblem(Exception):  # noqa: N818  it is an answer, and most often nobody's error
    """An answer that is a problem: status, stable code, words for people."""

    def __init__(self, status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


def unknown_event(event: str) -> RestProblem:
    """Return the problem for an event that nobody has heard of."""
    return RestProblem(404, "unknown_event", f"no event {event[:200]!r} is known")


async def snapshot_of(node: Node, event: str, min_rev: int | None) -> EventSnapshot:
    """Return the event, at least at `min_rev` if one is asked for, which may take MIN_REV_S_MAX.

    Raises RestProblem `unknown_event` (404) and `not_yet` (425); TimeoutError after READ_S_MAX.
    """
    with anyio.fail_after(READ_S_MAX + MIN_REV_S_MAX):
        snapshot = await node.event(event, min_rev or 0)
        if min_rev is None:
            if snapshot is None:
                raise unknown_event(event)
            return snapshot
        if snapshot is None or snapshot.rev < min_rev:
            await node.wait_rev(event, min_rev, MIN_REV_S_MAX)
            snapshot = await node.event(event, min_rev)
        if snapshot is not None and snapshot.rev >= min_rev:
            return snapshot
        if snapshot is None and await node.event(event, 0) is None:
            raise unknown_event(event)
    raise RestProblem(425, "not_yet", f"rev {min_rev} has not come within {MIN_REV_S_MAX:g} s", retry_after_s=1)
