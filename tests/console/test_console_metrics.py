"""Metrics as numbers: what a real registry writes is read back, and quantiles are where the values were."""

import pytest
from prometheus_client import generate_latest

from sb_console import metrics
from sb_core.telemetry import Telemetry


@pytest.fixture
def telemetry():
    return Telemetry("feed-ingestion", now_ms=lambda: 0)


def look(telemetry):
    return metrics.parse(generate_latest(telemetry.registry).decode())


def test_counters_gauges_and_labels(telemetry):
    counter = telemetry.counter("messages_total", "x", ("provider", "outcome"))
    counter.labels('od"d{ }', "accepted").inc(3)
    counter.labels("uof", "refused").inc(2)
    telemetry.gauge("inflight_requests", "x").set(7)
    values = look(telemetry)
    name = "sb_feed_ingestion_messages_total"
    assert metrics.total(values, name) == 5
    assert metrics.total(values, name, outcome="refused") == 2
    assert metrics.total(values, "sb_feed_ingestion_inflight_requests") == 7
    assert metrics.prefix_of("feed-ingestion") == "sb_feed_ingestion_"
    assert not any("_created" in each for each in values)


def test_quantiles_are_of_what_came_in_between(telemetry):
    times = telemetry.histogram("append_seconds", "x")
    for _ in range(100):
        times.observe(4.0)
    before = look(telemetry)
    for number in range(1_000):
        times.observe(number / 10_000)
    p50, p99 = metrics.quantiles(before, look(telemetry), "sb_feed_ingestion_append_seconds", (0.5, 0.99))
    assert p50 == pytest.approx(0.05, rel=0.1)
    assert p99 == pytest.approx(0.099, rel=0.1)
    assert metrics.quantiles(before, before, "sb_feed_ingestion_append_seconds", (0.5,)) == (None,)


def test_a_counter_that_went_back_has_restarted():
    assert metrics.grown({"a_total": 10.0}, {"a_total": 14.0}, "a_total") == 4
    assert metrics.grown({"a_total": 10.0}, {"a_total": 3.0}, "a_total") == 3


def test_rubbish_is_left_out():
    assert metrics.parse('a 1\nb x\n\n# c 3\nnonsense\nd{e="f g"} 2.5') == {"a": 1.0, 'd{e="f g"}': 2.5}
    assert len(metrics.parse("\n".join(f"m{n} 1" for n in range(9_000)))) == metrics.SAMPLES_MAX
