"""What a caller is told of a write, and what became of it: whatever real engines show under a fault, the simulation shows, too.

The measure is a set of pairs (what was said, what is so): a pair that only real engines have is one that no seed ever met.
Where only the simulation has it, the simulation is the harder one.
"""

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
import pytest
import trio
from engine_wire import Wire
from faulty_wire import FaultyWire
from sim_oracle import Oracle
from sim_ports import SimCache, SimLog, SimStore, Weather
from sim_ports import Wire as SimWire
from simulation import Process, SimClock, run

from sb_core import topics
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import MemoryLog
from sb_core.adapters.mysql_connect import parse_address
from sb_core.adapters.sqlite_store import SqliteStore
from sb_core.errors import DependencyError, FencedError
from sb_core.opening import open_adapters
from sb_core.records import Batch, CacheEntry, Record
from sb_core.runtime import SystemClock
from sb_core.settings import Settings

pytestmark = [pytest.mark.engines, pytest.mark.slow]

SEEDS = 150
LATER_S = 2.0
"""What may still happen has happened by then."""
PLACE = topics.feed("tennis"), 0
STRUCK_S = 25


class Seen(msgspec.Struct):
    """Engines without any fault."""

    log: object
    store: object
    cache: object


class Ports:
    """Ports to write through, and the same engines seen without any fault."""

    def __init__(self, log, store, cache, seen):
        self.log, self.store, self.cache, self.seen = log, store, cache, seen
        self.count = 0

    async def write(self, what):
        """Do one write; return what it was and how to see whether it happened."""
        self.count += 1
        mark = f"{what}-{self.count}"
        position = await self.position()
        return {
            "append": self._append,
            "claim": self._claim,
            "commit": self._commit,
            "refused commit": partial(self._commit, epoch=-1),
            "generation": self._generation,
            "put": self._put,
            "older put": partial(self._put, rev=0),
        }[what](mark, position)

    async def position(self):
        return next(each for each in await self.seen.store.positions([PLACE[0]]) if each.partition == PLACE[1])

    def _append(self, mark, _):
        async def so():
            return mark.encode() in await everything(self.seen.log)

        return self.log.append([Record(PLACE[0], mark, mark.encode(), SystemClock().now_ms(), PLACE[1])]), so

    def _claim(self, mark, _):
        async def so():
            return (await self.position()).owner == mark

        return self.store.claim(PLACE, mark), so

    def _commit(self, _, at, epoch=0):
        async def so():
            return (await self.position()).next_offset == at.next_offset + 1

        batch = Batch(
            topic=PLACE[0],
            partition=PLACE[1],
            epoch=at.epoch + epoch,
            owner=at.owner,
            expected=at.next_offset,
            next_offset=at.next_offset + 1,
            done_offset=at.done_offset,
            state=b"{}",
            counts={"applied": 1},
        )
        return self.store.commit(batch), so

    def _generation(self, _, at):
        async def so():
            return (await self.position()).cache_generation > at.cache_generation

        return self.store.raise_cache_generation(PLACE, at.epoch, at.owner, 1), so

    def _put(self, mark, _, rev=None):
        async def so():
            return (await self.seen.cache.get([(1, "e")])) == [mark.encode()]

        return self.cache.put([CacheEntry("e", 1, 1, self.count if rev is None else rev, mark.encode())]), so


async def everything(log):
    """Return the values in a partition."""
    reader, found = log.reader([PLACE[0]]), set()
    end = (await log.ends([PLACE[0]]))[PLACE]
    at = 0 if end else 1
    while at < end:
        delivery = await reader.read(records_max=1_000, wait_s=1)
        for place in delivery.assigned:
            if place == PLACE:
                reader.seek(place, 0)
        found |= {each.value for each in delivery.records}
        at = max([at, *(each.offset + 1 for each in delivery.records)])
    await reader.aclose()
    return found


async def outcome(ports, what, struck):
    """Write under a fault; return what was said and what is so."""
    call, so = await ports.write(what)
    async with struck:
        try:
            await call
        except DependencyError as error:
            said = "unavailable" if type(error).__name__ in {"UnavailableError", "BusyError"} else type(error).__name__
        except FencedError:
            said = "FencedError"
        else:
            said = "done"
    await trio.sleep(LATER_S)
    return what, said, await so()


@asynccontextmanager
async def calm():
    yield


def simulated():
    """Return all that the simulation's ports show."""
    weathers = [
        {},
        {"write_fails": 1.0},
        {"lost": 1.0},
        {"reply_lost": 1.0},
        {"late": 1.0},
        {"locked": 1.0},
        {"stalls": 1.0},
    ]

    async def main(chance, trace):
        async with trio.open_nursery() as nursery:
            log, store, cache = (
                MemoryLog(SimClock()),
                SqliteStore(":memory:", SimClock(), threads=False),
                MemoryCache(entries_max=100),
            )
            await log.create(topics.specs())
            await store.claim(PLACE, "first")
            real = Seen(log, store, cache)
            weather = Weather(down=set(), leaderless=set(), **weathers[chance.seed % len(weathers)])
            wire = SimWire(Process("caller", 1), chance, weather, Oracle(trace), nursery)
            ports = Ports(SimLog(wire, log), SimStore(wire, store), SimCache(wire, cache), real)
            found = [await outcome(ports, what, calm()) for what in STRIKES]
            await store.aclose()
            return found

    return {pair for seed in range(SEEDS) for pair in run(seed, main)[0]}


class Only:
    """Instead of chance: this fault, at every COMMIT."""

    def __init__(self, fault):
        self.fault = fault

    def random(self):
        return 0.0 if self.fault is not None else 1.0

    def choice(self, _):
        return self.fault

    def randrange(self, _):
        return 99


@asynccontextmanager
async def struck(wire, fault):
    """Have a fault on one wire while something is written."""
    if fault in {"hold", "cut"}:
        getattr(wire, fault)()
    elif fault == "deaf":
        wire.deaf = True
    elif fault is not None:
        wire.share, wire.chance = 1.0, Only(fault)
    await trio.sleep(0.1)
    try:
        with trio.fail_after(STRUCK_S):
            yield
    finally:
        if hasattr(wire, "share"):
            wire.share, wire.chance = 0.0, Only(None)
        wire.mend()
        await trio.sleep(0.3)


OF_WIRES = (None, "cut", "deaf", "hold")
OF_TRANSACTIONS = (None, "cut", "hold", 1205, 1213, 2013, "lost request", "lost reply")
STRIKES = {
    "append": ("kafka", OF_WIRES),
    "claim": ("mysql", ("cut", "lost reply")),
    "commit": ("mysql", OF_TRANSACTIONS),
    "refused commit": ("mysql", (None, "lost reply")),
    "generation": ("mysql", (None, "lost reply")),
    "put": ("redis", OF_WIRES),
    "older put": ("redis", (None, "deaf")),
}
"""What is done to which engine while what is written."""


async def real(engines, folder, wires):
    """Return all that real engines show."""
    environ = engines.environ(folder)
    urls = {"log_url": "kafka", "store_url": "mysql", "cache_url": "redis"}
    direct = {name: environ[f"SB_{name.upper()}"] for name in urls}
    wired = {name: wires[engine].url(direct[name]) for name, engine in urls.items()}
    found = set()
    async with opened(direct) as seen, opened(wired) as used:
        await seen.store.claim(PLACE, "first")
        ports = Ports(used.log, used.store, used.cache, seen)
        for what, (engine, faults) in STRIKES.items():
            for fault in faults:
                pair = await outcome(ports, what, struck(wires[engine], fault))
                print(*pair, "under", fault, flush=True)
                found.add(pair)
                await answering(used)
    return found


@asynccontextmanager
async def opened(urls):
    async with AsyncExitStack() as stack:
        yield await open_adapters(stack, Settings(**urls), SystemClock())


async def answering(used):
    """Wait until everything answers again."""
    with trio.fail_after(60):
        for part in (used.log, used.store, used.cache):
            while True:
                try:
                    await part.ping()
                    break
                except DependencyError:
                    await trio.sleep(0.2)


def test_whatever_real_engines_say_of_a_write_the_simulation_says_too(tmp_path, engines):
    ours = simulated()
    address, stack = parse_address(engines.stack.store_url), engines.stack
    wires = {
        "kafka": Wire("127.0.0.1", engines.wired_port, listen_port=engines.wire_port),
        "mysql": FaultyWire(address.host, address.port),
        "redis": Wire("127.0.0.1", int(stack.cache_url.rpartition("/")[0].rpartition(":")[2])),
    }
    with wires["kafka"], wires["mysql"], wires["redis"]:
        theirs = trio.run(real, engines, tmp_path / "alike", wires)
    print("only simulated:", sorted(ours - theirs))
    assert theirs <= ours, f"no seed ever met {sorted(theirs - ours)}"
    assert ("append", "UnknownOutcomeError", True) in theirs
    assert ("commit", "UnknownOutcomeError", True) in theirs
    assert {said for what, said, _ in theirs if what == "refused commit"} == {"FencedError"}
    assert ("put", "unavailable", True) in theirs
