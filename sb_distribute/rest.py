"""REST on port 4002: the application, put together from its routes.

The rule: everything asks for a key with the scope `read` where keys are set; every error is a problem with a stable
code; nothing here thinks about betting.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from sb_core.auth import KeyCheck
from sb_core.ops import Ops
from sb_core.runtime import Context
from sb_core.telemetry import Telemetry
from sb_core.web import make_app, problem, require
from sb_distribute.asyncapi import asyncapi
from sb_distribute.node import Node
from sb_distribute.rest_answers import AnswerCache, content_tag, reply, unchanged
from sb_distribute.rest_docs import POLICY, docs_page
from sb_distribute.rest_events import EventRoutes
from sb_distribute.rest_front import EVENT_ROUTE, READ, ROUTE, Front
from sb_distribute.rest_lists import ListRoutes
from sb_distribute.rest_node import RestProblem
from sb_distribute.rest_openapi import openapi
from sb_distribute.rest_queries import BadQueryError

SERVICE: Final = "data-distribution"

_View = Callable[..., Awaitable[Response]]


def make_rest_app(node: Node, context: Context, ops: Ops, keys: KeyCheck) -> QuartTrio:
    """Make the application: lists and the past come from `context.store`, current events from `node`."""
    app = make_app(SERVICE, ops, keys)
    # ids may hold `//`, which must not be taken for a slip of the pen
    app.url_map.merge_slashes = False
    app.register_error_handler(RestProblem, _problem)
    app.register_error_handler(BadQueryError, _bad_query)
    app.register_error_handler(TimeoutError, _timeout)
    answers = AnswerCache(context.settings.rest_answers_bytes_max)
    events = EventRoutes(node, context.store, answers)
    lists = ListRoutes(node, context.store)
    views: dict[str, _View] = {
        "/v1/sports": lists.list_sports,
        "/v1/sports/<sport>/markets": lists.list_catalogue,
        "/v1/competitions": lists.list_competitions,
        "/v1/events": events.list_events,
        EVENT_ROUTE: events.event_or_part,
        "/v1/participants": lists.list_participants,
        "/v1/participants/<path:participant>": lists.one_participant,
        "/v1/producers": lists.list_producers,
        **_documents(),
    }
    for path, view in views.items():
        app.add_url_rule(path, endpoint=path, view_func=require(READ)(view), methods=["GET"])
    _measure(app, context, answers)
    app.asgi_app = cast("Any", Front(cast("Any", app.asgi_app), node, context, keys, answers))  # type: ignore[method-assign]
    return app


def _documents() -> dict[str, _View]:
    """Return the views of the documentation, which is made once."""
    document = openapi()
    described = msgspec.json.encode(document)
    stream = msgspec.json.encode(asyncapi())
    page = docs_page(document)
    tags = content_tag(described), content_tag(page), content_tag(stream)

    async def show_openapi() -> Response:
        return unchanged(tags[0]) or reply(described, tags[0])

    async def show_docs() -> Response:
        response = unchanged(tags[1]) or reply(page, tags[1], "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        return response

    async def show_asyncapi() -> Response:
        return unchanged(tags[2]) or reply(stream, tags[2])

    return {"/openapi.json": show_openapi, "/asyncapi.json": show_asyncapi, "/docs": show_docs}


def _measure(app: QuartTrio, context: Context, answers: AnswerCache) -> None:
    """Show what the cache of answers holds, and leave for the front which route a request took."""
    telemetry: Telemetry = context.telemetry
    held = telemetry.gauge("rest_answers_bytes", "Encoded events held")
    held.set_function(lambda: answers.used_bytes)
    hits = telemetry.gauge("rest_answers_hits_ratio", "Answers that were encoded already, of all since the start")
    hits.set_function(lambda: answers.hits / max(1, answers.hits + answers.misses))

    async def end(response: Response) -> Response:
        cast("dict[str, Any]", request.scope)[ROUTE] = request.url_rule.rule if request.url_rule else "none"
        return response

    app.after_request(end)


async def _problem(error: RestProblem) -> Response:
    headers = {"cache-control": "no-store"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    return problem(error.status, error.code, error.detail, headers=headers)


async def _bad_query(error: BadQueryError) -> Response:
    return problem(400, error.code, error.detail, headers={"cache-control": "no-store"})


async def _timeout(error: TimeoutError) -> Response:
    detail = "the answer could not be made in time" if not str(error) else str(error)[:200]
    return problem(503, "unavailable", detail, headers={"retry-after": "1", "cache-control": "no-store"})
