"""The log on Kafka: what the services call, on Trio's side of the bridge.

The rules: one crossing per append and per read, whatever their size; topics are known here from the list that was read
when the log was opened or topics were made, so that a wrong name is our fault at once and never a topic made by chance;
closing is bounded, also when the brokers are gone.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel
import trio

from sb_core.adapters.driver_logs import throttle
from sb_core.adapters.kafka_admin import ASK_DEADLINE_S, CREATE_DEADLINE_S, Admin
from sb_core.adapters.kafka_batches import RECORD_BYTES_MAX, Append
from sb_core.adapters.kafka_client import KafkaAddress, parse_address, said
from sb_core.adapters.kafka_consumer import Consumer
from sb_core.adapters.kafka_reader import KafkaReader
from sb_core.adapters.kafka_writer import ACCOUNT, APPEND_DEADLINE_S, Writer
from sb_core.bridge import Bridge, open_bridge
from sb_core.errors import ContractError, LogTruncatedError, UnavailableError
from sb_core.ports import Clock
from sb_core.records import Record, TopicPartition
from sb_core.topics import TopicSpec, partition_of

OPEN_DEADLINE_S: Final = 20.0
OPEN_RETRY_S: Final = 0.5
ACCOUNT_DEADLINE_S: Final = 20.0
ACCOUNT_RECORDS_MAX: Final = 10_000
CLOSE_DEADLINE_S: Final = 4.0
SLACK_S: Final = 2.0
"""The bridge's deadline comes this long after the one over there, which knows more about what happened."""


class KafkaLog:
    """Log and LogAdmin on Kafka; made by `open_kafka_log`."""

    def __init__(self, address: KafkaAddress, clock: Clock, bridge: Bridge) -> None:
        self.address = address
        self._clock = clock
        self._bridge = bridge
        self._topics: dict[str, int] = {}
        self._readers: dict[KafkaReader, None] = {}
        self._writer: Writer
        self._admin: Admin
        self._lives: dict[str, Mapping[str, int]] = {}
        self._account: Consumer | None = None
        self._account_start: int | None = None
        self._reading: asyncio.Lock
        self._closed = False

    def __repr__(self) -> str:
        """Tell where it is and what it holds."""
        state = " CLOSED" if self._closed else ""
        return f"<KafkaLog {','.join(self.address.servers)} readers={len(self._readers)}{state}>"

    async def append(self, records: Sequence[Record], counts: Mapping[str, int] | None = None) -> Sequence[int]:
        """Append, as ports.Log says. Cancelled, its outcome is unknown. Raises ContractError for an unknown topic."""
        self._check_open()
        append = Append([self._place(record) for record in records], records, dict(counts or {}))
        if not append.rows and not append.counts:
            await anyio.lowlevel.checkpoint()
            return []
        if append.counts and ACCOUNT not in self._topics:
            raise ContractError(f"there is no topic {ACCOUNT!r}")
        return await self._bridge.call(self._writer.append, append, deadline_s=APPEND_DEADLINE_S + SLACK_S)

    def reader(self, topics: Sequence[str], group: str | None = None) -> KafkaReader:
        """Return a reader of these topics. Raises ContractError for an unknown topic."""
        self._check_open()
        make = partial(Consumer, self.address, self._admin, self._places(topics), group)
        reader = KafkaReader(self._bridge, make, self._leave)
        self._readers[reader] = None
        return reader

    async def account(self) -> Mapping[str, int]:
        """Return the counts so far, of all who ever appended any."""
        self._check_open()
        if ACCOUNT not in self._topics:
            await anyio.lowlevel.checkpoint()
            return {}
        return await self._bridge.call(self._sum_account, deadline_s=ACCOUNT_DEADLINE_S)

    async def ping(self) -> None:
        """Raise UnavailableError unless a broker answers."""
        self._check_open()
        await self._bridge.call(self._admin.ping, deadline_s=ASK_DEADLINE_S + SLACK_S)

    async def create(self, specs: Sequence[TopicSpec]) -> None:
        """Make topics that are missing. Raises ContractError when one has another number of partitions."""
        self._check_open()
        self._topics = await self._bridge.call(self._admin.create, specs, deadline_s=CREATE_DEADLINE_S + SLACK_S)

    async def grow(self, specs: Sequence[TopicSpec]) -> None:
        """Add partitions to topics. Raises ContractError for one that has more, or isn't there."""
        self._check_open()
        self._topics = await self._bridge.call(self._admin.grow, specs, deadline_s=CREATE_DEADLINE_S + SLACK_S)

    async def topics(self) -> Mapping[str, TopicSpec]:
        """Return all topics as they were made."""
        self._check_open()
        return await self._bridge.call(self._admin.describe, deadline_s=2 * ASK_DEADLINE_S + SLACK_S)

    async def partitions(self, topic: str) -> int:
        """Return a topic's number of partitions. Raises ContractError when there is no such topic."""
        await self._learn((topic,))
        return self._count(topic)

    async def starts(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the oldest kept offsets."""
        await self._learn(topics)
        return await self._bridge.call(self._admin.starts, self._places(topics), deadline_s=ASK_DEADLINE_S + SLACK_S)

    async def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """Return the offsets that the next records will get."""
        await self._learn(topics)
        return await self._bridge.call(self._admin.ends, self._places(topics), deadline_s=ASK_DEADLINE_S + SLACK_S)

    async def offsets_at(self, topics: Sequence[str], ts: int) -> Mapping[TopicPartition, int]:
        """Return each partition's first offset whose ts is `ts` or later, its end when there is none."""
        await self._learn(topics)
        ask, places = self._admin.offsets_at, self._places(topics)
        return await self._bridge.call(ask, places, ts, deadline_s=2 * ASK_DEADLINE_S + SLACK_S)

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """Return a group's committed offsets."""
        self._check_open()
        return await self._bridge.call(self._admin.committed, group, deadline_s=ASK_DEADLINE_S + SLACK_S)

    async def members(self, group: str) -> int:
        """Return how many share a group; one that was killed counts until its session ends."""
        self._check_open()
        return await self._bridge.call(self._admin.members, group, deadline_s=ASK_DEADLINE_S + SLACK_S)

    async def prune(self, now_ms: int) -> int:  # noqa: ARG002  the port's
        """Do nothing: brokers let go by themselves what the topics' settings say."""
        await anyio.lowlevel.checkpoint()
        return 0

    async def open(self) -> None:
        """Connect, trying for OPEN_DEADLINE_S. Raises UnavailableError."""
        await self._bridge.call(self._open, deadline_s=OPEN_DEADLINE_S + SLACK_S)

    async def aclose(self) -> None:
        """Leave the groups, write what waits, disconnect."""
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            await self._bridge.call_shielded(self._close, deadline_s=CLOSE_DEADLINE_S)

    # The loop's side.

    async def _open(self) -> None:
        last = "nobody answered"
        try:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                while True:
                    try:
                        return await self._connect()
                    except Exception as error:  # noqa: BLE001  whatever it is, it is tried again, and told at the end
                        last = said(error)
                    await asyncio.sleep(OPEN_RETRY_S)
        except TimeoutError:
            servers = ",".join(self.address.servers)
            raise UnavailableError(f"Kafka at {servers} can't be used after {OPEN_DEADLINE_S:g} s: {last}") from None

    async def _connect(self) -> None:
        self._admin = Admin(self.address)
        self._writer = Writer(self.address, self._clock)
        self._reading = asyncio.Lock()
        try:
            await self._admin.open()
            await self._writer.open()
            self._topics = await self._admin.topics()
        except BaseException:
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        await asyncio.gather(self._writer.close(), self._admin.close())

    async def _close(self) -> None:
        reason = UnavailableError("the log is closed")
        consumers = [reader.end(reason) for reader in self._readers]
        if self._account is not None:
            consumers.append(self._account.close(reason))
        await asyncio.gather(*consumers, self._writer.close())
        await self._admin.close()

    async def _sum_account(self) -> dict[str, int]:
        async with self._reading:
            if self._account is None:
                self._account = Consumer(self.address, self._admin, [(ACCOUNT, 0)], None)
            while await self._read_account(self._account):
                pass
            total: Counter[str] = Counter()
            for counts in self._lives.values():
                total.update(counts)
            return dict(total)

    async def _read_account(self, account: Consumer) -> bool:
        """Take in what is new of the account; return whether there may be more."""
        place = ACCOUNT, 0
        if self._account_start is None:
            # before the read, so that no cancellation comes between being told of the partition and seeking it
            self._account_start = (await self._admin.starts([place]))[place]
        try:
            delivery = await account.read(ACCOUNT_RECORDS_MAX, 0.0)
        except LogTruncatedError:
            # made anew by an operator, with everything else
            self._lives.clear()
            account.seek(place, (await self._admin.starts([place]))[place])
            return True
        if delivery.assigned:
            account.seek(place, self._account_start)
        for record in delivery.records:
            self._lives[record.key] = json.loads(record.value or b"{}")
        return bool(delivery.records or delivery.assigned)

    # Names.

    async def _learn(self, topics: Sequence[str]) -> None:
        """Look again when a topic isn't known: another process may have made it."""
        self._check_open()
        if any(topic not in self._topics for topic in topics):
            self._topics = await self._bridge.call(self._admin.topics, deadline_s=ASK_DEADLINE_S + SLACK_S)

    def _count(self, topic: str) -> int:
        count = self._topics.get(topic)
        if count is None:
            raise ContractError(f"there is no topic {topic!r}")
        return count

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [(topic, number) for topic in topics for number in range(self._count(topic))]

    def _place(self, record: Record) -> TopicPartition:
        count = self._count(record.topic)
        if record.value is not None and len(record.value) > RECORD_BYTES_MAX:
            raise ContractError(f"a record of {len(record.value)} bytes for {record.topic}, more than a topic takes")
        if record.partition is None:
            return record.topic, partition_of(record.key, count)
        if not 0 <= record.partition < count:
            raise ContractError(f"{record.topic} has {count} partitions, not one numbered {record.partition}")
        return record.topic, record.partition

    def _leave(self, reader: KafkaReader) -> None:
        self._readers.pop(reader, None)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the log is closed")


@asynccontextmanager
async def open_kafka_log(url: str, clock: Clock, *, bridge: Bridge | None = None) -> AsyncIterator[KafkaLog]:
    """Open the log at `kafka://host:port,…` (kafka_client.KafkaAddress has the options), on this bridge or its own.

    Raises ValueError for the URL, UnavailableError when no broker answers within OPEN_DEADLINE_S.
    """
    address = parse_address(url)
    throttle("aiokafka")
    async with AsyncExitStack() as stack:
        if bridge is None:
            bridge = await stack.enter_async_context(open_bridge("kafka"))
        log = KafkaLog(address, clock, bridge)
        await log.open()
        try:
            yield log
        finally:
            await log.aclose()
