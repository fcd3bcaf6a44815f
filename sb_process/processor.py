"""The processor's loop: read, plan, commit, publish, for all partitions it is given. A thin shell around the planner.

The rules: memory adopts a plan only after its commit; a fence that doesn't match throws the partition's memory away;
on every assignment the change log is published again from `done_offset`, before anything new.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import anyio

from sb_core import sports, topics
from sb_core.errors import DependencyError, FencedError, LogTruncatedError, UnavailableError, UnknownOutcomeError
from sb_core.ports import Reader
from sb_core.precedence import ranker
from sb_core.records import Batch, CacheEntry, ChangeRow, Delivery, Fetched, Position, TopicPartition
from sb_core.runtime import Context
from sb_process import plan as planning
from sb_process import render
from sb_process.held import Held, claimed
from sb_process.meters import Meters
from sb_process.plan import Decoded, Plan, Surroundings
from sb_process.publish import Published, Publisher, backoff_s
from sb_process.state import Fold, load

T = TypeVar("T")

OWNER_BYTES: Final = 16
OUTBOX_OFFSETS_MAX: Final = 500
"""Offsets whose change-log entries are published again at a time when a partition is assigned."""
GROUP_OFFSETS_EVERY_S: Final = 1.0
"""How often the group's offsets are stored, which only tools that show lag read."""
CYCLE_SHARE: Final = 0.3
PUBLISH_SHARE: Final = 0.5
SETTLE_SHARE: Final = 0.1
"""Of the stop's deadline: by when the cycle ends and all is published, and how long settling positions may take."""


class Processor:
    """One sport's fold on the partitions that its group assigns."""

    def __init__(self, context: Context, sport: str) -> None:
        self.context = context
        self.sport = sport
        self.topic = topics.feed(sport)
        self.group = f"sb-process-{sport}"
        self.held: dict[int, Held] = {}
        self.assigned = False
        self.stopped: dict[int, str] = {}
        """Partitions that stopped themselves, and why."""
        self._fenced_out: dict[int, None] = {}
        """Partitions that a fence took away, to be claimed again unless the group says otherwise."""
        self._kinds = sports.get(sport).markets
        self._rank = ranker(context.config.rank)
        self._meters = Meters(context.telemetry)
        self._publisher: Publisher
        self._tell_at = 0.0

    def __repr__(self) -> str:
        return f"<Processor {self.sport} partitions={sorted(self.held)} stopped={sorted(self.stopped)}>"

    def draw(self) -> float:
        """Return a number in [0, 1) for jitter, from the context's entropy."""
        return int.from_bytes(self.context.entropy(4), "big") / 2**32

    async def run(self, stop: anyio.Event) -> None:
        """Process until `stop`; then finish the batch, publish what was committed, and say so in the positions."""
        settings = self.context.settings
        self._publisher = Publisher(
            log=self.context.log,
            cache=self.context.cache,
            telemetry=self.context.telemetry,
            overlap_max=settings.process_overlap_max,
            done=self._done,
            cache_failed=self._cache_failed,
            draw=self.draw,
        )
        reader = self.context.log.reader([self.topic], self.group)
        working = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._publisher.run)
                group.start_soon(self._bound_stop, stop, working, group.cancel_scope)
                try:
                    with working:
                        while not stop.is_set():
                            await self._cycle(reader)
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

    async def _cycle(self, reader: Reader) -> None:
        """Read once, and do all that follows from it but publishing, which goes on by itself."""
        delivery = await self._read(reader)
        for _, partition in delivery.revoked:
            self.held.pop(partition, None)
            self.stopped.pop(partition, None)
            self._fenced_out.pop(partition, None)
        for place in delivery.assigned:
            await self._assign(reader, place)
        await self._claim_again(reader)
        self.assigned = self.assigned or bool(delivery.assigned)
        if delivery.records:
            await self._process_all(reader, delivery.records)
        elif not delivery.assigned and not delivery.revoked:
            await self._settle_positions(reader)
        if self.context.clock.monotonic_s() >= self._tell_at:
            await self._tell_group(reader)

    async def _read(self, reader: Reader) -> Delivery:
        settings = self.context.settings
        try:
            return await reader.read(records_max=settings.process_batch_max, wait_s=settings.process_wait_ms / 1000)
        except LogTruncatedError as error:
            self._stop_partition(reader, error)
        except DependencyError as error:
            self.context.telemetry.warn("read_failed", error=str(error))
        await anyio.sleep(backoff_s(1, self.draw()))
        return Delivery()

    async def _process_all(self, reader: Reader, records: Sequence[Fetched]) -> None:
        by_partition: dict[int, list[Fetched]] = defaultdict(list)
        for record in records:
            if record.partition in self.held:
                by_partition[record.partition].append(record)
        cycle: list[Published] = []
        for partition, own in by_partition.items():
            self._meters.batch.observe(len(own))
            try:
                cycle.extend(await self._process(self.held[partition], own))
            except FencedError as error:
                self._fence(reader, partition, error)
        if cycle:
            await self._publisher.submit(cycle)

    # assignment

    async def _assign(self, reader: Reader, place: TopicPartition) -> None:
        """Claim a partition, publish again what may not have been, and go on from its position."""
        partition = place[1]
        owner = self.context.entropy(OWNER_BYTES).hex()
        position = await self._insist("claim", partial(self.context.store.claim, place, owner))
        self.held[partition] = claimed(position, owner)
        await self._republish(place, position)
        reader.seek(place, position.next_offset)
        self.context.telemetry.info(
            "assigned", topic=place[0], partition=partition, epoch=position.epoch, next_offset=position.next_offset
        )

    async def _insist(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again until there is an answer: a dependency that fails for a while must not end the service."""
        attempt = 0
        while True:
            try:
                return await ask()
            except DependencyError as error:
                attempt += 1
                self.context.telemetry.warn(f"{what}_failed", attempt=attempt, error=str(error))
                await anyio.sleep(backoff_s(attempt, self.draw()))

    async def _republish(self, place: TopicPartition, position: Position) -> None:
        start = position.done_offset
        while start < position.next_offset:
            end = min(start + OUTBOX_OFFSETS_MAX, position.next_offset)
            rows = await self._insist("outbox", partial(self.context.store.outbox, place, start, end))
            updates = [planning.update_record(self.sport, place[1], row.event, row.update, row.updated) for row in rows]
            share = Published(
                partition=place[1],
                epoch=position.epoch,
                cache_generation=position.cache_generation,
                upto=end,
                changes=len(rows),
                cache=await self._shown(rows),
                updates=updates,
            )
            await self._publisher.submit([share])
            start = end

    async def _shown(self, rows: Sequence[ChangeRow]) -> list[CacheEntry]:
        entries = []
        for event in dict.fromkeys(row.event for row in rows):
            found = await self._insist("event", partial(self.context.store.event, event))
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
        if self._fenced_out:
            await anyio.sleep(backoff_s(1, self.draw()))
        while self._fenced_out:
            partition, _ = self._fenced_out.popitem()
            await self._assign(reader, (self.topic, partition))

    # a batch

    async def _process(self, held: Held, records: Sequence[Fetched]) -> list[Published]:
        """Plan and commit records of one partition; a store that refuses the batch makes it halve the batch."""
        if records[0].offset < held.next_offset:
            records = [record for record in records if record.offset >= held.next_offset]
            if not records:
                return []
        batch = [planning.decode(record) for record in records]
        try:
            return [await self._commit_batch(held, batch)]
        except (FencedError, UnavailableError, UnknownOutcomeError):
            raise
        except DependencyError as error:
            if len(records) == 1:
                self.context.telemetry.error("store_refused", offset=records[0].offset, error=str(error))
                return [await self._commit_batch(held, [planning.refused_by_store(batch[0], str(error))])]
            middle = len(records) // 2
            return [*await self._process(held, records[:middle]), *await self._process(held, records[middle:])]

    async def _commit_batch(self, held: Held, batch: list[Decoded]) -> Published:
        clock = self.context.clock
        begun = clock.monotonic_s()
        folds, listed = await self._load(held, batch)
        around = Surroundings(
            sport=self.sport,
            topic=self.topic,
            partition=held.partition,
            lineage=held.lineage,
            kinds=self._kinds,
            rank=self._rank,
            now=clock.now_ms(),
            dead_letter_bytes_max=self.context.settings.dead_letter_bytes_max,
        )
        planned = clock.monotonic_s()
        self._meters.stage.labels("load").observe(planned - begun)
        plan = planning.plan_batch(batch, held.state, folds, listed, around)
        begun = clock.monotonic_s()
        self._meters.stage.labels("plan").observe(begun - planned)
        if plan.dead:
            await self._insist("append", partial(self.context.log.append, plan.dead))
        await self._commit(held, plan)
        self._meters.stage.labels("commit").observe(clock.monotonic_s() - begun)
        return self._adopt(held, plan)

    async def _load(self, held: Held, batch: list[Decoded]) -> tuple[Mapping[str, Fold], Mapping[str, Sequence[str]]]:
        """Bring every event that a batch needs into memory."""
        events, producers = planning.wanted(batch)
        store = self.context.store
        listed: dict[str, Sequence[str]] = {}
        for producer in sorted(producers):
            place = self.topic, held.partition
            listed[producer] = await self._insist("listing", partial(store.listing, place, producer))
            events.update(listed[producer])
        missing = sorted(event for event in events if event not in held.folds)
        if missing:
            for name, stored in (await self._insist("load", partial(store.load, missing))).items():
                held.folds[name] = load(stored.state, stored.markets)
        for event in sorted(events):
            if event in held.folds:
                held.folds.move_to_end(event)
        return held.folds, listed

    async def _commit(self, held: Held, plan: Plan) -> None:
        """Commit one transaction, again and again while it certainly did not happen. Raises FencedError."""
        published, changes = held.published, held.published_changes
        if changes:
            plan.counts["updates_published"] += changes
        batch = held.transaction(self.topic, plan)
        attempt = 0
        while True:
            try:
                await self.context.store.commit(batch)
                break
            except UnavailableError as error:
                attempt += 1
                self._meters.retries.inc()
                self.context.telemetry.warn("commit_failed", attempt=attempt, error=str(error))
                await anyio.sleep(backoff_s(attempt, self.draw()))
            except UnknownOutcomeError as error:
                self._meters.unknown.inc()
                self.context.telemetry.warn("commit_unknown", error=str(error))
                if await self._committed(held, batch):
                    break
        held.done_offset = published
        held.published_changes -= changes

    async def _committed(self, held: Held, batch: Batch) -> bool:
        """Read the position back after a reply was lost. Raises FencedError where it can't tell."""
        if batch.next_offset == batch.expected:
            # it moves nothing that the fence looks at, so it might happen late and count twice; a new epoch ends that
            raise FencedError(f"{self.topic}/{held.partition}: unknown whether the position was settled")
        positions = await self._insist("positions", partial(self.context.store.positions, [self.topic]))
        for position in positions:
            if position.partition == held.partition:
                if (position.epoch, position.owner) != (held.epoch, held.owner):
                    break
                return position.next_offset == batch.next_offset
        raise FencedError(f"{self.topic}/{held.partition} has another owner")

    def _adopt(self, held: Held, plan: Plan) -> Published:
        """Let memory follow the commit."""
        held.adopt(plan, max(1, self.context.settings.process_events_cached_max // max(1, len(self.held))))
        self._meters.count(plan.counts)
        self._meters.cached.set(sum(len(each.folds) for each in self.held.values()))
        updates = plan.updates
        if plan.ticked is not None:
            updates = [*updates, planning.tick_record(self.sport, held.partition, plan.ticked)]
        return Published(
            partition=held.partition,
            epoch=held.epoch,
            cache_generation=held.cache_generation,
            upto=plan.next_offset,
            changes=len(plan.changes),
            cache=plan.cache,
            updates=updates,
        )

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
        while (held := self.held.get(partition)) is not None:
            try:
                held.cache_generation = await self.context.store.raise_cache_generation(
                    (self.topic, partition), held.epoch, held.owner
                )
            except FencedError:
                return  # who holds it now puts again what was not done
            except DependencyError as error:
                attempt += 1
                self.context.telemetry.warn("cache_generation_failed", attempt=attempt, error=str(error))
                await anyio.sleep(backoff_s(attempt, self.draw()))
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
                await self._commit(held, plan)
            except FencedError as error:
                self._fence(reader, held.partition, error)
