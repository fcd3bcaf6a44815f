"""Other times and other ids in a document's bytes, whatever its format: for recordings that are played again, and faults. Pure.

The rule: only values of known keys change, where they stand; every other byte stays, also in a document that is broken.
Ids get a suffix that no original has, so that two copies never share an event.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

CANONICAL: Final = "canonical"
UOF: Final = "uof"
BETFAIR: Final = "betfair"

Moved: TypeAlias = Callable[[int], int]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS: Final = rb"(-?[0-9]{10,14})"
_DAY: Final = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,16}(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))"


class _Format(Struct, frozen=True):
    """Where a format says things; each pattern has what stands before, and the value."""

    ts: re.Pattern[bytes]
    times: re.Pattern[bytes]
    days: re.Pattern[bytes] | None
    ids: re.Pattern[bytes]
    producer: re.Pattern[bytes] | None


def _json(names: bytes, value: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'("(?:' + names + rb')"\s*:\s*"?)' + value)


def _either(names: bytes, value: bytes) -> re.Pattern[bytes]:
    """Find JSON's members and XML's attributes."""
    return re.compile(rb'((?:"(?:' + names + rb')"\s*:\s*"?)|(?:\s(?:' + names + rb')\s*=\s*"))' + value)


_FORMATS: Final[Mapping[str, _Format]] = {
    CANONICAL: _Format(
        ts=_either(rb"ts", _DIGITS),
        times=_either(rb"ts|start|from|to", _DIGITS),
        days=None,
        ids=_either(rb"event|replaces|replaced_by", rb'([^"<>]{1,200}?)(?=")'),
        producer=_either(rb"producer", rb'([^"<>]{1,64}?)(?=")'),
    ),
    UOF: _Format(
        ts=re.compile(rb'(\stimestamp\s*=\s*")' + _DIGITS),
        times=re.compile(rb'(\s(?:timestamp|start_time|end_time)\s*=\s*")' + _DIGITS),
        days=re.compile(rb'(\s(?:generated_at|start_time|scheduled|next_live_time)\s*=\s*")' + _DAY),
        ids=re.compile(
            rb'(\s(?:event_id|replaces|replaced_by)\s*=\s*"|<(?:[a-z0-9]+:)?(?:fixture|sport_event)\s(?:[^<>]*?\s)?id\s*=\s*")'
            rb"([A-Za-z0-9_.:\-]+)"
        ),
        producer=re.compile(rb'(\sproduct\s*=\s*")([^"]{1,64})'),
    ),
    BETFAIR: _Format(
        ts=_json(rb"pt", _DIGITS),
        times=_json(rb"pt", _DIGITS),
        days=_json(rb"marketTime|openDate|suspendTime|settledTime", _DAY),
        ids=re.compile(rb'("eventId"\s*:\s*"?|"id"\s*:\s*"(?=1\.))([0-9.]+)'),
        producer=None,
    ),
}
_KEY_EVENT: Final = 6
"""Which word of a UOF routing key is the event's number."""


def later(data: bytes, provider: str | None, shift_ms: int) -> bytes:
    """Move a document's own time only; what it says of other times stays."""
    form = _FORMATS.get(provider or "")
    return data if form is None else form.ts.sub(_moved(lambda ms: ms + shift_ms), data)


def moved(data: bytes, provider: str | None, at: Moved) -> bytes:
    """Move every time in a document (ms since 1970 to ms since 1970)."""
    form = _FORMATS.get(provider or "")
    if form is None:
        return data
    data = form.times.sub(_moved(at), data)
    return data if form.days is None else form.days.sub(_moved_day(at), data)


def renamed(data: bytes, provider: str | None, copy: int) -> bytes:
    """Give a document's events (and Betfair's markets) the ids of a copy; copy 0 is the original."""
    form = _FORMATS.get(provider or "")
    if form is None or not copy:
        return data
    return form.ids.sub(_suffixed(provider == BETFAIR, b"-%d" % copy), data)


def renamed_key(key: str | None, copy: int) -> str | None:
    """Give a UOF routing key the event of a copy."""
    words = key.split(".") if key else []
    if not copy or len(words) <= _KEY_EVENT or words[_KEY_EVENT] == "-":
        return key
    words[_KEY_EVENT] += f"-{copy}"
    return ".".join(words)


def producer(data: bytes, provider: str | None) -> str:
    """Return the producer that a document names; "" for none."""
    form = _FORMATS.get(provider or "")
    found = form.producer.search(data) if form is not None and form.producer is not None else None
    return found[2].decode("utf-8", "replace") if found else ""


def _moved(at: Moved) -> Callable[[re.Match[bytes]], bytes]:
    return lambda match: match[1] + b"%d" % max(0, at(int(match[2])))


def _moved_day(at: Moved) -> Callable[[re.Match[bytes]], bytes]:
    def day(match: re.Match[bytes]) -> bytes:
        text = match[2].decode()
        try:
            moment = datetime.fromisoformat(text.upper())
            there = _EPOCH + timedelta(milliseconds=at((moment - _EPOCH) // timedelta(milliseconds=1)))
        except (ValueError, OverflowError):
            return match[0]
        written = there.astimezone(moment.tzinfo).isoformat(timespec="milliseconds")
        return match[1] + (written.replace("+00:00", "Z") if text[-1] in "Zz" else written).encode()

    return day


def _suffixed(quoted: bool, suffix: bytes) -> Callable[[re.Match[bytes]], bytes]:  # noqa: FBT001  one caller
    def name(match: re.Match[bytes]) -> bytes:
        if quoted and not match[1].endswith(b'"'):
            # a number becomes a text, because no number has a suffix
            return match[1] + b'"' + match[2] + suffix + b'"'
        return match[0] + suffix

    return name
