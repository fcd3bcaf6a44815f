"""`python -m bench [throughput|memory|latency|startup|generate|fanout|idle|rest|console|engines …] [--runs N] [--json]`: prints a table of medians and ranges."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence

from bench import console, engine_rows, fanout, generate, idle, latency, rest, startup, throughput
from bench.peer_builds import PeerError
from bench.table import Row, spread

THROUGHPUT_MESSAGES = 100_000
MEMORY_MESSAGES = 1_000_000
LATENCY_PER_S = 100
LATENCY_S = 20.0
CONSOLE_PER_S = 20_000
CONSOLE_S = 300.0
CONSOLE_SEEKS = 100
GENERATED_MS = 2_000
FANOUTS = ((50, 0), (50, 100), (5, 0))
"""Events a client follows, and its `conflate_ms`."""


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


def generate_rows(runs: int) -> list[Row]:
    """Measure the generator alone, what replay sends, then how late it sends in an open loop."""
    rows: list[Row] = []
    for language in ("canonical", "uof", "xml", "betfair"):
        done = [generate.measure(language, GENERATED_MS) for _ in range(runs)]
        what = (
            f"generation alone, {generate.POPULATION} matches in play, {language}, {done[0].bytes_each:,.0f} bytes each"
        )
        rows.append((what, "messages/s of one core", spread([each.per_s for each in done], ",.0f")))
    sent = [generate.replayed(GENERATED_MS) for _ in range(runs)]
    rows += [
        ("sb replay --speed max, canonical, into a sink", "messages/s", spread([each.per_s for each in sent], ",.0f")),
        ("", "messages/s of one core", spread([each.per_cpu_s for each in sent], ",.0f")),
        ("", "MB/s", spread([each.mb_per_s for each in sent], ".1f")),
    ]
    late = [generate.lateness(LATENCY_S) for _ in range(runs)]
    what = f"open loop, {generate.OPEN_LOOP_PER_S:,.0f} messages/s"
    return [
        *rows,
        (what, "sent late, p50, ms", spread([each.p50_ms for each in late], ".1f")),
        ("", "p99, ms", spread([each.p99_ms for each in late], ".1f")),
        ("", "messages/s", spread([each.per_s for each in late], ",.0f")),
    ]


def fanout_rows(runs: int) -> list[Row]:
    """Measure fan-out; a run whose clients saw a gap, or did not end with the right state, is no run."""
    rows: list[Row] = []
    for each, conflate_ms in FANOUTS:
        done = [fanout.measure(each, conflate_ms=conflate_ms) for _ in range(runs)]
        what = f"1,000 clients x {each} of 500 events, 2,000 updates/s, conflate_ms {conflate_ms}"
        rows += fanned_rows(what, done)
        if conflate_ms:
            continue
        what = f"the Go library Centrifuge, {each} events each"
        try:
            rows += fanned_rows(what, [fanout.measure_peer(each) for _ in range(runs)])
        except PeerError as error:
            rows.append((what, "not measured", str(error).splitlines()[0]))
    return rows


def fanned_rows(what: str, done: Sequence[fanout.FanOut]) -> list[Row]:
    """Show runs of one kind."""
    if any(one.seen.gaps or one.seen.wrong or one.seen.closed for one in done):
        raise RuntimeError(f"clients did not see what they must: {done}")
    return [
        (what, "share of a core", spread([one.cpu for one in done], ".2f")),
        ("", "deliveries/s (a merged item counts once)", spread([one.per_s for one in done], ",.0f")),
        ("", "p50, ms", spread([one.seen.p50_ms for one in done], ".1f")),
        ("", "p99, ms", spread([one.seen.p99_ms for one in done], ".1f")),
        ("", "updates sent late, p99, ms", spread([one.late_ms for one in done], ".1f")),
        ("", "clients' share of a core", spread([one.seen.cpu for one in done], ".2f")),
    ]


def idle_rows(_runs: int) -> list[Row]:
    """Measure what idle clients cost."""
    done = idle.measure()
    if done.lost:
        raise RuntimeError(f"{done.lost} clients were lost or wrong")
    what = f"{done.clients} idle connections, a subscription each"
    return [(what, "memory each, KB", f"{done.kb_each:.1f}"), ("", "share of a core", f"{done.cpu:.2f}")]


def rest_rows(runs: int) -> list[Row]:
    """Measure REST."""
    done = [rest.measure() for _ in range(runs)]
    return [
        ("GET of small events, encoded already", "answers/s", spread([one.per_s for one in done], ",.0f")),
        ("", "share of a core", spread([one.cpu for one in done], ".2f")),
        (f"the same at {rest.STEADY_PER_S:.0f}/s", "p50, ms", spread([one.steady.p50_ms for one in done], ".1f")),
        ("", "p99, ms", spread([one.steady.p99_ms for one in done], ".1f")),
    ]


def console_rows(_runs: int) -> list[Row]:
    """Measure the console."""
    done = console.measure(CONSOLE_PER_S, CONSOLE_S)
    seeks, looks = console.seek_ms(CONSOLE_SEEKS), console.lag_ms(200, CONSOLE_SEEKS)
    what = f"console, {CONSOLE_PER_S} stream items/s for {CONSOLE_S:.0f} s"
    return [
        (what, "items/s that it took", f"{done.updates_per_s:,.0f}"),
        ("", "paints a second", f"{done.paints_per_s:.1f}"),
        ("", "key to paint, p50 and p99, ms", f"{done.key_ms_p50:.0f}, {done.key_ms_p99:.0f}"),
        ("", "share of a core", f"{done.core:.2f}"),
        ("", "memory over the time, MB", " ".join(f"{each:.0f}" for each in done.memory_mb)),
        ("", "start to first paint, s", f"{done.first_paint_s:.2f}"),
        ("", "q to the end of the process, s", f"{done.exit_s:.2f} (exit {done.code})"),
        (
            "seek in a recording of an hour",
            "p50 and p99, ms",
            f"{statistics.median(seeks):.0f}, {latency.quantile(seeks, 0.99):.0f}",
        ),
        (
            "look at 200 partitions and judge them",
            "p50 and p99, ms",
            f"{statistics.median(looks):.0f}, {latency.quantile(looks, 0.99):.0f}",
        ),
    ]


SCENARIOS: dict[str, Callable[[int], list[Row]]] = {
    "throughput": throughput_rows,
    "memory": memory_rows,
    "latency": latency_rows,
    "startup": startup_rows,
    "console": console_rows,
    "generate": generate_rows,
    "fanout": fanout_rows,
    "idle": idle_rows,
    "rest": rest_rows,
    "engines": engine_rows.engine_rows,
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
