"""Fan-out: one node, clients in another process that check themselves, updates at a steady rate from this one."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

import msgspec
from msgspec import Struct

from bench.fanout_clients import STORM, End, Result, Task
from bench.peer_builds import PeerError, built
from bench.target import ROOT, Target

EVENTS: Final = 500
WARM_UP_S: Final = 3.0
START_S: Final = 30.0
ODDS: Final = ("1.85", "2.10", "3.40", "7.50")


class FanOut(Struct, frozen=True):
    """One run: the node's share of a core, and what the clients saw. `late_ms` is how late updates were sent (p99)."""

    cpu: float
    memory_mb: float
    late_ms: float
    per_s: float
    loads: int
    seen: Result


class Writer:
    """Makes updates of events as the processor would, and sends them to a node."""

    def __init__(self, port: int, events: int = EVENTS, seed: int = 1, pad: int = 0) -> None:
        self.events = [f"bench:match:{number}" for number in range(events)]
        self.revs = dict.fromkeys(self.events, 0)
        self.shut: dict[str, bool] = {}
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._chance = random.Random(seed)
        self._at = 0
        self._pad = {"name": "x" * pad} if pad else {}

    def update(self, event: str, *, stop: bool = False) -> bytes:
        """Make an event's next update, of which clients are sent about 250 bytes."""
        rev = self.revs[event] = self.revs[event] + 1
        self.shut[f"{event} {rev}"] = stop
        self._at += 1
        now_ms = time.time_ns() // 1_000_000
        outcomes = [{"id": "home", "odds": self._chance.choice(ODDS)}]
        market = {**self._pad, "market": "1x2", "status": "suspended" if stop else "active", "open": not stop}
        update = {
            "event": event, "sport": "football", "lineage": 1, "prev": rev - 1, "rev": rev, "ts": now_ms,
            "updated": now_ms, "changes": {"markets": [{**market, "info": {"at": time.monotonic_ns()}, "outcomes": outcomes}]},
            "cause_type": "bet_stop" if stop else "odds", "at": self._at, "received": now_ms,
        }  # fmt: skip
        return event.encode() + b"\t" + msgspec.json.encode(update) + b"\n"

    def begin(self) -> None:
        """Let every event be."""
        self._socket.sendall(b"".join([self.update(event) for event in self.events]))

    def play(self, per_s: float, seconds: float, stops: float = 0.0) -> list[float]:
        """Send updates at a steady rate, of random events; return how late each was (ms)."""
        late, begun = [], time.perf_counter()
        for number in range(int(per_s * seconds)):
            planned = begun + number / per_s
            wait_s = planned - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            late.append(max(0.0, time.perf_counter() - planned) * 1000)
            event = self._chance.choice(self.events)
            self._socket.sendall(self.update(event, stop=self._chance.random() < stops))
        return late

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@contextmanager
def node(offset: int = 18_000, **settings: object) -> Iterator[Target]:
    """Run a node alone in a process; stop it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    environment |= {"SB_PORT_OFFSET": str(offset), "SB_LOG_LEVEL": "warn", "SB_PIPELINE": ""}
    environment |= {"SB_LOG_URL": "memory:", "SB_STORE_URL": "memory:", "SB_STREAM_CLIENT_CONNECTIONS_MAX": "100000"}
    environment |= {f"SB_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-m", "bench.fanout_node"], cwd=ROOT, env=environment)
    try:
        target = Target(process, offset)
        _wait_ready(target)
        yield target
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def centrifuge(offset: int = 18_000) -> Iterator[Target]:
    """Run the peer alone in a process; end it afterwards. Raises PeerError."""
    ports = {"FEED_PORT": str(4000 + offset), "WS_PORT": str(4003 + offset)}
    process = subprocess.Popen([built("centrifuge", "go.mod", "main.go")], env=os.environ | ports)
    try:
        until = time.monotonic() + START_S
        while socket.socket().connect_ex(("127.0.0.1", 4003 + offset)):
            if process.poll() is not None or time.monotonic() > until:
                raise PeerError("the peer did not start")
            time.sleep(0.05)
        yield Target(process, offset)
    finally:
        process.kill()
        process.wait()


def _wait_ready(target: Target) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if target.process.poll() is not None:
            raise RuntimeError(f"the node ended with {target.process.returncode}")
        try:
            target.get(4002, "/ready")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the node did not become ready")


class Clients:
    """Clients that stand."""

    def __init__(self, tell: IO[bytes], hear: IO[bytes]) -> None:
        self._tell = tell
        self._hear = hear

    def storm(self) -> None:
        """Let all drop their connections now and come back."""
        self._tell.write(STORM)
        self._tell.flush()

    def __call__(self, end: End) -> Result:
        """Say what must have come; return what did."""
        self._tell.write(msgspec.json.encode(end) + b"\n")
        self._tell.flush()
        return msgspec.json.decode(self._hear.readline(), type=Result)


@contextmanager
def crowd(task: Task, module: str = "bench.fanout_clients") -> Iterator[Clients]:
    """Run clients in a process of their own; they all stand once this is entered."""
    process = subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    tell, hear = process.stdin, process.stdout
    assert tell is not None
    assert hear is not None

    try:
        tell.write(msgspec.json.encode(task) + b"\n")
        tell.flush()
        if hear.readline() != b"ready\n":
            raise RuntimeError("the clients ended")
        yield Clients(tell, hear)
    finally:
        process.kill()
        process.communicate()


def _loads(target: Target) -> int:
    """Count whole events that the node has read from cache or store."""
    try:
        with urllib.request.urlopen(target.url(4002) + "/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0  # a peer, which has no such port
    return sum(int(float(line.split()[1])) for line in lines if "event_loads_total{" in line)


def measure(  # noqa: PLR0913  a measurement's knobs
    each: int, *, clients: int = 1_000, conflate_ms: int = 0, per_s: float = 2_000, seconds: float = 10.0, stops: float = 0.0,
    slow: int = 0, dead: int = 0, pad: int = 0, storm: bool = False, **settings: object,
) -> FanOut:  # fmt: skip
    """Run once on a fresh node: `clients` follow `each` of 500 events, of which `per_s` updates come."""
    with node(stream_connections_max=clients + 10, **settings) as target:
        writer = Writer(4000 + target.offset, pad=pad)
        writer.begin()
        time.sleep(0.5)
        task = Task(
            port=4003 + target.offset, clients=clients, each=each, events=writer.events,
            conflate_ms=conflate_ms, slow=slow, dead=dead,
        )  # fmt: skip
        with crowd(task) as finish:
            return _play(target, writer, finish, per_s, seconds, stops, storm=storm)


def measure_peer(each: int, *, clients: int = 1_000, per_s: float = 2_000, seconds: float = 10.0) -> FanOut:
    """Do the same on the peer of bench/peers/centrifuge. Raises PeerError where it can't be built."""
    with centrifuge() as target:
        writer = Writer(4000 + target.offset)
        time.sleep(0.5)
        task = Task(port=4003 + target.offset, clients=clients, each=each, events=writer.events)
        with crowd(task, "bench.fanout_peer_clients") as finish:
            return _play(target, writer, finish, per_s, seconds, 0.0)


def _play(
    target: Target, writer: Writer, finish: Clients, per_s: float, seconds: float, stops: float, *, storm: bool = False
) -> FanOut:
    """Send updates for `seconds` after a warm-up; tell what that cost, and what the clients saw."""
    writer.play(per_s, WARM_UP_S, stops)
    begun_s, cpu_s, from_ns = time.perf_counter(), target.cpu_s(), time.monotonic_ns()
    if storm:
        finish.storm()
    late = sorted(writer.play(per_s, seconds, stops))
    took_s = time.perf_counter() - begun_s
    cpu = (target.cpu_s() - cpu_s) / took_s
    seen = finish(End(revs=writer.revs, shut=writer.shut, from_ns=from_ns, to_ns=time.monotonic_ns()))
    writer.close()
    return FanOut(
        cpu=cpu,
        memory_mb=target.memory_mb("VmHWM"),
        late_ms=late[int(len(late) * 0.99)],
        per_s=seen.deliveries / took_s,
        loads=_loads(target),
        seen=seen,
    )
