"""A partition in a processor's hands: where it stands, what was published of it, and its events in memory.

The rule: memory follows commits and never leads them; all of it can be thrown away and read back.
"""

from collections import OrderedDict

from msgspec import Struct

from sb_core.records import Batch, Position
from sb_process import render
from sb_process.plan import Plan
from sb_process.publish import Published
from sb_process.state import Fold, PartitionState, partition_decoder


class Held(Struct, kw_only=True):
    """One partition. `published` is the offset below which cache and updates topic acknowledged everything.

    `published_changes` are those published since the position last said so; `told` is the offset that the group has.
    """

    partition: int
    lineage: int
    epoch: int
    owner: str
    next_offset: int
    done_offset: int
    published: int
    published_changes: int
    cache_generation: int
    state: PartitionState
    folds: OrderedDict[str, Fold]
    told: int = -1

    def transaction(self, topic: str, plan: Plan) -> Batch:
        """Return what commits a plan, behind the fence of this holding."""
        return Batch(
            topic=topic,
            partition=self.partition,
            epoch=self.epoch,
            owner=self.owner,
            expected=self.next_offset,
            next_offset=plan.next_offset,
            done_offset=self.published,
            state=render.encode(plan.state),
            counts=plan.counts,
            done_before=self.done_offset,
            cache_generation=self.cache_generation,
            events=plan.events,
            markets=plan.markets,
            outcomes=plan.outcomes,
            changes=plan.changes,
            participants=plan.participants,
            competitions=plan.competitions,
            listings=plan.listings,
        )

    def adopt(self, plan: Plan, events_max: int) -> None:
        """Follow a commit, keeping the `events_max` events that were used last."""
        self.next_offset = plan.next_offset
        self.state = plan.state
        for event, fold in plan.folds.items():
            self.folds[event] = fold
            self.folds.move_to_end(event)
        while len(self.folds) > events_max:
            self.folds.popitem(last=False)

    def acknowledge(self, share: Published) -> None:
        """Note what was published; a share of an earlier holding says nothing, as its changes were claimed anew.

        Its epoch may come again, when the store fails over and loses the claim; its owner doesn't.
        """
        if share.owner == self.owner:
            self.published = share.upto
            self.published_changes += share.changes


def claimed(position: Position, owner: str) -> Held:
    """Return a partition just claimed."""
    return Held(
        partition=position.partition,
        lineage=position.lineage,
        epoch=position.epoch,
        owner=owner,
        next_offset=position.next_offset,
        done_offset=position.done_offset,
        published=position.done_offset,
        published_changes=0,
        cache_generation=position.cache_generation,
        state=partition_decoder.decode(position.state or b"{}"),
        folds=OrderedDict(),
    )
