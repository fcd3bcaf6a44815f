"""The conditions of what is asked of lists of events and names, for engines that differ only in how a hole is written.

The rule: text never becomes part of a statement; it goes into a hole.
"""

from typing import Any, Final

from sb_core.names import fold
from sb_core.records import EventQuery, NamedQuery

WORDS_IN_SEARCH_MAX: Final = 8
LIMIT_MAX: Final = 10_000


class Conditions:
    """Terms that all must hold, and the values of their holes in order."""

    def __init__(self, hole: str) -> None:
        self.values: list[Any] = []
        self._hole = hole
        self._terms: list[str] = []

    @property
    def sql(self) -> str:
        """The WHERE clause, with a space before it; nothing where there are no terms."""
        return f" WHERE {' AND '.join(self._terms)}" if self._terms else ""

    def add(self, term: str, *values: Any) -> None:
        """Demand one more thing; `{}` in the term is a hole, as many as there are values."""
        self._terms.append(term.format(*[self._hole] * len(values)))
        self.values.extend(values)

    def one_of(self, column: str, wanted: tuple[str, ...]) -> None:
        """Demand one of some values, where any are given."""
        if wanted:
            self.add(f"{column} IN ({','.join(['{}'] * len(wanted))})", *wanted)


def of_events(asked: EventQuery, hole: str) -> Conditions:
    """Return the conditions of a query of events, but for where its page begins."""
    conditions = _searched(asked, hole)
    conditions.one_of("status", asked.statuses)
    conditions.one_of("competition", asked.competitions)
    if asked.start_from is not None:
        conditions.add("start >= {}", asked.start_from)
    if asked.start_to is not None:
        conditions.add("start < {}", asked.start_to)
    return conditions


def of_names(asked: NamedQuery, hole: str) -> Conditions:
    """Return the conditions of a query of participants or competitions, and of where its page begins."""
    conditions = _searched(asked, hole)
    if asked.after is not None:
        conditions.add("id > {}", asked.after)
    return conditions


def limited(limit: int) -> int:
    """Return how many rows a query gives at most."""
    return max(0, min(limit, LIMIT_MAX))


def _searched(asked: EventQuery | NamedQuery, hole: str) -> Conditions:
    conditions = Conditions(hole)
    conditions.one_of("sport", asked.sports)
    for word in fold(asked.q or "").split()[:WORDS_IN_SEARCH_MAX]:
        conditions.add("INSTR(search, {}) > 0", word)  # not LIKE: what is searched for has no wildcards
    return conditions
