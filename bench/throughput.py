"""How many canonical odds messages a second the embedded pipeline takes from HTTP to the updates topic.

The load is made beforehand and posted in NDJSON batches of 500 over two connections by this process, whose own processor time is reported:
where it nears the wall time, the load was the bottleneck and the figure is worth nothing.
"""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from bench.feed import BATCH, bodies
from bench.target import Target, running

WARM_UP = 10_000
LANES = 2


class Throughput(Struct, frozen=True):
    """One run."""

    messages: int
    per_s: float
    cpu_s_per_million: float
    peak_mb: float
    load_share: float
    memory_mb: list[float]


def post(target: Target, lanes: list[list[bytes]]) -> None:
    """Post each lane's bodies one after the other on a connection of its own, all lanes at once."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(_post_lane, target, made) for made in lanes]:
            done.result()


def _post_lane(target: Target, made: list[bytes]) -> None:
    """Post bodies in order, each again while the pipeline says that it is busy."""
    connection = http.client.HTTPConnection("127.0.0.1", 4000 + target.offset, timeout=60)
    for body in made:
        while True:
            connection.request("POST", "/v1/feeds/canonical", body, {"content-type": "application/x-ndjson"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 202:
                break
            if answer.status not in {429, 503}:
                raise RuntimeError(f"ingest answered {answer.status}")
            time.sleep(0.05)
    connection.close()


def wait(target: Target, published: int) -> None:
    """Wait until so many updates stand on the updates topics."""
    while target.published() < published:
        time.sleep(0.02)


def measure(messages: int) -> Throughput:
    """Run once on a fresh pipeline."""
    made = bodies(WARM_UP + messages, LANES)
    warm = WARM_UP // BATCH // LANES
    with running() as target:
        post(target, [lane[:warm] for lane in made])
        wait(target, warm * BATCH * LANES)
        memory = []
        begun, cpu_s, own_s = time.perf_counter(), target.cpu_s(), time.process_time()
        step = max(1, (len(made[0]) - warm) // 10)
        for start in range(warm, len(made[0]), step):
            post(target, [lane[start : start + step] for lane in made])
            memory.append(round(target.memory_mb(), 1))
        wait(target, WARM_UP + messages)
        seconds = time.perf_counter() - begun
        return Throughput(
            messages=messages,
            per_s=messages / seconds,
            cpu_s_per_million=(target.cpu_s() - cpu_s) * 1e6 / messages,
            peak_mb=target.memory_mb("VmHWM"),
            load_share=(time.process_time() - own_s) / seconds,
            memory_mb=memory,
        )
