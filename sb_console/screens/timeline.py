"""8 Timeline: verdicts, restarts, rebalances, refusals and operators' actions on one axis; Enter goes to the moment."""

from collections.abc import Sequence

from sb_console.model import Entry, Snapshot
from sb_console.paint import Cell, Column, Line, Row, Span, Table
from sb_console.screens.view import View, blank, told
from sb_console.text import clock, span
from sb_console.ui import Ui

COLUMNS = (
    Column("TIME", 12),
    Column("AGO", 7, right=True, keep=6),
    Column("KIND", 9),
    Column("SUBJECT", 24),
    Column("WHAT", 30, flex=1),
)
LANES = (
    ("verdicts", ("verdict",)),
    ("services", ("service", "source", "producer")),
    ("rebalances", ("rebalance", "stream")),
    ("refusals", ("letter",)),
    ("actions", ("action", "generator")),
)
LEVELS = {"ok": "ok", "note": "note", "warn": "warn", "bad": "bad"}
_WORSE = {"": 0, "ok": 1, "note": 2, "warn": 3, "bad": 4}


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen."""
    width = ui.width
    begun = snapshot.begun or snapshot.at
    lines: list[Line] = [
        blank(width),
        told(
            width,
            (f"{len(snapshot.timeline)} entries", "strong"),
            (
                f" in {span(max(0, snapshot.at - begun) / 1000)}; Enter goes to the moment, [ and ] step 10 s, L is now",
                "dim",
            ),
        ),
        blank(width),
        *(_lane(name, kinds, snapshot, begun, width) for name, kinds in LANES),
        _axis(begun, snapshot.at, width),
        blank(width),
    ]
    rows = tuple(_row(snapshot, number, entry) for number, entry in reversed(list(enumerate(snapshot.timeline))))
    return View(
        head=tuple(lines),
        table=Table(COLUMNS, rows, "nothing has happened since the console began", newest_first=True),
    )


def _lane(name: str, kinds: Sequence[str], snapshot: Snapshot, begun: int, width: int) -> Line:
    room = max(10, width - 14)
    marks = [""] * room
    length = max(1, snapshot.at - begun)
    for entry in snapshot.timeline:
        if entry.kind in kinds and entry.at >= begun:
            place = min(room - 1, int((entry.at - begun) * room / length))
            marks[place] = max(marks[place], LEVELS[entry.level], key=_WORSE.__getitem__)
    spans: list[Span] = [(f"{name:<11}", "dim")]
    spans += [("●" if each else "─", each or "edge") for each in marks]
    return told(width, *spans)


def _axis(begun: int, at: int, width: int) -> Line:
    room = max(10, width - 14)
    left, middle, right = clock(begun), clock((begun + at) // 2), clock(at)
    gap = max(1, (room - len(left) - len(middle) - len(right)) // 2)
    return told(width, (" " * 11, ""), (left + " " * gap + middle + " " * gap + right, "dim"))


def _row(snapshot: Snapshot, number: int, entry: Entry) -> Row:
    return Row(
        f"{entry.at}.{number}",
        (
            Cell(clock(entry.at, millis=True), "", entry.at),
            Cell(span(max(0, snapshot.at - entry.at) / 1000), "dim", -entry.at),
            Cell(entry.kind, "dim", entry.kind),
            Cell(entry.subject, "strong", entry.subject),
            Cell(entry.text, LEVELS[entry.level], entry.text),
        ),
    )
