"""All sports that the simulated world plays, and how often."""

from collections.abc import Mapping
from typing import Final

from sb_generator.plays import basketball, football, hockey, tennis
from sb_generator.scene import Play

PLAYS: Final[Mapping[str, Play]] = {
    "football": football.PLAY,
    "basketball": basketball.PLAY,
    "tennis": tennis.PLAY,
    "hockey": hockey.PLAY,
}
SHARES: Final[Mapping[str, float]] = {"football": 0.65, "basketball": 0.12, "tennis": 0.15, "hockey": 0.08}
"""Of the events in play."""
