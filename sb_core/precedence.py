"""Which producer a market follows when two price it: the provider's order first, then live above pre-match.

The rule: a rank is a function of names and configuration alone, so every processor ranks alike.
"""

from collections.abc import Callable
from typing import Final

LIVE_PRODUCERS: Final = {"uof": frozenset({"1", "4", "5", "6", "7", "8", "9", "10", "11", "12", "14", "15", "16"})}
"""Producers that price events in play, by provider. UOF's 3 (Ctrl) and others price before the match."""


def ranker(rank_of_provider: Callable[[str], int]) -> Callable[[str], int]:
    """Return the rank of a producer key `<provider>:<producer>`; higher takes a market over.

    `rank_of_provider` gives a provider's place, 0 for the most trusted.
    """

    def rank(producer_key: str) -> int:
        provider, _, producer = producer_key.partition(":")
        live = producer in LIVE_PRODUCERS.get(provider, ())
        return live - 2 * rank_of_provider(provider)

    return rank
