"""HTTP clients in a process of their own, on sockets by hand: as fast as they are answered, or at a steady rate.

Reads its task (a JSON line) from standard input, prints the result. Every answer is checked: 200, and the body's length.
"""

import heapq
import select
import socket
import sys
import time
from typing import Final

import msgspec
from msgspec import Struct

RECEIVE_BYTES: Final = 262_144


class Task(Struct, frozen=True, kw_only=True):
    """Ask `paths` in turn over `connections` for `seconds`; `per_s` None: the next request as soon as one is answered."""

    port: int
    paths: list[str]
    connections: int
    seconds: float
    per_s: float | None = None


class Result(Struct, frozen=True, kw_only=True):
    """What came. Times in ms, from when a request was due; `wrong` answers were not 200."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    wrong: int
    cpu: float


class _Clients:
    def __init__(self, task: Task) -> None:
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in task.paths]
        self._task = task
        self._poll = select.epoll()
        self._by_fd: dict[int, socket.socket] = {}
        self._due: dict[int, float] = {}
        self._data: dict[int, bytes] = {}
        self._free: list[int] = []
        self._asked = 0
        self.late_s: list[float] = []
        self.wrong = 0
        for _ in range(task.connections):
            made = socket.create_connection(("127.0.0.1", task.port))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._by_fd[made.fileno()] = made
            self._poll.register(made.fileno(), select.EPOLLIN)
            heapq.heappush(self._free, made.fileno())

    def run(self) -> float:
        """Ask until the time is over; return how long it took."""
        begun_s = time.perf_counter()
        until_s = begun_s + self._task.seconds
        while (now_s := time.perf_counter()) < until_s or len(self._free) < len(self._by_fd):
            while self._free and now_s < until_s and (due_s := self._due_s(begun_s)) <= now_s:
                self._ask(due_s if self._task.per_s else now_s)
            for fd, _ in self._poll.poll(0.001 if self._free else 1.0):
                self._take(fd)
            if now_s > until_s + 10:
                raise RuntimeError("answers are missing")
        return time.perf_counter() - begun_s

    def _due_s(self, begun_s: float) -> float:
        return begun_s + self._asked / self._task.per_s if self._task.per_s else begun_s

    def _ask(self, due_s: float) -> None:
        fd = heapq.heappop(self._free)
        self._by_fd[fd].sendall(self._requests[self._asked % len(self._requests)])
        self._asked += 1
        self._due[fd], self._data[fd] = due_s, b""

    def _take(self, fd: int) -> None:
        more = self._by_fd[fd].recv(RECEIVE_BYTES)
        if not more:
            raise RuntimeError("the server hung up")
        data = self._data[fd] = self._data[fd] + more
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]):
            return
        self.wrong += not data.startswith(b"HTTP/1.1 200")
        self.late_s.append(time.perf_counter() - self._due[fd])
        heapq.heappush(self._free, fd)


def main() -> int:
    """Play the clients' part."""
    clients = _Clients(msgspec.json.decode(sys.stdin.buffer.readline(), type=Task))
    cpu_s = time.process_time()
    took_s = clients.run()
    late = sorted(clients.late_s)
    result = Result(
        answers=len(late),
        seconds=took_s,
        p50_ms=late[len(late) // 2] * 1000,
        p99_ms=late[int(len(late) * 0.99)] * 1000,
        wrong=clients.wrong,
        cpu=(time.process_time() - cpu_s) / took_s,
    )
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
