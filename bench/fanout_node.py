"""A distribution node alone in a process, as it is measured: both ports, adapters in memory, updates from a socket.

The updates come as a broker would bring them, over a connection: lines of `event TAB update`. Ticks are made here.
"""

import gc
import sys
from typing import Final

import anyio
from anyio.abc import SocketStream, TaskStatus

from sb_core import topics
from sb_core.ops import Ops
from sb_core.records import Record
from sb_core.runtime import GC_THRESHOLDS, Context, run_services
from sb_core.settings import load
from sb_distribute.service import DistributeService

READ_BYTES_MAX: Final = 1 << 20
TICK_S: Final = 1.0
NAME: Final = "feed-ingestion"
"""The feed takes ingest's port."""


class Feed:
    """Appends what a socket brings to the updates topic of football."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self.ops = Ops(NAME, context.telemetry, context.clock)

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take connections until stopped."""
        port = self._context.settings.port(NAME)
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, self._take)
            group.start_soon(self._tick)
            task_status.started()
            await stop.wait()
            group.cancel_scope.cancel()

    async def _tick(self) -> None:
        while True:
            now_ms = self._context.clock.now_ms()
            value = b'{"type":"tick","ts":%d}' % now_ms
            places = [(topics.updates(sport), n) for sport in topics.SPORTS for n in range(topics.PARTITIONS)]
            await self._context.log.append([Record(topic, "tick", value, now_ms, n) for topic, n in places])
            await anyio.sleep(TICK_S)

    async def _take(self, stream: SocketStream) -> None:
        topic, rest = topics.updates("football"), b""
        async with stream:
            while True:
                try:
                    data = rest + await stream.receive(READ_BYTES_MAX)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                *lines, rest = data.split(b"\n")
                now_ms = self._context.clock.now_ms()
                records = []
                for line in lines:
                    event, _, update = line.partition(b"\t")
                    records.append(Record(topic, event.decode(), update, now_ms))
                if records:
                    await self._context.log.append(records)


def main() -> int:
    """Serve until a signal."""
    gc.set_threshold(*GC_THRESHOLDS)  # as the service itself does
    settings = load()
    return anyio.run(run_services, (("data-distribution", DistributeService), (NAME, Feed)), settings, backend="trio")


if __name__ == "__main__":
    sys.exit(main())
