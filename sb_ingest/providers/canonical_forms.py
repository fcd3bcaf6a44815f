"""Forms in which canonical messages may come beside the one that the decoder takes.

The rule: what is read here means the same in the decoder's form, and nothing is guessed. null clears a field; where
a field can't be null, cleared is its default, or none. A status or a price that can't be null stays refused.
"""

from typing import Any, Final

import msgspec

_DEFAULT: Final = frozenset({"v", "id", "provider", "producer", "sport", "seq", "line", "complete", "subscribed"})
"""Fields that have a default: null is as if they were absent."""
_NONE: Final[dict[str, type[list[Any]] | type[dict[str, Any]]]] = {
    "competitors": list,
    "players": list,
    "periods": list,
    "details": dict,
    "info": dict,
}
"""Lists and objects: null is that there is none."""
_WITHIN: Final = ("markets", "outcomes", "competitors")
"""Lists of objects that may hold such fields."""
_SCORE: Final = frozenset({"home", "away", "period", "clock", "periods", "details"})


FORMS_BYTES_MAX: Final = 262_144
"""A larger message is taken in the decoder's form only: this reading makes objects of all that is in it."""


def cleared(text: bytes) -> bytes | None:
    """Write a message with null as the decoder knows it; None if it has no null that stands for something else."""
    if len(text) > FORMS_BYTES_MAX or b"null" not in text:
        return None
    message = _read(text)
    return msgspec.json.encode(message) if isinstance(message, dict) and _clear(message) else None


def unfolded(text: bytes) -> bytes | None:
    """Write a score message whose fields stand in an object `score`, as in an event, flat; None if it has no such object."""
    if len(text) > FORMS_BYTES_MAX:
        return None
    message = _read(text)
    score = message.get("score") if isinstance(message, dict) else None
    if not isinstance(score, dict):
        return None
    del message["score"]
    return msgspec.json.encode(message | {name: value for name, value in score.items() if name in _SCORE})


def _read(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError):
        return None


def _clear(fields: dict[str, Any]) -> bool:
    """Clear an object's nulls, and those of the objects in its lists; says whether there were any."""
    found = False
    for name in [name for name, value in fields.items() if value is None]:
        if name in _DEFAULT:
            del fields[name]
        elif name in _NONE:
            fields[name] = _NONE[name]()
        else:
            continue
        found = True
    for name in _WITHIN:
        inner = fields.get(name)
        for each in inner if isinstance(inner, list) else ():
            found = (_clear(each) if isinstance(each, dict) else False) or found
    return found
