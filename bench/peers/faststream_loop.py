"""The processing loop as one writes it with FastStream, one message at a time: a transaction, the cache, the update.

`python faststream_loop.py WARM_UP MESSAGES` prints one JSON object: messages a second after the warm-up. Environment as loop.js.
"""

import asyncio
import json
import os
import resource
import sys
import time
from urllib.parse import urlsplit

import asyncmy
from aiokafka import ConsumerRecord
from faststream.kafka import KafkaBroker, KafkaMessage
from redis.asyncio import Redis

WARM_UP, MESSAGES = int(sys.argv[1]), int(sys.argv[2])
FEED, UPDATES = os.environ["PEER_FEED"], os.environ["PEER_UPDATES"]
TABLES = (
    "CREATE TABLE IF NOT EXISTS peer_positions (`partition` INT PRIMARY KEY, next_offset BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS peer_prices (event VARCHAR(200), market VARCHAR(100), line VARCHAR(200),
    outcome VARCHAR(200), odds BIGINT, ts BIGINT, PRIMARY KEY (event, market, line, outcome))""",
    """CREATE TABLE IF NOT EXISTS peer_history (`partition` INT, `offset` BIGINT, event VARCHAR(200), ts BIGINT,
    body LONGTEXT, PRIMARY KEY (`partition`, `offset`), KEY (event, ts))""",
    "DELETE FROM peer_positions",
    "DELETE FROM peer_prices",
    "DELETE FROM peer_history",
)
POSITION = "INSERT INTO peer_positions VALUES (%s, %s) ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset)"
PRICES = (
    "INSERT INTO peer_prices VALUES (%s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE"
    " odds = IF(VALUES(ts) >= ts, VALUES(odds), odds), ts = GREATEST(ts, VALUES(ts))"
)
HISTORY = "INSERT INTO peer_history VALUES (%s, %s, %s, %s, %s)"

broker = KafkaBroker(os.environ["PEER_KAFKA"], logger=None, acks="all", enable_idempotence=True)
publisher = broker.publisher(UPDATES)


class Loop:
    """What a message goes through."""

    def __init__(self, pool: asyncmy.Pool, redis: Redis) -> None:
        self.pool = pool
        self.redis = redis
        self.done = 0
        self.begun = 0.0
        self.over = asyncio.Event()

    async def take(self, body: bytes, record: ConsumerRecord) -> None:
        """Handle one message."""
        message = json.loads(body)
        if message["type"] != "odds":
            return
        rows = [
            (
                message["event"],
                market["market"],
                market.get("line") or "",
                each["id"],
                round(float(each["odds"]) * 10_000),
                message["ts"],
            )
            for market in message["markets"]
            for each in market["outcomes"]
        ]
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            await cursor.execute(POSITION, (record.partition, record.offset + 1))
            await cursor.executemany(PRICES, rows)
            await cursor.execute(
                HISTORY, (record.partition, record.offset, message["event"], message["ts"], body.decode())
            )
            await connection.commit()
        await self.redis.set(f"peer:{message['event']}", body)
        await publisher.publish(body, key=message["event"].encode(), partition=record.partition)
        self.done += 1
        if self.done == WARM_UP:
            self.begun = time.perf_counter()
        if self.done == WARM_UP + MESSAGES:
            self.over.set()


async def main() -> None:
    """Run until enough messages went through."""
    url = urlsplit(os.environ["PEER_MYSQL"])
    pool = await asyncmy.create_pool(
        host=url.hostname,
        port=url.port,
        user=url.username,
        password=url.password,
        db=url.path[1:],
        minsize=1,
        maxsize=4,
    )
    async with pool.acquire() as connection, connection.cursor() as cursor:
        for statement in TABLES:
            await cursor.execute(statement)
        await connection.commit()
    redis = Redis.from_url(os.environ["PEER_REDIS"])
    loop = Loop(pool, redis)

    @broker.subscriber(FEED, group_id=f"{FEED}-faststream", auto_offset_reset="earliest")
    async def take(message: KafkaMessage) -> None:
        await loop.take(message.body, message.raw_message)

    await broker.start()
    await loop.over.wait()
    seconds = time.perf_counter() - loop.begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "messages": MESSAGES,
        "per_s": MESSAGES / seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "all": loop.done,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(found), flush=True)
    await broker.stop()


asyncio.run(main())
