"""Capture lines: a document with when it came, whose it is and its routing key. Pure.

The rule: what is not changed is written as the capture wrote it; a body that is no UTF-8 stands as base64.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct


class _Line(Struct):
    t: int
    provider: str
    key: str | None = None
    body: str | dict[str, str] = ""


_line: Final = msgspec.json.Decoder(_Line)


def body_of(line: bytes) -> bytes:
    """Return the body of a capture line; the line itself where it is none."""
    try:
        body = _line.decode(line).body
        return body.encode() if isinstance(body, str) else b64decode(body.get("b64", ""))
    except (msgspec.MsgspecError, UnicodeError, ValueError):
        return line


def with_body(line: bytes, body: bytes, key: str | None, at: Callable[[int], int] | None = None) -> bytes:
    """Return a capture line with another body and key, come at another time; other bytes where it is none."""
    try:
        read = _line.decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return body
    said: object
    try:
        said = body.decode()
    except UnicodeDecodeError:
        said = {"b64": b64encode(body).decode()}
    t = read.t if at is None else at(read.t)
    return msgspec.json.encode({"t": t, "provider": read.provider, "key": key, "body": said})
