"""Many rows in few statements.

The rule: the driver lets go of the interpreter at every step of a statement, and getting it back costs a writing thread
up to a switch interval each time while the loop is busy; so a batch is some ten steps, not a thousand. Statements come
in powers of two, so that few different ones are compiled, and those are kept by the connection.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

ROWS_IN_STATEMENT_MAX: Final = 256


class Bulk:
    """One INSERT with its conflict clause, for any number of rows."""

    def __init__(self, insert: str, row: str, conflict: str = "") -> None:
        """Take `INSERT … INTO table`, one row of VALUES like `(?,?)`, and what stands behind VALUES."""
        self._sizes = [1 << n for n in range(ROWS_IN_STATEMENT_MAX.bit_length())][::-1]
        self._statements = {size: f"{insert} VALUES {','.join([row] * size)} {conflict}" for size in self._sizes}

    def write(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Write the rows in order."""
        done = 0
        for size in self._sizes:
            while len(rows) - done >= size:
                values = tuple(chain.from_iterable(rows[done : done + size]))
                connection.execute(self._statements[size], values)
                done += size
