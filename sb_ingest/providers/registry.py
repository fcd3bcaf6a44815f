"""The providers that ingest takes: one line each.

The rule: a provider's module knows nothing of the others, and ingest knows of it what stands here.
"""

from collections.abc import Mapping
from typing import Final

from sb_ingest.limits import Limits
from sb_ingest.providers import Normaliser
from sb_ingest.providers.betfair import BetfairNormaliser
from sb_ingest.providers.betfair_state import Session as BetfairSession
from sb_ingest.providers.canonical import Canonical
from sb_ingest.providers.uof import Uof

AFTER_LOSS: Final[Mapping[str, object]] = {"betfair": BetfairSession(images_only=True)}
"""The state that a session goes on with after it was lost: none but a picture of its own is believed."""


def normalisers(limits: Limits) -> dict[str, Normaliser]:
    """Return the normalisers by provider."""
    known: tuple[Normaliser, ...] = (Canonical(limits), Uof(), BetfairNormaliser())
    return {each.name: each for each in known}
