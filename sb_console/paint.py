"""Lines of styled text, and what they are made of: tables, bars, sparklines, plots, boxes. Pure.

The rules: a line is spans of (text, style name), and always exactly as wide as asked; a style is a meaning ("bad"), what it
looks like is the theme's; below a width columns leave in their order of importance, never in the middle of a word.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from sb_console.text import cells, clean, fit

Span: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Span, ...]

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
GAP: Final = 1


class Cell(Struct, frozen=True):
    """A cell of a table. Text is cleaned when painted; `value` is what sorting goes by."""

    text: str
    style: str = ""
    value: float | str | None = None


class Row(Struct, frozen=True):
    """A row; `key` names it for the cursor, `style` is beneath its cells' styles."""

    key: str
    cells: tuple[Cell, ...]
    style: str = ""


class Column(Struct, frozen=True):
    """A column: at least `width` cells, more by its share `flex`; those with the lowest `keep` leave first."""

    title: str
    width: int
    flex: int = 0
    right: bool = False
    keep: int = 9


class Table(Struct, frozen=True):
    """Columns and rows, and what is said where there are none."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str = "nothing here"
    newest_first: bool = False


def line(width: int, *spans: Span, fill: str = "") -> Line:
    """Make a line of exactly `width` cells; whatever it is made of is cleaned."""
    made: list[Span] = []
    left = width
    for given, style in spans:
        text = clean(given)
        size = cells(text)
        if size > left:
            made.append((fit(text, left), style))
            left = 0
            break
        made.append((text, style))
        left -= size
    if left:
        made.append((" " * left, fill))
    return tuple(made)


def sides(width: int, left: Sequence[Span], right: Sequence[Span], fill: str = "") -> Line:
    """Make a line with something at either end; the left gives way."""
    room = width - sum(cells(text) for text, _ in right)
    if room < 4:
        return line(width, *left, fill=fill)
    return (*line(room, *left, fill=fill), *right)


def row_of(*columns: tuple[str, int, str, bool]) -> list[Span]:
    """Make spans of (text, width, style, right)."""
    spans: list[Span] = []
    for text, width, style, right in columns:
        spans += [(fit(clean(text), width, right=right), style), (" " * GAP, "")]
    return spans[:-1]


def widths(columns: Sequence[Column], width: int) -> list[int]:
    """Share a width out to columns; 0 for those that don't fit."""
    shown = list(range(len(columns)))

    def needed() -> int:
        return sum(columns[n].width for n in shown) + GAP * (len(shown) - 1)

    while len(shown) > 1 and needed() > width:
        shown.remove(min(reversed(shown), key=lambda n: columns[n].keep))
    spare = max(0, width - needed())
    shares = sum(columns[n].flex for n in shown)
    made = [0] * len(columns)
    for n in shown:
        made[n] = columns[n].width
    for n in [each for each in shown if columns[each].flex]:
        share = spare * columns[n].flex // shares
        made[n] += share
        spare -= share
        shares -= columns[n].flex
    return made


def header(table: Table, shared: Sequence[int], width: int, sort: tuple[int, bool] | None) -> Line:
    """Make the line with the columns' titles."""
    spans: list[Span] = []
    for number, (column, size) in enumerate(zip(table.columns, shared, strict=True)):
        if not size:
            continue
        title = column.title
        if sort is not None and sort[0] == number:
            title += "▼" if sort[1] else "▲"
        spans += [(fit(title, size, right=column.right), "head"), (" " * GAP, "head")]
    return line(width, *spans, fill="head")


def body(table: Table, shared: Sequence[int], width: int, row: Row, *, here: bool) -> Line:
    """Make the line of a row."""
    spans: list[Span] = []
    for column, size, cell in zip(table.columns, shared, row.cells, strict=True):
        if size:
            style = cell.style or row.style
            spans += [(fit(clean(cell.text), size, right=column.right), style), (" " * GAP, "")]
    made = line(width, *spans)
    return tuple((text, f"{style} cursor".strip()) for text, style in made) if here else made


def bar(share: float | None, width: int) -> str:
    """Make a bar, full at 1."""
    if share is None:
        return " " * width
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_BAR[part] if part else "")).ljust(width, "░")


_BAR: Final = " ▏▎▍▌▋▊▉"


def level(share: float | None) -> str:
    """Return the style of a bar."""
    if share is None or share < 0.5:
        return "ok"
    return "warn" if share < 0.8 else "bad"


def spark(values: Sequence[float], width: int, top: float | None = None) -> str:
    """Make a sparkline of the last `width` values, the newest at the right."""
    shown = list(values)[-width:]
    most = max(top or 0.0, *shown) if shown else 0.0
    drawn = "".join(_EIGHTHS[_height(value, most)] for value in shown)
    return drawn.rjust(width)


def _height(value: float, most: float) -> int:
    if most <= 0 or value <= 0:
        return 1
    return max(1, min(8, round(value / most * 8)))


def plot(values: Sequence[float], width: int, height: int, form: str = "{:g}", *, zero: bool = True) -> list[str]:
    """Draw values as columns on a plot of this many cells, axis included; from 0 unless not `zero`."""
    shown = list(values)[-max(1, width - 10) :]
    if not shown or height < 2:
        return ["" for _ in range(height)]
    least = 0.0 if zero and min(shown) >= 0 else min(shown)
    most = max(shown)
    if most == least:
        most = least + 1.0
    steps = height * 8
    levels = [max(1, round((value - least) / (most - least) * steps)) for value in shown]
    lines = []
    for number in range(height):
        low = (height - 1 - number) * 8
        label = form.format(most) if number == 0 else form.format(least) if number == height - 1 else ""
        drawn = "".join(_EIGHTHS[max(0, min(8, each - low))] for each in levels)
        lines.append(f"{fit(label, 9, right=True)}│{drawn}")
    return lines


def box(title: str, lines: Sequence[Span], width: int, style: str) -> list[Line]:
    """Draw a box; `style` is of its border and title."""
    inner = width - 2
    head = f" {title} "
    top = "╭" + fit("─" + head + "─" * inner, inner).replace("…", "─") + "╮"
    made: list[Line] = [((top, style),)]
    made += [(("│", style), (fit(text, inner), own), ("│", style)) for text, own in lines]
    made.append((("╰" + "─" * inner + "╯", style),))
    return made


def beside(blocks: Sequence[Sequence[Line]], between: Sequence[Sequence[Span]], width: int) -> list[Line]:
    """Put blocks of lines beside each other; `between` gives, per line, the span after every block but the last."""
    height = max(len(block) for block in blocks)
    lines = []
    for number in range(height):
        spans: list[Span] = []
        for place, block in enumerate(blocks):
            spans += block[number] if number < len(block) else ()
            if place < len(blocks) - 1:
                spans.append(between[place][number])
        lines.append(line(width, *spans))
    return lines


def words(one: Line) -> str:
    """Return a line's text."""
    return "".join(text for text, _ in one)
