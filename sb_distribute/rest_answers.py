"""Answers as bytes: entity tags, conditional requests, and the cache of encoded events.

The rule: an event is encoded once per (lineage, rev, stale, form of odds), however many ask for it; the cache holds one
`rev` per event and form, and is bounded in bytes. A tag names the state, `"<lineage>.<rev>"`; the form of odds and the
filters stand in the URL, which a tag belongs to.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec
from quart import Response, request

from sb_core.shown import Event
from sb_distribute.node import EventSnapshot
from sb_distribute.rest_odds import event_in
from sb_distribute.rest_queries import OddsFormat

TAGS_MAX: Final = 50
"""Entity tags looked at in one If-None-Match."""
JSON: Final = "application/json"

_encoder: Final = msgspec.json.Encoder()
_Slot = tuple[str, bool, OddsFormat]


class AnswerCache:
    """Encoded events, those asked for longest ago dropped first. `used_bytes` never exceeds `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: OrderedDict[_Slot, tuple[int, int, bytes]] = OrderedDict()
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0

    def __repr__(self) -> str:
        return f"<AnswerCache events={len(self._held)} bytes={self.used_bytes} of {self._bytes_max}>"

    def event(self, snapshot: EventSnapshot, form: OddsFormat, *, stale: bool) -> bytes:
        """Return the event's JSON, encoding it only if nobody has asked for this before."""
        slot = (snapshot.event.event, stale, form)
        held = self._held.get(slot)
        if held is not None and held[:2] == (snapshot.lineage, snapshot.rev):
            self._held.move_to_end(slot)
            self.hits += 1
            return held[2]
        self.misses += 1
        body = encode_event(snapshot.event, form, stale=stale)
        if held is None or held[:2] < (snapshot.lineage, snapshot.rev):
            self._keep(slot, (snapshot.lineage, snapshot.rev, body))
        return body

    def _keep(self, slot: _Slot, entry: tuple[int, int, bytes]) -> None:
        known = self._held.pop(slot, None)
        self.used_bytes -= 0 if known is None else len(known[2])
        if len(entry[2]) > self._bytes_max:
            return
        self._held[slot] = entry
        self.used_bytes += len(entry[2])
        while self.used_bytes > self._bytes_max:
            _, dropped = self._held.popitem(last=False)
            self.used_bytes -= len(dropped[2])


def encode_event(event: Event, form: OddsFormat, *, stale: bool) -> bytes:
    """Write an event as REST answers it."""
    return _encoder.encode(msgspec.structs.replace(event_in(event, form), stale=stale))


_FRESH_END: Final = b'"stale":false}'
_STALE_END: Final = b'"stale":true}'


class _Sport(msgspec.Struct, frozen=True):
    sport: str


_sport_decoder: Final = msgspec.json.Decoder(_Sport)


def sport_of(header: bytes) -> str:
    """Read only the sport out of a header's JSON."""
    return _sport_decoder.decode(header).sport


def mark_stale(header: bytes, *, stale: bool) -> bytes:
    """Fill `stale` into a header's JSON as the store holds it, without decoding it where it was written by us."""
    wanted, other = (_STALE_END, _FRESH_END) if stale else (_FRESH_END, _STALE_END)
    if header.endswith(wanted):
        return header
    if header.endswith(other):
        return header[: -len(other)] + wanted
    # JSON that went through a database's own type comes back spaced or ordered otherwise
    fields = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
    fields["stale"] = msgspec.Raw(b"true" if stale else b"false")
    return _encoder.encode(fields)


def join_list(items: list[bytes], next_cursor: str | None) -> bytes:
    """Write a list of items that are JSON already."""
    return b'{"items":[' + b",".join(items) + b'],"next":' + _encoder.encode(next_cursor) + b"}"


def event_tag(lineage: int, rev: int, *, stale: bool) -> str:
    """Return the entity tag of an event's state."""
    return f'"{lineage}.{rev}-stale"' if stale else f'"{lineage}.{rev}"'


def content_tag(body: bytes) -> str:
    """Return the entity tag of a document that has no `rev`."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def tag_matches(if_none_match: str | None, tag: str) -> bool:
    """Say whether an If-None-Match header names the tag; weakly compared, as RFC 9110 wants it for GET."""
    if if_none_match is None:
        return False
    named = [part.strip().removeprefix("W/") for part in if_none_match.split(",", TAGS_MAX)[:TAGS_MAX]]
    return tag in named or named == ["*"]


def unchanged(tag: str) -> Response | None:
    """Return 304 if the client has this state already."""
    if not tag_matches(request.headers.get("If-None-Match"), tag):
        return None
    response = Response(b"", status=304)
    response.headers.pop("Content-Type", None)
    return _labelled(response, tag)


def reply(body: bytes, tag: str | None = None, content_type: str = JSON) -> Response:
    """Answer 200 with bytes; clients may keep them but ask again each time (`no-cache`)."""
    return _labelled(Response(body, status=200, content_type=content_type), tag)


def _labelled(response: Response, tag: str | None) -> Response:
    response.headers["Cache-Control"] = "no-cache"
    if tag is not None:
        response.headers["ETag"] = tag
    return response
