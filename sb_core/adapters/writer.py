"""Group commit: many callers hand in items, one write at a time takes all that wait.

There is no task of its own: the first caller writes for all that wait with it, then one of those who came meanwhile.

The rule: an item that was taken is written or failed, never forgotten, also when its caller has gone: after a
cancellation its outcome is unknown. The queue is bounded; at its limit the answer is UnavailableError.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio
import anyio.lowlevel

from sb_core.errors import DependencyError, UnavailableError

ITEMS_WAITING_MAX: Final = 4_096
BYTES_WAITING_MAX: Final = 256 * 1024 * 1024
GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""A group is closed by the item that passes this."""

T = TypeVar("T")


class _Waiting(Generic[T]):
    """An item on its way. Its caller is woken when it is settled, or to write the next group."""

    __slots__ = ("error", "gone", "item", "settled", "size", "woken")

    def __init__(self, item: T, size: int) -> None:
        self.item = item
        self.size = size
        self.woken = anyio.Event()
        self.settled = False
        self.gone = False
        self.error: DependencyError | None = None

    def settle(self, error: DependencyError | None) -> None:
        self.error = error
        self.settled = True
        self.woken.set()


class GroupWriter(Generic[T]):
    """Writes items in groups. `write` is called with one group at a time and may raise DependencyError."""

    def __init__(self, write: Callable[[list[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: deque[_Waiting[T]] = deque()
        self._bytes = 0
        self._writing = False
        self._closed = False
        self._idle = anyio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        """Tell how much waits."""
        return f"<GroupWriter waiting={len(self._waiting)} bytes={self._bytes}>"

    async def put(self, item: T, size: int) -> None:
        """Return once the item (`size` in bytes) is written. Raises UnavailableError or what `write` raised."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise UnavailableError("closed")
        if len(self._waiting) >= ITEMS_WAITING_MAX or (self._waiting and self._bytes + size > BYTES_WAITING_MAX):
            raise UnavailableError(f"{len(self._waiting)} writes with {self._bytes} bytes wait already")
        waiting = _Waiting(item, size)
        self._waiting.append(waiting)
        self._bytes += size
        if self._writing:
            await self._wait(waiting)
        if not waiting.settled:
            await self._lead()
        if waiting.error is not None:
            # A copy: the same error goes to every caller of the group, and each adds its own traceback.
            raise type(waiting.error)(*waiting.error.args) from waiting.error

    async def aclose(self) -> None:
        """Take nothing more, and return when all that waits is written."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._idle.wait()

    async def _wait(self, waiting: _Waiting[T]) -> None:
        try:
            await waiting.woken.wait()
        finally:
            if not waiting.woken.is_set():
                waiting.gone = True  # the item stays, but its caller can't write
            elif not waiting.settled:
                await self._lead()  # chosen to write and cancelled at the same moment: the others count on it

    async def _lead(self) -> None:
        """Write one group, then let a waiting caller go on; write for those whose callers have gone."""
        self._writing = True
        if self._idle.is_set():
            self._idle = anyio.Event()
        heir: _Waiting[T] | None = None
        try:
            with anyio.CancelScope(shield=True):
                while self._waiting and heir is None:
                    await self._write_group(self._take())
                    heir = next((waiting for waiting in self._waiting if not waiting.gone), None)
        finally:
            if heir is not None:
                heir.woken.set()
            else:
                self._end()

    def _end(self) -> None:
        while self._waiting:  # only after a bug in `write`
            self._waiting.popleft().settle(DependencyError("the writer failed"))
        self._bytes = 0
        self._writing = False
        self._idle.set()

    def _take(self) -> list[_Waiting[T]]:
        group: list[_Waiting[T]] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            group.append(self._waiting.popleft())
            size += group[-1].size
        self._bytes -= size
        return group

    async def _write_group(self, group: list[_Waiting[T]]) -> None:
        error: DependencyError | None = DependencyError("the writer failed")
        try:
            await self._write([waiting.item for waiting in group])
            error = None
        except DependencyError as failure:
            error = failure
            if len(group) > 1 and type(failure) is DependencyError:
                # Something in it can't be stored: find out whose, so that the others don't fail with it.
                for waiting in group:
                    await self._write_group([waiting])
        finally:
            for waiting in group:
                if not waiting.settled:
                    waiting.settle(error)
