"""What was worked out once for an object and is wanted again: looked up by the object itself, not by what it equals. Pure.

The rule: an entry holds its object, so that an id is never another object's; what is forgotten is only made again, so
that nothing but time depends on what is kept. What is forgotten goes a few entries at a time: to free a hundred thousand
at once takes as long as a hundred messages.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

FORGOTTEN_AT_ONCE: Final = 2
"""Entries; more than one is added, so that the last ones are gone before there are others to forget."""

T = TypeVar("T")
M = TypeVar("M")


class Kept(Generic[T, M]):
    """Makes something of a thing once, for at most `entries_max` things; beyond that it begins anew."""

    __slots__ = ("_entries_max", "_forgotten", "_make", "held")

    def __init__(self, make: Callable[[T], M], entries_max: int) -> None:
        self._make = make
        self._forgotten: dict[int, tuple[T, M]] = {}
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
            self._forgotten, self.held = self.held, {}
        for _ in range(min(FORGOTTEN_AT_ONCE, len(self._forgotten))):
            self._forgotten.popitem()
        made = self._make(thing)
        entry = self.held[id(thing)] = thing, made
        return entry
