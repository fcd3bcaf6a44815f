"""How a partition goes over to a raised lineage: its events are closed, batch by batch, before anything new is read. Pure.

The rule: what is missing between the lineages may have been stops, so nothing stays open that was; which events have
gone over is part of the partition's state, and a crash goes on where the last commit was.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from sb_core.records import Fetched
from sb_process.plan import Plan, Planner, Surroundings
from sb_process.state import Fold, PartitionState

EVENTS_MAX: Final = 200
"""Events that go over in one transaction."""


def planned(
    events: Sequence[str], state: PartitionState, folds: Mapping[str, Fold], around: Surroundings, next_offset: int
) -> Generator[None, None, Plan]:
    """Plan that these events go over, the next ones by name; fewer than EVENTS_MAX are the last.

    Their changes lie at the offset before the position: no record of the new lineage has that one.
    """
    planner = Planner(state, folds, {}, around)
    last = Fetched(around.topic, around.partition, next_offset - 1, "", None, 0)
    for event in events:
        planner.go_over(event, last)
        yield
    plan = yield from planner.plan(next_offset)
    if len(events) < EVENTS_MAX:
        plan.state = replace(plan.state, lineage=around.lineage, gone_over="", gone=0)
    else:
        plan.state = replace(plan.state, gone_over=events[-1], gone=state.gone + len(events))
    return plan
