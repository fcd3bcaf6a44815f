"""All languages by name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from sb_generator.speech import Speaker
from sb_generator.speech.betfair import BetfairSpeaker
from sb_generator.speech.canonical import CanonicalSpeaker, XmlSpeaker
from sb_generator.speech.uof import UofSpeaker

CONFLATE_MS: Final = 250
LANGUAGES: Final[Mapping[str, Callable[[], Speaker]]] = {
    "canonical": CanonicalSpeaker,
    "xml": XmlSpeaker,
    "uof": UofSpeaker,
    "betfair": BetfairSpeaker,
    "betfair-conflated": partial(BetfairSpeaker, CONFLATE_MS),
}
