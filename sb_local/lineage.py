"""`sb lineage raise`: goes on with a partition that stopped itself, at the price of new snapshots for every reader.

The rules: only a person does this, typing the partition's name; nothing resets a position by itself. A lineage is never
given twice: the updates topic tells of those that a database put back to an earlier state has forgotten.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from sb_core import settings as settings_module
from sb_core import sports, topics
from sb_core.errors import ContractError, DependencyError
from sb_core.records import Fetched, TopicPartition
from sb_core.runtime import Context, open_context
from sb_core.settings import Settings, SettingsError
from sb_local.part import read_part


class Published(Struct):
    """An update, as far as it matters here; ticks have no lineage."""

    lineage: int = 0


_decoder: Final = msgspec.json.Decoder(Published)


async def highest_published(context: Context, updates: str, partition: int | None = None) -> int:
    """Return the highest lineage in an updates topic, or in one partition of it; 0 where it holds none."""
    starts = await context.admin.starts([updates])
    at = {place: start for place, start in starts.items() if partition in {None, place[1]}}
    highest = 0

    def take(record: Fetched) -> None:
        nonlocal highest
        # what isn't of ours has no lineage
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            highest = max(highest, _decoder.decode(record.value or b"{}").lineage)

    await read_part(context, updates, at, take)
    return highest


async def raised(context: Context, place: TopicPartition) -> tuple[int, int]:
    """Raise a partition's lineage; return the offset at which it goes on, and the lineage."""
    start = (await context.admin.starts([place[0]]))[place]
    end = (await context.admin.ends([place[0]]))[place]
    known = {each.partition: each for each in await context.store.positions([place[0]])}
    position = known[place[1]].next_offset if place[1] in known else start
    # what retention took is gone, what the log lost never was: go on at the nearest offset that exists
    offset = min(max(position, start), end)
    if position > offset == 0:
        raise ContractError(f"{place[0]}/{place[1]} is empty: let ingest run first, which writes a tick each second")
    published = await highest_published(context, topics.updates(topics.sport_of(place[0])), place[1])
    return offset, await context.store.raise_lineage(place, offset, above=published, by=context.generation_step())


async def _raise(settings: Settings, sport: str, partition: int) -> tuple[int, int]:
    async with open_context(settings, "lineage") as context:
        return await raised(context, (topics.feed(sport), partition))


def main(argv: Sequence[str] | None = None) -> int:
    """Ask for the partition's name typed, raise its lineage, and say where it goes on."""
    parser = argparse.ArgumentParser(prog="sb lineage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("raise", help="go on with a stopped partition")
    command.add_argument("--sport", required=True, choices=sports.names())
    command.add_argument("--partition", required=True, type=int)
    arguments = parser.parse_args(argv)
    try:
        settings = settings_module.load()
    except SettingsError as error:
        sys.stderr.write(f"sb lineage: {error}\n")
        return 2
    count = topics.counts(settings.partitions)[arguments.sport]
    if not 0 <= arguments.partition < count:
        parser.error(f"partitions are 0 to {count - 1}")
    name = f"{topics.feed(arguments.sport)}/{arguments.partition}"
    sys.stderr.write(
        f"All events of {name} will be closed until newer odds come, and every reader will take new snapshots."
        f" Stop its processor first.\nType {name} to go on: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        sys.stderr.write("not raised\n")
        return 1
    try:
        offset, lineage = anyio.run(_raise, settings, arguments.sport, arguments.partition, backend="trio")
    except (ContractError, DependencyError) as error:
        sys.stderr.write(f"sb lineage: {error}\n")
        return 1
    sys.stdout.write(f"{name} goes on at offset {offset} with lineage {lineage}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
