"""How an event's prices move between incidents: both sides' form walks, and a family of the book follows. Pure.

The rule: what a model gives depends on the moment, the clock in steps of PRICED_EVERY_MS, and form; so as long as these are
the same, what was worked out once is only looked up.
"""

from typing import Final

from sb_core.messages import MarketOdds
from sb_generator.form import Form
from sb_generator.scene import Moment, Play, Sheet
from sb_generator.shelf import Page, Shelf

PRICED_EVERY_MS: Final = 5_000
"""Prices see the match clock in steps of this."""
_FOR_EVER_MS: Final = 1 << 62


class Outlook:
    """What stands, as prices see it; `until` is when that has to be looked at anew, 0 at once."""

    __slots__ = ("_clock_s", "_families", "_live", "_moment", "_pages", "_play", "_players", "_shelf", "form", "until")

    def __init__(self, play: Play, shelf: Shelf, form: Form, first: Moment, players: tuple[str, ...]) -> None:
        self._play = play
        self._shelf = shelf
        self._players = players
        self._moment = first
        self._clock_s = 0.0
        self._live = False
        self._families = play.before
        self._pages: dict[int, Page] = {}
        """By form and family."""
        self.form = form
        self.until = 0

    def __repr__(self) -> str:
        return f"<Outlook {self._moment.period} {self._clock_s} pages={len(self._pages)}>"

    def look(self, moment: Moment, ms: int, since_ms: int | None) -> None:
        """Look at what stands at `ms`; the match has been played since `since_ms`, or isn't being played."""
        self._pages = {}
        self._moment, self._live = moment, since_ms is not None
        if since_ms is None:
            self._families, self._clock_s, self.until = self._play.before, 0.0, _FOR_EVER_MS
        else:
            clock_ms = (ms - since_ms) // PRICED_EVERY_MS * PRICED_EVERY_MS
            self._families, self.until = self._play.families, since_ms + clock_ms + PRICED_EVERY_MS
            self._clock_s = moment.clock_s(clock_ms / 1000)

    @property
    def families(self) -> tuple[str, ...]:
        """The families that are offered."""
        return self._families

    @property
    def sheet(self) -> Sheet:
        """What the sport's model needs."""
        return Sheet(self._moment, self._clock_s, self.form.strengths, self._live, self._players)

    def drift(self, draw: float, stopped: set[str]) -> tuple[MarketOdds, ...]:
        """Let form walk, and turn a family to its page, or the next one that says something; `draw` is from 0 to below 1."""
        families, pages, shelf = self._families, self._pages, self._shelf
        count = len(families)
        draw *= count
        first = int(draw)
        self.form.walk(draw - first)
        place = self.form.index * count
        for step in range(first, first + count):
            number = step if step < count else step - count
            page = pages.get(place + number)
            if page is None:
                page = pages[place + number] = shelf.page(self.sheet, families[number])
            markets = shelf.turn(families[number], page, stopped)
            if markets:
                return markets
        return ()
