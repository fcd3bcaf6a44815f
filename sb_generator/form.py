"""Both sides' form between incidents: a walk on a raster of strengths, pulled back to where it began. Pure.

The rule: each step moves one side by one place, so that each is a change of prices and none leads far away.
"""

from typing import Final

from sb_generator.scene import Strengths

STEPS_MAX: Final = 2
"""How far a side's form may walk from where it began."""


class Form:
    """The strengths of two sides as they are now; `step` is the relative size of a place."""

    __slots__ = ("_begun", "_factors", "_places", "strengths")

    def __init__(self, begun: Strengths, step: float) -> None:
        self._begun = begun
        self._places = [0, 0]
        self._factors = [(1.0 + step) ** place for place in range(-STEPS_MAX, STEPS_MAX + 1)]
        self.strengths = begun

    def __repr__(self) -> str:
        return f"<Form {self._places}>"

    def walk(self, draw: float) -> None:
        """Move by a step, the more likely back the further it is away; `draw` is from 0 to below 1."""
        side = 0 if draw < 0.5 else 1
        place = self._places[side]
        up = 2.0 * draw - side < 0.5 - place / (2 * STEPS_MAX)
        self._places[side] = place + (1 if up else -1)
        home, away = self._places
        self.strengths = Strengths(
            self._begun.home * self._factors[home + STEPS_MAX], self._begun.away * self._factors[away + STEPS_MAX]
        )
