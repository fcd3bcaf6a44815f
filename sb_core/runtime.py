"""The frame around a service: its context (adapters by URL, clock, telemetry), one nursery, signals, a bounded stop.

The rules: one nursery per service and no orphan task; the first SIGTERM or SIGINT stops in order, the second at once,
and SB_STOP_DEADLINE_S after the first everything is cancelled; a service that crashes ends the process with 1.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

import anyio
from anyio.abc import TaskStatus

from sb_core import config as pipeline_config
from sb_core import settings as settings_module
from sb_core.circuit import Circuit
from sb_core.config import ConfigError, PipelineConfig
from sb_core.errors import SchemaError
from sb_core.opening import open_adapters
from sb_core.ops import Ops
from sb_core.ports import Cache, Clock, Log, LogAdmin, Store
from sb_core.settings import Settings, SettingsError, redacted
from sb_core.telemetry import Telemetry, error_fields

GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Services hold some 100,000 lasting objects without cycles: with Python's default (700 to a collection) decoding an
update cost 31 µs instead of 5."""
GENERATION_BYTES: Final = 4
CLOSE_S: Final = 2.0
"""Kept of the stop's deadline for closing the adapters."""
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

T = TypeVar("T")


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Return wall time in ms since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return a time that never steps, in seconds."""
        return time.monotonic()


@dataclass(frozen=True)
class Context:
    """What a service works with."""

    settings: Settings
    log: Log
    admin: LogAdmin
    store: Store
    cache: Cache
    clock: Clock
    telemetry: Telemetry
    entropy: Callable[[int], bytes]
    config: PipelineConfig
    circuits: Mapping[str, Circuit] = field(default_factory=dict)

    def generation_step(self) -> int:
        """Draw by how much a cache generation is raised: a number that a database forgot must not come again."""
        return 1 + int.from_bytes(self.entropy(GENERATION_BYTES))

    def for_service(self, service: str) -> "Context":
        """Return the same adapters with another service's telemetry."""
        return replace(self, telemetry=self.telemetry.named(service))

    def watched_by(self, ops: Ops) -> Ops:
        """Have a service's /health and /metrics tell of log, store and cache; return it."""
        for name, probe in (("log", self.log.ping), ("store", self.store.ping), ("cache", self.cache.ping)):
            ops.check(name, probe)
        for name, circuit in self.circuits.items():
            ops.watch(name, circuit)
        return ops


class Service(Protocol):
    """A service: `run` calls `task_status.started()` once it serves, and on `stop` winds down in order and returns."""

    @property
    def name(self) -> str:
        """Name the service, as in settings.PORTS."""
        ...

    @property
    def ops(self) -> Ops:
        """Return the service's operational side."""
        ...

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until stopped."""
        ...


@asynccontextmanager
async def open_context(settings: Settings, service: str, *, clock: Clock | None = None) -> AsyncIterator[Context]:
    """Open what the settings name, make the topics, and close everything at the end.

    Raises SettingsError for a URL that nothing serves, ConfigError for pipeline.toml, DependencyError otherwise.
    """
    clock = clock or SystemClock()
    config = read_config(settings)
    telemetry = Telemetry(service, level=settings.log_level, now_ms=clock.now_ms)
    with anyio.CancelScope() as closing:
        async with AsyncExitStack() as stack:
            opened = await open_adapters(stack, settings, clock)
            telemetry.debug("opened", log=redacted(settings.log_url), store=redacted(settings.store_url))
            try:
                yield Context(
                    settings=settings,
                    log=opened.log,
                    admin=opened.admin,
                    store=opened.store,
                    cache=opened.cache,
                    circuits=opened.circuits,
                    clock=clock,
                    telemetry=telemetry,
                    entropy=os.urandom,
                    config=config,
                )
            finally:
                closing.deadline = anyio.current_time() + CLOSE_S
    if closing.cancelled_caught:
        telemetry.error("close_deadline", seconds=CLOSE_S)


def read_config(settings: Settings) -> PipelineConfig:
    """Read pipeline.toml; only one that was named must be there."""
    named = settings.pipeline != Settings().pipeline
    return pipeline_config.load(Path(settings.pipeline), required=named)


def run_main(
    name: str,
    make: Callable[[Context], Service],
    settings: Settings | None = None,
    *,
    gc_thresholds: tuple[int, int, int] = GC_THRESHOLDS,
) -> int:
    """Be the process of one service: settings, event loop, signals; return the exit code."""
    gc.set_threshold(*gc_thresholds)
    try:
        settings = settings or settings_module.load()
    except SettingsError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_USAGE
    route_logging(name, settings)
    return anyio.run(run_service, make, name, settings, backend="trio")


def route_logging(service: str, settings: Settings) -> None:
    """Let everything that libraries log or warn of in this process come out as log lines; for the process's owner.

    Below warnings they are left out unless SB_LOG_LEVEL=debug: what they find worth a word is not what operators do.
    """
    telemetry = Telemetry(service, level=settings.log_level, now_ms=SystemClock().now_ms)
    root = telemetry.adopt("")
    if settings.log_level != "debug":
        root.setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)


async def run_service(make: Callable[[Context], Service], name: str, settings: Settings) -> int:
    """Run one service until a signal or its own end; return the exit code."""
    return await run_services(((name, make),), settings)


async def run_services(
    makers: Sequence[tuple[str, Callable[[Context], Service]]], settings: Settings, *, stop: anyio.Event | None = None
) -> int:
    """Run services over one context: started in order, stopped by a signal, by `stop`, or by the end of any of them.

    Returns EXIT_OK when all wound down by themselves in time. Needs the main thread, for the signals.
    """
    stop = stop or anyio.Event()
    first = makers[0][0]
    telemetry = Telemetry(first, level=settings.log_level, now_ms=SystemClock().now_ms)
    scope = anyio.CancelScope()
    last_resort = threading.Timer(settings.stop_deadline_s, _give_up, (telemetry,))
    last_resort.daemon = True
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_watch_signals, stop, scope, telemetry, last_resort)
            group.start_soon(_bound_stop, stop, scope, max(settings.stop_deadline_s - CLOSE_S, 0.5))
            async with open_context(settings, first) as context:
                with scope:
                    await _run_all(makers, context, stop)
            group.cancel_scope.cancel()
    except Exception as error:  # noqa: BLE001  the outermost frame turns whatever it was into words and an exit code
        return failed(telemetry, error)
    finally:
        last_resort.cancel()
    telemetry.info("stopped", in_order=not scope.cancelled_caught)
    return EXIT_FAILED if scope.cancelled_caught else EXIT_OK


async def _run_all(
    makers: Sequence[tuple[str, Callable[[Context], Service]]], context: Context, stop: anyio.Event
) -> None:
    async with anyio.create_task_group() as group:
        for name, make in makers:
            if stop.is_set():
                return
            own = context.for_service(name)
            service = make(own)
            await group.start(_run_one, service, stop)
            own.telemetry.info("started", version=service.ops.version)


class _Started:
    """Lets a service that is stopped while it starts return without ever having served."""

    def __init__(self, status: TaskStatus[None]) -> None:
        self._status = status
        self.said = False

    def started(self, value: None = None) -> None:
        self.said = True
        self._status.started(value)


async def _run_one(service: Service, stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    status = _Started(task_status)
    try:
        await service.run(stop, task_status=status)
    finally:
        # the end of one is the end of all: a pipeline that lacks a part is no pipeline
        stop.set()
    if not status.said:
        status.started()


async def _bound_stop(stop: anyio.Event, scope: anyio.CancelScope, deadline_s: float) -> None:
    await stop.wait()
    scope.deadline = min(scope.deadline, anyio.current_time() + deadline_s)


async def _watch_signals(
    stop: anyio.Event, scope: anyio.CancelScope, telemetry: Telemetry, last_resort: threading.Timer
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for each in received:
            telemetry.info("signal", name=signal.Signals(each).name, second=stop.is_set())
            if stop.is_set():
                scope.cancel()
            if last_resort.ident is None:
                last_resort.start()
            stop.set()


def _give_up(telemetry: Telemetry) -> None:
    # only reached when not even cancellation ended the process: a thread or the loop hangs
    telemetry.error("stop_deadline", text="still running at the deadline: ending hard")
    os._exit(EXIT_FAILED)


def failed(telemetry: Telemetry, error: BaseException) -> int:
    """Log why a service failed and return its exit code: 2 for settings, else 1."""
    leaves = list(_leaves(error))
    ours = [each for each in leaves if isinstance(each, SettingsError | ConfigError | SchemaError)]
    if ours and len(ours) == len(leaves):
        for refusal in ours:
            telemetry.error("refused_to_start", detail=str(refusal))
        return EXIT_FAILED if any(isinstance(each, SchemaError) for each in ours) else EXIT_USAGE
    for each in leaves:
        telemetry.error("crashed", **error_fields(each))
    return EXIT_FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
