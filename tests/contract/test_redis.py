"""What only a real Redis does: it forgets, dies, hangs, fills up, and knows who may do what."""

import contextlib
from functools import partial

import pytest
import redis
import trio

from sb_core.adapters import redis_cache
from sb_core.adapters.redis_cache import open_redis_cache
from sb_core.adapters.redis_client import RedisAddress, parse_address
from sb_core.errors import ContractError, UnavailableError
from sb_core.records import CacheEntry


def entries(count, rev=1, size=10, generation=1):
    return [CacheEntry(f"e{n}", generation, 1, rev, b"%d " % rev + b"x" * size) for n in range(count)]


def keys(count):
    return [(1, f"e{n}") for n in range(count)]


@pytest.fixture
def server(redis_stack):
    """Redis by its own client, empty, and there again at the end whatever a test did to it."""
    with redis.Redis.from_url(redis_stack.cache_url) as client:
        client.flushall()
        yield client
        if redis_stack.running("redis") is None:
            redis_stack.start("redis")
        redis_stack.resume("redis")


@pytest.fixture
def cached(redis_stack, server, run):
    """Run a test with a cache that is open."""
    assert server.ping()

    def within(test, **options):
        async def main():
            async with open_redis_cache(redis_stack.cache_url, **options) as cache:
                await test(cache)

        run(main)

    return within


class TestEngine:
    pytestmark = pytest.mark.engines

    def test_a_person_can_read_it(self, cached, server):
        async def test(cache):
            await cache.put([CacheEntry("uof:1", 7, 2, 5, b'{"n":1}')])
            assert server.get("sb:7:event:{uof:1}") == b'0000000002.000000000000005 {"n":1}'

        cached(test)

    def test_times_to_live_differ_and_never_exceed_the_limit(self, cached, server):
        async def test(cache):
            await cache.put(entries(200))
            times = [server.pttl(f"sb:1:event:{{e{n}}}") for n in range(200)]
            assert max(times) <= 100_000
            assert min(times) > 70_000
            assert max(times) - min(times) > 10_000

        cached(test, ttl_ms=100_000)

    def test_a_late_writer_changes_neither_value_nor_time_to_live(self, cached, server):
        async def test(cache):
            await cache.put(entries(1, rev=10**15 - 1))
            before = server.get("sb:1:event:{e0}")
            server.pexpire("sb:1:event:{e0}", 5_000)
            await cache.put(entries(1, rev=10**15 - 2))
            assert server.get("sb:1:event:{e0}") == before
            assert server.pttl("sb:1:event:{e0}") <= 5_000

        cached(test)

    def test_flushall_and_a_forgotten_script_cost_nothing_but_values(self, cached, server):
        async def test(cache):
            await cache.put(entries(300))
            server.flushall()
            server.script_flush()
            assert await cache.get(keys(300)) == [None] * 300
            await cache.put(entries(300, rev=2))
            assert await cache.get(keys(300)) == [each.value for each in entries(300, rev=2)]

        cached(test)

    def test_what_is_not_ours_is_no_value_and_is_overwritten(self, cached, server):
        async def test(cache):
            server.set("sb:1:event:{e0}", "nonsense")
            server.hset("sb:1:event:{e1}", "a", "b")
            assert await cache.get(keys(2)) == [None, None]
            await cache.put(entries(2))
            assert None not in await cache.get(keys(2))

        cached(test)

    def test_killed_and_restarted_it_is_used_again(self, cached, redis_stack):
        async def test(cache):
            await cache.put(entries(3))
            redis_stack.kill("redis")
            with pytest.raises(UnavailableError):
                await cache.get(keys(3))
            with pytest.raises(UnavailableError):
                await cache.put(entries(3))
            redis_stack.start("redis")
            assert await cache.get(keys(3)) == [None] * 3
            await cache.put(entries(3))
            redis_stack.kill("redis")
            redis_stack.start("redis")
            await cache.put(entries(3, rev=2))
            assert None not in await cache.get(keys(3))

        cached(test)

    def test_paused_it_costs_a_deadline_and_answers_are_never_mixed_up(self, cached, redis_stack, monkeypatch):
        monkeypatch.setattr(redis_cache, "GET_DEADLINE_S", 0.3)
        monkeypatch.setattr(redis_cache, "PUT_DEADLINE_S", 0.3)

        async def test(cache):
            await cache.put(entries(20))
            redis_stack.pause("redis")
            began_s = trio.current_time()
            with pytest.raises(UnavailableError):
                await cache.get(keys(1))
            with pytest.raises(UnavailableError):
                await cache.put(entries(1, rev=2))
            assert trio.current_time() - began_s < 2
            with trio.move_on_after(0.1) as scope:
                await cache.get([(1, "e7")])
            assert scope.cancelled_caught
            redis_stack.resume("redis")
            for n in range(20):
                assert await cache.get([(1, f"e{n}"), (1, "none")]) in (
                    [b"1 xxxxxxxxxx", None],
                    [b"2 xxxxxxxxxx", None],
                )

        cached(test)

    def test_cancelled_at_any_moment_others_get_their_own_answers(self, cached):
        async def test(cache):
            await cache.put(entries(50))

            async def reader(n):
                for _ in range(20):
                    assert await cache.get([(1, f"e{n}")]) == [b"1 xxxxxxxxxx"]

            async def quitter(n):
                with trio.move_on_after(n / 20_000):
                    await cache.get(keys(50))

            async with trio.open_nursery() as nursery:
                for n in range(20):
                    nursery.start_soon(reader, n)
                    for part in range(5):
                        nursery.start_soon(quitter, n * 5 + part)

        cached(test)

    def test_full_it_evicts_and_goes_on(self, cached, server):
        async def test(cache):
            limit = server.config_get("maxmemory")["maxmemory"]
            server.config_set("maxmemory", server.info("memory")["used_memory"] + 1_000_000)
            try:
                for _ in range(3):
                    await cache.put(entries(2_000, size=1_000))
            finally:
                server.config_set("maxmemory", limit)
            found = [value for value in await cache.get(keys(2_000)) if value is not None]
            assert 0 < len(found) < 2_000

        cached(test)

    def test_the_rights_it_names_are_enough_and_a_missing_one_lets_nothing_old_in(self, redis_stack, server, run):
        named = redis_cache.__doc__.split("`")[5]
        server.acl_setuser("sb", enabled=True, reset=True, passwords=["+secret"])
        server.execute_command("ACL", "SETUSER", "sb", *named.split())
        url = redis_stack.cache_url.replace("//", "//sb:secret@")

        async def main():
            async with open_redis_cache(url) as cache:
                await cache.ping()
                await cache.put(entries(3, rev=5))
                server.execute_command("ACL", "SETUSER", "sb", "-getrange")
                with pytest.raises(UnavailableError):
                    await cache.put(entries(3, rev=4))
                assert await cache.get(keys(3)) == [each.value for each in entries(3, rev=5)]

        run(main)
        server.acl_deluser("sb")

    def test_connections_are_bounded(self, cached, server):
        async def test(cache):
            await cache.put(entries(50))
            before = server.info("clients")["connected_clients"]
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(cache.get, keys(50))
            assert server.info("clients")["connected_clients"] - before < 8

        cached(test)

    def test_a_put_of_many_megabytes_goes_out_in_parts(self, cached):
        async def test(cache):
            await cache.put(entries(30, size=500_000))
            assert await cache.get(keys(30)) == [each.value for each in entries(30, size=500_000)]

        cached(test)


def test_it_opens_while_nobody_is_there_and_says_so_when_asked(run):
    async def main():
        async with open_redis_cache("redis://127.0.0.1:1/0") as cache:
            for ask in (cache.ping, partial(cache.get, keys(1)), partial(cache.put, entries(1))):
                with pytest.raises(UnavailableError, match="Redis"):
                    await ask()
        with contextlib.suppress(UnavailableError):
            await cache.ping()

    run(main)


def test_versions_out_of_range_are_our_own_fault(run):
    async def main():
        async with open_redis_cache("redis://127.0.0.1:1/0") as cache:
            with pytest.raises(ContractError):
                await cache.put(entries(1, rev=10**15))

    run(main)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress((("h", 6379),))),
        ("redis://u:p%40@h:1/3", RedisAddress((("h", 1),), False, 3, "u", "p@")),
        ("redis://:p@[::1]:7/0", RedisAddress((("::1", 7),), False, 0, None, "p")),
        ("redis+cluster://a:1,b:2", RedisAddress((("a", 1), ("b", 2)), True)),
    ],
)
def test_a_url_says_where(url, address):
    assert parse_address(url) == address
    assert "p@" not in repr(address)


@pytest.mark.parametrize(
    "url",
    ["redis:", "rediss://h", "redis://a:1,b:2", "redis://h/x", "redis://h:0", "redis://h?a=b", "redis+cluster://h/1"],
)
def test_a_url_that_says_nonsense_is_refused(url):
    with pytest.raises(ValueError, match=r"\S"):
        parse_address(url)
