"""What was worked out once for an object and is wanted again: looked up by the object itself, not by what it equals. Pure.

The rule: an entry holds its object, so that an id is never another object's; what is forgotten is only made again, so
that nothing but time depends on what is kept.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
M = TypeVar("M")


class Kept(Generic[T, M]):
    """Makes something of a thing once, for at most `entries_max` things; beyond that it begins anew."""

    __slots__ = ("_entries_max", "_make", "held")

    def __init__(self, make: Callable[[T], M], entries_max: int) -> None:
        self._make = make
        self._entries_max = entries_max
        self.held: dict[int, tuple[T, M]] = {}
        """Entries by id, for those who ask so often that a call is too much."""

    def __repr__(self) -> str:
        return f"<Kept {len(self.held)}/{self._entries_max}>"

    def of(self, thing: T) -> M:
        """Return what is made of a thing."""
        return (self.held.get(id(thing)) or self.keep(thing))[1]

    def keep(self, thing: T) -> tuple[T, M]:
        """Make what isn't there yet, and return its entry."""
        if len(self.held) >= self._entries_max:
            self.held.clear()
        made = self._make(thing)
        entry = self.held[id(thing)] = thing, made
        return entry
