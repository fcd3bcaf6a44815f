"""Ingest's routes on port 4000, over the intake that knows no HTTP."""

import re
from typing import Final, cast

import msgspec
from quart import Response, current_app, request
from quart_trio import QuartTrio

from sb_core.auth import KeyCheck
from sb_core.ops import Ops
from sb_core.web import make_app, problem, require
from sb_ingest import deadletters
from sb_ingest.answers import IntakeRequest
from sb_ingest.capture import Captures, TooManyListenersError
from sb_ingest.deadletters import DeadLetters
from sb_ingest.intake import Intake
from sb_ingest.limits import Limits
from sb_ingest.replay import Replayed, replay

SERVICE: Final = "feed-ingestion"
_PARTS: Final = "SB_INGEST"
_SESSION: Final = re.compile(r"[A-Za-z0-9._:\-]{1,100}", re.ASCII)
_KEY_CHARS_MAX: Final = 300
_FLAGS: Final = {"1": True, "true": True, "0": False, "false": False, "": False}


class Parts:
    """What the routes work with."""

    def __init__(self, intake: Intake, captures: Captures, letters: DeadLetters, limits: Limits) -> None:
        self.intake = intake
        self.captures = captures
        self.letters = letters
        self.limits = limits


def make_ingest_app(ops: Ops, keys: KeyCheck, parts: Parts) -> QuartTrio:
    """Make the application."""
    app = make_app(SERVICE, ops, keys)
    app.config[_PARTS] = parts
    app.add_url_rule("/v1/feeds/<provider>", view_func=_feed, methods=["POST"])
    app.add_url_rule("/v1/capture", view_func=_capture)
    app.add_url_rule("/v1/deadletters", view_func=_letters)
    app.add_url_rule("/v1/deadletters/<letter_id>", view_func=_letter)
    app.add_url_rule("/v1/deadletters/replay", view_func=_replay, methods=["POST"])
    return app


def _parts() -> Parts:
    parts: Parts = current_app.config[_PARTS]
    return parts


@require(lambda provider: f"feed:{provider}")
async def _feed(provider: str) -> Response:
    arguments = request.args
    session = arguments.get("session") or None
    key = arguments.get("key") or None
    recorded = _FLAGS.get(arguments.get("recorded", "").lower())
    if session is not None and not _SESSION.fullmatch(session):
        return problem(400, "bad_parameter", "session is 1 to 100 of A-Z a-z 0-9 . _ : -")
    if key is not None and len(key) > _KEY_CHARS_MAX:
        return problem(400, "bad_parameter", f"key is longer than {_KEY_CHARS_MAX} characters")
    begins = _FLAGS.get(arguments.get("begin", "").lower())
    if recorded is None or begins is None:
        return problem(400, "bad_parameter", "recorded and begin are 0 or 1")
    answer = await _parts().intake.accept(
        IntakeRequest(
            provider=provider,
            body=await _bytes(),
            content_type=request.headers.get("content-type", ""),
            content_encoding=request.headers.get("content-encoding", ""),
            sport=arguments.get("sport") or None,
            key=key,
            session=session,
            recorded=recorded,
            begins=begins,
        )
    )
    response = Response(answer.body, status=answer.status, content_type=answer.content_type)
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response


@require("read", "operate")
async def _capture() -> Response:
    captures = _parts().captures
    provider = request.args.get("provider") or None
    if provider is not None and provider not in _parts().intake.providers:
        return problem(404, "unknown_provider", f"known are {', '.join(_parts().intake.providers)}")
    try:
        listener = captures.open(provider)
    except TooManyListenersError:
        return problem(429, "too_many_requests", "too many listen already", headers={"retry-after": "10"})
    return Response(captures.lines(listener), content_type="application/x-ndjson")


@require("read", "operate")
async def _letters() -> Response:
    codes = frozenset(code for code in request.args.get("code", "").split(",") if code)
    limit, cursor = request.args.get("limit", "100"), request.args.get("cursor", "0")
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= deadletters.LIMIT_MAX:
        return problem(400, "bad_parameter", f"limit is 1 to {deadletters.LIMIT_MAX}")
    if not cursor.isdecimal() or len(cursor) > 18:
        return problem(400, "bad_cursor", "cursor is what `next` of another page said")
    page = await _parts().letters.page(codes=codes, limit=int(limit), cursor=int(cursor))
    return _json(page)


@require("read", "operate")
async def _letter(letter_id: str) -> Response:
    record = await _parts().letters.find(letter_id)
    if record is None:
        return problem(404, "not_found", "there is no such dead letter")
    return _json(deadletters.read_letter(record, whole=True))


@require("operate")
async def _replay() -> Response:
    try:
        asked = deadletters.replay_request.decode(await _bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return problem(400, "malformed", f'send {{"ids":[…],"dry_run":false}}: {error}'[:300])
    if len(asked.ids) > deadletters.REPLAY_MAX:
        return problem(400, "bad_parameter", f"more than {deadletters.REPLAY_MAX} ids")
    parts = _parts()
    items: list[Replayed] = [
        await replay(parts.intake, parts.letters, each, parts.limits, dry_run=asked.dry_run) for each in asked.ids
    ]
    return _json({"dry_run": asked.dry_run, "items": items})


async def _bytes() -> bytes:
    return cast(bytes, await request.get_data(cache=False, as_text=False))


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
