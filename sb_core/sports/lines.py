"""Lines: the specifiers that tell one market from another of the same name, written in one way only.

A line is `name=value` pairs sorted by name and joined with `|`; in values `%`, `|` and `=` are percent-escaped and
numbers stand in shortest decimal. The rule: equal specifiers give equal lines, and different ones different lines.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from sb_core.decimals import shortest
from sb_core.errors import FeedError

LINE_CHARS_MAX: Final = 200
ORDINAL_MAX: Final = 999
"""Highest number of a set, game, quarter, goal …"""

Kind: TypeAlias = Literal["signed", "unsigned", "ordinal", "score", "text"]
"""What a specifier's value is: -0.5, 2.5, 3, 0:1, or anything."""

KINDS: Final[dict[str, Kind]] = {
    "hcp": "signed",
    "total": "unsigned",
    "half": "ordinal",
    "quarter": "ordinal",
    "period": "ordinal",
    "set": "ordinal",
    "game": "ordinal",
    "point": "ordinal",
    "points": "ordinal",
    "goalnr": "ordinal",
    "cornernr": "ordinal",
    "score": "score",
    "player": "text",
    "id": "text",
}
"""What the specifiers of canonical markets are, where the market does not say otherwise."""

_TEXT_NAMES: Final = frozenset({"id", "variant", "version", "player", "competitor", "server", "maxovers"})
"""Specifiers whose values are never numbers, whatever they look like: a Betfair id is "1.242971310"."""
_ESCAPES: Final = {"%": "%25", "|": "%7C", "=": "%3D"}
_UNESCAPES: Final = {escape: char for char, escape in _ESCAPES.items()}
_ESCAPED: Final = re.compile(r"[%|=]")
_ESCAPE: Final = re.compile(r"%(?:25|7C|3D)?", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,100}", re.ASCII)
_ORDINAL: Final = re.compile(r"0*[1-9][0-9]{0,2}", re.ASCII)
_SCORE: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,3})", re.ASCII)


def make_line(specifiers: Mapping[str, str]) -> str:
    """Write specifiers as a line; none give "". Raises FeedError `bad_id` for what no line can hold."""
    line = "|".join(f"{name}={_written(name, specifiers[name])}" for name in sorted(specifiers))
    if len(line) > LINE_CHARS_MAX:
        raise FeedError("bad_id", f"a line of {len(line)} characters is longer than {LINE_CHARS_MAX}")
    return line


def parse_line(text: str) -> dict[str, str]:
    """Read a line into specifiers, unescaped, in the line's order; "" gives none.

    Order, long numbers, lower-case escapes and a raw `=` in a value are forgiven, because their meaning is certain.
    Raises FeedError `bad_id` for anything else that `make_line` would not have written.
    """
    if len(text) > LINE_CHARS_MAX:
        raise FeedError("bad_id", f"a line of {len(text)} characters is longer than {LINE_CHARS_MAX}")
    specifiers: dict[str, str] = {}
    for part in text.split("|") if text else ():
        name, equals, value = part.partition("=")
        if not equals or name in specifiers:
            raise FeedError("bad_id", f"line {text!r} is not name=value joined with |")
        specifiers[name] = _ESCAPE.sub(_unescape, value)
        _written(name, specifiers[name])
    return specifiers


@lru_cache(maxsize=65_536)
def canonical_line(text: str) -> str:
    """Write a line as `make_line` would. Raises FeedError `bad_id` where what it means is not certain."""
    return make_line(parse_line(text))


@lru_cache(maxsize=65_536)
def line_for(text: str, names: tuple[str, ...], kinds: tuple[Kind, ...]) -> str:
    """Return the canonical form of a canonical market's line, which has exactly these specifiers of these kinds.

    A line of `id` alone stands where a source's line could not be derived. Raises FeedError `bad_id`.
    """
    specifiers = parse_line(text)
    if tuple(specifiers) == ("id",):
        return make_line(specifiers)
    if tuple(sorted(specifiers)) != names:
        raise FeedError("bad_id", f"line {text!r} does not have the specifiers {'|'.join(names) or 'none'}")
    return "|".join(f"{name}={_of_kind(kind, specifiers[name], name)}" for name, kind in zip(names, kinds, strict=True))


def _of_kind(kind: Kind, value: str, name: str) -> str:
    written: str | None
    match kind:
        case "signed":
            written = shortest(value)
        case "unsigned":
            written = shortest(value)
            written = None if written is None or written.startswith("-") else written
        case "ordinal":
            written = value.lstrip("0") if _ORDINAL.fullmatch(value) else None
        case "score":
            score = _SCORE.fullmatch(value)
            written = f"{int(score[1])}:{int(score[2])}" if score else None
        case "text":
            written = _written(name, value)
    if written is None:
        raise FeedError("bad_id", f"{name}={value[:40]} is no {kind} value")
    return written


def _written(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise FeedError("bad_id", f"{name[:40]!r} is no specifier's name")
    if not value or not value.isprintable() or value != value.strip():
        raise FeedError("bad_id", f"{value[:40]!r} is no value of specifier {name}")
    if name not in _TEXT_NAMES:
        value = shortest(value) or value
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], value)


def _unescape(match: re.Match[str]) -> str:
    char = _UNESCAPES.get(match[0].upper())
    if char is None:
        raise FeedError("bad_id", "a % in a line stands for itself only as %25")
    return char
