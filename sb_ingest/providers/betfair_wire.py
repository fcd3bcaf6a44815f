"""Betfair's Exchange Stream as it stands on the wire, decoded by type.

The rule: numbers are decoded from their text (Decimal), so no binary float ever carries a price, a size or a handicap;
and a message is decoded down to its market changes only, each of which is decoded by itself, so that one broken change
of two hundred is refused alone.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from sb_core.decimals import plain_decimal, shortest
from sb_core.errors import FeedError

ID_MAX: Final = 2**63 - 1
INTEGER_MAX: Final = 2**53
TS_MS_MAX: Final = 253_402_300_799_999
MARKET_CHANGES_MAX: Final = 5_000
"""Market changes in one message."""
RUNNERS_MAX: Final = 1_000
"""Runners of one market, and runner changes in one market change."""
LEVELS_MAX: Final = 2_000
"""Price levels in one list, and held on one side of one runner."""
TEXT_CHARS_MAX: Final = 500
NUMBER_CHARS_MAX: Final = 40
"""Digits, sign, point and exponent of one number, as Decimal writes it."""

Id: TypeAlias = (
    Annotated[int, Meta(ge=0, le=ID_MAX)] | Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]+\Z", max_length=64)]
)
"""Ids come as numbers or as strings; `str` of either is what we keep."""
Count: TypeAlias = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Text: TypeAlias = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Level: TypeAlias = tuple[Decimal, Decimal]
"""[price, size]: size 0 removes the price."""
Place: TypeAlias = tuple[Annotated[int, Meta(ge=0, le=LEVELS_MAX)], Decimal, Decimal]
"""[level, price, size]: size 0 empties the level; level 0 is the best price."""
Levels: TypeAlias = Annotated[list[Level], Meta(max_length=LEVELS_MAX)]
Places: TypeAlias = Annotated[list[Place], Meta(max_length=LEVELS_MAX)]
MarketStatus: TypeAlias = Literal["INACTIVE", "OPEN", "SUSPENDED", "CLOSED"]
RunnerStatus: TypeAlias = Literal["ACTIVE", "WINNER", "LOSER", "PLACED", "REMOVED", "REMOVED_VACANT", "HIDDEN"]


class RunnerChange(Struct, frozen=True):
    """Deltas of one runner; a runner is (`id`, `hc`)."""

    id: Id
    hc: Decimal | None = None
    atb: Levels | None = None
    atl: Levels | None = None
    batb: Places | None = None
    batl: Places | None = None
    ltp: Decimal | None = None
    tv: Decimal | None = None


class RunnerDefinition(Struct, frozen=True, rename="camel"):
    """A runner as the market's definition has it."""

    id: Id
    status: RunnerStatus
    hc: Decimal | None = None
    sort_priority: Count = 0
    name: Text | None = None
    bsp: Decimal | None = None
    adjustment_factor: Decimal | None = None


class MarketDefinition(Struct, frozen=True, rename="camel"):
    """A market's definition; it always comes whole."""

    event_id: Id
    event_type_id: Id
    market_type: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]+\Z", max_length=64)]
    status: MarketStatus
    runners: Annotated[tuple[RunnerDefinition, ...], Meta(max_length=RUNNERS_MAX)]
    betting_type: Annotated[str, Meta(max_length=64)] = "ODDS"
    in_play: bool = False
    bet_delay: Count | None = None
    number_of_winners: Count | None = None
    version: Count | None = None
    market_time: Annotated[str, Meta(max_length=40)] | None = None
    open_date: Annotated[str, Meta(max_length=40)] | None = None
    event_name: Text | None = None
    name: Text | None = None


class MarketChange(Struct, frozen=True, rename={"definition": "marketDefinition"}):
    """What a message says of one market."""

    id: Id
    definition: MarketDefinition | None = None
    rc: Annotated[tuple[RunnerChange, ...], Meta(max_length=RUNNERS_MAX)] | None = ()
    img: bool | None = None
    con: bool | None = None


class MarketNamed(Struct, frozen=True):
    """Only the id of a market change, for one that is broken otherwise."""

    id: Id


class StreamMessage(Struct, frozen=True, rename="camel"):
    """A message of the stream: `mcm` (market changes), `connection` or `status`."""

    op: Annotated[str, Meta(max_length=40)]
    pt: int | None = None
    clk: str | None = None
    ct: str | None = None
    status: int | None = None
    mc: Annotated[list[Raw], Meta(max_length=MARKET_CHANGES_MAX)] | None = None
    status_code: str | None = None
    error_code: str | None = None
    connection_closed: bool | None = None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Decoded = TypeVar("_Decoded")
_message_decoder: Final = msgspec.json.Decoder(StreamMessage)
_change_decoder: Final = msgspec.json.Decoder(MarketChange)
_named_decoder: Final = msgspec.json.Decoder(MarketNamed)


def _decode(decoder: msgspec.json.Decoder[_Decoded], value: bytes | Raw) -> _Decoded:
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        text = str(error)[:TEXT_CHARS_MAX]
        raise FeedError("too_large" if "of length <=" in text else "schema", text) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FeedError("malformed", str(error)[:TEXT_CHARS_MAX]) from error
    except RecursionError as error:
        raise FeedError("too_deep", "nested too deeply") from error
    except (ArithmeticError, ValueError) as error:
        # what Decimal and int say to numbers they will not hold
        raise FeedError("schema", "a number is out of range") from error


def decode_message(document: bytes) -> StreamMessage:
    """Decode a message down to its market changes. Raises FeedError `malformed`, `schema`, `too_large` or `too_deep`."""
    return _decode(_message_decoder, document)


def decode_change(change: Raw) -> MarketChange:
    """Decode one market change. Raises FeedError `malformed`, `schema`, `too_large` or `too_deep`."""
    return _decode(_change_decoder, change)


def market_named(change: Raw) -> str | None:
    """Return the market id of a change that is broken otherwise, None where even that is."""
    try:
        return str(_decode(_named_decoder, change).id)
    except FeedError:
        return None


@lru_cache(maxsize=4_096)
def instant_ms(text: str | None) -> int | None:
    """Turn an RFC 3339 time with offset into ms since 1970; None stays None. Raises FeedError `bad_time`."""
    if text is None:
        return None
    try:
        instant = msgspec.convert(text, datetime)
        if instant.tzinfo is None:
            raise FeedError("bad_time", f"{text!r} says no offset from UTC")
        ms = (instant - _EPOCH) // timedelta(milliseconds=1)
    except (msgspec.ValidationError, ArithmeticError, ValueError) as error:
        raise FeedError("bad_time", f"{text!r} is no time") from error
    if not 0 <= ms <= TS_MS_MAX:
        raise FeedError("bad_time", f"{text!r} is not between 1970 and 9999")
    return ms


def decimal_text(number: Decimal) -> str:
    """Write a number as we pass decimals on: plain, no exponent, no trailing zeros ("45.2", "-0.25", "0").

    Raises FeedError `bad_odds` for NaN, infinities and numbers beyond 40 characters or 18 digits of exponent.
    """
    # asked first, because a signalling NaN cannot even be looked up
    if not number.is_finite():
        raise FeedError("bad_odds", f"{str(number)[:NUMBER_CHARS_MAX]} is no number")
    return _decimal_text(number)


@lru_cache(maxsize=65_536)
def _decimal_text(number: Decimal) -> str:
    text = str(number)
    plain = shortest(plain_decimal(text)) if len(text) <= NUMBER_CHARS_MAX else None
    if plain is None:
        raise FeedError("bad_odds", f"{text[:NUMBER_CHARS_MAX]} is no number within bounds")
    return plain


def runner_source(runner: int | str, hc: Decimal | None) -> str:
    """Name a runner: `<id>`, or `<id>/<hc>` where its handicap is not 0. Raises FeedError `bad_odds`."""
    handicap = "0" if hc is None else decimal_text(hc)
    return str(runner) if handicap == "0" else f"{runner}/{handicap}"
