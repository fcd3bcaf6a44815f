"""Another library's client gets along with the server."""

import msgspec
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.trio.client import connect


def test_websockets_own_client(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with connect(f"{on.url}/v1/stream") as socket:
                assert socket.subprotocol is None
                hello = msgspec.json.decode(await socket.recv())
                assert set(hello) == {"op", "session", "heartbeat_ms", "lineage", "limits"}
                await socket.send('{"op":"subscribe","sub":"s1","sports":["football"]}')
                said = [msgspec.json.decode(await socket.recv()) for _ in range(3)]
                assert [each["op"] for each in said] == ["subscribed", "snapshot", "synced"]
                assert said[1]["event"]["stale"] is False
                pong = await socket.ping()
                await pong.wait()
            async with connect(f"{on.url}/v1/stream", subprotocols=["sb.key.x", "sb.v1.msgpack"]) as socket:
                assert socket.subprotocol == "sb.v1.msgpack"
                assert msgspec.msgpack.decode(await socket.recv())["op"] == "hello"
                await socket.send([b"\x81\xa2op", b"\xa4ping"])  # in fragments
                assert msgspec.msgpack.decode(await socket.recv()) == {"op": "pong", "n": None}
                await socket.send("text")
                with pytest.raises(ConnectionClosedError) as closed:
                    await socket.recv()
                assert closed.value.rcvd.code == 4400

    run(main)


def test_not_there_and_not_ready(run, stage):
    async def main():
        async with stage() as on:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"{on.url}/v1/other"):
                    pass
            assert refused.value.response.status_code == 404
            on.node._reason = "catching up with the updates"
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"{on.url}/v1/stream"):
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "1"

    run(main)
