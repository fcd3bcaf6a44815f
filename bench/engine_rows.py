"""The rows about real engines; where these can't be started, one row says why."""

from collections.abc import Sequence
from typing import Final

from bench import console, engine_stream, engines, latency, peer_runs, recovery
from bench.engine_parts import Cost, fresh
from bench.engine_parts import engines as started
from bench.engines import Work
from bench.feed import bodies
from bench.peer_builds import PeerError
from bench.peer_runs import PEERS, Run
from bench.table import Row, spread
from sb_local.stack import Stack, StackError

LOOP_MESSAGES: Final = 200_000
LATENCY_PER_S: Final = 2_000
LATENCY_S: Final = 15.0
VICTIMS: Final = {
    "football": "processor killed",
    "distribute": "distribution killed",
    "redis": "Redis killed",
    "flush": "FLUSHALL",
    "mysql": "database killed",
}
PARTITIONS: Final = 200
LOOKS: Final = 50
COST: Final = "CPU s per million messages; peak memory, MB"


def engine_rows(runs: int) -> list[Row]:
    """Measure what runs on real engines."""
    try:
        with started() as running:
            return [
                *loop_rows(running, runs),
                *peer_rows(running, runs),
                *latency_rows(running, runs),
                *storm_rows(running, runs),
                *recovery_rows(running, runs),
                *console_rows(running),
            ]
    except StackError as error:
        return [("real engines", "not measured", str(error).splitlines()[0])]


def console_rows(running: Stack) -> list[Row]:
    """Have the console look at many partitions."""
    with fresh(running) as parts:
        times = console.lag_ms(PARTITIONS, LOOKS, parts.log_url)
    found = f"{latency.quantile(times, 0.5):.0f}, {latency.quantile(times, 0.99):.0f}"
    return [(f"the console looks at {PARTITIONS} partitions and judges them", "p50 and p99, ms", found)]


def loop_rows(running: Stack, runs: int) -> list[Row]:
    """Measure ingest and the processing loop, the latter with one processor and with two."""
    one = [engines.measure_loop(running, LOOP_MESSAGES) for _ in range(runs)]
    two = [engines.measure_loop(running, LOOP_MESSAGES, ("football", "football2")) for _ in range(runs)]
    return [
        *work_rows("ingest, HTTP to the broker's acknowledgement, batches of 500", [each.ingest for each in one]),
        *work_rows("processing loop, topic filled beforehand, one processor", [each.process for each in one]),
        *work_rows("the same, two processors", [each.process for each in two]),
    ]


def peer_rows(running: Stack, runs: int) -> list[Row]:
    """Have the peers do the same on the same topic."""
    found: dict[str, list[Run]] = {}
    missing: list[Row] = []
    lanes = bodies(engines.WARM_UP + LOOP_MESSAGES, engines.LANES)
    for peer in PEERS:
        try:
            for _ in range(runs):
                with fresh(running) as parts:  # tables, topics and positions of its own, as our processor has
                    engines.ingest(parts, lanes)
                    done = peer_runs.run(parts, peer)
                found.setdefault(peer.what, []).append(done)
        except PeerError as error:
            missing.append((peer.what, "not measured", str(error).splitlines()[0]))
    rows: list[Row] = []
    for what, runs_done in found.items():
        own = [each.told.cpu_s * 1e6 / each.told.all for each in runs_done]
        rows.append((what, "messages/s", spread([each.told.per_s for each in runs_done], ",.0f")))
        peaks = [each.told.peak_mb for each in runs_done]
        rows.append(("", f"itself: {COST}", f"{spread(own, '.1f')}; {spread(peaks, '.0f')}"))
        mysql = [each.engines["mysql"].cpu_s * 1e6 / each.told.all for each in runs_done]
        rows.append(("", "mysql: CPU s per million messages", spread(mysql, ".1f")))
    return [*rows, *missing]


def latency_rows(running: Stack, runs: int) -> list[Row]:
    """Measure POST to WebSocket frame."""
    done = [engine_stream.measure_latency(running, LATENCY_PER_S, LATENCY_S) for _ in range(runs)]
    stages = (f"{name} {spread([each.stages[name] for each in done], '.1f')}" for name in done[0].stages)
    return [
        (f"POST to WebSocket frame, {LATENCY_PER_S}/s", "p50, ms", spread([each.p50_ms for each in done], ".1f")),
        ("", "p99, ms", spread([each.p99_ms for each in done], ".1f")),
        ("", "load sent late, p99, ms", spread([each.late_ms for each in done], ".1f")),
        ("", "mean of each stage, ms", "; ".join(stages)),
        *cost_rows([(each.costs, each.messages) for each in done]),
    ]


def storm_rows(running: Stack, runs: int) -> list[Row]:
    """Measure a storm of settlements."""
    done = [engine_stream.measure_storm(running) for _ in range(runs)]
    what = f"{done[0].markets:,} markets settled at once"
    return [
        (what, "s from the first POST to the last frame", spread([each.seconds for each in done], ".1f")),
        *cost_rows([(each.costs, each.markets) for each in done]),
    ]


def recovery_rows(running: Stack, runs: int) -> list[Row]:
    """Measure how soon the stream lags less than a second again after a kill."""
    rows: list[Row] = []
    for victim, what in VICTIMS.items():
        done = [recovery.measure(running, victim, LATENCY_PER_S) for _ in range(runs)]
        errors, answers = sum(each.errors for each in done), sum(each.answers for each in done)
        rows += [
            (
                f"{what} at {LATENCY_PER_S}/s",
                "s until lag < 1 s for good",
                spread([each.back_s for each in done], ".1f"),
            ),
            ("", "of which until it was up itself, s", spread([each.up_s for each in done], ".1f")),
            ("", "worst lag, s", spread([each.worst_lag_s for each in done], ".1f")),
            ("", "answers of REST, and failures", f"{answers}, {errors}"),
            (
                "",
                f"events read from the database, of {engine_stream.EVENTS}",
                spread([each.loads for each in done], ".0f"),
            ),
        ]
    return rows


def work_rows(what: str, done: Sequence[Work]) -> list[Row]:
    """Write what some runs of the same work came to."""
    return [
        (what, "messages/s", spread([each.per_s for each in done], ",.0f")),
        *cost_rows([(each.costs, each.messages) for each in done]),
    ]


def cost_rows(done: Sequence[tuple[dict[str, Cost], int]]) -> list[Row]:
    """Write what each process used, per million of what was counted."""
    rows = []
    for name in done[0][0]:
        cpu = spread([costs[name].cpu_s * 1e6 / count for costs, count in done], ".1f")
        peak = spread([costs[name].peak_mb for costs, _ in done], ".0f")
        rows.append(("", f"{name}: {COST}", f"{cpu}; {peak}"))
    return rows
