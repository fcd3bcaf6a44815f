"""Canonical messages as bytes: one JSON object a line, as `messages.encode` writes them.

The rule: the bytes are those of `messages.encode`; what of them was written before is only copied. Most messages are odds
of markets that come again and again, so their JSON is kept with them.
"""

from collections.abc import Iterable
from typing import Final

from sb_core import messages
from sb_core.messages import AnyMessage, MarketOdds, Odds, encoder
from sb_generator.kept import Kept
from sb_generator.schedule import Planned

CONTENT_TYPE: Final = "application/x-ndjson"
FRAGMENTS_MAX: Final = 131_072
_fragments: Final[Kept[MarketOdds, bytes]] = Kept(encoder.encode, FRAGMENTS_MAX)


def encoded(message: AnyMessage) -> bytes:
    """Write a message; odds from what their markets were written as before."""
    if message.__class__ is not Odds or message.request is not None or len(message.markets) > MARKETS_KEPT_MAX:
        return messages.encode(message)
    held, keep = _fragments.held.get, _fragments.keep
    return _HEAD % (
        b",".join([(held(id(each)) or keep(each))[1] for each in message.markets]),
        message.ts,
        message.provider.encode(),
        message.producer.encode(),
        message.event.encode(),
        message.sport.encode(),
    )


MARKETS_KEPT_MAX: Final = 24
"""Larger messages say a whole book again; keeping each of its markets would push out what recurs."""
_HEAD: Final = b'{"type":"odds","markets":[%b],"ts":%d,"provider":"%b","producer":"%b","event":"%b","sport":"%b"}'


def planned(said: Iterable[AnyMessage], from_ms: int) -> list[Planned]:
    """Encode messages with the times at which they are planned to go: their `ts`, but not before `from_ms`."""
    return [Planned(encoded(each), max(each.ts, from_ms)) for each in said]


def joined(batch: Iterable[Planned]) -> bytes:
    """Return the body of a request."""
    return b"\n".join(each.data for each in batch)
