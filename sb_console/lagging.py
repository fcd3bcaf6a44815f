"""From looks at partitions to rows and groups with verdicts. Pure.

The rule: a group is judged as a whole, since it works through its partitions in turns; a partition that stands apart for
longer, or that retention is about to overtake, is told for its group, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from sb_console.lag import APART_MS, KEPT_MS, STALLED_MS, Judged, Look, Verdict, judge, skew, worst
from sb_console.model import SERIES_MAX, LagGroup, LagRow
from sb_console.observations import Place


def looked(
    held_rows: Mapping[str, LagRow], held_groups: Iterable[LagGroup], places: Sequence[Place], at: int
) -> tuple[dict[str, LagRow], tuple[LagGroup, ...]]:
    """Add a look at all places to what is known; return rows by `topic/partition`, and groups by name."""
    windows = {(each.group, each.topic): each.window for each in held_groups}
    ordered = sorted(places, key=lambda each: (each.group, each.topic, each.partition))
    rows: dict[str, LagRow] = {}
    groups = []
    for key, members in groupby(ordered, lambda each: (each.group, each.topic)):
        own = tuple(members)
        window = _kept((*windows.get(key, ()), _together(own, at)), at)
        judged = judge(window)
        stalled_ms = STALLED_MS if judged.verdict == "STALLED" else APART_MS
        made = [_row(held_rows.get(f"{each.topic}/{each.partition}"), each, at, stalled_ms) for each in own]
        rows.update({f"{each.topic}/{each.partition}": each for each in made})
        groups.append(_group(key, made, window, judged))
    return rows, tuple(groups)


def _together(places: Sequence[Place], at: int) -> Look:
    """Add the partitions of a group up to one look."""
    committed = sum(each.start if each.committed is None else each.committed for each in places)
    return Look(at, committed, sum(each.end for each in places), 0)


def _kept(window: Sequence[Look], at: int) -> tuple[Look, ...]:
    return tuple(each for each in window if each.at >= at - KEPT_MS)


def _row(held: LagRow | None, place: Place, at: int, stalled_ms: int) -> LagRow:
    """Add a look to a partition's window and judge it; another lineage begins a new window."""
    before = held.window if held is not None and held.lineage == place.lineage else ()
    window = _kept((*before, Look(at, place.committed, place.end, place.start)), at)
    judged = judge(window, stalled_ms=stalled_ms)
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


def _group(key: tuple[str, str], rows: Sequence[LagRow], window: tuple[Look, ...], judged: Judged) -> LagGroup:
    apart = [each for each in rows if each.verdict in {"STALLED", "AT RISK"}]
    verdict = worst([judged.verdict, *(each.verdict for each in apart)])
    reason = judged.reason
    if apart and judged.verdict != "STALLED":
        bad = max(apart, key=lambda each: (each.verdict == verdict, each.lag))
        reason = f"{len(apart)} of {len(rows)} partitions; partition {bad.partition}: {bad.reason}"
    return LagGroup(
        group=key[0],
        topic=key[1],
        verdict=verdict,
        partitions=len(rows),
        lag=judged.lag,
        in_per_s=judged.in_per_s,
        out_per_s=judged.out_per_s,
        eta_s=judged.eta_s,
        skew=skew([each.lag for each in rows]),
        reason=reason,
        unpublished=sum((each.committed or 0) - (each.done or 0) for each in rows),
        window=window,
    )


def overall(groups: Sequence[LagGroup]) -> Verdict:
    """Return the verdict on everything: UNKNOWN while nothing is known."""
    return worst(each.verdict for each in groups) if groups else "UNKNOWN"
