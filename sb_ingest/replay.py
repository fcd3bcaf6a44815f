"""Replay of dead letters: each goes through its provider's normaliser again, alone, and is received anew.

The rule: what a processor refused is a canonical message already; a dead letter whose bytes were cut can't be replayed.
"""

from typing import Final

import msgspec
from msgspec import Struct

from sb_core import sports, topics
from sb_core.messages import AnyMessage, decode
from sb_core.records import Fetched
from sb_ingest.answers import IntakeRequest
from sb_ingest.assembly import STAGE, Refused
from sb_ingest.deadletters import DeadLetter, DeadLetters, read_letter
from sb_ingest.documents import sniff
from sb_ingest.intake import Intake
from sb_ingest.limits import Limits

_CANONICAL: Final = "canonical"
_TOPICS: Final = frozenset({topics.ALIVE, *(topics.feed(name) for name in sports.names())})


class Replayed(Struct, frozen=True, kw_only=True):
    """What became of one dead letter. `result`: accepted, refused, partly, nothing, not_found, cut, unavailable.

    `messages` are given by a dry run only; `trace` finds the replayed messages in all services' logs.
    """

    id: str
    result: str
    accepted: int = 0
    refused: list[Refused] = []
    trace: str | None = None
    messages: list[AnyMessage] | None = None


class _Answer(Struct):
    accepted: int = 0
    refused: list[Refused] = []


_answer: Final = msgspec.json.Decoder(_Answer)


async def replay(intake: Intake, letters: DeadLetters, letter_id: str, limits: Limits, *, dry_run: bool) -> Replayed:
    """Replay one dead letter, or say what would become of it. Raises DependencyError when it can't be read."""
    record = await letters.find(letter_id)
    if record is None:
        return Replayed(id=letter_id, result="not_found")
    letter = read_letter(record, whole=True)
    if letter.cut:
        return Replayed(id=letter_id, result="cut")
    request = _request(letter, record, limits)
    if dry_run:
        assembly = await intake.trial(request)
        if assembly is None:
            return Replayed(id=letter_id, result="unavailable")
        messages = [decode(each.value or b"") for each in assembly.records if each.topic in _TOPICS]
        result = _result(assembly.accepted, len(assembly.refused))
        return Replayed(
            id=letter_id, result=result, accepted=assembly.accepted, refused=assembly.refused, messages=messages
        )
    answer = await intake.accept(request)
    if answer.status not in {202, 400, 422}:
        return Replayed(id=letter_id, result="unavailable")
    told = _answer.decode(answer.body)
    return Replayed(
        id=letter_id,
        result=_result(told.accepted, len(told.refused)),
        accepted=told.accepted,
        refused=told.refused,
        trace=answer.headers.get("sb-trace"),
    )


def _result(accepted: int, refused: int) -> str:
    if accepted and refused:
        return "partly"
    if refused:
        return "refused"
    return "accepted" if accepted else "nothing"


def _request(letter: DeadLetter, record: Fetched, limits: Limits) -> IntakeRequest:
    body = record.value or b""
    at_ingest = letter.stage == STAGE
    return IntakeRequest(
        provider=letter.provider if at_ingest else _CANONICAL,
        body=body,
        sport=letter.sport,
        key=letter.key,
        only=(letter.market, letter.line or "") if at_ingest and letter.market is not None else None,
        documents=tuple(sniff(body, letter.key, limits)),
    )
