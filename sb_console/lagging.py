"""From looks at partitions to rows and groups with verdicts. Pure."""

from collections.abc import Iterable
from itertools import groupby

from sb_console.lag import WINDOW_MS, Look, Verdict, judge, skew, worst
from sb_console.model import SERIES_MAX, LagGroup, LagRow
from sb_console.observations import Place


def row(held: LagRow | None, place: Place, at: int) -> LagRow:
    """Add a look to a partition's window and judge it; a new claim or lineage begins a new window."""
    same = held is not None and held.lineage == place.lineage
    window = (*(held.window if held is not None and same else ()), Look(at, place.committed, place.end, place.start))
    window = tuple(each for each in window if each.at >= at - WINDOW_MS)
    judged = judge(window)
    return LagRow(
        group=place.group,
        topic=place.topic,
        partition=place.partition,
        committed=place.committed,
        done=place.done,
        start=place.start,
        end=place.end,
        lag=judged.lag,
        in_per_s=judged.in_per_s,
        out_per_s=judged.out_per_s,
        verdict=judged.verdict,
        reason=judged.reason,
        eta_s=judged.eta_s,
        owner=place.owner,
        epoch=place.epoch,
        lineage=place.lineage,
        window=window,
        lags=(*(held.lags if held is not None else ()), judged.lag)[-SERIES_MAX:],
    )


def groups(rows: Iterable[LagRow]) -> tuple[LagGroup, ...]:
    """Add partitions up to groups, the groups by name."""
    ordered = sorted(rows, key=lambda each: (each.group, each.topic, each.partition))
    return tuple(
        _group(*key, tuple(members)) for key, members in groupby(ordered, lambda each: (each.group, each.topic))
    )


def _group(group: str, topic: str, members: tuple[LagRow, ...]) -> LagGroup:
    verdict = worst(each.verdict for each in members)
    behind = [each for each in members if each.lag > 0]
    lag = sum(each.lag for each in members)
    coming, going = sum(each.in_per_s for each in members), sum(each.out_per_s for each in members)
    alike = [each for each in members if each.verdict == verdict]
    reason = f"{len(alike)} of {len(members)} partitions"
    if verdict not in {"OK", "UNKNOWN"} and len(alike) == 1:
        reason = f"partition {alike[0].partition}: {alike[0].reason}"
    return LagGroup(
        group=group,
        topic=topic,
        verdict=verdict,
        partitions=len(members),
        lag=lag,
        in_per_s=round(coming, 1),
        out_per_s=round(going, 1),
        eta_s=_eta_s(behind, lag, coming, going),
        skew=skew([each.lag for each in members]),
        reason=reason,
        unpublished=sum((each.committed or 0) - (each.done or 0) for each in members),
    )


def _eta_s(behind: list[LagRow], lag: int, coming: float, going: float) -> float | None:
    """Return the time to zero: a group's partitions share one processor, so what the whole of it does counts."""
    if not behind:
        return 0.0
    return round(lag / (going - coming), 1) if going > coming else None


def overall(made: Iterable[LagGroup], rows: Iterable[LagRow]) -> Verdict:
    """Return the verdict on everything: UNKNOWN while nothing is known."""
    known = list(made)
    return worst(each.verdict for each in known) if known and any(rows) else "UNKNOWN"
