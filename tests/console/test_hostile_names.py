"""Names from a feed with escape sequences, control characters, right-to-left text and markup don't alter the screen."""

import re
import unicodedata

import pytest
from console_parts import painted, snapshot
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sb_console import text
from sb_console.actions import SCREENS
from sb_console.text import LEFT_TO_RIGHT, cells, clean, fit

NAMES = {
    "colour and cursor": "\x1b[31mRed\x1b[2J\x1b[H Star",
    "title and hyperlink": "\x1b]0;owned\x07\x1b]8;;http://x\x1b\\Click\x1b]8;;\x1b\\",
    "C1 controls": "A\x9b31mB\x85C\x90D",
    "line ends and tabs": "Two\r\nLines\tTab\x0b\x0cEnd\u2028x\u2029y",
    "bell, backspace, delete": "Bell\x07\x08\x08\x08\x7f",
    "right-to-left override": "Real \u202emadrid\u202c CF",
    "isolates and marks": "\u2066a\u2067b\u2068c\u2069\u200f\u061c",
    "hebrew": "מכבי תל אביב vs הפועל",
    "arabic": "الهلال السعودي vs الأهلي",
    "markup": "[bold red]Team[/] [@click=app.quit]x[/] <b>&amp; {link}",
    "zalgo": "Z" + "\u0301\u0316\u0334" * 30 + "algo",
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe",
    "wide": "セレッソ大阪 vs 浦和レッズ",
    "emoji": "🏴\U000e0067\U000e0062 👨\u200d👩\u200d👧 ⚽",
    "surrogate": "lone \ud800 half",
    "private use": "\ue000\U000f0000",
    "very long": "x" * 10_000,
    "nothing but controls": "\x00\x01\x02\x1b",
}
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def harmless(line):
    return all(c == LEFT_TO_RIGHT or unicodedata.category(c) not in HIDDEN for c in line)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_cleaned(name):
    made = clean(name)
    assert harmless(made)
    assert made.encode("utf-8")
    assert len(made) <= text.CHARS_MAX + 1
    assert not re.search("[\u0300-\u036f]{3}", made)
    for width in (0, 1, 2, 7, 30):
        assert cells(fit(made, width)) == width


def test_what_runs_from_right_to_left_ends_with_a_mark_even_when_cut():
    assert clean(NAMES["hebrew"]).endswith(LEFT_TO_RIGHT)
    assert fit(clean(NAMES["hebrew"]), 8).rstrip("…").endswith(LEFT_TO_RIGHT)
    assert clean("Arsenal") == "Arsenal"


@given(st.text(st.characters(), max_size=60), st.integers(0, 40))
def test_any_text_is_made_harmless_and_fits(name, width):
    made = clean(name)
    assert harmless(made)
    assert cells(fit(made, width)) == width
    assert harmless(fit(made, width))


def poisoned(held, name):
    """Put a name wherever a feed can put one."""
    letters = tuple(
        replace(
            each, message=name, event=name, market=name, line=name, body=name, source=name, provider=name, code=name
        )
        for each in held.letters[:3]
    )
    prices = [replace(each, outcome=name, name=name) for each in held.board.markets[0].outcomes]
    market = replace(held.board.markets[0], market=name, line=name, name=name, outcomes=prices)
    board = replace(held.board, name=name, competition=name, score=name, producers=[name], markets=[market])
    return replace(
        held,
        tape=tuple(replace(each, name=name, event=name, markets=[market]) for each in held.tape[:20]),
        board=board,
        letters=letters,
        letter=letters[0],
        services={k: replace(v, reason=name, version=name) for k, v in held.services.items()},
        timeline=tuple(replace(each, subject=name, text=name) for each in held.timeline),
        trace=replace(held.trace, key=name, message=name, before=None, after=board),
        generator=replace(held.generator, run=name, scenario=name, scenarios={name: name}, refused={name: 1}),
        why=name,
        bottleneck=name,
        profile=name,
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_screens_stay_as_they_are(name):
    held = snapshot()
    snap = poisoned(held, name)
    drills = [{}, {"stream": (("event", held.board_event),)}]
    drills += [{"letters": (("code", name),)}, {"letters": (("code", name), ("letter", held.letters[0].id))}]
    for screen in SCREENS:
        for drill in drills:
            if drill and screen not in drill:
                continue
            for raw in (False, True):
                lines = painted(snap, screen=screen, drills=drill, width=100, height=30, raw=raw, filters={screen: ""})
                assert len(lines) == 30
                for line in lines:
                    assert harmless(line), line
                    assert cells(line) == 100
