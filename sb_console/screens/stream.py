"""4 Stream: a live tape of updates, honest about what it leaves out; within an event its board and the plot of a market."""

from collections.abc import Sequence

from sb_console.model import Prices, Snapshot
from sb_console.observations import Board, BoardMarket, TapeItem
from sb_console.paint import Cell, Column, Line, Row, Table, plot, spark
from sb_console.query import QueryError, parse
from sb_console.screens.view import View, blank, number, silence, style_of, told
from sb_console.tape import matches
from sb_console.text import clean, clock, count, day, fit, ms, rate, span
from sb_console.ui import Ui

COLUMNS = (
    Column("TIME", 12, keep=8),
    Column("SPORT", 10, keep=5),
    Column("EVENT", 24, flex=2),
    Column("REV", 5, right=True, keep=6),
    Column("WHAT", 8),
    Column("CHANGES", 20, flex=4),
    Column("DELAY", 7, right=True, keep=7),
    Column("ID", 24, keep=1),
)
BOARD = (
    Column("MARKET", 22, flex=1),
    Column("LINE", 12, flex=1, keep=7),
    Column("STATUS", 10),
    Column("OPEN", 5),
    Column("OUTCOMES", 26, flex=4),
)
FRESH_MS = 3_000
"""How long a change is highlighted."""


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the tape, an event's board, or a market's plot."""
    drill = ui.drill
    if len(drill) >= 2:
        return _market(snapshot, ui, drill[1][1])
    if drill:
        return _event(snapshot, ui, drill[0][1])
    text = ui.filter
    shown, error = _filtered(snapshot.tape, text)
    rows = tuple(_row(each) for each in reversed(shown))
    empty = "no update matches yet" if text else "no update has come yet"
    return View(
        head=(blank(ui.width), *_counts(snapshot, ui.width, text, error), blank(ui.width)),
        table=Table(COLUMNS, rows, empty, newest_first=True),
    )


def _filtered(tape: Sequence[TapeItem], text: str) -> tuple[Sequence[TapeItem], str | None]:
    try:
        node = parse(text)
    except QueryError as error:
        return tape, str(error)
    return [each for each in tape if matches(node, each)], None


def _counts(snapshot: Snapshot, width: int, text: str, error: str | None) -> list[Line]:
    stream = snapshot.stream
    if stream is None:
        return [told(width, ("not connected yet", "dim"), *silence(snapshot, "stream"))]
    quiet = [*silence(snapshot, "stream"), ("   ", "")] if silence(snapshot, "stream") else []
    left_out = stream.updates - stream.examined
    first = told(
        width,
        *quiet,
        (f"{rate(snapshot.stream_rate)}/s", "strong" if not quiet else "dim"),
        (f"  {count(stream.updates)} updates of {count(stream.events)} events", ""),
        ("   gaps ", "dim"),
        (count(stream.gaps), "bad" if stream.gaps else "ok"),
        ("  repeats ", "dim"),
        (count(stream.repeats), ""),
        ("  lost connections ", "dim"),
        (count(stream.losses), "warn" if stream.losses else ""),
        (f"   stale: {', '.join(stream.stale)}" if stream.stale else "", "bad"),
    )
    kept = "every update is shown" if not left_out and not text else f"{count(stream.kept)} shown"
    honest = f" of {count(stream.examined)} examined, {count(left_out)} went by unseen" if left_out or text else ""
    second = told(
        width,
        ("sample  ", "dim"),
        (kept + honest, "warn" if left_out > stream.examined else ""),
        ("   filter ", "dim") if text else ("", ""),
        (clean(text), "accent"),
        (f"  {error}" if error else "", "bad"),
    )
    return [first, second]


def _row(item: TapeItem) -> Row:
    delay = item.at - item.received
    return Row(
        f"{item.event}@{item.rev}",
        (
            Cell(clock(item.at, millis=True), "dim", item.at),
            Cell(item.sport, "", item.sport),
            Cell(item.name or item.event, "strong", item.name or item.event),
            number(str(item.rev), item.rev, "dim"),
            Cell(item.kind, _KINDS.get(item.kind, ""), item.kind),
            Cell(changes(item), "", None),
            number(ms(delay), delay, "warn" if delay > 1_000 else "dim"),
            Cell(item.event, "dim", item.event),
        ),
    )


_KINDS = {"odds": "accent", "closed": "warn", "settled": "note", "score": "ok", "producer": "warn", "opened": "ok"}


def changes(item: TapeItem) -> str:
    """Write what changed in one line."""
    parts = [_market_words(each) for each in item.markets]
    more = item.changed - len(item.markets)
    return "; ".join(parts) + (f" (+{more})" if more > 0 else "") or item.kind


def _market_words(market: BoardMarket) -> str:
    name = f"{market.market} {market.line}".strip()
    if not market.outcomes:
        return f"{name} {market.status}"
    prices = " ".join(f"{each.outcome} {each.result or each.odds or '-'}" for each in market.outcomes[:4])
    closed = "" if market.open else f" [{market.status}]"
    return f"{name} {prices}{closed}"


def _event(snapshot: Snapshot, ui: Ui, event: str) -> View:
    width = ui.width
    board = snapshot.board if snapshot.board_event == event else None
    if board is None:
        words = "asking for it" if snapshot.board_event != event else "the stream does not have it"
        return View(head=(blank(width), told(width, (clean(event), "strong"), (f"  {words}", "dim"))), title=event)
    fresh = snapshot.at - snapshot.prices.moved_at <= FRESH_MS
    moved = snapshot.prices.moved if fresh else {}
    rows = tuple(_board_row(each, moved) for each in board.markets)
    return View(head=tuple(_board_head(snapshot, board, width)), table=Table(BOARD, rows, "no market yet"), title=event)


def _board_head(snapshot: Snapshot, board: Board, width: int) -> list[Line]:
    opened = sum(each.open for each in board.markets)
    return [
        blank(width),
        told(
            width,
            (clean(board.name or board.event), "strong"),
            (f"   {clean(board.score)}" if board.score else "", "accent"),
            (f"   {board.status}", style_of(board.status)),
            ("   STALE" if board.stale else "", "bad"),
            (f"   {board.holds} holds" if board.holds else "", "warn"),
            *silence(snapshot, "stream"),
        ),
        told(
            width,
            (f"{board.sport}  {clean(board.competition or '-')}  starts {day(board.start)}  ", "dim"),
            (clean(board.event), "dim"),
        ),
        told(
            width,
            (f"rev {board.rev}", ""),
            (f"  {span(max(0, snapshot.at - board.updated) / 1000)} old", "dim"),
            (f"  {opened} of {len(board.markets)} markets open", "ok" if opened else "warn"),
            ("  producers " + ", ".join(map(clean, board.producers)), "dim"),
        ),
        blank(width),
    ]


def _board_row(market: BoardMarket, moved: dict[str, int] | object) -> Row:
    key = f"{market.market}|{market.line}"
    ways = moved if isinstance(moved, dict) else {}
    parts = []
    directions = set()
    for each in market.outcomes:
        way = ways.get(f"{key}|{each.outcome}")
        arrow = "" if way is None else "▲" if way > 0 else "▼" if way < 0 else "●"
        directions.add(way)
        value = each.result or (each.odds or "-") + ("" if each.active else " off")
        parts.append(f"{each.outcome} {value}{arrow}")
    style = "up" if directions & {1} and not directions & {-1} else "down" if directions & {-1} else ""
    changed = bool(directions - {None}) or key in ways
    return Row(
        key,
        (
            Cell(market.market, "strong" if changed else "", market.market),
            Cell(market.line, "dim", market.line),
            Cell(market.status, style_of(market.status), market.status),
            Cell("open" if market.open else "shut", "ok" if market.open else "warn", market.open),
            Cell("   ".join(parts), style if changed and style else "accent" if changed else ""),
        ),
    )


def _market(snapshot: Snapshot, ui: Ui, key: str) -> View:
    width = ui.width
    prices: Prices = snapshot.prices
    lines: list[Line] = [blank(width), told(width, (clean(key.replace("|", " ")), "strong")), blank(width)]
    mine = {name: points for name, points in prices.points.items() if name.rpartition("|")[0] == key}
    if not mine:
        return View(head=(*lines, told(width, ("no price of it has been seen here yet", "dim"))), title=key)
    height = max(3, (ui.height - 8) // len(mine) - 2)
    for name, points in list(mine.items())[:6]:
        values = [float(odds) for _, odds in points]
        outcome = fit(clean(name.rpartition("|")[2]), 16)
        trend = f"{points[0][1]} → {points[-1][1]}  {len(points)} prices since {clock(points[0][0])}"
        lines.append(told(width, (outcome, "strong"), (trend, "dim")))
        if height >= 4:
            drawn = plot(values, width - 2, height, "{:.2f}", zero=False)
            lines += [told(width, (each, "spark")) for each in drawn]
        else:
            lines.append(told(width, (spark(values, width - 4), "spark")))
    return View(head=tuple(lines), title=key)
