"""The reading side of the Kafka log: one consumer of the client's, its group, and its positions.

The rules: every rebalance takes all partitions away and gives anew, and nothing is delivered in between; the callbacks
of a rebalance only note what happened and never wait, so they can't deadlock (fences in the store keep a late writer
harmless); positions come from the caller only, what wasn't sought is paused; a client that failed is replaced, and one
that has died without a word ends the process by a ContractError.
All of this runs on the bridge's loop.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as Place
from aiokafka.errors import CommitFailedError, IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from sb_core.adapters.kafka_admin import Admin
from sb_core.adapters.kafka_client import (
    KafkaAddress,
    mapped_errors,
    new_consumer,
    start,
    stop_consumer,
    unavailable,
)
from sb_core.adapters.kafka_positions import Positions
from sb_core.adapters.kafka_watchdog import LOOK_EVERY_S, NOWHERE, Watchdog
from sb_core.adapters.log_reader import outside
from sb_core.errors import ContractError, DependencyError, FencedError, UnavailableError
from sb_core.records import Delivery, TopicPartition

FETCH_RECORDS_MAX: Final = 5_000
"""What may wait here of what the client has fetched."""
COMMIT_DEADLINE_S: Final = 5.0
CATCH_UP_S: Final = 10.0
"""How long a read that would answer empty waits for records that the broker says are there, before it is unavailable:
who reads a topic to its end must not take a client that is slow for the end."""
RESTART_S: Final = 0.5
STOP_S: Final = 1.0


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped driver
    """What a reader of the log reads through; `partitions` are all of its topics'."""

    def __init__(
        self, address: KafkaAddress, admin: Admin, partitions: Sequence[TopicPartition], group: str | None
    ) -> None:
        self._address = address
        self._admin = admin
        self._partitions = tuple(partitions)
        self._group = group
        self._kafka: AIOKafkaConsumer | None = None
        self._held: tuple[TopicPartition, ...] = self._partitions if group is None else ()
        self._told: tuple[TopicPartition, ...] = ()
        self._changed = group is None  # since it was told
        self._rebalancing = group is not None
        self._positions = Positions()
        self._failure: Exception | None = None
        self._doubted = False  # a broker says that it lacks some position
        self._wake = asyncio.Event()
        self._closed: Exception | None = None
        self._dead: ContractError | None = None
        self._waits = 0  # reads that wait right now
        self._waited = False  # since the watchdog's last look
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(self._open())
        self._watching = loop.create_task(self._watch())

    async def read(self, records_max: int, wait_s: float) -> Delivery:
        """Return what there is to say, waiting up to `wait_s` for it; see ports.Reader."""
        now = asyncio.get_running_loop().time
        until = now() + wait_s
        late = False
        while True:
            self._check()
            delivery = self._take(records_max)
            if delivery is not None:
                return delivery
            if self._doubted:
                self._doubted = False
                await self._behind()
            left = until - now()
            if left > 0:
                await self._fetch(left)
                continue
            if self._changed:
                return self._tell(())
            if late:
                raise UnavailableError(f"Kafka, read: records that are there did not come within {CATCH_UP_S:g} s")
            # what the client has not given may be there all the same: the brokers are asked before an empty answer
            if not await self._behind():
                return self._take(records_max) or Delivery()
            until, late = now() + CATCH_UP_S, True

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from `offset`; a partition that isn't held is left alone."""
        if partition in self._told:
            self._positions.seek(partition, offset)
            self._apply(partition)
            self._wake.set()

    def pause(self, partition: TopicPartition) -> None:
        """Give nothing of the partition until it is sought again."""
        self._positions.forget(partition)
        self._apply(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the group's offsets. Raises FencedError when a partition is not this member's any more."""
        if self._group is None:
            raise ContractError("a reader without a group has nothing to commit")
        lost = [partition for partition in offsets if partition not in self._held]
        if self._closed is not None or lost or self._kafka is None:
            raise FencedError(f"{self._group}: {lost or list(offsets)} are not this member's")
        if not offsets:
            return
        kept = {self._place(partition): offset for partition, offset in offsets.items()}
        try:
            with mapped_errors("commit"):
                async with asyncio.timeout(COMMIT_DEADLINE_S):
                    await self._kafka.commit(kept)
        except UnavailableError as error:
            if isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise FencedError(f"{self._group}: {list(offsets)} are not this member's") from error
            raise

    async def close(self, reason: Exception) -> None:
        """Leave the group and disconnect; from now on a read raises `reason`."""
        if self._closed is not None:
            return
        self._closed = reason
        self._wake.set()
        tasks = {self._opening, self._watching}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if self._kafka is not None:
            await stop_consumer(self._kafka, STOP_S)

    # What a group tells; from the client's own tasks.

    async def on_partitions_revoked(self, revoked: Collection[Place]) -> None:  # noqa: ARG002  all of them, always
        """Deliver nothing from now on."""
        self._rebalancing = self._changed = True
        self._held = ()
        for partition in list(self._positions.at):
            self._positions.forget(partition)
        self._wake.set()

    async def on_partitions_assigned(self, assigned: Collection[Place]) -> None:
        """Have them told, and fetch nothing of them before they are sought."""
        prefix = self._address.prefix
        self._held = tuple(sorted((each.topic.removeprefix(prefix), each.partition) for each in assigned))
        self._rebalancing, self._changed = False, True
        for partition in self._held:
            self._apply(partition)
        self._wake.set()

    # Delivering.

    def _check(self) -> None:
        ended = self._closed or self._dead
        if ended is not None:
            raise type(ended)(str(ended))
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise unavailable("read", failure)

    def _take(self, records_max: int) -> Delivery | None:
        if self._changed:
            return None if self._rebalancing else self._tell(self._held)
        records = self._positions.take(self._told, records_max)
        return Delivery(records=records) if records else None

    def _tell(self, held: tuple[TopicPartition, ...]) -> Delivery:
        """Tell of a rebalance; `changed` stays while what comes after it isn't known."""
        revoked, self._told, self._changed = self._told, held, self._rebalancing
        for partition in list(self._positions.at):
            self.pause(partition)
        return Delivery(assigned=held, revoked=revoked)

    async def _behind(self) -> bool:
        """Ask whether there is something to wait for. Raises LogTruncatedError for a position outside of the log."""
        positions = self._positions
        wanted = {partition: positions.at[partition] for partition in positions.empty()}
        if not wanted:
            return False
        ends, starts = await asyncio.gather(self._admin.ends(wanted), self._admin.starts(wanted))
        behind = False
        for partition, position in wanted.items():
            if positions.at.get(partition) != position:
                continue  # sought again meanwhile
            if not starts[partition] <= position <= ends[partition]:
                raise outside(partition, position, starts[partition], ends[partition])
            behind = behind or await self._passed(partition, position) < ends[partition]
        return behind

    async def _passed(self, partition: TopicPartition, position: int) -> int:
        """Return where the client stands, which passes over what compaction has left empty."""
        if self._kafka is None or self._place(partition) not in self._kafka.assignment():
            return position
        at: int = await self._kafka.position(self._place(partition))
        return max(position, at)

    # Fetching.

    async def _fetch(self, left_s: float) -> None:
        """Let the client fetch for what has nothing left, until something happens."""
        self._wake.clear()
        self._waits += 1
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._wake.wait())}
        if self._kafka is not None:
            asked = {self._place(each): (each, seek) for each, seek in self._positions.empty().items()}
            wait_ms = max(1, int(left_s * 1000))
            # also with nothing to ask for: only here the client says that it, or its group, has failed
            getting = asyncio.ensure_future(
                self._kafka.getmany(*asked, timeout_ms=wait_ms, max_records=FETCH_RECORDS_MAX)
            )
            # a callback, because what the client has given must be kept even if this read is cancelled meanwhile
            getting.add_done_callback(lambda done: self._arrived(done, asked))
            waits.add(getting)
        try:
            await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waits -= 1
            self._waited = True
            for each in waits:
                each.cancel()

    def _arrived(self, done: "asyncio.Future[Any]", asked: Mapping[Place, tuple[TopicPartition, int]]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._failed(error)
            return
        for place, records in done.result().items():
            if place in asked:
                self._positions.arrived(*asked[place], records)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, OffsetOutOfRangeError | NoOffsetForPartitionError):
            # the reading task asks the broker for its bounds, and says which partition it is
            self._doubted = True
            for partition in self._positions.empty():
                self._apply(partition)
        elif self._closed is None and self._opening.done():
            self._failure = error if isinstance(error, Exception) else UnavailableError(repr(error))
            self._opening = asyncio.get_running_loop().create_task(self._reopen())

    async def _watch(self) -> None:
        """End the process, by what the next read raises, when the client has stopped working and does not say so."""
        watchdog = Watchdog()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            waited, self._waited = self._waited or self._waits > 0, False
            wrong = None
            if waited:
                try:
                    wrong = watchdog.look(await self._waited_for())
                except DependencyError:
                    watchdog.forget()
            else:
                watchdog.forget()
            if wrong is not None:
                self._dead = ContractError(f"{self._group or 'a reader'}: the client has died: {wrong}")
                self._wake.set()
                return

    async def _waited_for(self) -> dict[TopicPartition, tuple[int, int]]:
        """Return (position, end) of the partitions of which there is nothing to deliver."""
        if self._rebalancing:
            at = dict.fromkeys(self._partitions, NOWHERE)
        else:
            at = {partition: self._positions.at[partition] for partition in self._positions.empty()}
        ends = await self._admin.ends(at) if at else {}
        return {partition: (position, ends[partition]) for partition, position in at.items()}

    # The client.

    async def _open(self) -> None:
        while True:
            kafka = new_consumer(self._address, self._group)
            try:
                await start(kafka, stop_consumer)
                break
            except Exception as error:  # noqa: BLE001  whatever it was is told to who reads, and tried again
                self._failure = error
                self._wake.set()
                await asyncio.sleep(RESTART_S)
        self._kafka = kafka
        if self._group is None:
            kafka.assign([self._place(each) for each in self._partitions])
            for partition in self._partitions:
                self._apply(partition)
        else:
            names = dict.fromkeys(self._address.prefix + topic for topic, _ in self._partitions)
            kafka.subscribe(list(names), listener=self)
        self._wake.set()

    async def _reopen(self) -> None:
        """Begin anew with another client after one that has failed."""
        kafka, self._kafka = self._kafka, None
        if self._group is not None:
            await self.on_partitions_revoked(())
        if kafka is not None:
            await stop_consumer(kafka, STOP_S)
        await self._open()

    def _apply(self, partition: TopicPartition) -> None:
        """Bring the client's position of a partition in line with ours: here, or paused."""
        place = self._place(partition)
        if self._kafka is None or place not in self._kafka.assignment():
            return
        position = self._positions.at.get(partition)
        # a partition without a position would have the client look for one
        self._kafka.seek(place, 0 if position is None else position)
        if position is None:
            self._kafka.pause(place)
        else:
            self._kafka.resume(place)

    def _place(self, partition: TopicPartition) -> Place:
        return Place(self._address.prefix + partition[0], partition[1])
