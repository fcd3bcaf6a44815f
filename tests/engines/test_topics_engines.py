"""Topics on a real broker: made with the settings of WIRE.md, and services refuse to start on others."""

import json
import subprocess
import sys

import pytest
from local_pipeline import ROOT, Pipeline

from sb_core import topics

pytestmark = pytest.mark.engines

DAY_MS = 86_400_000


@pytest.fixture
def sb(tmp_path):
    pipeline = Pipeline(tmp_path / "data")

    def called(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "sb_local.cli", *arguments],
            cwd=ROOT,
            env=pipeline.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    called.prefix = pipeline.settings["SB_LOG_URL"].partition("prefix=")[2]
    return called


def settings(stack, topic):
    told = stack.kafka_tool("kafka-topics.sh", "--describe", "--topic", topic).splitlines()[0]
    fields = dict(part.split(": ", 1) for part in told.strip().split("\t") if ": " in part)
    return int(fields["PartitionCount"]), dict(each.split("=", 1) for each in fields["Configs"].split(","))


def test_topics_are_made_as_the_wire_contract_says(sb, engines):
    assert sb("topics", "verify").returncode == 1
    made = sb("topics", "create", "--json")
    assert made.returncode == 0, made.stderr
    rows = {row["topic"]: row for row in json.loads(made.stdout)}
    assert {spec.name for spec in topics.specs()} <= rows.keys()
    assert not any(row["wrong"] for row in rows.values())
    for name, partitions, cleanup, days in (
        ("sports-feed-football", 12, "delete", 7),
        ("sports-updates-hockey", 12, "delete", 3),
        ("sports-dead-letter", 1, "delete", 30),
        ("sports-events", 1, "compact", None),
    ):
        count, found = settings(engines.stack, sb.prefix + name)
        assert (count, found["cleanup.policy"]) == (partitions, cleanup)
        assert int(found["retention.ms"]) == (-1 if days is None else days * DAY_MS)
    assert sb("topics", "verify").returncode == 0


OTHERS = (("process", "--sport", "football"), ("distribute",), ("topics", "create"))


@pytest.mark.parametrize("service", [("ingest",), *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)])
def test_a_topic_of_another_size_stops_every_service_at_its_start(sb, engines, service):
    topic = f"{sb.prefix}sports-feed-football"
    engines.stack.kafka_tool("kafka-topics.sh", "--create", "--topic", topic, "--partitions", "6")
    done = sb(*service)
    assert done.returncode == 1
    assert "sports-feed-football has 6 partitions, not 12" in done.stderr
