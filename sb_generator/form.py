"""Both sides' form between incidents: a walk on a raster of strengths, pulled back to where it began. Pure.

The rule: each step moves one side by one place, so that each is a change of prices and none leads far away.
"""

from typing import Final

from sb_generator.scene import Strengths

STEPS_MAX: Final = 2
"""How far a side's form may walk from where it began."""
PLACES: Final = 2 * STEPS_MAX + 1


class Form:
    """The strengths of two sides as they are now; `step` is the relative size of a place. `index` names a pair of places."""

    __slots__ = ("_away", "_begun", "_factors", "_home", "index")

    def __init__(self, begun: Strengths, step: float) -> None:
        self._begun = begun
        self._home = self._away = STEPS_MAX
        self._factors = [(1.0 + step) ** place for place in range(-STEPS_MAX, STEPS_MAX + 1)]
        self.index = STEPS_MAX * PLACES + STEPS_MAX

    def __repr__(self) -> str:
        return f"<Form {self._home - STEPS_MAX} {self._away - STEPS_MAX}>"

    @property
    def strengths(self) -> Strengths:
        """The strengths as they are now."""
        return Strengths(self._begun.home * self._factors[self._home], self._begun.away * self._factors[self._away])

    def walk(self, draw: float) -> None:
        """Move by a step, the more likely back the further it is away; `draw` is from 0 to below 1."""
        if draw < 0.5:
            home = self._home
            self._home = home + 1 if 2.0 * draw < 0.5 - (home - STEPS_MAX) / (2 * STEPS_MAX) else home - 1
        else:
            away = self._away
            self._away = away + 1 if 2.0 * draw - 1 < 0.5 - (away - STEPS_MAX) / (2 * STEPS_MAX) else away - 1
        self.index = self._home * PLACES + self._away
