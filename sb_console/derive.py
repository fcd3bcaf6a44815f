"""What follows from several sources together: ages of sources, states of services, stages of the pipeline, the bottleneck.

The rule: computed from the snapshot alone, once a tick; a stage whose source is silent has no rates rather than old ones.
Pure.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from sb_console.lag import SEVERITY
from sb_console.metrics import COUNTERS, family, grown, prefix_of, quantiles, total
from sb_console.model import (
    METRIC_POINTS_MAX,
    SERIES_MAX,
    STALE_MS_MIN,
    STALE_ROUNDS,
    LagGroup,
    Mark,
    Metrics,
    Service,
    Snapshot,
    Source,
    Stage,
)
from sb_core.topics import SPORTS

INGEST: Final = "feed-ingestion"
DISTRIBUTION: Final = "data-distribution"
STREAM: Final = "data-distribution-stream"
GENERATOR: Final = "feed-generator"
PROCESSING: Final = "data-processing-"
INFLIGHT_MAX: Final = 64
WAITING_MAX: Final = 50_000
CONNECTIONS_MAX: Final = 2_000
"""The services' own limits at their defaults, for how full a queue is."""
STALE_S: Final = 5.0
"""A processor's lag is measured against the age at which events become stale."""
FULL: Final = 0.8
TICKS_PER_S: Final = 1.0
"""Records a second that ingest writes into every feed partition by itself."""
_BAD_STATES: Final = frozenset({"DOWN", "NOT READY"})


def aged(source: Source, at: int) -> Source:
    """Say whether a source that was live still is."""
    if source.state not in {"live", "late"} or source.seen_at is None:
        return source
    late = at - source.seen_at > max(STALE_MS_MIN, STALE_ROUNDS * source.every_ms)
    return replace(source, state="late" if late else "live")


def judged(service: Service, source: Source | None) -> Service:
    """Let a service that doesn't answer be DOWN, with the reason, and one that nobody has asked for a while UNKNOWN."""
    if source is not None and source.state == "late":
        return replace(service, state="UNKNOWN", reason="nothing was heard of it for a while")
    if source is None or source.state != "down":
        return service
    return replace(service, state="DOWN", reason=source.error)


def derived(snapshot: Snapshot) -> Snapshot:
    """Work out stages, bottleneck and series anew."""
    stages = (
        _feed(snapshot),
        _ingest(snapshot),
        *(_process(snapshot, sport) for sport in SPORTS),
        _distribute(snapshot),
        _clients(snapshot),
    )
    bottleneck, why = _bottleneck(stages)
    snapshot = replace(snapshot, stages=stages, bottleneck=bottleneck, why=why)
    return replace(snapshot, series=_series(snapshot))


def _metrics(snapshot: Snapshot, service: str) -> Metrics | None:
    source = snapshot.sources.get(service)
    return snapshot.metrics.get(service) if source is not None and source.state == "live" else None


def _state(snapshot: Snapshot, service: str) -> str:
    held = snapshot.services.get(service)
    return held.state if held is not None else "UNKNOWN"


def rate(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a counter's growth a second since the older mark."""
    seconds = (metrics.now.at - metrics.before.at) / 1000
    if seconds <= 0:
        return None
    return round(grown(metrics.before.values, metrics.now.values, name, **labels) / seconds, 1)


def plotted(held: Metrics, now: Mark) -> dict[str, tuple[float, ...]]:
    """Add a point to every metric's plot."""
    seconds = (now.at - held.mark.at) / 1000
    made: dict[str, tuple[float, ...]] = {}
    for name, value in now.values.items():
        if "_bucket{" in name:
            continue
        point = value
        if family(name).endswith(COUNTERS):
            was = held.mark.values.get(name, 0.0)
            point = max(0.0, value - was if value >= was else value) / seconds
        made[name] = (*held.series.get(name, ()), round(point, 6))[-METRIC_POINTS_MAX:]
    return made


def _times(metrics: Metrics, name: str, **labels: str) -> tuple[float | None, float | None]:
    found = quantiles(metrics.before.values, metrics.now.values, name, (0.5, 0.99), **labels)
    p50, p99 = (None if each is None else round(each * 1000, 2) for each in found)
    return p50, p99


def _feed(snapshot: Snapshot) -> Stage:
    told = snapshot.generator
    stage = Stage("feed", "feed", _state(snapshot, GENERATOR), note=f"simulator {told.state}" if told else "")
    metrics = _metrics(snapshot, GENERATOR)
    if metrics is None:
        return stage
    prefix, now = prefix_of(GENERATOR), metrics.now.values
    p50, p99 = _times(metrics, f"{prefix}lateness_seconds")
    refused = total(now, f"{prefix}messages_sent_total", outcome="refused")
    return replace(
        stage,
        rate_in=rate(metrics, f"{prefix}messages_made_total"),
        rate_out=rate(metrics, f"{prefix}messages_sent_total"),
        p50_ms=p50,
        p99_ms=p99,
        timed="planned to answered",
        fill=total(now, f"{prefix}waiting_messages") / WAITING_MAX,
        filled="waiting to be sent",
        errors=int(refused),
        errors_per_s=rate(metrics, f"{prefix}messages_sent_total", outcome="refused"),
    )


def _ingest(snapshot: Snapshot) -> Stage:
    stage = Stage("ingest", "ingest", _state(snapshot, INGEST))
    metrics = _metrics(snapshot, INGEST)
    if metrics is None:
        return stage
    prefix, now = prefix_of(INGEST), metrics.now.values
    p50, p99 = _times(metrics, f"{prefix}request_seconds")
    return replace(
        stage,
        rate_in=rate(metrics, f"{prefix}messages_total"),
        rate_out=rate(metrics, f"{prefix}messages_total", outcome="accepted"),
        p50_ms=p50,
        p99_ms=p99,
        timed="a request",
        fill=total(now, f"{prefix}inflight_requests") / INFLIGHT_MAX,
        filled="requests at work",
        errors=int(total(now, f"{prefix}refused_total")),
        errors_per_s=rate(metrics, f"{prefix}refused_total"),
    )


def _group(snapshot: Snapshot, sport: str) -> LagGroup | None:
    source = snapshot.sources.get("positions")
    if source is None or source.state != "live":
        return None
    return next((each for each in snapshot.groups if each.topic == f"sports-feed-{sport}"), None)


def _process(snapshot: Snapshot, sport: str) -> Stage:
    service = PROCESSING + sport
    stage = Stage(f"process {sport}", f"process {sport}", _state(snapshot, service), verdict="UNKNOWN")
    metrics = _metrics(snapshot, service)
    if metrics is not None:
        prefix = prefix_of(service)
        p50, p99 = _times(metrics, f"{prefix}stage_seconds", stage="commit")
        done = rate(metrics, f"{prefix}messages_total")
        system = rate(metrics, f"{prefix}messages_total", result="system")
        stage = replace(
            stage,
            rate_out=None if done is None or system is None else round(done - system, 1),
            p50_ms=p50,
            p99_ms=p99,
            timed="a batch's commit",
            errors=int(total(metrics.now.values, f"{prefix}messages_total", result="dead_lettered")),
            errors_per_s=rate(metrics, f"{prefix}messages_total", result="dead_lettered"),
        )
    group = _group(snapshot, sport)
    if group is None:
        return stage
    waits_s = group.lag / group.out_per_s if group.out_per_s > 0 else (STALE_S if group.lag else 0.0)
    return replace(
        stage,
        verdict=group.verdict,
        rate_in=round(max(0.0, group.in_per_s - TICKS_PER_S * group.partitions), 1),
        fill=min(1.0, waits_s / STALE_S),
        filled=f"{group.lag} records wait",
        note=group.reason if group.verdict not in {"OK", "UNKNOWN"} else "",
    )


def _distribute(snapshot: Snapshot) -> Stage:
    stage = Stage("distribute", "distribute", _state(snapshot, DISTRIBUTION))
    metrics = _metrics(snapshot, DISTRIBUTION)
    if metrics is None:
        return stage
    prefix, now = prefix_of(DISTRIBUTION), metrics.now.values
    p50, p99 = _times(metrics, f"{prefix}rest_request_seconds")
    stale = [sport for sport in SPORTS if total(now, f"{prefix}stale_state", sport=sport)]
    applied = rate(metrics, f"{prefix}updates_read_total")
    return replace(
        stage,
        rate_in=applied,
        rate_out=applied,
        p50_ms=p50,
        p99_ms=p99,
        timed="a REST answer",
        fill=total(now, f"{prefix}wanted_events") / max(1.0, total(now, f"{prefix}held_events")),
        filled="events to be loaded",
        errors=int(total(now, f"{prefix}updates_unreadable_total")),
        errors_per_s=rate(metrics, f"{prefix}updates_unreadable_total"),
        verdict="STALE" if stale else "OK",
        note=f"stale: {', '.join(stale)}" if stale else "",
    )


def _clients(snapshot: Snapshot) -> Stage:
    stage = Stage("clients", "clients", _state(snapshot, STREAM))
    stream, source = snapshot.stream, snapshot.sources.get("stream")
    if stream is None or source is None or source.state != "live":
        return stage
    metrics = _metrics(snapshot, DISTRIBUTION)
    connections = total(metrics.now.values, f"{prefix_of(DISTRIBUTION)}stream_connections") if metrics else 0.0
    delays = sorted(each.at - each.received for each in snapshot.tape if each.at > snapshot.at - 10_000)
    return replace(
        stage,
        rate_in=snapshot.stream_rate,
        rate_out=snapshot.stream_rate,
        p50_ms=float(delays[len(delays) // 2]) if delays else None,
        p99_ms=float(delays[min(len(delays) - 1, int(len(delays) * 0.99))]) if delays else None,
        timed="received by ingest to seen here",
        fill=connections / CONNECTIONS_MAX,
        filled=f"{connections:.0f} connections",
        errors=stream.gaps,
        note=f"stale: {', '.join(stream.stale)}" if stream.stale else "",
        verdict="STALE" if stream.stale else "OK",
    )


_STAGE_SEVERITY: Final[Mapping[str, int]] = {
    **{verdict: place for place, verdict in enumerate(SEVERITY)},
    "UNKNOWN": 0,
    "STALE": 1,
}
"""That readers see stale events is a consequence of what is behind: it never hides its cause."""


def severity(stage: Stage) -> int:
    """Return how bad a stage is: 0 well."""
    if stage.state in _BAD_STATES:
        return _STAGE_SEVERITY["STALLED"]
    worst = _STAGE_SEVERITY[stage.verdict]
    return max(worst, 1) if stage.fill is not None and stage.fill >= FULL else worst


def _bottleneck(stages: tuple[Stage, ...]) -> tuple[str | None, str]:
    """Name the stage that holds the others up: the worst, and of equals the first on the way that has records waiting."""
    bad = [stage for stage in stages[1:] if severity(stage) > 0]
    if not bad:
        return None, ""
    found = max(bad, key=lambda stage: (severity(stage), stage.verdict == "STALLED"))
    words = [found.verdict] if found.verdict not in {"OK", "UNKNOWN"} else []
    if found.state in _BAD_STATES:
        words.append(f"its service is {found.state}")
    if found.note:
        words.append(found.note)
    if not words:
        words.append(f"its queue is {found.fill or 0:.0%} full")
    return found.name, "; ".join(words)


def _series(snapshot: Snapshot) -> dict[str, tuple[float, ...]]:
    now: dict[str, float] = {stage.name: stage.rate_out or 0.0 for stage in snapshot.stages}
    now["lag"] = float(sum(group.lag for group in snapshot.groups))
    now["errors"] = sum(stage.errors_per_s or 0.0 for stage in snapshot.stages)
    clients = snapshot.stages[-1]
    now["delay"] = clients.p99_ms or 0.0
    return {name: (*snapshot.series.get(name, ()), value)[-SERIES_MAX:] for name, value in now.items()}
