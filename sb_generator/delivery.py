"""Sending one body until its fate is known: again with the same bytes where that is right, and not for ever.

The rule: what was not taken in (429, 503, no connection), and what may have been (no answer), is sent again, unchanged,
so that ingest recognises it; what was answered is never sent again.
"""

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

import anyio
from msgspec import Struct

ATTEMPTS_MAX: Final = 12
WAIT_FIRST_S: Final = 0.1
WAIT_MAX_S: Final = 5.0
RETRY_AFTER_MAX_S: Final = 30.0
NO_ANSWER: Final = 0
"""Status of an answer that never came."""
_AGAIN: Final = frozenset({NO_ANSWER, 408, 409, 425, 429, 502, 503, 504})
"""409 is `session_busy`: an earlier attempt is still at work."""
_REFUSED: Final = frozenset({400, 413})
_REFUSAL_CODES: Final = frozenset({"malformed", "too_deep", "doctype", "too_large"})


class Answer(Struct, frozen=True, kw_only=True):
    """What ingest answered. `refused` counts by code; `code` and `detail` are of a problem; `status` 0: no answer.

    `refused_at` says by document of which something was refused whether that was all of it.
    """

    status: int
    accepted: int = 0
    refused: Mapping[str, int] = {}
    refused_at: Mapping[int, bool] = {}
    code: str = ""
    detail: str = ""
    retry_after_s: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether ingest judged the documents, accepting or refusing them."""
        return self.status in {202, 422} or (self.status in _REFUSED and self.code in _REFUSAL_CODES)


class Send(Protocol):
    """Posts a body once, to a provider's feed, and returns whatever comes of it; HttpSender.post is one."""

    def __call__(self, provider: str, body: bytes, content_type: str, query: Mapping[str, str], /) -> Awaitable[Answer]:
        """Post once."""
        ...


class Delivered(Struct, frozen=True):
    """The last answer, and how many times the body was sent again."""

    answer: Answer
    retried: int


async def deliver(
    send: Send,
    provider: str,
    body: bytes,
    content_type: str,
    query: Mapping[str, str],
    attempts_max: int = ATTEMPTS_MAX,
) -> Delivered:
    """Send a body until it is answered for good, at most `attempts_max` times."""
    wait_s = WAIT_FIRST_S
    for attempt in range(attempts_max):
        answer = await send(provider, body, content_type, query)
        if answer.status not in _AGAIN or attempt == attempts_max - 1:
            return Delivered(answer, attempt)
        told_s = answer.retry_after_s or 0.0
        await anyio.sleep(max(wait_s, min(told_s, RETRY_AFTER_MAX_S)))
        wait_s = min(wait_s * 2, WAIT_MAX_S)
    raise ValueError("attempts_max is below 1")
