"""The whole screen as lines: top bar, tabs, the view, the bottom line. Pure: a snapshot and a Ui make a frame.

The rules: a frame is exactly as wide and high as asked; rows that don't fit are scrolled, never wrapped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sb_console import commands
from sb_console.actions import SCREENS, TITLES, Action, shown_key
from sb_console.document import headline
from sb_console.model import Snapshot
from sb_console.paint import Line, Row, Span, body, header, line, sides, widths
from sb_console.screens import generator, lagging, letters, pulse, services, stream, timeline, tracing
from sb_console.screens.view import View, blank, told
from sb_console.text import cells, clean, clock, count, fit
from sb_console.ui import Ui

VIEWS: Final[Mapping[str, Callable[[Snapshot, Ui], View]]] = {
    "pulse": pulse.view,
    "services": services.view,
    "lag": lagging.view,
    "stream": stream.view,
    "letters": letters.view,
    "trace": tracing.view,
    "generator": generator.view,
    "timeline": timeline.view,
}
SHORT: Final = {"letters": "Dead", "generator": "Gen", "services": "Svc", "timeline": "Time"}
ROWS_MIN: Final = 3
WIDTH_MIN: Final = 40
HEIGHT_MIN: Final = 10


class Listing(Struct, frozen=True):
    """A view with its rows filtered and sorted, and where the cursor is among them (-1: there is none)."""

    view: View
    rows: tuple[Row, ...]
    at: int

    @property
    def here(self) -> Row | None:
        """Return the row under the cursor."""
        return self.rows[self.at] if self.at >= 0 else None


class Frame(Struct, frozen=True):
    """Lines, the row at each of them (for the mouse), and how many rows a page has."""

    lines: tuple[Line, ...]
    hits: Mapping[int, str]
    page: int
    tabs: tuple[tuple[int, int, str], ...]


def listing(snapshot: Snapshot, ui: Ui) -> Listing:
    """Make the view and choose its rows."""
    view = VIEWS[ui.screen](snapshot, ui)
    rows = view.table.rows if view.table is not None else ()
    # the tape's filter is an expression, which its screen goes by itself
    if ui.filter and ui.view != "stream":
        rows = tuple(filter(_filter(ui.filter), rows))
    sort = ui.sorts.get(ui.view)
    if sort is not None:
        rows = tuple(sorted(rows, key=lambda row: _sort_key(row, sort[0]), reverse=sort[1]))
    key = ui.cursors.get(ui.view)
    at = next((number for number, row in enumerate(rows) if row.key == key), 0 if rows else -1)
    return Listing(view=view, rows=rows, at=at)


def _filter(text: str) -> Callable[[Row], bool]:
    inverse = text.startswith("!")
    try:
        pattern = re.compile(text[1:] if inverse else text, re.IGNORECASE)
    except re.error:
        pattern = re.compile(re.escape(text))
    return lambda row: (pattern.search(" ".join(cell.text[:300] for cell in row.cells)) is None) == inverse


def _sort_key(row: Row, column: int) -> tuple[int, float, str]:
    cell = row.cells[column] if column < len(row.cells) else None
    value = cell.value if cell is not None and cell.value is not None else cell.text if cell is not None else ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, value)


def frame(snapshot: Snapshot, ui: Ui, actions: Sequence[Action], moment: str = "LIVE") -> Frame:
    """Make the frame."""
    width, height = ui.width, ui.height
    if width < WIDTH_MIN or height < HEIGHT_MIN:
        words = line(width, (f"at least {WIDTH_MIN}x{HEIGHT_MIN}, please", "warn"))
        return Frame(lines=(words, *[blank(width)] * (height - 1))[:height], hits={}, page=1, tabs=())
    tab_line, tabs = _tabs(ui)
    top = [_top(snapshot, ui, moment), tab_line]
    bottom = [*_completion(ui), _bottom(ui, actions)]
    room = height - len(top) - len(bottom)
    if ui.mode == "help":
        middle, hits, page = _help(ui, actions, room), dict[int, str](), room
    else:
        middle, hits, page = _middle(snapshot, ui, room)
    shifted = {y + len(top): key for y, key in hits.items()}
    return Frame(lines=(*top, *middle, *bottom), hits=shifted, page=page, tabs=tabs)


def _top(snapshot: Snapshot, ui: Ui, moment: str) -> Line:
    verdict, why = headline(snapshot)
    badge = {"OK": "ok badge", "WARN": "warn badge", "BAD": "bad badge"}.get(verdict, "dim badge")
    left: list[Span] = [
        (f" {clean(snapshot.profile)} ", "profile"),
        (f" {verdict} ", badge),
        (f" {clean(why)} ", "bar"),
    ]
    style = "bar" if moment == "LIVE" else "warn badge"
    right: list[Span] = [
        (f" {moment} ", style),
        (" write " if ui.unlocked else " read ", "bad badge" if ui.unlocked else "bar dim"),
        (f" {clock(snapshot.at)} UTC ", "bar"),
    ]
    return sides(ui.width, left, right, "bar")


def _tabs(ui: Ui) -> tuple[Line, tuple[tuple[int, int, str], ...]]:
    """Make the line of screens, with shorter names where it must be."""
    for names in (TITLES, {**TITLES, **SHORT}):
        parts = [(name, f" {number} {names[name]} ") for number, name in enumerate(SCREENS, start=1)]
        if sum(len(text) for _, text in parts) <= ui.width:
            break
    spans: list[Span] = []
    places = []
    at = 0
    for name, text in parts:
        spans.append((text, "tab" if name == ui.screen else "dim"))
        places.append((at, at + len(text), name))
        at += len(text)
    return line(ui.width, *spans), tuple(places)


def _middle(snapshot: Snapshot, ui: Ui, room: int) -> tuple[list[Line], dict[int, str], int]:
    shown = listing(snapshot, ui)
    view, table = shown.view, shown.view.table
    if table is None:
        lines = [*view.head, *view.foot][:room]
        return [*lines, *[blank(ui.width)] * (room - len(lines))], {}, room
    foot = list(view.foot)
    head = list(view.head)
    if len(head) + len(foot) + ROWS_MIN + 1 > room:
        foot = []
    head = head[: max(0, room - len(foot) - ROWS_MIN - 1)]
    page = room - len(head) - len(foot) - 1
    shared = widths(table.columns, ui.width - 2)
    titles = ((" ", "head"), *header(table, shared, ui.width - 1, ui.sorts.get(ui.view)))
    first = scrolled(ui, shown, page)
    lines, hits = [*head, titles], dict[int, str]()
    for number, row in enumerate(shown.rows[first : first + page], start=first):
        here = number == shown.at
        hits[len(lines)] = row.key
        mark: Span = ("▸" if here else " ", "accent cursor" if here else "")
        lines.append((mark, *body(table, shared, ui.width - 1, row, here=here)))
    if not shown.rows:
        words = f"nothing matches {clean(ui.filter)}" if ui.filter and table.rows else table.empty
        lines.append(told(ui.width, (words, "dim")))
    more = len(shown.rows) - first - page
    lines += [blank(ui.width)] * (room - len(foot) - len(lines))
    if more > 0 and not foot:
        last = lines[-1]
        note = f" {count(more)} more "
        lines[-1] = (*line(ui.width - len(note), *last), (note, "head"))
    return [*lines, *foot], hits, page


def scrolled(ui: Ui, shown: Listing, page: int) -> int:
    """Return the first row shown: where it was, moved as little as the cursor needs."""
    first = min(ui.offsets.get(ui.view, 0), max(0, len(shown.rows) - page))
    if shown.at < first:
        first = max(0, shown.at)
    elif shown.at >= first + page:
        first = shown.at - page + 1
    return first


def _bottom(ui: Ui, actions: Sequence[Action]) -> Line:
    width = ui.width
    if ui.mode != "normal":
        return _prompt(ui)
    if ui.message:
        return line(width, (f" {clean(ui.message)}", f"{ui.level} badge" if ui.level != "note" else "bar"), fill="bar")
    return _hints(ui, actions)


def _prompt(ui: Ui) -> Line:
    width = ui.width
    if ui.mode == "command":
        return line(width, (":", "key"), (clean(ui.typed), "prompt"), ("█", "prompt"), fill="prompt")
    if ui.mode == "filter":
        words = "  sport=football market=1x2 odds>5" if ui.view == "stream" and not ui.typed else ""
        return line(
            width, ("/", "key"), (clean(ui.typed), "prompt"), ("█", "prompt"), (words, "bar dim"), fill="prompt"
        )
    if ui.mode == "unlock":
        words = "type the profile's name to unlock writing: "
        return line(width, (words, "bad badge"), (clean(ui.typed), "prompt"), ("█", "prompt"), fill="prompt")
    if ui.mode == "confirm" and ui.confirm is not None:
        words = f"{ui.confirm.question} Type {ui.confirm.words!r}: "
        return line(width, (clean(words), "bad badge"), (clean(ui.typed), "prompt"), ("█", "prompt"), fill="prompt")
    return line(width, (" any key closes this, arrows scroll", "bar"), fill="bar")


def _hints(ui: Ui, actions: Sequence[Action]) -> Line:
    width = ui.width
    left: list[Span] = []
    if ui.filter:
        left += [(f" /{clean(ui.filter)} ", "note badge"), (" ", "bar")]
    right: list[Span] = []
    room = width - sum(cells(text) for text, _ in left)
    for action in sorted(hinted(ui, actions), key=lambda each: (each.name not in _ALWAYS, not each.where)):
        if action.name == "back" and not ui.drill and not ui.filter and not ui.replaying:
            continue
        hint = "lock" if action.name == "lock" and ui.unlocked else action.hint
        parts: list[Span] = [(f" {shown_key(action)}", "key"), (f" {hint} ", "bar dim")]
        room -= sum(cells(text) for text, _ in parts)
        if room < 0:
            break
        if action.name in _ALWAYS:
            right += parts
        else:
            left += parts
    return sides(width, left, right, "bar")


_ALWAYS: Final = frozenset({"command", "help"})
"""What the bottom line names whatever else there is no room for."""


def hinted(ui: Ui, actions: Sequence[Action]) -> list[Action]:
    """Return the actions that the bottom line names."""
    return [each for each in actions if each.hint and (not each.where or ui.view.startswith(each.where))]


def _completion(ui: Ui) -> list[Line]:
    if ui.mode != "command":
        return []
    found = commands.completions(ui.typed)
    spans: list[Span] = [(" ", "bar")]
    for word, text in found[:8]:
        spans += [(f" {word}", "key"), (f" {text} " if len(found) < 4 else " ", "bar dim")]
    return [line(ui.width, *spans, fill="bar")]


def _help(ui: Ui, actions: Sequence[Action], room: int) -> list[Line]:
    """Make help of the action table, in as many columns as fit."""
    groups = [("everywhere", [each for each in actions if not each.where and not each.name.startswith("screen ")])]
    groups += [
        (TITLES[name], [each for each in actions if each.where == name])
        for name in SCREENS
        if any(each.where == name for each in actions)
    ]
    entries: list[tuple[str, str, str]] = []
    for title, members in groups:
        entries.append((title, "", "head"))
        for each in members:
            keys = "Space" if each.keys[:1] == ("space",) else shown_key(each)
            entries.append((keys, each.text + (" (write)" if each.changes else ""), ""))
    entries.append(("commands", "", "head"))
    entries += [(f":{each.usage}", each.text, "") for each in commands.COMMANDS]
    across = 1 if ui.width < 100 else 2 if ui.width < 190 else 3
    size = (ui.width - 2) // across
    rows = -(-len(entries) // across)
    first = min(ui.offsets.get("help", 0), max(0, rows - room))
    lines = []
    for number in range(first, min(rows, first + room)):
        spans: list[Span] = [(" ", "")]
        for column in range(across):
            place = column * rows + number
            if place >= len(entries):
                continue
            key, text, style = entries[place]
            if style:
                spans.append((fit(key, size), "strong"))
            else:
                wide = 22 if len(key) > 1 and key.startswith(":") else 8
                spans += [(fit(key, wide), "accent"), (" ", ""), (fit(text, size - wide - 2), ""), (" ", "")]
        lines.append(line(ui.width, *spans))
    return [*lines, *[blank(ui.width)] * (room - len(lines))]
