"""Telemetry: names of metrics, and what a log line looks like whatever is thrown at it."""

import io
import json
import logging

import pytest
from prometheus_client import generate_latest

from sb_core.errors import ContractError
from sb_core.telemetry import FIELD_CHARS_MAX, Telemetry, error_fields, rfc3339

NOW = 1_782_240_000_190


def make(level: str = "debug", service: str = "data-processing-football") -> tuple[Telemetry, io.StringIO]:
    stream = io.StringIO()
    return Telemetry(service, level=level, stream=stream, now_ms=lambda: NOW), stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_metrics_carry_the_services_name():
    telemetry, _ = make()
    telemetry.counter("messages_total", "Messages.", ("outcome",)).labels("applied").inc(3)
    telemetry.gauge("lag_ms", "Lag.").set(7)
    telemetry.histogram("batch_seconds", "Batches.").observe(0.02)
    text = generate_latest(telemetry.registry).decode()
    assert 'sb_data_processing_football_messages_total{outcome="applied"} 3.0' in text
    assert "sb_data_processing_football_lag_ms 7.0" in text
    assert 'sb_data_processing_football_batch_seconds_bucket{le="0.025"} 1.0' in text


def test_a_metric_asked_for_twice_is_the_same():
    telemetry, _ = make()
    assert telemetry.counter("a_total", "x") is telemetry.counter("a_total", "x")
    assert telemetry.counter("a", "x") is telemetry.counter("sb_data_processing_football_a_total", "x")
    with pytest.raises(ContractError, match="another kind"):
        telemetry.gauge("a_total", "x")


def test_services_in_one_process_don_t_share_metrics():
    telemetry, _ = make()
    other = telemetry.named("feed-ingestion")
    telemetry.counter("a_total", "x").inc()
    other.counter("a_total", "x").inc(5)
    assert telemetry.registry.get_sample_value("sb_data_processing_football_a_total") == 1
    assert other.registry.get_sample_value("sb_feed_ingestion_a_total") == 5
    assert telemetry.registry.get_sample_value("sb_feed_ingestion_a_total") is None


@pytest.mark.parametrize("name", ["lag", "lagMs", "lag_parsecs", "_ms", "lag ms", "lag_ms_", "total"])
def test_a_name_without_a_unit_is_our_fault(name):
    telemetry, _ = make()
    with pytest.raises(ContractError, match="<what>_<unit>"):
        telemetry.gauge(name, "x")


@pytest.mark.parametrize("label", ["event", "market", "trace", "message_id"])
def test_ids_are_no_labels(label):
    telemetry, _ = make()
    with pytest.raises(ContractError, match="too many values"):
        telemetry.counter("a_total", "x", (label,))


def test_a_line_has_the_keys_of_the_contract_first():
    telemetry, stream = make()
    telemetry.info("committed", trace="ab" * 16, partition=3, took_ms=1.5)
    assert list(lines(stream)[0].items()) == [
        ("time", "2026-06-23T18:40:00.190Z"),
        ("level", "info"),
        ("event", "committed"),
        ("service", "data-processing-football"),
        ("trace", "ab" * 16),
        ("partition", 3),
        ("took_ms", 1.5),
    ]


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(level, written):
    telemetry, stream = make(level)
    for each in ("debug", "info", "warn", "error"):
        getattr(telemetry, each)("x")
    assert [line["level"] for line in lines(stream)] == written


def test_an_unknown_level_is_our_fault():
    with pytest.raises(ContractError):
        Telemetry("x", level="loud", now_ms=lambda: 0)


class Awkward:
    def __str__(self) -> str:
        return "awkward"


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\nb", "a\nb"),
        ("x" * 5_000, "x" * FIELD_CHARS_MAX + "…"),
        (b"\xff", "b'\\xff'"),
        (Awkward(), "awkward"),
        (float("nan"), None),
        ({"a": (1, None)}, {"a": [1, None]}),
        ("\ud800", "'\\ud800'"),
        (CYCLE, "[[...]]"),
        (2**80, 2**80),
    ],
)
def test_any_value_makes_one_line(value, written):
    telemetry, stream = make()
    telemetry.info("x", value=value)
    assert stream.getvalue().count("\n") == 1
    assert lines(stream)[0]["value"] == written


def test_fields_don_t_overwrite_the_contracts_keys():
    telemetry, stream = make()
    telemetry.info("x", time=1, service=2)
    assert lines(stream)[0]["service"] == "data-processing-football"
    assert lines(stream)[0]["service_"] == 2
    assert lines(stream)[0]["time_"] == 1


def test_a_closed_standard_error_stops_nobody():
    telemetry, stream = make()
    stream.close()
    telemetry.error("x")
    assert telemetry.lines_lost == 1


def test_without_a_stream_lines_go_to_standard_error(capsys):
    Telemetry("s", now_ms=lambda: 0).info("x")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["time"] == "1970-01-01T00:00:00.000Z"
    assert captured.out == ""


def test_libraries_write_into_the_same_lines():
    telemetry, stream = make("info")
    logger = telemetry.adopt("sb_core.test.package")
    logger.debug("not this")
    logger.warning("disk %s at %d %%", "a", 93)
    logger.warning("%d", "no number")
    try:
        raise KeyError("lost")
    except KeyError:
        logging.getLogger("sb_core.test.package").exception("it broke")
    warned, odd, broke = lines(stream)
    assert (warned["level"], warned["event"], warned["text"]) == ("warn", "library_log", "disk a at 93 %")
    assert odd["text"] == "%d"
    assert (broke["level"], broke["error"]) == ("error", "KeyError")
    assert "test_telemetry.py" in str(broke["traceback"])


def test_adopting_again_moves_the_lines():
    first, first_stream = make()
    second, second_stream = make(service="feed-ingestion")
    first.adopt("sb_core.test.moved")
    second.adopt("sb_core.test.moved").warning("x")
    assert lines(first_stream) == []
    assert lines(second_stream)[0]["service"] == "feed-ingestion"


def test_error_fields_keep_the_end_of_a_long_traceback():
    fields = error_fields(ValueError("x" * 10_000))
    assert fields["error"] == "ValueError"
    assert len(fields["detail"]) == FIELD_CHARS_MAX
    assert len(fields["traceback"]) <= FIELD_CHARS_MAX


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_782_240_000_005, "2026-06-23T18:40:00.005Z"),
        (951_782_400_999, "2000-02-29T00:00:00.999Z"),
    ],
)
def test_rfc3339(ms, text):
    assert rfc3339(ms) == text
