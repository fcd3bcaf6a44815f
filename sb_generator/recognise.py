"""What a document of a recorded file is: its provider, its own time, its routing key. Pure.

The rule: only marks that the formats must have count (Betfair's `op`, canonical `type`, the name of an XML root), and
what can't be recognised is None, never a guess.
"""

import re
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

CANONICAL: Final = "canonical"
UOF: Final = "uof"
BETFAIR: Final = "betfair"

_BOM: Final = b"\xef\xbb\xbf"
_WHITE: Final = b" \t\r\n"
_CANONICAL_ROOTS: Final = frozenset(
    {
        "fixture",
        "odds",
        "bet_stop",
        "score",
        "settlement",
        "cancel",
        "settlement_rollback",
        "cancel_rollback",
        "hold",
        "release",
        "alive",
        "snapshot_complete",
    }
)
_ROOT: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?\s*>)*+"
    rb"<(?:[^\s/>:?!]+:)?([^\s/>:?!]+)([^>]*)",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(rb"""(?<![^\s])([A-Za-z_]+)\s*=\s*["']([^"']*)["']""")
_ROOT_WITHIN_BYTES: Final = 4_096
_BROKEN_MARK: Final = re.compile(rb'"(op|type)"\s*:')
_BROKEN_TIME: Final = re.compile(rb'"(?:pt|ts)"\s*:\s*([0-9]{1,15})[,}\s]')
_FAULTS: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError)


class Told(Struct, frozen=True):
    """What a document says of itself; `ts` is in ms since 1970. `capture` marks a capture line, `valid` a right syntax."""

    provider: str | None = None
    ts: int | None = None
    key: str | None = None
    capture: bool = False
    valid: bool = True


class _Head(Struct):
    op: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    pt: Raw | UnsetType = UNSET
    ts: Raw | UnsetType = UNSET
    t: Raw | UnsetType = UNSET
    provider: Raw | UnsetType = UNSET
    key: Raw | UnsetType = UNSET
    body: Raw | UnsetType = UNSET


_head: Final = msgspec.json.Decoder(_Head)
_value: Final = msgspec.json.Decoder(Raw)
_text: Final = msgspec.json.Decoder(str | None)
_time: Final = msgspec.json.Decoder(int | str)


def json(data: bytes) -> Told:
    """Recognise a JSON document or a capture line; a broken one as far as its marks are there."""
    try:
        head = _head.decode(data.removeprefix(_BOM))
    except _FAULTS:
        return _of_no_object(data)
    if head.body is not UNSET and head.t is not UNSET and head.provider is not UNSET:
        return Told(_string(head.provider), _ms(head.t), _string(head.key), capture=True)
    provider = BETFAIR if head.op is not UNSET else CANONICAL if head.type is not UNSET else None
    return Told(provider, _ms(head.pt if provider == BETFAIR else head.ts))


def _of_no_object(data: bytes) -> Told:
    mark = _BROKEN_MARK.search(data)
    provider = None if mark is None else BETFAIR if mark[1] == b"op" else CANONICAL
    time = _BROKEN_TIME.search(data)
    return Told(provider, int(time[1]) if time else None, valid=is_json(data))


def is_json(data: bytes) -> bool:
    """Say whether bytes are one JSON value."""
    try:
        _value.decode(data.removeprefix(_BOM))
    except _FAULTS:
        return False
    return True


def xml(data: bytes) -> Told:
    """Recognise an XML document by its root: canonical and UOF share three names, told apart by their attributes."""
    root = _ROOT.match(data, 0, _ROOT_WITHIN_BYTES)
    if root is None:
        return Told()
    name = root[1].decode("utf-8", "replace")
    attributes = {match[1]: match[2] for match in _ATTRIBUTE.finditer(root[2])}
    canonical = name in _CANONICAL_ROOTS and b"product" not in attributes and b"timestamp" not in attributes
    time = attributes.get(b"ts" if canonical else b"timestamp", b"")
    return Told(CANONICAL if canonical else UOF, int(time) if time.isdigit() and len(time) <= 15 else None)


def is_xml(text: bytes) -> bool:
    """Say whether the beginning of a text is XML's."""
    return text.removeprefix(_BOM).lstrip(_WHITE).startswith(b"<")


def parse_time(text: str) -> int:
    """Read a time as a query writes it: ms since 1970, or RFC 3339 with offset. Raises ValueError."""
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return int(moment.timestamp() * 1000)


def _string(raw: Raw | UnsetType) -> str | None:
    if raw is UNSET:
        return None
    try:
        text: str | None = _text.decode(raw)
    except _FAULTS:
        return None
    return text


def _ms(raw: Raw | UnsetType) -> int | None:
    if raw is UNSET:
        return None
    try:
        value: int | str = _time.decode(raw)
        return value if isinstance(value, int) else parse_time(value)
    except _FAULTS:
        return None
