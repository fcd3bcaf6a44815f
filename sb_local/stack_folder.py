"""The data folder of the native stack: what it says about itself, its lock, its ports, and what may be removed of it.

The rule: whoever changes anything holds the folder's lock; `stack.json` keeps the engines asked for, their ports and
settings, so that an engine comes back where its clients expect it; only what we made is ever removed.
"""

import contextlib
import fcntl
import os
import shutil
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sb_local.stack_engine import Engine, Place
from sb_local.stack_install import StackError
from sb_local.stack_probe import free
from sb_local.stack_process import write

LOCK_DEADLINE_S: Final = 900.0
"""A first `up` installs and downloads under the lock."""
LOCK_PAUSE_S: Final = 0.05

PORT_FIRST: Final = 20_000
PORTS: Final = 12_000
"""Ports are looked for below 32,000: above, systems take them for outgoing connections at any moment."""

_PLAN: Final = "stack.json"
_LOCK: Final = "stack.lock"


class Plan(Struct, frozen=True):
    """The engines asked for, all ports by name, and settings by engine."""

    engines: tuple[str, ...] = ()
    ports: Mapping[str, int] = {}
    settings: Mapping[str, Mapping[str, str]] = {}


def exists(folder: Path) -> bool:
    """Whether `up` was ever called here."""
    return (folder / _PLAN).exists()


def stored(folder: Path) -> Plan:
    """Return the plan of a folder; empty where there is none; raises StackError for one that can't be read."""
    try:
        return msgspec.json.decode((folder / _PLAN).read_bytes(), type=Plan)
    except FileNotFoundError:
        return Plan()
    except msgspec.MsgspecError as error:
        raise StackError(f"{folder / _PLAN} can't be read: {error}") from error


def planned(
    folder: Path,
    engines: Sequence[Engine],
    *,
    running: Collection[str],
    ports: Mapping[str, int],
    settings: Mapping[str, Mapping[str, str]],
) -> Plan:
    """Extend the folder's plan by these engines, store it and return it; raises StackError for ports that can't be.

    What runs keeps its ports; what doesn't gets those asked for, else those it had, else (or where another took them) new ones.
    """
    before = stored(folder)
    chosen = dict(before.ports)
    names = {name for engine in engines for name in engine.port_names}
    if strangers := sorted(set(ports) - names):
        raise StackError(f"no engine asked for has a port named {', '.join(strangers)}")
    for engine in engines:
        for name in engine.port_names:
            asked = ports.get(name)
            if engine.name in running:
                if asked not in {None, chosen[name]}:
                    raise StackError(f"{engine.name} runs on port {chosen[name]}: call down before asking for {asked}")
            elif asked is not None:
                if not free(asked):
                    raise StackError(f"port {asked}, asked for {name}, is taken by another process")
                chosen[name] = asked
            elif name not in chosen or not free(chosen[name]):
                chosen[name] = _free_port(folder, chosen.values())
    plan = Plan(
        engines=tuple(dict.fromkeys((*before.engines, *(engine.name for engine in engines)))),
        ports=chosen,
        settings={**before.settings, **settings},
    )
    write(folder / _PLAN, msgspec.json.encode(plan))
    return plan


def place(folder: Path, plan: Plan, engine: Engine) -> Place:
    """Return where an engine lives."""
    ports = {name: plan.ports[name] for name in engine.port_names}
    return Place(folder / engine.name, ports, plan.settings.get(engine.name, {}))


def record(folder: Path, engine: str) -> Path:
    """Return an engine's pid file."""
    return folder / f"{engine}.pid"


def log(folder: Path, engine: str) -> Path:
    """Return the file with an engine's output."""
    return folder / f"{engine}.log"


def purge(folder: Path, engines: Iterable[str]) -> None:
    """Remove what these engines stored and said, and the folder itself when nothing else is in it."""
    for engine in engines:
        shutil.rmtree(folder / engine, ignore_errors=True)
        for path in folder.glob(f"{engine}.log*"):
            path.unlink()
    for name in (_PLAN, _LOCK):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: the rest isn't ours
        folder.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, making the folder where there is none; raises StackError when another keeps it too long."""
    end_s = time.monotonic() + LOCK_DEADLINE_S
    descriptor = _lock(folder)
    while descriptor is None:
        if time.monotonic() > end_s:
            raise StackError(f"another command has held {folder / _LOCK} for {LOCK_DEADLINE_S:g} s")
        time.sleep(LOCK_PAUSE_S)
        descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # purged between the two
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # a purge may have removed the file that we waited for: such a lock locks nothing
        if os.fstat(descriptor).st_ino == (folder / _LOCK).stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _free_port(folder: Path, taken: Collection[int]) -> int:
    # each folder begins elsewhere, so that stacks that start at the same moment don't meet
    begin = zlib.crc32(os.fsencode(folder)) % PORTS
    for step in range(PORTS):
        port = PORT_FIRST + (begin + step) % PORTS
        if port not in taken and free(port):
            return port
    raise StackError(f"no port from {PORT_FIRST} to {PORT_FIRST + PORTS - 1} is free")
