"""Whose word about producers counts: the one of the newest owner, though nothing fences those before it.

The rules: every ownership has a number above all that wrote before it, and all that it writes to `sports-producers`
bears it. What a lower one writes meanwhile (it froze, or its append came late) is answered; who hears of a higher one owns
nothing any more.
"""

from collections.abc import Sequence
from typing import Final

import anyio
import msgspec

from sb_core import topics
from sb_core.errors import FencedError
from sb_core.records import Fetched
from sb_core.runtime import Context
from sb_ingest.follower import read_to_end
from sb_ingest.producers import Liveness

_DRAWN_BYTES: Final = 4
"""Of a number, drawn: two that begin at the same moment have different ones."""

_liveness: Final = msgspec.json.Decoder(Liveness)


class Ownership:
    """The ownership of producers' liveness by one node, from `begin` to `end`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.number = 0
        """Of the ownership; 0 before it has begun."""
        self._listening = False
        self._heard: list[tuple[int, Liveness]] = []
        """What others wrote, with its offset."""
        self._from = 0
        """The offset up to which `begin` has read."""

    def __repr__(self) -> str:
        return f"<Ownership {self.number} heard={len(self._heard)}>"

    def overhear(self, offset: int, said: Liveness) -> None:
        """Hear a record of `sports-producers`."""
        if self._listening and said.writer != (self.number or -1):
            self._heard.append((offset, said))

    async def begin(self) -> dict[str, Liveness]:
        """Return what the newest owner before knew. Raises DependencyError."""
        self._listening, self._heard, self.number, self._from = True, [], 0, 0
        table: dict[str, Liveness] = {}
        above: dict[str, Liveness] = {}
        highest = 0

        async def take(records: Sequence[Fetched]) -> None:
            nonlocal highest
            for record in records:
                self._from = record.offset + 1
                if record.value is None:
                    continue
                said = _liveness.decode(record.value)
                highest = max(highest, said.writer)
                if record.key not in table or said.writer >= table[record.key].writer:
                    table[record.key] = said
                if record.key not in above or said.gen > above[record.key].gen:
                    above[record.key] = said

        reader = self._context.log.reader((topics.PRODUCERS,))
        try:
            await read_to_end(reader, self._context.admin, (topics.PRODUCERS,), take)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await reader.aclose()
        bits = 8 * _DRAWN_BYTES
        self.number = (((highest >> bits) + 1) << bits) | int.from_bytes(self._context.entropy(_DRAWN_BYTES))
        unanswered = [(self._from, each) for key, each in above.items() if each.gen > table[key].gen]
        self._heard = [*unanswered, *(each for each in self._heard if each[0] >= self._from)]
        return table

    def end(self) -> None:
        """Own nothing any more."""
        self._listening, self._heard, self.number = False, [], 0

    def check(self) -> None:
        """Raise FencedError where somebody has begun to own after this one."""
        if any(offset >= self._from and said.writer > self.number for offset, said in self._heard):
            raise FencedError("another node owns producers' liveness")

    def late(self) -> list[Liveness]:
        """Return what earlier owners wrote since the last time."""
        heard, self._heard = self._heard, []
        return [said for offset, said in heard if offset >= self._from and said.writer < self.number]
