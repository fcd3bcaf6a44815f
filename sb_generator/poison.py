"""Poison: documents that no reader should survive reading carelessly, in each provider's format. Pure.

The rule: every one of them is one line, must be refused (or do nothing), and names no event that anybody has.
"""

from collections.abc import Callable
from typing import Final

from sb_generator.chance import Chance

DEPTH: Final = 10_000
DIGITS: Final = 5_000
_EVENT: Final = "poison:1"


def _odds(price: str, ts: int) -> str:
    return (
        f'{{"type":"odds","ts":{ts},"event":"{_EVENT}","sport":"football","markets":'
        f'[{{"market":"1x2","outcomes":[{{"id":"home","odds":{price}}}]}}]}}'
    )


_JSON: Final[tuple[Callable[[int], bytes], ...]] = (
    lambda _: b"[" * DEPTH,
    lambda _: b'{"type":"odds","markets":' + b'[{"a":' * DEPTH,
    lambda _: b'{"type":"\xff\xfe","ts":1}',
    lambda _: b'{"type":"producer","ts":1,"state":"up","gen":1,"since":1}',
    lambda _: b'{"type":"tick","ts":1}',
    lambda _: b'{"type":"odds","ts":' + b"9" * DIGITS + b',"event":"poison:1","markets":[]}',
    lambda _: b'{"op":"mcm","pt":' + b"9" * DIGITS + b',"mc":[{"id":"1.1"}]}',
    lambda ts: _odds('"NaN"', ts).encode(),
    lambda ts: _odds('"1e999999999"', ts).encode(),
    lambda ts: _odds("1.5", ts).encode(),
    lambda ts: _odds('"0.00"', ts).encode(),
    lambda _: b'{"type":"odds","ts":-1,"event":"\\u0000","markets":[]}',
    lambda _: b"null",
    lambda _: b"\x00\x01\x02",
)
_XML: Final[tuple[Callable[[int], bytes], ...]] = (
    lambda _: b'<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;&b;&b;">]><odds_change>&c;</odds_change>',
    lambda _: b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><alive product="1" timestamp="1"/>',
    lambda _: b"<a>" * DEPTH,
    lambda _: b"<odds_change" + b' a="1"' * 3 + b"/>",
    lambda _: b'<odds_change product="1" event_id="sr:match:1" timestamp="' + b"9" * DIGITS + b'"/>',
    lambda _: b'<odds_change product="1" event_id="\xff" timestamp="1"/>',
    lambda _: b"\x00<alive/>",
)


def poison(provider: str | None, ts: int, chance: Chance) -> bytes:
    """Return a poisonous document; `ts` is a time in ms that is no fault in itself."""
    return chance.one(_XML if provider == "uof" else _JSON)(ts)
