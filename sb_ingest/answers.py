"""Requests and answers of the intake, in HTTP's terms but without HTTP.

The rule: 202 also when some pieces are refused, 422 when all are, 400 when a body of one document can't be decoded at
all; a problem that is about the body's content says the refused pieces too.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from sb_core.ops import problem_answer
from sb_ingest.assembly import Assembly, Refused
from sb_ingest.documents import Body, Document

UNDECODABLE: Final = frozenset({"malformed", "too_deep", "doctype"})
"""Codes that make a body of one document a 400."""
RETRY_AFTER_S: Final = 1
_RETRIED: Final = frozenset({409, 429, 503})


class IntakeRequest(Struct, frozen=True, kw_only=True):
    """What `POST /v1/feeds/{provider}` says. `recorded`: a session that neither silence nor a restart ends.

    A session's name is its producer's, except of recorded ones, whose producer is "0"; `begins` a recorded one anew, with
    nothing known of the recording that was played under its name before. `only` is for replays of dead
    letters: the (market, line) to take.
    """

    provider: str
    body: bytes
    content_type: str = "application/json"
    content_encoding: str = ""
    sport: str | None = None
    key: str | None = None
    session: str | None = None
    recorded: bool = False
    begins: bool = False
    only: tuple[str, str] | None = None
    documents: tuple[Document, ...] | None = None
    """Already cut (replays); `body` is then what capture shows, if anything."""


class IntakeAnswer(Struct, frozen=True):
    """The answer in HTTP's terms; `body` is JSON."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class _Answer(Struct):
    accepted: int
    refused: list[Refused]


_encoder: Final = msgspec.json.Encoder()


def answered(assembly: Assembly, body: Body) -> IntakeAnswer:
    """Answer a request whose append is acknowledged."""
    refused = assembly.refused
    if body.alone and refused and refused[0].code in UNDECODABLE and not assembly.accepted:
        return refused_problem(refused[0].code, refused[0].message, assembly)
    nothing = refused and not assembly.accepted and not assembly.ignored
    told = _encoder.encode(_Answer(assembly.accepted, refused))
    return IntakeAnswer(422 if nothing else 202, told, headers=_traced(assembly))


class Failure(Struct, frozen=True):
    """Why a request got no further; `unknown`: it may be in the log all the same."""

    answer: IntakeAnswer
    unknown: bool


def problem(provider: str, status: int, code: str, detail: str) -> IntakeAnswer:
    """Make a problem+json about a provider's feed."""
    made = problem_answer(status, code, detail, _instance(provider))
    headers = {"retry-after": str(RETRY_AFTER_S)} if status in _RETRIED else {}
    return IntakeAnswer(status, made.body, made.content_type, headers)


def refused_problem(code: str, detail: str, assembly: Assembly) -> IntakeAnswer:
    """Answer 400, with what an answer of 422 would say beside the problem's own members."""
    made = problem_answer(400, code, detail, _instance(assembly.terms.provider))
    body = {**msgspec.json.decode(made.body), "accepted": 0, "refused": assembly.refused}
    return IntakeAnswer(400, msgspec.json.encode(body), made.content_type, _traced(assembly))


def _traced(assembly: Assembly) -> dict[str, str]:
    return {"sb-trace": assembly.terms.trace}


def _instance(provider: str) -> str:
    return f"/v1/feeds/{provider[:100]}"
