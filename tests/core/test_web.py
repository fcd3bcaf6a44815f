"""An application of make_app as a client sees it, over a real port where the server matters."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import anyio
import httpx
import pytest
import trio
from quart import request

from sb_core import serving
from sb_core.auth import Keys
from sb_core.errors import FeedError, UnavailableError, UnknownOutcomeError
from sb_core.ops import Ops
from sb_core.runtime import SystemClock
from sb_core.settings import Settings, SettingsError
from sb_core.telemetry import Telemetry
from sb_core.web import http_limits, make_app, problem, require, serve_http

KEYS = Keys.parse(
    ";".join(f"{scope[0]}:{sha256(scope.encode()).hexdigest()}:{scope}" for scope in ("read", "feed:uof"))
)


class Served:
    """A client of a served application, and what its service wrote."""

    def __init__(self, client: httpx.AsyncClient, ops: Ops, lines: io.StringIO) -> None:
        self.client = client
        self.ops = ops
        self.lines = lines


def routes(app: Any) -> None:
    @app.post("/v1/feeds/<provider>")
    @require(lambda provider: f"feed:{provider}")
    async def feed(provider: str) -> Any:
        return {"provider": provider, "size": len(await request.get_data())}, 202

    @app.get("/v1/events/<event>")
    @require("read")
    async def event(event: str) -> Any:
        return {"event": event}

    @app.get("/raise/<name>")
    async def raising(name: str) -> Any:
        raise {
            "unavailable": UnavailableError("secret host"),
            "unknown": UnknownOutcomeError("secret host"),
            "feed": FeedError("bad_odds", "odds of 0.9"),
            "group": ExceptionGroup("many", [ValueError("inside")]),
            "bug": ZeroDivisionError("secret"),
        }[name]

    @app.get("/teapot")
    async def teapot() -> Any:
        return problem(409, "session_busy", "one at a time", headers={"retry-after": "2"})


@asynccontextmanager
async def served(keys: Keys = Keys()) -> AsyncIterator[Served]:  # noqa: B008  frozen
    lines, clock, stop = io.StringIO(), SystemClock(), anyio.Event()
    ops = Ops("feed-ingestion", Telemetry("feed-ingestion", stream=lines, now_ms=clock.now_ms), clock)
    app = make_app("feed-ingestion", ops, keys)
    routes(app)
    made = serving.listen("127.0.0.1", 0)
    port = made.getsockname()[1]
    made.close()
    async with trio.open_nursery() as nursery:

        async def serve(task_status: Any) -> None:
            await serve_http(app, bind="127.0.0.1", port=port, stop=stop, body_bytes_max=1000, task_status=task_status)

        await nursery.start(serve)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield Served(client, ops, lines)
        stop.set()


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert list(body) == ["type", "title", "status", "detail", "code", "instance"]
    assert (body["status"], body["code"]) == (status, code)
    return body


def test_operational_routes(run):
    async def main():
        async with served() as it:
            health = await it.client.get("/health")
            assert (health.status_code, health.json()["status"]) == (200, "ok")
            assert (await it.client.get("/ready")).status_code == 503
            it.ops.ready()
            assert (await it.client.get("/ready")).json() == {
                "service": "feed-ingestion",
                "ready": True,
                "reason": None,
            }
            assert "sb_feed_ingestion_http_open_connections 1.0" in (await it.client.get("/metrics")).text
            assert (await it.client.get("/v1/account")).json()["balanced"] is True
            assert (await it.client.get("/health/")).status_code == 200
            assert (await it.client.head("/health")).content == b""

    run(main)


def test_every_error_is_a_problem(run):
    async def main():
        async with served() as it:
            client = it.client
            assert is_problem(await client.get("/nowhere"), 404, "not_found")["instance"] == "/nowhere"
            refused = await client.put("/health")
            is_problem(refused, 405, "method_not_allowed")
            assert "GET" in refused.headers["allow"]
            is_problem(await client.request("TRACE", "/health"), 405, "method_not_allowed")
            is_problem(await client.post("/v1/feeds/uof", content=b"x" * 1001), 413, "too_large")
            is_problem(await client.get("/raise/feed"), 422, "bad_odds")
            is_problem(await client.get("/teapot"), 409, "session_busy")

    run(main)


def test_failures_say_what_to_do_and_nothing_of_our_inside(run):
    async def main():
        async with served() as it:
            unavailable = await it.client.get("/raise/unavailable")
            is_problem(unavailable, 503, "unavailable")
            assert unavailable.headers["retry-after"] == "1"
            unknown = await it.client.get("/raise/unknown")
            assert "same ids" in is_problem(unknown, 503, "unknown_outcome")["detail"]
            for name in ("bug", "group"):
                is_problem(await it.client.get(f"/raise/{name}"), 500, "internal")
            for response in (unavailable, unknown):
                assert "secret" not in response.text
        logged = [json.loads(line) for line in it.lines.getvalue().splitlines()]
        crashed = [line for line in logged if line["event"] == "request_crashed"]
        assert [line["error"] for line in crashed] == ["ZeroDivisionError", "ValueError"]
        assert crashed[0]["path"] == "/raise/bug"
        assert "ZeroDivisionError: secret" in crashed[0]["traceback"]
        assert all(line["service"] == "feed-ingestion" for line in logged)

    run(main)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/ready", None, 503),
        ("GET", "/metrics", None, 401),
        ("GET", "/metrics", "wrong", 401),
        ("GET", "/metrics", "feed:uof", 403),
        ("GET", "/metrics", "read", 200),
        ("GET", "/v1/account", None, 401),
        ("GET", "/v1/account", "read", 200),
        ("GET", "/v1/events/uof:1", None, 401),
        ("GET", "/v1/events/uof:1", "read", 200),
        ("POST", "/v1/feeds/uof", "feed:uof", 202),
        ("POST", "/v1/feeds/betfair", "feed:uof", 403),
        ("POST", "/v1/feeds/uof", "read", 403),
        ("POST", "/v1/feeds/uof", None, 401),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_keys(run, method, path, key, status):
    async def main():
        async with served(KEYS) as it:
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            response = await it.client.request(method, path, headers=headers)
            assert response.status_code == status
            if status == 401:
                is_problem(response, 401, "unauthorized")
                assert response.headers["www-authenticate"] == "Bearer"
            if status == 403:
                is_problem(response, 403, "forbidden")

    run(main)


def test_without_keys_all_is_open(run):
    async def main():
        async with served() as it:
            posted = await it.client.post("/v1/feeds/anything", content=b"abc")
            assert (posted.status_code, posted.json()) == (202, {"provider": "anything", "size": 3})

    run(main)


def test_colons_in_paths_may_stand_raw_or_escaped(run):
    async def main():
        async with served() as it:
            for path in ("/v1/events/uof:sr:match:42", "/v1/events/uof%3Asr%3Amatch%3A42"):
                assert (await it.client.get(path)).json() == {"event": "uof:sr:match:42"}

    run(main)


def test_a_port_in_use_keeps_a_service_from_starting(run):
    async def main():
        taken = serving.listen("127.0.0.1", 0)
        clock = SystemClock()
        ops = Ops("x", Telemetry("x", now_ms=clock.now_ms), clock)
        try:
            with pytest.raises(SettingsError, match="SB_PORT_OFFSET"):
                await serve_http(
                    make_app("x", ops, Keys()),
                    bind="127.0.0.1",
                    port=taken.getsockname()[1],
                    stop=anyio.Event(),
                    body_bytes_max=1,
                )
        finally:
            taken.close()

    run(main)


def test_limits_come_from_the_settings():
    limits = http_limits(Settings(http_connections_max=7, http_body_deadline_ms=1500, http_write_deadline_ms=250))
    assert (limits.connections_max, limits.body_deadline_s, limits.write_deadline_s) == (7, 1.5, 0.25)
