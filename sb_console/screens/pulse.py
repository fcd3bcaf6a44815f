"""1 Pulse: the pipeline from left to right, what holds it up, and every stage in figures."""

from collections.abc import Sequence

from sb_console.derive import severity
from sb_console.document import account
from sb_console.model import Snapshot, Stage
from sb_console.paint import Cell, Column, Line, Row, Span, Table, bar, beside, box, level, line, plot, spark
from sb_console.screens.view import View, blank, number, silence, state_cell, style_of, told
from sb_console.text import clean, count, fit, ms, rate
from sb_console.ui import Ui

COLUMNS = (
    Column("STAGE", 20),
    Column("STATE", 9),
    Column("VERDICT", 9),
    Column("IN/S", 7, right=True),
    Column("OUT/S", 7, right=True),
    Column("P50", 7, right=True, keep=5),
    Column("P99", 7, right=True, keep=6),
    Column("QUEUE", 8, keep=7),
    Column("ERR/S", 6, right=True, keep=4),
    Column("ERRORS", 7, right=True, keep=3),
    Column("LAST TWO MINUTES", 16, flex=1, keep=2),
    Column("NOTE", 26, flex=2, keep=1),
)

PLOT_LINES_MIN = 6
SHOWN = ("accepted", "refused", "pending", "changes", "applied", "stale", "duplicate", "dead_lettered", "unknown")
"""The counts of the account that people look at."""


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen."""
    width = ui.width
    head = [blank(width), *_pipeline(snapshot, width), _bottleneck(snapshot, width), blank(width)]
    spare = ui.height - len(head) - len(snapshot.stages) - 6
    foot = [*_plots(snapshot, width, spare), _account(snapshot, width)]
    return View(head=tuple(head), table=_table(snapshot, width), foot=tuple(foot))


def _plots(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Fill what is left of a high screen with what goes out, how late it is, and what waits."""
    if height < PLOT_LINES_MIN:
        return []
    titles = (
        ("updates a second", "clients", "{:.0f}"),
        ("received to seen, p99, ms", "delay", "{:.0f}"),
        ("records waiting", "lag", "{:.0f}"),
    )
    shown = titles if width >= 120 else titles[:2]
    size = (width - 2) // len(shown)
    blocks: list[list[Line]] = []
    for title, name, form in shown:
        drawn = plot(snapshot.series.get(name, ()), size - 2, min(height - 2, 12), form)
        blocks.append([line(size, (" " * 10 + title, "dim")), *(line(size, (each, "spark")) for each in drawn)])
    none: list[list[Span]] = [[("", "")] * len(blocks[0])] * (len(blocks) - 1)
    return [*beside(blocks, none, width), blank(width)]


def _pipeline(snapshot: Snapshot, width: int) -> list[Line]:
    stages = {stage.name: stage for stage in snapshot.stages}
    processes = [stage for name, stage in stages.items() if name.startswith("process ")]
    shown = [
        stages.get("feed", Stage("feed", "feed", "UNKNOWN")),
        stages.get("ingest", Stage("ingest", "ingest", "UNKNOWN")),
        _together(processes),
        stages.get("distribute", Stage("distribute", "distribute", "UNKNOWN")),
        stages.get("clients", Stage("clients", "clients", "UNKNOWN")),
    ]
    arrow = "─▶" if width < 110 else " ──▶ "
    size = (width - 2 - len(arrow) * (len(shown) - 1)) // len(shown)
    air: Span = (" " * len(arrow), "")
    blocks = [_box(snapshot, stage, size) for stage in shown]
    between: list[list[Span]] = []
    for stage in shown[:-1]:
        flows = (stage.rate_out or 0) > 0
        between.append([air, air, (arrow, "accent" if flows else "edge"), *[air] * 4])
    return [((" ", ""), *each) for each in beside(blocks, between, width - 1)]


def _together(stages: Sequence[Stage]) -> Stage:
    """Add the processors up to one stage, as bad as the worst of them."""
    if not stages:
        return Stage("process", "process", "UNKNOWN")
    bad = max(stages, key=severity)
    known = [stage.rate_out for stage in stages if stage.rate_out is not None]
    return Stage(
        "process",
        f"process ({len(stages)})",
        bad.state,
        rate_out=sum(known) if known else None,
        p50_ms=max((stage.p50_ms for stage in stages if stage.p50_ms is not None), default=None),
        p99_ms=max((stage.p99_ms for stage in stages if stage.p99_ms is not None), default=None),
        fill=max((stage.fill for stage in stages if stage.fill is not None), default=None),
        errors_per_s=sum(stage.errors_per_s or 0 for stage in stages),
        errors=sum(stage.errors for stage in stages),
        verdict=bad.verdict,
    )


def _box(snapshot: Snapshot, stage: Stage, size: int) -> list[Line]:
    held_up = snapshot.bottleneck is not None and snapshot.bottleneck.startswith(stage.name)
    wrong = severity(stage) > 0
    word = stage.verdict if stage.verdict not in {"OK", "UNKNOWN"} else stage.state
    style = "bad" if held_up else "warn" if wrong else "edge"
    inner = size - 2
    series = _series(snapshot, stage.name)
    title = f"▶ {stage.title}" if held_up else stage.title
    times = f"{ms(stage.p50_ms)} {ms(stage.p99_ms)}"
    return box(
        title,
        [
            (_centre(word, inner), style_of(word) or "dim"),
            (_centre(f"{rate(stage.rate_out)}/s" if stage.rate_out is not None else "-", inner), "strong"),
            (_centre(times, inner), "" if stage.p99_ms is not None else "dim"),
            (f" {bar(stage.fill, inner - 2)} ", level(stage.fill) if stage.fill else "edge"),
            (f" {spark(series, inner - 2)} ", "spark"),
        ],
        size,
        style,
    )


def _series(snapshot: Snapshot, name: str) -> Sequence[float]:
    if name != "process":
        return snapshot.series.get(name, ())
    every = [values for key, values in snapshot.series.items() if key.startswith("process ")]
    return [sum(values) for values in zip(*every, strict=False)]


def _centre(text: str, width: int) -> str:
    return fit(text.center(width) if len(text) < width else text, width)


def _bottleneck(snapshot: Snapshot, width: int) -> Line:
    if snapshot.bottleneck is None:
        known = any(stage.state != "UNKNOWN" for stage in snapshot.stages)
        return told(width, ("no bottleneck" if known else "nothing seen yet", "dim"), *silence(snapshot, "positions"))
    return told(width, ("bottleneck ", "dim"), (snapshot.bottleneck, "bad"), ("  " + clean(snapshot.why), ""))


def _table(snapshot: Snapshot, width: int) -> Table:
    wide = max(0, width - 126)
    rows = []
    for stage in snapshot.stages:
        here = stage.name == snapshot.bottleneck
        rows.append(
            Row(
                stage.name,
                (
                    Cell(("▶ " if here else "  ") + stage.title, "bad" if here else "strong", stage.name),
                    state_cell(stage.state),
                    state_cell(stage.verdict),
                    number(rate(stage.rate_in), stage.rate_in),
                    number(rate(stage.rate_out), stage.rate_out),
                    number(ms(stage.p50_ms), stage.p50_ms),
                    number(ms(stage.p99_ms), stage.p99_ms),
                    Cell(bar(stage.fill, 8), level(stage.fill) if stage.fill else "edge", stage.fill or 0.0),
                    number(rate(stage.errors_per_s), stage.errors_per_s, "bad" if stage.errors_per_s else "dim"),
                    number(count(stage.errors), stage.errors, "" if stage.errors else "dim"),
                    Cell(spark(snapshot.series.get(stage.name, ()), 16 + wide // 3), "spark"),
                    Cell(_note(stage), "dim"),
                ),
            )
        )
    return Table(COLUMNS, tuple(rows), "the first second is not over yet")


def _note(stage: Stage) -> str:
    parts = [stage.note, stage.filled, f"times: {stage.timed}" if stage.timed else ""]
    return "; ".join(filter(None, parts))


def _account(snapshot: Snapshot, width: int) -> Line:
    total = account(snapshot)
    if not total:
        return told(width, ("account not known", "dim"))
    spans: list[Span] = [("account ", "dim")]
    for name in SHOWN:
        value = total.get(name, 0)
        if not value and name not in {"pending", "changes", "accepted"}:
            continue
        style = "warn" if name in {"refused", "dead_lettered"} else ""
        spans += [(f" {name.replace('_', ' ')} ", "dim"), (count(value), style)]
    return line(width, (" ", ""), *spans)
