"""The adapters under contract, by name. An adapter exists when it passes: add its factory here, and nothing else."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import trio
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from asyncmy.connection import Connection
from native_stack import NativeStack, ended, up

from sb_core.adapters import redis_cache, redis_client
from sb_core.adapters.guarded import STORE_CALLS_MAX, STORE_SLOW_S, Guard, GuardedStore
from sb_core.adapters.kafka_client import parse_address
from sb_core.adapters.kafka_log import OPEN_DEADLINE_S, KafkaLog, open_kafka_log
from sb_core.adapters.memory_cache import MemoryCache
from sb_core.adapters.memory_log import open_memory_log
from sb_core.adapters.mysql_connect import parse_address as parse_mysql_address
from sb_core.adapters.mysql_store import connected_mysql_store, open_mysql_store
from sb_core.adapters.redis_cache import RedisCache, open_redis_cache
from sb_core.adapters.replica import ReplicaStore
from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.adapters.sqlite_store import open_sqlite_store
from sb_core.bridge import open_bridge
from sb_core.circuit import Circuit
from sb_core.topics import TopicSpec
from sb_local.stack import Stack

Opened = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no failure: what matters of the cache's deadlines is tested with shorter ones."""
    monkeypatch.setattr(redis_cache, "PUT_DEADLINE_S", 10.0)
    monkeypatch.setattr(redis_cache, "GET_DEADLINE_S", 10.0)
    monkeypatch.setattr(redis_client, "CONNECT_DEADLINE_S", 10.0)


class StandingClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.ms = 1_782_240_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


def _memory_log(_: Path) -> Opened:
    return partial(open_memory_log, StandingClock())


def _sqlite_log(folder: Path) -> Opened:
    return partial(open_sqlite_log, str(folder / "log.db"), StandingClock())


def _sqlite_store(folder: Path) -> Opened:
    return partial(open_sqlite_store, str(folder / "store.db"), StandingClock(), threads=True)


def _sqlite_store_guarded(folder: Path) -> Opened:
    """Two stores on one file, as a primary and a copy that is never behind, each behind its guard."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[ReplicaStore]:
        clock = StandingClock()
        async with AsyncExitStack() as stack:
            stores = []
            for name in ("store", "replica"):
                opening = open_sqlite_store(str(folder / "store.db"), clock, threads=True)
                guard = Guard(Circuit(name), clock, os.urandom, calls_max=STORE_CALLS_MAX, slow_s=STORE_SLOW_S)
                stores.append(GuardedStore(await stack.enter_async_context(opening), guard))
            yield ReplicaStore(*stores)

    return opened


def _sqlite_store_inline(folder: Path) -> Opened:
    return partial(open_sqlite_store, str(folder / "store.db"), StandingClock(), threads=False)


def _sqlite_store_memory(_: Path) -> Opened:
    return partial(open_sqlite_store, ":memory:", StandingClock(), threads=False)


def _memory_cache(_: Path) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[MemoryCache]:
        cache = MemoryCache(entries_max=1_000)
        yield cache
        await cache.aclose()

    return opened


class PrunedKafkaLog(KafkaLog):
    """The Kafka log with `prune`, which brokers do by themselves: here by the same rule, but at once.

    Topics are made to keep for ever, lest a broker drops the old records of a test in the midst of it.
    """

    compacts_in_background = True

    async def create(self, specs):
        await super().create([TopicSpec(each.name, each.partitions, None, each.compacted) for each in specs])
        self.specs = {each.name: each for each in specs}

    async def prune(self, now_ms):
        dropped = 0
        for spec in self.specs.values():
            if spec.retention_ms is not None:
                before = await self.starts([spec.name])
                after = await self.offsets_at([spec.name], now_ms - spec.retention_ms)
                wanted = {
                    TopicPartition(self.address.prefix + topic, n): RecordsToDelete(before_offset=offset)
                    for (topic, n), offset in after.items()
                    if offset > before[topic, n]
                }
                if wanted:
                    await self._bridge.call(self._admin._admin.delete_records, wanted, deadline_s=10)
                dropped += sum(after.values()) - sum(before.values())
        return dropped


def kafka_opened(servers: str, prefix: str | None = None, **options: str) -> Opened:
    """Open a Kafka log of its own among the broker's, whose topics are deleted at the end, or share another's."""
    own = prefix is None
    prefix = prefix or f"t{uuid4().hex[:12]}."
    url = f"kafka://{servers}/?" + "&".join(f"{k}={v}" for k, v in {"prefix": prefix, **options}.items())

    @asynccontextmanager
    async def opened() -> AsyncIterator[KafkaLog]:
        async with open_bridge() as bridge:
            log = PrunedKafkaLog(parse_address(url), StandingClock(), bridge)
            await log.open()
            try:
                yield log
            finally:
                await log.aclose()
            if own:
                async with open_kafka_log(url, StandingClock(), bridge=bridge) as cleaner:
                    names = [prefix + name for name in cleaner._topics]
                    await bridge.call(cleaner._admin._admin.delete_topics, names, deadline_s=OPEN_DEADLINE_S)

    return opened


LOGS = {"memory": _memory_log, "sqlite": _sqlite_log}
STORES = {
    "sqlite": _sqlite_store,
    "sqlite-inline": _sqlite_store_inline,
    "sqlite-memory": _sqlite_store_memory,
    "sqlite-guarded": _sqlite_store_guarded,
}
CACHES = {"memory": _memory_cache}


@pytest.fixture
def kafka_server(request: pytest.FixtureRequest) -> str:
    """Return a real broker's host:port: SB_TEST_KAFKA's, else that of one that a test may kill."""
    return os.environ.get("SB_TEST_KAFKA") or request.getfixturevalue("native_stack").servers


@pytest.fixture
def kafka_log(kafka_server: str) -> Callable[..., Opened]:
    """Make openers of Kafka logs; without a `prefix` each has a log of its own."""

    def opener(servers: str = kafka_server, prefix: str | None = None, **options: str) -> Opened:
        return kafka_opened(servers, prefix, **options)

    return opener


@pytest.fixture(
    params=[*LOGS.values(), pytest.param(None, marks=pytest.mark.engines)],
    ids=[*LOGS, "kafka"],
)
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty log (Log, LogAdmin and `prune`)."""
    if request.param is None:
        return kafka_opened(request.getfixturevalue("kafka_server"))
    return request.param(tmp_path)


@pytest.fixture
def mysql_stack(native_stack: NativeStack) -> Stack:
    """A real MySQL or MariaDB that a test may kill."""
    if os.environ.get("SB_TEST_MYSQL"):
        pytest.skip("the server of SB_TEST_MYSQL is not ours to kill")
    return native_stack.stack


@pytest.fixture
def mysql_server(request: pytest.FixtureRequest) -> str:
    """A real server's URL, of a user who may make databases: SB_TEST_MYSQL's, else that of one that a test may kill."""
    url = os.environ.get("SB_TEST_MYSQL")
    return url or request.getfixturevalue("mysql_stack").store_url


@pytest.fixture
def mysql_ask(mysql_server: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Ask the real server, one statement after the other, beside any store; return the last one's rows."""
    address = parse_mysql_address(mysql_server)

    async def asked(statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
        at = {"host": address.host, "port": address.port, "user": address.user, "password": address.password}
        connection = Connection(**at, autocommit=True)
        await connection.connect()
        cursor = connection.cursor()
        for statement in statements:
            await cursor.execute(statement)
        rows = list(await cursor.fetchall())
        await connection.ensure_closed()
        return rows

    return lambda *statements: asyncio.run(asked(statements))


@pytest.fixture
def mysql_url(mysql_empty_url: str) -> str:
    """The URL of a database of its own that has our schema."""

    async def migrated() -> None:
        async with connected_mysql_store(mysql_empty_url, StandingClock()) as store:
            await store.migrate()

    trio.run(migrated)
    return mysql_empty_url


@pytest.fixture
def mysql_empty_url(mysql_server: str, mysql_ask: Callable[..., list[tuple[Any, ...]]]) -> Iterator[str]:
    """The URL of an empty database of its own, which is dropped at the end."""
    name = f"sportsbet_t{uuid4().hex[:12]}"
    mysql_ask(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield mysql_server.rpartition("/")[0] + f"/{name}"
    mysql_ask(f"DROP DATABASE {name}")


@pytest.fixture(
    params=[
        *STORES.values(),
        pytest.param("mysql", marks=pytest.mark.engines),
    ],
    ids=[*STORES, "mysql"],
)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty store."""
    if request.param == "mysql":
        return partial(open_mysql_store, request.getfixturevalue("mysql_url"), StandingClock())
    return request.param(tmp_path)


@pytest.fixture
def redis_stack(native_stack: NativeStack) -> Stack:
    """A real Redis that a test may kill."""
    return native_stack.stack


@pytest.fixture(scope="session")
def redis_cluster_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis Cluster of one node, which is as strict about keys of several slots as a large one."""
    folder = tmp_path_factory.mktemp("stack-redis-cluster")
    with ended(folder):
        started = up(folder, ("redis",), settings={"redis": {"cluster-enabled": "yes"}})
        _own_all_slots(started)
        yield started


def _own_all_slots(started: Stack) -> None:
    with redis.Redis.from_url(started.cache_url) as server:
        server.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        for _ in range(200):
            if server.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                break
            time.sleep(0.05)
        else:
            pytest.fail("the cluster of one node did not become ready within 10 s")


def redis_opened(started: Stack, *, cluster: bool = False, **options: Any) -> Opened:
    """Open the cache on a Redis whose data was dropped before."""
    url = started.cache_url
    if cluster:
        url = url.removesuffix("/0").replace("redis:", "redis+cluster:")

    @asynccontextmanager
    async def opened() -> AsyncIterator[RedisCache]:
        with redis.Redis.from_url(started.cache_url) as server:
            server.flushall()
        async with open_redis_cache(url, **options) as cache:
            yield cache

    return opened


@pytest.fixture(
    params=[
        *CACHES.values(),
        *(pytest.param(name, marks=pytest.mark.engines) for name in ("redis", "redis-cluster")),
    ],
    ids=[*CACHES, "redis", "redis-cluster"],
)
def open_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open an empty cache of 1,000 entries."""
    if request.param == "redis":
        return redis_opened(request.getfixturevalue("redis_stack"))
    if request.param == "redis-cluster":
        return redis_opened(request.getfixturevalue("redis_cluster_stack"), cluster=True)
    return request.param(tmp_path)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()
