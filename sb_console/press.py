"""What a key does: (Ui, key, snapshot) to (Ui, effects). Pure, so everything an operator can do is tested without a terminal.

The rules: a prompt takes every key until Enter or Esc; an action that changes the system passes `_changing`, which asks
for the write lock; a replay of letters is confirmed by typing how many.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import structs

from sb_console import commands
from sb_console.actions import SCREENS, find
from sb_console.commands import Around, Refused
from sb_console.derive import DISTRIBUTION, GENERATOR, INGEST, PROCESSING, STREAM
from sb_console.desk import Desk
from sb_console.exporting import as_csv, as_json
from sb_console.frame import listing, scrolled
from sb_console.paint import Line, words
from sb_console.requests import Command, Filter, Follow, Replay, ShowLetter
from sb_console.steering import next_scenario, steer, times
from sb_console.text import clean
from sb_console.themes import THEMES
from sb_console.ui import Confirm, Copy, Effect, Export, Play, Quit, Seek, Send, Ui

STEP_MS: Final = 10_000
REPLAY_MAX: Final = 1_000
TYPED_MAX: Final = 500
Answer = tuple[Ui, tuple[Effect, ...]]


def press(ui: Ui, key: str, character: str | None, desk: Desk) -> Answer:
    """Take a key."""
    if ui.mode == "help":
        return _help(ui, key)
    if ui.mode != "normal":
        return _prompt(ui, key, character, desk)
    action = find(desk.actions, key, ui.view) or (find(desk.actions, character, ui.view) if character else None)
    ui = structs.replace(ui, message="")
    if action is None:
        return ui, ()
    if action.name.startswith("screen "):
        return ui.go(action.name.removeprefix("screen ")), ()
    try:
        if action.changes:
            _check_lock(ui)
        return _DO[action.name](ui, desk)
    except Refused as refusal:
        return ui.told(str(refusal), "warn"), ()


def click(ui: Ui, key: str, desk: Desk) -> Answer:
    """Take a click on a row: the first chooses it, a second opens it."""
    if ui.mode != "normal":
        return ui, ()
    if ui.cursors.get(ui.view) == key:
        return _enter(ui, desk)
    return structs.replace(ui, cursors={**ui.cursors, ui.view: key}), ()


def scroll(ui: Ui, by: int, desk: Desk) -> Answer:
    """Take a turn of the mouse's wheel."""
    return _move(by)(ui, desk)


def _check_lock(ui: Ui) -> None:
    if ui.replaying:
        raise Refused("this is another moment, which can't be changed: L is back to now")
    if not ui.unlocked:
        raise Refused("the write lock is on: w, then the profile's name")


# prompts


def _help(ui: Ui, key: str) -> Answer:
    if key in {"up", "down", "pageup", "pagedown"}:
        by = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}[key]
        return structs.replace(ui, offsets={**ui.offsets, "help": max(0, ui.offsets.get("help", 0) + by)}), ()
    return structs.replace(ui, mode="normal"), ()


def _prompt(ui: Ui, key: str, character: str | None, desk: Desk) -> Answer:  # noqa: PLR0911  one a key
    if key in {"escape", "ctrl+c"}:
        return structs.replace(ui, mode="normal", typed="", confirm=None).told(
            "" if ui.mode == "filter" else "left"
        ), ()
    if key == "enter":
        return _PROMPTS[ui.mode](structs.replace(ui, mode="normal", typed="", confirm=None), ui, desk)
    if key == "backspace":
        if not ui.typed:
            return structs.replace(ui, mode="normal", confirm=None), ()
        return structs.replace(ui, typed=ui.typed[:-1]), ()
    if key == "ctrl+u":
        return structs.replace(ui, typed=""), ()
    if key == "tab" and ui.mode == "command":
        return structs.replace(ui, typed=commands.completed(ui.typed)), ()
    if key == "up" and ui.mode == "command" and ui.history:
        place = ui.history.index(ui.typed) - 1 if ui.typed in ui.history else len(ui.history) - 1
        return structs.replace(ui, typed=ui.history[max(0, place)]), ()
    if character is not None and character.isprintable() and len(ui.typed) < TYPED_MAX:
        return structs.replace(ui, typed=ui.typed + character), ()
    return ui, ()


def _run_command(ui: Ui, prompt: Ui, desk: Desk) -> Answer:
    around = Around(
        desk.generator_url, desk.snapshot.at, lambda: as_csv(desk.snapshot, ui), lambda: as_json(desk.snapshot, ui)
    )
    done, effects = commands.run(ui, prompt.typed, around)
    if done.filters != ui.filters:
        return _filtered(ui, done.filter)
    return done, effects


def _run_filter(ui: Ui, prompt: Ui, _desk: Desk) -> Answer:
    return _filtered(ui, prompt.typed)


def _filtered(ui: Ui, text: str) -> Answer:
    filters = {name: each for name, each in ui.filters.items() if name != ui.view}
    if text:
        filters[ui.view] = text
    made = structs.replace(ui, filters=filters, message="")
    return made, (Send(Filter(text)),) if ui.view == "stream" else ()


def _run_unlock(ui: Ui, prompt: Ui, desk: Desk) -> Answer:
    if prompt.typed.strip() != desk.profile:
        return ui.told("not unlocked: that is not the profile's name", "warn"), ()
    return structs.replace(ui, unlocked=True).told("unlocked: w locks again", "warn"), ()


def _run_confirm(ui: Ui, prompt: Ui, _desk: Desk) -> Answer:
    asked = prompt.confirm
    if asked is None or prompt.typed.strip() != asked.words:
        return ui.told("not done: other words were typed", "warn"), ()
    done = structs.replace(ui, marks=()).told(f"asked: {getattr(asked.request, 'command', '')}")
    return done, (Send(asked.request),)


_PROMPTS: Final[Mapping[str, Callable[[Ui, Ui, Desk], Answer]]] = {
    "command": _run_command,
    "filter": _run_filter,
    "unlock": _run_unlock,
    "confirm": _run_confirm,
}


# moving


def _move(by: int, *, pages: bool = False) -> Callable[[Ui, Desk], Answer]:
    def move(ui: Ui, desk: Desk) -> Answer:
        shown = listing(desk.snapshot, ui)
        if not shown.rows:
            return ui, ()
        at = max(0, min(len(shown.rows) - 1, shown.at + by * (desk.page if pages else 1)))
        cursors = {**ui.cursors, ui.view: shown.rows[at].key}
        if at == 0 and shown.view.table is not None and shown.view.table.newest_first:
            cursors.pop(ui.view)  # at the top of a tape the cursor stays with the newest
        moved = structs.replace(ui, cursors=cursors)
        first = scrolled(moved, structs.replace(shown, at=at), desk.page)
        return structs.replace(moved, offsets={**ui.offsets, ui.view: first}), ()

    return move


def _turn(by: int) -> Callable[[Ui, Desk], Answer]:
    return lambda ui, _desk: (ui.go(SCREENS[(SCREENS.index(ui.screen) + by) % len(SCREENS)]), ())


_SERVICES: Final = {"feed": GENERATOR, "ingest": INGEST, "distribute": DISTRIBUTION, "clients": STREAM}


def _enter(ui: Ui, desk: Desk) -> Answer:
    shown = listing(desk.snapshot, ui)
    if shown.here is None:
        return ui, ()
    key, depth = shown.here.key, len(ui.drill)
    if ui.screen == "pulse":
        return ui.go("services", (("service", _SERVICES.get(key) or PROCESSING + key.removeprefix("process ")),)), ()
    if ui.screen == "timeline":
        return ui, (Seek(at=int(key.partition(".")[0])),)
    if ui.screen == "stream" and depth == 0:
        event = key.rpartition("@")[0]
        return ui.into("event", event), (Send(Follow(event)),)
    if ui.screen == "letters" and depth == 1:
        return ui.into("letter", key), (Send(ShowLetter(key)),)
    kind = _KINDS.get((ui.screen, depth))
    return (ui.into(kind, key), ()) if kind else (ui, ())


_KINDS: Final = {
    ("services", 0): "service",
    ("services", 1): "metric",
    ("lag", 0): "partition",
    ("stream", 1): "market",
    ("letters", 0): "code",
}


def _back(ui: Ui, _desk: Desk) -> Answer:
    if ui.drill:
        gone: tuple[Effect, ...] = (Send(Follow(None)),) if ui.screen == "stream" and len(ui.drill) == 1 else ()
        return ui.out(), gone
    if ui.filter:
        return _filtered(ui, "")
    return ui, (Seek(),) if ui.replaying else ()


# rows


def _sort(ui: Ui, desk: Desk) -> Answer:
    table = listing(desk.snapshot, ui).view.table
    if table is None:
        return ui, ()
    held = ui.sorts.get(ui.view)
    place = -1 if held is None else held[0]
    sorts = {name: each for name, each in ui.sorts.items() if name != ui.view}
    if place + 1 < len(table.columns):
        column = table.columns[place + 1]
        sorts[ui.view] = (place + 1, column.right)  # the largest figure first, names from A
        return structs.replace(ui, sorts=sorts).told(f"by {column.title.lower() or 'mark'}"), ()
    return structs.replace(ui, sorts=sorts).told("in its own order"), ()


def _reverse(ui: Ui, _desk: Desk) -> Answer:
    held = ui.sorts.get(ui.view)
    if held is None:
        return ui.told("s sorts first"), ()
    return structs.replace(ui, sorts={**ui.sorts, ui.view: (held[0], not held[1])}), ()


def _copy(ui: Ui, desk: Desk) -> Answer:
    shown = listing(desk.snapshot, ui)
    if shown.here is None:
        lines: Sequence[Line] = shown.view.head
        return ui.told("copied what is shown"), (Copy("\n".join(words(each).rstrip() for each in lines).strip()),)
    return ui.told("copied the row"), (Copy("\t".join(clean(cell.text) for cell in shown.here.cells)),)


def _export(ui: Ui, desk: Desk) -> Answer:
    text = as_csv(desk.snapshot, ui)
    path = f"{ui.view.replace('.', '-')}-{desk.snapshot.at // 1000}.csv"
    return ui, (Export(path, text, max(0, text.count("\n") - 1)),)


# actions of screens


def _trace(ui: Ui, desk: Desk) -> Answer:
    if ui.drill:
        board = desk.snapshot.board
        if board is None:
            return ui, ()
        return commands.traced(ui, board.event, board.rev)
    shown = listing(desk.snapshot, ui)
    if shown.here is None:
        return ui, ()
    event, _, rev = shown.here.key.rpartition("@")
    return commands.traced(ui, event, int(rev))


def _chosen(ui: Ui, desk: Desk) -> tuple[str, ...]:
    """Return the letters that an action is about: the marked ones, else the one under the cursor or in view."""
    if ui.marks:
        return ui.marks
    if len(ui.drill) >= 2:
        return (ui.drill[1][1],)
    shown = listing(desk.snapshot, ui)
    return (shown.here.key,) if ui.drill and shown.here is not None else ()


def _mark(ui: Ui, desk: Desk) -> Answer:
    if not ui.drill:
        return ui.told("Enter opens the letters of a code"), ()
    key = ui.drill[1][1] if len(ui.drill) >= 2 else None
    if key is None:
        here = listing(desk.snapshot, ui).here
        key = here.key if here is not None else None
    if key is None:
        return ui, ()
    marks = tuple(each for each in ui.marks if each != key) if key in ui.marks else (*ui.marks, key)
    if len(marks) > REPLAY_MAX:
        return ui.told(f"at most {REPLAY_MAX} at once", "warn"), ()
    marked = structs.replace(ui, marks=marks)
    return _move(1)(marked, desk) if len(ui.drill) == 1 else (marked, ())


def _dry_run(ui: Ui, desk: Desk) -> Answer:
    ids = _chosen(ui, desk)
    if not ids:
        return ui.told("Enter opens the letters of a code"), ()
    shown = ui if len(ui.drill) >= 2 else ui.into("letter", ids[0])
    return shown.told("asked what a replay would make of it"), (
        Send(ShowLetter(ids[0])),
        Send(Replay(ids, dry_run=True)),
    )


def _replay(ui: Ui, desk: Desk) -> Answer:
    ids = _chosen(ui, desk)
    if not ids:
        return ui.told("Enter opens the letters of a code"), ()
    question = f"{len(ids)} dead letter{'s' if len(ids) > 1 else ''} will be received anew."
    asked = Confirm(question, f"replay {len(ids)}", Replay(ids, dry_run=False))
    return structs.replace(ui, mode="confirm", typed="", confirm=asked), ()


def _lock(ui: Ui, _desk: Desk) -> Answer:
    if ui.unlocked:
        return structs.replace(ui, unlocked=False).told("the write lock is on"), ()
    if ui.replaying:
        return ui.told("this is another moment, which can't be changed: L is back to now", "warn"), ()
    return structs.replace(ui, mode="unlock", typed=""), ()


def _next_theme(ui: Ui, _desk: Desk) -> Answer:
    names = list(THEMES)
    theme = names[(names.index(ui.theme) + 1) % len(names)]
    return structs.replace(ui, theme=theme).told(f"theme {theme}"), ()


_DO: Final[Mapping[str, Callable[[Ui, Desk], Answer]]] = {
    "enter": _enter,
    "back": _back,
    "up": _move(-1),
    "down": _move(1),
    "page up": _move(-1, pages=True),
    "page down": _move(1, pages=True),
    "home": _move(-1_000_000),
    "end": _move(1_000_000),
    "next": _turn(1),
    "previous": _turn(-1),
    "command": lambda ui, _desk: (structs.replace(ui, mode="command", typed=""), ()),
    "filter": lambda ui, _desk: (structs.replace(ui, mode="filter", typed=ui.filter), ()),
    "sort": _sort,
    "reverse": _reverse,
    "freeze": lambda ui, _desk: (ui, (Play(),)),
    "earlier": lambda ui, _desk: (ui, (Seek(by_ms=-STEP_MS),)),
    "later": lambda ui, _desk: (ui, (Seek(by_ms=STEP_MS),)),
    "live": lambda ui, _desk: (ui, (Seek(),)),
    "copy": _copy,
    "export": _export,
    "lock": _lock,
    "theme": _next_theme,
    "help": lambda ui, _desk: (structs.replace(ui, mode="help"), ()),
    "quit": lambda ui, _desk: (ui, (Quit(),)),
    "trace": _trace,
    "mark": _mark,
    "raw": lambda ui, _desk: (structs.replace(ui, raw=not ui.raw), ()),
    "dry run": _dry_run,
    "replay": _replay,
    "start": steer(lambda desk: Command("start", desk.generator_url)),
    "pause": steer(lambda desk: Command("pause", desk.generator_url)),
    "stop": steer(lambda desk: Command("stop", desk.generator_url)),
    "faster": steer(times(2.0)),
    "slower": steer(times(0.5)),
    "scenario": steer(next_scenario),
}
