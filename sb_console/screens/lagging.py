"""3 Lag: verdicts first, by group and by partition; within a partition its window and its plot."""

from sb_console.lag import SEVERITY
from sb_console.model import LagGroup, LagRow, Snapshot
from sb_console.paint import Cell, Column, Line, Row, Table, plot, row_of, spark
from sb_console.screens.view import View, blank, number, silence, style_of, told
from sb_console.text import clock, count, rate, span
from sb_console.ui import Ui

COLUMNS = (
    Column("GROUP", 21, keep=8),
    Column("PART", 4, right=True),
    Column("VERDICT", 9),
    Column("COMMITTED", 10, right=True, keep=6),
    Column("END", 10, right=True, keep=6),
    Column("LAG", 8, right=True),
    Column("IN/S", 7, right=True),
    Column("OUT/S", 7, right=True),
    Column("ZERO IN", 8, right=True, keep=8),
    Column("SHARE", 6, right=True, keep=4),
    Column("OWNER", 8, keep=5),
    Column("EPOCH", 5, right=True, keep=3),
    Column("LAST TWO MINUTES", 16, flex=1, keep=2),
    Column("TOPIC", 22, keep=1),
    Column("WHY", 24, flex=3, keep=4),
)


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen, or the partition that was drilled into."""
    if ui.drill:
        return _partition(snapshot, ui, ui.drill[-1][1])
    width = ui.width
    head: list[Line] = [
        blank(width),
        told(
            width,
            ("lag ", "dim"),
            (snapshot.verdict, style_of(snapshot.verdict)),
            *silence(snapshot, "positions"),
            (f"  {count(sum(each.lag for each in snapshot.groups))} records wait", ""),
            (f" in {len(snapshot.rows)} partitions, {snapshot.requests} requests a look", "dim"),
        ),
        blank(width),
    ]
    if snapshot.groups:
        head.append(_group_title(width))
        head += [_group(each, width) for each in snapshot.groups]
        head.append(blank(width))
    rows = sorted(snapshot.rows.values(), key=lambda each: (-SEVERITY.index(each.verdict), -each.lag, each.group))
    table = Table(COLUMNS, tuple(_row(snapshot, each) for each in rows), "no position has been seen yet")
    return View(head=tuple(head), table=table)


def _group_title(width: int) -> Line:
    spans = row_of(
        ("GROUP", 21, "head", False),
        ("VERDICT", 9, "head", False),
        ("LAG", 8, "head", True),
        ("IN/S", 7, "head", True),
        ("OUT/S", 7, "head", True),
        ("ZERO IN", 8, "head", True),
        ("SKEW", 5, "head", True),
        ("WHY", max(0, width - 74), "head", False),
    )
    return told(width, *spans)


def _group(group: LagGroup, width: int) -> Line:
    spans = row_of(
        (group.group, 21, "strong", False),
        (group.verdict, 9, style_of(group.verdict), False),
        (count(group.lag), 8, "" if group.lag else "dim", True),
        (rate(group.in_per_s), 7, "", True),
        (rate(group.out_per_s), 7, "", True),
        (_zero(group), 8, "strong", True),
        ("-" if group.skew is None else f"{group.skew:.1f}", 5, "dim", True),
        (group.reason, max(0, width - 74), "dim" if group.verdict == "OK" else "", False),
    )
    return told(width, *spans)


def _zero(each: LagRow | LagGroup) -> str:
    """Write the time to zero; for what keeps pace it means nothing."""
    if each.verdict == "OK" or not each.lag:
        return "-"
    return "never" if each.eta_s is None else span(each.eta_s)


def _row(snapshot: Snapshot, row: LagRow) -> Row:
    group = next((each for each in snapshot.groups if (each.group, each.topic) == (row.group, row.topic)), None)
    share = row.lag / group.lag if group is not None and group.lag else None
    return Row(
        f"{row.topic}/{row.partition}",
        (
            Cell(row.group, "", row.group),
            number(str(row.partition), row.partition, "strong"),
            Cell(row.verdict, style_of(row.verdict), SEVERITY.index(row.verdict)),
            number("-" if row.committed is None else f"{row.committed:,}", row.committed),
            number(f"{row.end:,}", row.end),
            number(count(row.lag), row.lag, "strong" if row.lag else "dim"),
            number(rate(row.in_per_s), row.in_per_s),
            number(rate(row.out_per_s), row.out_per_s),
            number(_zero(row), row.eta_s),
            number("-" if share is None else f"{share:.0%}", share),
            Cell(row.owner or "nobody", "dim" if row.owner else "warn"),
            number(str(row.epoch), row.epoch, "dim"),
            Cell(
                spark([float(each) for each in row.lags], 16), "spark" if row.verdict == "OK" else style_of(row.verdict)
            ),
            Cell(row.topic, "dim"),
            Cell(row.reason, "dim" if row.verdict == "OK" else ""),
        ),
    )


def _partition(snapshot: Snapshot, ui: Ui, key: str) -> View:
    width = ui.width
    row = snapshot.rows.get(key)
    if row is None:
        return View(head=(blank(width), told(width, (f"{key} is not known any more", "warn"))), title=key)
    facts = (
        ("group", row.group),
        ("verdict", row.verdict),
        ("why", row.reason),
        ("committed", "nobody has claimed it" if row.committed is None else f"{row.committed:,}"),
        ("published", "-" if row.done is None else f"up to {row.done:,}"),
        ("end", f"{row.end:,}, oldest kept {row.start:,}"),
        ("lag", f"{row.lag:,}, in {rate(row.in_per_s)}/s, out {rate(row.out_per_s)}/s, zero in {_zero(row)}"),
        ("owner", f"{row.owner or 'nobody'}, epoch {row.epoch}, lineage {row.lineage}"),
    )
    head: list[Line] = [blank(width), told(width, (key, "strong"), *silence(snapshot, "positions"))]
    for name, text in facts:
        style = style_of(row.verdict) if name == "verdict" else ""
        head.append(told(width, (f"{name:<10} ", "dim"), (text, style)))
    looks = "  ".join(f"{clock(each.at)} {each.end - (each.committed or 0):,}" for each in row.window[-5:])
    head += [told(width, ("window     ", "dim"), (looks, "")), blank(width)]
    height = max(4, ui.height - len(head) - 5)
    head.append(told(width, ("lag over the last two minutes", "dim")))
    head += [told(width, (each, "spark")) for each in plot([float(each) for each in row.lags], width - 2, height)]
    return View(head=tuple(head), title=key)
