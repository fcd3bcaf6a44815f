"""Group commit: small batches of several partitions go to the database in one transaction.

The rules: one such transaction is under way at a time, and what comes meanwhile goes with the next one, so that a few
messages for each of a dozen partitions cost a dozen statements and one COMMIT, not a dozen of each; whose fence or row
is refused is found by trying each alone; a caller who leaves takes back its own batch only. Nobody waits for a turn for
longer than `turn_s`: then nothing of the batch was written, and its caller is told so. A large batch is not held up by
others and has a transaction of its own. All of this runs on the bridge's loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sb_core.errors import BusyError, DependencyError, FencedError, UnavailableError
from sb_core.records import Batch

ALONE_ROWS_MIN: Final = 100
"""A batch of so many rows gains nothing by company."""
GROUP_BATCHES_MAX: Final = 64
WAITING_BATCHES_MAX: Final = 1_000
"""Each partition waits with one batch at most; more come from a caller gone wrong."""


def is_large(batch: Batch) -> bool:
    """Say whether a batch has its transaction to itself."""
    return len(batch.events) + len(batch.markets) + len(batch.outcomes) + len(batch.changes) >= ALONE_ROWS_MIN


class _Waiting:
    """A batch on its way, and the future by which its caller learns what became of it."""

    __slots__ = ("alone", "batch", "begin_by", "gone", "told")

    def __init__(self, batch: Batch, turn_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.batch = batch
        self.begin_by = loop.time() + turn_s
        self.told: asyncio.Future[None] = loop.create_future()
        self.alone = False
        self.gone = False

    def tell(self, error: BaseException | None) -> None:
        if self.told.done():
            return
        if error is None:
            self.told.set_result(None)
        else:
            self.told.set_exception(error)
            self.told.exception()  # so that nobody is missed when the caller has gone


class CommitGroups:
    """Commits batches in groups. `transact` writes a group, all or nothing, and may be cancelled.

    It ends by itself; once it has sent its COMMIT it says how, cancelled or not.
    """

    def __init__(self, transact: Callable[[list[Batch]], Coroutine[Any, Any, None]], turn_s: float) -> None:
        self._transact = transact
        self._turn_s = turn_s
        self._waiting: deque[_Waiting] = deque()
        self._group: list[_Waiting] = []
        self._job: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Tell what is under way."""
        return f"<CommitGroups writing={len(self._group)} waiting={len(self._waiting)}>"

    async def commit(self, batch: Batch) -> None:
        """Return once the batch is committed. Raises what `transact` raised, of this batch or of its whole group.

        BusyError: it had no turn, or too many wait.
        """
        if len(self._waiting) >= WAITING_BATCHES_MAX:
            raise BusyError(f"{len(self._waiting)} batches wait for the store")
        waiting = _Waiting(batch, self._turn_s)
        self._waiting.append(waiting)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        try:
            await asyncio.wait({waiting.told})
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                raise
            waiting.gone = True
            if waiting in self._group and self._job is not None and not self._job.cancelling():
                self._job.cancel()  # once: a second time would tear it from its COMMIT
            await asyncio.wait({waiting.told})
        error = None if waiting.told.cancelled() else waiting.told.exception()
        if error is not None:
            # a copy: the same error goes to the whole group, and each caller adds its own traceback
            raise type(error)(*error.args) from error
        waiting.told.result()

    async def _run(self) -> None:
        try:
            while self._refuse_overdue():
                await self._write(self._take())
        finally:
            self._runner = None
            for waiting in (*self._group, *self._waiting):
                waiting.tell(UnavailableError("the store is closing"))
            self._waiting.clear()

    def _refuse_overdue(self) -> bool:
        """Tell those whose turn came too late, and whether any are left."""
        now = asyncio.get_running_loop().time()
        for waiting in [each for each in self._waiting if each.begin_by < now]:
            self._waiting.remove(waiting)
            waiting.tell(BusyError(f"no turn at the store within {self._turn_s} s"))
        return bool(self._waiting)

    def _take(self) -> list[_Waiting]:
        group = [self._waiting.popleft()]
        while self._waiting and len(group) < GROUP_BATCHES_MAX and not (group[0].alone or self._waiting[0].alone):
            group.append(self._waiting.popleft())
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        self._group = group
        self._job = job = asyncio.create_task(self._transact([waiting.batch for waiting in group]))
        await asyncio.wait({job})
        self._group, self._job = [], None
        if job.cancelled():
            self._go_again(group)
            return
        error = job.exception()
        if len(group) > 1 and type(error) in {FencedError, DependencyError}:
            # it is one's own fault: each by itself, so that the others don't fail with it
            for waiting in group:
                waiting.alone = True
            self._go_again(group)
            return
        for waiting in group:
            waiting.tell(error)

    def _go_again(self, group: list[_Waiting]) -> None:
        """Put those back who have not left."""
        self._waiting.extendleft(waiting for waiting in reversed(group) if not waiting.gone)
        for waiting in group:
            if waiting.gone:
                waiting.told.cancel()
