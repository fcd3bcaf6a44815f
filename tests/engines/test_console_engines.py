"""The console beside services on real engines: the same collectors, positions from MySQL, ends from Kafka."""

import anyio
import pytest
from console_parts import painted
from local_pipeline import Pipeline

from sb_console import headless
from sb_console.profiles import Profile
from sb_core import settings as settings_module

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
