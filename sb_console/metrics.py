"""Prometheus text as plain numbers, and what two looks at them say: rates and quantiles. Pure.

The rule: a metric is its whole name with its labels, as the service wrote it; a counter that went back is a restart, and
then everything it shows happened since.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

SAMPLES_MAX: Final = 5_000
NAME_CHARS_MAX: Final = 300
COUNTERS: Final = ("_total", "_count", "_sum")
"""What a counter's name ends in, and a histogram's own."""
_BOUND: Final = re.compile(r'le="([^"]+)"')
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text: str) -> dict[str, float]:
    """Read an exposition; what is no number, and everything beyond SAMPLES_MAX samples, is left out."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        name, _, number = line.rpartition(" ")
        if not name or name[0] == "#" or len(name) > NAME_CHARS_MAX or "_created" in name:
            continue
        try:
            values[name] = float(number)
        except ValueError:
            continue
        if len(values) >= SAMPLES_MAX:
            break
    return values


def prefix_of(service: str) -> str:
    """Return what a service's metrics begin with."""
    return f"sb_{re.sub('[^a-z0-9]+', '_', service.lower())}_"


@lru_cache(maxsize=20_000)
def family(name: str) -> str:
    """Return a metric's name without its labels."""
    return name.partition("{")[0]


@lru_cache(maxsize=20_000)
def labels(name: str) -> Mapping[str, str]:
    """Return a metric's labels."""
    return dict(_LABEL.findall(name.partition("{")[2]))


def total(values: Mapping[str, float], wanted: str, **asked: str) -> float:
    """Add up all samples of a metric that have these labels."""
    return sum(
        value
        for name, value in values.items()
        if family(name) == wanted and all(labels(name).get(label) == text for label, text in asked.items())
    )


def grown(before: Mapping[str, float], now: Mapping[str, float], wanted: str, **asked: str) -> float:
    """Return by how much a counter has grown."""
    was, is_ = total(before, wanted, **asked), total(now, wanted, **asked)
    return is_ if is_ < was else is_ - was


def quantiles(
    before: Mapping[str, float], now: Mapping[str, float], wanted: str, shares: Iterable[float], **asked: str
) -> tuple[float | None, ...]:
    """Return quantiles of what a histogram saw between two looks, in its unit; None where it saw nothing.

    Within a bucket values count as spread evenly; what lies in the last, endless bucket counts as its lower bound.
    """
    counts: dict[float, float] = {}
    for name, value in now.items():
        if family(name) != f"{wanted}_bucket":
            continue
        if any(labels(name).get(label) != text for label, text in asked.items()):
            continue
        bound = _BOUND.search(name)
        if bound is not None:
            at = float(bound[1].replace("+Inf", "inf"))
            counts[at] = counts.get(at, 0.0) + value - min(before.get(name, 0.0), value)
    return tuple(_quantile(sorted(counts.items()), share) for share in shares)


def _quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    everything = buckets[-1][1] if buckets else 0.0
    if everything <= 0:
        return None
    wanted, low, below = share * everything, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return low
            inside = count - below
            return low + (bound - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = bound, count
    return low
