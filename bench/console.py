"""The console under load, in a real terminal of its own: paints, keys, processor, memory, start and end; seeks; partitions.

The load is a stand-in stream in another process, so that what is measured is the console alone.
"""

import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from bench.latency import quantile
from bench.target import ROOT
from sb_console.model import Snapshot
from sb_console.observations import Observation, Place, PlacesSeen, StreamSeen, Tick
from sb_console.record import FileSink, Recorder, Recording
from sb_console.reduce import first, reduce
from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.ports import LogAdmin
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec

PORT = 17_900
OFFSET = 13_700
"""Where none of the other services is: the console is alone with the stream."""
WARM_UP_S = 5.0
RECORD_S_MAX = 60.0
CHUNK_BYTES_MIN = 100
KEY_EVERY_S = 0.25
HOUR_MS = 3_600_000
_TICKS = os.sysconf("SC_CLK_TCK")


class Load(Struct, frozen=True):
    """One run: `core` is the share of a processor, times in ms or s as their names say."""

    seconds: float
    paints_per_s: float
    key_ms_p50: float
    key_ms_p99: float
    core: float
    memory_mb: tuple[float, ...]
    updates_per_s: float
    first_paint_s: float
    exit_s: float
    code: int


class Terminal:
    """A console on a pseudo-terminal."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.begun = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # the child
            os.environ.update(environ, TERM="xterm-256color", PYTHONPATH=str(ROOT))
            os.execv(sys.executable, [sys.executable, "-m", "sb_console", *arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))

    def read(self, wait_s: float) -> bytes:
        """Return what the console wrote, waiting up to `wait_s` for the first of it."""
        ready, _, _ = select.select([self.fd], [], [], wait_s)
        try:
            return os.read(self.fd, 1 << 20) if ready else b""
        except OSError:
            return b""

    def until(self, words: bytes, wait_s: float) -> float:
        """Read until words were written; return the time it took."""
        begun, seen = time.monotonic(), b""
        while words not in seen:
            if time.monotonic() - begun > wait_s:
                raise RuntimeError(f"{words!r} did not appear")
            seen = seen[-2_000:] + self.read(0.05)
        return time.monotonic() - begun

    def cpu_s(self) -> float:
        """Return the processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mb(self) -> float:
        """Return resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def end(self) -> tuple[float, int]:
        """Press q; return how long the process took to be gone, and its exit code."""
        begun = time.monotonic()
        os.write(self.fd, b"q")
        while time.monotonic() - begun < 20:
            self.read(0.01)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                os.close(self.fd)
                return time.monotonic() - begun, os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise RuntimeError("the console did not end")


@contextmanager
def streaming(per_s: int) -> Iterator[None]:
    """Run the stand-in stream."""
    command = [sys.executable, "-m", "bench.console_stream", str(PORT), str(per_s)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the stand-in stream did not start")
        yield
    finally:
        process.kill()
        process.wait()


def measure(per_s: int, seconds: float) -> Load:
    """Watch a console for some seconds while `per_s` updates a second come."""
    with tempfile.TemporaryDirectory() as folder, streaming(per_s):
        told = {"SB_STREAM_URL": f"ws://127.0.0.1:{PORT}", "SB_DATA": f"{folder}/absent", "SB_PORT_OFFSET": str(OFFSET)}
        terminal = Terminal(**told)
        terminal.until(b"Pulse", 30)
        first_paint_s = time.monotonic() - terminal.begun
        os.write(terminal.fd, b"4")
        terminal.until(b"updates of", 60)
        _idle(terminal, WARM_UP_S)
        keys, paints, memory = _watch(terminal, seconds)
        updates = _updates(terminal)
        exit_s, code = terminal.end()
    cpu, spent_s, bursts = paints
    return Load(
        seconds=seconds,
        paints_per_s=bursts / spent_s,
        key_ms_p50=quantile(keys, 0.5),
        key_ms_p99=quantile(keys, 0.99),
        core=cpu / spent_s,
        memory_mb=tuple(memory),
        updates_per_s=updates,
        first_paint_s=first_paint_s,
        exit_s=exit_s,
        code=code,
    )


def _idle(terminal: Terminal, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        terminal.read(0.05)


def _watch(terminal: Terminal, seconds: float) -> tuple[list[float], tuple[float, float, int], list[float]]:
    """Half of the time look (paints by the gaps between them), half of it press keys (screens, which repaint the tabs)."""
    cpu_s, begun = terminal.cpu_s(), time.monotonic()
    keys: list[float] = []
    memory = [terminal.memory_mb()]
    bursts, looked_s = 0, 0.0
    while time.monotonic() - begun < seconds:
        look_until, last, started = time.monotonic() + 2.0, 0.0, time.monotonic()
        while time.monotonic() < look_until:
            if terminal.read(0.02):
                now = time.monotonic()
                bursts += now - last > 0.03
                last = now
        looked_s += time.monotonic() - started
        for key, words in ((b"3", b"3 Lag"), (b"4", b"4 Stream"), (b"8", b"8 Timeline"), (b"4", b"4 Stream")):
            terminal.read(0)
            os.write(terminal.fd, key)
            keys.append(terminal.until(words, 10) * 1000)
            _idle(terminal, KEY_EVERY_S)
        if time.monotonic() - begun > len(memory) * seconds / 6:
            memory.append(terminal.memory_mb())
    spent_s = time.monotonic() - begun
    return keys, ((terminal.cpu_s() - cpu_s), spent_s, round(bursts * spent_s / looked_s)), memory


def _updates(terminal: Terminal) -> float:
    """Have the console record itself, and return the updates a second that it counted."""
    path = Path(tempfile.mkdtemp()) / "bench.sbrec"
    os.write(terminal.fd, f":record {path}\r".encode())
    terminal.until(b"recording to", 60)
    until = time.monotonic() + RECORD_S_MAX
    while path.stat().st_size < CHUNK_BYTES_MIN and time.monotonic() < until:
        _idle(terminal, 0.5)
    seen = [each for each in Recording.read(path).observations() if isinstance(each, StreamSeen)]
    path.unlink()
    path.parent.rmdir()
    return (seen[-1].updates - seen[0].updates) / ((seen[-1].at - seen[0].at) / 1000)


def seek_ms(seeks: int) -> list[float]:
    """Seek in a recording of an hour of a pipeline with 48 partitions; return the time of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.sbrec"
        sink = FileSink(path)
        recorder, snapshot = Recorder(sink), first("local")
        for observation in _hour():
            recorder.note(snapshot, observation)
            snapshot = reduce(snapshot, observation)
        recorder.flush()
        sink.close()
        recording = Recording.read(path)
        chance, times = random.Random(1), []
        for _ in range(seeks):
            at = chance.randrange(0, HOUR_MS)
            begun = time.perf_counter()
            if not isinstance(recording.seek(at), Snapshot):
                raise TypeError("no snapshot")
            times.append((time.perf_counter() - begun) * 1000)
        return times


def _hour() -> Iterator[Observation]:
    """Return an hour of what was observed of a running pipeline, over and over."""
    import zstandard  # noqa: PLC0415  only here

    packed = (ROOT / "tests" / "console" / "observed.ndjson.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().decompress(packed, max_output_size=2**28).split(b"\n")
    seen = [msgspec.json.decode(line, type=Observation) for line in lines]
    begun, span = seen[0].at, seen[-1].at - seen[0].at + 1
    for turn in range(HOUR_MS // span + 1):
        for each in seen:
            yield msgspec.structs.replace(each, at=each.at - begun + turn * span)


def lag_ms(partitions: int, rounds: int, kafka_url: str = "") -> list[float]:
    """Look at this many partitions of Kafka, or the embedded log, and judge them; return the time of each look."""

    async def run() -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            clock = SystemClock()
            opening: AbstractAsyncContextManager[LogAdmin] = (
                open_kafka_log(kafka_url, clock) if kafka_url else open_sqlite_log(f"{folder}/log.db", clock)
            )
            async with opening as log:
                names = [f"bench-{n}" for n in range(partitions // 50)]
                await log.create([TopicSpec(name, 50, None) for name in names])
                times, snapshot = [], first("local")
                for number in range(rounds):
                    begun = time.perf_counter()
                    starts, ends = await log.starts(names), await log.ends(names)
                    places = [Place("g", *at, 0, 0, starts[at], end, "o", 1, 1) for at, end in sorted(ends.items())]
                    snapshot = reduce(snapshot, PlacesSeen(number * 1_000, places, 2))
                    snapshot = reduce(snapshot, Tick(number * 1_000))
                    times.append((time.perf_counter() - begun) * 1000)
                return times

    return anyio.run(run, backend="trio")
