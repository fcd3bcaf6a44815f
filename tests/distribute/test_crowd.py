"""Many clients of a node in a process of its own: some read nothing, some little; all are dropped at once and come back.

The clients are bench/fanout_clients.py, in another process, which check themselves: no gap, nothing twice, the right end,
and never a market taken for open at the rev that closed it.
"""

import signal
import statistics
import time

import pytest
from ports import free_offset

from bench import fanout
from bench.fanout_clients import End, Task

PORTS = (4000, 4002, 4003)
STOP_S = 10.0
HEALTHY_SHARE = 1.25
HEALTHY_MS = 5.0
NODE_KB_MAX = 160 * 1024
BACK_S = 30.0
CLIENT_KB_MAX = 6 * 1024
"""The outbox's bytes (SB_STREAM_OUTBOX_BYTES_MAX) and the kernel's share of them."""


def check(done, odd):
    """Who reads nothing is closed, who reads little may be: in the kernel's eyes it may have taken nothing for too long."""
    seen = done.seen
    assert (seen.gaps, seen.repeated, seen.wrong, seen.unsafe) == (0, 0, 0, 0), seen
    # who reads on late may find the connection gone, and its code with it
    assert seen.closed.keys() <= {"4408", "None"}, seen
    assert odd <= sum(seen.closed.values()) <= 2 * odd, seen


def play(clients, odd, per_s, seconds, pad, **settings):
    done = fanout.measure(
        50, clients=clients, slow=odd, dead=odd, per_s=per_s, seconds=seconds, stops=0.1, pad=pad,
        offset=free_offset(*PORTS), **settings,
    )  # fmt: skip
    check(done, odd)
    return done


@pytest.mark.e2e
def test_who_reads_nothing_harms_nobody():
    crowd = play(40, 4, 200, 5, 20_000, stream_write_deadline_ms=1_000)
    assert crowd.seen.merged > 0
    assert crowd.memory_mb * 1024 < NODE_KB_MAX + 40 * CLIENT_KB_MAX


@pytest.mark.slow
@pytest.mark.e2e
def test_a_tenth_reads_nothing_and_a_tenth_little():
    beyond = []
    for _ in range(5):
        alone, crowd = play(1_000, 0, 200, 24, 4_000), play(1_000, 100, 200, 24, 4_000)
        assert (crowd.memory_mb - alone.memory_mb) * 1024 < 200 * CLIENT_KB_MAX
        beyond.append(crowd.seen.p99_ms - max(alone.seen.p99_ms * HEALTHY_SHARE, alone.seen.p99_ms + HEALTHY_MS))
    assert statistics.median(beyond) <= 0, beyond


@pytest.mark.e2e
@pytest.mark.parametrize("clients", [50, pytest.param(1_000, marks=pytest.mark.slow)])
def test_all_are_dropped_and_come_back(clients):
    done = fanout.measure(
        10, clients=clients, per_s=200, seconds=8 if clients < 1_000 else 30, storm=True, offset=free_offset(*PORTS)
    )
    seen = done.seen
    assert (seen.gaps, seen.wrong, seen.unsafe, seen.closed) == (0, 0, 0, {}), seen
    assert seen.back_s < BACK_S, seen
    assert seen.resumed >= clients * 0.99, seen
    assert done.loads == 0  # all of them from the ring: the database is asked for nothing


@pytest.mark.e2e
@pytest.mark.parametrize("clients", [30, pytest.param(1_000, marks=pytest.mark.slow)])
def test_a_node_told_to_stop_amid_slow_clients_is_gone_in_time(clients):
    with fanout.node(offset=free_offset(*PORTS), stream_connections_max=clients + 10) as target:
        writer = fanout.Writer(4000 + target.offset, pad=20_000)
        writer.begin()
        task = Task(
            port=4003 + target.offset,
            clients=clients,
            each=10,
            events=writer.events,
            slow=clients // 10,
            dead=clients // 10,
        )
        with fanout.crowd(task) as finish:
            writer.play(200, 3)
            begun = time.monotonic()
            target.process.send_signal(signal.SIGTERM)
            assert target.process.wait(STOP_S) == 0
            assert time.monotonic() - begun < STOP_S
            seen = finish(End(revs=writer.revs, shut=writer.shut, from_ns=0, to_ns=0))
            assert seen.gaps == 0
            assert seen.closed.get("1001", 0) >= clients - 2 * (clients // 10)
        writer.close()
