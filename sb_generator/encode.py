"""Canonical messages as bytes: one JSON object a line."""

from collections.abc import Iterable
from typing import Final

from sb_core.messages import AnyMessage, encode
from sb_generator.schedule import Planned

CONTENT_TYPE: Final = "application/x-ndjson"


def planned(messages: Iterable[AnyMessage], from_ms: int) -> list[Planned]:
    """Encode messages with the times at which they are planned to go: their `ts`, but not before `from_ms`."""
    return [Planned(encode(each), max(each.ts, from_ms)) for each in messages]


def joined(batch: Iterable[Planned]) -> bytes:
    """Return the body of a request."""
    return b"\n".join(each.data for each in batch)
