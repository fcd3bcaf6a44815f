"""The console beside services on real engines: the same collectors, positions from MySQL, ends from Kafka."""

from uuid import uuid4

import anyio
import pytest
from aiokafka.conn import AIOKafkaConnection
from console_parts import painted
from local_pipeline import Pipeline

from sb_console import headless
from sb_console.profiles import Profile
from sb_core import settings as settings_module
from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec

pytestmark = pytest.mark.engines


def test_one_look_at_real_engines(tmp_path):
    pipeline = Pipeline(tmp_path / "data").start()
    try:
        profile = Profile("compose", "blue", settings_module.load(pipeline.environment()))
        assert profile.settings.log_url.startswith("kafka:")
        for _ in range(10):  # a busy machine may miss the deadline of a round, and that is told, too
            snapshot = anyio.run(headless.look, profile, 6.0, backend="trio")
            if snapshot.sources["positions"].state == "live" and snapshot.verdict != "UNKNOWN":
                break
        assert snapshot.sources["positions"].error is None
        assert len(snapshot.rows) == 48
        assert snapshot.requests <= 3
        assert all(row.owner for row in snapshot.rows.values())
        assert "in 48 partitions" in "\n".join(painted(snapshot, screen="lag", width=120))
    finally:
        pipeline.kill()


def test_two_hundred_partitions_are_a_request_for_starts_and_one_for_ends(engines, monkeypatch):
    asked = []
    send = AIOKafkaConnection.send

    def counted(connection, request, *args, **kwargs):
        asked.append(type(request).__name__)
        return send(connection, request, *args, **kwargs)

    async def look():
        url = f"{engines.stack.log_url}/?prefix=c{uuid4().hex[:8]}."
        names = [f"wide-{number}" for number in range(4)]
        async with open_kafka_log(url, SystemClock()) as log:
            await log.create([TopicSpec(name, 50, None) for name in names])
            await log.ends(names)  # from now on the client knows whom to ask
            monkeypatch.setattr(AIOKafkaConnection, "send", counted)
            starts, ends = await log.starts(names), await log.ends(names)
            monkeypatch.undo()
            assert len(starts) == len(ends) == 200

    anyio.run(look, backend="trio")
    assert sum("Offset" in name for name in asked) == 2, asked
    assert len(asked) <= 3, asked
