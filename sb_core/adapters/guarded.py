"""A store and a cache behind a circuit breaker and a bulkhead, with the same ports.

The rules: what fails often is asked seldom, and then answers at once that it is unavailable; at most so many calls are
under way, and one too many is told so at once, lest a slow dependency takes everything else with it. Nothing is tried
again here: who asked knows whether it may be.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.lowlevel

from sb_core.circuit import Circuit
from sb_core.errors import BusyError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.ports import Cache, Clock, Store
from sb_core.records import (
    Batch,
    CacheEntry,
    ChangeRow,
    CompetitionRow,
    EventQuery,
    NamedQuery,
    ParticipantRow,
    Position,
    ShownEvent,
    StoredEvent,
    TopicPartition,
    Version,
)

STORE_CALLS_MAX: Final = 128
CACHE_CALLS_MAX: Final = 512
STORE_SLOW_S: Final = 1.5
CACHE_SLOW_S: Final = 0.4
"""A call that its caller gave up after this long counts as a failure."""

T = TypeVar("T")
Entropy = Callable[[int], bytes]


class Guard:
    """The breaker and the bulkhead of one dependency."""

    def __init__(self, circuit: Circuit, clock: Clock, entropy: Entropy, *, calls_max: int, slow_s: float) -> None:
        self.circuit = circuit
        self._clock = clock
        self._entropy = entropy
        self._calls_max = calls_max
        self._slow_s = slow_s
        self._calls = 0

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, unless the circuit is open (UnavailableError) or too much is under way (BusyError)."""
        circuit, begun_s = self.circuit, self._clock.monotonic_s()
        if self._calls >= self._calls_max:
            circuit.busy += 1
            await anyio.lowlevel.checkpoint()
            raise BusyError(f"{circuit.name}: {self._calls} calls are under way")
        wait_s = circuit.admit(begun_s)
        if wait_s is not None:
            await anyio.lowlevel.checkpoint()
            raise UnavailableError(f"{circuit.name}: the circuit is open, for {wait_s:.2f} s")
        self._calls += 1
        try:
            result = await ask()
        except BaseException as error:
            self._judge(error, self._clock.monotonic_s() - begun_s)
            raise
        finally:
            self._calls -= 1
        circuit.succeeded()
        return result

    def _judge(self, error: BaseException, seconds: float) -> None:
        if isinstance(error, BusyError):
            self.circuit.undecided()
        elif isinstance(error, UnavailableError | UnknownOutcomeError):
            self._failed()
        elif isinstance(error, anyio.get_cancelled_exc_class()):
            if seconds >= self._slow_s:
                self._failed()
            else:
                self.circuit.undecided()
        elif isinstance(error, FencedError):
            self.circuit.succeeded()
        else:
            self.circuit.undecided()

    def _failed(self) -> None:
        self.circuit.failed(self._clock.monotonic_s(), self._entropy(1)[0] / 256)


class GuardedStore:
    """A store behind a guard."""

    def __init__(self, inner: Store, guard: Guard) -> None:
        self.inner = inner
        self._call = guard.call

    def __repr__(self) -> str:
        return f"<Guarded {self.inner!r}>"

    async def claim(self, partition: TopicPartition, owner: str) -> Position:
        """Ask the store."""
        return await self._call(partial(self.inner.claim, partition, owner))

    async def load(self, events: Sequence[str]) -> Mapping[str, StoredEvent]:
        """Ask the store."""
        return await self._call(partial(self.inner.load, events))

    async def listing(self, partition: TopicPartition, producer: str) -> Sequence[str]:
        """Ask the store."""
        return await self._call(partial(self.inner.listing, partition, producer))

    async def listed(self, partition: TopicPartition, after: str, limit: int) -> Sequence[str]:
        """Ask the store."""
        return await self._call(partial(self.inner.listed, partition, after, limit))

    async def commit(self, batch: Batch) -> None:
        """Ask the store."""
        await self._call(partial(self.inner.commit, batch))

    async def outbox(self, partition: TopicPartition, start: int, end: int) -> Sequence[ChangeRow]:
        """Ask the store."""
        return await self._call(partial(self.inner.outbox, partition, start, end))

    async def raise_cache_generation(self, partition: TopicPartition, epoch: int, owner: str, by: int) -> int:
        """Ask the store."""
        return await self._call(partial(self.inner.raise_cache_generation, partition, epoch, owner, by))

    async def raise_lineage(self, partition: TopicPartition, next_offset: int, above: int = 0, by: int = 1) -> int:
        """Ask the store."""
        return await self._call(partial(self.inner.raise_lineage, partition, next_offset, above, by))

    async def repartition(self, topic: str, lineage: int, states: Sequence[bytes], by: int = 1) -> None:
        """Ask the store."""
        await self._call(partial(self.inner.repartition, topic, lineage, states, by))

    async def positions(self, topics: Sequence[str]) -> Sequence[Position]:
        """Ask the store."""
        return await self._call(partial(self.inner.positions, topics))

    async def account(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Ask the store."""
        return await self._call(partial(self.inner.account, topics))

    async def event(self, event: str, at_least: Version | None = None) -> ShownEvent | None:
        """Ask the store."""
        return await self._call(partial(self.inner.event, event, at_least))

    async def events(self, query: EventQuery) -> Sequence[bytes]:
        """Ask the store."""
        return await self._call(partial(self.inner.events, query))

    async def history(self, event: str, from_rev: int, limit: int) -> Sequence[ChangeRow]:
        """Ask the store."""
        return await self._call(partial(self.inner.history, event, from_rev, limit))

    async def changes(self, partition: TopicPartition, start: int, limit: int) -> Sequence[ChangeRow]:
        """Ask the store."""
        return await self._call(partial(self.inner.changes, partition, start, limit))

    async def participants(self, query: NamedQuery) -> Sequence[ParticipantRow]:
        """Ask the store."""
        return await self._call(partial(self.inner.participants, query))

    async def participant(self, participant: str) -> ParticipantRow | None:
        """Ask the store."""
        return await self._call(partial(self.inner.participant, participant))

    async def competitions(self, query: NamedQuery) -> Sequence[CompetitionRow]:
        """Ask the store."""
        return await self._call(partial(self.inner.competitions, query))

    async def prune(self, before_ms: int) -> int:
        """Ask the store, past the guard: it takes long, and says nothing of how others are served."""
        return await self.inner.prune(before_ms)

    async def ping(self) -> None:
        """Ask the store."""
        await self._call(self.inner.ping)

    async def aclose(self) -> None:
        """Close the store."""
        await self.inner.aclose()


class GuardedCache:
    """A cache behind a guard."""

    def __init__(self, inner: Cache, guard: Guard) -> None:
        self.inner = inner
        self._call = guard.call

    def __repr__(self) -> str:
        return f"<Guarded {self.inner!r}>"

    async def put(self, entries: Sequence[CacheEntry]) -> None:
        """Ask the cache."""
        await self._call(partial(self.inner.put, entries))

    async def get(self, keys: Sequence[tuple[int, str]]) -> Sequence[bytes | None]:
        """Ask the cache."""
        return await self._call(partial(self.inner.get, keys))

    async def ping(self) -> None:
        """Ask the cache."""
        await self._call(self.inner.ping)

    async def aclose(self) -> None:
        """Close the cache."""
        await self.inner.aclose()
