"""What a processor measures of itself.

The rule: no label names an event or a producer.
"""

from collections.abc import Mapping

from sb_core.telemetry import Telemetry


class Meters:
    """A processor's metrics."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.messages = telemetry.counter("messages_total", "Messages by what they came to.", ("result",))
        self.fenced = telemetry.counter("fenced_total", "Batches refused by the fence.")
        self.retries = telemetry.counter("commit_retries_total", "Commits that were tried again.")
        self.unknown = telemetry.counter("commit_unknown_total", "Commits whose outcome was read back.")
        self.batch = telemetry.histogram(
            "batch_records", "Records per batch.", buckets=(1, 10, 50, 100, 250, 500, 1000)
        )
        self.stage = telemetry.histogram("stage_seconds", "Time by stage of a batch.", ("stage",))
        self.overlapped = telemetry.counter(
            "cycles_full_total", "Reads that waited, as many cycles were under way as may be."
        )
        self.cached = telemetry.gauge("cached_events", "Events held in memory.")

    def count(self, counts: Mapping[str, int]) -> None:
        """Count a batch's messages by what they came to."""
        for name, count in counts.items():
            if name not in {"changes", "updates_published"}:
                self.messages.labels(name.partition(":")[0]).inc(count)
