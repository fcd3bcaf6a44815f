"""Dead letters: what was refused, with its original bytes and everything needed to find, understand and replay it.

The rule: every refusal has a code and keeps its bytes (cut at a named limit, with the true length and digest beside).
"""

from hashlib import sha256

from sb_core import topics
from sb_core.records import Record

MESSAGE_CHARS_MAX = 500
"""How much of the explanation goes into a header."""


def record(  # noqa: PLR0913  # a dead letter is all that is known of it, by name
    *,
    code: str,
    message: str,
    stage: str,
    provider: str,
    source: str,
    raw: bytes,
    received: int,
    now: int,
    trace: str = "",
    attempts: int = 1,
    bytes_max: int = 262_144,
) -> Record:
    """Make the record of one dead letter. `source` is "topic/partition/offset" or names the request; times in ms."""
    headers = {
        "sb-code": code,
        "sb-message": message[:MESSAGE_CHARS_MAX],
        "sb-stage": stage,
        "sb-provider": provider,
        "sb-source": source,
        "sb-received": str(received),
        "sb-trace": trace,
        "sb-attempts": str(attempts),
        "sb-length": str(len(raw)),
        "sb-sha256": sha256(raw).hexdigest(),
    }
    return Record(
        topic=topics.DEAD_LETTER,
        key=source,
        value=raw[:bytes_max],
        ts=now,
        headers=tuple((name, value.encode("utf-8", "replace")) for name, value in headers.items()),
    )
