"""The generator's routes on port 4004: its state, and commands."""

from typing import Final, cast

import msgspec
from quart import Response, current_app, request
from quart_trio import QuartTrio

from sb_core.auth import KeyCheck
from sb_core.ops import Ops, OpsAnswer
from sb_core.web import make_app, problem, require, respond
from sb_generator.control import Command, Patch
from sb_generator.driver import Driver

NAME: Final = "feed-generator"
_DRIVER: Final = "SB_GENERATOR"
_COMMANDS: Final[tuple[Command, ...]] = ("start", "pause", "stop")

_patch: Final = msgspec.json.Decoder(Patch)


def make_generator_app(ops: Ops, keys: KeyCheck, driver: Driver) -> QuartTrio:
    """Make the application."""
    app = make_app(NAME, ops, keys)
    app.config[_DRIVER] = driver
    app.add_url_rule("/v1/state", "state", view_func=_state, methods=["GET"])
    app.add_url_rule("/v1/state", "patch", view_func=_patched, methods=["PATCH"])
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
