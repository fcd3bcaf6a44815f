"""Topics, offsets and groups of the Kafka log: what is asked of the brokers besides records.

The rules: a topic is asked about only after the list of all topics has shown it, so that asking never creates one;
every question has a deadline. All of this runs on the bridge's loop.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition as Place
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from sb_core.adapters.kafka_batches import MESSAGE_BYTES_MAX
from sb_core.adapters.kafka_client import (
    KafkaAddress,
    client_options,
    mapped_errors,
    new_consumer,
    start,
    stop_admin,
    stop_consumer,
)
from sb_core.adapters.kafka_writer import ACCOUNT
from sb_core.errors import ContractError, UnavailableError
from sb_core.records import TopicPartition
from sb_core.topics import TopicSpec

ASK_DEADLINE_S: Final = 5.0
CREATE_DEADLINE_S: Final = 15.0
RETRY_S: Final = 0.1
STOP_S: Final = 0.5
REPLICATION_MAX: Final = 3
INSYNC_MIN: Final = 2

_SEGMENT_MS_MAX: Final = 86_400_000
_ACCOUNT_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_NEVER: Final = 2**63 - 1
_ACCOUNT_SPEC: Final = TopicSpec(ACCOUNT, 1, None, compacted=True)

T = TypeVar("T")


def topic_settings(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Return the settings that a topic is made with, by Kafka's names."""
    settings = {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": "-1" if spec.retention_ms is None else str(spec.retention_ms),
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "message.timestamp.type": "CreateTime",
        # what is too far ahead is refused by ingest, with a code; a broker's refusal would stop everything behind it
        "message.timestamp.after.max.ms": str(_NEVER),
        # a broker drops, or compacts, whole segments that are closed
        "segment.ms": str(min(_SEGMENT_MS_MAX, spec.retention_ms or _SEGMENT_MS_MAX)),
    }
    if spec.compacted:
        settings["min.cleanable.dirty.ratio"] = "0.1"
    if spec.name == ACCOUNT:
        settings["segment.bytes"] = str(_ACCOUNT_SEGMENT_BYTES)
    if replication > 1:
        settings["min.insync.replicas"] = str(INSYNC_MIN)
    return settings


class Admin:
    """Asks the brokers. Names of topics are without the address' prefix on the outside."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._prefix = address.prefix
        self._admin = AIOKafkaAdminClient(**client_options(address))
        self._offsets = new_consumer(address, None)

    async def open(self) -> None:
        """Connect. Raises what the client raises."""
        await start(self._admin, stop_admin)
        await start(self._offsets, stop_consumer)

    async def close(self) -> None:
        """Disconnect, within a second."""
        await asyncio.gather(stop_admin(self._admin, STOP_S), stop_consumer(self._offsets, STOP_S))

    async def ping(self) -> None:
        """Raise UnavailableError unless a broker answers."""
        await _within(ASK_DEADLINE_S, "ping", self._admin.describe_topics, [])

    async def topics(self) -> dict[str, int]:
        """Return all topics with their numbers of partitions."""
        return await _within(ASK_DEADLINE_S, "topics", self._topics)

    async def describe(self) -> dict[str, TopicSpec]:
        """Return all topics as they were made, or changed since."""
        counts = await self.topics()
        asked = [ConfigResource(ConfigResourceType.TOPIC, self._prefix + name) for name in counts]
        answers = await _within(ASK_DEADLINE_S, "describe topics", self._admin.describe_configs, asked) if asked else []
        found: dict[str, TopicSpec] = {}
        for _, _, _, topic, rows in (each for answer in answers for each in answer.resources):
            settings = {row[0]: row[1] for row in rows}
            if settings:
                name, retention_ms = topic.removeprefix(self._prefix), int(settings["retention.ms"])
                compacted = "compact" in settings["cleanup.policy"]
                found[name] = TopicSpec(name, counts[name], None if retention_ms < 0 else retention_ms, compacted)
        return found

    async def create(self, specs: Sequence[TopicSpec]) -> dict[str, int]:
        """Make what is missing, and the account's topic; return all topics. Raises ContractError when one differs."""
        return await _within(CREATE_DEADLINE_S, "create topics", self._create, (*specs, _ACCOUNT_SPEC))

    async def grow(self, specs: Sequence[TopicSpec]) -> dict[str, int]:
        """Add partitions; return all topics. Raises ContractError for one that has more, or isn't there."""
        return await _within(CREATE_DEADLINE_S, "grow topics", self._grow, specs)

    async def starts(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the oldest kept offsets."""
        asked = self._asked(places)
        found = await _within(ASK_DEADLINE_S, "starts", self._offsets.beginning_offsets, list(asked))
        return {place: found[each] for each, place in asked.items()}

    async def ends(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets that the next records will get."""
        asked = self._asked(places)
        found = await _within(ASK_DEADLINE_S, "ends", self._offsets.end_offsets, list(asked))
        return {place: found[each] for each, place in asked.items()}

    async def offsets_at(self, places: Iterable[TopicPartition], ts: int) -> dict[TopicPartition, int]:
        """Return each partition's first offset whose ts is `ts` or later, its end when there is none."""
        asked = self._asked(places)
        # the ends first: what is appended meanwhile is later than what was found, never before it
        ends = await self.ends(asked.values())
        times = dict.fromkeys(asked, ts)
        found = await _within(ASK_DEADLINE_S, "offsets", self._offsets.offsets_for_times, times)
        return {place: ends[place] if found[each] is None else found[each].offset for each, place in asked.items()}

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return a group's committed offsets."""
        ask = self._admin.list_consumer_group_offsets
        found: Mapping[Place, Any] = await _within(ASK_DEADLINE_S, "committed", ask, self._prefix + group)
        return {
            (each.topic.removeprefix(self._prefix), each.partition): offset.offset
            for each, offset in found.items()
            if offset.offset >= 0 and each.topic.startswith(self._prefix)
        }

    async def members(self, group: str) -> int:
        """Return how many members a group has; one that was killed counts until its session ends."""
        return await _within(ASK_DEADLINE_S, "members", self._members, self._prefix + group)

    async def _members(self, group: str) -> int:
        (answer,) = await self._admin.describe_consumer_groups([group])
        ((code, _, _, _, _, members, *_),) = answer.groups
        if code:
            raise for_code(code)(group)
        return len(members)

    def _asked(self, places: Iterable[TopicPartition]) -> dict[Place, TopicPartition]:
        return {Place(self._prefix + topic, number): (topic, number) for topic, number in places}

    async def _topics(self) -> dict[str, int]:
        return {
            each["topic"].removeprefix(self._prefix): len(each["partitions"])
            for each in await self._admin.describe_topics(None)
            if each["topic"].startswith(self._prefix) and not each["error_code"]
        }

    async def _create(self, specs: Sequence[TopicSpec]) -> dict[str, int]:
        known = await self._topics()
        for spec in specs:
            if known.get(spec.name, spec.partitions) != spec.partitions:
                raise ContractError(
                    f"topic {spec.name} has {known[spec.name]} partitions, not {spec.partitions}; "
                    "SB_PARTITIONS and sb topics repartition say how many"
                )
        missing = [spec for spec in specs if spec.name not in known]
        if not missing:
            return known
        replication = self._address.replication or await self._replication()
        made = [self._new(spec, replication) for spec in missing]
        answer = await self._admin.create_topics(made)
        for topic, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:  # another service was faster
                raise error(topic)
        while not await self._led(specs):  # noqa: ASYNC110  it happens at the brokers
            await asyncio.sleep(RETRY_S)
        return await self._create(specs)

    async def _grow(self, specs: Sequence[TopicSpec]) -> dict[str, int]:
        known = await self._topics()
        for spec in specs:
            if not 0 < known.get(spec.name, 0) <= spec.partitions:
                raise ContractError(f"topic {spec.name} is not there, or has more than {spec.partitions} partitions")
        growing = {
            self._prefix + spec.name: NewPartitions(spec.partitions)
            for spec in specs
            if known[spec.name] < spec.partitions
        }
        if growing:
            await self._admin.create_partitions(growing)
        while not await self._led(specs):  # noqa: ASYNC110  it happens at the brokers
            await asyncio.sleep(RETRY_S)
        return await self._topics()

    def _new(self, spec: TopicSpec, replication: int) -> NewTopic:
        settings = topic_settings(spec, replication)
        return NewTopic(self._prefix + spec.name, spec.partitions, replication, topic_configs=settings)

    async def _replication(self) -> int:
        cluster = await self._admin.describe_cluster()
        return min(REPLICATION_MAX, len(cluster["brokers"]))

    async def _led(self, specs: Sequence[TopicSpec]) -> bool:
        """Say whether every partition of these topics has a leader, as far as the brokers know by now."""
        found = {each["topic"]: each for each in await self._admin.describe_topics(None)}
        return all(
            (topic := found.get(self._prefix + spec.name)) is not None
            and len(topic["partitions"]) == spec.partitions
            and all(part["leader"] >= 0 for part in topic["partitions"])
            for spec in specs
        )


async def _within(seconds: float, what: str, ask: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Ask until there is an answer or the time is up: a broker that just started knows little at first."""
    last: Exception | None = None
    with mapped_errors(what):
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await ask(*args)
                    except KafkaError as error:
                        if not getattr(error, "retriable", False):
                            raise
                        last = error
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise UnavailableError(f"Kafka, {what}: no answer within {seconds:g} s ({last!r})") from last
