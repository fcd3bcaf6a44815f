"""The bridge to the drivers that speak asyncio only: one event loop in a thread of its own, called from Trio.

The rules: a call crosses once, with a whole batch, and is given a deadline; a cancelled call cancels its task over there
and waits for its end, so that nothing goes on behind the caller's back (a shielded call goes on, and its outcome is
unknown); `asyncio.CancelledError` never comes across; when the bridge closes or its loop dies, every call ends with an
error. Objects of the drivers belong to the loop's thread and are touched there only.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, TypeVar

import outcome
import trio

from sb_core.errors import ContractError, UnavailableError, UnknownOutcomeError

CANCEL_GRACE_S: Final = 5.0
"""How long a cancelled call waits for its task to end; after that the task is given up, and that is logged."""
CLOSE_S: Final = 2.0
"""How long closing waits for the loop's remaining tasks, and again for its thread."""
STUBBORN_ROUNDS_MAX: Final = 3

T = TypeVar("T")
Function = Callable[..., Coroutine[Any, Any, T]]
Raise = Callable[[], NoReturn]

_log = logging.getLogger(__name__)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop: uvloop's where it is installed, which is 20-40 % faster on Kafka."""
    try:
        import uvloop  # noqa: PLC0415  it exists on Unix only
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class _Call:
    """One call under way. `task` (Trio's) and what tells about it belong to Trio's thread, `job` to the loop's."""

    __slots__ = ("cancelled", "delivered", "ended", "job", "raise_cancel", "task", "token")

    def __init__(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.task = trio.lowlevel.current_task()
        self.job: asyncio.Task[Any] | None = None
        self.raise_cancel: Raise | None = None
        self.cancelled = False
        self.delivered = False
        self.ended: trio.Event | None = None


class Bridge:
    """An asyncio loop in a thread; made by `open_bridge`. Every method is for Trio's side."""

    def __init__(self, name: str = "bridge") -> None:
        self.name = name
        self.given_up = 0
        """Calls whose task did not end within CANCEL_GRACE_S of its cancellation."""
        self._loop = _new_loop()
        self._lock = threading.Lock()
        self._calls: dict[_Call, None] = {}
        self._death: BaseException | None = None
        self._closing = False  # no new calls
        self._ending = False  # nothing new over there
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        """Tell what is under way."""
        state = "DEAD" if self._death else "CLOSED" if self._ended else "closing" if self._closing else "open"
        return f"<Bridge {self.name} {state} calls={len(self._calls)} given_up={self.given_up}>"

    async def call(self, function: Function[T], *args: Any, deadline_s: float) -> T:
        """Run `function(*args)` over there and return its result, or raise what it raises.

        At the deadline, as on cancellation, its task is cancelled and waited for. A result that comes all the same is
        returned. Raises UnavailableError at the deadline and when the bridge closes, ContractError when its loop died.
        """
        with trio.move_on_after(deadline_s):
            return await self._cross(function, args, shielded=False)
        raise UnavailableError(f"{_name(function)} did not answer within {deadline_s:g} s")

    async def call_shielded(self, function: Function[T], *args: Any, deadline_s: float) -> T:
        """Run `function(*args)` over there to its end, whatever becomes of the caller: for what must not be torn.

        Raises UnknownOutcomeError at the deadline; then, and on cancellation, it goes on over there, and only closing
        the bridge ends it. Otherwise as `call`.
        """
        with trio.move_on_after(deadline_s):
            return await self._cross(function, args, shielded=True)
        raise UnknownOutcomeError(f"{_name(function)} has not ended within {deadline_s:g} s")

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a plain function run over there, in order with calls; nothing comes back. Raises as `call`."""
        self._check_open()
        self._send(function, *args)

    async def aclose(self) -> None:
        """Cancel what is under way, end the loop and its thread; bounded by 2 * CLOSE_S."""
        with trio.CancelScope(shield=True):
            self._closing = True
            try:
                self._loop.call_soon_threadsafe(self._loop.stop)
            except RuntimeError:
                _log.debug("the loop of %s has ended before", self.name)
            await trio.to_thread.run_sync(self._thread.join, 2 * CLOSE_S)
        if self._thread.is_alive():
            _log.error("%r hangs: its thread is left behind", self)

    # Trio's side.

    async def _cross(self, function: Function[T], args: tuple[Any, ...], *, shielded: bool) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        call = _Call()
        with self._lock:
            self._check_open()
            self._calls[call] = None
        self._send(self._start, call, function, args)

        def abort(raise_cancel: Raise) -> trio.lowlevel.Abort:
            if shielded:
                call.delivered = True
                return trio.lowlevel.Abort.SUCCEEDED
            call.raise_cancel = raise_cancel
            call.ended = trio.Event()
            self._send(self._cancel, call)
            trio.lowlevel.spawn_system_task(self._give_up, call)
            return trio.lowlevel.Abort.FAILED

        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def _deliver(self, call: _Call, result: outcome.Outcome[Any]) -> None:
        if call.delivered:
            return
        call.delivered = True
        if call.ended is not None:
            call.ended.set()
        if call.raise_cancel is not None and _is_noise(result):
            result = outcome.capture(call.raise_cancel)
        trio.lowlevel.reschedule(call.task, result)

    async def _give_up(self, call: _Call) -> None:
        """Let a cancelled caller go when its task, or the whole loop, doesn't react."""
        assert call.ended is not None  # noqa: S101  our own contract
        with trio.move_on_after(CANCEL_GRACE_S):
            await call.ended.wait()
            return
        if not call.delivered:
            self.given_up += 1
            _log.error("%r: a cancelled call did not end within %g s and is left behind", self, CANCEL_GRACE_S)
            self._deliver(call, outcome.Error(UnavailableError("given up")))

    def _check_open(self) -> None:
        if self._death is not None:
            raise ContractError(f"the loop of {self.name} died: {self._death!r}") from self._death
        if self._closing or self._ended:
            raise UnavailableError(f"{self.name} is closed")

    def _send(self, function: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # the loop ended this moment: its thread, on its way out, answers all that wait
            _log.debug("the loop of %s has ended", self.name)

    # The loop's side.

    def _start(self, call: _Call, function: Function[Any], args: tuple[Any, ...]) -> None:
        if call.cancelled or self._ending:
            self._answer(call, outcome.Error(UnavailableError("cancelled before it began")))
            return
        try:
            job = self._loop.create_task(function(*args))
        except Exception as error:  # noqa: BLE001  a function that can't even be called fails its caller, not the loop
            self._answer(call, outcome.Error(error))
            return
        call.job = job
        job.add_done_callback(lambda done: self._answer(call, self._outcome_of(done)))

    def _cancel(self, call: _Call) -> None:
        call.cancelled = True
        if call.job is not None:
            call.job.cancel()

    def _outcome_of(self, job: "asyncio.Task[Any]") -> outcome.Outcome[Any]:
        if job.cancelled():
            ended = self._ending and self._end_error()
            return outcome.Error(ended or UnavailableError("the driver's task was cancelled"))
        error = job.exception()
        if error is None:
            return outcome.Value(job.result())
        if not isinstance(error, Exception):
            # it ends the loop; on this side nobody asked for the end of anything
            error = ContractError(f"a driver's task raised {error!r}")
        return outcome.Error(error)

    def _answer(self, call: _Call, result: outcome.Outcome[Any]) -> None:
        with self._lock:
            self._calls.pop(call, None)
        try:
            call.token.run_sync_soon(self._deliver, call, result)
        except trio.RunFinishedError:
            # whoever asked is gone with his whole run
            _log.debug("an answer of %s came after the end of its run", self.name)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001  SystemExit and the like end a loop: callers must hear of it
            self._death = error
        try:
            self._finish()
        except BaseException:  # noqa: BLE001  as above: whatever happens, the callers below get their answer
            _log.exception("%s could not be ended in order", self.name)
        with self._lock:
            self._ended = True
            calls = list(self._calls)
        reason = self._end_error()
        for call in calls:
            self._answer(call, outcome.Error(reason))

    def _finish(self) -> None:
        """Cancel what is left, so that it can clean up behind itself, and close the loop."""
        self._ending = True
        for _ in range(STUBBORN_ROUNDS_MAX):
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_S / STUBBORN_ROUNDS_MAX))
        left = asyncio.all_tasks(self._loop)
        if left:
            _log.error("%s: %d tasks did not end", self.name, len(left))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end_error(self) -> Exception:
        if self._death is not None:
            return ContractError(f"the loop of {self.name} died: {self._death!r}")
        return UnavailableError(f"{self.name} is closed")


def _is_noise(result: outcome.Outcome[Any]) -> bool:
    """Say whether this is only what a cancelled task says of its cancellation; our own faults are never noise."""
    return isinstance(result, outcome.Error) and not isinstance(result.error, ContractError)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))


@asynccontextmanager
async def open_bridge(name: str = "bridge") -> AsyncIterator[Bridge]:
    """Open a bridge and close it at the end; what uses it is closed before."""
    bridge = Bridge(name)
    try:
        yield bridge
    finally:
        await bridge.aclose()
