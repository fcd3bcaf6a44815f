"""HTTP applications: QuartTrio whose every error is problem+json and whose operational routes are those of every service.

The rules: `/health` and `/ready` are open, everything else asks for a key when keys are set; no error leaves as HTML,
and none says more about our inside than a code. `serve_http` serves such an application.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, ParamSpec, TypeVar

import anyio
from anyio.abc import TaskStatus
from quart import Response, current_app, has_request_context, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from sb_core import serving
from sb_core.auth import KeyCheck, bearer
from sb_core.errors import DependencyError, FeedError, UnknownOutcomeError
from sb_core.ops import OPEN_PATHS, PATHS, Ops, OpsAnswer, problem_answer
from sb_core.serving import HttpLimits, http_limits
from sb_core.telemetry import Telemetry, error_fields

__all__ = ["HttpLimits", "http_limits", "make_app", "problem", "require", "respond", "serve_http"]

OPERATIONAL_SCOPES: Final = ("read", "operate")

_KEYS: Final = "SB_KEYS"
_OPS: Final = "SB_OPS"
_CODES: Final[Mapping[int, str]] = {
    400: "malformed",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "body_timeout",
    413: "too_large",
    414: "too_large",
    415: "unsupported_media_type",
    431: "too_large",
    500: "internal",
}

P = ParamSpec("P")
R = TypeVar("R")


def respond(answer: OpsAnswer, headers: Mapping[str, str] | None = None) -> Response:
    """Turn an answer that knows no HTTP library into quart's."""
    response = Response(answer.body, status=answer.status, content_type=answer.content_type)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def problem(status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Make a problem+json response: type, title, status, detail, code, and the request's path as instance."""
    instance = request.path[:200] if has_request_context() else None
    return respond(problem_answer(status, code, detail, instance), headers)


def make_app(service: str, ops: Ops, keys: KeyCheck) -> QuartTrio:
    """Make an application with the operational routes and problem+json for every error; add routes to it."""
    app = QuartTrio(f"sb_core.http.{service}", root_path="/", static_folder=None)
    # sizes and deadlines of bodies are the guard's, those of answers the serving's
    app.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
    app.config[_KEYS] = keys
    app.config[_OPS] = ops
    app.url_map.strict_slashes = False
    ops.telemetry.adopt(app.name)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DependencyError, _dependency_error)
    app.register_error_handler(FeedError, _feed_error)
    app.register_error_handler(Exception, _our_error)
    for path in PATHS:
        view = _operational if path in OPEN_PATHS else require(*OPERATIONAL_SCOPES)(_operational)
        app.add_url_rule(path, endpoint=f"ops:{path}", view_func=view)
    return app


async def _operational() -> Response:
    ops: Ops = current_app.config[_OPS]
    answer = await ops.answer(request.url_rule.rule if request.url_rule else request.path)
    if answer is None:
        return problem(404, "not_found", "there is nothing here")
    return respond(answer, {"cache-control": "no-store"})


async def serve_http(
    app: QuartTrio,
    *,
    bind: str,
    port: int,
    stop: anyio.Event,
    body_bytes_max: int,
    limits: HttpLimits | None = None,
    telemetry: Telemetry | None = None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application of `make_app` until `stop`; started once its port listens. See serving.serve_http.

    `limits` come from `http_limits(settings)`. Raises SettingsError when the port can't be had.
    """
    ops: Ops = app.config[_OPS]
    await serving.serve_http(
        app,
        bind=bind,
        port=port,
        stop=stop,
        body_bytes_max=body_bytes_max,
        telemetry=telemetry or ops.telemetry,
        limits=limits,
        task_status=task_status,
    )


def require(
    *scopes: str | Callable[..., str],
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R | Response]]]:
    """Let a route be called only with a key that has one of `scopes`; a callable makes one from the route's arguments.

    `@require("read")`, `@require(lambda provider: f"feed:{provider}")`. Answers 401 or 403 as problem+json.
    """

    def decorate(view: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R | Response]]:
        @functools.wraps(view)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            wanted = [scope if isinstance(scope, str) else scope(*args, **kwargs) for scope in scopes]
            refused = authorize(*wanted)
            return refused if refused is not None else await view(*args, **kwargs)

        return guarded

    return decorate


def authorize(*scopes: str) -> Response | None:
    """Judge the key of the current request; None lets it pass."""
    keys: KeyCheck = current_app.config[_KEYS]
    result = keys.check(bearer(request.headers.get("Authorization")), *scopes)
    if result == 401:
        detail = "send a known key as Authorization: Bearer <key>"
        return problem(401, "unauthorized", detail, headers={"www-authenticate": "Bearer"})
    if result == 403:
        return problem(403, "forbidden", f"this key has no scope {' or '.join(scopes)}")
    return None


async def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    allowed = error.get_response().headers.get("Allow") if status == 405 else None
    detail = error.description or error.name
    return problem(status, _CODES.get(status, "error"), detail, headers={"allow": allowed} if allowed else None)


async def _dependency_error(error: DependencyError) -> Response:
    _telemetry_warn("dependency_failed", error)
    if isinstance(error, UnknownOutcomeError):
        detail = "it is unknown whether this happened: send it again with the same ids"
        return problem(503, "unknown_outcome", detail, headers={"retry-after": "1"})
    return problem(503, "unavailable", "something this needs doesn't answer now", headers={"retry-after": "1"})


async def _feed_error(error: FeedError) -> Response:
    return problem(422, error.code, error.message)


async def _our_error(error: Exception) -> Response:
    ops: Ops = current_app.config[_OPS]
    ops.telemetry.error("request_crashed", path=request.path, method=request.method, **error_fields(error))
    return problem(500, "internal", "this is a fault of ours; the log says more")


def _telemetry_warn(event: str, error: Exception) -> None:
    ops: Ops = current_app.config[_OPS]
    ops.telemetry.warn(event, path=request.path, error=type(error).__name__, detail=str(error))
