"""`python -m bench [throughput] [memory] [latency] [startup] [--runs N] [--json]`: prints a table of medians and ranges."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence

from bench import latency, startup, throughput

Row = tuple[str, str, str]
THROUGHPUT_MESSAGES = 100_000
MEMORY_MESSAGES = 1_000_000
LATENCY_PER_S = 100
LATENCY_S = 20.0


def spread(values: Sequence[float], form: str) -> str:
    """Write a median and the range."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{format(middle, form)} ({format(least, form)} to {format(most, form)})"


def throughput_rows(runs: int) -> list[Row]:
    """Measure throughput."""
    done = [throughput.measure(THROUGHPUT_MESSAGES) for _ in range(runs)]
    what = f"HTTP to updates topic, embedded, {THROUGHPUT_MESSAGES} messages"
    return [
        (what, "messages/s", spread([each.per_s for each in done], ",.0f")),
        ("", "CPU s per million messages", spread([each.cpu_s_per_million for each in done], ".0f")),
        ("", "peak memory, MB", spread([each.peak_mb for each in done], ".0f")),
        ("", "load generator's share of a core", spread([each.load_share for each in done], ".2f")),
    ]


def memory_rows(_runs: int) -> list[Row]:
    """Watch memory over a million messages."""
    done = throughput.measure(MEMORY_MESSAGES)
    return [
        (f"the same, {MEMORY_MESSAGES} messages", "messages/s", f"{done.per_s:,.0f}"),
        ("", "memory at each tenth, MB", " ".join(f"{each:.0f}" for each in done.memory_mb)),
    ]


def latency_rows(runs: int) -> list[Row]:
    """Measure latency."""
    done = [latency.measure(LATENCY_PER_S, LATENCY_S) for _ in range(runs)]
    return [
        (f"one update, POST to WebSocket, {LATENCY_PER_S}/s", "p50, ms", spread([each.p50_ms for each in done], ".1f")),
        ("", "p99, ms", spread([each.p99_ms for each in done], ".1f")),
        ("", "load sent late, p99, ms", spread([each.late_ms for each in done], ".1f")),
    ]


def startup_rows(_runs: int) -> list[Row]:
    """Measure a newcomer's start."""
    done = startup.measure()
    return [
        ("clean clone to first odds over WebSocket", "first time, with downloads, s", f"{done.first_s:.1f}"),
        ("", "second time, s", f"{done.second_s:.1f}"),
    ]


SCENARIOS: dict[str, Callable[[int], list[Row]]] = {
    "throughput": throughput_rows,
    "memory": memory_rows,
    "latency": latency_rows,
    "startup": startup_rows,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run scenarios and print their rows."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="which (default: all)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    rows: list[Row] = []
    for name in arguments.scenario or SCENARIOS:
        sys.stderr.write(f"measuring {name}\n")
        rows.extend(SCENARIOS[name](arguments.runs))
    if arguments.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return 0
    load = os.getloadavg()[0]
    sys.stdout.write(
        f"{os.cpu_count()} processors, Python {sys.version.split()[0]}, load before the end {load:.1f}\n\n"
    )
    sys.stdout.write("| what | figure | median (range) |\n|---|---|---|\n")
    for what, figure, value in rows:
        sys.stdout.write(f"| {what} | {figure} | {value} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
