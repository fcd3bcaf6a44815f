"""Free loopback ports for tests: each worker looks in a range of its own, and no port is handed out twice by a process.

A port that the system picks (bind to 0) is free for a moment only: whatever connects next may take it. These lie below
the range from which systems commonly pick, so the rule is that nobody but another test could want them.
"""

import os
import socket
from collections.abc import Iterator

FIRST = 10_000
PER_WORKER = 5_000
WORKERS = 4
STEP = 150

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS


def _bases() -> Iterator[int]:
    """Multiples of STEP within the worker's range, from another one in every process on, over and over."""
    places = PER_WORKER // STEP
    at = os.getpid() % places
    while True:
        yield FIRST + _worker * PER_WORKER + at * STEP
        at = (at + 1) % places


_next = _bases()


def free_offset(*ports: int) -> int:
    """Find an offset that makes every one of `ports` (all within STEP of the lowest) a free one."""
    low = min(ports)
    for _ in range(PER_WORKER // STEP):
        offset = next(_next) - low
        if all(_free(port + offset) for port in ports):
            return offset
    raise RuntimeError(f"no free ports in the range of worker {_worker}")


def free_port() -> int:
    """Find one free port."""
    return free_offset(0)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
