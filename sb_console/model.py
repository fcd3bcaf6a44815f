"""The snapshot: everything the console knows at one moment, as one frozen value. Screens and `--json` read nothing else.

The rules: made by `reduce` alone; every list has a limit here; times are ms since 1970 UTC, ages are counted from `at`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sb_console.lag import Look, Verdict
from sb_console.observations import (
    Acted,
    Board,
    Check,
    GeneratorSeen,
    Letter,
    Producer,
    ReplaySeen,
    SourceState,
    StreamSeen,
    TapeItem,
    TraceSeen,
)

SERIES_MAX: Final = 120
"""Points of a series, one a second."""
METRIC_POINTS_MAX: Final = 60
TAPE_MAX: Final = 400
LETTERS_MAX: Final = 1_000
TIMELINE_MAX: Final = 500
PRICES_MAX: Final = 120
"""Points of one outcome's price plot."""
PRICED_MAX: Final = 200
"""Outcomes of the followed event whose prices are remembered."""
STALE_ROUNDS: Final = 3
"""A source that was silent for this many of its rounds is late."""
STALE_MS_MIN: Final = 3_000


class Source(Struct, frozen=True):
    """A collector, as its rounds went: `seen_at` is its last good one."""

    name: str
    state: SourceState = "waiting"
    seen_at: int | None = None
    tried_at: int | None = None
    took_ms: float | None = None
    every_ms: int = 1_000
    error: str | None = None


class Service(Struct, frozen=True):
    """A service: `state` is OK, DEGRADED, NOT READY, DOWN or UNKNOWN (not asked yet)."""

    name: str
    port: int
    state: str = "UNKNOWN"
    version: str | None = None
    uptime_s: float | None = None
    reason: str | None = None
    restarts: int = 0
    checks: Mapping[str, Check] = {}
    counts: Mapping[str, int] = {}


class Mark(Struct, frozen=True):
    """A service's metrics as they were at a time."""

    at: int
    values: Mapping[str, float]


class Metrics(Struct, frozen=True):
    """A service's metrics now, and at two marks before, so that rates and quantiles are of 5 to 10 s."""

    now: Mark
    mark: Mark
    before: Mark
    series: Mapping[str, tuple[float, ...]] = {}
    """A point a mark: a gauge's value, a counter's growth a second; without histograms' buckets."""


class Stage(Struct, frozen=True):
    """One stage of the pipeline: rates a second, times in ms, `fill` from 0 to 1, errors a second."""

    name: str
    title: str
    state: str
    rate_in: float | None = None
    rate_out: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    timed: str = ""
    """What the times are of."""
    fill: float | None = None
    filled: str = ""
    errors_per_s: float | None = None
    errors: int = 0
    verdict: str = "OK"
    note: str = ""


class LagRow(Struct, frozen=True):
    """One partition of one group."""

    group: str
    topic: str
    partition: int
    committed: int | None
    done: int | None
    start: int
    end: int
    lag: int
    in_per_s: float
    out_per_s: float
    verdict: Verdict
    reason: str
    eta_s: float | None
    owner: str
    epoch: int
    lineage: int
    window: tuple[Look, ...]
    lags: tuple[int, ...]


class LagGroup(Struct, frozen=True):
    """All partitions of one group in one topic; `eta_s` is that of its slowest partition, `owner` that of its claims."""

    group: str
    topic: str
    verdict: Verdict
    partitions: int
    lag: int
    in_per_s: float
    out_per_s: float
    eta_s: float | None
    skew: float | None
    reason: str
    unpublished: int
    window: tuple[Look, ...] = ()


class Prices(Struct, frozen=True):
    """The followed event's prices over time: (ms, odds) by `market|line|outcome`, and what moved at the last change."""

    points: Mapping[str, tuple[tuple[int, str], ...]] = {}
    moved: Mapping[str, int] = {}
    """1 up, -1 down, 0 otherwise changed, by `market|line|outcome` or `market|line`."""
    moved_at: int = 0


class Entry(Struct, frozen=True):
    """Something that happened: `kind` is service, verdict, rebalance, letter, stream, producer, generator or action."""

    at: int
    kind: str
    level: str
    """ok, note, warn or bad."""
    subject: str
    text: str


class Snapshot(Struct, frozen=True):
    """Everything, at `at`."""

    profile: str = "local"
    at: int = 0
    begun: int = 0
    sources: Mapping[str, Source] = {}
    services: Mapping[str, Service] = {}
    metrics: Mapping[str, Metrics] = {}
    stages: tuple[Stage, ...] = ()
    bottleneck: str | None = None
    why: str = ""
    rows: Mapping[str, LagRow] = {}
    groups: tuple[LagGroup, ...] = ()
    verdict: Verdict = "UNKNOWN"
    requests: int = 0
    series: Mapping[str, tuple[float, ...]] = {}
    stream: StreamSeen | None = None
    stream_rate: float = 0.0
    stream_marks: tuple[tuple[int, int], ...] = ()
    tape: tuple[TapeItem, ...] = ()
    board: Board | None = None
    board_event: str | None = None
    prices: Prices = Prices()
    letters: tuple[Letter, ...] = ()
    letters_total: int | None = None
    letter: Letter | None = None
    replay: ReplaySeen | None = None
    generator: GeneratorSeen | None = None
    producers: tuple[Producer, ...] = ()
    trace: TraceSeen | None = None
    timeline: tuple[Entry, ...] = ()
    acted: Acted | None = None
    lost: int = 0
    """Observations that did not fit between collectors and reducer."""
