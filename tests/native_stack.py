"""The native stack of a session of tests: Kafka, a database and Redis of its own, started once, for whoever asks.

The rule: what the machine lacks is said and skips a test (`make stack` gets it), but not where CI=true says that all
must be there; an engine that is there and doesn't start is a failure everywhere. A child process of a session of its
own ends the stack and removes its data whatever becomes of the tests: it waits for the end of a pipe that they hold.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from ports import free_offset

from sb_local import stack
from sb_local.stack import ENGINES, MissingError, Stack

ROOT = Path(__file__).resolve().parent.parent
END = "import sys; from sb_local import stack; sys.stdin.read(); stack.down(sys.argv[1], purge=True)"
HOST = "127.0.0.1"


class NativeStack(Struct, frozen=True):
    """All engines. Who comes to Kafka by `lossy_port` is told to come back by `proxy_port`, where a test may listen."""

    stack: Stack
    lossy_port: int
    proxy_port: int

    @property
    def servers(self) -> str:
        """Kafka's host:port."""
        return self.stack.log_url.removeprefix("kafka://")

    def whole(self) -> "NativeStack":
        """Have every engine serve, also one that a failed test left killed or paused."""
        for name in ENGINES:
            if self.stack.running(name) is None:
                self.stack.start(name, wait=False)
            else:
                self.stack.resume(name)
        for name in ENGINES:
            self.stack.await_healthy(name)
        return self


def up(folder: Path, engines: Sequence[str] = tuple(ENGINES), **options: Mapping[str, Any]) -> Stack:
    """Start engines, or skip and say what is missing; under CI=true it must be there."""
    try:
        return stack.up(folder, engines, install=False, **options)
    except MissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no engines to test with ({error}); `make stack` gets them")
        pytest.skip(f"no engines to test with ({error}); `make stack` gets them")


@contextmanager
def started(folder: Path) -> Iterator[NativeStack]:
    """Have all engines up, on ports that are this worker's."""
    names = [name for engine in ENGINES.values() for name in engine.port_names]
    first = free_offset(*range(len(names) + 2), lasting=True)
    lossy, proxy, *rest = range(first, first + len(names) + 2)
    ports = dict(zip(names, rest, strict=True))
    mine, controller = f"PLAINTEXT://{HOST}:{ports['kafka']}", f"CONTROLLER://{HOST}:{ports['kafka-controller']}"
    settings = {
        "listeners": f"{mine},{controller},LOSSY://{HOST}:{lossy}",
        "advertised.listeners": f"{mine},{controller},LOSSY://{HOST}:{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOSSY:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    with ended(folder):
        yield NativeStack(up(folder, ports=ports, settings={"kafka": settings}), lossy, proxy)


@contextmanager
def ended(folder: Path) -> Iterator[None]:
    """See to it that nothing runs from this folder, and nothing is left in it, once the block or the process is over."""
    command = (sys.executable, "-c", END, str(folder))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True) as ending:
        yield
    assert ending.returncode == 0
