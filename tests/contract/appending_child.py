"""A process that appends to a log until it is killed, saying on standard output what was acknowledged."""

import sys
from functools import partial

import anyio

from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.records import Record
from sb_core.topics import TopicSpec

BATCH = 25
TASKS = 8


class NoClock:
    def now_ms(self):
        return 0

    def monotonic_s(self):
        return 0.0


async def append(log, task):
    n = 0
    while True:
        batch = [Record("t", f"{task}", f"{task}:{n}:{i}:".encode() + b"x" * (n % 700), n) for i in range(BATCH)]
        await log.append(batch, {"accepted": BATCH})
        print(f"{task}:{n}", flush=True)
        n += 1


async def main(path):
    async with open_sqlite_log(path, NoClock()) as log, anyio.create_task_group() as group:
        await log.create([TopicSpec("t", 3, None)])
        for task in range(TASKS):
            group.start_soon(append, log, task)


if __name__ == "__main__":
    anyio.run(partial(main, sys.argv[1]), backend="trio")
