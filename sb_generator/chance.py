"""Seeded chance: a small generator of our own, so that a seed gives the same world on every machine and Python.

The rule: no clock, no global state. Whoever needs chance of its own forks a stream by a label, so that what one event
draws never changes what another gets. The generator is SplitMix64 (Steele, Lea, Flood 2014).
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import cos, log, pi, sqrt
from typing import Final, TypeVar

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_UNIT: Final = 2.0**-53

T = TypeVar("T")


class Chance:
    """A stream of chance."""

    __slots__ = ("_seed", "_state")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._state = int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big")

    def __repr__(self) -> str:
        return f"<Chance {self._seed}>"

    def fork(self, label: str) -> "Chance":
        """Return an independent stream; the same label gives the same stream."""
        return Chance(f"{self._seed}/{label}")

    def uniform(self) -> float:
        """Return a number from 0 to below 1."""
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((state ^ (state >> 31)) >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """Return a number from `low` to below `high`."""
        return low + (high - low) * self.uniform()

    def below(self, count: int) -> int:
        """Return a whole number from 0 to below `count`."""
        return int(self.uniform() * count)

    def happens(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.uniform() < probability

    def wait(self, mean: float) -> float:
        """Return an exponentially distributed time."""
        return -mean * log(1.0 - self.uniform())

    def normal(self) -> float:
        """Return a standard normal number (Box-Muller, one of the two)."""
        return sqrt(-2.0 * log(1.0 - self.uniform())) * cos(2.0 * pi * self.uniform())

    def one(self, things: Sequence[T]) -> T:
        """Return one of some things."""
        return things[self.below(len(things))]

    def weighted(self, weights: Sequence[float]) -> int:
        """Return an index by weight."""
        rest = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1
