"""Canonical messages as bytes: one JSON object a line, as `messages.encode` writes them; or XML with the same words.

The rule: the bytes are those of `messages.encode`; what of them was written before is only copied. Most messages are odds
of markets that come again and again, so their JSON is kept with them.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from sb_core import messages
from sb_core.messages import AnyMessage, MarketOdds, Odds, encoder
from sb_generator.kept import Kept
from sb_generator.speech import Spoken

FEED: Final = "canonical"
FRAGMENTS_MAX: Final = 131_072
MARKETS_KEPT_MAX: Final = 24
"""Larger messages say a whole book again; keeping each of its markets would push out what recurs."""
BOOKS_MAX: Final = 32_768
TAILS_MAX: Final = 16_384
_fragments: Final[Kept[MarketOdds, bytes]] = Kept(encoder.encode, FRAGMENTS_MAX)


def _joined(markets: tuple[MarketOdds, ...]) -> bytes:
    held, keep = _fragments.held.get, _fragments.keep
    return b'{"type":"odds","markets":[%b],"ts":' % b",".join([(held(id(each)) or keep(each))[1] for each in markets])


_books: Final[Kept[tuple[MarketOdds, ...], bytes]] = Kept(_joined, BOOKS_MAX)


@lru_cache(maxsize=TAILS_MAX)
def _tail(event: str, producer: str, provider: str, sport: str) -> bytes:
    said = b',"provider":"%b","producer":"%b","event":"%b","sport":"%b"}'
    return said % (provider.encode(), producer.encode(), event.encode(), sport.encode())


_PAIRS: Final = frozenset({"info", "details"})
_TYPES: Final = {bool: "bool", int: "int", str: "string", type(None): "null"}


def encoded(message: AnyMessage) -> bytes:
    """Write a message as JSON; odds from what their markets were written as before."""
    if message.__class__ is not Odds or message.request is not None or len(message.markets) > MARKETS_KEPT_MAX:
        return messages.encode(message)
    markets = message.markets
    return b"%b%d%b" % (
        (_books.held.get(id(markets)) or _books.keep(markets))[1],
        message.ts,
        _tail(message.event, message.producer, message.provider, message.sport),
    )


class CanonicalSpeaker:
    """Canonical messages in JSON."""

    provider = FEED
    content_type = "application/x-ndjson"
    session = False
    apart = False

    def __repr__(self) -> str:
        return "<CanonicalSpeaker>"

    def begin(self, ms: int) -> list[Spoken]:  # noqa: ARG002  nothing comes before
        """Say nothing."""
        return []

    def say(self, messages: Iterable[AnyMessage]) -> list[Spoken]:
        """Write messages, each a line."""
        return [Spoken(encoded(each), each.ts) for each in messages]

    def pause(self, ms: int) -> list[Spoken]:  # noqa: ARG002  the world's alives are enough
        """Say nothing."""
        return []

    def again(self, ms: int) -> list[Spoken]:  # noqa: ARG002  the world's recovery says it
        """Say nothing."""
        return []

    def body(self, documents: Iterable[Spoken]) -> bytes:
        """Join lines."""
        return b"\n".join([each.data for each in documents])


class XmlSpeaker(CanonicalSpeaker):
    """Canonical messages in XML: the root is the type, scalars are attributes, lists repeat a child."""

    content_type = "application/xml"
    apart = True

    def __repr__(self) -> str:
        return "<XmlSpeaker>"

    def say(self, messages: Iterable[AnyMessage]) -> list[Spoken]:
        """Write messages, each a document."""
        return [Spoken(as_xml(each), each.ts) for each in messages]


def as_xml(message: AnyMessage) -> bytes:
    """Write a message as XML."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    return "".join(_element(fields.pop("type"), fields)).encode()


def _element(name: str, fields: dict[str, Any]) -> Iterator[str]:
    """Yield an element's text: first its attributes, then its children."""
    children: list[str] = []
    yield f"<{name}"
    for field, value in fields.items():
        if field in _PAIRS and value:
            children.extend(_pairs(field, value))
        elif isinstance(value, dict) and (value or field not in _PAIRS):
            children.extend(_element(field, value))
        elif isinstance(value, list | tuple) and value:
            children.extend(_listed(field.removesuffix("s"), value))
        else:
            yield f" {field}={_attribute(value)}"
    yield f">{''.join(children)}</{name}>" if children else "/>"


def _listed(name: str, values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield from _element(name, value)
        else:
            yield f"<{name}>{escape(str(value))}</{name}>"


def _pairs(field: str, pairs: dict[str, Any]) -> Iterator[str]:
    for name, value in pairs.items():
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        yield f"<{field.removesuffix('s')} name={quoteattr(name)} value={quoteattr(text)} type={quoteattr(_TYPES[type(value)])}/>"


def _attribute(value: object) -> str:
    if value is None:
        return '""'
    if isinstance(value, list | tuple | dict):
        return '"{}"' if isinstance(value, dict) else '"[]"'
    return quoteattr(str(value).lower() if isinstance(value, bool) else str(value))
