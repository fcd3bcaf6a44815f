"""From a clean clone to the first odds over WebSocket: the first time with downloads, the second time without."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from msgspec import Struct
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bench.target import ROOT

OFFSET = 19_000
DEADLINE_S = 300


class Startup(Struct, frozen=True):
    """Seconds from `make up` to the first open market over WebSocket."""

    first_s: float
    second_s: float


def _first_odds(clone: Path, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    process = subprocess.Popen(
        ["make", "-s", "up"],
        cwd=clone,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.perf_counter() - begun < DEADLINE_S:
            try:
                with connect(f"ws://127.0.0.1:{4003 + OFFSET}/v1/stream", max_size=None) as socket:
                    socket.send(json.dumps({"op": "subscribe", "sub": "s"}))
                    while True:
                        if b'"open":true' in socket.recv(timeout=30, decode=False):
                            return time.perf_counter() - begun
            except (OSError, EOFError, InvalidStatus):  # not up yet, or up and not ready
                time.sleep(0.02)
        raise RuntimeError("no odds")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def measure() -> Startup:
    """Clone this repository's HEAD into an empty folder and run its `make up` twice."""
    folder = Path(tempfile.mkdtemp(prefix="sb-clone-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    environment["SB_PORT_OFFSET"] = str(OFFSET)
    environment.pop("VIRTUAL_ENV", None)
    try:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
        first = _first_odds(folder / "clone", environment)
        second = _first_odds(folder / "clone", environment)
        return Startup(first, second)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
