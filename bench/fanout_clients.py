"""Many WebSocket clients in one process, which check what they hear: no gap, nothing twice, and the right end.

Speaks the protocol by hand on non-blocking sockets, because a library's cost per frame would be what is measured.
Reads its task (one JSON line) and at the end the revs that must have come (another one) from standard input; prints
`ready` once all are synced, then the result.
"""

import json
import random
import select
import socket
import sys
import time
from array import array
from typing import Any, Final

import msgspec
from msgspec import Struct

RECEIVE_BYTES: Final = 262_144
SETTLE_S: Final = 60.0
STORM: Final = b"storm\n"
JITTER_S: Final = 5.0
"""Dropped clients come back within this time, each at a random moment of it."""
SLOW_READ_BYTES: Final = 32_768
"""Enough for the kernel to take some within any write deadline, far less than what comes."""
SLOW_EVERY_S: Final = 0.5
SMALL_BUFFER_BYTES: Final = 16_384
HANDSHAKE: Final = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Task(Struct, frozen=True, kw_only=True):
    """What to do: `clients` of which each follows `each` of `events`; `slow` ones read little, `dead` ones nothing."""

    port: int
    clients: int
    each: int
    events: list[str]
    conflate_ms: int = 0
    slow: int = 0
    dead: int = 0
    seed: int = 1


class End(Struct, frozen=True, kw_only=True):
    """What must have come; latencies count of updates made within [from_ns, to_ns)."""

    revs: dict[str, int]
    shut: dict[str, bool]
    from_ns: int
    to_ns: int


class Result(Struct, frozen=True, kw_only=True):
    """What came. Times (ms) and deliveries are of those who read; `cpu` is this process's share of a core meanwhile."""

    deliveries: int
    merged: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    gaps: int
    repeated: int
    wrong: int
    unsafe: int
    resumed: int
    back_s: float
    closed: dict[str, int]
    cpu: float


class _Info(Struct):
    at: int = 0


class Market(Struct):
    """What is looked at of a market."""

    open: bool = False
    info: _Info = msgspec.field(default_factory=_Info)


class Changes(Struct):
    """What is looked at of a change."""

    markets: list[Market] = []


class Item(Struct):
    """A change of an event."""

    event: str
    prev: int
    rev: int
    changes: Changes
    con: bool = False


class _Event(Struct):
    event: str
    rev: int
    markets: list[Market] = []


class _Frame(Struct):
    op: str
    cursor: str | None = None
    recovered: bool = False
    items: list[Item] = []
    event: _Event | None = None


_decode: Final = msgspec.json.Decoder(_Frame).decode


class Client:
    """One connection; `revs` is what it holds, `open` which of its events it takes for open."""

    def __init__(self, port: int, wish: dict[str, Any], events: list[str], *, small: bool) -> None:
        self.events = events
        self.revs: dict[str, int] = {}
        self.open: dict[str, bool] = {}
        self.synced = False
        self.resumed = False
        self.cursor: str | None = None
        self._wish = wish
        self._port, self.odd = port, small
        self.connect()

    def connect(self) -> None:
        """Connect, anew or again, and subscribe from the cursor on."""
        self.synced = False
        self.code: int | None = None
        self.gone = False
        self.socket = socket.socket()
        if self.odd:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self.socket.connect(("127.0.0.1", self._port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(HANDSHAKE)
        self.socket.setblocking(False)
        self.rest = b""
        self.upgraded = False

    def take(self, size: int) -> list[bytes]:
        """Read once; return whole messages."""
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return []
        data = self.rest + data if self.rest else data
        at = 0
        if not self.upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.rest = data
                return []
            if not data.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(data[:200].decode("latin-1"))
            self.upgraded, at = True, end + 4
            wish = self._wish if self.cursor is None else {**self._wish, "cursor": self.cursor}
            self.socket.send(_masked(json.dumps(wish).encode()))
        return self._frames(data, at)

    def _frames(self, data: bytes, at: int) -> list[bytes]:
        found, end = [], len(data)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if end < begin + size or (size >= 126 and end < begin):
                break
            if data[at] == 0x81:
                found.append(data[begin : begin + size])
            elif data[at] == 0x88:
                self.code = int.from_bytes(data[begin : begin + 2], "big")
            elif data[at] == 0x89:
                self.socket.send(b"\x8a" + bytes([0x80 | size]) + b"\0\0\0\0" + data[begin : begin + size])
            at = begin + size
        self.rest = data[at:]
        return found


def _masked(text: bytes) -> bytes:
    """Write a text message with the mask that changes nothing."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


class Crowd:
    """All clients."""

    def __init__(self, task: Task) -> None:
        self._task = task
        chance = random.Random(task.seed)
        self.clients: list[Client] = []
        self._poll = select.epoll()
        self._by_fd: dict[int, Client] = {}
        odd = task.slow + task.dead
        for number in range(task.clients):
            events = sorted(chance.sample(task.events, task.each))
            client = Client(task.port, self.wish(events), events, small=number < odd)
            self.clients.append(client)
            self._watch(client)
            if number % 20 == 0:
                self.turn(0)
        self.slow: list[Client] = []
        self.dead: list[Client] = []
        self.latency_ns = array("q")
        self.made_ns = array("q")
        self.merged = self.gaps = self.repeated = 0
        self.back_s = 0.0

    def wish(self, events: list[str]) -> dict[str, Any]:
        """Return what a client says first."""
        return {"op": "subscribe", "sub": "s", "events": events, "conflate_ms": self._task.conflate_ms}

    def _watch(self, client: Client) -> None:
        self._by_fd[client.socket.fileno()] = client
        self._poll.register(client.socket.fileno(), select.EPOLLIN)

    def slacken(self) -> None:
        """From now on some clients read little and some nothing."""
        task = self._task
        self.slow, self.dead = self.clients[: task.slow], self.clients[task.slow : task.slow + task.dead]
        for client in (*self.slow, *self.dead):
            self._forget(client)

    def _forget(self, client: Client) -> None:
        fd = client.socket.fileno()
        if self._by_fd.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def storm(self) -> None:
        """Drop all connections and take them up again, with what comes meanwhile."""
        begun_s = time.monotonic()
        chance = random.Random(self._task.seed)
        waiting = sorted(((begun_s + chance.random() * JITTER_S, n) for n in range(len(self.clients))), reverse=True)
        for client in self.clients:
            self._forget(client)
            client.socket.close()
            client.synced = False
        while waiting or not all(client.synced or client.gone for client in self.clients):
            while waiting and waiting[-1][0] <= time.monotonic():
                client = self.clients[waiting.pop()[1]]
                client.connect()
                self._watch(client)
            self.turn(0.01)
        self.back_s = time.monotonic() - begun_s

    def turn(self, wait_s: float) -> None:
        """Read what has come."""
        for fd, _ in self._poll.poll(wait_s):
            self.read(self._by_fd[fd], RECEIVE_BYTES)

    def read(self, client: Client, size: int) -> None:
        """Read one client's bytes."""
        messages = client.take(size)
        now_ns = time.monotonic_ns()
        for message in messages:
            self.hear(client, message, now_ns)
        if client.gone:
            self._forget(client)

    def hear(self, client: Client, message: bytes, now_ns: int) -> None:
        """Take a message in."""
        frame = _decode(message)
        for item in frame.items:
            self.item(client, item, now_ns)
        if frame.event is not None:
            client.revs[frame.event.event] = frame.event.rev
            client.open[frame.event.event] = any(market.open for market in frame.event.markets)
        elif frame.op == "subscribed":
            client.resumed = frame.recovered
        elif frame.op == "synced":
            client.synced = True
        if frame.cursor is not None:
            client.cursor = frame.cursor

    def item(self, client: Client, item: Item, now_ns: int) -> None:
        """Take a change in."""
        known = client.revs.get(item.event, 0)
        if item.rev <= known:
            self.repeated += 1
            return
        if item.prev > known:
            self.gaps += 1
        client.revs[item.event] = item.rev
        self.merged += item.con
        for market in item.changes.markets:
            client.open[item.event] = market.open
            if not client.odd:
                self.latency_ns.append(now_ns - market.info.at)
                self.made_ns.append(market.info.at)

    def right(self, end: End) -> tuple[int, int]:
        """Count who stayed and lacks a rev, and who takes for open at its newest rev what was shut at that rev."""
        stayed = [client for client in self.clients if not client.gone]
        wrong = sum(any(client.revs.get(event) != end.revs[event] for event in client.events) for client in stayed)
        unsafe = sum(
            client.open.get(event, False) and end.shut.get(f"{event} {client.revs.get(event)}", False)
            for client in self.clients
            for event in client.events
        )
        return wrong, unsafe


def _result(crowd: Crowd, end: End, cpu: float) -> Result:
    counted = sorted(
        late for late, made in zip(crowd.latency_ns, crowd.made_ns, strict=True) if end.from_ns <= made < end.to_ns
    )
    wrong, unsafe = crowd.right(end)
    closed: dict[str, int] = {}
    for client in crowd.clients:
        if client.gone:
            closed[str(client.code)] = closed.get(str(client.code), 0) + 1

    def at(share: float) -> float:
        return counted[min(len(counted) - 1, int(share * len(counted)))] / 1e6 if counted else 0.0

    return Result(
        deliveries=len(counted),
        merged=crowd.merged,
        p50_ms=at(0.5),
        p99_ms=at(0.99),
        max_ms=at(1.0),
        gaps=crowd.gaps,
        repeated=crowd.repeated,
        wrong=wrong,
        unsafe=unsafe,
        resumed=sum(client.resumed for client in crowd.clients),
        back_s=crowd.back_s,
        closed=closed,
        cpu=cpu,
    )


def _says(ready: Any) -> None:
    sys.stdout.write(ready + "\n")
    sys.stdout.flush()


def _until_told(crowd: Crowd) -> bytes:
    """Read until told how it must have ended."""
    stdin, due_s = sys.stdin.fileno(), time.monotonic() + SLOW_EVERY_S
    while True:
        if select.select([stdin], [], [], 0)[0]:
            line = sys.stdin.buffer.readline()
            if line != STORM:
                return line
            crowd.storm()
        crowd.turn(0.05)
        if time.monotonic() >= due_s:
            due_s += SLOW_EVERY_S
            for client in crowd.slow:
                if not client.gone:
                    crowd.read(client, SLOW_READ_BYTES)


def main(make: type[Crowd] = Crowd) -> int:
    """Play the clients' part."""
    crowd = make(msgspec.json.decode(sys.stdin.buffer.readline(), type=Task))
    while not all(client.synced or client.gone for client in crowd.clients):
        crowd.turn(0.1)
    crowd.slacken()
    _says("ready")
    begun_s, cpu_s = time.monotonic(), time.process_time()
    line = _until_told(crowd)
    cpu = (time.process_time() - cpu_s) / (time.monotonic() - begun_s)
    end = msgspec.json.decode(line, type=End)
    until_s = time.monotonic() + SETTLE_S
    odd = [*crowd.slow, *crowd.dead]
    while time.monotonic() < until_s and (crowd.right(end)[0] or not all(client.gone for client in crowd.dead)):
        crowd.turn(0.05)
        for client in odd:  # whoever was slow reads on now, and finds either its close or all that it missed
            if not client.gone:
                crowd.read(client, RECEIVE_BYTES)
    _says(msgspec.json.encode(_result(crowd, end, cpu)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
