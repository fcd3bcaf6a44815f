"""Dead letters: what is new, one in full, dry runs and replays, over ingest's HTTP.

The rule: the console begins with the newest BACK_MAX letters and then reads each once, however many there are.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from sb_console import observations as seen
from sb_console.collectors.asking import Asker, AskError, decoded
from sb_console.collectors.boards import board_of
from sb_console.collectors.positions import Stores
from sb_core import topics
from sb_core.config import ConfigError
from sb_core.errors import ContractError, DependencyError
from sb_core.settings import SettingsError
from sb_core.shown import Event

BACK_MAX: Final = 500
PAGE_MAX: Final = 200
BODY_CHARS_SHOWN: Final = 400
BODY_CHARS_MAX: Final = 65_536
REPLAY_S_MAX: Final = 30.0
BOARDS_MAX: Final = 20
MADE_MAX: Final = 50


class _Letter(Struct):
    id: str
    code: str
    message: str
    stage: str
    provider: str
    source: str
    received: int | None = None
    trace: str | None = None
    sport: str | None = None
    event: str | None = None
    market: str | None = None
    line: str | None = None
    length: int | None = None
    cut: bool = False
    body: str | dict[str, str] = ""


class _Page(Struct):
    items: list[_Letter]
    next: str | None = None


class _Refused(Struct):
    code: str
    message: str


class _Replayed(Struct):
    id: str
    result: str
    accepted: int = 0
    refused: list[_Refused] = []
    trace: str | None = None
    messages: list[dict[str, Any]] | None = None


class _Answer(Struct):
    items: list[_Replayed]


class LettersCollector:
    """Reads dead letters."""

    def __init__(self, asker: Asker, ingest_url: str, rest_url: str, stores: Stores) -> None:
        self._asker = asker
        self._url = f"{ingest_url}/v1/deadletters"
        self._events = f"{rest_url}/v1/events/"
        self._stores = stores
        self._cursor: int | None = None

    async def look(self, at: int) -> Sequence[seen.Observation]:
        """Read what is new. Raises AskError."""
        bounds = await self._bounds()
        if self._cursor is None:
            self._cursor = 0 if bounds is None else max(bounds[0], bounds[1] - BACK_MAX)
        elif bounds is not None and self._cursor > bounds[1]:
            self._cursor = bounds[0]  # another, younger topic
        asked = urlencode({"limit": PAGE_MAX, "cursor": self._cursor})
        page: _Page = await self._asker.json(f"{self._url}?{asked}", _Page)
        if page.items:
            self._cursor = int(page.items[-1].id.rpartition("-")[2]) + 1
        if page.next is not None:
            self._cursor = max(self._cursor, int(page.next))
        total = None if bounds is None else bounds[1] - bounds[0]
        return [seen.LettersSeen(at, [_letter(each, BODY_CHARS_SHOWN) for each in page.items], total)]

    async def _bounds(self) -> tuple[int, int] | None:
        place = (topics.DEAD_LETTER, 0)
        try:
            admin = (await self._stores.context()).admin
            return (await admin.starts(place[:1]))[place], (await admin.ends(place[:1]))[place]
        except (DependencyError, ContractError, SettingsError, ConfigError, OSError):
            return None

    async def one(self, letter_id: str, at: int) -> Sequence[seen.Observation]:
        """Read one in full. Raises AskError."""
        found: _Letter = await self._asker.json(f"{self._url}/{quote(letter_id, safe='')}", _Letter)
        return [seen.LetterSeen(at, _letter(found, BODY_CHARS_MAX))]

    async def replay(self, ids: Sequence[str], at: int, *, dry_run: bool) -> seen.ReplaySeen:
        """Replay, or say what would become of it, and what the events are now. Raises AskError."""
        body = {"ids": list(ids), "dry_run": dry_run}
        data = await self._asker.ask("POST", f"{self._url}/replay", body, timeout_s=REPLAY_S_MAX)
        answer: _Answer = decoded(data, _Answer)
        results = [
            seen.Replayed(
                id=each.id,
                result=each.result,
                accepted=each.accepted,
                refused=[f"{refused.code}: {refused.message}" for refused in each.refused],
                trace=each.trace,
                made=[msgspec.json.encode(made).decode() for made in (each.messages or [])[:MADE_MAX]],
            )
            for each in answer.items
        ]
        events = [str(made["event"]) for each in answer.items for made in each.messages or [] if made.get("event")]
        boards = [board for event in list(dict.fromkeys(events))[:BOARDS_MAX] if (board := await self._board(event))]
        return seen.ReplaySeen(at=at, dry_run=dry_run, results=results, boards=boards)

    async def _board(self, event: str) -> seen.Board | None:
        try:
            shown: Event = await self._asker.json(self._events + quote(event, safe=""), Event)
        except AskError:
            return None
        return board_of(shown)


def _letter(letter: _Letter, chars_max: int) -> seen.Letter:
    text = isinstance(letter.body, str)
    body = letter.body if isinstance(letter.body, str) else letter.body.get("b64", "")
    return seen.Letter(
        id=letter.id,
        code=letter.code,
        message=letter.message,
        stage=letter.stage,
        provider=letter.provider,
        source=letter.source,
        received=letter.received,
        trace=letter.trace,
        sport=letter.sport,
        event=letter.event,
        market=letter.market,
        line=letter.line,
        length=letter.length,
        cut=letter.cut,
        body=body[:chars_max],
        text=text,
    )
