"""A sport gets more partitions on real engines: the end-to-end test word for word, and processors that still run."""

import pytest
from services import Services
from test_repartition import *  # noqa: F403  the same test
from test_repartition import COUNT, repartition

pytestmark = pytest.mark.engines


def test_processors_that_still_run_are_seen_without_ingest(tmp_path):
    services = Services(tmp_path / "services", ("ingest", "football"))
    services.ready_ports = (4000, 4101)
    try:
        services.start()
        services.stop_one("ingest")
        refused = repartition(services, COUNT)
        assert refused.returncode == 1
        assert "processors of football still run (1 in the group sb-process-football)" in refused.stderr
    finally:
        services.kill()
