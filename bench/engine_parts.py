"""Services as processes of their own on a native Kafka, MariaDB or MySQL and Redis, with what each of them costs.

The rule: every run has topics, a database and a cache of its own, and all are dropped at its end; the engines are as
durable as in production.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from bench.target import ROOT
from sb_local import stack
from sb_local.stack import Stack

ENGINES: Final = ("kafka", "mysql", "redis")
OFFSET: Final = 17_000
SECOND_OFFSET: Final = 18_000
"""For the second processor of football."""
COMMANDS: Final = {
    "ingest": ("sb_ingest",),
    "football": ("sb_process", "--sport", "football"),
    "football2": ("sb_process", "--sport", "football"),
    "distribute": ("sb_distribute",),
}
PORTS: Final = {
    "ingest": 4000 + OFFSET,
    "football": 4101 + OFFSET,
    "football2": 4101 + SECOND_OFFSET,
    "distribute": 4002 + OFFSET,
    "stream": 4003 + OFFSET,
}
READY_S: Final = 60
STOP_S: Final = 15
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Cost(Struct, frozen=True):
    """What one process used: processor time in seconds since it was first looked at, and its peak memory in MB."""

    cpu_s: float
    peak_mb: float


class Parts:
    """One run: its topics, its database, its cache, and the services that were started on them."""

    def __init__(self, running: Stack, folder: Path) -> None:
        self.stack = running
        self.folder = folder
        self.name = f"b{uuid4().hex[:12]}"
        self.database = f"sportsbet_{self.name}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.store_url = running.store_url.rpartition("/")[0] + f"/{self.database}"
        self.log_url = f"{running.log_url}/?prefix={self.name}."
        self.kafka = running.log_url.removeprefix("kafka://")

    def __repr__(self) -> str:
        return f"<Parts {self.name} {' '.join(self.processes)}>"

    def make(self) -> None:
        """Make the database, and empty the cache."""
        self.stack.mysql_tool("", "-e", f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        subprocess.run(
            [sys.executable, "-m", "sb_local.migrate"],
            cwd=ROOT,
            env=self.environment("ingest"),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.flush()

    def flush(self) -> None:
        """Empty the cache."""
        port = self.stack.plan.ports["redis"]
        subprocess.run(["redis-cli", "-p", str(port), "FLUSHALL"], check=True, stdout=subprocess.DEVNULL)

    def environment(self, name: str) -> dict[str, str]:
        """Return a service's settings."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SB_")}
        return kept | {
            "SB_LOG_URL": self.log_url,
            "SB_STORE_URL": self.store_url,
            "SB_CACHE_URL": self.stack.cache_url,
            "SB_DATA": str(self.folder),
            "SB_PORT_OFFSET": str(SECOND_OFFSET if name == "football2" else OFFSET),
            "SB_LOG_LEVEL": os.environ.get("SB_BENCH_LEVEL", "warn"),
        }

    def start(self, *names: str) -> None:
        """Start services, and return when all are ready."""
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *COMMANDS[name]],
                    cwd=ROOT,
                    env=self.environment(name),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        until = time.monotonic() + READY_S
        while not all(self._ready(name) for name in names):
            if time.monotonic() > until or any(self.processes[name].poll() is not None for name in names):
                raise RuntimeError("\n".join((self.folder / f"{name}.log").read_text()[-2000:] for name in names))
            time.sleep(0.02)

    def stop(self, *names: str) -> None:
        """Stop services in order."""
        for name in names:
            process = self.processes.pop(name)
            process.send_signal(signal.SIGTERM)
            if process.wait(STOP_S) != 0:
                raise RuntimeError(f"{name} ended with {process.returncode}")

    def get(self, name: str, path: str) -> Any:
        """GET and decode JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name]}{path}", timeout=30) as answer:
            return msgspec.json.decode(answer.read())

    def worked(self, name: str) -> bool:
        """Say whether a processor has had records to work on."""
        url = f"http://127.0.0.1:{PORTS[name]}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            counts = re.findall(rb"batch_records_count (\S+)", answer.read())
        return sum(map(float, counts)) > 0

    def _ready(self, name: str) -> bool:
        try:
            self.get(name, "/ready")
        except OSError:
            return False
        return True

    def pids(self) -> dict[str, int]:
        """Return the process ids of services and engines."""
        found = {name: process.pid for name, process in self.processes.items()}
        for name in ENGINES:
            running = self.stack.running(name)
            if running is not None:
                found[name] = running.pid
        return found

    def costs(self) -> dict[str, Cost]:
        """Return what every process has used so far, over its life."""
        return {name: cost(pid) for name, pid in self.pids().items()}

    def drop(self) -> None:
        """End what still runs, and remove what this run left in the engines."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.stack.mysql_tool("", "-e", f"DROP DATABASE {self.database}")
        self.stack.kafka_tool("kafka-topics.sh", "--delete", "--topic", rf"{self.name}\..*")


def cost(pid: int) -> Cost:
    """Look at one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return Cost((int(fields[11]) + int(fields[12])) / _TICKS, peak_kb / 1024)


def spent(before: dict[str, Cost], after: dict[str, Cost]) -> dict[str, Cost]:
    """Return what was used in between."""
    return {name: Cost(now.cpu_s - before[name].cpu_s, now.peak_mb) for name, now in after.items() if name in before}


@contextmanager
def engines() -> Iterator[Stack]:
    """Start the engines in a folder of their own, or use those that SB_BENCH_STACK names; raises StackError."""
    given = os.environ.get("SB_BENCH_STACK")
    if given:
        yield stack.up(given)
        return
    folder = Path(tempfile.mkdtemp(prefix="sb-bench-stack-"))
    try:
        yield stack.up(folder)
    finally:
        stack.down(folder, purge=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh(running: Stack) -> Iterator[Parts]:
    """Make what one run needs, and drop it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sb-bench-"))
    parts = Parts(running, folder)
    try:
        parts.make()
        yield parts
    finally:
        parts.drop()
        shutil.rmtree(folder, ignore_errors=True)
