"""Cursors of lists: where the next page begins, opaque to clients.

The rule: a cursor names the last item given by the list's own order, never a count of items, so pages neither skip nor
repeat what stays put while other items come and go. It is checked on its way in like any other input.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from sb_distribute.rest_queries import BadQueryError

CURSOR_CHARS_MAX: Final = 2_000

Exact: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""Whole numbers that any store can take."""


class EventsAfter(Struct, frozen=True, array_like=True, tag="e", forbid_unknown_fields=True):
    """After this event in the order of `/v1/events`; `start` is -1 where unknown."""

    start: Exact
    event: str


class NamedAfter(Struct, frozen=True, array_like=True, tag="n", forbid_unknown_fields=True):
    """After this id in lists ordered by id."""

    id: str


class KeyAfter(Struct, frozen=True, array_like=True, tag="k", forbid_unknown_fields=True):
    """After this pair in lists that are held whole: (market, line), (provider, producer), (sport, market)."""

    first: str
    second: str


class HistoryFrom(Struct, frozen=True, array_like=True, tag="h", forbid_unknown_fields=True):
    """From this `rev` on, inclusive."""

    rev: Exact


_C = TypeVar("_C", EventsAfter, NamedAfter, KeyAfter, HistoryFrom)
_T = TypeVar("_T")


def write_cursor(after: EventsAfter | NamedAfter | KeyAfter | HistoryFrom) -> str:
    """Write a cursor for `next`."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(after)).decode().rstrip("=")


def read_cursor(kind: type[_C], text: str | None) -> _C | None:
    """Read a cursor back; None stays None. Raises BadQueryError `bad_cursor` for anything this list did not write."""
    if text is None:
        return None
    try:
        if len(text) > CURSOR_CHARS_MAX:
            raise ValueError("too long")
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(packed, type=kind)
    # msgspec lets UnicodeDecodeError (a ValueError) through for text that isn't UTF-8
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError) as error:
        raise BadQueryError("bad_cursor", "`cursor` is not one that this list has given") from error


def page_of(
    items: Sequence[_T], key: Callable[[_T], tuple[str, str]], limit: int | None, cursor: str | None
) -> tuple[Sequence[_T], str | None]:
    """Cut a page out of a list that is held whole and is ordered by `key`; return it and its `next`."""
    after = read_cursor(KeyAfter, cursor)
    if after is not None:
        passed = after.first, after.second
        items = [item for item in items if key(item) > passed]
    if limit is None or len(items) <= limit:
        return items, None
    page = items[:limit]
    return page, write_cursor(KeyAfter(*key(page[-1])))
