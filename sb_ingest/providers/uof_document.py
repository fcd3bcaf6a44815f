"""What every UOF document has: attributes to read, a head (whose event, which sport, when, by whom), pieces to refuse.

The rule: an attribute is read here or not at all, so that what it may look like stands in one place; what it may not
look like is a FeedError with the code of the wire contract.
"""

import re
from datetime import datetime
from typing import Any, Final

from lxml import etree
from msgspec import Struct

from sb_core.errors import FeedError
from sb_core.sports import find
from sb_ingest.providers import Knowledge, Refusal
from sb_ingest.providers.uof_markets import SPORTS
from sb_ingest.xml import local

PROVIDER: Final = "uof"
REST_PRODUCER: Final = "0"
"""REST answers, and messages that name no product, have the producer that was given with the session."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_COUNT: Final = re.compile(r"([0-9]{1,6})(?:\.0{1,6})?", re.ASCII)
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_EVENT: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}(?::[A-Za-z0-9_.\-]{1,64}){1,4}", re.ASCII)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_KEY_WORDS_MIN: Final = 7


class Head(Struct, frozen=True, kw_only=True):
    """Who says when, about which event of which sport."""

    event: str
    sport: str
    ts: int
    producer: str
    document: bytes
    """The original bytes, which a dead letter keeps."""
    request: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return what every message about the event starts with."""
        return {
            "provider": PROVIDER,
            "producer": self.producer,
            "event": self.event,
            "sport": self.sport,
            "ts": self.ts,
            "request": self.request,
        }

    def refuse(self, error: FeedError, market: str | None = None, line: str | None = None) -> Refusal:
        """Refuse a piece of the event's document, which closes the market, or without one the event."""
        return Refusal(
            code=error.code,
            message=error.message,
            raw=self.document,
            event=self.event,
            sport=self.sport,
            market=market,
            line=line,
            ts=self.ts,
            provider=PROVIDER,
            producer=self.producer,
        )


def children(element: etree._Element, name: str) -> list[etree._Element]:
    """Return the children of a local name."""
    return [child for child in element if local(child) == name]


def child(element: etree._Element, name: str) -> etree._Element | None:
    """Return the first child of a local name."""
    for each in element:
        if local(each) == name:
            return each
    return None


def required(element: etree._Element, name: str) -> str:
    """Return an attribute that must be there. Raises FeedError `schema`."""
    value = element.get(name)
    if not value:
        raise FeedError("schema", f"{local(element)} has no {name}")
    return value


def integer(element: etree._Element, name: str) -> int | None:
    """Return a whole number, None where the attribute is absent. Raises FeedError `schema`."""
    value = element.get(name)
    if value is None:
        return None
    if not _INTEGER.fullmatch(value):
        raise FeedError("schema", f"{name} {value[:40]!r} is no whole number")
    return int(value)


def count(element: etree._Element, name: str) -> int | None:
    """Return a score, which may be written as a decimal. Raises FeedError `schema`."""
    value = element.get(name)
    if value is None:
        return None
    match = _COUNT.fullmatch(value)
    if match is None:
        raise FeedError("schema", f"{name} {value[:40]!r} is no score")
    return int(match[1])


def flag(element: etree._Element, name: str) -> bool | None:
    """Return a truth value, None where the attribute is absent. Raises FeedError `schema`."""
    value = element.get(name)
    if value is None:
        return None
    if value in {"1", "true"}:
        return True
    if value in {"0", "false"}:
        return False
    raise FeedError("schema", f"{name} {value[:40]!r} is neither true nor false")


def milliseconds(element: etree._Element, name: str) -> int | None:
    """Return a feed time in ms, None where the attribute is absent. Raises FeedError `bad_time`."""
    value = element.get(name)
    if value is None:
        return None
    if not _MILLISECONDS.fullmatch(value):
        raise FeedError("bad_time", f"{name} {value[:40]!r} is no time in ms")
    return int(value)


def date_time(element: etree._Element, name: str) -> int | None:
    """Return a REST time in ms, None where the attribute is absent. Raises FeedError `bad_time`."""
    value = element.get(name)
    if value is None:
        return None
    if not _DATE_TIME.fullmatch(value):
        raise FeedError("bad_time", f"{name} {value[:40]!r} is no time with an offset")
    try:
        since = datetime.fromisoformat(value.upper()) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise FeedError("bad_time", f"{name} {value!r} is no time: {error}") from error
    ms = (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    if ms < 0:
        raise FeedError("bad_time", f"{name} {value!r} is before 1970")
    return ms


def event_of(source_id: str | None) -> str:
    """Return our id of an event. Raises FeedError `schema` or `bad_id`."""
    if not source_id:
        raise FeedError("schema", "the document names no event")
    if not _EVENT.fullmatch(source_id):
        raise FeedError("bad_id", f"event id {source_id[:40]!r} is no id")
    return f"{PROVIDER}:{source_id}"


def sport_of(event: str, knowledge: Knowledge, document_sport: str | None = None) -> str:
    """Return the sport of an event: as known, by the routing key, by the document, by the request's hint.

    `document_sport` is a Sportradar id ("sr:sport:1"). Raises FeedError `unsupported_sport` or `unknown_sport`.
    """
    known = knowledge.sport_of(event)
    if known is not None:
        return known
    number = _sport_of_key(knowledge.routing_key)
    if number is None and document_sport is not None:
        number = document_sport.rpartition(":")[2]
    if number is not None:
        sport = SPORTS.get(number)
        if sport is None:
            raise FeedError("unsupported_sport", f"sport sr:sport:{number[:20]} is not supported", event=event)
        return sport
    hint = knowledge.sport_hint
    if hint:
        if find(hint) is None:
            raise FeedError("unsupported_sport", f"sport {hint[:40]!r} is not supported", event=event)
        return hint
    raise FeedError("unknown_sport", f"nothing says which sport {event} has", event=event)


def _sport_of_key(key: str | None) -> str | None:
    """Return the fifth word of a routing key: `hi.-.live.odds_change.5.sr:match.12329150.-`."""
    words = key.split(".") if key else ()
    if len(words) < _KEY_WORDS_MIN or not words[4].isdecimal():
        return None
    return words[4]


def event_of_key(key: str | None) -> str | None:
    """Return the event id in a routing key, None where it names none."""
    words = key.split(".") if key else ()
    if len(words) < _KEY_WORDS_MIN or "-" in {words[5], words[6]}:
        return None
    return f"{words[5]}:{words[6]}"
