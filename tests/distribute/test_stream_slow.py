"""A client that stops reading: the others don't notice, its memory is bounded, and it is closed with 4408."""

import socket

import anyio
import msgspec
import pytest

from sb_core import client as clients
from sb_core import shown
from sb_core.client_frames import Heard


async def next_of(client, kind):
    with anyio.fail_after(10):
        async for happened in client:
            if isinstance(happened, kind):
                return happened
    raise AssertionError


def big(a_market, odds, size=40):
    return [a_market("total", odds, line=f"total={n}.5") for n in range(size)]


@pytest.mark.parametrize("resumes_reading", [True, False])
def test_a_client_that_reads_nothing_is_closed(run, stage, a_market, resumes_reading):
    async def main():
        async with stage(stream_write_deadline_ms=600) as on, on.client() as quick, on.client() as slow:
            # a small window, so that little fits in between
            slow._stream._raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            for client in (quick, slow):
                await client.subscribe("s1", sports=["football"])
                await next_of(client, clients.Synced)
            with anyio.fail_after(20):
                while len(on.hub.sessions) == 2:
                    await on.change("uof:e1", *big(a_market, f"{2 + len(on.updates) / 1000:.2f}", 100), stored=False)
                    while quick.events("s1").get("uof:e1", shown.empty("", "")).rev < on.oracle["uof:e1"].rev:
                        await anext(quick)
                    await anyio.sleep(0.01)
            assert quick.events("s1") == on.oracle
            if resumes_reading:
                with pytest.raises(clients.StreamError) as closed:
                    await next_of(slow, clients.Lost)
                assert closed.value.code == 4408

    run(main)


def test_what_waits_for_a_slow_client_conflates(run, stage, a_market):
    async def main():
        async with stage(stream_outbox_bytes_max=50_000) as on, on.client() as slow:
            slow._stream._raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            await slow.subscribe("s1")
            await next_of(slow, clients.Synced)
            session, connection = next(iter(on.hub.sessions.items()))
            for n in range(600):
                await on.change("uof:e1", *big(a_market, f"{2 + n / 1000:.2f}"), stored=False)
                await on.change("uof:e2", a_market("1x2", f"{2 + n / 1000:.2f}"), stored=False)
                assert session.waiting_bytes <= 50_000
                assert connection._backlog_bytes < 2_000_000
            await on.seen("uof:e1")
            assert connection.busy
            heard = 0
            with anyio.fail_after(10):
                while slow.events("s1") != on.oracle:
                    await anext(slow)
                    heard += 1
            assert heard < 1_000

    run(main)


def test_a_client_that_hangs_up_is_forgotten(run, stage):
    async def main():
        async with stage() as on:
            async with on.client() as client:
                await client.subscribe("s1")
                await next_of(client, clients.Synced)
                assert on.hub.subscriptions == 1
            with anyio.fail_after(2):
                while on.hub.sessions:  # noqa: ASYNC110  the server is asked from outside
                    await anyio.sleep(0.01)
            assert on.hub.subscriptions == 0

    run(main)


def test_a_lost_connection_is_taken_up_from_its_cursor(run, stage, a_market):
    async def main():
        async with stage() as on, on.client(reconnect=True, jitter=lambda: 0.5) as client:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            await client.subscribe("s1", sports=["football"])
            await next_of(client, clients.Synced)
            connection = next(iter(on.hub.sessions.values()))
            connection.scope.cancel()
            lost = await next_of(client, clients.Lost)
            assert lost.code is None
            await on.change("uof:e1", a_market("1x2", "1.60"))
            await on.seen("uof:e1")
            assert (await next_of(client, clients.Subscribed)).source == "ring"
            await next_of(client, clients.Synced)
            assert client.events("s1") == on.oracle

    run(main)


def test_a_gap_is_told_and_mended(run, stage, a_market):
    async def main():
        async with stage() as on, on.client() as client:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            await client.subscribe("s1")
            await next_of(client, clients.Synced)
            client.followed("s1").events["uof:e1"] = msgspec.structs.replace(client.events("s1")["uof:e1"], rev=0)
            await on.change("uof:e1", a_market("1x2", "1.60"))
            assert (await next_of(client, clients.Gap)).prev == 1
            await next_of(client, clients.Synced)
            assert client.events("s1") == on.oracle
            assert isinstance(clients.Synced("s1", ""), Heard)

    run(main)
