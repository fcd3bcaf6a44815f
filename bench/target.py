"""The pipeline under measurement: `sb local` as a process of its own, with what the operating system says of it."""

import json
import os
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
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROCESSORS = (4101, 4102, 4103, 4104)
START_S = 60
_TICKS = os.sysconf("SC_CLK_TCK")


class Target:
    """A running pipeline on ports of its own."""

    def __init__(self, process: subprocess.Popen[bytes], offset: int) -> None:
        self.process = process
        self.offset = offset

    def url(self, port: int, scheme: str = "http") -> str:
        """Return the base of one of the services."""
        return f"{scheme}://127.0.0.1:{port + self.offset}"

    def get(self, port: int, path: str) -> Any:
        """GET and decode JSON."""
        with urllib.request.urlopen(self.url(port) + path, timeout=30) as answer:
            return json.load(answer)

    def published(self) -> int:
        """Count the updates that stand on the updates topics, over all sports."""
        return sum(self.get(port, "/v1/account")["updates_published"] for port in PROCESSORS)

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Return resident memory (VmRSS) or its peak (VmHWM) in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise KeyError(field)


@contextmanager
def running(*arguments: str, offset: int = 17_000, **settings: object) -> Iterator[Target]:
    """Run `sb local` on an empty data folder; stop it and remove the folder at the end."""
    folder = tempfile.mkdtemp(prefix="sb-bench-")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    environment |= {"SB_DATA": folder, "SB_PORT_OFFSET": str(offset), "SB_LOG_LEVEL": "warn"}
    environment |= {f"SB_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "sb_local", "--quiet", *(arguments or ("--feed", "none"))],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        target = Target(process, offset)
        _wait_ready(target)
        yield target
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(target: Target) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if target.process.poll() is not None:
            raise RuntimeError(f"the pipeline ended with {target.process.returncode}")
        try:
            for port in (4000, 4002, 4003, *PROCESSORS):
                target.get(port, "/ready")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the pipeline did not become ready")
