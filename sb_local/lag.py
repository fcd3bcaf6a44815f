"""`sb lag`: where each processor stands in its feed partitions, and what that means.

The rule: positions come from the store, ends from the log, and the verdict from a few looks, by the rules that the
console judges by: a group that works through its partitions in turns stalls in none of them.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from sb_console.collectors.positions import places
from sb_console.lag import STALLED_MS
from sb_console.lagging import looked
from sb_console.model import LagGroup, LagRow
from sb_core import settings as settings_module
from sb_core import sports, topics
from sb_core.errors import ContractError, DependencyError
from sb_core.runtime import open_context
from sb_core.settings import Settings, SettingsError

LOOKS: Final = 4
LOOK_S: Final = STALLED_MS / 1000 / (LOOKS - 1) + 0.02
"""Between two looks: all of them take as long as a verdict needs to call a group stalled."""


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


async def _run(settings: Settings) -> list[Lag]:
    rows: Mapping[str, LagRow] = {}
    groups: Sequence[LagGroup] = ()
    async with open_context(settings, "lag") as context:
        starts = await context.admin.starts([topics.feed(name) for name in sports.names()])
        for number in range(LOOKS):
            if number:
                await anyio.sleep(LOOK_S)
            rows, groups = looked(rows, groups, await places(context, starts), int(context.clock.monotonic_s() * 1000))
    return [_lag(each) for each in rows.values()]


def _lag(row: LagRow) -> Lag:
    return Lag(
        topic=row.topic,
        partition=row.partition,
        position=row.committed,
        done=row.done,
        end=row.end,
        lag=row.lag,
        in_per_s=row.in_per_s,
        out_per_s=row.out_per_s,
        verdict=row.verdict,
    )


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
