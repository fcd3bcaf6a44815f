"""Ids, names, times and extras of a message: what each may look like.

The rule: an id is kept as it is or refused; a name is cleaned; nothing is longer than its limit.
"""

import re
from functools import lru_cache
from typing import Final

from sb_core.errors import FeedError
from sb_core.messages import Info

ID_CHARS_MAX: Final = 200
MARKET_CHARS_MAX: Final = 100
NAME_CHARS_MAX: Final = 1_000
INFO_KEY_CHARS_MAX: Final = 100
INFO_VALUE_CHARS_MAX: Final = 1_000
INTEGER_MAX: Final = 2**63 - 1
"""What stores and msgpack hold."""
TS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999 in ms."""

_PREFIXED: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}:\S.*", re.ASCII)
_PROVIDER: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_SPACING: Final = re.compile(r"[\t\n\v\f\r\x85]+")
_CONTROLS: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@lru_cache(maxsize=4_096)
def _is_key(text: str) -> bool:
    return is_id(text)


def is_id(text: str) -> bool:
    """Say whether a text can be an id: printable, no space at its ends, not empty, not too long."""
    return 0 < len(text) <= ID_CHARS_MAX and text.isprintable() and text == text.strip()


@lru_cache(maxsize=65_536)
def _is_prefixed(text: str) -> bool:
    return is_id(text) and _PREFIXED.fullmatch(text) is not None


def is_prefixed(text: str, chars_max: int = ID_CHARS_MAX) -> bool:
    """Say whether a text is `<provider>:<their id>`."""
    return len(text) <= chars_max and _is_prefixed(text)


def is_provider(text: str) -> bool:
    """Say whether a text can be a provider's name, the part of ids before the colon."""
    return len(text) <= ID_CHARS_MAX and _PROVIDER.fullmatch(text) is not None


def want_id(text: str, what: str) -> None:
    """Raise FeedError `bad_id` unless the text can be an id."""
    if not is_id(text):
        raise FeedError("bad_id", f"{what} {text[:40]!r} is no id")


def clean_name(text: str) -> str:
    """Return a text for people without control characters; the same object when there are none.

    Spacing controls become a space; escape sequences, C0, C1 and lone surrogates go. Raises FeedError `too_large`.
    """
    if len(text) > NAME_CHARS_MAX:
        raise FeedError("too_large", f"a name of {len(text)} characters is longer than {NAME_CHARS_MAX}")
    if text.isprintable():
        return text
    spaced = _SPACING.sub(" ", text)
    return _CONTROLS.sub("", spaced)


def want_time(value: int, what: str) -> None:
    """Raise FeedError `bad_time` unless the value is in ms from 1970 to 9999."""
    if not 0 <= value <= TS_MAX:
        raise FeedError("bad_time", f"{what} {_brief(value)} is no time in ms since 1970")


def want_integer(value: int, what: str) -> None:
    """Raise FeedError `too_large` unless the value fits into 64 bits and is not negative."""
    if not 0 <= value <= INTEGER_MAX:
        raise FeedError("too_large", f"{what} {_brief(value)} is out of range")


def want_info(info: Info, keys_max: int) -> None:
    """Raise FeedError unless extras are few, short, and named by printable keys."""
    if len(info) > keys_max:
        raise FeedError("too_large", f"info has {len(info)} keys, more than {keys_max}")
    for key, value in info.items():
        if len(key) > INFO_KEY_CHARS_MAX or not _is_key(key):
            raise FeedError("bad_id", f"{key[:40]!r} is no name in info")
        if isinstance(value, str):
            if len(value) > INFO_VALUE_CHARS_MAX:
                raise FeedError("too_large", f"info {key} has {len(value)} characters")
            if not value.isprintable() and _CONTROLS.search(value):
                raise FeedError("bad_id", f"info {key} has control characters")
        elif isinstance(value, int) and not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise FeedError("too_large", f"info {key} is out of range")


def _brief(value: int) -> str:
    # the digits of a huge integer are costly to write, and nobody reads them
    return str(value) if -INTEGER_MAX <= value <= INTEGER_MAX else f"of {value.bit_length()} bits"
