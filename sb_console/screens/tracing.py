"""6 Trace: one message through every stage, with times where they are remembered; the event before and after."""

import json

from sb_console.model import Snapshot
from sb_console.observations import Board, Step
from sb_console.paint import Cell, Column, Line, Row, Table
from sb_console.screens.view import View, blank, silence, told
from sb_console.text import clean, clock, ms, wrap
from sb_console.ui import Ui

COLUMNS = (
    Column("MARKET", 22, flex=1),
    Column("LINE", 12, flex=1, keep=6),
    Column("BEFORE", 26, flex=2),
    Column("AFTER", 26, flex=2),
)


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen."""
    width, trace = ui.width, snapshot.trace
    if trace is None or (ui.traced and not trace.key.startswith(ui.traced)):
        words = (
            f"looking for {clean(ui.traced)}" if ui.traced else "t on an update, or :trace EVENT@REV, follows a message"
        )
        return View(head=(blank(width), told(width, (words, "dim"), *silence(snapshot, "positions"))))
    if trace.error is not None:
        return View(head=(blank(width), told(width, (clean(trace.key), "strong"), (f"  {clean(trace.error)}", "warn"))))
    lines: list[Line] = [blank(width), told(width, (clean(trace.key), "strong")), blank(width)]
    lines += _steps(list(trace.steps), width)
    tape = next((each for each in snapshot.tape if f"{each.event}@{each.rev}" == trace.key), None)
    if tape is not None:
        sent = Step("stream", tape.sent, "sent by the node")
        lines += _steps(
            [sent, Step("console", tape.at, f"seen here, {ms(tape.at - tape.received)} after ingest")], width
        )
    lines.append(blank(width))
    if trace.message is not None:
        lines += [told(width, (each, "dim")) for each in wrap(clean(_short(trace.message)), width - 2, 3)]
        lines.append(blank(width))
    rows = _differences(trace.before, trace.after)
    return View(head=tuple(lines), table=Table(COLUMNS, rows, "nothing that is shown changed"), title=trace.key)


def _steps(steps: list[Step], width: int) -> list[Line]:
    lines = []
    known: int | None = None
    for step in steps:
        after = "" if step.at is None or known is None else f"+{ms(step.at - known)}"
        when = clock(step.at, millis=True) if step.at is not None else "not kept"
        lines.append(
            told(
                width,
                (f"{step.stage:<11}", "accent"),
                (f"{when:>12} ", "" if step.at is not None else "dim"),
                (f"{after:>8}  ", "dim"),
                (clean(step.what), ""),
            )
        )
        known = step.at if step.at is not None else known
    return lines


def _short(message: str) -> str:
    try:
        return json.dumps(json.loads(message), ensure_ascii=False)
    except (ValueError, RecursionError):
        return message


def _differences(before: Board | None, after: Board | None) -> tuple[Row, ...]:
    was, now = _words(before), _words(after)
    rows = []
    for key in sorted({*was, *now}):
        if was.get(key) == now.get(key):
            continue
        market, _, line = key.partition("|")
        rows.append(
            Row(
                key,
                (
                    Cell(market, "strong", market),
                    Cell(line, "dim", line),
                    Cell(was.get(key, "-"), "dim"),
                    Cell(now.get(key, "-"), "accent"),
                ),
            )
        )
    return tuple(rows)


def _words(board: Board | None) -> dict[str, str]:
    if board is None:
        return {}
    made = {"event|": f"{board.status} {board.score or ''} {board.name or ''}".strip()}
    if board.producers:
        made["producers|"] = ", ".join(board.producers)
    for market in board.markets:
        prices = " ".join(f"{each.outcome} {each.result or each.odds or '-'}" for each in market.outcomes)
        state = "" if market.open else f" [{market.status}]"
        made[f"{market.market}|{market.line}"] = prices + state
    return made
