"""`sb topics repartition`: more partitions for a sport, once everything that lies in them is through.

The rules: only a person does this, typing the topic's name; nothing runs meanwhile (what is seen running is refused),
and services refuse to start until SB_PARTITIONS says the new number. The log grows first: with the new number set, the
same command does what is left.
"""

import math
from collections.abc import Mapping
from typing import Final

import anyio
from msgspec.structs import replace

from sb_core import topics
from sb_core.errors import ContractError
from sb_core.records import Fetched, Position, TopicPartition
from sb_core.runtime import Context, open_context
from sb_core.settings import Settings
from sb_ingest.service import TICK_KEY, TICK_S
from sb_local.lineage import highest_published
from sb_local.part import read_part
from sb_process.processor import group_of
from sb_process.state import PartitionState, encoder, partition_decoder

STILL_S: Final = 3 * TICK_S
"""A feed to which nothing comes for so long has no ingest: each writes its ticks."""
GONE_S: Final = 10.0
"""By then an engine has noticed that members of a group are gone."""
LOOK_S: Final = 0.5


async def repartition(settings: Settings, sport: str, count: int) -> str:
    """Give a sport's topics `count` partitions; return what to say. Raises ContractError where that can't be."""
    wanted = changed(settings.partitions, sport, count)
    feed = topics.feed(sport)
    async with open_context(settings, "repartition") as context:
        await _check_stopped(context, sport)
        positions = {each.partition: each for each in await context.store.positions([feed])}
        states = {number: partition_decoder.decode(each.state or b"{}") for number, each in positions.items()}
        await _check_through(context, feed, positions, states)
        both = {feed, topics.updates(sport)}
        await context.admin.grow([spec for spec in topics.specs((sport,), wanted) if spec.name in both])
        published = await highest_published(context, topics.updates(sport))
        lineage = 1 + max(1, published, *(each.lineage for each in positions.values()))
        # what is known of producers is the same everywhere, and new partitions have no record of it
        newest = max(states.values(), key=lambda state: state.tick, default=PartitionState())
        after = [encoder.encode(replace(states.get(number, newest), lineage=lineage)) for number in range(count)]
        await context.store.repartition(feed, lineage, after, by=context.generation_step())
    return f"{sport} has {count} partitions, with lineage {lineage}: set SB_PARTITIONS={wanted} for all services"


def changed(text: str, sport: str, count: int) -> str:
    """Return SB_PARTITIONS with another number for a sport."""
    kept = [part for part in filter(None, text.split(",")) if part.partition("=")[0].strip() != sport]
    return ",".join([*kept, f"{sport}={count}"])


async def _check_stopped(context: Context, sport: str) -> None:
    """Raise ContractError while ingest writes to the sport's feed, or processors share it."""
    feed = topics.feed(sport)
    before = await context.admin.ends([feed])
    await anyio.sleep(STILL_S)
    if await context.admin.ends([feed]) != before:
        raise ContractError(
            f"{feed} is still written to: stop ingest, let the processors come to the end, and stop them"
        )
    for _ in range(math.ceil(GONE_S / LOOK_S)):
        members = await context.admin.members(group_of(sport))
        if not members:
            return
        await anyio.sleep(LOOK_S)
    raise ContractError(f"processors of {sport} still run ({members} in the group {group_of(sport)}): stop them")


async def _check_through(
    context: Context, feed: str, positions: Mapping[int, Position], states: Mapping[int, PartitionState]
) -> None:
    """Raise ContractError unless everything but ticks was processed and published."""
    await _check_read(context, feed, {(feed, number): each.next_offset for number, each in positions.items()})
    for number, each in positions.items():
        left = await context.store.outbox((feed, number), each.done_offset, each.next_offset)
        if left or states[number].lineage != each.lineage:
            raise _not_through(feed, number)


async def _check_read(context: Context, feed: str, nexts: Mapping[TopicPartition, int]) -> None:
    starts = await context.admin.starts([feed])

    def take(record: Fetched) -> None:
        if record.key != TICK_KEY:
            raise _not_through(feed, record.partition)

    await read_part(context, feed, {place: nexts.get(place, start) for place, start in starts.items()}, take)


def _not_through(feed: str, number: int) -> ContractError:
    return ContractError(
        f"{feed}/{number} is not through: stop ingest, let the processors come to the end, and stop them"
    )
