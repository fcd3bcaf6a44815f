"""Kafka, a database and Redis for pipelines under test: each data folder has topics, a database and keys of its own."""

import asyncio
import os
import subprocess
import sys
from uuid import uuid4

import redis
from aiokafka.admin import AIOKafkaAdminClient

REDIS_DATABASES = 16


class RealEngines:
    """A native stack. What it gave out is dropped by `drop`."""

    def __init__(self, started):
        self.stack = started
        self.names = {}
        kafka = started.plan.settings["kafka"]
        self.wired_port, self.wire_port = (_last_port(kafka[name]) for name in ("listeners", "advertised.listeners"))
        """Who comes in at the first is told to come back at the second, where a wire to the log may listen."""

    def environ(self, folder):
        """Return the settings of the pipeline of this folder, the same ones every time."""
        if folder not in self.names:
            self.names[folder] = f"t{uuid4().hex[:12]}"
            self.stack.mysql_tool("", "-e", f"CREATE DATABASE {self.database(folder)} CHARACTER SET utf8mb4")
            self.migrate(folder)
            with self.cache(folder) as cache:
                cache.flushdb()
        return {
            "SB_LOG_URL": f"{self.stack.log_url}/?prefix={self.names[folder]}.",
            "SB_STORE_URL": self.store_url(folder),
            "SB_CACHE_URL": self.cache_url(folder),
        }

    def database(self, folder):
        return f"sportsbet_{self.names[folder]}"

    def store_url(self, folder):
        return self.stack.store_url.rpartition("/")[0] + f"/{self.database(folder)}"

    def migrate(self, folder):
        """Do what an operator does once before the services start."""
        environ = {**os.environ, "SB_STORE_URL": self.store_url(folder)}
        subprocess.run([sys.executable, "-m", "sb_local.migrate"], env=environ, check=True, timeout=60)

    def cache_url(self, folder):
        return self.stack.cache_url.rpartition("/")[0] + f"/{list(self.names).index(folder) % REDIS_DATABASES}"

    def cache(self, folder):
        return redis.Redis.from_url(self.cache_url(folder))

    def ask(self, folder, statement):
        """Ask the database; return rows of texts."""
        told = self.stack.mysql_tool("", "-N", "-B", self.database(folder), "-e", statement)
        return [line.split("\t") for line in told.splitlines()]

    def drop(self):
        for folder in self.names:
            self.stack.mysql_tool("", "-e", f"DROP DATABASE {self.database(folder)}")
        asyncio.run(self._drop_topics(tuple(f"{name}." for name in self.names.values())))
        self.names.clear()

    async def _drop_topics(self, prefixes):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stack.log_url.removeprefix("kafka://"))
        await admin.start()
        try:
            ours = [topic for topic in await admin.list_topics() if topic.startswith(prefixes)]
            if ours:
                await admin.delete_topics(ours, timeout_ms=20_000)
        finally:
            await admin.close()


def _last_port(listeners):
    return int(listeners.rpartition(":")[2])
