"""What every REST request passes before quart: its share of requests, its time, and the answer that most of them want.

The rules: a current event that the node holds, asked for without parameters, is answered here from the cache of encoded
events, because routing, contexts and objects for request and response cost more than all else of it; whatever is not so
plain goes on to quart, which answers the same. Each answer says what is left of the client's quota.
"""

from typing import Final

from sb_core.auth import KeyCheck, bearer
from sb_core.guard import AsgiApp, AsgiEvent, Receive, Scope, Send
from sb_core.ops import OPEN_PATHS, problem_answer
from sb_core.quota import Quota, Quotas
from sb_core.runtime import Context
from sb_distribute.node import Node
from sb_distribute.rest_answers import JSON, AnswerCache, event_tag, tag_matches
from sb_distribute.rest_events import PREFIX, split_path

READ: Final = "read"
ROUTE: Final = "sb_route"
"""Where in the scope quart's side leaves the route that it found."""
EVENT_ROUTE: Final = "/v1/events/<path:event>"

_RAW_PREFIX: Final = PREFIX.encode()
_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_CACHE: Final = (b"cache-control", b"no-cache")

Headers = list[tuple[bytes, bytes]]


class Front:
    """An ASGI application around quart's."""

    def __init__(self, app: AsgiApp, node: Node, context: Context, keys: KeyCheck, answers: AnswerCache) -> None:
        self._app = app
        self._node = node
        self._keys = keys
        self._answers = answers
        self._clock = context.clock
        self._quotas = Quotas(context.settings.rest_requests_per_s_max)
        self._seconds = context.telemetry.histogram(
            "rest_request_seconds", "Time to answer a REST request", ("route", "status")
        )

    def __repr__(self) -> str:
        return f"<Front {self._quotas!r} {self._answers!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = self._clock.monotonic_s()
        presented = bearer(_header(scope, b"authorization"))
        client = self._client(scope, presented)
        quota = None if scope["path"] in OPEN_PATHS else self._quotas.take(client, begun_s)
        more = [_SNIFF] if quota is None else [_SNIFF, *_told(quota)]
        if quota is not None and not quota.allowed:
            detail = f"more than {quota.limit} requests a second of {client.partition(' ')[0]}"
            route, status = "none", await _refuse(scope, detail, more, send)
        elif (plain := self._current(scope, presented, more)) is not None:
            route, (status, headers, body) = EVENT_ROUTE, plain
            await _send(send, status, headers, body)
        else:
            status = await self._pass_on(scope, receive, send, more)
            route = scope.get(ROUTE, "none")
        self._seconds.labels(route, str(status)).observe(self._clock.monotonic_s() - begun_s)

    def _client(self, scope: Scope, presented: str | None) -> str:
        key = self._keys.find(presented)
        return f"key {key.name}" if key is not None else f"address {scope['client'][0] if scope['client'] else ''}"

    def _current(self, scope: Scope, presented: str | None, more: Headers) -> tuple[int, Headers, bytes] | None:
        """Return the answer about a current event; None where more is to be asked or said than that."""
        path: bytes = scope.get("raw_path") or b""
        if scope["method"] != "GET" or scope["query_string"] or not path.startswith(_RAW_PREFIX):
            return None
        event, part = split_path(path[len(_RAW_PREFIX) :].decode("ascii", "replace"))
        if part is not None or self._keys.check(presented, READ) != "ok":
            return None
        snapshot = self._node.held(event)
        if snapshot is None:
            return None
        stale = self._node.stale(snapshot.event.sport)
        tag = event_tag(snapshot.lineage, snapshot.rev, stale=stale)
        headers = [_NO_CACHE, (b"etag", tag.encode()), *more]
        if tag_matches(_header(scope, b"if-none-match"), tag):
            return 304, headers, b""
        return 200, [(b"content-type", JSON.encode()), *headers], self._answers.event(snapshot, "decimal", stale=stale)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, more: Headers) -> int:
        status = 500

        async def labelled(event: AsgiEvent) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                event = {**event, "headers": [*event["headers"], *more]}
            await send(event)

        await self._app(scope, receive, labelled)
        return status


def _header(scope: Scope, name: bytes) -> str | None:
    for each, value in scope["headers"]:
        if each == name or each.lower() == name:
            return str(value, "latin-1")
    return None


def _told(quota: Quota) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in quota.headers().items()]


async def _refuse(scope: Scope, detail: str, more: Headers, send: Send) -> int:
    answer = problem_answer(429, "too_many", detail, scope["path"][:200])
    kind = (b"content-type", answer.content_type.encode())
    headers = [kind, (b"retry-after", b"1"), (b"cache-control", b"no-store"), *more]
    await _send(send, answer.status, headers, b"" if scope["method"] == "HEAD" else answer.body)
    return answer.status


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    if status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
