"""5 Dead letters: by code, then one by one, then one in full, decoded or raw, with what a replay would make of it."""

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Sequence

from sb_console.model import Snapshot
from sb_console.observations import Letter, Replayed
from sb_console.paint import Cell, Column, Line, Row, Table, spark
from sb_console.screens.view import View, blank, number, silence, style_of, told
from sb_console.text import clean, clock, count, day, span, wrap
from sb_console.ui import Ui

CODES = (
    Column("CODE", 20),
    Column("LETTERS", 7, right=True),
    Column("NEWEST", 8, keep=8),
    Column("STAGE", 8, keep=6),
    Column("PROVIDERS", 14, keep=5),
    Column("LAST TWO MINUTES", 20, keep=3),
    Column("SAMPLE", 24, flex=1),
)
ONES = (
    Column("", 1),
    Column("RECEIVED", 8, keep=8),
    Column("ID", 10),
    Column("STAGE", 7, keep=4),
    Column("PROVIDER", 10, keep=6),
    Column("EVENT", 22, flex=1),
    Column("MARKET", 16, flex=1, keep=5),
    Column("BYTES", 7, right=True, keep=3),
    Column("MESSAGE", 24, flex=3),
)
BODY_LINES_MAX = 200


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the codes, the letters of a code, or one letter."""
    drill = ui.drill
    if len(drill) >= 2:
        return _letter(snapshot, ui, drill[1][1])
    if drill:
        return _ones(snapshot, ui, drill[0][1])
    width = ui.width
    known = len(snapshot.letters)
    total = snapshot.letters_total
    head = told(
        width,
        (count(total if total is not None else known), "strong" if known else "ok"),
        (" dead letters kept", ""),
        (f", the newest {count(known)} are here" if total is not None and total > known else "", "dim"),
        *silence(snapshot, "dead letters"),
    )
    return View(head=(blank(width), head, blank(width)), table=_codes(snapshot))


def _codes(snapshot: Snapshot) -> Table:
    by_code: dict[str, list[Letter]] = defaultdict(list)
    for letter in snapshot.letters:
        by_code[letter.code].append(letter)
    rows = []
    for code, letters in sorted(by_code.items(), key=lambda each: -len(each[1])):
        newest = max(letters, key=lambda each: each.received or 0)
        buckets = [0.0] * 20
        for each in letters:
            age = (snapshot.at - (each.received or 0)) // 6_000
            if 0 <= age < 20:
                buckets[19 - int(age)] += 1
        fresh = snapshot.at - (newest.received or 0) < 60_000
        rows.append(
            Row(
                code,
                (
                    Cell(code, "bad" if fresh else "strong", code),
                    number(count(len(letters)), len(letters)),
                    Cell(clock(newest.received), "" if fresh else "dim", newest.received or 0),
                    Cell(", ".join(sorted({each.stage for each in letters})), "dim"),
                    Cell(", ".join(sorted({each.provider for each in letters})), ""),
                    Cell(spark(buckets, 20), "spark"),
                    Cell(newest.message, ""),
                ),
            )
        )
    return Table(CODES, tuple(rows), "nothing was refused" if snapshot.letters_total == 0 else "none seen yet")


def _ones(snapshot: Snapshot, ui: Ui, code: str) -> View:
    width = ui.width
    letters = [each for each in snapshot.letters if each.code == code]
    marked = [each for each in letters if each.id in ui.marks]
    head = told(
        width,
        (clean(code), "strong"),
        (f"  {count(len(letters))} letters", ""),
        (f", {len(marked)} marked" if marked else "", "accent"),
        *silence(snapshot, "dead letters"),
    )
    rows = tuple(_one(each, marked=each.id in ui.marks) for each in reversed(letters))
    return View(head=(blank(width), head, blank(width)), table=Table(ONES, rows, newest_first=True), title=code)


def _one(letter: Letter, *, marked: bool) -> Row:
    market = f"{letter.market} {letter.line or ''}".strip() if letter.market else ""
    return Row(
        letter.id,
        (
            Cell("●" if marked else "", "accent", marked),
            Cell(clock(letter.received), "dim", letter.received or 0),
            Cell(letter.id, "", int(letter.id.rpartition("-")[2] or 0)),
            Cell(letter.stage, "dim"),
            Cell(letter.provider, "", letter.provider),
            Cell(letter.event or "-", "strong" if letter.event else "dim", letter.event or ""),
            Cell(market, "", market),
            number(count(letter.length), letter.length, "warn" if letter.cut else "dim"),
            Cell(letter.message, ""),
        ),
    )


def _letter(snapshot: Snapshot, ui: Ui, letter_id: str) -> View:
    width = ui.width
    listed = next((each for each in snapshot.letters if each.id == letter_id), None)
    letter = snapshot.letter if snapshot.letter is not None and snapshot.letter.id == letter_id else listed
    if letter is None:
        return View(head=(blank(width), told(width, (f"{letter_id} is not here any more", "warn"))), title=letter_id)
    lines: list[Line] = [
        blank(width),
        told(
            width,
            (letter.id, "strong"),
            ("  ", ""),
            (clean(letter.code), "bad"),
            (f"  refused by {letter.stage}, received {day(letter.received)} {clock(letter.received)}", "dim"),
            ("  marked" if letter.id in ui.marks else "", "accent"),
        ),
        told(width, (clean(letter.message), "")),
        told(
            width,
            ("provider ", "dim"),
            (clean(letter.provider), ""),
            ("  event ", "dim"),
            (clean(letter.event or "-"), ""),
            ("  market ", "dim"),
            (clean(f"{letter.market or '-'} {letter.line or ''}"), ""),
            ("  trace ", "dim"),
            (clean(letter.trace or "-"), "dim"),
        ),
        told(width, ("source ", "dim"), (clean(letter.source), "dim"), *_bytes(letter)),
        *_dry_run(snapshot, letter.id, width),
        blank(width),
        told(width, ("raw bytes, v decodes them" if ui.raw else "decoded, v shows the raw bytes", "dim")),
    ]
    room = max(3, ui.height - len(lines) - 4)
    body = _raw(letter, room) if ui.raw else _decoded(letter, width - 2, room)
    lines += [told(width, (each, "")) for each in body]
    return View(head=tuple(lines), title=letter_id)


def _bytes(letter: Letter) -> list[tuple[str, str]]:
    return [(f"  {count(letter.length)} bytes", ""), (" cut, so it can't be replayed" if letter.cut else "", "warn")]


def _dry_run(snapshot: Snapshot, letter_id: str, width: int) -> list[Line]:
    answer = snapshot.replay
    found = next((each for each in answer.results if each.id == letter_id), None) if answer is not None else None
    if answer is None or found is None:
        return [told(width, ("d says what a replay would make of it", "dim"))]
    what = "a replay would be" if answer.dry_run else "the replay was"
    ago = span(max(0, snapshot.at - answer.at) / 1000)
    lines = [
        told(
            width,
            (f"{what} ", "dim"),
            (found.result, style_of(found.result)),
            (f", {ago} ago", "dim"),
            *_refused(found),
        )
    ]
    lines += [told(width, ("  → ", "accent"), (clean(made), "")) for made in found.made[:3]]
    for board in answer.boards[:2]:
        words = f"{clean(board.name or board.event)} rev {board.rev} {board.status}, {len(board.markets)} markets"
        prices = "; ".join(
            f"{each.market} {each.line} " + " ".join(f"{o.outcome} {o.odds or '-'}" for o in each.outcomes[:3])
            for each in board.markets[:3]
        )
        lines.append(told(width, ("  now ", "dim"), (words, ""), (f"  {clean(prices)}", "dim")))
    return lines


def _refused(found: Replayed) -> list[tuple[str, str]]:
    return [(f"  {clean(each)}", "bad") for each in found.refused[:2]]


def _decoded(letter: Letter, width: int, room: int) -> Sequence[str]:
    if not letter.text:
        return ["not text: v shows the bytes"]
    text = letter.body
    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = text.replace("><", ">\n<") if text.lstrip().startswith("<") else text
    lines: list[str] = []
    for each in text.split("\n")[:BODY_LINES_MAX]:
        lines += wrap(clean(each.rstrip()), max(10, width), 5)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… {len(lines) - room + 1} lines more"]
    return lines


def _raw(letter: Letter, room: int) -> Sequence[str]:
    try:
        data = letter.body.encode("utf-8", "surrogatepass") if letter.text else base64.b64decode(letter.body + "==")
    except (binascii.Error, ValueError):
        data = letter.body.encode("utf-8", "replace")
    lines = []
    for at in range(0, min(len(data), room * 16), 16):
        piece = data[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:06x}  {piece.hex(' '):<47}  {shown}")
    return lines
