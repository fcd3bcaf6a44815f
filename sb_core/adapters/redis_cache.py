"""The cache on Redis, or on a Redis Cluster: one key for an event, `sb:<generation>:event:{<event>}`.

The rule: a script compares by (lineage, rev) where the value lies, so no order of writers, no retry and no unknown
outcome can put an older value in a newer one's place, and no reader ever finds a gap (one SET, never DEL and SET).
What is lost with the server (restart, FLUSHALL, eviction, time to live) is gone, and a late writer may then put an old
value where nothing stands: readers check the version in what they get.

A value is text, `<lineage>.<rev> <JSON>`, the numbers with leading zeros to a fixed width: versions compare as text
(numbers in Lua are floats), the script reads the first bytes only, GET is the one read, SET writes value, version and
time to live as one, a big value takes half the memory of a hash, and a person reads it with GET.

A user of the server needs: `~sb:* +get +mget +getrange +set +eval +evalsha +ping`, `+select` where the database isn't 0,
in a cluster `+cluster|slots +command` and, where it doesn't move keys for others, nothing else. The server's setting is
`maxmemory-policy allkeys-lru`.
"""

import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha1
from typing import Any, Final

import anyio
import anyio.lowlevel
from redis import exceptions

from sb_core.adapters import redis_client
from sb_core.adapters.redis_client import Command, RedisAddress, parse_address, unavailable
from sb_core.bridge import Bridge, open_bridge
from sb_core.errors import ContractError, DependencyError, UnavailableError
from sb_core.records import CacheEntry

PUT_DEADLINE_S: Final = 2.0
GET_DEADLINE_S: Final = 1.0
CLOSE_DEADLINE_S: Final = 1.0
TTL_MS: Final = 24 * 3600 * 1000
TTL_JITTER: Final = 0.25
"""A time to live is shorter by up to this share, at random, lest what was put together goes together."""
SCRIPT_KEYS_MAX: Final = 100
"""The server does nothing else while a script runs: at 1 kB a value, about a quarter of a millisecond."""
REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""A larger put goes out in several requests, one after the other; a single value may be larger."""
GET_KEYS_MAX: Final = 500
"""A larger get goes out as several commands of one request."""
LINEAGE_DIGITS: Final = 10
REV_DIGITS: Final = 15

Entropy = Callable[[int], bytes]

_PREFIX = re.compile(rb"\d{%d}\.\d{%d} " % (LINEAGE_DIGITS, REV_DIGITS))
_PREFIX_BYTES: Final = LINEAGE_DIGITS + 1 + REV_DIGITS + 1

SCRIPT: Final = f"""
for n, key in ipairs(KEYS) do
  local value = ARGV[2 * n - 1]
  local there = redis.pcall('GETRANGE', key, 0, {_PREFIX_BYTES - 1})
  if type(there) == 'table' then
    if not string.find(there.err, 'WRONGTYPE') then return there end
    there = ''
  end
  local ours = #there == {_PREFIX_BYTES} and string.find(there, '^%d+%.%d+ $')
  if not ours or there < string.sub(value, 1, {_PREFIX_BYTES}) then
    redis.call('SET', key, value, 'PX', ARGV[2 * n])
  end
end
return 1
"""
"""Keys; for each its value and its time to live in ms. What isn't of our making is overwritten, as if it weren't there."""

_SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

_log = logging.getLogger(__name__)


class RedisCache:
    """The cache; made by `open_redis_cache`. It connects when it is first asked, and again whenever it must."""

    def __init__(
        self, address: RedisAddress, bridge: Bridge, *, entropy: Entropy = os.urandom, ttl_ms: int = TTL_MS
    ) -> None:
        if ttl_ms < 1:
            raise ContractError("a time to live is at least 1 ms")
        self.address = address
        self.ttl_ms = ttl_ms
        self._bridge = bridge
        self._entropy = entropy
        self._keys_max = 1 if address.cluster else SCRIPT_KEYS_MAX
        self._client: Any = None
        self._closed = False

    def __repr__(self) -> str:
        """Tell where it is."""
        return f"<RedisCache {self.address!r}{' CLOSED' if self._closed else ''}>"

    async def put(self, entries: Sequence[CacheEntry]) -> None:
        """Put what is newer than what is there. Raises UnavailableError: any part of it may be there, and may come again."""
        if not entries:
            await anyio.lowlevel.checkpoint()
            return
        requests = list(self._requests(_newest(entries)))
        await self._bridge.call(self._put, requests, deadline_s=PUT_DEADLINE_S)

    async def get(self, keys: Sequence[tuple[int, str]]) -> Sequence[bytes | None]:
        """Return the value per key of (generation, event), None where there is none. Raises UnavailableError."""
        if not keys:
            await anyio.lowlevel.checkpoint()
            return []
        names = [_key(generation, event) for generation, event in keys]
        found: list[bytes | None] = await self._bridge.call(self._get, names, deadline_s=GET_DEADLINE_S)
        return found

    async def ping(self) -> None:
        """Ask whether it is there. Raises UnavailableError."""
        await self._bridge.call(self._ping, deadline_s=GET_DEADLINE_S)

    async def aclose(self) -> None:
        """Close all connections; a call under way fails."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._bridge.call(self._close, deadline_s=CLOSE_DEADLINE_S)
            except DependencyError as error:
                # the bridge, or the server, went first: the connections go with it
                _log.debug("%r was not closed in order: %s", self, error)

    def _requests(self, entries: Sequence[CacheEntry]) -> Iterator[list[list[bytes]]]:
        """Cut entries into requests of script calls; a call is the number of keys, the keys, then values and times."""
        draws = self._entropy(2 * len(entries))
        request: list[list[bytes]] = []
        keys: list[bytes] = []
        arguments: list[bytes] = []
        size = 0
        for n, entry in enumerate(entries):
            share = int.from_bytes(draws[2 * n : 2 * n + 2], "big") / 65_535
            value = _packed(entry)
            if keys and (len(keys) == self._keys_max or size + len(value) > REQUEST_BYTES_MAX):
                request.append([b"%d" % len(keys), *keys, *arguments])
                keys, arguments = [], []
            if request and size + len(value) > REQUEST_BYTES_MAX:
                yield request
                request, size = [], 0
            keys.append(_key(entry.generation, entry.event).encode())
            arguments += (value, b"%d" % max(1, round(self.ttl_ms * (1 - TTL_JITTER * share))))
            size += len(value)
        request.append([b"%d" % len(keys), *keys, *arguments])
        yield request

    # The loop's side.

    async def _put(self, requests: Sequence[Sequence[Sequence[bytes]]]) -> None:
        for request in requests:
            answers = await self._ask("put", [("EVALSHA", _SHA, *call) for call in request])
            if any(isinstance(answer, exceptions.NoScriptError) for answer in answers):
                # the server is new, or forgot: EVAL teaches it, and what went through before compares as equal
                answers = await self._ask("put", [("EVAL", SCRIPT, *call) for call in request])
            await self._check("put", answers)

    async def _get(self, names: Sequence[str]) -> list[bytes | None]:
        if self.address.cluster:
            values = await self._ask("get", [("GET", name) for name in names])
            values = [None if _is_foreign(value) else value for value in values]
        else:
            parts = [names[n : n + GET_KEYS_MAX] for n in range(0, len(names), GET_KEYS_MAX)]
            answers = await self._ask("get", [("MGET", *part) for part in parts])
            await self._check("get", answers)
            values = [value for answer in answers for value in answer]
        await self._check("get", values)
        return [_unpacked(value) for value in values]

    async def _ping(self) -> None:
        await self._check("ping", await self._ask("ping", [("PING",)]))

    async def _ask(self, what: str, commands: Sequence[Command]) -> list[Any]:
        if self._closed:
            raise UnavailableError("the cache is closed")
        if self._client is None:
            self._client = redis_client.new_client(self.address)
        with redis_client.mapped_errors(what):
            return await redis_client.ask(self._client, commands)

    async def _check(self, what: str, answers: Sequence[Any]) -> None:
        error = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if isinstance(error, exceptions.ReadOnlyError):
            with redis_client.mapped_errors(what):
                await redis_client.forget_connections(self._client)
        if error is not None:
            raise unavailable(what, error) from error

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with redis_client.mapped_errors("close"):
                await client.aclose()


def _newest(entries: Sequence[CacheEntry]) -> list[CacheEntry]:
    """Leave out what the same put replaces."""
    newest: dict[tuple[int, str], CacheEntry] = {}
    for entry in entries:
        there = newest.setdefault((entry.generation, entry.event), entry)
        if (entry.lineage, entry.rev) > (there.lineage, there.rev):
            newest[entry.generation, entry.event] = entry
    return list(newest.values())


def _key(generation: int, event: str) -> str:
    # a cluster places a key by what stands in the braces: an event is in one place in every generation
    return f"sb:{generation}:event:{{{event}}}"


def _packed(entry: CacheEntry) -> bytes:
    if not (0 <= entry.lineage < 10**LINEAGE_DIGITS and 0 <= entry.rev < 10**REV_DIGITS):
        raise ContractError(f"{entry.event}: version {entry.lineage}.{entry.rev} is out of range")
    return b"%0*d.%0*d %b" % (LINEAGE_DIGITS, entry.lineage, REV_DIGITS, entry.rev, entry.value)


def _unpacked(value: bytes | None) -> bytes | None:
    """Return what was put; None also for what isn't of our making."""
    return value[_PREFIX_BYTES:] if value is not None and _PREFIX.match(value) else None


def _is_foreign(answer: object) -> bool:
    """Say whether GET found another type than text, for which MGET says None."""
    return isinstance(answer, exceptions.ResponseError) and str(answer).startswith("WRONGTYPE")


@asynccontextmanager
async def open_redis_cache(
    url: str, *, entropy: Entropy = os.urandom, ttl_ms: int = TTL_MS, bridge: Bridge | None = None
) -> AsyncIterator[RedisCache]:
    """Open the cache at a URL (redis_client.RedisAddress), on this bridge or its own; it need not be there yet.

    `entropy(n)` returns n random bytes, for the times to live. Raises ValueError for the URL.
    """
    address = parse_address(url)
    async with AsyncExitStack() as stack:
        if bridge is None:
            bridge = await stack.enter_async_context(open_bridge("redis"))
        cache = RedisCache(address, bridge, entropy=entropy, ttl_ms=ttl_ms)
        try:
            yield cache
        finally:
            await cache.aclose()
