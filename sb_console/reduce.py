"""The one reducer: a snapshot and an observation make the next snapshot. Pure, so a replay is what was live, bit by bit.

The rules: time is the observations' own; whatever is remembered has a limit in `model`; what is derived from several
sources (stages, the bottleneck, series) is derived on ticks, once a second, from the snapshot alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from sb_console import derive, happened, lagging
from sb_console import observations as seen
from sb_console.model import (
    LETTERS_MAX,
    PRICED_MAX,
    PRICES_MAX,
    TAPE_MAX,
    Mark,
    Metrics,
    Prices,
    Service,
    Snapshot,
    Source,
)
from sb_core.settings import PORTS

MARK_MS: Final = 5_000
PARTS_MS: Final = 3_000
"""How far back the stream's own rate looks."""


def first(profile: str, port_offset: int = 0) -> Snapshot:
    """Return what is known before anything was seen: the services there should be, and nothing of them."""
    return Snapshot(profile=profile, services={name: Service(name, port + port_offset) for name, port in PORTS.items()})


def reduce(snapshot: Snapshot, observation: seen.Observation) -> Snapshot:
    """Return the snapshot after an observation."""
    moved = _REDUCERS[type(observation)](snapshot, observation)
    moved = happened.noted(snapshot, moved, observation)
    return replace(moved, at=max(snapshot.at, observation.at), begun=snapshot.begun or observation.at)


def _tick(snapshot: Snapshot, tick: seen.Tick) -> Snapshot:
    at = max(snapshot.at, tick.at)
    sources = {name: derive.aged(source, at) for name, source in snapshot.sources.items()}
    services = {name: derive.judged(service, sources.get(name)) for name, service in snapshot.services.items()}
    snapshot = replace(snapshot, at=at, sources=sources, services=services, lost=snapshot.lost + tick.lost)
    return derive.derived(snapshot)


def _polled(snapshot: Snapshot, polled: seen.Polled) -> Snapshot:
    held = snapshot.sources.get(polled.source, Source(polled.source))
    good = polled.error is None and not polled.off
    source = replace(
        held,
        state="off" if polled.off else "live" if good else "down",
        seen_at=polled.at if good else held.seen_at,
        tried_at=polled.at,
        took_ms=polled.took_ms,
        every_ms=polled.every_ms,
        error=polled.error,
    )
    services = snapshot.services
    if polled.source in services:
        services = {**services, polled.source: derive.judged(services[polled.source], source)}
    return replace(snapshot, sources={**snapshot.sources, polled.source: source}, services=services)


def _health(snapshot: Snapshot, health: seen.HealthSeen) -> Snapshot:
    held = snapshot.services.get(health.service, Service(health.service, 0))
    restarted = held.uptime_s is not None and health.uptime_s < held.uptime_s
    state = "OK" if health.status == "ok" and health.ready else "DEGRADED" if health.ready else "NOT READY"
    broken = "; ".join(f"{name}: {each.detail or each.status}" for name, each in health.checks.items() if each.detail)
    service = replace(
        held,
        state=state,
        version=health.version,
        uptime_s=health.uptime_s,
        reason=health.reason or broken or None,
        restarts=held.restarts + restarted,
        checks=health.checks,
    )
    return replace(snapshot, services={**snapshot.services, health.service: service})


def _metrics(snapshot: Snapshot, metrics: seen.MetricsSeen) -> Snapshot:
    held = snapshot.metrics.get(metrics.service)
    values = metrics.values if metrics.whole or held is None else {**held.now.values, **metrics.values}
    now = Mark(metrics.at, values)
    if held is None:
        made = Metrics(now, now, now)
    elif metrics.at - held.mark.at >= MARK_MS:
        made = Metrics(now, now, held.mark, derive.plotted(held, now))
    else:
        made = Metrics(now, held.mark, held.before, held.series)
    return replace(snapshot, metrics={**snapshot.metrics, metrics.service: made})


def _account(snapshot: Snapshot, account: seen.AccountSeen) -> Snapshot:
    held = snapshot.services.get(account.service, Service(account.service, 0))
    return replace(snapshot, services={**snapshot.services, account.service: replace(held, counts=account.counts)})


def _places(snapshot: Snapshot, places: seen.PlacesSeen) -> Snapshot:
    rows, groups = lagging.looked(snapshot.rows, snapshot.groups, places.places, places.at)
    return replace(snapshot, rows=rows, groups=groups, verdict=lagging.overall(groups), requests=places.requests)


def _stream(snapshot: Snapshot, stream: seen.StreamSeen) -> Snapshot:
    marks = [*snapshot.stream_marks, (stream.at, stream.updates)]
    if len(marks) > 1 and marks[-1][1] < marks[-2][1]:
        marks = marks[-1:]
    while len(marks) > 2 and marks[1][0] <= stream.at - PARTS_MS:
        marks.pop(0)
    span_s = (marks[-1][0] - marks[0][0]) / 1000
    rate = (marks[-1][1] - marks[0][1]) / span_s if span_s > 0 else 0.0
    return replace(
        snapshot,
        stream=replace(stream, items=()),
        stream_rate=round(rate, 1),
        stream_marks=tuple(marks),
        tape=(*snapshot.tape, *stream.items)[-TAPE_MAX:],
    )


def _board(snapshot: Snapshot, board: seen.BoardSeen) -> Snapshot:
    same = snapshot.board_event == board.event
    held = snapshot.board if same else None
    prices = snapshot.prices if same else Prices()
    if board.board is not None and (held is None or (held.lineage, held.rev) != (board.board.lineage, board.board.rev)):
        prices = _priced(prices, held, board.board, board.at)
    return replace(snapshot, board=board.board, board_event=board.event, prices=prices)


def _priced(prices: Prices, before: seen.Board | None, now: seen.Board, at: int) -> Prices:
    """Add the prices that moved to their plots, and say which way they went."""
    was = {} if before is None else _odds(before)
    states = (
        {} if before is None else {f"{each.market}|{each.line}": (each.status, each.open) for each in before.markets}
    )
    moved: dict[str, int] = {}
    points = dict(prices.points)
    for key, odds in _odds(now).items():
        if odds == was.get(key):
            continue
        if before is not None:
            earlier = was.get(key)
            moved[key] = 0 if odds is None or earlier is None else 1 if float(odds) > float(earlier) else -1
        if odds is not None and (key in points or len(points) < PRICED_MAX):
            points[key] = (*points.get(key, ()), (at, odds))[-PRICES_MAX:]
    for market in now.markets:
        key = f"{market.market}|{market.line}"
        if before is not None and states.get(key) != (market.status, market.open):
            moved[key] = 0
    return Prices(points=points, moved=moved, moved_at=at)


def _odds(board: seen.Board) -> dict[str, str | None]:
    return {
        f"{market.market}|{market.line}|{each.outcome}": each.odds
        for market in board.markets
        for each in market.outcomes
    }


def _letters(snapshot: Snapshot, letters: seen.LettersSeen) -> Snapshot:
    known = {each.id for each in snapshot.letters}
    new = [each for each in letters.letters if each.id not in known]
    return replace(snapshot, letters=(*snapshot.letters, *new)[-LETTERS_MAX:], letters_total=letters.total)


def _field(
    name: str, pick: Callable[[Any], Any] = lambda observation: observation
) -> Callable[[Snapshot, Any], Snapshot]:
    """Return a reducer that only keeps the newest."""

    def keep(snapshot: Snapshot, observation: Any) -> Snapshot:
        return replace(snapshot, **{name: pick(observation)})

    return keep


_REDUCERS: Final[Mapping[type, Callable[[Snapshot, Any], Snapshot]]] = {
    seen.Tick: _tick,
    seen.Polled: _polled,
    seen.HealthSeen: _health,
    seen.MetricsSeen: _metrics,
    seen.AccountSeen: _account,
    seen.PlacesSeen: _places,
    seen.StreamSeen: _stream,
    seen.BoardSeen: _board,
    seen.LettersSeen: _letters,
    seen.LetterSeen: _field("letter", lambda each: each.letter),
    seen.ReplaySeen: _field("replay"),
    seen.GeneratorSeen: _field("generator"),
    seen.ProducersSeen: _field("producers", lambda each: tuple(each.producers)),
    seen.TraceSeen: _field("trace"),
    seen.Acted: _field("acted"),
}
