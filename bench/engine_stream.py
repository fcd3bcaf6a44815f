"""From POST to WebSocket frame on real engines: single updates at a steady rate, and a storm of settlements.

The rule: what is sent is planned beforehand (open loop), and what was never shown is an error and no sample.
"""

import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from msgspec import Struct
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench.engine_parts import PORTS, Cost, Parts, fresh, spent
from bench.latency import quantile
from sb_local.stack import Stack

SERVICES: Final = ("ingest", "football", "distribute")
EVENTS: Final = 500
LANES: Final = 4
"""Connections, so that a slow answer delays no other POST."""
TOGETHER: Final = 20
"""Updates of one POST."""
WARM_UP_S: Final = 5.0
STORM_EVENTS: Final = 1_000
STORM_MARKETS: Final = 100
STORM_POSTS: Final = 50
SYNCED_S: Final = 20.0
SHOWN_S: Final = 120.0
STAGES: Final = ("load", "plan", "commit", "cache", "append")


class Latency(Struct, frozen=True):
    """One run; times in ms. `stages` are the mean times of ingest's append and of a batch's stages in the processor."""

    p50_ms: float
    p99_ms: float
    late_ms: float
    stages: dict[str, float]
    costs: dict[str, Cost]
    messages: int


class Storm(Struct, frozen=True):
    """One run: from the first POST to the frame that shows the last of the settlements."""

    markets: int
    seconds: float
    costs: dict[str, Cost]


class Watcher:
    """A WebSocket client of everything, in a thread of its own; `note` gets every item with the time it came."""

    def __init__(self, note: Callable[[Any, float], None]) -> None:
        self._note = note
        self._done = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def alive(self) -> bool:
        """Say whether the connection stands."""
        return self._thread.is_alive()

    def _run(self) -> None:
        with suppress(WebSocketException, OSError, EOFError):
            self._watch()

    def _watch(self) -> None:
        with connect(f"ws://127.0.0.1:{PORTS['stream']}/v1/stream", max_size=None, compression=None) as socket:
            socket.send(json.dumps({"op": "subscribe", "sub": "s"}))
            while not self._done.is_set():
                try:
                    frame = socket.recv(timeout=0.2, decode=False)
                except TimeoutError:
                    continue
                now = time.perf_counter()
                message = msgspec.json.decode(frame)
                if message["op"] == "synced":
                    self._ready.set()
                if message["op"] == "snapshot":  # also in place of more changes than may wait for one client
                    event = message["event"]
                    self._note({"event": event["event"], "changes": {"markets": event["markets"], "statuses": ()}}, now)
                for item in message.get("items", ()):
                    self._note(item, now)

    def start(self) -> None:
        """Connect, and return once subscribed."""
        self._thread.start()
        until = time.monotonic() + SYNCED_S
        while not self._ready.wait(0.02):
            if time.monotonic() > until or not self.alive:
                raise RuntimeError("the stream never synced")

    def stop(self) -> None:
        """Hang up."""
        self._done.set()
        self._thread.join()


@contextmanager
def watching(note: Callable[[Any, float], None]) -> Iterator[None]:
    """Watch all items for a while."""
    watcher = Watcher(note)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


class Poster:
    """Posts NDJSON bodies on one connection, each again while ingest says that it is busy."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", PORTS["ingest"], timeout=60)

    def post(self, messages: list[dict[str, object]]) -> None:
        """Send messages in one request, and wait for its answer."""
        body = b"\n".join(map(msgspec.json.encode, messages))
        while True:
            self._connection.request("POST", "/v1/feeds/canonical", body, {"content-type": "application/x-ndjson"})
            answer = self._connection.getresponse()
            said = answer.read()
            if answer.status == 202:
                break
            if answer.status not in {429, 503}:
                raise RuntimeError(f"ingest answered {answer.status}: {said!r}")
            time.sleep(0.02)


def update(number: int) -> dict[str, object]:
    """Make an update whose market says its number."""
    price = f"{1.5 + number % 700 / 100:.2f}"
    outcomes = [{"id": name, "odds": price} for name in ("home", "draw", "away")]
    return {
        "type": "odds",
        "id": f"l{number}",
        "ts": int(time.time() * 1000),
        "event": f"lat:{number % EVENTS}",
        "sport": "football",
        "markets": [{"market": "1x2", "status": "active", "outcomes": outcomes, "info": {"n": number}}],
    }


def means() -> dict[str, tuple[float, float]]:
    """Return (sum in seconds, count) of the stages' histograms."""
    found = {}
    for name, metric, labels in (("ingest", "append_seconds", ("",)), ("football", "stage_seconds", STAGES)):
        with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name]}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        for label in labels:
            given = rf'{{stage="{label}"}}' if label else ""
            total, count = (re.search(rf"{metric}_{what}{given} (\S+)", text) for what in ("sum", "count"))
            if total and count:
                found[f"processor's {label}" if label else "ingest's append"] = (float(total[1]), float(count[1]))
    return found


class Load:
    """Updates posted TOGETHER at a steady rate over LANES connections; times are of `time.perf_counter`."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self.begun = time.perf_counter()
        self.late_ms: list[float] = []
        self._posters = [Poster() for _ in range(LANES)]
        self._pool = ThreadPoolExecutor(LANES)
        self._posts: list[Future[None]] = []

    def planned(self, number: int) -> float:
        """Return when an update was to be sent: a load that is late doesn't make the pipeline look better."""
        return self.begun + number // TOGETHER * TOGETHER / self.per_s

    def send(self, numbers: range) -> None:
        """Send these updates, each when it is its time."""
        for first in range(numbers.start, numbers.stop, TOGETHER):
            time.sleep(max(0.0, self.planned(first) - time.perf_counter()))
            self._posts.append(self._pool.submit(self._post, first))

    def finish(self) -> None:
        """Wait for all answers."""
        for done in self._posts:
            done.result()
        self._pool.shutdown()

    def _post(self, first: int) -> None:
        poster = self._posters.pop()
        self.late_ms.append((time.perf_counter() - self.planned(first)) * 1000)
        poster.post([update(number) for number in range(first, first + TOGETHER)])
        self._posters.append(poster)


def measure_latency(running: Stack, per_s: int, seconds: float) -> Latency:
    """Measure each update from its POST to its frame."""
    seen: dict[int, float] = {}

    def note(item: Any, now: float) -> None:
        for market in item["changes"]["markets"]:
            seen.setdefault(market["info"]["n"], now)

    warm, count = int(WARM_UP_S * per_s), int((seconds + WARM_UP_S) * per_s)
    with fresh(running) as parts:
        parts.start(*SERVICES)
        with watching(note):
            load = Load(per_s)
            load.send(range(warm))
            costs, stages = parts.costs(), means()
            load.late_ms.clear()
            load.send(range(warm, count))
            load.finish()
            used, after = spent(costs, parts.costs()), means()
            until = time.monotonic() + 10
            while len(seen) < count and time.monotonic() < until:
                time.sleep(0.05)
    for number in reversed(range(count - EVENTS)):  # an update that was merged is shown by the next one of its event
        if number not in seen and number + EVENTS in seen:
            seen[number] = seen[number + EVENTS]
    shown = [(seen[number] - load.planned(number)) * 1000 for number in range(warm, count) if number in seen]
    if len(shown) < count - warm:
        raise RuntimeError(f"{count - warm - len(shown)} of {count - warm} updates were never shown")
    spans = {
        name: (total - stages[name][0]) / max(1, number - stages[name][1]) * 1000
        for name, (total, number) in after.items()
    }
    return Latency(quantile(shown, 0.5), quantile(shown, 0.99), quantile(load.late_ms, 0.99), spans, used, count - warm)


def measure_storm(running: Stack) -> Storm:
    """Settle STORM_MARKETS of each of STORM_EVENTS at once."""
    settled: set[tuple[str, str]] = set()
    last = [0.0]

    def note(item: Any, now: float) -> None:
        before = len(settled)
        for market in (*item["changes"]["markets"], *item["changes"]["statuses"]):
            if market["status"] == "settled":
                settled.add((item["event"], market["line"]))
        if len(settled) > before:
            last[0] = now

    names = [f"storm:{number}" for number in range(STORM_EVENTS)]
    lines = [f"total={number}.5" for number in range(STORM_MARKETS)]
    with fresh(running) as parts:
        parts.start(*SERVICES)
        poster = Poster()
        for first in range(0, STORM_EVENTS, STORM_POSTS):
            poster.post([_priced(name, lines) for name in names[first : first + STORM_POSTS]])
        _through(parts, STORM_EVENTS)
        with watching(note):
            costs, begun = parts.costs(), time.perf_counter()
            for first in range(0, STORM_EVENTS, STORM_POSTS):
                poster.post([_settled(name, lines) for name in names[first : first + STORM_POSTS]])
            until = time.monotonic() + SHOWN_S
            while len(settled) < STORM_EVENTS * STORM_MARKETS:
                if time.monotonic() > until:
                    raise RuntimeError(f"only {len(settled)} settlements were shown")
                time.sleep(0.02)
            return Storm(len(settled), last[0] - begun, spent(costs, parts.costs()))


def _through(parts: Parts, messages: int) -> None:
    until = time.monotonic() + SHOWN_S
    while parts.get("football", "/v1/account")["applied"] < messages:
        if time.monotonic() > until:
            raise RuntimeError("the storm's markets were never made")
        time.sleep(0.1)
    time.sleep(1)


def _priced(event: str, lines: list[str]) -> dict[str, object]:
    outcomes = [{"id": "over", "odds": "1.90"}, {"id": "under", "odds": "1.95"}]
    markets = [{"market": "total", "line": line, "status": "active", "outcomes": outcomes} for line in lines]
    return {"type": "odds", "ts": int(time.time() * 1000), "event": event, "sport": "football", "markets": markets}


def _settled(event: str, lines: list[str]) -> dict[str, object]:
    outcomes = [{"id": "over", "result": "won"}, {"id": "under", "result": "lost"}]
    markets = [{"market": "total", "line": line, "outcomes": outcomes} for line in lines]
    head = {"type": "settlement", "certainty": "confirmed", "ts": int(time.time() * 1000), "sport": "football"}
    return {**head, "event": event, "markets": markets}
