"""The service as it is composed: both ports, readiness, a stop in order."""

import anyio
import httpx
from ports import free_offset

from sb_core.client import Hello, StreamClient
from sb_core.runtime import open_context
from sb_core.settings import PORTS, Settings
from sb_distribute.service import READY_CHECK_S, DistributeService

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def service_settings():
    return Settings(
        log_url="memory:",
        store_url="memory:",
        log_level="error",
        port_offset=free_offset(PORTS["data-distribution"], PORTS["data-distribution-stream"]),
    )


def test_what_is_told_to_stop_is_not_ready_however_long_it_takes(run):
    async def main():
        settings = service_settings()
        async with open_context(settings, "data-distribution") as context, anyio.create_task_group() as group:
            service, stop = DistributeService(context), anyio.Event()
            await group.start(service.run, stop)
            with anyio.fail_after(5):
                while service.ops.reason is not None:  # noqa: ASYNC110  readiness has no event
                    await anyio.sleep(0.02)
            port = settings.port("data-distribution-stream")
            async with await anyio.connect_tcp("127.0.0.1", port) as deaf:  # it never answers that it is closed
                await deaf.send(HANDSHAKE)
                assert (await deaf.receive()).startswith(b"HTTP/1.1 101")
                stop.set()
                for _ in range(8):
                    await anyio.sleep(READY_CHECK_S / 2)
                    assert service.ops.reason == "stopping"

    run(main)


def test_both_ports_serve_and_stop(run):
    async def main():
        settings = service_settings()
        async with open_context(settings, "data-distribution") as context, anyio.create_task_group() as group:
            service = DistributeService(context)
            stop = anyio.Event()
            ended = anyio.Event()

            async def serve(*, task_status):
                await service.run(stop, task_status=task_status)
                ended.set()

            await group.start(serve)
            async with httpx.AsyncClient() as http:
                with anyio.fail_after(5):
                    while (await http.get(f"{settings.distribute_url}/ready")).status_code != 200:  # noqa: ASYNC110  readiness is asked for over HTTP here
                        await anyio.sleep(0.02)
                for base in (settings.distribute_url, settings.stream_url.replace("ws:", "http:")):
                    health = (await http.get(f"{base}/health")).json()
                    assert health["service"] == "data-distribution"
                    assert set(health["checks"]) == {"log", "store", "cache"}
            async with StreamClient(settings.stream_url, reconnect=False) as client:
                assert isinstance(await anext(client), Hello)
                stop.set()
            with anyio.fail_after(5):
                await ended.wait()

    run(main)
