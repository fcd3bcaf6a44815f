"""What the pipeline does on real engines: ingest to the broker's acknowledgement, and the processing loop.

The topic is filled beforehand over HTTP, which is the measure of ingest; then processors work it off, which is the
measure of the loop: decode, fold, three upserts, a change-log entry, position and account in one transaction, cache, update
published. Warm-up is left out of both.
"""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import trio
from msgspec import Struct

from bench.engine_parts import PORTS, Cost, Parts, fresh, spent
from bench.feed import BATCH, bodies
from sb_core import topics
from sb_core.adapters.kafka_log import KafkaLog, open_kafka_log
from sb_core.runtime import SystemClock
from sb_local.stack import Stack

LANES: Final = 2
WARM_UP: Final = 40_000
POLL_S: Final = 0.02


class Work(Struct, frozen=True):
    """One stretch of work: messages a second, and what each process used."""

    messages: int
    seconds: float
    costs: dict[str, Cost]

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class Loop(Struct, frozen=True):
    """One run: filling the topic, and working it off."""

    ingest: Work
    process: Work


def fill(lanes: list[list[bytes]]) -> None:
    """Post each lane's bodies one after the other on a connection of its own, all lanes at once."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(_post_lane, made) for made in lanes]:
            done.result()


def _post_lane(made: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORTS["ingest"], timeout=60)
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


def ingest(parts: Parts, lanes: list[list[bytes]]) -> Work:
    """Fill the topic; the measure begins after the warm-up."""
    parts.start("ingest")
    warm = WARM_UP // BATCH // len(lanes)
    fill([lane[:warm] for lane in lanes])
    rest = [lane[warm:] for lane in lanes]
    before, begun = parts.costs(), time.perf_counter()
    fill(rest)
    seconds = time.perf_counter() - begun
    done = Work(sum(map(len, rest)) * BATCH, seconds, spent(before, parts.costs()))
    parts.stop("ingest")
    return done


def work_off(parts: Parts, total: int, processors: tuple[str, ...]) -> Work:
    """Start processors, and wait until every message's update stands on the updates topic."""
    return trio.run(_work_off, parts, total, processors)


async def _work_off(parts: Parts, total: int, processors: tuple[str, ...]) -> Work:
    async with open_kafka_log(parts.log_url, SystemClock()) as log:
        await trio.to_thread.run_sync(parts.start, *processors)
        while not all(parts.worked(name) for name in processors):  # noqa: ASYNC110  so that none waits for a rebalance
            await trio.sleep(POLL_S)
        began = await _published(log, WARM_UP)
        before, begun = parts.costs(), time.perf_counter()
        ended = await _published(log, total)
        seconds = time.perf_counter() - begun
        return Work(ended - began, seconds, spent(before, parts.costs()))


async def _published(log: KafkaLog, count: int) -> int:
    """Wait until so many updates are there; return how many are. Ticks count too: one a second and partition at most."""
    topic = topics.updates("football")
    while (now := sum((await log.ends([topic])).values())) < count:  # noqa: ASYNC110  a broker's
        await trio.sleep(POLL_S)
    return now


def check(parts: Parts, total: int, name: str) -> None:
    """Raise unless everything was applied, once."""
    until = time.monotonic() + 20
    while True:
        account = parts.get(name, "/v1/account")
        if account["pending"] == 0 and account["updates_published"] == account["applied"] == total:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"the account is wrong: {account}")
        time.sleep(0.1)


def measure_loop(running: Stack, messages: int, processors: tuple[str, ...] = ("football",)) -> Loop:
    """Run once on fresh topics and tables."""
    total = WARM_UP + messages
    lanes = bodies(total, LANES)
    with fresh(running) as parts:
        filled = ingest(parts, lanes)
        worked = work_off(parts, total, processors)
        check(parts, total, processors[0])
        return Loop(filled, worked)
