"""The rows about real engines; where these can't be started, one row says why."""

from collections.abc import Sequence
from typing import Final

from bench import engines
from bench.engine_parts import engines as started
from bench.engines import Work
from bench.table import Row, spread
from sb_local.stack import Stack, StackError

LOOP_MESSAGES: Final = 200_000


def engine_rows(runs: int) -> list[Row]:
    """Measure what runs on real engines."""
    try:
        with started() as running:
            return loop_rows(running, runs)
    except StackError as error:
        return [("real engines", "not measured", str(error).splitlines()[0])]


def loop_rows(running: Stack, runs: int) -> list[Row]:
    """Measure ingest and the processing loop, the latter with one processor and with two."""
    one = [engines.measure_loop(running, LOOP_MESSAGES) for _ in range(runs)]
    two = [engines.measure_loop(running, LOOP_MESSAGES, ("football", "football2")) for _ in range(runs)]
    return [
        *work_rows("ingest, HTTP to the broker's acknowledgement, batches of 500", [each.ingest for each in one]),
        *work_rows("processing loop, topic filled beforehand, one processor", [each.process for each in one]),
        *work_rows("the same, two processors", [each.process for each in two]),
    ]


def work_rows(what: str, done: Sequence[Work]) -> list[Row]:
    """Write what some runs of the same work came to."""
    rows = [(what, "messages/s", spread([each.per_s for each in done], ",.0f"))]
    for name in done[0].costs:
        cpu = spread([each.cpu(name) for each in done], ".1f")
        peak = spread([each.costs[name].peak_mb for each in done], ".0f")
        rows.append(("", f"{name}: CPU s per million messages; peak memory, MB", f"{cpu}; {peak}"))
    return rows
