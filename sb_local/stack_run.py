"""The native stack at work: brings engines up and down, looks at them, and lets tests kill, pause and restart them.

The rule: everything lies in one folder and listens on loopback only; `up` may be repeated and keeps ports and data;
`down` ends exactly what was started from that folder. Synchronous: call it from a thread where a loop runs.
"""

import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sb_local import stack_folder, stack_kafka, stack_mysql
from sb_local.stack_engine import Engine, Place
from sb_local.stack_folder import Plan
from sb_local.stack_install import MissingError, StackError, ensure
from sb_local.stack_kafka import Kafka
from sb_local.stack_mysql import MySql
from sb_local.stack_probe import NotServingError
from sb_local.stack_process import Command, Running, recorded, spawn, supported
from sb_local.stack_redis import Redis

ENGINES: Final[Mapping[str, Engine]] = {"kafka": Kafka(), "mysql": MySql(), "redis": Redis()}
"""In the order in which they are started: the slowest first."""

URLS: Final[Mapping[str, str]] = {"kafka": "SB_LOG_URL", "mysql": "SB_STORE_URL", "redis": "SB_CACHE_URL"}
PROBE_DEADLINE_S: Final = 1.0
PROBE_PAUSE_S: Final = 0.05
TOOL_DEADLINE_S: Final = 60.0
LOG_TAIL_LINES: Final = 15


class Status(Struct, frozen=True):
    """One engine: whether it runs, and how well. `state` is judged by its own protocol, not by its port."""

    engine: str
    state: Literal["running", "paused", "unhealthy", "stopped"]
    port: int
    url: str
    pid: int | None = None
    version: str | None = None
    latency_ms: float | None = None
    rss_mb: float | None = None
    uptime_s: float | None = None
    detail: str = ""
    log: str = ""


class Stack(Struct, frozen=True):
    """A stack that is up: its URLs ("" for an engine that wasn't asked for), and its engines by name to play with."""

    folder: Path
    plan: Plan

    @property
    def log_url(self) -> str:
        """SB_LOG_URL."""
        return self.url("kafka")

    @property
    def store_url(self) -> str:
        """SB_STORE_URL."""
        return self.url("mysql")

    @property
    def cache_url(self) -> str:
        """SB_CACHE_URL."""
        return self.url("redis")

    @property
    def environ(self) -> dict[str, str]:
        """The settings that point services at this stack."""
        return {URLS[name]: self.url(name) for name in self.plan.engines}

    def url(self, engine: str) -> str:
        """Return an engine's URL."""
        return ENGINES[engine].url(self.plan.ports[engine]) if engine in self.plan.engines else ""

    def place(self, engine: str) -> Place:
        """Return an engine's folder, ports and settings."""
        return stack_folder.place(self.folder, self.plan, ENGINES[engine])

    def running(self, engine: str) -> Running | None:
        """Return an engine's process, None when it doesn't run."""
        return recorded(stack_folder.record(self.folder, engine))

    def kill(self, engine: str) -> None:
        """End an engine with SIGKILL, and return when it is gone."""
        running = self._must_run(engine)
        limit_s = ENGINES[engine].stop_deadline_s
        if not running.signal(signal.SIGKILL, deadline_s=limit_s):
            raise StackError(f"{engine} (pid {running.pid}) is not gone {limit_s:g} s after SIGKILL")

    def stop(self, engine: str) -> None:
        """End an engine cleanly."""
        with stack_folder.locked(self.folder):
            _stop(self.folder, engine)

    def start(self, engine: str, *, wait: bool = True) -> None:
        """Start an engine that doesn't run, on its port and data; return when it serves, or at once. Raises StackError."""
        with stack_folder.locked(self.folder):
            _start(self, engine)
        if wait:
            self.await_healthy(engine)

    def pause(self, engine: str) -> None:
        """Hold an engine with SIGSTOP: its port still accepts, and nobody answers."""
        self._must_run(engine).pause()

    def resume(self, engine: str) -> None:
        """Let a paused engine go on."""
        self._must_run(engine).signal(signal.SIGCONT)

    def await_healthy(self, engine: str, deadline_s: float | None = None) -> None:
        """Return when an engine serves; raises StackError with the end of its log when it ends or takes too long."""
        limit_s = ENGINES[engine].start_deadline_s if deadline_s is None else deadline_s
        end_s = time.monotonic() + limit_s
        while (now := self.status(engine)).state != "running":
            if now.state == "stopped" or time.monotonic() > end_s:
                why = "ended" if now.state == "stopped" else f"does not serve after {limit_s:g} s ({now.detail})"
                tail = "\n".join(Path(now.log).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
                raise StackError(f"{engine} {why}; its log {now.log} ends with:\n{tail}")
            time.sleep(PROBE_PAUSE_S)

    def status(self, engine: str) -> Status:
        """Look at one engine."""
        port = self.plan.ports[engine]
        known = Status(engine, "stopped", port, self.url(engine), log=str(stack_folder.log(self.folder, engine)))
        running = self.running(engine)
        if running is None:
            return known
        known = msgspec.structs.replace(
            known,
            pid=running.pid,
            rss_mb=round(running.rss_bytes / 1024 / 1024, 1),
            uptime_s=round(running.uptime_s, 1),
        )
        if running.paused:
            return msgspec.structs.replace(known, state="paused")
        began_s = time.monotonic()
        try:
            version = ENGINES[engine].probe(port, PROBE_DEADLINE_S)
        except (OSError, NotServingError) as error:
            return msgspec.structs.replace(known, state="unhealthy", detail=str(error) or type(error).__name__)
        latency_ms = round((time.monotonic() - began_s) * 1000, 1)
        return msgspec.structs.replace(known, state="running", version=version, latency_ms=latency_ms)

    def kafka_tool(self, name: str, *arguments: str, given: str | None = None) -> str:
        """Run one of Kafka's tools (`kafka-topics.sh`, …) against the broker; return its output; raises StackError."""
        command = stack_kafka.tool(name, self.plan.ports["kafka"], *arguments)
        return _tool(command, name, folder=self.folder, given=given)

    def mysql_tool(self, name: str, *arguments: str, given: str | None = None) -> str:
        """Run a client as administrator ("" the shell, `dump`, `admin`); `given` is its input; raises StackError."""
        command = stack_mysql.tool(name, *arguments)
        return _tool(command, name or "mysql", folder=self.place("mysql").data, given=given)

    def _must_run(self, engine: str) -> Running:
        running = self.running(engine)
        if running is None:
            raise StackError(f"{engine} does not run")
        return running

    def __repr__(self) -> str:
        return f"<Stack {self.folder} {' '.join(f'{name}:{self.plan.ports[name]}' for name in self.plan.engines)}>"


def up(
    folder: str | Path,
    engines: Sequence[str] = tuple(ENGINES),
    *,
    ports: Mapping[str, int] | None = None,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    install: bool = True,
) -> Stack:
    """Start what doesn't run of `engines`, install what is missing, and return when all of them serve.

    `ports` fixes ports (`{"kafka": 9092}`), else free ones are taken once and kept; `settings` adds to an engine's own
    configuration (`{"kafka": {"log.segment.bytes": "1048576"}}`) from its next start on. Raises MissingError naming what
    the machine lacks, StackError for all else; what this call had started is stopped again then.
    """
    where = Path(folder).absolute()
    asked = [name for name in ENGINES if name in engines]
    if unknown := sorted(set(engines) - set(ENGINES)):
        raise StackError(f"there is no engine {', '.join(unknown)}: choose of {', '.join(ENGINES)}")
    with stack_folder.locked(where):
        provide(asked, install=install)
        wanted = [ENGINES[name] for name in asked]
        running = {name for name in ENGINES if recorded(stack_folder.record(where, name))}
        plan = stack_folder.planned(where, wanted, running=running, ports=ports or {}, settings=settings or {})
        stack = Stack(where, plan)
        _bring(stack, asked, running)
    return stack


def provide(engines: Sequence[str] = tuple(ENGINES), *, install: bool = True) -> None:
    """Install and fetch what these engines lack, starting nothing; raises MissingError naming what the machine lacks."""
    if not supported():
        raise MissingError(["Linux: the native stack runs on nothing else; use docker compose here"])
    wanted = [ENGINES[name] for name in engines]
    ensure([need for engine in wanted for need in engine.needs()], install=install)
    for engine in wanted:
        engine.fetch(install=install)


def down(folder: str | Path, *, purge: bool = False) -> tuple[str, ...]:
    """Stop what runs from this folder, with `purge` remove what was stored; return the names of what was stopped."""
    where = Path(folder).absolute()
    if not stack_folder.exists(where):
        return ()
    with stack_folder.locked(where):
        # the cache first and the log last: whoever still works hears it from the part that it can do without
        stopped = tuple(name for name in reversed(tuple(ENGINES)) if _stop(where, name))
        if purge:
            stack_folder.purge(where, ENGINES)
    return stopped


def status(folder: str | Path) -> tuple[Status, ...]:
    """Look at all engines that `up` was asked for in this folder."""
    where = Path(folder).absolute()
    plan = stack_folder.stored(where)
    stack = Stack(where, plan)
    return tuple(stack.status(name) for name in plan.engines)


def _bring(stack: Stack, asked: Sequence[str], running: Collection[str]) -> None:
    """Start what doesn't run, wait until all serve, and leave nothing behind that was started in vain."""
    try:
        for name in asked:
            if name not in running:
                _start(stack, name)
            elif stack.status(name).state == "paused":
                stack.resume(name)
        for name in asked:
            stack.await_healthy(name)
    except BaseException:
        for name in set(asked) - set(running):
            _stop(stack.folder, name)
        raise


def _start(stack: Stack, engine: str) -> None:
    if stack.running(engine) is not None:
        raise StackError(f"{engine} runs already")
    place = stack.place(engine)
    command = ENGINES[engine].prepare(place)
    spawn(command, str(place.folder), stack_folder.record(stack.folder, engine), stack_folder.log(stack.folder, engine))


def _stop(folder: Path, engine: str) -> bool:
    running = recorded(stack_folder.record(folder, engine))
    if running is not None:
        running.stop(ENGINES[engine].stop_deadline_s)
    stack_folder.record(folder, engine).unlink(missing_ok=True)
    return running is not None


def _tool(command: Command, name: str, *, folder: Path, given: str | None) -> str:
    try:
        done = subprocess.run(  # noqa: S603  a program we looked up ourselves
            command.argv,
            env=dict(command.environ),
            cwd=folder,
            input=given or "",
            capture_output=True,
            text=True,
            timeout=TOOL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"{name} did not end in {TOOL_DEADLINE_S:g} s") from error
    if done.returncode != 0:
        raise StackError(f"{name} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout
