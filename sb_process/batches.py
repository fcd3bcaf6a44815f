"""One partition's batch from records to committed memory: load, plan, commit, adopt.

The rules: memory adopts a plan only after its commit; a store that refuses a batch makes it halve the batch, down to
the one record that becomes a dead letter. Batches of several partitions go side by side, so that one is planned while
another is being committed; plans take turns, and the loop is let go in between.
"""

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel
from msgspec.structs import replace

from sb_core import sports, topics
from sb_core.errors import DependencyError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.precedence import ranker
from sb_core.records import Batch, Fetched
from sb_core.runtime import Context
from sb_process import lineage
from sb_process import plan as planning
from sb_process.held import Held
from sb_process.meters import Meters
from sb_process.plan import Decoded, Plan, Surroundings
from sb_process.publish import Published
from sb_process.retry import Retry
from sb_process.state import Fold, load

TURN_S: Final = 0.02
"""How long planning keeps the loop to itself."""


class Batches:
    """Plans and commits batches of a sport's partitions."""

    def __init__(self, context: Context, sport: str, meters: Meters, retry: Retry) -> None:
        self._context = context
        self._sport = sport
        self._topic = topics.feed(sport)
        self._meters = meters
        self._retry = retry
        self._kinds = sports.get(sport).markets
        self._rank = ranker(context.config.rank)
        self._turn = anyio.Lock()

    async def process(self, held: Held, records: Sequence[Fetched], cached_max: int) -> list[Published]:
        """Plan and commit records of one partition, keeping `cached_max` events in memory. Raises FencedError."""
        if records[0].offset < held.next_offset:
            records = [record for record in records if record.offset >= held.next_offset]
            if not records:
                return []
        batch = [planning.decode(record) for record in records]
        try:
            return [await self._commit_batch(held, batch, cached_max)]
        except (FencedError, UnavailableError, UnknownOutcomeError):
            raise
        except DependencyError as error:
            if len(records) == 1:
                self._context.telemetry.error("store_refused", offset=records[0].offset, error=str(error))
                refused = planning.refused_by_store(batch[0], str(error))
                return [await self._commit_batch(held, [refused], cached_max)]
            middle = len(records) // 2
            return [
                *await self.process(held, records[:middle], cached_max),
                *await self.process(held, records[middle:], cached_max),
            ]

    async def go_over(self, held: Held) -> Published:
        """Close and commit the next events of a partition whose lineage was raised. Raises FencedError."""
        place = self._topic, held.partition
        ask = partial(self._context.store.listed, place, held.state.gone_over, lineage.EVENTS_MAX)
        events = await self._retry.insist_on_store("listed", ask) if held.next_offset else ()
        stored = await self._retry.insist_on_store("load", partial(self._context.store.load, events))
        folds = {name: load(each.state, each.markets) for name, each in stored.items()}
        steps = lineage.planned(events, held.state, folds, self._around(held), held.next_offset)
        plan = await self._in_turns(steps)
        await self.commit(held, plan)
        gone = held.state.gone + len(plan.changes)
        share = self._adopt(held, plan, len(events))
        # all of them count as published when the last ones are, for a start repeats all that one offset has
        if held.state.lineage == held.lineage:
            return replace(share, changes=gone)
        return replace(share, upto=held.next_offset - 1, changes=0)

    async def _commit_batch(self, held: Held, batch: list[Decoded], cached_max: int) -> Published:
        clock, stage = self._context.clock, self._meters.stage
        begun = clock.monotonic_s()
        folds, listed = await self._load(held, batch)
        stage.labels("load").observe(clock.monotonic_s() - begun)
        async with self._turn:
            begun = clock.monotonic_s()
            plan = await self._in_turns(planning.planned(batch, held.state, folds, listed, self._around(held)))
            stage.labels("plan").observe(clock.monotonic_s() - begun)
        begun = clock.monotonic_s()
        if plan.dead:
            await self._retry.insist("append", partial(self._context.log.append, plan.dead))
        await self.commit(held, plan)
        stage.labels("commit").observe(clock.monotonic_s() - begun)
        return self._adopt(held, plan, cached_max)

    async def _in_turns(self, steps: Generator[None, None, Plan]) -> Plan:
        """Make a plan, letting others have the loop every TURN_S: an outage may take seconds to plan."""
        monotonic_s = self._context.clock.monotonic_s
        until_s = monotonic_s() + TURN_S
        try:
            while True:
                next(steps)
                if monotonic_s() >= until_s:
                    await anyio.lowlevel.checkpoint()
                    until_s = monotonic_s() + TURN_S
        except StopIteration as done:
            plan: Plan = done.value
            return plan

    def _around(self, held: Held) -> Surroundings:
        return Surroundings(
            sport=self._sport,
            topic=self._topic,
            partition=held.partition,
            lineage=held.lineage,
            kinds=self._kinds,
            rank=self._rank,
            now=self._context.clock.now_ms(),
            dead_letter_bytes_max=self._context.settings.dead_letter_bytes_max,
        )

    async def _load(self, held: Held, batch: list[Decoded]) -> tuple[Mapping[str, Fold], Mapping[str, Sequence[str]]]:
        """Bring every event that a batch needs into memory."""
        events, producers = planning.wanted(batch, held.state.producers)
        store = self._context.store
        listed: dict[str, Sequence[str]] = {}
        for producer in sorted(producers):
            place = self._topic, held.partition
            listed[producer] = await self._retry.insist_on_store("listing", partial(store.listing, place, producer))
            events.update(listed[producer])
        missing = sorted(event for event in events if event not in held.folds)
        if missing:
            for name, stored in (await self._retry.insist_on_store("load", partial(store.load, missing))).items():
                held.folds[name] = load(stored.state, stored.markets)
        for event in sorted(events):
            if event in held.folds:
                held.folds.move_to_end(event)
        return held.folds, listed

    async def commit(self, held: Held, plan: Plan) -> None:
        """Commit one transaction, again and again while it certainly did not happen. Raises FencedError."""
        published, changes = held.published, held.published_changes
        if changes:
            plan.counts["updates_published"] += changes
        with self._retry.trouble.working():
            await self._commit(held, held.transaction(self._topic, plan))
        held.done_offset = published
        held.published_changes -= changes

    async def _commit(self, held: Held, batch: Batch) -> None:
        attempt = 0
        while True:
            try:
                await self._context.store.commit(batch)
                break
            except UnavailableError as error:
                attempt += 1
                self._retry.trouble.note(error)
                self._meters.retries.inc()
                self._context.telemetry.warn("commit_failed", attempt=attempt, error=str(error))
                await self._retry.pause(attempt)
            except UnknownOutcomeError as error:
                self._meters.unknown.inc()
                self._context.telemetry.warn("commit_unknown", error=str(error))
                if await self._committed(held, batch):
                    break

    async def _committed(self, held: Held, batch: Batch) -> bool:
        """Read the position back after a reply was lost. Raises FencedError where it can't tell."""
        if batch.next_offset == batch.expected:
            # it moves nothing that the fence looks at, so it might happen late and count twice; a new epoch ends that
            raise FencedError(f"{self._topic}/{held.partition}: unknown whether the position was settled")
        ask = partial(self._context.store.positions, [self._topic])
        for position in await self._retry.insist_on_store("positions", ask):
            if position.partition == held.partition:
                if (position.epoch, position.owner) != (held.epoch, held.owner):
                    break
                return position.next_offset == batch.next_offset
        raise FencedError(f"{self._topic}/{held.partition} has another owner")

    def _adopt(self, held: Held, plan: Plan, cached_max: int) -> Published:
        """Let memory follow the commit."""
        held.adopt(plan, cached_max)
        self._meters.count(plan.counts)
        updates = plan.updates
        if plan.ticked is not None:
            updates = [*updates, planning.tick_record(self._sport, held.partition, plan.ticked)]
        return Published(
            partition=held.partition,
            owner=held.owner,
            cache_generation=held.cache_generation,
            upto=plan.next_offset,
            changes=len(plan.changes),
            cache=plan.cache,
            updates=updates,
        )
