"""Free loopback ports for tests: each worker looks in a range of its own, and no port is handed out twice by a process.

Several sessions may run on a machine: what one has handed out is locked for a while, until whoever asked listens there.
A port that the system picks (bind to 0) is free for a moment only: whatever connects next may take it. These lie below
the range from which systems commonly pick, so the rule is that nobody but another test could want them.
"""

import fcntl
import os
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

FIRST = 10_000
PER_WORKER = 5_000
WORKERS = 4
STEP = 150
LOCKS = 4
"""So many of a process' latest ranges are locked: others find those of before in use, or free again."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS


def _bases() -> Iterator[int]:
    """Multiples of STEP within the worker's range, from another one in every process on, over and over."""
    places = PER_WORKER // STEP
    at = os.getpid() % places
    while True:
        yield FIRST + _worker * PER_WORKER + at * STEP
        at = (at + 1) % places


_next = _bases()
_locks: deque[int] = deque()
"""Descriptors of the locks that are held for a while."""


def free_offset(*ports: int, lasting: bool = False) -> int:
    """Find an offset that makes every one of `ports` (all within STEP of the lowest) a free one.

    It stays locked for a while, or while this process lives: for servers that are stopped and started.
    """
    low = min(ports)
    for _ in range(PER_WORKER // STEP):
        base = next(_next)
        if _locked(base, lasting=lasting) and all(_free(port + base - low) for port in ports):
            return base - low
    raise RuntimeError(f"no free ports in the range of worker {_worker}")


def free_port() -> int:
    """Find one free port."""
    return free_offset(0)


def _locked(base: int, *, lasting: bool) -> bool:
    """Lock a range; False where another process, or this one, has it locked."""
    path = Path(tempfile.gettempdir()) / f"sportsbet-test-ports-{base}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    if not lasting:
        _locks.append(descriptor)
        if len(_locks) > LOCKS:
            os.close(_locks.popleft())
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
