"""The guard and the serving around it, on a really running hypercorn: raw bytes in, raw bytes out."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import h2.connection
import h2.events
import pytest
import trio
from framing import GET, POST, REFUSED, SMUGGLED
from ports import free_port

from sb_core import serving
from sb_core.guard import judge_head
from sb_core.serving import HttpLimits, serve_http
from sb_core.settings import SettingsError
from sb_core.telemetry import Telemetry

BODY_MAX = 1_000
BIG = 32 * 1024 * 1024


class Echo:
    """An ASGI application that notes what reached it and answers with the path and the size of the body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.begun = trio.Event()
        self.cancelled = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        event = await receive()
        self.seen.append((scope["method"], scope["path"], event["body"]))
        assert event["more_body"] is False
        self.begun.set()
        if scope["path"] == "/slow":
            # as quart does: the disconnect cancels the request
            assert (await receive())["type"] == "http.disconnect"
            self.cancelled = True
            return
        body = b"x" * BIG if scope["path"] == "/big" else f"{scope['path']} {len(event['body'])}".encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Server:
    """A served Echo and the means to talk to it."""

    def __init__(self, port: int, echo: Echo, stop: anyio.Event, telemetry: Telemetry) -> None:
        self.port = port
        self.echo = echo
        self.stop = stop
        self.telemetry = telemetry
        self.ended = trio.Event()

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, data: bytes) -> bytes:
        """Send bytes, half-close nothing, and read until the server closes."""
        stream = await self.connect()
        async with stream:
            await stream.send_all(data)
            return await read_all(stream)

    def open_connections(self) -> float:
        return self.telemetry.registry.get_sample_value("sb_test_http_open_connections")

    def refused(self, code: str) -> float | None:
        return self.telemetry.registry.get_sample_value("sb_test_http_refused_total", {"code": code})


async def until(reached: Callable[[], bool], deadline_s: float = serving.LINGER_S + 2) -> None:
    with trio.fail_after(deadline_s):
        while not reached():  # noqa: ASYNC110  metrics have no event to wait for
            await trio.sleep(0.02)


async def read_all(stream: trio.SocketStream) -> bytes:
    parts = []
    with trio.fail_after(8):
        while part := await stream.receive_some(65_536):
            parts.append(bytes(part))
    return b"".join(parts)


async def send_for_ever(stream: trio.SocketStream, data: bytes, pause_s: float) -> None:
    with trio.fail_after(8):
        while True:
            await stream.send_all(data)
            await trio.sleep(pause_s)


async def read_answer(stream: trio.SocketStream) -> bytes:
    """Read one answer by its Content-Length."""
    data = b""
    with trio.fail_after(8):
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += await stream.receive_some(65_536)
    return head + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer[9:12])


def code(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "instance"}
    assert problem["status"] == status(answer)
    return str(problem["code"])


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Server]:
    echo, stop, port = Echo(), anyio.Event(), free_port()
    telemetry = Telemetry("test", level="warn", now_ms=lambda: 0)
    server = Server(port, echo, stop, telemetry)

    async def serve(task_status: Any) -> None:
        await serve_http(
            echo,
            bind="127.0.0.1",
            port=port,
            stop=stop,
            body_bytes_max=BODY_MAX,
            limits=HttpLimits(**limits),
            telemetry=telemetry,
            task_status=task_status,
        )
        server.ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        yield server
        stop.set()


@pytest.mark.parametrize(
    ("sent", "expected", "expected_code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_doubtful_request_is_refused_and_what_follows_it_is_never_a_request(run, sent, expected, expected_code):
    async def main():
        async with served() as server:
            answer = await server.ask(sent + SMUGGLED)
            assert status(answer) == expected
            if expected_code is not None:
                assert code(answer) == expected_code
                assert server.refused(expected_code) == 1
            assert answer.count(b"HTTP/1.1 ") == 1
            assert server.echo.seen == []
            # the server is as it was, and the connection's task is gone soon
            assert status(await server.ask(GET)) == 200
            await until(lambda: server.open_connections() == 0)

    run(main)


ACCEPTED = [
    ("plain", GET, "/a", b""),
    ("length", POST + b"Content-Length: 5\r\n\r\nabcde", "/a", b"abcde"),
    ("same_length_twice", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", "/a", b"abcde"),
    ("chunked", POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "/a", b"abcde"),
    ("as_large_as_allowed", POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, "/a", b"x" * 1000),
    ("http_1_0", b"GET /a HTTP/1.0\r\n\r\n", "/a", b""),
    ("absolute", b"GET http://x/b%20c?d=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/b c", b""),
    ("absolute_without_path", b"GET http://x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/", b""),
    ("escaped_colon", b"GET /uof%3Asr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/uof:sr", b""),
]


@pytest.mark.parametrize(("sent", "path", "body"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_an_honest_request_arrives_whole(run, sent, path, body):
    async def main():
        async with served() as server:
            answer = await server.ask(sent)
            assert status(answer) == 200
            assert [(seen[1], seen[2]) for seen in server.echo.seen] == [(path, body)]
            assert answer.endswith(f"{path} {len(body)}".encode())

    run(main)


def test_pipelined_requests_are_answered_in_order(run):
    async def main():
        async with served() as server:
            answer = await server.ask(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
            assert answer.index(b"/1 0") < answer.index(b"/a 0")

    run(main)


def test_head_has_no_body(run):
    async def main():
        async with served() as server:
            answer = await server.ask(b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert status(answer) == 200
            assert answer.endswith(b"\r\n\r\n")

    run(main)


def test_expect_100_continue_is_answered(run):
    async def main():
        async with served() as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
                assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 100")
                await stream.send_all(b"abc")
                assert b"/a 3" in await read_all(stream)

    run(main)


def test_a_slow_body_ends_at_its_deadline(run):
    async def main():
        async with served(body_deadline_s=0.4) as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(POST + b"Content-Length: 900\r\n\r\n")
                begun = trio.current_time()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send_for_ever, stream, b"x", 0.02)
                    answer = await read_answer(stream)
                    nursery.cancel_scope.cancel()
                assert code(answer) == "body_timeout"
                assert status(answer) == 408
                assert 0.3 < trio.current_time() - begun < 2
            assert server.echo.seen == []

    run(main)


def test_a_refused_client_that_goes_on_sending_can_read_the_answer(run):
    async def main():
        async with served() as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(POST + b"Content-Length: 8000000\r\n\r\n")
                sent = 0
                # an honest client writes all before it reads anything
                for _ in range(10):
                    await stream.send_all(b"x" * 65_536)
                    sent += 1
                assert code(await read_answer(stream)) == "too_large"
                assert sent == 10

    run(main)


def test_a_refused_client_that_never_stops_is_cut_off(run):
    async def main():
        async with served() as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                begun = trio.current_time()
                with pytest.raises(trio.BrokenResourceError):
                    await send_for_ever(stream, b"400\r\n" + b"x" * 1024 + b"\r\n", 0)
                assert trio.current_time() - begun < 5
            await trio.sleep(serving.LINGER_S + 0.2)
            assert server.open_connections() == 0

    run(main)


def test_bodies_in_flight_are_bounded_together(run):
    async def main():
        async with served(inflight_bytes_max=1500) as server:
            held = await server.connect()
            async with held:
                await held.send_all(POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 999)
                await trio.sleep(0.1)
                answer = await server.ask(POST + b"Content-Length: 900\r\n\r\n" + b"x" * 900)
                assert status(answer) == 429
                assert code(answer) == "too_busy"
                assert b"retry-after: 1" in answer
            await trio.sleep(0.1)
            # the first has gone without finishing: what it held is free again
            assert status(await server.ask(POST + b"Content-Length: 900\r\n\r\n" + b"x" * 900)) == 200

    run(main)


def test_a_client_that_leaves_cancels_its_request(run):
    async def main():
        async with served() as server:
            stream = await server.connect()
            await stream.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await server.echo.begun.wait()
            await stream.aclose()
            await until(lambda: server.echo.cancelled and server.open_connections() == 0)

    run(main)


def test_a_client_that_reads_nothing_is_cut_off(run):
    async def main():
        async with served(write_deadline_s=0.3) as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                await server.echo.begun.wait()
                await until(lambda: server.open_connections() == 0)

    run(main)


def test_a_client_that_reads_slowly_is_served_to_the_end(run):
    async def main():
        async with served(write_deadline_s=0.5) as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                size = 0
                # in all this takes longer than the deadline of one write
                while part := await stream.receive_some(1024 * 1024):
                    size += len(part)
                    await trio.sleep(0.001)
                assert size > BIG

    run(main)


def test_a_client_that_reads_nothing_does_not_hold_up_a_stop(run):
    async def main():
        async with served(write_deadline_s=60) as server:
            stream = await server.connect()
            async with stream:
                await stream.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                await server.echo.begun.wait()
                server.stop.set()
                with trio.fail_after(serving.STOP_S + 1.5):
                    await server.ended.wait()

    run(main)


def test_a_stop_waits_for_requests_at_work_and_closes_idle_connections(run):
    async def main():
        async with served() as server:
            idle, busy = await server.connect(), await server.connect()
            async with idle, busy:
                await busy.send_all(POST + b"Content-Length: 5\r\n\r\nab")
                await trio.sleep(0.1)
                server.stop.set()
                with trio.fail_after(1):
                    assert await idle.receive_some(10) == b""
                await busy.send_all(b"cde")
                assert (await read_all(busy)).endswith(b"/a 5")
                with trio.fail_after(1):
                    await server.ended.wait()
                with pytest.raises(OSError, match="connect"):
                    await server.connect()

    run(main)


def test_cancellation_ends_everything_at_once(run):
    async def main():
        echo, port = Echo(), free_port()
        telemetry = Telemetry("test", level="error", now_ms=lambda: 0)
        serve = partial(
            serve_http,
            echo,
            bind="127.0.0.1",
            port=port,
            stop=anyio.Event(),
            body_bytes_max=BODY_MAX,
            telemetry=telemetry,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                await echo.begun.wait()
                begun = trio.current_time()
                nursery.cancel_scope.cancel()
        assert trio.current_time() - begun < 1

    run(main)


def test_connections_beyond_the_limit_wait(run):
    async def main():
        async with served(connections_max=1) as server:
            first = await server.connect()
            async with first:
                await trio.sleep(0.05)
                second = await server.connect()
                async with second:
                    await second.send_all(GET)
                    with trio.move_on_after(0.3) as waited:
                        await second.receive_some(10)
                    assert waited.cancelled_caught
                    await first.aclose()
                    assert status(await read_all(second)) == 200

    run(main)


def test_a_head_that_never_ends_is_cut_off(run, monkeypatch):
    monkeypatch.setattr(serving, "HEAD_DEADLINE_S", 0.3)

    async def main():
        async with served() as server:
            stream = await server.connect()
            async with stream:
                begun = trio.current_time()
                await stream.send_all(b"GET /a HTTP/1.1\r\n")
                with pytest.raises(trio.BrokenResourceError):
                    await send_for_ever(stream, b"A: b\r\n", 0.05)
                assert trio.current_time() - begun < 3

    run(main)


def test_websockets_are_turned_away(run):
    async def main():
        async with served() as server:
            answer = await server.ask(
                b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert status(answer) == 403
            assert server.echo.seen == []

    run(main)


@pytest.mark.parametrize("upgrade", [False, True])
def test_http_2_reaches_no_application(run, upgrade):
    async def main():
        async with served() as server:
            stream = await server.connect()
            async with stream:
                client = h2.connection.H2Connection()
                if upgrade:
                    settings = client.initiate_upgrade_connection()
                    await stream.send_all(
                        b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                        b"HTTP2-Settings: " + settings + b"\r\n\r\n"
                    )
                    answer = await stream.receive_some(65_536)
                    client.receive_data(answer.partition(b"\r\n\r\n")[2])
                else:
                    client.initiate_connection()
                    client.send_headers(
                        1,
                        [(":method", "GET"), (":path", "/a"), (":scheme", "http"), (":authority", "x")],
                        end_stream=True,
                    )
                await stream.send_all(client.data_to_send())
                statuses = []
                with trio.fail_after(5):
                    while not statuses and (data := await stream.receive_some(65_536)):
                        events = client.receive_data(data)
                        answers = [event for event in events if isinstance(event, h2.events.ResponseReceived)]
                        statuses.extend(dict(event.headers)[b":status"] for event in answers)
                assert statuses == [b"505"]
            assert server.echo.seen == []

    run(main)


def test_a_port_in_use_is_said_with_its_setting():
    port = free_port()
    first = serving.listen("127.0.0.1", port)
    try:
        with pytest.raises(SettingsError, match=rf"port {port} .*SB_PORT_OFFSET"):
            serving.listen("127.0.0.1", port)
    finally:
        first.close()


def test_an_address_that_is_not_ours_is_said_with_its_setting():
    with pytest.raises(SettingsError, match="SB_BIND"):
        serving.listen("192.0.2.1", 0)


def test_a_head_without_body_is_judged_without_a_server():
    head = {
        "http_version": "1.1",
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"content-length", b"abc")],
    }
    refusal = judge_head(head, 10)
    assert refusal is not None
    assert refusal.code == "malformed"
    assert judge_head({**head, "headers": []}, 10) is None
