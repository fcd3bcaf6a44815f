"""The frame around a service: its context (adapters by URL, clock, telemetry), one nursery, signals, a bounded stop.

The rules: one nursery per service and no orphan task; the first SIGTERM or SIGINT stops in order, the second at once,
and SB_STOP_DEADLINE_S after the first everything is cancelled; a service that crashes ends the process with 1.
Only here are adapters chosen, so that a driver is loaded by those who use it.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast

import anyio
from anyio.abc import TaskStatus

from sb_core import config as pipeline_config
from sb_core import settings as settings_module
from sb_core import topics
from sb_core.bridge import Bridge, open_bridge
from sb_core.config import ConfigError, PipelineConfig
from sb_core.errors import DependencyError, SchemaError
from sb_core.ops import Ops
from sb_core.ports import Cache, Clock, Log, LogAdmin, Store
from sb_core.settings import Settings, SettingsError, redacted
from sb_core.telemetry import Telemetry, error_fields

GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Services hold some 100,000 lasting objects without cycles: with Python's default (700 to a collection) decoding an
update cost 31 µs instead of 5."""
OPEN_DEADLINE_S: Final = 30.0
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

    def for_service(self, service: str) -> "Context":
        """Return the same adapters with another service's telemetry."""
        return replace(self, telemetry=self.telemetry.named(service))


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
            opening = partial(_open_adapters, stack, settings, clock)
            log, admin, store, cache = await _within(OPEN_DEADLINE_S, opening)
            telemetry.debug("opened", log=redacted(settings.log_url), store=redacted(settings.store_url))
            try:
                yield Context(
                    settings=settings,
                    log=log,
                    admin=admin,
                    store=store,
                    cache=cache,
                    clock=clock,
                    telemetry=telemetry,
                    entropy=os.urandom,
                    config=config,
                )
            finally:
                closing.deadline = anyio.current_time() + CLOSE_S
    if closing.cancelled_caught:
        telemetry.error("close_deadline", seconds=CLOSE_S)


class _OneBridge:
    """The bridge to asyncio that all drivers of a process share, opened for the first that needs it, closed last."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._bridge: Bridge | None = None

    async def get(self) -> Bridge:
        if self._bridge is None:
            self._bridge = await self._stack.enter_async_context(open_bridge())
        return self._bridge


@asynccontextmanager
async def open_log(settings: Settings, clock: Clock) -> AsyncIterator[tuple[Log, LogAdmin]]:
    """Open the log alone, and make no topics: for commands that look after it."""
    async with AsyncExitStack() as stack:
        yield await _within(OPEN_DEADLINE_S, partial(_open_log, stack, settings, clock, _OneBridge(stack)))


async def _open_adapters(stack: AsyncExitStack, settings: Settings, clock: Clock) -> tuple[Log, LogAdmin, Store, Cache]:
    bridge = _OneBridge(stack)
    log, admin = await _open_log(stack, settings, clock, bridge)
    store = await _open_store(stack, settings, clock, bridge)
    cache = await _open_cache(stack, settings, bridge)
    await admin.create(topics.specs())
    return log, admin, store, cache


def read_config(settings: Settings) -> PipelineConfig:
    """Read pipeline.toml; only one that was named must be there."""
    named = settings.pipeline != Settings().pipeline
    return pipeline_config.load(Path(settings.pipeline), required=named)


async def _open_log(
    stack: AsyncExitStack, settings: Settings, clock: Clock, bridge: _OneBridge
) -> tuple[Log, LogAdmin]:
    scheme, path = _split(settings.log_url, "SB_LOG_URL")
    if scheme == "sqlite":
        from sb_core.adapters.sqlite_log import open_sqlite_log  # noqa: PLC0415  only who uses it loads it

        _make_folder(path, "SB_LOG_URL")
        embedded = await stack.enter_async_context(open_sqlite_log(path, clock))
        return embedded, embedded
    if scheme == "memory":
        from sb_core.adapters.memory_log import open_memory_log  # noqa: PLC0415  only who uses it loads it

        passing = await stack.enter_async_context(open_memory_log(clock))
        return passing, passing
    if scheme == "kafka":
        from sb_core.adapters.kafka_log import open_kafka_log  # noqa: PLC0415  only who uses it loads it

        try:
            opening = open_kafka_log(settings.log_url, clock, bridge=await bridge.get())
            kafka = await stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError(f"SB_LOG_URL: {error}") from error
        return kafka, kafka
    raise SettingsError(f"SB_LOG_URL begins with {scheme}:, whose adapter is not built yet")


async def _open_store(stack: AsyncExitStack, settings: Settings, clock: Clock, bridge: _OneBridge) -> Store:
    if settings.store_replica_url:
        raise SettingsError("SB_STORE_REPLICA_URL is set, and reading from a replica is not built yet")
    scheme, path = _split(settings.store_url, "SB_STORE_URL")
    if scheme == "mysql":
        from sb_core.adapters.mysql_store import open_mysql_store  # noqa: PLC0415  only who uses it loads it

        try:
            opening = open_mysql_store(settings.store_url, clock, bridge=await bridge.get())
            return await stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError(f"SB_STORE_URL: {error}") from error
    if scheme not in {"sqlite", "memory"}:
        raise SettingsError(f"SB_STORE_URL begins with {scheme}:, whose adapter is not built yet")
    from sb_core.adapters.sqlite_store import open_sqlite_store  # noqa: PLC0415  only who uses it loads it

    if scheme == "memory":
        return cast(Store, await stack.enter_async_context(open_sqlite_store(":memory:", clock, threads=False)))
    _make_folder(path, "SB_STORE_URL")
    return cast(Store, await stack.enter_async_context(open_sqlite_store(path, clock, threads=True)))


async def _open_cache(stack: AsyncExitStack, settings: Settings, bridge: _OneBridge) -> Cache:
    scheme, _ = _split(settings.cache_url, "SB_CACHE_URL")
    if scheme in {"redis", "redis+cluster"}:
        from sb_core.adapters.redis_cache import open_redis_cache  # noqa: PLC0415  only who uses it loads it

        try:
            opening = open_redis_cache(settings.cache_url, entropy=os.urandom, bridge=await bridge.get())
            return await stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError(f"SB_CACHE_URL: {error}") from error
    if scheme != "memory":
        raise SettingsError(f"SB_CACHE_URL begins with {scheme}:, whose adapter is not built yet")
    from sb_core.adapters.memory_cache import MemoryCache  # noqa: PLC0415  only who uses it loads it

    cache = MemoryCache(entries_max=settings.cache_entries_max)
    stack.push_async_callback(cache.aclose)
    return cache


def _split(url: str, env: str) -> tuple[str, str]:
    """Return scheme and file path: `sqlite:///rel.db` is relative, `sqlite:////abs.db` absolute, as everywhere."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise SettingsError(f"{env} is {url!r}, which is no URL")
    if scheme == "sqlite":
        if not rest.startswith("///") or len(rest) == 3:
            raise SettingsError(f"{env} must be sqlite:///path")
        return scheme, rest[3:]
    return scheme, rest


def _make_folder(path: str, env: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{env}: the folder of {path} can't be made: {error.strerror}") from error


async def _within(seconds: float, opening: Callable[[], Awaitable[T]]) -> T:
    try:
        with anyio.fail_after(seconds):
            return await opening()
    except TimeoutError as error:
        raise DependencyError(f"log, store or cache did not open within {seconds:g} s") from error


def run_main(name: str, make: Callable[[Context], Service], settings: Settings | None = None) -> int:
    """Be the process of one service: settings, event loop, signals; return the exit code."""
    gc.set_threshold(*GC_THRESHOLDS)
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
