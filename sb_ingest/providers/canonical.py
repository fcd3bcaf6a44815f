"""Our own vocabulary as a provider's format: canonical messages in JSON, or in XML with the same words.

The rule: a message that is right is decoded once, by type; only one that isn't is taken apart, to refuse its bad
markets and let the rest go on. An odds price is a string: a JSON number never becomes one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from sb_core.errors import FeedError
from sb_core.messages import (
    CONTROL_TYPES,
    SYSTEM_TYPES,
    AnyMessage,
    MarketOdds,
    MarketRef,
    MarketResult,
    ScoreChange,
    decoder,
)
from sb_ingest.limits import DEFAULT, Limits
from sb_ingest.providers import Knowledge, Normalised, Refusal
from sb_ingest.providers.canonical_forms import cleared, unfolded
from sb_ingest.providers.canonical_xml import as_json
from sb_ingest.xml import parse

PIECES_MAX: Final = 2_000
"""Markets of a message that is taken apart; one with more is refused whole."""
VERSION: Final = 1
SAID_CHARS_MAX: Final = 200
TS_MAX: Final = 253_402_300_799_999

_MARKETS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "odds": msgspec.json.Decoder(MarketOdds),
    "settlement": msgspec.json.Decoder(MarketResult),
    **dict.fromkeys(
        ("bet_stop", "cancel", "settlement_rollback", "cancel_rollback", "hold", "release"),
        msgspec.json.Decoder(MarketRef),
    ),
}
_TYPES: Final = frozenset({*_MARKETS, "fixture", "score", "alive", "snapshot_complete"})
_PATH: Final = re.compile(r" - at `(\$[^`]*)`")
_TIMES: Final = (".ts", ".start", ".from", ".to")
_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError)
"""What decoding untrusted bytes can raise."""

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_raws: Final = msgspec.json.Decoder(list[Raw])
_any: Final = msgspec.json.Decoder()


class Canonical:
    """The normaliser of canonical messages."""

    name = "canonical"
    session_based = False

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits

    def normalise(
        self,
        document: bytes,
        knowledge: Knowledge,  # noqa: ARG002  the interface's; canonical messages say all themselves
        session: object | None,  # noqa: ARG002
        producer: str,  # noqa: ARG002
    ) -> Normalised:
        """Decode one message. Raises FeedError when nothing of the document can be used."""
        if document[:1] == b"<" or document.lstrip()[:1] == b"<":
            return _read(as_json(parse(document, self._limits)), document)
        return _read(document, document)


def _read(text: bytes, original: bytes) -> Normalised:
    """Turn a message's JSON into it; `original` is what came."""
    try:
        message: AnyMessage = decoder.decode(text)
    except msgspec.ValidationError as error:
        plain = cleared(text)
        return _read(plain, original) if plain is not None else _taken_apart(text, original, error)
    except _DECODE_ERRORS as error:
        raise FeedError("malformed", f"no JSON: {error}"[:SAID_CHARS_MAX]) from error
    if isinstance(message, ScoreChange) and text.count(b'"score"') > 1:
        whole = unfolded(text)
        if whole is not None:
            return _read(whole, original)
    refused = _head_fault(message, text)
    if refused is not None:
        return Normalised(refusals=(_whole(_fields(text), original, *refused),))
    return Normalised(messages=(message,))


def _head_fault(message: AnyMessage, text: bytes) -> tuple[str, str] | None:
    """Say what a message of right types lacks."""
    if message.v != VERSION:
        return "schema", f"v is not {VERSION}"
    if isinstance(message, SYSTEM_TYPES):
        return "unsupported_type", "messages of this type are written by the system itself"
    if isinstance(message, CONTROL_TYPES):
        if not message.provider or "producer" not in _fields(text):
            return "schema", "provider and producer are required"
    elif not message.event:
        return "schema", "event is required"
    return None


def _taken_apart(text: bytes, original: bytes, error: msgspec.ValidationError) -> Normalised:
    """Refuse the bad markets of a message and keep the others; refuse it whole if it isn't for its markets."""
    fields = _fields(text)
    try:
        markets, market_decoder = _markets(fields, error)
        sound: list[bytes] = []
        refusals: list[Refusal] = []
        for market in markets:
            raw = bytes(market)
            fault = _fault(raw, market_decoder)
            if fault is None:
                sound.append(raw)
            else:
                refusals.append(_market(fields, raw, original, *fault))
        message = _decoded(_joined(fields, b",".join(sound)))
        missing = _head_fault(message, text)
        if missing is not None:
            raise FeedError(*missing)
    except FeedError as whole:
        return Normalised(refusals=(_whole(fields, original, whole.code, whole.message),))
    return Normalised(messages=(message,) if sound else (), refusals=tuple(refusals))


def _markets(
    fields: Mapping[str, Raw], error: msgspec.ValidationError
) -> tuple[list[Raw], "msgspec.json.Decoder[Any]"]:
    """Return the markets among which the fault may be. Raises FeedError when it must be elsewhere."""
    kind = _value(fields, "type")
    if isinstance(kind, str) and kind not in _TYPES:
        raise FeedError("unsupported_type", f"no message of type {kind[:40]!r} is taken")
    market_decoder = _MARKETS.get(kind) if isinstance(kind, str) else None
    markets = _list(fields)
    if market_decoder is None or not markets:
        raise FeedError(*_code(error))
    if len(markets) > PIECES_MAX:
        raise FeedError("too_large", f"{len(markets)} markets are more than {PIECES_MAX}")
    return markets, market_decoder


def _decoded(text: bytes) -> AnyMessage:
    try:
        message: AnyMessage = decoder.decode(text)
    except _DECODE_ERRORS as error:
        raise FeedError(*_code(error)) from error
    return message


def _fault(market: bytes, market_decoder: "msgspec.json.Decoder[Any]") -> tuple[str, str] | None:
    try:
        market_decoder.decode(market)
    except _DECODE_ERRORS as error:
        return _code(error)
    return None


def _code(error: Exception) -> tuple[str, str]:
    """Turn a decoder's complaint into one of our codes and a sentence."""
    said = str(error)[:SAID_CHARS_MAX]
    if not isinstance(error, msgspec.ValidationError):
        return "malformed", said
    found = _PATH.search(said)
    path = found[1] if found else "$"
    if "missing required" in said:
        return "schema", said
    if path == "$.type" and "Invalid value" in said:
        return "unsupported_type", said
    if path.endswith(".odds"):
        return "bad_odds", f"{said}: odds are decimal strings"
    return ("bad_time" if path.endswith(_TIMES) else "schema"), said


# what can be saved of a message that is refused


def _fields(text: bytes) -> dict[str, Raw]:
    try:
        return _object.decode(text)
    except _DECODE_ERRORS:
        return {}


def _value(fields: Mapping[str, Raw], name: str) -> object:
    try:
        return _any.decode(fields[name]) if name in fields else None
    except _DECODE_ERRORS:
        return None


def _list(fields: Mapping[str, Raw]) -> list[Raw]:
    try:
        return _raws.decode(fields["markets"]) if "markets" in fields else []
    except _DECODE_ERRORS:
        return []


def _text(fields: Mapping[str, Raw], name: str) -> str | None:
    value = _value(fields, name)
    return value if isinstance(value, str) and value else None


def _whole(fields: Mapping[str, Raw], raw: bytes, code: str, said: str) -> Refusal:
    ts = _value(fields, "ts")
    return Refusal(
        code=code,
        message=said,
        raw=raw,
        event=_text(fields, "event"),
        sport=_text(fields, "sport"),
        ts=ts if isinstance(ts, int) and not isinstance(ts, bool) and 0 <= ts <= TS_MAX else None,
        provider=_text(fields, "provider") or "",
        producer=_text(fields, "producer") or "0",
    )


def _market(fields: Mapping[str, Raw], market: bytes, raw: bytes, code: str, said: str) -> Refusal:
    named = _fields(market)
    name = _text(named, "market")
    line = _value(named, "line") if "line" in named else ""
    if not isinstance(line, str):
        # which of the market's lines it was is unknown, so none of them can be closed alone
        name = None
    refusal = _whole(fields, raw, code, said)
    return msgspec.structs.replace(refusal, market=name, line=line if name else None)


def _joined(fields: Mapping[str, Raw], markets: bytes) -> bytes:
    """Write a message with other markets."""
    parts = [
        msgspec.json.encode(name) + b":" + (b"[" + markets + b"]" if name == "markets" else bytes(value))
        for name, value in fields.items()
    ]
    return b"{" + b",".join(parts) + b"}"
