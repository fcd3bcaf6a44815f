"""What every cache promises."""

import random

import pytest

from sb_core.adapters.memory_cache import MemoryCache
from sb_core.errors import ContractError
from sb_core.records import CacheEntry


def opened(open_cache, run, test):
    async def main():
        async with open_cache() as cache:
            await cache.ping()
            await test(cache)

    run(main)


def test_what_was_put_is_got_by_generation_and_event(open_cache, run):
    async def test(cache):
        await cache.put([CacheEntry("e1", 1, 1, 5, b"one"), CacheEntry("ключ:🏈", 1, 1, 1, b'{"n":"\xc3\xa9"}')])
        await cache.put([CacheEntry("e1", 2, 1, 1, b"other generation")])
        assert list(await cache.get([(2, "e1"), (1, "none"), (1, "e1"), (1, "ключ:🏈"), (1, "e1")])) == [
            b"other generation",
            None,
            b"one",
            b'{"n":"\xc3\xa9"}',
            b"one",
        ]
        assert list(await cache.get([])) == []
        await cache.put([])

    opened(open_cache, run, test)


def test_only_a_higher_lineage_and_rev_replaces(open_cache, run):
    async def test(cache):
        steps = [((1, 5), (1, 5)), ((1, 4), (1, 5)), ((1, 10), (1, 10)), ((2, 1), (2, 1)), ((1, 99), (2, 1))]
        for (lineage, rev), standing in steps:
            await cache.put([CacheEntry("e", 1, lineage, rev, f"{(lineage, rev)}".encode())])
            assert list(await cache.get([(1, "e")])) == [f"{standing}".encode()]
        await cache.put([CacheEntry("e", 1, 2, 1, b"the same again")])
        assert list(await cache.get([(1, "e")])) == [b"(2, 1)"]

    opened(open_cache, run, test)


def test_in_whatever_order_they_come_the_highest_stands(open_cache, run):
    async def test(cache):
        rng = random.Random(1)
        entries = [
            CacheEntry(f"e{event}", 1, lineage, rev, f"{event} {lineage} {rev}".encode())
            for event in range(20)
            for lineage in (1, 2)
            for rev in range(1, 13)
        ]
        rng.shuffle(entries)
        for n in range(0, len(entries), 37):
            await cache.put(entries[n : n + 37])
        found = await cache.get([(1, f"e{event}") for event in range(20)])
        assert list(found) == [f"{event} 2 12".encode() for event in range(20)]

    opened(open_cache, run, test)


def test_the_memory_cache_drops_what_was_not_used_for_longest(run):
    async def test():
        cache = MemoryCache(entries_max=3)
        await cache.put([CacheEntry(event, 1, 1, 1, event.encode()) for event in "abc"])
        await cache.get([(1, "a")])
        await cache.put([CacheEntry("d", 1, 1, 1, b"d")])
        assert await cache.get([(1, event) for event in "abcd"]) == [b"a", None, b"c", b"d"]
        await cache.put([CacheEntry(f"many{n}", 1, 1, 1, b"") for n in range(1_000)])
        assert len(cache) == 3

    run(test)


def test_a_memory_cache_of_nothing_is_refused():
    with pytest.raises(ContractError):
        MemoryCache(entries_max=0)
