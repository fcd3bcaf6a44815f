"""Refusals as the assembly makes them: of a document, of a message, of one market.

The rule: a refusal names what it was about as far as that is known, so that it can be closed.
"""

from sb_core.errors import FeedError
from sb_core.messages import AnyMessage
from sb_core.sports import Problem
from sb_ingest.providers import Normalised, Refusal


def display(market: str | None, line: str | None) -> str | None:
    """Write a market's name as an answer's `refused` shows it."""
    return f"{market}|{line}" if market is not None and line else market


def unusable(error: FeedError, raw: bytes, session: object, producer: str) -> Normalised:
    """Refuse a document of which nothing can be used."""
    market, _, line = (error.market or "").partition("|")
    refusal = Refusal(
        code=error.code,
        message=error.message,
        raw=raw,
        event=error.event,
        market=market or None,
        line=line if market else None,
        producer=producer,
    )
    return Normalised(refusals=(refusal,), session=session)


def of_message(error: FeedError, message: AnyMessage, raw: bytes) -> Refusal:
    """Refuse a whole message."""
    return Refusal(
        code=error.code,
        message=error.message,
        raw=raw,
        event=message.event or None,
        sport=message.sport or None,
        ts=None if error.code == "bad_time" else message.ts,
        provider=message.provider,
        producer=message.producer,
    )


def of_problem(problem: Problem, message: AnyMessage, raw: bytes) -> Refusal:
    """Refuse what a check found: a market of a message, or all of it."""
    return Refusal(
        code=problem.code,
        message=problem.message,
        raw=raw,
        event=message.event or None,
        sport=message.sport or None,
        market=problem.market,
        line=problem.line,
        ts=message.ts,
        provider=message.provider,
        producer=message.producer,
    )
