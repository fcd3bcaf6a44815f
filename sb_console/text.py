"""Words and numbers for a terminal: feeds' text made harmless, widths in cells, figures that people read at a glance. Pure.

The rule: nothing that came from outside reaches the screen but through `clean`: no control, no direction marks, no lone
surrogate, no towers of accents; and a text that runs from right to left ends with a mark that stops it from taking the
next column along.
"""

import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, get_character_cell_size

CHARS_MAX: Final = 4_000
MARKS_MAX: Final = 2
"""Combining marks on one character."""
LEFT_TO_RIGHT: Final = "\u200e"
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_REPLACED: Final = "·"


def clean(text: str) -> str:
    """Return text without anything that could move, colour or reorder what is around it; cleaning twice changes nothing."""
    if text.isascii() and text.isprintable():
        return text[:CHARS_MAX]
    return _cleaned(text[:CHARS_MAX])


@lru_cache(maxsize=4_096)
def _cleaned(text: str) -> str:
    made: list[str] = []
    marks, mirrored = 0, False
    for character in text:
        if character == LEFT_TO_RIGHT:
            continue
        category = unicodedata.category(character)
        if category in {"Mn", "Me", "Mc"}:
            marks += 1
            if marks <= MARKS_MAX and made:
                made.append(character)
            continue
        marks = 0
        if category in _HIDDEN or character == "\N{TAB}":
            made.append(" " if character in "\t\n\r" else _REPLACED)
            continue
        mirrored = mirrored or unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
        made.append(character)
    return "".join(made) + (LEFT_TO_RIGHT if mirrored else "")


def plain(text: str) -> str:
    """Return text in ASCII, for terminals that know nothing else."""
    if text.isascii():
        return text
    text = text.replace(LEFT_TO_RIGHT, "").translate(_PLAIN)
    return "".join(
        c if c.isascii() else "?" for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
    )


_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("│┃", "|"),
        **dict.fromkeys("─━", "-"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
        **dict.fromkeys("▶▸→", ">"),
        **dict.fromkeys("◀◂←", "<"),
        **dict.fromkeys("▲↑", "^"),
        **dict.fromkeys("▼↓", "v"),
        **dict.fromkeys("●◆■", "*"),
        **dict.fromkeys("○◌□", "o"),
        **dict.fromkeys("·•", "."),
        **dict.fromkeys("█▇▆", "#"),
        **dict.fromkeys("▅▄", "="),
        **dict.fromkeys("▃▂", "-"),
        **dict.fromkeys("▁░", "."),
        "…": "~",
        "\N{MINUS SIGN}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "✓": "v",
        "∞": "inf",
    }
)


def cells(text: str) -> int:
    """Return a text's width in terminal cells."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return text in exactly `width` cells, cut with … where it is longer."""
    if width <= 0:
        return ""
    length = cells(text)
    if length > width:
        text, length = _cut(text, width - 1)
        text += "…"
        length += 1
    filler = " " * (width - length)
    return filler + text if right else text + filler


def _cut(text: str, width: int) -> tuple[str, int]:
    if text.isascii():
        return text[:width], min(width, len(text))
    used = 0
    for place, character in enumerate(text):
        size = get_character_cell_size(character)
        if used + size > width:
            return text[:place] + (LEFT_TO_RIGHT if LEFT_TO_RIGHT in text else ""), used
        used += size
    return text, used


def wrap(text: str, width: int, lines_max: int) -> list[str]:
    """Break text into lines of at most `width` cells, between words where there are any."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        left = paragraph
        while len(lines) < lines_max:
            if cells(left) <= width:
                lines.append(left)
                break
            head, _ = _cut(left, width)
            at = head.rfind(" ")
            at = at if at > width // 2 else len(head.rstrip(LEFT_TO_RIGHT))
            lines.append(left[:at])
            left = left[at:].lstrip(" ")
    return lines[:lines_max]


# figures


def count(value: float | None) -> str:
    """Write a number of things: 1,234, 56.7k, 1.2M."""
    if value is None:
        return "-"
    size = abs(value)
    if size < 10_000:
        return f"{value:,.0f}"
    for limit, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G")):
        if size < limit * 0.9995:
            return f"{value / limit * 1000:.1f}{unit}"
    return f"{value:.1e}"


def rate(value: float | None) -> str:
    """Write a rate a second."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) < 100 else count(value)


def ms(value: float | None) -> str:
    """Write a time given in ms, with its unit: 0.4ms, 12ms, 1.2s."""
    if value is None:
        return "-"
    if abs(value) < 9.95:
        return f"{value:.1f}ms"
    if abs(value) < 999.5:
        return f"{value:.0f}ms"
    return span(value / 1000)


def span(seconds: float | None) -> str:
    """Write a length of time: 4.2s, 3m05s, 2h07m, 4d03h."""
    if seconds is None:
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02d}h"


def clock(at: int | None, *, millis: bool = False) -> str:
    """Write a time of day, UTC."""
    if at is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return "?"
    return f"{moment:%H:%M:%S}" + (f".{at % 1000:03d}" if millis else "")


def day(at: int | None) -> str:
    """Write a date and a time of day, UTC."""
    if at is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "?"
