"""Rows for spreadsheets and scripts: what a screen lists, as CSV or JSON lines. Pure.

The rule: text is cleaned as it is for the screen, and nothing is left that a spreadsheet would take for a formula.
"""

import csv
import io

import msgspec

from sb_console.frame import Listing, listing
from sb_console.model import Snapshot
from sb_console.paint import words
from sb_console.text import clean
from sb_console.ui import Ui


def as_rows(shown: Listing) -> list[dict[str, str]]:
    """Return a listing's rows by column; text is cleaned, since a spreadsheet is a screen, too."""
    table = shown.view.table
    if table is None:
        return [{"line": words(each).strip()} for each in shown.view.head if words(each).strip()]
    names = [column.title.lower() or "mark" for column in table.columns]
    return [dict(zip(names, (clean(cell.text) for cell in row.cells), strict=True)) for row in shown.rows]


def as_csv(snapshot: Snapshot, ui: Ui) -> str:
    """Write the rows shown as CSV; what a spreadsheet would take for a formula is quoted."""
    rows = as_rows(listing(snapshot, ui))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["empty"])
    writer.writeheader()
    writer.writerows([{k: f"'{v}" if v[:1] in "=+@" else v for k, v in row.items()} for row in rows])
    return out.getvalue()


def as_json(snapshot: Snapshot, ui: Ui) -> str:
    """Write the rows shown as JSON, one object a line."""
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in as_rows(listing(snapshot, ui)))
