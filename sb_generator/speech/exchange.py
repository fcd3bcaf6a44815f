"""An exchange's book of one market: ladders around the world's prices, and what changed in them since it was last told.

The rule: the best price to back is the world's; what lies behind it, what is offered to lay and all sizes follow from it
alone. Prices are ten-thousandths, sizes hundredths.
"""

from typing import Any, Final

from msgspec import Raw

from sb_core import odds as odds_text
from sb_core.odds import ODDS_MIN
from sb_generator.speech.betfair_words import MarketWord, RunnerWord

LEVELS: Final = 3
_STEPS: Final = ((20_000, 100), (30_000, 200), (40_000, 500), (60_000, 1_000), (100_000, 2_000), (10**12, 10_000))
"""Distance of two levels, by price."""
Ladder = dict[int, int]
Change = dict[str, Any]


class RunnerBook:
    """One runner's ladders."""

    __slots__ = ("back", "lay", "said", "volume", "word")

    def __init__(self, word: RunnerWord) -> None:
        self.word = word
        self.back: Ladder = {}
        self.lay: Ladder = {}
        self.said: tuple[Ladder, Ladder] = {}, {}
        self.volume = 0

    def __repr__(self) -> str:
        return f"<RunnerBook {self.word.outcome} {max(self.back, default=None)}>"

    def price(self, price: int | None) -> None:
        """Build ladders around the best price to back; None: nothing is offered."""
        if price is None:
            self.back, self.lay = {}, {}
            return
        step = next(size for limit, size in _STEPS if price < limit)
        backs = (price - step * level for level in range(LEVELS))
        self.back = {each: _size(each, 1) for each in backs if each > ODDS_MIN}
        self.lay = {price + step * level: _size(price + step * level, 2) for level in range(1, LEVELS + 1)}
        self.volume += 1_000 + price % 997

    def change(self, *, whole: bool) -> Change | None:
        """Return what to say of the runner, and take it for said; `whole` for an image."""
        before: tuple[Ladder, Ladder] = ({}, {}) if whole else self.said
        now = self.back, self.lay
        made: Change = {}
        for name, old, new in (("atb", before[0], now[0]), ("atl", before[1], now[1])):
            levels = [[_price(each), Raw(b"0")] for each in old if each not in new]
            levels += [[_price(each), _amount(size)] for each, size in new.items() if old.get(each) != size]
            if levels:
                made[name] = levels
        self.said = now
        if not made and not whole:
            return None
        if self.back:
            made["ltp"] = _price(max(self.back))
            made["tv"] = _amount(self.volume)
        return {"id": self.word.id, **made}


class MarketBook:
    """One market: its definition's changing parts, its runners, and what is owed of it."""

    __slots__ = (
        "changes",
        "defined",
        "event",
        "id",
        "in_play",
        "results",
        "runners",
        "status",
        "told",
        "version",
        "word",
    )

    def __init__(self, market_id: str, event: str, word: MarketWord) -> None:
        self.id = market_id
        self.event = event
        self.word = word
        self.status = "OPEN"
        self.in_play = False
        self.version = 1
        self.results: dict[str, str] = {}
        self.runners = tuple(RunnerBook(each) for each in word.runners)
        self.told = False
        """Whether there was an image of it."""
        self.defined = False
        """Whether the definition that stands has been told."""
        self.changes = 0
        """How often it changed since it was told."""

    def __repr__(self) -> str:
        return f"<MarketBook {self.id} {self.word.type} {self.status}>"

    def turn(self, status: str, results: dict[str, str] | None = None) -> None:
        """Take another status, and how its runners ended."""
        results = results or {}
        if (status, results) != (self.status, self.results):
            self.status, self.results = status, results
            self.version += 1
            self.defined = False
            self.changes += 1


def _size(price: int, salt: int) -> int:
    return 200 + (price * 7_919 + salt * 104_729) % 900_000


def _price(price: int) -> Raw:
    return Raw(odds_text.text(price).encode())


def _amount(hundredths: int) -> Raw:
    whole, rest = divmod(hundredths, 100)
    return Raw(b"%d.%02d" % (whole, rest))
