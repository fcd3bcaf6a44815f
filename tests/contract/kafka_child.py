"""A process on a Kafka log until it is killed: `append` says what was acknowledged, `member` what it was given."""

import sys
from functools import partial

import anyio

from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.records import Record
from sb_core.runtime import SystemClock

TASKS = 6
BATCH = 20
TOPIC = "feed"


async def append(log, task):
    n = 0
    while True:
        now = SystemClock().now_ms()
        batch = [Record(TOPIC, f"{task}", f"{task}:{n}:{i}".encode(), now, i % 4) for i in range(BATCH)]
        await log.append(batch, {"accepted": BATCH})
        print(f"{task}:{n}", flush=True)
        n += 1


async def member(log):
    reader = log.reader([TOPIC], "members")
    while True:
        delivery = await reader.read(records_max=100, wait_s=1)
        if delivery.assigned or delivery.revoked:
            print(",".join(str(number) for _, number in delivery.assigned) or "-", flush=True)


async def main(what, url):
    async with open_kafka_log(url, SystemClock()) as log, anyio.create_task_group() as group:
        if what == "member":
            group.start_soon(member, log)
        else:
            for task in range(TASKS):
                group.start_soon(append, log, task)


if __name__ == "__main__":
    anyio.run(partial(main, *sys.argv[1:]), backend="trio")
