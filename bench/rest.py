"""REST: small events, encoded already, asked for as fast as they are answered, and then at a steady rate."""

import subprocess
import sys
import time
from typing import Final

import msgspec
from msgspec import Struct

from bench.fanout import Writer, node
from bench.rest_clients import Result, Task
from bench.target import ROOT

CONNECTIONS: Final = 16
SECONDS: Final = 5.0
STEADY_PER_S: Final = 750.0
"""Half of the least rate that a process must do."""


class Rest(Struct, frozen=True):
    """One run: the most that was answered, the node's share of a core then, and the times at a steady rate."""

    per_s: float
    cpu: float
    steady: Result


def ask(task: Task) -> Result:
    """Run clients in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.rest_clients"],
        cwd=ROOT,
        input=msgspec.json.encode(task) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Result)


def measure() -> Rest:
    """Run once on a fresh node."""
    with node() as target:
        writer = Writer(4000 + target.offset)
        writer.begin()
        time.sleep(0.5)
        task = Task(
            port=4002 + target.offset,
            paths=[f"/v1/events/{event}" for event in writer.events],
            connections=CONNECTIONS,
            seconds=SECONDS,
        )
        ask(task)  # whatever is made once is made now
        begun_s, cpu_s = time.perf_counter(), target.cpu_s()
        most = ask(task)
        cpu = (target.cpu_s() - cpu_s) / (time.perf_counter() - begun_s)
        steady = ask(msgspec.structs.replace(task, per_s=STEADY_PER_S))
        writer.close()
        if most.wrong or steady.wrong:
            raise RuntimeError(f"{most.wrong + steady.wrong} answers were not 200")
        return Rest(per_s=most.answers / most.seconds, cpu=cpu, steady=steady)
