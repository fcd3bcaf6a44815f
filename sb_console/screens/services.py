"""2 Services: state, version, uptime, dependencies; within one every metric; within a metric its plot."""

from sb_console import metrics
from sb_console.model import Metrics, Service, Snapshot, Source
from sb_console.paint import Cell, Column, Line, Row, Span, Table, plot, spark
from sb_console.screens.view import View, blank, number, silence, style_of, told
from sb_console.text import clean, count, ms, rate, span
from sb_console.ui import Ui

COLUMNS = (
    Column("SERVICE", 27),
    Column("STATE", 10),
    Column("PORT", 5, right=True, keep=6),
    Column("VERSION", 8, keep=5),
    Column("UP", 7, right=True),
    Column("RESTARTS", 8, right=True, keep=4),
    Column("ANSWERS IN", 10, right=True, keep=3),
    Column("DEPENDENCIES", 30, flex=3, keep=8),
    Column("REASON", 20, flex=2, keep=2),
)
METRICS = (
    Column("METRIC", 40, flex=3),
    Column("LABELS", 20, flex=2, keep=5),
    Column("VALUE", 10, right=True),
    Column("PER S", 8, right=True, keep=8),
    Column("LAST FIVE MINUTES", 20, flex=1, keep=3),
)


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen, or what was drilled into."""
    drill = ui.drill
    if len(drill) >= 2:
        return _metric(snapshot, ui, drill[0][1], drill[1][1])
    if drill:
        return _service(snapshot, ui, drill[0][1])
    services = snapshot.services.values()
    down = sum(each.state == "DOWN" for each in services)
    well = sum(each.state == "OK" for each in services)
    head = told(
        ui.width,
        (f"{well} of {len(snapshot.services)} services are OK", "ok" if well == len(snapshot.services) else "warn"),
        (f", {down} down" if down else "", "bad"),
    )
    rows = tuple(_row(snapshot, each) for each in services)
    return View(head=(blank(ui.width), head, blank(ui.width)), table=Table(COLUMNS, rows))


def _row(snapshot: Snapshot, service: Service) -> Row:
    source = snapshot.sources.get(service.name, Source(service.name))
    checks = "  ".join(
        f"{name} {ms(each.latency_ms)}" + ("" if each.status == "ok" else f" {each.status}")
        for name, each in service.checks.items()
    )
    broken = any(each.status != "ok" for each in service.checks.values())
    gone = service.state == "DOWN"
    age = (
        ""
        if source.state != "late" or source.seen_at is None
        else f" ({span((snapshot.at - source.seen_at) / 1000)} ago)"
    )
    return Row(
        service.name,
        (
            Cell(service.name, "strong", service.name),
            Cell(service.state + age, style_of(service.state), service.state),
            number(str(service.port), service.port, "dim"),
            Cell(service.version or "-", "dim", service.version or ""),
            number("-" if gone else span(service.uptime_s), None if gone else service.uptime_s),
            number(str(service.restarts), service.restarts, "warn" if service.restarts else "dim"),
            number(ms(source.took_ms), source.took_ms, "warn" if (source.took_ms or 0) > 500 else ""),
            Cell("-" if gone else checks or "-", "dim" if gone or not broken else "warn"),
            Cell(service.reason or "", "bad" if gone else "warn"),
        ),
    )


def _service(snapshot: Snapshot, ui: Ui, name: str) -> View:
    service = snapshot.services.get(name, Service(name, 0))
    held = snapshot.metrics.get(name)
    width = ui.width
    head: list[Line] = [
        blank(width),
        told(
            width,
            (name, "strong"),
            ("  ", ""),
            (service.state, style_of(service.state)),
            (f"  version {service.version or '-'}  up {span(service.uptime_s)}  restarts {service.restarts}", "dim"),
            (f"  {clean(service.reason)}" if service.reason else "", "warn"),
            *silence(snapshot, name),
        ),
    ]
    checks: list[Span] = []
    for check, each in service.checks.items():
        checks += [(f"{check} ", "dim"), (each.status, "ok" if each.status == "ok" else "warn")]
        checks += [(f" {ms(each.latency_ms)}   ", ""), (clean(each.detail or ""), "warn")]
    head.append(told(width, *(checks or [("no dependencies told", "dim")])))
    counts = [f"{key} {count(value)}" for key, value in service.counts.items() if value and ":" not in key]
    head.append(told(width, ("account ", "dim"), ("  ".join(counts) or "nothing yet", "dim" if not counts else "")))
    head.append(blank(width))
    return View(head=tuple(head), table=_metrics(held, name), title=name)


def _metrics(held: Metrics | None, service: str) -> Table:
    if held is None:
        return Table(METRICS, (), "no metrics seen of it yet")
    prefix = metrics.prefix_of(service)
    rows = []
    for name, value in sorted(held.now.values.items()):
        family = metrics.family(name)
        if family.endswith("_bucket"):
            continue
        grows = per_s(held, name)
        labels = " ".join(f"{label}={text}" for label, text in metrics.labels(name).items())
        rows.append(
            Row(
                name,
                (
                    Cell(family.removeprefix(prefix), "", name),
                    Cell(labels, "dim", labels),
                    number(f"{value:,.6g}", value),
                    number(rate(grows), grows, "accent" if grows else "dim"),
                    Cell(spark(held.series.get(name, ()), 20), "spark"),
                ),
            )
        )
    return Table(METRICS, tuple(rows), "it tells no metrics")


def per_s(held: Metrics, name: str) -> float | None:
    """Return by how much a counter grows a second; None for what is no counter."""
    family = metrics.family(name)
    seconds = (held.now.at - held.before.at) / 1000
    if seconds <= 0 or not family.endswith(metrics.COUNTERS):
        return None
    return (held.now.values[name] - held.before.values.get(name, 0.0)) / seconds


def _metric(snapshot: Snapshot, ui: Ui, service: str, name: str) -> View:
    held = snapshot.metrics.get(service)
    width, height = ui.width, max(4, ui.height - 12)
    values = held.series.get(name, ()) if held is not None else ()
    counter = metrics.family(name).endswith(metrics.COUNTERS)
    now = held.now.values.get(name) if held is not None else None
    head = [
        blank(width),
        told(width, (clean(name), "strong")),
        told(
            width,
            ("now ", "dim"),
            ("-" if now is None else f"{now:,.6g}", ""),
            (f"  {len(values)} points, 5 s apart", "dim"),
        ),
        told(width, ("growth a second" if counter else "value", "dim"), *silence(snapshot, service)),
        blank(width),
    ]
    if len(values) < 2:
        head.append(told(width, ("a plot needs ten seconds more", "dim")))
    head += [told(width, (each, "spark")) for each in plot(values, width - 2, height, "{:.6g}")]
    return View(head=tuple(head), title=name)
