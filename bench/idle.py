"""What an idle WebSocket client costs a node in memory: many of them, each with a subscription to one event."""

import time
from typing import Final

from msgspec import Struct

from bench.fanout import Writer, crowd, node
from bench.fanout_clients import End, Task

HEARTBEATS: Final = 2


class Idle(Struct, frozen=True):
    """One run: memory for each client in KB, and the node's share of a core while nothing but heartbeats went out."""

    clients: int
    kb_each: float
    cpu: float
    lost: int


def measure(clients: int = 10_000, heartbeat_ms: int = 10_000) -> Idle:
    """Connect clients, wait for some heartbeats, and look at the node's resident memory before and after."""
    with node(stream_connections_max=clients + 10, stream_heartbeat_ms=heartbeat_ms) as target:
        writer = Writer(4000 + target.offset)
        writer.begin()
        time.sleep(1)
        before_mb = target.memory_mb()
        task = Task(port=4003 + target.offset, clients=clients, each=1, events=writer.events)
        with crowd(task) as finish:
            begun_s, cpu_s = time.perf_counter(), target.cpu_s()
            time.sleep(HEARTBEATS * heartbeat_ms / 1000)
            cpu = (target.cpu_s() - cpu_s) / (time.perf_counter() - begun_s)
            kb_each = (target.memory_mb() - before_mb) * 1024 / clients
            seen = finish(End(revs=writer.revs, shut=writer.shut, from_ns=0, to_ns=0))
            writer.close()
            return Idle(clients=clients, kb_each=kb_each, cpu=cpu, lost=sum(seen.closed.values()) + seen.wrong)
