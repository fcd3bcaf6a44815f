"""Trio's side of a reader of the Kafka log: it crosses the bridge once a read, and holds nothing itself.

The rule: seeking and pausing are posted, in order with the reads, so that a read sees all that came before it.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import anyio.lowlevel

from sb_core.adapters.kafka_consumer import Consumer
from sb_core.bridge import Bridge
from sb_core.errors import ContractError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.records import Delivery, TopicPartition

READ_SLACK_S: Final = 15.0
"""A read that hasn't come back so long after its waiting time is unavailable."""
COMMIT_DEADLINE_S: Final = 10.0
CLOSE_S: Final = 3.0


class KafkaReader:
    """A Reader of the Kafka log; its consumer lives on the bridge's loop."""

    def __init__(self, bridge: Bridge, make: Callable[[], Consumer], leave: Callable[["KafkaReader"], None]) -> None:
        self._bridge = bridge
        self._leave = leave
        self._closed = False
        self.consumer: Consumer
        bridge.post(self._begin, make)

    def __repr__(self) -> str:
        """Tell whether it is open."""
        return f"<KafkaReader{' CLOSED' if self._closed else ''}>"

    async def read(self, *, records_max: int, wait_s: float) -> Delivery:
        """Return what there is, waiting up to `wait_s` seconds for it. Raises LogTruncatedError, UnavailableError."""
        if self._closed:
            raise ContractError("reading a closed reader")
        return await self._bridge.call(self._read, records_max, wait_s, deadline_s=wait_s + READ_SLACK_S)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from `offset`, whose record is the next to be read. A partition that isn't held is left alone."""
        with contextlib.suppress(UnavailableError):  # of a closed log; the next read says so
            self._bridge.post(self._seek, partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        """Give nothing of the partition until it is sought again."""
        with contextlib.suppress(UnavailableError):
            self._bridge.post(self._pause, partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the group's offsets. Raises FencedError when a partition is not this member's any more."""
        if self._closed:
            raise FencedError(f"{list(offsets)} are not this member's: it is closed")
        await self._bridge.call(self._commit, offsets, deadline_s=COMMIT_DEADLINE_S)

    async def aclose(self) -> None:
        """Leave the group; cancelled, it goes on leaving over there."""
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._closed = True
        self._leave(self)
        reason = ContractError("reading a closed reader")
        with contextlib.suppress(UnavailableError, UnknownOutcomeError):  # closed with its log; or left behind
            await self._bridge.call_shielded(self.end, reason, deadline_s=CLOSE_S)

    # The loop's side.

    async def end(self, reason: Exception) -> None:
        """Close the consumer; a read that waits raises `reason`."""
        await self.consumer.close(reason)

    def _begin(self, make: Callable[[], Consumer]) -> None:
        self.consumer = make()

    async def _read(self, records_max: int, wait_s: float) -> Delivery:
        return await self.consumer.read(records_max, wait_s)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self.consumer.commit(offsets)

    def _seek(self, partition: TopicPartition, offset: int) -> None:
        self.consumer.seek(partition, offset)

    def _pause(self, partition: TopicPartition) -> None:
        self.consumer.pause(partition)
