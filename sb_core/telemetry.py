"""Metrics and log lines of one service.

The rules: a metric is named `sb_<service>_<what>_<unit>` and no label carries an id of an event or a message, because
labels must stay few; a log line is one JSON object on standard error with the keys of the wire contract first.
Several services may live in one process, so each has a registry of its own. Logging never raises.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TextIO, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sb_core.errors import ContractError

LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "error": 40}
FIELD_CHARS_MAX: Final = 2_000
LINE_FIELDS_MAX: Final = 40
UNITS: Final = frozenset(
    {
        "total",
        "seconds",
        "ms",
        "bytes",
        "ratio",
        "count",
        "messages",
        "records",
        "items",
        "documents",
        "changes",
        "events",
        "markets",
        "batches",
        "requests",
        "connections",
        "sessions",
        "subscriptions",
        "partitions",
        "entries",
        "keys",
        "clients",
        "producers",
        "offsets",
        "tasks",
        "state",
        "info",
        "per_second",
    }
)
"""What a metric's name may end in."""

_LABELS_REFUSED: Final = frozenset(
    {
        "event",
        "event_id",
        "message",
        "message_id",
        "id",
        "trace",
        "market",
        "line",
        "session",
        "client",
        "key",
    }
)
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", re.ASCII)
_RESERVED: Final = frozenset({"time", "level", "event", "service", "trace"})
_LATENCY_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Telemetry:
    """Metrics and logging of one service; `now_ms` gives the time of log lines."""

    def __init__(
        self, service: str, *, level: str = "info", stream: TextIO | None = None, now_ms: Callable[[], int]
    ) -> None:
        if level not in LEVELS:
            raise ContractError(f"unknown log level {level!r}")
        self.service = service
        self.level = level
        self.registry = CollectorRegistry()
        self.lines_lost = 0
        self._least = LEVELS[level]
        self._stream = stream
        self._now_ms = now_ms
        self._prefix = f"sb_{re.sub('[^a-z0-9]+', '_', service.lower())}_"
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def __repr__(self) -> str:
        return f"<Telemetry {self.service} {self.level} metrics={len(self._metrics)}>"

    def named(self, service: str) -> "Telemetry":
        """Return the telemetry of another service that writes to the same place."""
        return Telemetry(service, level=self.level, stream=self._stream, now_ms=self._now_ms)

    # metrics

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """Make or find a counter; `name` is `<what>_total`, the prefix is added."""
        full = self._full_name(name if name.endswith("_total") else f"{name}_total", labels)
        return self._found(full, Counter) or self._kept(full, Counter(full, text, labels, registry=self.registry))

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Make or find a gauge; `name` is `<what>_<unit>`."""
        full = self._full_name(name, labels)
        return self._found(full, Gauge) or self._kept(full, Gauge(full, text, labels, registry=self.registry))

    def histogram(
        self, name: str, text: str, labels: tuple[str, ...] = (), buckets: Sequence[float] = _LATENCY_BUCKETS_S
    ) -> Histogram:
        """Make or find a histogram; `name` is `<what>_<unit>`, buckets are in that unit (default: latencies in s)."""
        full = self._full_name(name, labels)
        return self._found(full, Histogram) or self._kept(
            full, Histogram(full, text, labels, registry=self.registry, buckets=buckets)
        )

    def _full_name(self, name: str, labels: tuple[str, ...]) -> str:
        what = name.removeprefix(self._prefix)
        if not _NAME.fullmatch(what) or not any(what.endswith(f"_{unit}") for unit in UNITS):
            raise ContractError(f"metric {name!r} is not named <what>_<unit> with a unit of telemetry.UNITS")
        for label in labels:
            if label in _LABELS_REFUSED:
                raise ContractError(f"metric {name!r} has the label {label!r}, which has too many values")
        return self._prefix + what

    def _found(self, full: str, kind: type[Metric]) -> Metric | None:
        metric = self._metrics.get(full)
        if metric is None:
            return None
        if not isinstance(metric, kind):
            raise ContractError(f"metric {full!r} exists as another kind")
        return metric

    def _kept(self, full: str, metric: Metric) -> Metric:
        self._metrics[full] = metric
        return metric

    # log lines

    def debug(self, event: str, *, trace: str = "", **fields: object) -> None:
        """Write a line for those who look for a fault."""
        self._write("debug", event, trace, fields)

    def info(self, event: str, *, trace: str = "", **fields: object) -> None:
        """Write a line about the ordinary course of things."""
        self._write("info", event, trace, fields)

    def warn(self, event: str, *, trace: str = "", **fields: object) -> None:
        """Write a line about something that someone should look at some day."""
        self._write("warn", event, trace, fields)

    def error(self, event: str, *, trace: str = "", **fields: object) -> None:
        """Write a line about something that someone should look at now."""
        self._write("error", event, trace, fields)

    def _write(self, level: str, event: str, trace: str, fields: dict[str, object]) -> None:
        if LEVELS[level] < self._least:
            return
        line: dict[str, object] = {
            "time": rfc3339(self._now_ms()),
            "level": level,
            "event": event,
            "service": self.service,
            "trace": trace or None,
        }
        for name, value in list(fields.items())[:LINE_FIELDS_MAX]:
            line[f"{name}_" if name in _RESERVED else name] = _fit(value)
        try:
            (self._stream or sys.stderr).write(_encode(line) + "\n")
            (self._stream or sys.stderr).flush()
        except (OSError, ValueError):
            # standard error is closed or full: a service goes on without its words
            self.lines_lost += 1

    def adopt(self, logger_name: str) -> logging.Logger:
        """Make the standard library's logger of that name write into this service's lines; return it."""
        logger = logging.getLogger(logger_name)
        logger.handlers = [LinesHandler(self)]
        logger.propagate = False
        logger.setLevel(self._least)
        return logger


class LinesHandler(logging.Handler):
    """Turns records of the standard library's logging (hypercorn, quart, drivers) into log lines."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        fields: dict[str, str] = {"logger": record.name, "text": text}
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(error_fields(record.exc_info[1]))
        write = self._telemetry.debug
        for name, method in (
            ("info", self._telemetry.info),
            ("warn", self._telemetry.warn),
            ("error", self._telemetry.error),
        ):
            if record.levelno >= LEVELS[name]:
                write = method
        write("library_log", **fields)


def error_fields(error: BaseException) -> dict[str, str]:
    """Return an exception as fields of a log line: its type, its words and the end of its traceback."""
    trail = "".join(traceback.format_exception(error))
    return {
        "error": type(error).__name__,
        "detail": str(error)[:FIELD_CHARS_MAX],
        "traceback": trail[-FIELD_CHARS_MAX:],
    }


def rfc3339(now_ms: int) -> str:
    """Write ms since 1970 UTC as RFC 3339 with milliseconds and Z."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"


def _fit(value: object) -> object:
    if isinstance(value, str) and len(value) > FIELD_CHARS_MAX:
        return value[:FIELD_CHARS_MAX] + "…"
    if isinstance(value, bytes):
        return repr(value[:FIELD_CHARS_MAX])
    return value


def _encode(line: dict[str, object]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        # an odd value must not cost the line: lone surrogates, huge numbers, cycles
        return msgspec.json.encode({name: ascii(value)[:FIELD_CHARS_MAX] for name, value in line.items()}).decode()
