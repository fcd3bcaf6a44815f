"""REST over real sockets: what a test client can't show (escapes, HEAD, kept connections, 304 without a body)."""

from functools import partial
from hashlib import sha256
from urllib.parse import quote

import anyio
import httpx
import trio
from framing import REFUSED, SMUGGLED
from ports import free_port

from sb_core.web import serve_http

EVENT = "uof:sr:match:42"


def _over_http(in_world, test):
    async def within(world):
        port, stop = free_port(), anyio.Event()
        async with anyio.create_task_group() as group:
            await group.start(
                partial(serve_http, world.app, bind="127.0.0.1", port=port, stop=stop, body_bytes_max=1_000)
            )
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                await test(world, client, port)
            stop.set()

    in_world(within)


def test_ids_escaped_and_raw(in_world):
    async def test(world, client, _port):
        for event in (EVENT, "p:a/b", "p:a//b", "p:x/markets", "p:%2F", "p:İ \u0131", "p:?#&="):
            await world.save(event)
            for path, part in (("", None), ("/markets", "items"), ("/history", "items")):
                response = await client.get(f"/v1/events/{quote(event, safe='')}{path}")
                assert response.status_code == 200, (event, path, response.text)
                assert part in response.json() if part else response.json()["event"] == event
        assert (await client.get(f"/v1/events/{EVENT}")).json()["event"] == EVENT
        assert (await client.get("/v1/events/uof%3Asr%3Amatch%3A42?min_rev=1")).json()["event"] == EVENT
        assert (await client.get("/v1/events/p:a//b")).json()["event"] == "p:a//b"

    _over_http(in_world, test)


async def _some(stream):
    part = await stream.receive_some()
    assert part, "the connection was closed"
    return part


async def _ask(stream, method, *headers):
    head = "\r\n".join([f"{method} /v1/events/{EVENT} HTTP/1.1", "Host: x", *headers])
    await stream.send_all(f"{head}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += await _some(stream)
    raw_head, _, body = received.partition(b"\r\n\r\n")
    lines = raw_head.decode().lower().split("\r\n")
    return lines[0].split()[1], dict(line.split(": ", 1) for line in lines[1:]), body


def test_head_and_304_have_no_body_and_keep_the_connection(in_world):
    async def test(world, _client, port):
        await world.save(EVENT)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            status, headers, body = await _ask(stream, "HEAD")
            assert (status, headers["etag"], body) == ("200", '"1.1"', b"")
            whole = int(headers["content-length"])
            status, headers, body = await _ask(stream, "GET", 'If-None-Match: "1.1"')
            assert (status, headers["etag"], body) == ("304", '"1.1"', b"")
            status, headers, body = await _ask(stream, "GET")
            while len(body) < whole:
                body += await _some(stream)
            assert status == "200"
            assert len(body) == whole == int(headers["content-length"])

    _over_http(in_world, test)


def test_query_strings_in_all_their_spellings(in_world):
    async def test(world, client, _port):
        await world.save("p:1", event={"name": "Beşiktaş + Co", "start": 86_400_000})
        for query in (
            "q=be%C5%9Fikta%C5%9F",
            "q=BESIKTAS+co",
            "q=%2B",
            "from=1970-01-02T00:00:00+00:00",
            "sport=football%2Ctennis",
        ):
            assert len((await client.get(f"/v1/events?{query}")).json()["items"]) == 1, query
        for query in ("q=%ff%fe", "q=%ed%a0%80", "q=%00"):
            assert (await client.get(f"/v1/events?{query}")).json() == {"items": [], "next": None}, query

    _over_http(in_world, test)


def test_who_waits_for_a_rev_holds_up_nobody(in_world):
    async def test(world, client, _port):
        await world.save(EVENT)
        statuses = []

        async def wait():
            statuses.append((await client.get(f"/v1/events/{EVENT}?min_rev=5")).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(wait)
            await trio.sleep(0.1)
            with trio.fail_after(1.5):
                assert (await client.get(f"/v1/events/{EVENT}")).status_code == 200
        assert statuses == [425] * 5

    _over_http(in_world, test)


def test_each_client_may_ask_so_often(in_world):
    keys = ";".join(f"{name}:{sha256(name.encode()).hexdigest()}:read" for name in ("one", "two"))

    async def test(world):
        one, two = ({"authorization": f"Bearer {name}"} for name in ("one", "two"))
        answers = [await world.client.get("/v1/sports", headers=one) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[2].json()["code"] == "too_many"
        assert answers[2].headers["retry-after"] == "1"
        assert {answer.headers["ratelimit-limit"] for answer in answers} == {"2"}
        assert (await world.client.get("/v1/sports", headers=two)).status_code == 200
        assert (await world.client.get("/health")).status_code == 200

    in_world(test, keys=keys, rest_requests_per_s_max=2)


def test_a_doubtful_request_is_refused_and_what_follows_it_is_never_a_request(in_world):
    assert len(REFUSED) >= 40

    async def test(_world, _client, port):
        for name, sent, status, code in REFUSED:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(sent + SMUGGLED)
                answer = b""
                with trio.fail_after(5):
                    while part := await stream.receive_some(65_536):
                        answer += part
            assert answer.startswith(b"HTTP/1.1 %d" % status), (name, answer)
            assert answer.count(b"HTTP/1.1 ") == 1, (name, answer)
            assert b"/smuggled" not in answer, name
            assert code is None or b'"code":"%s"' % code.encode() in answer, name

    _over_http(in_world, test)


def test_the_way_past_quart_answers_as_quart_does(in_world):
    """A parameter that changes nothing takes the long way."""

    async def test(world, client, _port):
        await world.save(EVENT, event={"name": "Fenerbahçe - Galatasaray"})
        for stale in (set(), {"football"}):
            world.node.stale_sports = stale
            for asked in ({}, {"If-None-Match": '"1.1"'}, {"If-None-Match": '"1.1-stale"'}, {"If-None-Match": "*"}):
                ways = [
                    await client.get(f"/v1/events/{EVENT}{query}", headers=asked) for query in ("", "?odds=decimal")
                ]
                short, long = ways
                assert short.status_code == long.status_code
                assert short.content == long.content
                for way in ways:
                    del way.headers["date"]
                    way.headers.pop("ratelimit-remaining")
                    way.headers.pop("content-length", None)  # quart says it of 304 too
                assert short.headers == long.headers
        assert world.app.asgi_app._node.held(EVENT) is not None

    _over_http(in_world, test)
