"""Names of topics, their settings, and Kafka's own way from a key to a partition.

The rule: all messages of an event go through one partition, the same on every engine and in every language.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from sb_core import sports as registry

SPORTS: Final = registry.names()
"""The sports registered in sb_core/sports/__init__.py."""
PARTITIONS: Final = 12
"""Partitions of each sport's feed and updates topics, unless SB_PARTITIONS says otherwise; fixed when a topic is made."""
PARTITIONS_MAX: Final = 1_000

ALIVE: Final = "sports-alive"
EVENTS: Final = "sports-events"
PRODUCERS: Final = "sports-producers"
PROCESSORS: Final = "sports-processors"
"""What holds processors up, by sport, compacted; ingest answers 503 while it holds."""
REFERENCE: Final = "sports-reference"
"""Reference documents that providers sent (market descriptions), compacted; ingest reads them back at its start."""
DEAD_LETTER: Final = "sports-dead-letter"

_DAY_MS: Final = 86_400_000


class TopicSpec(Struct, frozen=True):
    """What a topic is made with. Retention is in milliseconds; None keeps for ever (compacted topics)."""

    name: str
    partitions: int
    retention_ms: int | None
    compacted: bool = False


def feed(sport: str) -> str:
    """Name the topic that holds a sport's canonical messages."""
    return f"sports-feed-{sport}"


def updates(sport: str) -> str:
    """Name the topic that holds one record per `rev` of a sport's events."""
    return f"sports-updates-{sport}"


def sport_of(topic: str) -> str:
    """Return the sport of a feed or updates topic."""
    return topic.rsplit("-", 1)[1]


def counts(text: str) -> dict[str, int]:
    """Return every sport's number of partitions, where some differ by `sport=count,…`. Raises ValueError."""
    found = dict.fromkeys(registry.names(), PARTITIONS)
    for part in filter(None, text.split(",")):
        sport, _, count = part.strip().partition("=")
        if sport not in found or not (count.isascii() and count.isdigit() and 1 <= int(count) <= PARTITIONS_MAX):
            raise ValueError(f"{part!r} is not sport=count with a count of 1 to {PARTITIONS_MAX}")
        found[sport] = int(count)
    return found


def specs(sports: tuple[str, ...] | None = None, partitions: str = "") -> tuple[TopicSpec, ...]:
    """List every topic of the system with its settings; of all registered sports unless some are named.

    `partitions` is SB_PARTITIONS.
    """
    sports = registry.names() if sports is None else sports
    count = counts(partitions)
    return (
        *(TopicSpec(feed(sport), count[sport], 7 * _DAY_MS) for sport in sports),
        *(TopicSpec(updates(sport), count[sport], 3 * _DAY_MS) for sport in sports),
        TopicSpec(ALIVE, 1, _DAY_MS),
        TopicSpec(EVENTS, 1, None, compacted=True),
        TopicSpec(PRODUCERS, 1, None, compacted=True),
        TopicSpec(PROCESSORS, 1, None, compacted=True),
        TopicSpec(REFERENCE, 1, None, compacted=True),
        TopicSpec(DEAD_LETTER, 1, 30 * _DAY_MS),
    )


def murmur2(data: bytes) -> int:
    """Hash as Kafka's Java client does (32 bit, seed 0x9747b28c)."""
    length = len(data)
    mask = 0xFFFFFFFF
    h = 0x9747B28C ^ length
    body = length - length % 4
    for i in range(0, body, 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0x5BD1E995 & mask
        k = (k ^ k >> 24) * 0x5BD1E995 & mask
        h = h * 0x5BD1E995 & mask ^ k
    tail = data[body:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * 0x5BD1E995 & mask
    h = (h ^ h >> 13) * 0x5BD1E995 & mask
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int = PARTITIONS) -> int:
    """Return the partition of a key, as every Kafka client's default partitioner would."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
