"""How long it takes until the stream lags less than a second again after `kill -9`, with updates coming all the while.

The measure: what is killed is started again at once, as a supervisor would; lag is the age of the newest update that a
WebSocket client was shown, a client that comes back whenever its connection breaks. The answers of REST are watched, too.
"""

import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, Self

from msgspec import Struct

from bench.engine_parts import ENGINES, PORTS, Parts, fresh
from bench.engine_stream import EVENTS, SERVICES, WARM_UP_S, Load, Watcher
from sb_local.stack import Stack

LAG_S: Final = 1.0
AFTER_S: Final = 20.0
LOOK_S: Final = 0.02
BETWEEN_S: Final = 0.05


class Recovery(Struct, frozen=True):
    """One kill. `up_s` is when the part itself was back; `back_s` when the lag was below LAG_S for good; both since the kill.

    `errors` are answers of REST other than 200, and those that did not come, from all but the part that was killed.
    `loads` are the whole events that distribution has read from the database.
    """

    victim: str
    up_s: float
    back_s: float
    worst_lag_s: float
    answers: int
    errors: int
    loads: int


class Clinging:
    """Sees the newest update that was shown, over as many connections as it takes."""

    def __init__(self) -> None:
        self.newest = -1
        self.log: list[tuple[float, int]] = []
        self._done = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def note(self, item: Any, now: float) -> None:
        """Take an item."""
        number = max((market["info"]["n"] for market in item["changes"]["markets"]), default=-1)
        if number > self.newest:
            self.newest = number
            self.log.append((now, number))

    def _run(self) -> None:
        while not self._done:
            watcher = Watcher(self.note)
            try:
                watcher.start()
                while watcher.alive and not self._done:
                    time.sleep(LOOK_S)
            except RuntimeError:
                time.sleep(LOOK_S)
            finally:
                watcher.stop()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._done = True
        self._thread.join()


class Asking:
    """Asks REST for one event after the other, and counts what goes wrong."""

    def __init__(self) -> None:
        self.answers = 0
        self.errors = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._done.wait(BETWEEN_S):
            number += 1
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{PORTS['distribute']}/v1/events/lat:{number % EVENTS}", timeout=5
                ) as answer:
                    answer.read()
                    self.answers += 1
            except (OSError, urllib.error.HTTPError):
                self.errors += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def measure(running: Stack, victim: str, per_s: int) -> Recovery:
    """Kill one part under load. `flush` empties the cache instead."""
    with fresh(running) as parts:
        parts.start(*SERVICES)
        client, up = Clinging(), [0.0, 0.0]
        client.start()
        load = Load(per_s)
        warm, count = int(WARM_UP_S * per_s), int((WARM_UP_S + AFTER_S) * per_s)
        load.send(range(warm))
        with Asking() as asking:
            striking = threading.Thread(target=_strike, args=(parts, victim, up))
            striking.start()
            load.send(range(warm, count))
            striking.join()
            load.finish()
            time.sleep(1)
        client.stop()
        back_s, worst_s = _lag(client.log, load.planned, up[0])
        return Recovery(victim, up[1] - up[0], back_s, worst_s, asking.answers, asking.errors, _loads())


def _strike(parts: Parts, victim: str, up: list[float]) -> None:
    up[0] = up[1] = time.perf_counter()
    if victim == "flush":
        parts.flush()
    elif victim in ENGINES:
        parts.stack.kill(victim)
        parts.stack.start(victim)
    else:
        parts.processes[victim].kill()
        parts.processes.pop(victim).wait()
        parts.start(victim)
    up[1] = time.perf_counter()


def _loads() -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['distribute']}/metrics", timeout=30) as answer:
        found = re.search(rb'event_loads_total\{source="store"\} (\S+)', answer.read())
    return int(float(found[1])) if found else 0


def _lag(log: list[tuple[float, int]], planned: Callable[[int], float], killed: float) -> tuple[float, float]:
    """Return how long after `killed` the lag was LAG_S or more for the last time, and the worst lag."""
    back = worst = 0.0
    for (_, before), (now, number) in pairwise(log):
        if now < killed:
            continue
        lag = now - planned(before + 1)
        worst = max(worst, lag)
        if lag >= LAG_S or now - planned(number) >= LAG_S:
            back = now - killed
    return back, worst
