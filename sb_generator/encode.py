"""Canonical messages as bytes: one JSON object a line."""

from collections.abc import Iterable
from typing import Final

from sb_core.messages import AnyMessage, encode
from sb_generator.schedule import Planned

CONTENT_TYPE: Final = "application/x-ndjson"


def planned(messages: Iterable[AnyMessage]) -> list[Planned]:
    """Encode messages with the times at which they are planned to go, their `ts`."""
    return [Planned(encode(each), each.ts) for each in messages]


def joined(batch: Iterable[Planned]) -> bytes:
    """Return the body of a request."""
    return b"\n".join(each.data for each in batch)
