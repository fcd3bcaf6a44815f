"""What the styles look like: one table of meanings to colours for each theme. Pure.

The rule: colour is never the only sign; every verdict is a word, and without colours bold, dim and reverse remain.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from rich.style import Style

_DARK: Final[Mapping[str, str]] = {
    "": "#c3ccd5",
    "dim": "#6c7884",
    "strong": "bold #e6ebf0",
    "head": "bold #8296a9 on #1b232c",
    "bar": "#aab6c2 on #1b232c",
    "bar dim": "#6c7884 on #1b232c",
    "tab": "bold #0f1419 on #7aa2cf",
    "ok": "#85b88f",
    "warn": "#d8b46a",
    "bad": "bold #e2766f",
    "note": "#7aa2cf",
    "accent": "#7aa2cf",
    "up": "#85b88f",
    "down": "#e2766f",
    "key": "bold #9dbbe0 on #1b232c",
    "ok badge": "bold #10161b on #85b88f",
    "warn badge": "bold #10161b on #d8b46a",
    "bad badge": "bold #10161b on #e2766f",
    "note badge": "bold #10161b on #7aa2cf",
    "dim badge": "bold #10161b on #6c7884",
    "cursor": "on #2a3744",
    "prompt": "#e6ebf0 on #1b232c",
    "edge": "#3a4754",
    "spark": "#587fa6",
}
_LIGHT: Final[Mapping[str, str]] = {
    "": "#2b333b",
    "dim": "#7c8792",
    "strong": "bold #10161b",
    "head": "bold #4a5a69 on #e3e8ee",
    "bar": "#3b4752 on #e3e8ee",
    "bar dim": "#7c8792 on #e3e8ee",
    "tab": "bold #ffffff on #3d6ea5",
    "ok": "#2f7d46",
    "warn": "#96690a",
    "bad": "bold #b3362e",
    "note": "#2f659e",
    "accent": "#2f659e",
    "up": "#2f7d46",
    "down": "#b3362e",
    "key": "bold #2f659e on #e3e8ee",
    "ok badge": "bold #ffffff on #2f7d46",
    "warn badge": "bold #ffffff on #96690a",
    "bad badge": "bold #ffffff on #b3362e",
    "note badge": "bold #ffffff on #2f659e",
    "dim badge": "bold #ffffff on #7c8792",
    "cursor": "on #cfdceb",
    "prompt": "#10161b on #e3e8ee",
    "edge": "#b5c0cb",
    "spark": "#7fa3c7",
}
_NONE: Final[Mapping[str, str]] = {
    "": "",
    "dim": "dim",
    "strong": "bold",
    "head": "bold underline",
    "bar": "reverse",
    "bar dim": "reverse",
    "tab": "bold",
    "ok": "",
    "warn": "bold",
    "bad": "bold reverse",
    "note": "",
    "accent": "bold",
    "up": "bold",
    "down": "bold",
    "key": "bold reverse",
    "ok badge": "bold reverse",
    "warn badge": "bold reverse",
    "bad badge": "bold reverse",
    "note badge": "bold reverse",
    "dim badge": "reverse",
    "cursor": "reverse",
    "prompt": "reverse",
    "edge": "dim",
    "spark": "",
}
THEMES: Final[Mapping[str, Mapping[str, str]]] = {"dark": _DARK, "light": _LIGHT, "none": _NONE}
GROUND: Final[Mapping[str, str]] = {"dark": "#10161b", "light": "#f7f9fb", "none": "default"}
PROFILE_COLOURS: Final[Mapping[str, str]] = {
    "green": "#85b88f",
    "blue": "#7aa2cf",
    "yellow": "#d8b46a",
    "magenta": "#b596c9",
    "cyan": "#79b5b5",
    "red": "#e2766f",
}


@lru_cache(maxsize=4_000)
def style(theme: str, names: str, colour: str) -> Style:
    """Return the look of a style name; "cursor" at its end is laid over what stands before it."""
    table = THEMES[theme]
    here = names.endswith("cursor")
    name = names.removesuffix("cursor").strip()
    looks = Style() if theme == "none" else Style.parse(f"{table['']} on {GROUND[theme]}")
    if name == "profile":
        looks += Style.parse("bold reverse" if theme == "none" else f"bold #10161b on {PROFILE_COLOURS[colour]}")
    else:
        looks += Style.parse(table.get(name, table[""]) or "none")
    return looks + Style.parse(table["cursor"]) if here else looks
