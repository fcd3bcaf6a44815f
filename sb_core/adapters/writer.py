"""Group commit: many callers hand in items, one write at a time takes all that wait.

The rule: an item that was taken is written or failed, never forgotten, also when its caller has gone: after a
cancellation its outcome is unknown. The queue is bounded; at its limit the answer is UnavailableError.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio

from sb_core.errors import DependencyError, UnavailableError

ITEMS_WAITING_MAX: Final = 4_096
BYTES_WAITING_MAX: Final = 256 * 1024 * 1024
GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""A group is closed by the item that passes this."""

T = TypeVar("T")


class _Waiting(Generic[T]):
    __slots__ = ("done", "error", "item", "size")

    def __init__(self, item: T, size: int) -> None:
        self.item = item
        self.size = size
        self.done = anyio.Event()
        self.error: DependencyError | None = None


class GroupWriter(Generic[T]):
    """Writes items in groups. `write` is called with one group at a time and may raise DependencyError."""

    def __init__(self, write: Callable[[list[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: deque[_Waiting[T]] = deque()
        self._bytes = 0
        self._work = anyio.Event()
        self._closing = False
        self.ended = anyio.Event()

    def __repr__(self) -> str:
        """Tell how much waits."""
        return f"<GroupWriter waiting={len(self._waiting)} bytes={self._bytes}>"

    async def put(self, item: T, size: int) -> None:
        """Return once the item (`size` in bytes) is written. Raises UnavailableError or what `write` raised."""
        if self._closing:
            raise UnavailableError("closed")
        if len(self._waiting) >= ITEMS_WAITING_MAX or (self._waiting and self._bytes + size > BYTES_WAITING_MAX):
            raise UnavailableError(f"{len(self._waiting)} writes with {self._bytes} bytes wait already")
        waiting = _Waiting(item, size)
        self._waiting.append(waiting)
        self._bytes += size
        self._work.set()
        await waiting.done.wait()
        if waiting.error is not None:
            # A copy: the same error goes to every caller of the group, and each adds its own traceback.
            raise type(waiting.error)(*waiting.error.args) from waiting.error

    async def run(self) -> None:
        """Write until closed and empty; cancelling doesn't stop it, `close` does."""
        try:
            with anyio.CancelScope(shield=True):
                while self._waiting or not self._closing:
                    if not self._waiting:
                        self._work = anyio.Event()
                        await self._work.wait()
                        continue
                    await self._write_group(self._take())
        finally:
            self._closing = True
            while self._waiting:  # only after a bug in `write`
                self._fail(self._waiting.popleft(), UnavailableError("closed"))
            self.ended.set()

    def close(self) -> None:
        """Take nothing more; `run` ends when all that waits is written."""
        self._closing = True
        self._work.set()

    def _take(self) -> list[_Waiting[T]]:
        group: list[_Waiting[T]] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            group.append(self._waiting.popleft())
            size += group[-1].size
        self._bytes -= size
        return group

    async def _write_group(self, group: list[_Waiting[T]]) -> None:
        try:
            await self._write([waiting.item for waiting in group])
        except DependencyError as error:
            if len(group) > 1 and type(error) is DependencyError:
                # Something in it can't be stored: find out whose, so that the others don't fail with it.
                for waiting in group:
                    await self._write_group([waiting])
                return
            for waiting in group:
                self._fail(waiting, error)
        except BaseException:
            for waiting in group:
                self._fail(waiting, DependencyError("the writer failed"))
            raise
        else:
            for waiting in group:
                waiting.done.set()

    @staticmethod
    def _fail(waiting: _Waiting[T], error: DependencyError) -> None:
        waiting.error = error
        waiting.done.set()
