"""Lag verdicts: what a window of looks at a partition means, after Burrow's rules. Pure.

The rule: a number is no verdict. A group that was once at the end within the window keeps up (OK); one whose position
does not move while records wait is STALLED; one that moves is DRAINING or GROWING by what happened to its lag; and AT
RISK is a group that retention is about to overtake, or has overtaken. `sb lag` and the console judge by this alone.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Verdict: TypeAlias = Literal["OK", "DRAINING", "GROWING", "AT RISK", "STALLED", "UNKNOWN"]

WINDOW_MS: Final = 6_000
"""How far back a verdict looks."""
STALLED_MS: Final = 3_000
"""A group's position must have stood still for this long."""
APART_MS: Final = 15_000
"""A partition whose group moves must have stood still for this long: a group works through its partitions in turns."""
KEPT_MS: Final = 20_000
"""How far back looks are kept."""
RATE_MS: Final = 3_000
"""Rates, and what is computed from them, are of this last part of the window."""
ETA_MS: Final = 8_000
"""The time to zero is estimated by the pace of this last part of the window: longer than rates, so that it wobbles less."""
BEHIND_S_OK: Final = 2.0
"""A group that has no more before it than it does in this time keeps up."""
FEW_RECORDS: Final = 20
"""So few that move are never a verdict: a tick a second on a quiet partition is late by a record or two at any time."""
RISK_SHARE: Final = 0.8
"""Of what the log keeps, this share not read yet, while retention drops records, is a risk."""

SEVERITY: Final[tuple[Verdict, ...]] = ("OK", "UNKNOWN", "DRAINING", "GROWING", "AT RISK", "STALLED")
"""From well to bad."""


class Look(Struct, frozen=True, array_like=True, gc=False):
    """One look at a partition: its time in ms, and offsets. `committed` None: nobody has claimed it."""

    at: int
    committed: int | None
    end: int
    start: int = 0


class Judged(Struct, frozen=True):
    """What a window comes to: rates in records a second, `eta_s` the time to zero at these rates, a reason in words."""

    verdict: Verdict
    lag: int
    in_per_s: float
    out_per_s: float
    eta_s: float | None
    reason: str


def judge(window: Sequence[Look], *, stalled_ms: int = STALLED_MS) -> Judged:
    """Judge a partition by looks at it, the oldest first."""
    if not window:
        return Judged("UNKNOWN", 0, 0.0, 0.0, None, "never looked at")
    lags = [each.end - _at(each) for each in window]
    lag, last = lags[-1], window[-1]
    coming, going = _rates(window)
    eta_s = _eta_s(window, lag)
    verdict, reason = _verdict(window, lags, going, stalled_ms)
    if verdict == "OK" and lag <= 0:
        eta_s = 0.0
    if last.committed is not None and last.committed < last.start:
        lost = last.start - last.committed
        verdict, reason = "AT RISK", f"retention took {lost} records before they were read"
    return Judged(verdict, max(lag, 0), coming, going, eta_s, reason)


def _verdict(  # noqa: PLR0911  one return a verdict, in the order in which they count
    window: Sequence[Look], lags: Sequence[int], going: float, stalled_ms: int
) -> tuple[Verdict, str]:
    last, lag = window[-1], lags[-1]
    first = next(each for each in window if each.at >= last.at - WINDOW_MS)
    recent = _recent(window)
    was = recent.end - _at(recent)
    if any(lag <= 0 and each.at >= last.at - WINDOW_MS for lag, each in zip(lags, window, strict=True)):
        return "OK", "reached the end within the window"
    if len(window) < 2:
        return "UNKNOWN", "looked at once only"
    if last.start > 0 and lag >= RISK_SHARE * (last.end - last.start):
        return "AT RISK", f"{lag} of the {last.end - last.start} records kept wait, and retention drops the oldest"
    stood_ms = _stood_ms(window)
    if stood_ms >= stalled_ms:
        return "STALLED", f"{lag} records wait and nothing was committed for {stood_ms / 1000:.0f} s"
    if _at(last) < _at(first):
        return "UNKNOWN", "the position went back"
    if going > 0 and lag <= max(FEW_RECORDS, BEHIND_S_OK * going):
        return "OK", "keeps pace"
    ago_s = (last.at - recent.at) / 1000
    if lag < was:
        return "DRAINING", f"{lag} records wait, {was - lag} fewer than {ago_s:.0f} s ago"
    if _at(last) == _at(first):
        return "UNKNOWN", f"{lag} records wait, and the position has not moved yet"
    return "GROWING", f"{lag} records wait, {lag - was} more than {ago_s:.0f} s ago"


def _at(look: Look) -> int:
    return look.start if look.committed is None else look.committed


def _stood_ms(window: Sequence[Look]) -> int:
    """Return for how long the position has not moved."""
    last = window[-1]
    since = last.at
    for look in reversed(window):
        if _at(look) != _at(last):
            break
        since = look.at
    return last.at - since


def _eta_s(window: Sequence[Look], lag: int) -> float | None:
    """Return the time to zero at the pace since the position began to move, at most ETA_MS ago; None: never."""
    last = window[-1]
    looks = [each for each in window if each.at >= last.at - ETA_MS]
    moving = next((n for n in range(1, len(looks)) if _at(looks[n]) != _at(looks[n - 1])), None)
    if moving is None:
        return None
    begun = looks[moving - 1]
    seconds = (last.at - begun.at) / 1000
    closed = (begun.end - _at(begun)) - lag
    return round(lag * seconds / closed, 1) if closed > 0 and lag > 0 else None


def _recent(window: Sequence[Look]) -> Look:
    """Return the look that the last one is compared with: RATE_MS before it, but never itself if there is another."""
    earlier = window[:-1] or window
    return next((each for each in earlier if each.at >= window[-1].at - RATE_MS), earlier[-1])


def _rates(window: Sequence[Look]) -> tuple[float, float]:
    first, last = _recent(window), window[-1]
    seconds = (last.at - first.at) / 1000
    if seconds <= 0:
        return 0.0, 0.0
    return round((last.end - first.end) / seconds, 1), round((_at(last) - _at(first)) / seconds, 1)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts, OK when there are none."""
    return max(verdicts, key=SEVERITY.index, default="OK")


def skew(lags: Sequence[int]) -> float | None:
    """Return how unevenly lag lies on partitions: the largest over the mean, 1 when even; None without lag."""
    total = sum(lags)
    return round(max(lags) * len(lags) / total, 1) if total > 0 else None
