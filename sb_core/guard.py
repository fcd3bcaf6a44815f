"""What stands between hypercorn and an application: the checks that hypercorn leaves out.

The rules: a request whose length can be read in two ways is refused and its connection closed (smuggling); a body is
read here, whole, within a limit and a deadline, before the application sees the request, so that no application waits
for a slow or endless body; a refusal closes the connection.
Reading everything first is also what keeps hypercorn alive: its queue to an application that no longer listens blocks
the connection for ever. And refusals are written past its protocol: told to answer with `Connection: close` while more
is buffered, it sees an error of the client's and may close before the answer is out.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

import anyio
from msgspec import Struct

from sb_core.ops import problem_answer, title

AsgiEvent: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiEvent]]
Send: TypeAlias = Callable[[AsgiEvent], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
VERSIONS: Final = ("1.0", "1.1")
HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 32_768
TARGET_BYTES_MAX: Final = 8_192
CONNECTION: Final = "sb_connection"
"""Where in scope["state"] the server puts the Connection."""


class GuardLimits(Struct, frozen=True, kw_only=True):
    """Limits of one server. `inflight_bytes_max` is for the bodies of all requests together."""

    body_bytes_max: int
    body_deadline_s: float = 30.0
    inflight_bytes_max: int = 128 * 1024 * 1024


class Refusal(Struct, frozen=True):
    """Why a request goes no further; becomes problem+json and closes the connection."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Guard:
    """An ASGI application around another one. `on_refused` is told the code of each request turned away."""

    def __init__(self, app: AsgiApp, limits: GuardLimits, on_refused: Callable[[str], None] | None = None) -> None:
        self._app = app
        self._limits = limits
        self._on_refused = on_refused
        self.inflight_bytes = 0

    def __repr__(self) -> str:
        return f"<Guard inflight={self.inflight_bytes} of {self._limits.inflight_bytes_max} bytes>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket on this port"})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = judge_head(scope, self._limits.body_bytes_max)
        parts: list[bytes] = []
        try:
            if refusal is None:
                refusal = await self._read_body(receive, parts)
            if refusal is None:
                await self._app(_origin_form(scope), _replay(b"".join(parts), receive), send)
        except _GoneError:
            return
        finally:
            self.inflight_bytes -= sum(map(len, parts))
        if refusal is not None:
            if self._on_refused is not None:
                self._on_refused(refusal.code)
            await _refuse(refusal, scope, send)

    async def _read_body(self, receive: Receive, parts: list[bytes]) -> Refusal | None:
        """Read the whole body into `parts`, which count as in flight. Raises _GoneError when the client went away."""
        limits = self._limits
        size = 0
        with anyio.move_on_after(limits.body_deadline_s):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise _GoneError
                part: bytes = event.get("body", b"")
                size += len(part)
                if size > limits.body_bytes_max:
                    return _too_large(limits.body_bytes_max)
                if self.inflight_bytes + len(part) > limits.inflight_bytes_max:
                    detail = f"request bodies at work hold {self.inflight_bytes} bytes already"
                    return Refusal(429, "too_busy", detail, ((b"retry-after", b"1"),))
                self.inflight_bytes += len(part)
                parts.append(part)
                if not event.get("more_body", False):
                    return None
        return Refusal(408, "body_timeout", f"the body did not arrive within {limits.body_deadline_s:g} s")


class _GoneError(Exception):
    """The client went away before its request was complete."""


def judge_head(scope: Scope, body_bytes_max: int) -> Refusal | None:
    """Judge a request by its head alone (method, version, target, headers); None lets it pass."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    if scope["http_version"] not in VERSIONS:
        return Refusal(505, "http_version", f"HTTP/{scope['http_version']} is not spoken here")
    if scope["method"] not in METHODS:
        allow = ", ".join(METHODS).encode()
        return Refusal(405, "method_not_allowed", "this method is never allowed here", ((b"allow", allow),))
    target: bytes = scope.get("raw_path", b"")
    if len(target) + len(scope["query_string"]) > TARGET_BYTES_MAX:
        return Refusal(414, "too_large", f"the target is longer than {TARGET_BYTES_MAX} bytes")
    if not target.startswith((b"/", b"http://", b"https://")):
        return Refusal(400, "malformed", "the target is neither a path nor an absolute URL")
    if len(headers) > HEADERS_MAX or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
        return Refusal(431, "too_large", f"more than {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them")
    return _judge_framing(headers, scope["http_version"], body_bytes_max)


def _judge_framing(headers: list[tuple[bytes, bytes]], version: str, body_bytes_max: int) -> Refusal | None:
    lengths = {value for name, value in headers if name.lower() == b"content-length"}
    encodings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if encodings and (lengths or version == "1.0"):
        return Refusal(400, "malformed", "Transfer-Encoding stands beside Content-Length or in HTTP/1.0")
    if len(lengths) > 1 or len(encodings) > 1:
        return Refusal(400, "malformed", "the body's length is given more than once")
    length = next(iter(lengths), b"0")
    if not length.isdigit():
        return Refusal(400, "malformed", "Content-Length is not a number")
    # longer than any number of bytes: don't even convert it
    if len(length) > 15 or int(length) > body_bytes_max:
        return _too_large(body_bytes_max)
    return None


def _too_large(body_bytes_max: int) -> Refusal:
    return Refusal(413, "too_large", f"the body is larger than {body_bytes_max} bytes")


def _origin_form(scope: Scope) -> Scope:
    """Bring a target in absolute form (as proxies send it) into the form that applications route by."""
    target: bytes = scope.get("raw_path", b"")
    if target.startswith(b"/"):
        return scope
    path = urlsplit(target.decode("ascii", "replace")).path or "/"
    return {**scope, "path": unquote(path), "raw_path": path.encode()}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body at once, then whatever comes (the disconnect)."""
    given = False

    async def replay() -> AsgiEvent:
        nonlocal given, body
        if given:
            return await receive()
        given = True
        event = {"type": "http.request", "body": body, "more_body": False}
        body = b""
        return event

    return replay


class Connection(Protocol):
    """What the server gives with each request (scope["state"][CONNECTION]), to answer past its own protocol."""

    async def refuse(self, answer: bytes) -> None:
        """Write a whole answer and close, letting the client read it."""
        ...


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Answer and close the connection, without waiting for what the client still sends."""
    answer = problem_answer(refusal.status, refusal.code, refusal.detail, str(scope["path"])[:200])
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *refusal.headers,
    ]
    connection: Connection | None = scope.get("state", {}).get(CONNECTION)
    if connection is None or scope["http_version"] in {"2", "3"}:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        return
    lines = [b"HTTP/1.1 %d %s" % (refusal.status, title(refusal.status).encode())]
    lines += [b"%s: %s" % header for header in (*headers, (b"connection", b"close"))]
    body = b"" if scope["method"] == "HEAD" else answer.body
    await connection.refuse(b"\r\n".join(lines) + b"\r\n\r\n" + body)
