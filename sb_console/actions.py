"""The action table: every key of the console, in one place. Help, hints and the keymap are made from it. Pure.

The rule: an action that changes the system says so (`changes`), and then the write lock is in front of it, always.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from sb_core.settings import SettingsError


class Action(Struct, frozen=True):
    """What a key does. `where` names the views it belongs to by how they begin; "" is everywhere."""

    name: str
    keys: tuple[str, ...]
    text: str
    where: str = ""
    hint: str = ""
    """A word for the line at the bottom; none: only help tells."""
    changes: bool = False


SCREENS: Final = ("pulse", "services", "lag", "stream", "letters", "trace", "generator", "timeline")
TITLES: Final[Mapping[str, str]] = {
    "pulse": "Pulse",
    "services": "Services",
    "lag": "Lag",
    "stream": "Stream",
    "letters": "Dead letters",
    "trace": "Trace",
    "generator": "Generator",
    "timeline": "Timeline",
}

ACTIONS: Final = (
    *(Action(f"screen {name}", (str(n),), f"screen {TITLES[name]}") for n, name in enumerate(SCREENS, start=1)),
    Action("enter", ("enter",), "into the row; on the timeline: to that moment", hint="open"),
    Action("back", ("escape",), "back: out of a row, a filter, a replay", hint="back"),
    Action("up", ("up", "k"), "a row up"),
    Action("down", ("down", "j"), "a row down"),
    Action("page up", ("pageup", "ctrl+b"), "a page up"),
    Action("page down", ("pagedown", "ctrl+f"), "a page down"),
    Action("home", ("home",), "first row"),
    Action("end", ("end", "G"), "last row"),
    Action("next", ("tab", "right"), "next screen"),
    Action("previous", ("shift+tab", "left"), "previous screen"),
    Action("command", ("colon", ":"), "a command; Tab completes", hint="command"),
    Action("filter", ("slash", "/"), "filter rows by a regular expression, /! for what doesn't match", hint="filter"),
    Action("sort", ("s",), "sort by the next column", hint="sort"),
    Action("reverse", ("S",), "sort the other way round"),
    Action("freeze", ("space",), "freeze the screen, or pause a replay; again goes on", hint="freeze"),
    Action("earlier", ("left_square_bracket", "["), "10 s earlier"),
    Action("later", ("right_square_bracket", "]"), "10 s later"),
    Action("live", ("L",), "back to now"),
    Action("copy", ("y",), "copy the row", hint="copy"),
    Action("export", ("e",), "export all rows as CSV (`:export FILE.json` for JSON)", hint="export"),
    Action("lock", ("w",), "write lock: off when the profile's name is typed, on at once", hint="unlock"),
    Action("theme", ("T",), "next theme"),
    Action("help", ("question_mark", "?", "f1"), "this help", hint="help"),
    Action("quit", ("q", "ctrl+c"), "end"),
    Action("trace", ("t",), "trace the message of this row", where="stream", hint="trace"),
    Action("mark", ("m",), "mark the letter, for a replay of several", where="letters", hint="mark"),
    Action("raw", ("v",), "decoded or raw bytes", where="letters"),
    Action("dry run", ("d",), "say what a replay would make of it", where="letters", hint="dry run"),
    Action("replay", ("r",), "replay the marked letters, or this one", where="letters", hint="replay", changes=True),
    Action("start", ("o",), "start the simulator", where="generator", hint="start", changes=True),
    Action("pause", ("p",), "pause the simulator", where="generator", hint="pause", changes=True),
    Action("stop", ("x",), "stop the simulator", where="generator", hint="stop", changes=True),
    Action("faster", ("plus", "+"), "double the rate", where="generator", hint="faster", changes=True),
    Action("slower", ("minus", "-"), "halve the rate", where="generator", hint="slower", changes=True),
    Action("scenario", ("c",), "next scenario", where="generator", hint="scenario", changes=True),
)


def keymap(own: Mapping[str, Sequence[str]] | None = None) -> tuple[Action, ...]:
    """Return the table with an operator's own keys. Raises SettingsError for an action that isn't there."""
    own = own or {}
    unknown = set(own) - {each.name for each in ACTIONS}
    if unknown:
        raise SettingsError(f"[keys] there is no action {min(unknown)!r}")
    made = tuple(
        Action(each.name, tuple(own.get(each.name, each.keys)), each.text, each.where, each.hint, each.changes)
        for each in ACTIONS
    )
    for action in made:
        for key in action.keys:
            found = find(made, key, action.where)
            if found is not None and found.name != action.name and action.where in {found.where, ""}:
                raise SettingsError(f"[keys] {key} is both {found.name!r} and {action.name!r}")
    return made


def find(actions: Sequence[Action], key: str, view: str) -> Action | None:
    """Return the action of a key in a view: the view's own before those of everywhere."""
    own = [each for each in actions if key in each.keys and (not each.where or view.startswith(each.where))]
    return max(own, key=lambda each: bool(each.where), default=None)


def shown_key(action: Action) -> str:
    """Return an action's key as people read it."""
    names = {
        "colon": ":",
        "slash": "/",
        "question_mark": "?",
        "left_square_bracket": "[",
        "right_square_bracket": "]",
        "plus": "+",
        "minus": "-",
        "escape": "Esc",
        "enter": "Enter",
        "pageup": "PgUp",
        "pagedown": "PgDn",
        "home": "Home",
        "end": "End",
        "up": "↑",
        "down": "↓",
        "tab": "Tab",
        "shift+tab": "S-Tab",
        "space": "Space",
    }
    return names.get(action.keys[0], action.keys[0]) if action.keys else "-"
