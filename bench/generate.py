"""How fast the world is simulated and written, in messages a second of one core; how late an open loop sends; what replay sends.

Simulation runs in virtual time, as fast as it can: POPULATION matches in play, prices at RATE messages a virtual second, of
which the first WARM_UP_MS count for nothing. Figures are per second of processor time, so that a busy machine doesn't count.
"""

import gc
import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from bench.latency import quantile
from bench.target import ROOT
from sb_core.runtime import SystemClock
from sb_core.telemetry import Telemetry
from sb_generator.control import Controls
from sb_generator.driver import GC_THRESHOLDS, Driver
from sb_generator.sender import HttpSender
from sb_generator.speech.languages import LANGUAGES
from sb_generator.world import World

ORIGIN_MS = 1_782_237_600_000
POPULATION = 100
RATE = 50_000.0
WARM_UP_MS = 3_000
STEP_MS = 100
OPEN_LOOP_PER_S = 2_000.0
OPEN_LOOP_WARM_UP_S = 30.0
"""A world of that rate has a thousand matches, and all of them after 20 s."""


class Generated(Struct, frozen=True):
    """One run of a language."""

    messages: int
    per_s: float
    bytes_each: float


def measure(language: str, virtual_ms: int) -> Generated:
    """Simulate and write for some virtual time."""
    world, speaker = World(1, ORIGIN_MS, RATE, live=POPULATION), LANGUAGES[language]()
    speaker.say(world.step(ORIGIN_MS + WARM_UP_MS))
    messages = written = 0
    begun = time.process_time()
    for end in range(WARM_UP_MS + STEP_MS, WARM_UP_MS + virtual_ms + 1, STEP_MS):
        said = world.step(ORIGIN_MS + end)
        written += sum(len(each.data) for each in speaker.say(said))
        messages += len(said)
    seconds = time.process_time() - begun
    return Generated(messages, messages / seconds, written / messages)


class _Sink(http.server.BaseHTTPRequestHandler):
    """An ingest that takes everything and does nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"accepted":1,"refused":[]}'
        self.send_response(202)
        self.send_header("content-length", str(len(body)))
        with suppress(ConnectionError):  # who is through doesn't wait for the last answer
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def sink() -> None:
    """Serve a sink on a port that is printed first."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pause()


@contextmanager
def _sink() -> Iterator[str]:
    """Run a sink in a process of its own; yield its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from bench.generate import sink; sink()"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(10)


class Replayed(Struct, frozen=True):
    """One run of `sb replay --speed max` into a sink that does nothing."""

    documents: int
    per_s: float
    per_cpu_s: float
    mb_per_s: float


def replayed(virtual_ms: int) -> Replayed:
    """Write a world to a file and replay that, as fast as can be."""
    world, speaker = World(1, ORIGIN_MS, RATE, live=POPULATION), LANGUAGES["canonical"]()
    with tempfile.TemporaryDirectory() as folder, _sink() as url:
        path = Path(folder) / "world.ndjson"
        path.write_bytes(speaker.body(speaker.say(world.step(ORIGIN_MS + virtual_ms))))
        command = [sys.executable, "-m", "sb_generator.replay_cli", str(path), "--to", url, "--json"]
        before = os.times()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        after = os.times()
        # without what a start takes
        started = subprocess.run([*command[:-3], "--help"], cwd=ROOT, capture_output=True, check=True)
        assert started.returncode == 0
        spent_s = _children_s(after, before) - _children_s(os.times(), after)
    report = msgspec.json.decode(done.stdout)
    documents, seconds = report["documents"], report["seconds"]
    return Replayed(documents, documents / seconds, documents / spent_s, report["bytes"] / seconds / 1e6)


def _children_s(after: os.times_result, before: os.times_result) -> float:
    """Return the processor time of children that ended between two looks."""
    return after.children_user + after.children_system - before.children_user - before.children_system


class Lateness(Struct, frozen=True):
    """From a message's planned time to its hand-over to the network, in ms."""

    messages: int
    per_s: float
    p50_ms: float
    p99_ms: float


def lateness(seconds: float) -> Lateness:
    """Drive a world in real time into a sink in a process of its own."""
    late: list[float] = []
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)  # as the service itself does
    try:
        with _sink() as url:
            anyio.run(_drive, url, seconds, late.extend, backend="trio")
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    return Lateness(len(late), len(late) / seconds, quantile(late, 0.5), quantile(late, 0.99))


async def _drive(url: str, seconds: float, note: Callable[[list[float]], None]) -> None:
    clock = SystemClock()
    driver = Driver(Controls(state="running", rate=OPEN_LOOP_PER_S), clock, Telemetry("bench", now_ms=clock.now_ms))
    async with HttpSender(url) as sender, anyio.create_task_group() as group:
        group.start_soon(driver.play)
        group.start_soon(driver.send, sender.post)
        await anyio.sleep(OPEN_LOOP_WARM_UP_S)
        driver.on_sent = note
        await anyio.sleep(seconds)
        group.cancel_scope.cancel()
