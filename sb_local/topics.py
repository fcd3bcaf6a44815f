"""`sb topics`: the topics of the log, looked at, made, and held against what they must be.

The rule: nothing that exists is changed, but by `repartition`. A topic's number of partitions decides where an event's
messages lie, so one that differs is refused here as it is by the services.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import msgspec
from msgspec import Struct

from sb_core import settings as settings_module
from sb_core import sports, topics
from sb_core.errors import ContractError, DependencyError
from sb_core.opening import open_log
from sb_core.ports import LogAdmin
from sb_core.runtime import SystemClock, route_logging
from sb_core.settings import Settings, SettingsError
from sb_core.topics import TopicSpec
from sb_local.repartition import repartition

DAY_MS = 86_400_000


class Row(Struct, frozen=True):
    """One topic: how it was made, the records it holds, and what is wrong with it ("" if nothing)."""

    topic: str
    partitions: int
    retention_ms: int | None
    compacted: bool
    records: int
    wrong: str


def wrongs(wanted: TopicSpec, found: TopicSpec | None) -> str:
    """Say in words how a topic differs from what it must be; "" if it doesn't."""
    if found is None:
        return "missing"
    said = []
    if found.partitions != wanted.partitions:
        said.append(f"{found.partitions} partitions, not {wanted.partitions}")
    if found.compacted != wanted.compacted:
        said.append("compacted" if found.compacted else "not compacted")
    elif not wanted.compacted and found.retention_ms != wanted.retention_ms:
        said.append(f"keeps {_kept(found)}, not {_kept(wanted)}")
    return "; ".join(said)


async def _rows(settings: Settings, admin: LogAdmin) -> list[Row]:
    found = await admin.topics()
    starts, ends = await admin.starts(list(found)), await admin.ends(list(found))
    records: dict[str, int] = dict.fromkeys(found, 0)
    for place, end in ends.items():
        records[place[0]] += end - starts[place]
    wanted = {spec.name: spec for spec in topics.specs(partitions=settings.partitions)}
    return [_row(wanted.get(name), found.get(name), records.get(name, 0)) for name in sorted({*wanted, *found})]


def _row(wanted: TopicSpec | None, found: TopicSpec | None, records: int) -> Row:
    shown = found or wanted
    assert shown is not None  # noqa: S101  a name comes from one of them
    return Row(
        topic=shown.name,
        partitions=found.partitions if found else 0,
        retention_ms=shown.retention_ms,
        compacted=shown.compacted,
        records=records,
        wrong="" if wanted is None else wrongs(wanted, found),
    )


async def _run(settings: Settings, command: str) -> list[Row]:
    async with open_log(settings, SystemClock()) as (_, admin):
        if command == "create":
            await admin.create(topics.specs(partitions=settings.partitions))
        return await _rows(settings, admin)


def _kept(spec: TopicSpec) -> str:
    if spec.compacted:
        return "the newest of each key"
    return "for ever" if spec.retention_ms is None else f"{spec.retention_ms / DAY_MS:g} days"


def _print(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    sys.stdout.write(f"{'topic':28} {'partitions':>10} {'records':>12}  {'keeps':22} verdict\n")
    for row in rows:
        kept = _kept(TopicSpec(row.topic, row.partitions, row.retention_ms, row.compacted))
        sys.stdout.write(f"{row.topic:28} {row.partitions:10} {row.records:12}  {kept:22} {row.wrong or 'OK'}\n")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb topics", description="The topics of the log at SB_LOG_URL.")
    commands = made.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text).add_argument("--json", action="store_true")
    command = commands.add_parser("repartition", help="give a sport's topics more partitions")
    command.add_argument("--sport", required=True, choices=sports.names())
    command.add_argument("--partitions", required=True, type=int)
    return made


COMMANDS: Mapping[str, str] = {
    "list": "all topics, how they were made, and how many records they hold",
    "create": "make what is missing; exit 1 where one has another number of partitions",
    "verify": "the same list, and exit 1 unless all topics are there as they must be",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; what is wrong with a topic is a verdict in the list, and exit 1 of `verify`."""
    arguments = parser().parse_args(argv)
    try:
        settings = settings_module.load()
        route_logging("topics", settings)
        if arguments.command == "repartition":
            return _repartition(settings, arguments.sport, arguments.partitions)
        rows = anyio.run(partial(_run, settings, arguments.command), backend="trio")
    except SettingsError as error:
        sys.stderr.write(f"sb topics: {error}\n")
        return 2
    except (ContractError, DependencyError) as error:
        sys.stderr.write(f"sb topics: {error}\n")
        return 1
    _print(rows, as_json=arguments.json)
    return 1 if arguments.command == "verify" and any(row.wrong for row in rows) else 0


def _repartition(settings: Settings, sport: str, count: int) -> int:
    """Ask for the topic's name typed, and do it."""
    before, name = topics.counts(settings.partitions)[sport], topics.feed(sport)
    if not before <= count <= topics.PARTITIONS_MAX:
        raise SettingsError(f"{name} has {before} partitions: it can have more, up to {topics.PARTITIONS_MAX}")
    sys.stderr.write(
        f"Ingest, distribution and the processors of {sport} must be stopped, with everything processed; their events\n"
        f"go to other partitions, and every reader takes new snapshots.\nType {name} to go on: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        sys.stderr.write("nothing was changed\n")
        return 1
    sys.stdout.write(anyio.run(repartition, settings, sport, count, backend="trio") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
