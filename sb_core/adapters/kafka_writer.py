"""The writing side of the Kafka log: appends that wait go together, one group at a time.

The rules: one group is under way at a time, so the order of appends is the order of the log; an append that was not
handed over yet can still be taken back (UnavailableError), one that was has an unknown outcome until the broker
answers (UnknownOutcomeError). All of this runs on the bridge's loop.

The account is a compacted topic. Each life of a producer has a key there and, in the same request as the records, sets
it to the sum of all counts of that life so far; the account is the sum over all lives. A request is one frame, so the
death of this process can't tear records from their counts on one broker, and the death of the broker can't either: the
producer sends again until both are in. Only both at once, or this process while it writes to several brokers, can:
then records are in the log that nobody counted (what was unknown and did arrive), or the reverse by one group.
"""

import asyncio
from collections import Counter, deque
from typing import Final
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaProducer

from sb_core.adapters.kafka_batches import RECORD_BYTES_MAX, Append, Group, Part
from sb_core.adapters.kafka_client import KafkaAddress, client_options, ended, said, start, stop_producer, unavailable
from sb_core.errors import UnavailableError, UnknownOutcomeError
from sb_core.ports import Clock

ACCOUNT: Final = "sports-account"
"""The topic of the account: life of a producer -> its counts so far (JSON), compacted."""

APPEND_DEADLINE_S: Final = 10.0
"""An append that is not acknowledged by then is unavailable if it still waits, unknown if it was sent."""
WAITING_MAX: Final = 4_096
WAITING_BYTES_MAX: Final = 128 * 1024 * 1024
GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
"""A group is closed by the append that passes this."""
GROUP_UNANSWERED_S_MAX: Final = 60.0
"""A producer whose request is unanswered for so long is given up, so that what is unknown doesn't arrive much later."""
START_BACKOFF_S: Final = 0.5
DRAIN_S: Final = 0.8
STOP_S: Final = 0.3


class Writer:
    """Appends in groups, by one producer at a time."""

    def __init__(self, address: KafkaAddress, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._waiting: deque[Append] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer: AIOKafkaProducer | None = None
        self._life = ""
        self._counts: Counter[str] = Counter()
        self._stopping: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Writer life={self._life} waiting={len(self._waiting)} bytes={self._bytes}>"

    async def open(self) -> None:
        """Connect, and write from now on. Raises what the client raises."""
        self._producer = await self._start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def append(self, append: Append) -> list[int]:
        """Return the offsets once all is acknowledged. Raises UnavailableError or UnknownOutcomeError."""
        if self._closed:
            raise UnavailableError("the log is closed")
        if len(self._waiting) >= WAITING_MAX or (self._waiting and self._bytes + append.size > WAITING_BYTES_MAX):
            raise UnavailableError(f"{len(self._waiting)} appends of {self._bytes} bytes wait already")
        append.done = asyncio.get_running_loop().create_future()
        self._waiting.append(append)
        self._bytes += append.size
        self._idle.clear()
        self._wake.set()
        try:
            async with asyncio.timeout(APPEND_DEADLINE_S):
                return await append.done
        except TimeoutError:
            if append.sent:
                raise UnknownOutcomeError(f"not acknowledged within {APPEND_DEADLINE_S:g} s") from None
            raise UnavailableError(f"the log took no appends for {APPEND_DEADLINE_S:g} s") from None
        finally:
            if not append.sent and append in self._waiting:
                self._waiting.remove(append)
                self._bytes -= append.size

    async def close(self) -> None:
        """Write what waits within DRAIN_S, then stop; what is not acknowledged is unknown or unavailable."""
        self._closed = True
        if self._task is not None:
            await ended(self._idle.wait(), DRAIN_S)
            self._task.cancel()
            await asyncio.wait({self._task})
        while self._waiting:
            self._waiting.popleft().fail(UnavailableError("the log is closed"))
        if self._producer is not None:
            await stop_producer(self._producer, STOP_S)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=STOP_S)

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                await self._wake.wait()
            self._wake.clear()
            producer = self._producer or await self._restart()
            appends = self._take()
            try:
                await self._write(producer, appends)
            except Exception as error:  # noqa: BLE001  a fault here must fail its group and not all that come after
                for append in appends:
                    why = UnknownOutcomeError(f"Kafka, append: {said(error)}")
                    append.fail(why if append.sent else unavailable("append", error))
                await self._drop(producer)
            finally:
                for append in appends:
                    sent = UnknownOutcomeError("the log was closed before it acknowledged")
                    append.fail(sent if append.sent else UnavailableError("the log is closed"))

    def _take(self) -> list[Append]:
        appends: list[Append] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            appends.append(self._waiting.popleft())
            size += appends[-1].size
        self._bytes -= size
        return appends

    async def _write(self, producer: AIOKafkaProducer, appends: list[Append]) -> None:
        topics = dict.fromkeys(self._address.prefix + place[0] for append in appends for place, _ in append.rows)
        if any(append.counts for append in appends):
            topics[self._address.prefix + ACCOUNT] = None
        for topic in topics:
            # waits the first time only; a batch of a topic that isn't known yet would go in a request of its own
            await producer.partitions_for(topic)
        appends = [append for append in appends if not append.done.done()]
        group = Group(producer.create_batch, self._address.prefix)
        for append in appends:
            group.add(append)
            append.sent = True
        self._count(group, appends)
        async with asyncio.timeout(GROUP_UNANSWERED_S_MAX):
            sent = [await _send(producer, parts) for parts in group.requests()]
        for append in appends:
            append.answer(group.account)
        if not all(sent):
            await self._drop(producer)

    def _count(self, group: Group, appends: list[Append]) -> None:
        before = self._counts.copy()
        for append in appends:
            self._counts.update(append.counts)
        if self._counts != before:
            value = msgspec.json.encode(dict(self._counts))
            group.add_account((ACCOUNT, 0), (self._clock.now_ms(), self._life.encode(), value, []))

    # The producer's lives.

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._address),
            acks="all",
            enable_idempotence=True,
            max_batch_size=RECORD_BYTES_MAX,
            linger_ms=0,  # what waits while a group is under way is the next one
        )
        await start(producer, stop_producer)
        self._life = uuid4().hex
        self._counts = Counter()
        return producer

    async def _restart(self) -> AIOKafkaProducer:
        """Begin a new life; until then, what waits is unavailable when its time is up."""
        while True:
            try:
                self._producer = await self._start()
            except Exception:  # noqa: BLE001  whatever the reason, it is tried again; those who wait have deadlines
                await asyncio.sleep(START_BACKOFF_S)
            else:
                return self._producer

    async def _drop(self, producer: AIOKafkaProducer) -> None:
        """Never use a producer again after a failure: its sequence numbers have a hole, which its broker refuses.

        Its connections are closed before the next one begins, so that nothing old overtakes what is new.
        """
        self._producer = None
        task = asyncio.get_running_loop().create_task(stop_producer(producer, 0.0))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        await asyncio.shield(task)


async def _send(producer: AIOKafkaProducer, parts: list[Part]) -> bool:
    """Send one request and wait for its answer; return whether all of it is in the log."""
    futures = []
    for part in parts:
        part.builder.close()  # so that it doesn't linger
        topic, number = part.place
        futures.append(await producer.send_batch(part.builder, topic, partition=number))
    for part, found in zip(parts, await asyncio.gather(*futures, return_exceptions=True), strict=True):
        if isinstance(found, BaseException):
            part.error = said(found)
        elif found is None or found.offset < 0:
            part.error = "acknowledged without an offset"
        else:
            part.base, part.error = found.offset, None
    return all(part.error is None for part in parts)
