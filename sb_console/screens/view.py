"""What a screen makes: a view, and the words and styles that all screens share."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sb_console.model import Snapshot, Source
from sb_console.paint import Cell, Line, Span, Table, line
from sb_console.text import clean, span

STYLES: Final[Mapping[str, str]] = {
    "OK": "ok",
    "live": "ok",
    "up": "ok",
    "running": "ok",
    "active": "ok",
    "accepted": "ok",
    "DRAINING": "note",
    "UNKNOWN": "dim",
    "waiting": "dim",
    "off": "dim",
    "unknown": "dim",
    "stopped": "dim",
    "GROWING": "warn",
    "DEGRADED": "warn",
    "NOT READY": "warn",
    "WARN": "warn",
    "late": "warn",
    "recovering": "warn",
    "paused": "warn",
    "suspended": "warn",
    "partly": "warn",
    "AT RISK": "bad",
    "STALLED": "bad",
    "STALE": "bad",
    "DOWN": "bad",
    "BAD": "bad",
    "down": "bad",
    "refused": "bad",
}
"""The style of a word that is a verdict or a state."""


class View(Struct, frozen=True):
    """What is between the top and the bottom lines."""

    head: tuple[Line, ...]
    table: Table | None = None
    foot: tuple[Line, ...] = ()
    title: str = ""


def style_of(word: str) -> str:
    """Return a state's style."""
    return STYLES.get(word, "")


def state_cell(word: str) -> Cell:
    """Return a state's cell."""
    return Cell(word, style_of(word), word)


def number(text: str, value: float | None, style: str = "") -> Cell:
    """Return a figure's cell; what is not known is dim."""
    return Cell(text, style if value is not None else "dim", -1.0 if value is None else float(value))


def silence(snapshot: Snapshot, *names: str) -> list[Span]:
    """Return a word on sources that are not live: what is shown of them is old, or missing."""
    spans: list[Span] = []
    for name in names:
        source = snapshot.sources.get(name, Source(name))
        if source.state in {"live", "off"}:
            continue
        spans += [(" ", ""), (f"{name} {source.state}", style_of(source.state) or "dim")]
        if source.seen_at is not None:
            spans.append((f", last seen {span((snapshot.at - source.seen_at) / 1000)} ago", "dim"))
        if source.error:
            spans.append((f": {clean(source.error)}", "dim"))
    return spans


def told(width: int, *spans: Span) -> Line:
    """Make a line with a cell of air at its left."""
    return line(width, (" ", ""), *spans)


def blank(width: int) -> Line:
    """Make an empty line."""
    return line(width)
