"""Reads a part of a topic once, for the operator's commands: from given offsets up to the ends that it has now.

The rule: it ends. A log that gives nothing for a while is told as unavailable, never waited for.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sb_core.errors import UnavailableError
from sb_core.records import Fetched, TopicPartition
from sb_core.runtime import Context

RECORDS_MAX: Final = 5_000
"""Records that are looked at together."""
WAIT_S: Final = 1.0
IDLE_READS_MAX: Final = 30
"""Reads in a row that may bring nothing, each of WAIT_S."""


async def read_part(
    context: Context, topic: str, at: Mapping[TopicPartition, int], take: Callable[[Fetched], None]
) -> None:
    """Give `take` each record of the partitions in `at`, from there on; other partitions are passed over.

    Raises UnavailableError when it stands still, DependencyError as the log does, and whatever `take` raises.
    """
    ends = await context.admin.ends([topic])
    behind = {place for place, offset in at.items() if offset < ends[place]}
    idle = 0
    reader = context.log.reader([topic])
    try:
        while behind:
            delivery = await reader.read(records_max=RECORDS_MAX, wait_s=WAIT_S)
            for place in behind.intersection(delivery.assigned):
                reader.seek(place, at[place])
            for record in delivery.records:
                take(record)
                if record.offset + 1 >= ends[topic, record.partition]:
                    behind.discard((topic, record.partition))
            idle = 0 if delivery.records or delivery.assigned else idle + 1
            if idle >= IDLE_READS_MAX:
                raise UnavailableError(f"{topic} gives nothing, and has more: {sorted(behind)}")
    finally:
        await reader.aclose()
