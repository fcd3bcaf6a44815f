"""Keys, as tables: what each does to what is shown, and that nothing changes the system past the write lock."""

import csv
import io
import json

import pytest
from console_parts import painted, snapshot
from msgspec.structs import replace

from sb_console import commands
from sb_console.actions import ACTIONS, SCREENS, find, keymap
from sb_console.desk import Desk
from sb_console.exporting import as_csv, as_json
from sb_console.frame import listing
from sb_console.press import click, press, scroll
from sb_console.requests import Command, Filter, Follow, Patch, Replay, ShowLetter, Trace
from sb_console.text import clock
from sb_console.ui import Copy, Export, Play, Quit, RecordTo, Seek, Send, Ui
from sb_core.settings import SettingsError

URL = "http://127.0.0.1:4004"


@pytest.fixture(scope="module")
def held():
    return snapshot()


@pytest.fixture
def desk(held):
    return Desk(held, keymap(), "local", URL, 10)


def typed(ui, desk, *keys):
    """Press keys one after the other; a longer text that names no key is typed. Return the last Ui and all effects."""
    effects = []
    named = {key for action in ACTIONS for key in action.keys} | {"backspace", "tab", "ctrl+u", "up"}
    for key in keys:
        for each in [key] if key in named or len(key) == 1 else list(key):
            ui, more = press(ui, each, each if len(each) == 1 else None, desk)
            effects += more
    return ui, effects


@pytest.mark.parametrize(("number", "screen"), list(enumerate(SCREENS, start=1)))
def test_numbers_are_screens(desk, number, screen):
    assert typed(Ui(), desk, str(number))[0].screen == screen


CHANGING = [("generator", "o"), ("generator", "p"), ("generator", "x"), ("generator", "+"), ("generator", "-"),
            ("generator", "c"), ("letters", "r")]  # fmt: skip


def test_the_table_of_changing_keys_is_complete():
    assert {(action.where, key) for action in ACTIONS if action.changes for key in action.keys if len(key) == 1} == set(
        CHANGING
    )


@pytest.mark.parametrize(("screen", "key"), CHANGING)
def test_nothing_changes_the_system_while_the_lock_is_on(desk, held, screen, key):
    drill = (("code", held.letters[0].code),) if screen == "letters" else ()
    ui = Ui(screen=screen, drills={screen: drill})
    locked, effects = typed(ui, desk, key)
    assert (effects, locked.mode) == ([], "normal")
    assert "write lock" in locked.message
    past, effects = typed(Ui(screen=screen, drills={screen: drill}, unlocked=True, replaying=True), desk, key)
    assert (effects, past.mode) == ([], "normal")


@pytest.mark.parametrize("command", ["start", "pause", "stop", "rate 5", "seed 3", "scenario quiet", "faults drop=0.1"])
def test_no_command_changes_the_system_while_the_lock_is_on(desk, command):
    ui, effects = typed(Ui(), desk, ":", command, "enter")
    assert effects == []
    assert "write lock" in ui.message
    unlocked, effects = typed(Ui(unlocked=True), desk, ":", command, "enter")
    assert isinstance(effects[0].request, Command | Patch)
    assert effects[0].request.command.startswith(f"curl -X {'PATCH' if ' ' in command else 'POST'} {URL}/v1/")
    assert unlocked.message.startswith("asked: curl")


def test_the_lock_goes_off_by_the_profiles_name_only(desk):
    assert not typed(Ui(), desk, "w", "production", "enter")[0].unlocked
    assert not typed(Ui(), desk, "w", "local", "escape")[0].unlocked
    ui, _ = typed(Ui(), desk, "w", "locl", "backspace", "al", "enter")
    assert ui.unlocked
    assert not typed(ui, desk, "w")[0].unlocked


def test_a_replay_is_confirmed_by_typing_how_many(desk, held):
    letters = [each for each in held.letters if each.code == held.letters[0].code]
    ui = Ui(screen="letters", drills={"letters": (("code", letters[0].code),)}, unlocked=True)
    marked, _ = typed(ui, desk, "m", "m") if len(letters) > 1 else typed(ui, desk, "m")
    count = len(marked.marks)
    asked, effects = typed(marked, desk, "r")
    assert (asked.mode, effects) == ("confirm", [])
    assert f"'replay {count}'" in painted(held, screen="letters", mode="confirm", confirm=asked.confirm)[-1]
    wrong, effects = typed(asked, desk, "replay", "enter")
    assert (wrong.mode, effects) == ("normal", [])
    done, effects = typed(asked, desk, f"replay {count}", "enter")
    assert effects == [Send(Replay(marked.marks, dry_run=False))]
    assert effects[0].request.command == "sb deadletters replay " + " ".join(marked.marks)
    assert done.marks == ()


def test_a_dry_run_needs_no_lock(desk, held):
    letter = held.letters[-1]
    ui = Ui(screen="letters", drills={"letters": (("code", letter.code),)})
    shown, effects = typed(ui, desk, "d")
    assert effects == [Send(ShowLetter(letter.id)), Send(Replay((letter.id,), dry_run=True))]
    assert shown.view == "letters.code.letter"


def test_into_and_out_of_an_event(desk, held):
    item = held.tape[-1]
    ui, effects = typed(Ui(screen="stream"), desk, "enter")
    assert effects == [Send(Follow(item.event))]
    assert ui.drill == (("event", item.event),)
    ui, effects = typed(ui, desk, "escape")
    assert (ui.drill, effects) == ((), [Send(Follow(None))])


def test_a_trace_of_a_row_and_of_a_command(desk, held):
    item = held.tape[-1]
    assert typed(Ui(screen="stream"), desk, "t")[1] == [Send(Trace(item.event, item.rev))]
    assert typed(Ui(), desk, ":", "trace uof:sr:match:1@17", "enter")[1] == [Send(Trace("uof:sr:match:1", 17))]
    assert typed(Ui(), desk, ":", "trace uof:sr:match:1", "enter")[1] == [Send(Trace("uof:sr:match:1", 0))]


def test_filters_choose_rows(desk, held):
    ui, _ = typed(Ui(screen="services"), desk, "/", "process", "enter")
    assert len(listing(held, ui).rows) == 4
    ui, _ = typed(Ui(screen="services"), desk, "/", "!process", "enter")
    assert len(listing(held, ui).rows) == 4
    ui, _ = typed(ui, desk, "escape")
    assert len(listing(held, ui).rows) == 8
    ui, _ = typed(Ui(screen="services"), desk, "/", "*(", "enter")
    assert listing(held, ui).rows == (), "what is no regular expression is a text"


def test_the_tape_is_filtered_by_expressions(desk, held):
    ui, effects = typed(Ui(screen="stream"), desk, "/", "sport=tennis odds>2", "enter")
    assert effects == [Send(Filter("sport=tennis odds>2"))]
    rows = listing(held, ui).rows
    assert rows
    assert {row.cells[1].text for row in rows} == {"tennis"}
    wrong, _ = typed(Ui(screen="stream"), desk, "/", "odds>", "enter")
    assert "it ends where a value should be" in "\n".join(
        painted(held, screen="stream", filters=wrong.filters, width=150)
    )


def test_sorting(desk, held):
    ui, _ = typed(Ui(screen="lag"), desk, *"ssssss")
    lags = [row.cells[5].value for row in listing(held, ui).rows]
    assert lags == sorted(lags, reverse=True)
    ui, _ = typed(ui, desk, "S")
    lags = [row.cells[5].value for row in listing(held, ui).rows]
    assert lags == sorted(lags)
    assert "LAG▲" in "\n".join(painted(held, screen="lag", sorts=ui.sorts))


def test_the_cursor_moves_scrolls_and_stays_with_its_row(desk, held):
    ui, _ = typed(Ui(screen="lag"), desk, "end")
    rows = listing(held, ui).rows
    assert listing(held, ui).at == len(rows) - 1
    assert rows[-1].cells[1].text in "\n".join(painted(held, screen="lag", cursors=ui.cursors))
    ui, _ = typed(ui, desk, "home", "down", "down", "up")
    assert listing(held, ui).at == 1
    ui, _ = scroll(ui, 3, desk)
    assert listing(held, ui).at == 4
    key = rows[7].key
    ui, _ = click(ui, key, desk)
    assert listing(held, ui).here.key == key
    ui, _ = click(ui, key, desk)
    assert ui.drill == (("partition", key),)


def test_the_timeline_goes_to_its_moment(desk, held):
    entry = held.timeline[-1]
    assert typed(Ui(screen="timeline"), desk, "enter")[1] == [Seek(at=entry.at)]
    assert typed(Ui(), desk, "[")[1] == [Seek(by_ms=-10_000)]
    assert typed(Ui(), desk, "L")[1] == [Seek()]
    assert typed(Ui(), desk, "space")[1] == [Play()]
    assert typed(Ui(), desk, ":", "seek -5m", "enter")[1] == [Seek(by_ms=-300_000)]
    moment = held.at - held.at % 1_000
    assert typed(Ui(), desk, ":", f"seek {clock(moment)}", "enter")[1] == [Seek(at=moment)]
    assert typed(Ui(), desk, ":", "seek tomorrow", "enter")[1] == []


def test_copy_and_export(desk, held):
    _, (copied,) = typed(Ui(screen="services"), desk, "y")
    assert isinstance(copied, Copy)
    assert copied.text.startswith("feed-ingestion\tOK")
    _, (written,) = typed(Ui(screen="services"), desk, "e")
    assert isinstance(written, Export)
    rows = list(csv.DictReader(io.StringIO(written.text)))
    assert (len(rows), written.rows) == (8, 8)
    assert rows[0]["service"] == "feed-ingestion"
    _, (written,) = typed(Ui(screen="services"), desk, ":", "export s.json", "enter")
    assert [json.loads(line)["service"] for line in written.text.splitlines()] == [row["service"] for row in rows]
    assert as_json(held, Ui(screen="services")) == written.text
    assert typed(Ui(), desk, ":", "record x.sbrec", "enter")[1] == [RecordTo("x.sbrec")]


def test_an_export_holds_no_formulas(held):
    letter = replace(held.letters[0], code='=HYPERLINK("http://x")')
    assert "'=HYPERLINK" in as_csv(replace(held, letters=(letter,)), Ui(screen="letters"))


def test_help_names_every_action_and_every_command(held):
    text = "\n".join(painted(held, mode="help", width=200, height=60))
    for action in ACTIONS:
        if not action.name.startswith("screen "):
            assert action.text[:30] in text, action.name
    for command in commands.COMMANDS:
        assert f":{command.usage}" in text


@pytest.mark.parametrize(
    ("typed_text", "completed"),
    [("ser", "services "), ("s", "s"), ("sc", "scenario "), ("scenario e", "scenario evening"), ("theme ", "theme "),
     ("nothing", "nothing"), ("trace x", "trace x"), ("q", "quit ")],
)  # fmt: skip
def test_completion(typed_text, completed):
    assert commands.completed(typed_text) == completed


def test_commands_may_be_cut_short_and_come_again(desk):
    ui, effects = typed(Ui(), desk, ":", "q", "enter")
    assert effects == [Quit()]
    ui, _ = typed(Ui(), desk, ":", "ser", "enter")
    assert ui.screen == "services"
    ui, _ = typed(ui, desk, ":", "s", "enter")
    assert "services" in ui.message
    ui, _ = typed(ui, desk, ":", "nonsense", "enter", ":", "up")
    assert ui.typed == "nonsense"


def test_keys_are_data():
    mine = keymap({"freeze": ["f5"]})
    assert find(mine, "f5", "pulse").name == "freeze"
    assert find(mine, "space", "pulse") is None
    for wrong, words in (({"fly": ["f"]}, "there is no action"), ({"freeze": ["q"]}, "is both")):
        with pytest.raises(SettingsError, match=words):
            keymap(wrong)


@pytest.mark.parametrize("screen", SCREENS)
def test_every_key_is_answered_on_every_screen(desk, screen):
    for unlocked in (False, True):
        for key in [
            *"abcdefghijklmnopqrstuvwxyzLSTG0123456789[]+-/:? ",
            "enter",
            "escape",
            "tab",
            "home",
            "end",
            "f12",
        ]:
            ui, _ = press(Ui(screen=screen, unlocked=unlocked), key, key if len(key) == 1 else None, desk)
            assert painted(desk.snapshot, **{name: getattr(ui, name) for name in ui.__struct_fields__})
