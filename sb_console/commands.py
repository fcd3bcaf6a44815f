"""The `:` commands: a table of names and what they do, with completion. Pure.

The rule: what changes the system goes through the same write lock as its key.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, structs

from sb_console.actions import SCREENS, TITLES
from sb_console.requests import Command as Order
from sb_console.requests import Follow, Patch, Request, Trace
from sb_console.themes import THEMES
from sb_console.ui import Effect, Export, Quit, RecordTo, Seek, Send, Ui

SCENARIOS: Final = ("steady", "evening", "burst", "quiet", "outage")
FAULTS: Final = ("drop", "duplicate", "reorder", "corrupt", "truncate")
CHARS_MAX: Final = 500
HISTORY_MAX: Final = 50


class Refused(Exception):  # noqa: N818  it is an answer to an operator, not an error of anybody's
    """A command can't be done; says why."""


class Around(Struct, frozen=True):
    """What commands need to know besides the Ui: the generator's address, the moment shown, and rows to export."""

    generator_url: str
    at: int
    csv: Callable[[], str]
    json: Callable[[], str]


Answer = tuple[Ui, tuple[Effect, ...]]
Work = Callable[[Ui, str, Around], Answer]


class Named(Struct, frozen=True):
    """A command: its usage (name first), a sentence, what completes its argument, and what it does."""

    usage: str
    text: str
    work: Work
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name."""
        return self.usage.partition(" ")[0]


def _screen(name: str) -> Work:
    return lambda ui, _argument, _around: (ui.go(name, ()), ())


def _changing(ui: Ui, request: Request) -> Answer:
    if ui.replaying:
        raise Refused("this is another moment, which can't be changed: L is back to now")
    if not ui.unlocked:
        raise Refused("the write lock is on: w, then the profile's name")
    return ui.told(f"asked: {getattr(request, 'command', '')}"), (Send(request),)


def _patch(ui: Ui, around: Around, changes: Mapping[str, object]) -> Answer:
    return _changing(ui, Patch(changes, around.generator_url))


def _number(argument: str, what: str, least: float, most: float) -> float:
    try:
        value = float(argument)
    except ValueError as error:
        raise Refused(f"{what} is a number") from error
    if not least <= value <= most:
        raise Refused(f"{what} is from {least:g} to {most:g}")
    return value


def _rate(ui: Ui, argument: str, around: Around) -> Answer:
    return _patch(ui, around, {"rate": _number(argument, "rate", 0.1, 100_000)})


def _seed(ui: Ui, argument: str, around: Around) -> Answer:
    return _patch(ui, around, {"seed": int(_number(argument, "seed", 0, 2**53 - 1))})


def _scenario(ui: Ui, argument: str, around: Around) -> Answer:
    if not argument:
        raise Refused(f"which? {', '.join(SCENARIOS)}")
    return _patch(ui, around, {"scenario": argument})


def _faults(ui: Ui, argument: str, around: Around) -> Answer:
    rates: dict[str, float] = {}
    for part in re.split(r"[,\s]+", argument.strip()):
        if part in {"", "none"}:
            continue
        name, _, value = part.partition("=")
        rates[name] = _number(value, name or "a fault's rate", 0, 1)
    return _patch(ui, around, {"faults": rates})


def _order(verb: str) -> Work:
    return lambda ui, _argument, around: _changing(ui, Order(verb, around.generator_url))


def _event(ui: Ui, argument: str, _around: Around) -> Answer:
    if not argument:
        raise Refused("which event?")
    return ui.go("stream", (("event", argument),)), (Send(Follow(argument)),)


def traced(ui: Ui, event: str, rev: int) -> Answer:
    """Go to the trace of a message."""
    key = f"{event}@{rev}" if rev else event
    return structs.replace(ui.go("trace", ()), traced=key), (Send(Trace(event, rev)),)


def _trace(ui: Ui, argument: str, _around: Around) -> Answer:
    event, at, rev = argument.rpartition("@")
    if at and rev.isdecimal():
        return traced(ui, event, int(rev[:15]))
    if not argument:
        raise Refused("which? EVENT, or EVENT@REV")
    return traced(ui, argument, 0)


def _theme(ui: Ui, argument: str, _around: Around) -> Answer:
    if argument not in THEMES:
        raise Refused(f"themes are {', '.join(THEMES)}")
    return structs.replace(ui, theme=argument), ()


def _filter(ui: Ui, argument: str, _around: Around) -> Answer:
    return structs.replace(ui, filters={**ui.filters, ui.view: argument}), ()


def _seek(ui: Ui, argument: str, around: Around) -> Answer:
    match = re.fullmatch(r"([+-])(\d{1,6})(s|m|h)?", argument)
    if match:
        factor = {"s": 1_000, "m": 60_000, "h": 3_600_000, None: 1_000}[match[3]]
        return ui, (Seek(by_ms=int(match[2]) * factor * (1 if match[1] == "+" else -1)),)
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d))?", argument)
    if not match:
        raise Refused("seek -30, +10s, -5m, or 14:05:30")
    wanted_s = int(match[1]) * 3_600 + int(match[2]) * 60 + int(match[3] or 0)
    day_ms = 86_400_000
    moment = around.at - around.at % day_ms + wanted_s * 1_000
    return ui, (Seek(at=moment - day_ms if moment > around.at + day_ms // 2 else moment),)


def _live(ui: Ui, _argument: str, _around: Around) -> Answer:
    return ui, (Seek(),)


def _export(ui: Ui, argument: str, around: Around) -> Answer:
    path = argument or f"{ui.view.replace('.', '-')}.csv"
    text = around.json() if path.endswith(".json") else around.csv()
    return ui, (Export(path, text, max(0, text.count("\n") - 1)),)


def _record(ui: Ui, argument: str, _around: Around) -> Answer:
    if not argument:
        raise Refused("to which file?")
    return ui, (RecordTo(argument),)


def _lock(ui: Ui, _argument: str, _around: Around) -> Answer:
    return structs.replace(ui, unlocked=False).told("the write lock is on"), ()


def _unlock(ui: Ui, _argument: str, _around: Around) -> Answer:
    return structs.replace(ui, mode="unlock", typed=""), ()


COMMANDS: Final = (
    *(Named(name, f"screen {TITLES[name]}", _screen(name)) for name in SCREENS if name != "trace"),
    Named("trace EVENT[@REV]", "follow a message through every stage", _trace),
    Named("event EVENT", "an event's board", _event),
    Named("filter TEXT", "as / does", _filter),
    Named("seek -30s|14:05:30", "another moment", _seek),
    Named("live", "back to now", _live),
    Named("export FILE", "rows to FILE.csv or FILE.json", _export),
    Named("record FILE", "record to a file from now on", _record),
    Named("theme NAME", "dark, light or none", _theme, tuple(THEMES)),
    Named("unlock", "take the write lock off", _unlock),
    Named("lock", "put it on", _lock),
    Named("start", "start the simulator (write)", _order("start")),
    Named("pause", "pause it (write)", _order("pause")),
    Named("stop", "stop it (write)", _order("stop")),
    Named("rate N", "messages a second (write)", _rate),
    Named("seed N", "another world (write)", _seed),
    Named("scenario NAME", "how the rate varies (write)", _scenario, SCENARIOS),
    Named(
        "faults drop=0.01,…", "faults and their rates, none for none (write)", _faults, tuple(f"{f}=" for f in FAULTS)
    ),
    Named("quit", "end", lambda ui, _argument, _around: (ui, (Quit(),))),
)


def completions(typed: str) -> list[tuple[str, str]]:
    """Return what may stand where the cursor is: (word, sentence)."""
    name, space, argument = typed.lstrip().partition(" ")
    if not space:
        return [(each.name, each.text) for each in COMMANDS if each.name.startswith(name)]
    command = next((each for each in COMMANDS if each.name == name), None)
    if command is None:
        return []
    return [(word, "") for word in command.words if word.startswith(argument)] or [(command.usage, command.text)]


def completed(typed: str) -> str:
    """Return what Tab makes of it: as much as all that may follow have in common."""
    found = [word for word, _ in completions(typed)]
    name, space, argument = typed.lstrip().partition(" ")
    start = argument if space else name
    found = [word for word in found if word.startswith(start)]
    if not found or (space and " " in found[0]):
        return typed
    shared = found[0]
    for word in found:
        while not word.startswith(shared):
            shared = shared[:-1]
    done = f"{name} {shared}" if space else shared
    return done + " " if len(found) == 1 and not space else done


def run(ui: Ui, typed: str, around: Around) -> Answer:
    """Do a command; a name may be cut short where it is clear."""
    name, _, argument = typed.strip()[:CHARS_MAX].partition(" ")
    if not name:
        return ui, ()
    exact = [each for each in COMMANDS if each.name == name]
    found = exact or [each for each in COMMANDS if each.name.startswith(name)]
    kept = structs.replace(ui, history=(*[each for each in ui.history if each != typed], typed)[-HISTORY_MAX:])
    if not found:
        return kept.told(f"there is no command {name!r}", "bad"), ()
    if len(found) > 1:
        return kept.told(f"{name!r} is {', '.join(each.name for each in found[:6])}", "warn"), ()
    try:
        return found[0].work(kept, argument.strip(), around)
    except Refused as refusal:
        return kept.told(str(refusal), "warn"), ()
