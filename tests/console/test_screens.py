"""Every screen in every state at two sizes, against what was looked at and found good (`shown/`); and any size at all.

After a change that is wanted: UPDATE_SHOWN=1 pytest tests/console/test_screens.py, then look at the difference.
"""

import os
from pathlib import Path

import pytest
from console_parts import observed, painted, snapshot
from msgspec import structs

from sb_console import themes
from sb_console.actions import ACTIONS, SCREENS
from sb_console.frame import frame, listing
from sb_console.observations import Polled, Tick
from sb_console.record import fold
from sb_console.reduce import first
from sb_console.screens import generator
from sb_console.text import cells, plain
from sb_console.ui import Ui
from sb_core.settings import PORTS
from sb_generator.faults import Rates

SHOWN = Path(__file__).with_name("shown")
SIZES = ((80, 24), (160, 50))
DOWN = ("positions", "stream", "generator", "dead letters", "producers", "data-processing-football")


@pytest.fixture(scope="module")
def held():
    return snapshot()


def down(held):
    """The same pipeline after sources went away: some refuse, the others fall silent."""
    gone = [Polled(held.at + 1_000, name, 2_500.0, 1_000, "no answer in time") for name in DOWN]
    return fold(held, [*gone, *(Tick(held.at + 1_000 * n) for n in range(1, 12))])


def states(held):
    return {
        "live": (held, "LIVE", {}),
        "frozen": (held, "FROZEN 12:00:00", {"frozen": True}),
        "down": (down(held), "LIVE", {}),
        "empty": (first("local"), "LIVE", {}),
        "replay": (held, "REPLAY ■ 12:00:00 -7.0s", {"replaying": True}),
    }


def compare(name, text):
    path = SHOWN / f"{name}.txt"
    if os.environ.get("UPDATE_SHOWN") == "1":
        SHOWN.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} differs: look at it, then UPDATE_SHOWN=1 if it is meant"


def section(title, lines):
    return f"=== {title}\n" + "\n".join(line.rstrip() for line in lines) + "\n"


@pytest.mark.parametrize("screen", SCREENS)
def test_screen(held, screen):
    made = []
    for width, height in SIZES:
        for state, (snap, moment, ui) in states(held).items():
            lines = painted(snap, moment, screen=screen, width=width, height=height, **ui)
            assert len(lines) == height
            assert {cells(line) for line in lines} == {width}
            made.append(section(f"{screen}, {state}, {width}x{height}", lines))
    compare(screen, "".join(made))


def drills(held):
    board = held.board.event
    market = f"{held.board.markets[0].market}|{held.board.markets[0].line}"
    metric = next(name for name in held.metrics["feed-ingestion"].now.values if "messages_total" in name)
    return {
        "services": [("service", "feed-ingestion")],
        "services metric": [("service", "feed-ingestion"), ("metric", metric)],
        "lag": [("partition", next(iter(held.rows)))],
        "stream": [("event", board)],
        "stream market": [("event", board), ("market", market)],
        "letters": [("code", held.letter.code)],
        "letters one": [("code", held.letter.code), ("letter", held.letter.id)],
    }


@pytest.mark.parametrize("raw", [False, True])
def test_what_is_drilled_into(held, raw):
    made = []
    for name, drill in drills(held).items():
        screen = name.partition(" ")[0]
        for width, height in SIZES:
            lines = painted(held, screen=screen, drills={screen: tuple(drill)}, width=width, height=height, raw=raw)
            made.append(section(f"{name}, {width}x{height}", lines))
    compare("drills-raw" if raw else "drills", "".join(made))


def test_prompts_and_help(held):
    made = []
    for width, height in SIZES:
        for ui in (
            {"mode": "help"},
            {"mode": "command", "typed": "s"},
            {"mode": "command", "typed": "scenario "},
            {"mode": "filter", "typed": "", "screen": "stream"},
            {"mode": "unlock", "typed": "lo"},
            {"filters": {"services": "!processing"}, "screen": "services"},
            {"sorts": {"lag": (5, True)}, "screen": "lag"},
            {"message": "the write lock is on", "level": "warn"},
        ):
            made += [section(str(ui), painted(held, width=width, height=height, **ui))]
    compare("prompts", "".join(made))


@pytest.mark.parametrize("screen", SCREENS)
def test_every_size_is_filled_exactly_and_every_style_is_known(held, screen):
    for width, height in ((10, 3), (40, 10), (53, 12), (79, 24), (101, 31), (139, 17), (240, 80), (400, 120)):
        for snap in (held, first("local")):
            made = frame(snap, Ui(screen=screen, width=width, height=height), ACTIONS)
            assert len(made.lines) == height
            for line in made.lines:
                assert sum(cells(text) for text, _ in line) == width
                for _, style in line:
                    name = style.removesuffix("cursor").strip()
                    assert name in themes.THEMES["dark"] or name == "profile"
    assert all(set(table) == set(themes.THEMES["dark"]) for table in themes.THEMES.values())


@pytest.mark.parametrize("screen", SCREENS)
def test_ascii_is_ascii(held, screen):
    for line in painted(held, screen=screen, width=120, height=40):
        assert plain(line).isascii()
        assert len(plain(line)) <= 120 or not line.isascii()


def test_a_source_that_is_down_leaves_the_others_live(held):
    snap = fold(held, [Polled(held.at, "positions", 2_500.0, 1_000, "refused")])
    snap = fold(snap, [Tick(held.at + 500)])
    assert snap.sources["positions"].state == "down"
    assert all(snap.sources[name].state == "live" for name in PORTS)
    assert "positions down" in "\n".join(painted(snap, screen="lag"))
    silent = down(held)
    assert silent.sources["feed-ingestion"].state == "late"
    assert {stage.rate_out for stage in silent.stages} == {None}, "a silent source has no rates, rather than old ones"


def test_every_fault_says_what_it_does_and_what_it_is_seen_as(held):
    faults = dict.fromkeys(Rates.__struct_fields__, 0.05)
    told = structs.replace(held, generator=structs.replace(held.generator, faults=faults))
    lines = painted(told, screen="generator", width=160, height=50)
    for name in faults:
        (line,) = (each for each in lines if each.lstrip(" ▸").startswith(f"{name} "))
        assert generator.TEXTS[name] in line
        assert line.rpartition(generator.TEXTS[name])[2].strip(), line


def test_the_recorded_observations_hold_what_the_screens_need(held):
    kinds = {type(each).__name__ for each in observed()}
    assert len(kinds) == 15
    assert all(listing(held, Ui(screen=name, width=120, height=40)).rows for name in SCREENS)
