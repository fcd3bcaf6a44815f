"""The account of a stream with faults: of every kind, how many documents were struck, and what ingest made of them. Pure.

The rule: offered + added = sent + taken (+ held while it lasts), and sent = accepted + partly + refused + failed, for each
kind of fault and for the documents that nothing struck (`clean`). A document with several marks counts for each of them.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sb_generator.faults import ADDED, TAKEN, Rates

CLEAN: Final = "clean"
JUDGED: Final = ("sent", "accepted", "partly", "refused", "failed")


class Explained:
    """Counts by kind and what became of it."""

    def __init__(self) -> None:
        self._counts = {name: dict.fromkeys(JUDGED, 0) for name in (CLEAN, *Rates.__struct_fields__)}

    def __repr__(self) -> str:
        return f"<Explained {self._counts[CLEAN]}>"

    def judged(self, marks: Iterable[Collection[str]], refused_at: Mapping[int, bool], *, failed: bool) -> None:
        """Note what became of a request's documents, given the marks of each.

        `refused_at` says of those of which something was refused whether that was all; `failed`: nobody judged them.
        """
        for index, names in enumerate(marks):
            became = "failed" if failed else "accepted"
            if not failed and index in refused_at:
                became = "refused" if refused_at[index] else "partly"
            for name in names or (CLEAN,):
                self._counts[name]["sent"] += 1
                self._counts[name][became] += 1

    def told(self, struck: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Return the account: `struck` documents by kind, `taken` of them, and the counts of those sent."""
        told: dict[str, dict[str, int]] = {CLEAN: dict(self._counts[CLEAN])}
        for name, count in struck.items():
            if count:
                told[name] = {"struck": count, "taken": count if name in TAKEN else 0, **self._counts[name]}
        return told


def balance(offered: int, struck: Mapping[str, int]) -> int:
    """Return how many documents must have been sent, or be held."""
    added = sum(struck.get(name, 0) for name in ADDED)
    return offered + added - sum(struck.get(name, 0) for name in TAKEN)
