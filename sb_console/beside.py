"""The collectors' thread: Trio beside the screen's asyncio, joined by a bounded queue of observations and one of requests.

The rules: neither side waits for the other; what doesn't fit is counted and told; closing cancels and joins, within CLOSE_S.
"""

import threading
from collections import deque
from contextlib import suppress
from typing import Final

import anyio
import trio
from anyio.streams.memory import MemoryObjectSendStream

from sb_console.collectors.run import Collectors
from sb_console.observations import Observation
from sb_console.requests import Request
from sb_core.settings import Settings

OBSERVATIONS_MAX: Final = 10_000
REQUESTS_MAX: Final = 100
CLOSE_S: Final = 3.0


class Beside:
    """Runs collectors; every method is for the screen's side."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[Observation] = deque()
        self._lost = 0
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope: trio.CancelScope | None = None
        self._send: MemoryObjectSendStream[Request] | None = None
        self._thread = threading.Thread(target=self._run, name="collectors", daemon=True)
        self.death: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Beside alive={self._thread.is_alive()} waiting={len(self._queue)} lost={self._lost}>"

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def drain(self) -> list[Observation]:
        """Take what has come since the last time."""
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def ask(self, request: Request) -> bool:
        """Hand a request over; False where collectors are gone."""
        token = self._token
        if token is None:
            return False
        try:
            token.run_sync_soon(self._take, request)
        except trio.RunFinishedError:
            return False
        return True

    def close(self) -> bool:
        """Cancel the collectors and wait for their end; False if the thread did not end in time."""
        token, scope = self._token, self._scope
        if token is not None and scope is not None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        return not self._thread.is_alive()

    # the collectors' side

    def _run(self) -> None:
        try:
            anyio.run(self._main, backend="trio")
        except BaseException as error:  # noqa: BLE001  whatever it was, the screen has to say it
            self.death = error

    async def _main(self) -> None:
        # what belongs to a loop is made on this side of it
        self._send, receive = anyio.create_memory_object_stream[Request](REQUESTS_MAX)
        collectors = Collectors(self._settings, self._emit, receive)
        collectors.count_lost(self._count_lost)
        with self._send, receive, trio.CancelScope() as self._scope:
            self._token = trio.lowlevel.current_trio_token()
            await collectors.run()

    def _take(self, request: Request) -> None:
        try:
            if self._send is not None:
                self._send.send_nowait(request)
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._lost += 1

    def _emit(self, observation: Observation) -> None:
        if len(self._queue) >= OBSERVATIONS_MAX:
            self._lost += 1
            return
        self._queue.append(observation)

    def _count_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost
