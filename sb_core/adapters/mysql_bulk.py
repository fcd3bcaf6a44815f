"""Many rows in one statement.

The rule: VALUES holds bare placeholders only, or the driver sends row by row. MariaDB takes the rows in binary form in
one packet; there a column that is NULL in every row has no type, so it is left out, and its default is NULL.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from sb_core.adapters.mysql_connect import QuietCursor

ROWS_MAX: Final = 5_000
CHARS_MAX: Final = 2 * 1024 * 1024
"""Of a statement's texts; four bytes each at worst, and servers take 16 MiB in a packet."""
INTEGER_END: Final = 2**63

Row = tuple[Any, ...]


class Bulk(Struct, frozen=True):
    """An INSERT of many rows. `key` is how many leading columns are the primary key: rows go in its order."""

    table: str
    columns: tuple[str, ...]
    key: int
    update: str = ""
    nullable: tuple[int, ...] = ()

    async def write(self, cursor: QuietCursor, rows: list[Row]) -> None:
        """Write the rows, sorted by primary key so that transactions don't wait for each other in a circle."""
        rows.sort(key=lambda row: row[: self.key])
        for piece in pieces(rows):
            absent = tuple(i for i in self.nullable if all(row[i] is None for row in piece))
            kept = piece
            if absent:
                kept = [tuple(value for i, value in enumerate(row) if i not in absent) for row in piece]
            await cursor.executemany(_statement(self, absent), kept)


@lru_cache(maxsize=256)
def _statement(bulk: Bulk, absent: tuple[int, ...]) -> str:
    columns = [f"`{column}`" for i, column in enumerate(bulk.columns) if i not in absent]
    holes = ",".join(["%s"] * len(columns))
    update = f" ON DUPLICATE KEY UPDATE {bulk.update}" if bulk.update else ""
    return f"INSERT INTO {bulk.table} ({','.join(columns)}) VALUES ({holes}){update}"  # noqa: S608  constants


def replacing(columns: Sequence[str]) -> str:
    """Return the assignments by which a new row replaces these columns of an old one."""
    return ", ".join(f"`{column}` = VALUES(`{column}`)" for column in columns)


def pieces(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut rows into as many as go into one statement. Raises OverflowError."""
    piece: list[Row] = []
    chars = 0
    for row in rows:
        size = 0
        for value in row:
            if type(value) is str:
                size += len(value)
            elif type(value) is int and not -INTEGER_END <= value < INTEGER_END:
                raise OverflowError(f"{value} has more than 64 bits")  # which the driver would cut off
        if piece and (chars + size > CHARS_MAX or len(piece) >= ROWS_MAX):
            yield piece
            piece, chars = [], 0
        piece.append(row)
        chars += size
    if piece:
        yield piece
