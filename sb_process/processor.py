"""The processor's loop: read, have batches committed, publish, for all partitions it is given.

The rules: what was read is planned and committed while the next is being read, never two batches of a partition at
once; a fence that doesn't match throws the partition's memory away; on every assignment, with nothing under way, the
change log is published again from `done_offset`, before anything new.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup

from sb_core import topics
from sb_core.errors import DependencyError, FencedError, LogTruncatedError
from sb_core.ports import Reader
from sb_core.records import CacheEntry, ChangeRow, Delivery, Fetched, Position, TopicPartition
from sb_core.runtime import Context
from sb_process import plan as planning
from sb_process import render
from sb_process.batches import Batches
from sb_process.cycles import Cycle, Cycles, Share, overlap_max
from sb_process.held import Held, claimed
from sb_process.meters import Meters
from sb_process.publish import Published, Publisher
from sb_process.retry import Retry
from sb_process.trouble import Trouble

OWNER_BYTES: Final = 16
OUTBOX_OFFSETS_MAX: Final = 500
"""Offsets whose change-log entries are published again at a time when a partition is assigned."""
GROUP_OFFSETS_EVERY_S: Final = 1.0
"""How often the group's offsets are stored, which only tools that show lag read."""
GATHER_RECORDS_MAX: Final = 200
"""A read that brings more is a cycle's worth. After one that brings less the next waits, for GATHER_CYCLES times what the
last cycle took and GATHER_S_MAX at most: a cycle costs several round trips, and one of forty messages hardly more than
one of ten. What comes after a pause is read at once."""
GATHER_CYCLES: Final = 2.0
GATHER_S_MAX: Final = 0.02
CYCLE_SHARE: Final = 0.3
PUBLISH_SHARE: Final = 0.5
SETTLE_SHARE: Final = 0.1
"""Of the stop's deadline: by when the cycle ends and all is published, and how long settling positions may take."""


def group_of(sport: str) -> str:
    """Name the group in which a sport's processors share its feed."""
    return f"sb-process-{sport}"


class Processor:
    """One sport's fold on the partitions that its group assigns."""

    def __init__(self, context: Context, sport: str) -> None:
        self.context = context
        self.sport = sport
        self.topic = topics.feed(sport)
        self.group = group_of(sport)
        self.held: dict[int, Held] = {}
        self.assigned = False
        self.stopped: dict[int, str] = {}
        """Partitions that stopped themselves, and why."""
        self._fenced_out: dict[int, None] = {}
        """Partitions that a fence took away, to be claimed again unless the group says otherwise."""
        self._meters = Meters(context.telemetry)
        self.trouble = Trouble(context, sport)
        self._retry = Retry(context.telemetry, context.entropy, self.trouble)
        self._batches = Batches(context, sport, self._meters, self._retry)
        self._overlap_max = overlap_max(context.settings)
        self._cycles = Cycles(self._overlap_max)
        self._publisher: Publisher
        self._cycle_s = 0.0
        self._read_from = 0.0
        self._tell_at = 0.0

    def __repr__(self) -> str:
        return f"<Processor {self.sport} partitions={sorted(self.held)} stopped={sorted(self.stopped)}>"

    async def run(self, stop: anyio.Event) -> None:
        """Process until `stop`; then finish the batch, publish what was committed, and say so in the positions."""
        settings = self.context.settings
        self._publisher = Publisher(
            log=self.context.log,
            cache=self.context.cache,
            telemetry=self.context.telemetry,
            overlap_max=self._overlap_max,
            done=self._done,
            cache_failed=self._cache_failed,
            retry=self._retry,
            stage=self._meters.stage,
        )
        reader = self.context.log.reader([self.topic], self.group)
        working = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._publisher.run)
                group.start_soon(self._bound_stop, stop, working, group.cancel_scope)
                try:
                    with working:
                        async with anyio.create_task_group() as under_way:
                            while not stop.is_set():
                                await self._cycle(reader, under_way)
                finally:
                    self._publisher.finish()
            if not working.cancelled_caught:
                with anyio.move_on_after(SETTLE_SHARE * settings.stop_deadline_s):
                    await self._settle_positions(reader)
                    await self._tell_group(reader)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await reader.aclose()

    async def _bound_stop(self, stop: anyio.Event, working: anyio.CancelScope, all_of_it: anyio.CancelScope) -> None:
        """Cut off what waits for a dependency when told to stop.

        Nothing is lost by it: what was not committed is read again, and what was not published is in the outbox.
        """
        await stop.wait()
        now, deadline_s = anyio.current_time(), self.context.settings.stop_deadline_s
        working.deadline = now + CYCLE_SHARE * deadline_s
        all_of_it.deadline = now + PUBLISH_SHARE * deadline_s

    async def _cycle(self, reader: Reader, under_way: TaskGroup) -> None:
        """Read once, and begin all that follows from it; it goes on by itself."""
        delivery = await self._read(reader)
        # whose they are as they were read: a partition that is lost from here on is claimed and read anew
        batches = self._batched(delivery.records)
        if delivery.assigned or delivery.revoked or self._fenced_out:
            await self._cycles.drained()
        for _, partition in delivery.revoked:
            self.held.pop(partition, None)
            self.stopped.pop(partition, None)
            self._fenced_out.pop(partition, None)
        for place in delivery.assigned:
            await self._assign(reader, place)
        await self._claim_again(reader)
        self.assigned = self.assigned or bool(delivery.assigned)
        if batches:
            if self._cycles.full:
                self._meters.overlapped.inc()
            cycle = await self._cycles.begin(batches)
            under_way.start_soon(self._process_all, reader, cycle)
        elif not (delivery.records or delivery.assigned or delivery.revoked) and self._cycles.idle:
            await self._settle_positions(reader)
        if self.context.clock.monotonic_s() >= self._tell_at:
            await self._tell_group(reader)

    async def _read(self, reader: Reader) -> Delivery:
        settings = self.context.settings
        await anyio.sleep(max(0.0, self._read_from - anyio.current_time()))
        try:
            delivery = await reader.read(records_max=settings.process_batch_max, wait_s=settings.process_wait_ms / 1000)
        except LogTruncatedError as error:
            self._stop_partition(reader, error)
        except DependencyError as error:
            self.context.telemetry.warn("read_failed", error=str(error))
        else:
            if 0 < len(delivery.records) < min(GATHER_RECORDS_MAX, settings.process_batch_max):
                self._read_from = anyio.current_time() + min(GATHER_S_MAX, GATHER_CYCLES * self._cycle_s)
            return delivery
        await self._retry.pause(1)
        return Delivery()

    def _batched(self, records: Sequence[Fetched]) -> list[tuple[Held, Sequence[Fetched]]]:
        by_partition: dict[int, list[Fetched]] = defaultdict(list)
        for record in records:
            if record.partition in self.held:
                by_partition[record.partition].append(record)
        return [(self.held[partition], own) for partition, own in by_partition.items()]

    async def _process_all(self, reader: Reader, cycle: Cycle) -> None:
        """Have a cycle's batches committed, then hand it over to be published when its turn comes."""
        begun = anyio.current_time()
        committed: list[Published] = []
        async with anyio.create_task_group() as group:
            for share in cycle.shares:
                self._meters.batch.observe(len(share.records))
                group.start_soon(self._process, reader, share, committed)
        self._cycle_s = anyio.current_time() - begun
        await cycle.before.wait()
        if committed:
            self._meters.cached.set(sum(len(each.folds) for each in self.held.values()))
            await self._publisher.submit(committed)
        self._cycles.end(cycle)

    async def _process(self, reader: Reader, share: Share, committed: list[Published]) -> None:
        """Have one partition's batch committed, unless the partition was lost before its turn came."""
        held = share.held
        await share.before.wait()
        cached_max = max(1, self.context.settings.process_events_cached_max // max(1, len(self.held)))
        try:
            if self.held.get(held.partition) is held:
                committed.extend(await self._batches.process(held, share.records, cached_max))
        except FencedError as error:
            self._fence(reader, held.partition, error)
        share.over.set()

    # assignment

    async def _assign(self, reader: Reader, place: TopicPartition) -> None:
        """Claim a partition, publish again what may not have been, and go on from its position."""
        partition = place[1]
        owner = self.context.entropy(OWNER_BYTES).hex()
        position = await self._retry.insist_on_store("claim", partial(self.context.store.claim, place, owner))
        held = self.held[partition] = claimed(position, owner)
        await self._republish(place, position)
        try:
            await self._go_over(held)
        except FencedError as error:
            self._fence(reader, partition, error)
            return
        reader.seek(place, position.next_offset)
        self.context.telemetry.info(
            "assigned", topic=place[0], partition=partition, epoch=position.epoch, next_offset=position.next_offset
        )

    async def _go_over(self, held: Held) -> None:
        """Close all events of a partition whose lineage was raised, before anything new is read."""
        if held.state.lineage != held.lineage:
            # these changes lie before the position, where the outbox would not look
            held.published = max(0, held.next_offset - 1)
        while held.state.lineage != held.lineage:
            await self._publisher.submit([await self._batches.go_over(held)])

    async def _republish(self, place: TopicPartition, position: Position) -> None:
        start = position.done_offset
        held = self.held[place[1]]
        # while it goes over to a lineage, more changes come at the last of these offsets
        done_max = position.next_offset - (held.state.lineage != held.lineage)
        while start < position.next_offset:
            end = min(start + OUTBOX_OFFSETS_MAX, position.next_offset)
            found = await self._retry.insist_on_store("outbox", partial(self.context.store.outbox, place, start, end))
            # another lineage may have changes at the same offsets
            rows = [row for row in found if row.lineage == held.lineage]
            updates = [planning.update_record(self.sport, place[1], row.event, row.update, row.updated) for row in rows]
            share = Published(
                partition=place[1],
                owner=held.owner,
                cache_generation=position.cache_generation,
                upto=min(end, done_max),
                changes=len(rows) if end <= done_max else 0,
                cache=await self._shown(rows),
                updates=updates,
            )
            await self._publisher.submit([share])
            start = end

    async def _shown(self, rows: Sequence[ChangeRow]) -> list[CacheEntry]:
        entries = []
        for event in dict.fromkeys(row.event for row in rows):
            found = await self._retry.insist_on_store("event", partial(self.context.store.event, event))
            if found is not None:
                value = render.snapshot(found.header, list(found.markets))
                entries.append(CacheEntry(event, 0, found.lineage, found.rev, value))
        return entries

    def _stop_partition(self, reader: Reader, error: LogTruncatedError) -> None:
        """Stop one partition for good, saying why; only an operator can go on with it (`sb lineage raise`)."""
        self.context.telemetry.error("partition_stopped", reason=str(error))
        if error.partition is not None:
            reader.pause(error.partition)
            self.held.pop(error.partition[1], None)
            self.stopped[error.partition[1]] = str(error)

    def _fence(self, reader: Reader, partition: int, error: FencedError) -> None:
        """Forget everything about a partition. Whose it is, the next read tells: the group may have moved it."""
        self._meters.fenced.inc()
        self.context.telemetry.warn("fenced", partition=partition, error=str(error))
        reader.pause((self.topic, partition))
        self.held.pop(partition, None)
        self._fenced_out[partition] = None

    async def _claim_again(self, reader: Reader) -> None:
        """Be assigned again what a fence took away and the group did not."""
        again, self._fenced_out = self._fenced_out, {}
        if again:
            await self._retry.pause(1)
        for partition in again:
            await self._assign(reader, (self.topic, partition))

    # after publishing

    def _done(self, share: Published) -> None:
        held = self.held.get(share.partition)
        if held is not None:
            held.acknowledge(share)

    async def _cache_failed(self, partition: int) -> None:
        """Raise the cache generation, so that what the cache still holds of the partition is never read again.

        Nothing is published before that: a reader would take the old value for the newest.
        """
        attempt = 0
        by = self.context.generation_step()
        while (held := self.held.get(partition)) is not None:
            try:
                held.cache_generation = await self.context.store.raise_cache_generation(
                    (self.topic, partition), held.epoch, held.owner, by
                )
            except FencedError:
                return  # who holds it now puts again what was not done
            except DependencyError as error:
                attempt += 1
                self.context.telemetry.warn("cache_generation_failed", attempt=attempt, error=str(error))
                await self._retry.pause(attempt)
            else:
                return

    async def _tell_group(self, reader: Reader) -> None:
        """Store the group's offsets where they moved; nothing of ours goes by them, so failures are only told."""
        self._tell_at = self.context.clock.monotonic_s() + GROUP_OFFSETS_EVERY_S
        moved = [held for held in self.held.values() if held.told != held.published]
        if not moved:
            return
        try:
            await reader.commit({(self.topic, held.partition): held.published for held in moved})
        except DependencyError as error:
            self.context.telemetry.debug("group_offsets_failed", error=str(error))
            return
        for held in moved:
            held.told = held.published

    async def _settle_positions(self, reader: Reader) -> None:
        """While nothing is waiting, store that all changes were published, so that a restart repeats none."""
        for held in list(self.held.values()):
            if not held.published_changes:
                continue
            plan = planning.empty(held.next_offset, held.state)
            try:
                await self._batches.commit(held, plan)
            except FencedError as error:
                self._fence(reader, held.partition, error)
