"""What may stand in a REST query string: one frozen struct per kind of request, and the way from a query string to it.

The rule: these structs are the only list of parameters. What they don't name is refused (`bad_parameter`), and the
OpenAPI document is made from them, so that what is documented is what is read. Times are ms since 1970 UTC.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from sb_core.messages import EventStatus, MarketStatus

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
FILTER_ITEMS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 200
REV_MAX: Final = 2**53

OddsFormat: TypeAlias = Literal["decimal", "american", "fractional", "hongkong", "malay", "indonesian"]
Names: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=FILTER_ITEMS_MAX)]
Limit: TypeAlias = Annotated[
    int, Meta(ge=1, le=LIMIT_MAX, description=f"Items a page: {LIMIT_DEFAULT} unless given, at most {LIMIT_MAX}.")
]
SomeLimit: TypeAlias = Annotated[
    Annotated[int, Meta(ge=1, le=LIMIT_MAX)] | None,
    Meta(description=f"Items a page, at most {LIMIT_MAX}; all unless given."),
]
Cursor: TypeAlias = Annotated[str | None, Meta(description="`next` of the page before, as it was given.")]
Search: TypeAlias = Annotated[
    Annotated[str, Meta(max_length=TEXT_CHARS_MAX)] | None,
    Meta(description="Part of a name; case, accents and spacing don't matter."),
]
Sports: TypeAlias = Annotated[Names, Meta(description="Sports, comma-separated.")]
Markets: TypeAlias = Annotated[Names, Meta(description="Market names, comma-separated.")]
Lines: TypeAlias = Annotated[
    Names | None, Meta(description="Lines, comma-separated; given but empty: the markets without a line.")
]
Rev: TypeAlias = Annotated[int, Meta(ge=1, le=REV_MAX)]
Form: TypeAlias = Annotated[OddsFormat, Meta(description="How `odds` and `fair` are written.")]
MinRev: TypeAlias = Annotated[Rev | None, Meta(description="Wait up to 2 s for this `rev`; 425 `not_yet` after that.")]
_INSTANT: Final = "ms since 1970 UTC, or RFC 3339 with an offset."


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing may be asked."""


class ListQuery(NoQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists that are short by nature: whole unless a limit is given."""

    limit: SomeLimit = None
    cursor: Cursor = None


class ProducersQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/producers` takes."""

    provider: Annotated[Names, Meta(description="Providers, comma-separated.")] = ()


class NamedListQuery(NoQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/competitions` and `/v1/participants` take."""

    sport: Sports = ()
    q: Search = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class EventsQuery(NoQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/events` takes. `from` is inclusive, `to` exclusive; events of unknown start match neither."""

    sport: Sports = ()
    status: Annotated[
        tuple[EventStatus, ...], Meta(max_length=FILTER_ITEMS_MAX, description="Event statuses, comma-separated.")
    ] = ()
    competition: Annotated[Names, Meta(description="Competition ids, comma-separated.")] = ()
    from_: Annotated[int | None, Meta(description=f"Starts at or after: {_INSTANT}")] = msgspec.field(
        default=None, name="from"
    )
    to: Annotated[int | None, Meta(description=f"Starts before: {_INSTANT}")] = None
    q: Search = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None
    odds: Form = "decimal"
    """Taken for symmetry: a list of events carries no odds."""


class EventQuery(NoQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/events/{event}` takes; `at`, `at_rev` and `min_rev` exclude each other."""

    at: Annotated[int | None, Meta(description=f"The event as it was served then: {_INSTANT}")] = None
    at_rev: Annotated[Rev | None, Meta(description="The event as of this `rev`.")] = None
    min_rev: MinRev = None
    odds: Form = "decimal"


class MarketsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/events/{event}/markets` takes."""

    market: Markets = ()
    line: Lines = None
    status: Annotated[
        tuple[MarketStatus, ...], Meta(max_length=FILTER_ITEMS_MAX, description="Market statuses, comma-separated.")
    ] = ()
    open: Annotated[bool | None, Meta(description="Only open markets, or only those that are not.")] = None
    min_rev: MinRev = None
    odds: Form = "decimal"


class HistoryQuery(NoQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `/v1/events/{event}/history` takes."""

    from_rev: Annotated[Rev, Meta(description="The first `rev` wanted.")] = 1
    market: Markets = ()
    line: Lines = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None
    odds: Form = "decimal"


class BadQueryError(Exception):
    """A query string asks for something that can't be; `code` is the problem's, the text says what is wrong."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


LISTS: Final = frozenset({"sport", "status", "competition", "market", "line", "provider"})
"""Parameters that take comma-separated lists, and may be repeated."""
INSTANTS: Final = frozenset({"from", "to", "at"})
"""Parameters that take a time."""
TEXTS: Final = frozenset({"q", "cursor"})
"""Parameters that take any text."""
INSTANT_DIGITS_MAX: Final = 15

_Q = TypeVar("_Q", bound=NoQuery)


def read_query(kind: type[_Q], pairs: Iterable[tuple[str, str]]) -> _Q:
    """Read the decoded pairs of a query string.

    An empty value is the same as none (but `line=` asks for markets without a line). Lists may be repeated and are
    joined. Raises BadQueryError `bad_parameter` for unknown or repeated parameters and values out of their range.
    """
    found: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in LISTS:
            if value.count(",") >= FILTER_ITEMS_MAX:
                raise BadQueryError("bad_parameter", f"`{name}` has more than {FILTER_ITEMS_MAX} items")
            lists.setdefault(name, []).extend(_items(name, value))
        elif name in found:
            raise BadQueryError("bad_parameter", f"`{name[:40]}` is given twice")
        else:
            if value.lower() == "null" and name not in TEXTS:
                raise BadQueryError("bad_parameter", f"`{name[:40]}` is null: leave it out instead")
            found[name] = instant(name, value) if name in INSTANTS and value else value
    known = kind_parameters(kind)
    present = {name: value for name, value in found.items() if value != "" or name not in known}
    present |= {name: tuple(items) for name, items in lists.items() if items or name not in known}
    try:
        return msgspec.convert(present, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadQueryError("bad_parameter", _plain(str(error))) from error


@lru_cache(maxsize=32)
def kind_parameters(kind: type[NoQuery]) -> frozenset[str]:
    """Return the names of the parameters that a kind of request takes."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


def _items(name: str, value: str) -> list[str]:
    items = [item for part in value.split(",") if (item := part.strip())]
    if name == "line":
        # a line may hold a comma itself, so the whole value is offered too
        return [value, *items] if len(items) != 1 or items[0] != value else items
    return items


def _plain(message: str) -> str:
    return message.replace("Object contains unknown field", "unknown parameter").replace(" - at `$.", " - at `")[:300]


_WHOLE: Final = re.compile(rf"-?[0-9]{{1,{INSTANT_DIGITS_MAX}}}", re.ASCII)
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+\- ])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def instant(name: str, value: str) -> int:
    """Read a time: ms since 1970 UTC, or RFC 3339 with an offset (fractions beyond ms are cut).

    A `+` that a client left unescaped arrives as a space and is taken for what it was. Raises BadQueryError.
    """
    if _WHOLE.fullmatch(value):
        return int(value)
    match = _RFC3339.fullmatch(value)
    if match is None:
        raise BadQueryError("bad_parameter", f"`{name}` is neither ms since 1970 nor RFC 3339 with an offset")
    year, month, day, hour, minute, second, fraction, sign, off_h, off_m = match.groups()
    try:
        offset = timedelta(hours=int(off_h or 0), minutes=int(off_m or 0))
        zone = timezone(-offset if sign == "-" else offset) if sign else UTC
        # a leap second is the first moment after the 59th
        leap = second == "60"
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute), 59 if leap else int(second), tzinfo=zone
        )
    except ValueError as error:
        raise BadQueryError("bad_parameter", f"`{name}` is no such time: {error}") from error
    whole_s = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    ms = 1_000 if leap else int(((fraction or "") + "000")[:3])
    return whole_s * 1_000 + ms
