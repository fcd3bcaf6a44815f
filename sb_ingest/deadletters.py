"""Dead letters read back: pages of them, one in full, and replay through the normaliser.

The rule: a replay takes only what the dead letter was about, is received anew, and a dry run leaves no trace.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from sb_core import topics
from sb_core.ports import Log, LogAdmin, Reader
from sb_core.records import Fetched

LIMIT_MAX: Final = 1_000
SCANNED_MAX: Final = 20_000
"""Records looked at for one page; the cursor goes on from there."""
PREVIEW_BYTES: Final = 2_000
REPLAY_MAX: Final = 1_000
_READ_RECORDS: Final = 500
_READ_S: Final = 0.5
_ID: Final = re.compile(r"([0-9]{1,6})-([0-9]{1,18})", re.ASCII)


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One dead letter. `body` is a text, or {"b64": …}; `cut`: not all the original bytes were kept (or, in a list, shown)."""

    id: str
    code: str
    message: str
    stage: str
    provider: str
    source: str
    received: int | None
    trace: str | None
    attempts: int | None
    length: int | None
    sha256: str | None
    sport: str | None
    key: str | None
    event: str | None
    market: str | None
    line: str | None
    cut: bool
    body: str | dict[str, str]


class Page(Struct, frozen=True):
    """A page of dead letters in the order of the topic; `next` is the cursor of the next page."""

    items: list[DeadLetter]
    next: str | None


def read_letter(record: Fetched, *, whole: bool) -> DeadLetter:
    """Turn a record of `sports-dead-letter` into words."""
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    raw = record.value or b""
    shown = raw if whole else raw[:PREVIEW_BYTES]
    length = _number(told.get("sb-length"))
    return DeadLetter(
        id=f"{record.partition}-{record.offset}",
        code=told.get("sb-code", ""),
        message=told.get("sb-message", ""),
        stage=told.get("sb-stage", ""),
        provider=told.get("sb-provider", ""),
        source=told.get("sb-source", record.key),
        received=_number(told.get("sb-received")),
        trace=told.get("sb-trace") or None,
        attempts=_number(told.get("sb-attempts")),
        length=length,
        sha256=told.get("sb-sha256"),
        sport=told.get("sb-sport"),
        key=told.get("sb-key"),
        event=told.get("sb-event"),
        market=told.get("sb-market"),
        line=told.get("sb-line"),
        cut="sb-cut" in told or len(shown) < len(raw) or (length is not None and length > len(raw)),
        body=_body(shown),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _body(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


class DeadLetters:
    """Reads the topic of dead letters."""

    def __init__(self, log: Log, admin: LogAdmin) -> None:
        self._log = log
        self._admin = admin

    async def page(self, *, codes: frozenset[str], limit: int, cursor: int | None) -> Page:
        """Return a page from an offset on. Raises DependencyError."""
        place = (topics.DEAD_LETTER, 0)
        start = (await self._admin.starts((topics.DEAD_LETTER,)))[place]
        end = (await self._admin.ends((topics.DEAD_LETTER,)))[place]
        position = max(start, cursor or 0)
        items: list[DeadLetter] = []
        scanned = 0
        if position >= end:
            return Page([], None)
        reader = await self._reader(position)
        try:
            while position < end and len(items) < limit and scanned < SCANNED_MAX:
                records = await self._read(reader, _READ_RECORDS)
                if not records:
                    break
                for record in records:
                    position = record.offset + 1
                    scanned += 1
                    letter = read_letter(record, whole=False)
                    if not codes or letter.code in codes:
                        items.append(letter)
                    if len(items) >= limit:
                        break
        finally:
            await _closed(reader)
        return Page(items, str(position) if position < end else None)

    async def find(self, letter_id: str) -> Fetched | None:
        """Return the record of one dead letter. Raises DependencyError."""
        match = _ID.fullmatch(letter_id)
        if match is None or match[1] != "0":
            return None
        offset = int(match[2])
        place = (topics.DEAD_LETTER, 0)
        if not (await self._admin.starts((place[0],)))[place] <= offset < (await self._admin.ends((place[0],)))[place]:
            return None
        reader = await self._reader(offset)
        try:
            records = await self._read(reader, 1)
        finally:
            await _closed(reader)
        return records[0] if records and records[0].offset == offset else None

    async def _reader(self, position: int) -> Reader:
        reader = self._log.reader((topics.DEAD_LETTER,))
        delivery = await reader.read(records_max=1, wait_s=_READ_S)
        for place in delivery.assigned:
            reader.seek(place, position)
        return reader

    async def _read(self, reader: Reader, records_max: int) -> Sequence[Fetched]:
        for _ in range(4):
            delivery = await reader.read(records_max=records_max, wait_s=_READ_S)
            if delivery.records:
                return delivery.records
        return ()


async def _closed(reader: Reader) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(1):
        await reader.aclose()


class ReplayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/deadletters/replay`."""

    ids: list[str]
    dry_run: bool = False


replay_request: Final = msgspec.json.Decoder(ReplayRequest)
