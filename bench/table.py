"""The rows of the table that all measurements end in."""

import statistics
from collections.abc import Sequence

Row = tuple[str, str, str]
"""What was measured ("": as in the row above), which figure of it, and the value."""


def spread(values: Sequence[float], form: str) -> str:
    """Write a median and the range."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{format(middle, form)} ({format(least, form)} to {format(most, form)})"
