"""From the POST of a single update to the WebSocket frame that shows it, at a steady rate, open loop."""

import http.client
import json
import threading
import time

from msgspec import Struct
from websockets.sync.client import connect

from bench.target import running

WARM_UP_S = 2.0


class Latency(Struct, frozen=True):
    """One run; times in ms. `late_ms` is how late the load itself was sent (p99)."""

    per_s: int
    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_ms: float


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _body(number: int) -> bytes:
    price = f"{1.5 + number % 700 / 100:.2f}"
    outcomes = [{"id": name, "odds": price} for name in ("home", "draw", "away")]
    message = {
        "type": "odds",
        "id": f"l{number}",
        "ts": int(time.time() * 1000),
        "event": f"lat:{number % 20}",
        "sport": "football",
        "seq": number,
        "markets": [{"market": "1x2", "status": "active", "outcomes": outcomes, "info": {"n": number}}],
    }
    return json.dumps(message).encode()


def measure(per_s: int, seconds: float) -> Latency:
    """Run once on a fresh pipeline."""
    sent: dict[int, float] = {}
    seen: dict[int, float] = {}
    late: list[float] = []
    done = threading.Event()
    with running() as target:

        def follow() -> None:
            with connect(f"{target.url(4003, 'ws')}/v1/stream", max_size=None) as socket:
                socket.send(json.dumps({"op": "subscribe", "sub": "s"}))
                ready.set()
                while not done.is_set():
                    try:
                        frame = socket.recv(timeout=0.2)
                    except TimeoutError:
                        continue
                    now = time.perf_counter()
                    message = json.loads(frame)
                    for item in message.get("items", ()):
                        for market in item["changes"]["markets"]:
                            seen.setdefault(market["info"]["n"], now)

        ready = threading.Event()
        follower = threading.Thread(target=follow)
        follower.start()
        ready.wait(10)
        time.sleep(0.5)
        connection = http.client.HTTPConnection("127.0.0.1", 4000 + target.offset, timeout=30)
        begun = time.perf_counter()
        for number in range(int((seconds + WARM_UP_S) * per_s)):
            planned = begun + number / per_s
            time.sleep(max(0.0, planned - time.perf_counter()))
            sent[number] = time.perf_counter()
            late.append((sent[number] - planned) * 1000)
            connection.request("POST", "/v1/feeds/canonical", _body(number), {"content-type": "application/json"})
            connection.getresponse().read()
        time.sleep(1)
        done.set()
        follower.join()
    counted = [number for number in sent if number >= WARM_UP_S * per_s]
    missing = [number for number in counted if number not in seen]
    if missing:
        raise RuntimeError(f"{len(missing)} updates were never shown")
    times = [(seen[number] - sent[number]) * 1000 for number in counted]
    return Latency(
        per_s=per_s,
        samples=len(times),
        p50_ms=quantile(times, 0.5),
        p99_ms=quantile(times, 0.99),
        max_ms=max(times),
        late_ms=quantile(late, 0.99),
    )
