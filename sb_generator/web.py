"""The generator's routes on port 4004: its state, and commands."""

import re
from collections.abc import Mapping
from typing import Final, cast
from xml.sax.saxutils import escape

import msgspec
from quart import Response, current_app, request
from quart_trio import QuartTrio

from sb_core.auth import KeyCheck
from sb_core.ops import Ops, OpsAnswer
from sb_core.web import make_app, problem, require, respond
from sb_generator.control import Command, Patch
from sb_generator.driver import RECOVERY_EVERY_S, Driver
from sb_generator.voice import LIVE, PRE_MATCH

NAME: Final = "feed-generator"
_DRIVER: Final = "SB_GENERATOR"
_PRODUCTS: Final[Mapping[str, str]] = {"liveodds": LIVE, "pre": PRE_MATCH}
"""As Sportradar names its producers 1 and 3 in paths."""
_REQUEST: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}", re.ASCII)
_TIME: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_COMMANDS: Final[tuple[Command, ...]] = ("start", "pause", "stop")

_patch: Final = msgspec.json.Decoder(Patch)


def make_generator_app(ops: Ops, keys: KeyCheck, driver: Driver) -> QuartTrio:
    """Make the application."""
    app = make_app(NAME, ops, keys)
    app.config[_DRIVER] = driver
    app.add_url_rule("/v1/state", "state", view_func=_state, methods=["GET"])
    app.add_url_rule("/v1/state", "patch", view_func=_patched, methods=["PATCH"])
    app.add_url_rule("/v1/<product>/recovery/initiate_request", "recovery", view_func=_recovery, methods=["POST"])
    for command in _COMMANDS:
        app.add_url_rule(f"/v1/{command}", command, view_func=_command, methods=["POST"])
    return app


def _driver() -> Driver:
    return cast("Driver", current_app.config[_DRIVER])


def _answer() -> Response:
    body = msgspec.json.encode(_driver().state())
    return respond(OpsAnswer(200, "application/json", body), {"cache-control": "no-store"})


@require("read", "operate")
async def _state() -> Response:
    return _answer()


@require("operate")
async def _recovery(product: str) -> Response:
    """Answer as the provider's REST interface does: what stands comes with the feed, then snapshot_complete."""
    request_id = request.args.get("request_id", "")
    after = request.args.get("after", "0")
    if product not in _PRODUCTS or not _REQUEST.fullmatch(request_id) or not _TIME.fullmatch(after):
        return _said(
            400,
            "BAD_REQUEST",
            f"products are {', '.join(_PRODUCTS)}; request_id is 1 to 64 of A-Z a-z 0-9 . _ -; after is ms",
        )
    waits_s = _driver().ask(request_id, (_PRODUCTS[product],), int(after))
    if waits_s is None:
        return _said(503, "SERVICE_UNAVAILABLE", "the simulator is not running")
    if waits_s > 0:
        return _said(429, "TOO_MANY_REQUESTS", f"one recovery in {RECOVERY_EVERY_S} s", {"retry-after": str(waits_s)})
    return _said(202, "ACCEPTED", f"request {request_id} of {product}")


def _said(status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> Response:
    body = f'<response response_code="{code}"><message>{escape(text)}</message></response>'
    return respond(OpsAnswer(status, "application/xml", body.encode()), headers or {})


@require("operate")
async def _command() -> Response:
    _driver().command(cast("Command", request.endpoint))
    return _answer()


@require("operate")
async def _patched() -> Response:
    body = await request.get_data(as_text=False)
    try:
        _driver().patch(_patch.decode(cast("bytes", body)))
    except msgspec.ValidationError as error:
        return problem(422, "schema", str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return problem(400, "malformed", str(error))
    except ValueError as error:
        return problem(422, "schema", str(error))
    return _answer()
