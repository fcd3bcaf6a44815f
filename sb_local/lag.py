"""`sb lag`: where each processor stands in its feed partitions, and what that means.

The rule: positions come from the store, ends from the log, and the verdict from two looks a moment apart, by the rules
that the console judges by.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

import anyio
import msgspec
from msgspec import Struct

from sb_console.lag import Look, judge
from sb_core import settings as settings_module
from sb_core import sports, topics
from sb_core.errors import ContractError, DependencyError
from sb_core.records import Position, TopicPartition
from sb_core.runtime import Context, open_context
from sb_core.settings import Settings, SettingsError

LOOK_S = 1.0


class Lag(Struct, frozen=True):
    """One partition: offsets, records behind, records a second in and out, and the verdict."""

    topic: str
    partition: int
    position: int | None
    done: int | None
    end: int
    lag: int
    in_per_s: float
    out_per_s: float
    verdict: str


Seen = tuple[Mapping[TopicPartition, Position], Mapping[TopicPartition, int]]


def compare(before: Seen, after: Seen, seconds: float) -> list[Lag]:
    """Compare two looks; a partition that nobody has claimed yet has no position."""
    rows = []
    span_ms = round(seconds * 1000)
    for place, end in sorted(after[1].items()):
        position = after[0].get(place)
        earlier = before[0].get(place)
        window = (
            Look(0, earlier.next_offset if earlier else None, before[1].get(place, 0)),
            Look(span_ms, position.next_offset if position else None, end),
        )
        judged = judge(window, stalled_ms=span_ms)
        rows.append(
            Lag(
                topic=place[0],
                partition=place[1],
                position=position.next_offset if position else None,
                done=position.done_offset if position else None,
                end=end,
                lag=judged.lag,
                in_per_s=judged.in_per_s,
                out_per_s=judged.out_per_s,
                verdict=judged.verdict,
            )
        )
    return rows


async def _look(context: Context, feeds: Sequence[str]) -> Seen:
    positions = {(each.topic, each.partition): each for each in await context.store.positions(feeds)}
    return positions, dict(await context.admin.ends(feeds))


async def _run(settings: Settings) -> list[Lag]:
    feeds = [topics.feed(name) for name in sports.names()]
    async with open_context(settings, "lag") as context:
        before = await _look(context, feeds)
        await anyio.sleep(LOOK_S)
        return compare(before, await _look(context, feeds), LOOK_S)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row per partition, the worst first; exit 1 where one is stalled or growing."""
    parser = argparse.ArgumentParser(prog="sb lag", description="Positions of the processors, and verdicts.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    try:
        settings = settings_module.load()
    except SettingsError as error:
        sys.stderr.write(f"sb lag: {error}\n")
        return 2
    try:
        rows = anyio.run(_run, settings, backend="trio")
    except (ContractError, DependencyError) as error:
        sys.stderr.write(f"sb lag: {error}\n")
        return 1
    rows.sort(key=lambda row: (-row.lag, row.topic, row.partition))
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
    else:
        sys.stdout.write(
            f"{'topic':28} {'part':>4} {'position':>9} {'end':>9} {'lag':>7} {'in/s':>7} {'out/s':>7} verdict\n"
        )
        for row in rows:
            at = "-" if row.position is None else row.position
            sys.stdout.write(
                f"{row.topic:28} {row.partition:4} {at:>9} {row.end:9} {row.lag:7} {row.in_per_s:7} {row.out_per_s:7} {row.verdict}\n"
            )
    return 1 if any(row.verdict in {"STALLED", "GROWING", "AT RISK"} for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
