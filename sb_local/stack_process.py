"""Daemons of the native stack: started apart from the terminal, recognised, signalled and waited for.

The rule: a process is ours only while its pid, start time and boot are those that we wrote down when we started it and
its command line names what we gave it; and it is signalled through a descriptor opened before that check, so that a reused pid is never hit.
Linux only: identity is read from /proc.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""A daemon's log that has grown beyond this is put aside (one old copy) when it starts again."""

SETTLE_DEADLINE_S: Final = 5.0
"""For what the kernel does a moment after we asked for it."""
SETTLE_PAUSE_S: Final = 0.002

_STAT_STATE: Final = 0
_STAT_STARTED: Final = 19
_STAT_RSS_PAGES: Final = 21
# positions in /proc/PID/stat behind the command's closing bracket (proc(5) counts from 1 and has two fields before it)


class Command(Struct, frozen=True):
    """What to run: the executable's path, its arguments (the name it sees first), and its whole environment."""

    path: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = {}


class Running(Struct, frozen=True):
    """A process that we started, as its pid file has it; `started` is in clock ticks since `boot`.

    `mark` is part of an argument, such as its folder: wrapper scripts change the rest of a command line, but pass it on.
    """

    pid: int
    started: int
    boot: str
    mark: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie doesn't)."""
        stat = _stat(self.pid)
        if stat is None or _ended(self.pid):
            return False
        # a process that is just beginning or ending shows no command line for a moment
        ours = int(stat[_STAT_STARTED]) == self.started and _boot() == self.boot
        argv = _argv(self.pid)
        return ours and (not argv or any(self.mark in part for part in argv))

    @property
    def paused(self) -> bool:
        """Whether SIGSTOP holds it."""
        stat = _stat(self.pid)
        return stat is not None and stat[_STAT_STATE] in {"T", "t"}

    def pause(self) -> None:
        """Send SIGSTOP, and return when every thread has stopped: the signal alone returns while they still run."""
        self.signal(signal.SIGSTOP)
        end_s = time.monotonic() + SETTLE_DEADLINE_S
        while not self._stopped() and self.alive and time.monotonic() < end_s:
            time.sleep(SETTLE_PAUSE_S)

    def _stopped(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat is None or stat[_STAT_STATE] in {"T", "t"} for stat in map(_read_stat, threads))

    @property
    def rss_bytes(self) -> int:
        """Resident memory; 0 when gone."""
        stat = _stat(self.pid)
        return int(stat[_STAT_RSS_PAGES]) * os.sysconf("SC_PAGE_SIZE") if stat else 0

    @property
    def uptime_s(self) -> float:
        """Seconds since it was started."""
        seconds = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, seconds - self.started / os.sysconf("SC_CLK_TCK"))

    def signal(self, number: signal.Signals, *, deadline_s: float = 0.0) -> bool:
        """Send a signal and wait up to `deadline_s` for the end; return whether the process is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if deadline_s:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                poll.poll(deadline_s * 1000)
        finally:
            os.close(descriptor)
        return not self.alive

    def stop(self, deadline_s: float) -> None:
        """Ask it to end (also when paused), and end it when it hasn't in time."""
        if not self.alive:
            return
        self.signal(signal.SIGTERM)
        if not self.signal(signal.SIGCONT, deadline_s=deadline_s):
            self.signal(signal.SIGKILL, deadline_s=deadline_s)


def supported() -> bool:
    """Whether this machine can tell processes apart as we need it."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def spawn(command: Command, mark: str, record: Path, log: Path) -> Running:
    """Start a daemon in a session of its own, with its output appended to `log`, and write its pid file `record`."""
    _turn(log)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command.path,
        command.argv,
        dict(command.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP],
        setsigmask=[],
    )
    stat = _stat(pid)
    running = Running(pid, int(stat[_STAT_STARTED]) if stat else 0, _boot(), mark)
    write(record, msgspec.json.encode(running))
    return running


def recorded(record: Path) -> Running | None:
    """Return the process of a pid file while it runs, else None."""
    try:
        running = msgspec.json.decode(record.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return running if running.alive else None


def write(path: Path, content: bytes) -> None:
    """Replace a file at once, readable for its owner only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def _turn(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name(log.name + ".1"))


def _ended(pid: int) -> bool:
    stat = _stat(pid)
    if stat is not None and stat[_STAT_STATE] not in {"Z", "X"}:
        return False
    # what this process started itself must be reaped by it
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


def _stat(pid: int) -> list[str] | None:
    return _read_stat(Path(f"/proc/{pid}/stat"))


def _read_stat(path: Path) -> list[str] | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # a command's name may hold brackets and blanks; the last bracket ends it
    return text.rpartition(")")[2].split()


def _argv(pid: int) -> tuple[str, ...]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(os.fsdecode(part) for part in raw.split(b"\0")[:-1])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
