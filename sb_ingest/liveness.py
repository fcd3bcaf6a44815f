"""The owner of producers' liveness: reads `sports-alive`, runs the machine, writes its changes in band.

The rule: one node owns it (by consumer group), and it alone asks for recoveries, after that is written down. A change of
state goes to every partition of every feed topic and to `sports-producers` in one append, and memory adopts it only when
that is acknowledged; told twice it means the same, and it is, for partitions that lost it or heard a former owner after it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec.structs import replace

from sb_core import topics
from sb_core.errors import DependencyError, FencedError, LogTruncatedError, RefusedForNowError, UnavailableError
from sb_core.messages import Alive, Producer, SnapshotComplete, decode, encode
from sb_core.ports import Reader, Recovery
from sb_core.records import Delivery, Fetched, Record, TopicPartition
from sb_core.runtime import Context
from sb_ingest import producers, recovery
from sb_ingest.intake import Intake
from sb_ingest.ownership import Ownership
from sb_ingest.producers import Liveness

GROUP: Final = "sb-liveness"
RECORDS_MAX: Final = 500
LOOK_S: Final = 0.5
FROZEN_S: Final = 2.0
"""What was read is too old to judge silence by when reading took this much longer than it may: this node was frozen."""
AGAIN_MAX: Final = 20
"""Producers told of again in one cycle: a partition that skipped records (a raised lineage) may have missed the last state."""
AGAIN_HEARD_MS: Final = 3_600_000
"""Producers of which nothing was heard for longer aren't told of again."""
_RETRY_S: Final = 1.0

_encoder: Final = msgspec.json.Encoder()


class LivenessOwner:
    """Owns producers' liveness while the group assigns `sports-alive` to this node."""

    def __init__(self, context: Context, intake: Intake, recoveries: Mapping[str, Recovery]) -> None:
        self._context = context
        self._recoveries = recoveries
        self._ended: list[recovery.Ended] = []
        """Requests that ended since the last cycle."""
        self._intake = intake
        self._table: dict[str, Liveness] = {}
        self._heard_s: dict[str, float] = {}
        """By producer, when this owner last heard of it or began to wait: the wall clock may be set back meanwhile."""
        self._held: TopicPartition | None = None
        self._ownership = Ownership(context)
        self._tried: list[Liveness] = []
        """What was told in appends that failed: some partitions may have it."""
        self._again_at_s = 0.0
        self._again: list[str] = []
        """Who is still to be told of again in this round."""
        self._changes = context.telemetry.counter("producer_changes_total", "Changes of producers' states.", ("state",))
        self._asked = context.telemetry.counter(
            "recovery_requests_total", "Recoveries asked for, by what the provider said.", ("provider", "outcome")
        )
        self._owner = context.telemetry.gauge("liveness_owner_state", "1 while this node owns producers' liveness.")

    def __repr__(self) -> str:
        return f"<LivenessOwner {'owns' if self._held else 'waits'} producers={len(self._table)}>"

    @property
    def table(self) -> producers.Table:
        """Producers by key, as of the last acknowledged append."""
        return self._table

    def overhear(self, offset: int, said: Liveness) -> None:
        """Hear a record of `sports-producers`."""
        self._ownership.overhear(offset, said)

    async def run(self) -> None:
        """Own when assigned, for ever; failures of the log are waited out."""
        async with anyio.create_task_group() as asking:
            await self._own(asking)

    async def _own(self, asking: TaskGroup) -> None:
        while True:
            reader = self._context.log.reader((topics.ALIVE,), GROUP)
            try:
                while True:
                    for each in await self._cycle(reader):
                        asking.start_soon(self._ask, each)
            except (DependencyError, FencedError) as error:
                self._context.telemetry.warn("liveness_failed", error=type(error).__name__, detail=str(error))
            finally:
                self._lose()
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await reader.aclose()
            await anyio.sleep(_RETRY_S)

    def _lose(self) -> None:
        self._held = None
        self._table = {}
        self._heard_s = {}
        self._ended = []
        self._ownership.end()
        self._again, self._again_at_s = [], 0.0
        self._owner.set(0)

    async def _cycle(self, reader: Reader) -> tuple[Liveness, ...]:
        """Take in what came, judge, write what changes; return the producers that are to be asked for now."""
        started_s = self._context.clock.monotonic_s()
        try:
            delivery = await reader.read(records_max=RECORDS_MAX, wait_s=LOOK_S)
        except LogTruncatedError:
            # retention passed the position; what is gone was heard too long ago to matter
            await self._seek_start(reader)
            return ()
        await self._reassigned(reader, delivery)
        if self._held is None:
            return ()
        self._ownership.check()
        changes = self._heard(delivery.records)
        asked: tuple[Liveness, ...] = ()
        frozen = self._context.clock.monotonic_s() - started_s > LOOK_S + FROZEN_S
        if len(delivery.records) < RECORDS_MAX and not delivery.assigned and not frozen:
            self._judge(changes)
            self._answer(changes)
            asked = self._asking(changes)
            self._tell_again(changes)
        if changes:
            await self._write(changes)
        if delivery.records:
            await reader.commit({self._held: delivery.records[-1].offset + 1})
        return asked

    async def _reassigned(self, reader: Reader, delivery: Delivery) -> None:
        if delivery.revoked:
            self._lose()
        for place in delivery.assigned:
            self._table = await self._ownership.begin()
            committed = await self._context.admin.committed(GROUP)
            starts = await self._context.admin.starts((topics.ALIVE,))
            reader.seek(place, max(committed.get(place, 0), starts[place]))
            self._held = place
            self._owner.set(1)
            self._context.telemetry.info("liveness_owned", producers=len(self._table))

    async def _seek_start(self, reader: Reader) -> None:
        for place, start in (await self._context.admin.starts((topics.ALIVE,))).items():
            reader.seek(place, start)

    def _heard(self, records: Sequence[Fetched]) -> "_Changes":
        changes, now_s = _Changes(self._table, self._ownership.number), self._context.clock.monotonic_s()
        for record in records:
            try:
                message = decode(record.value or b"")
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._context.telemetry.error("alive_unreadable", offset=record.offset, detail=str(error))
                continue
            if isinstance(message, Alive | SnapshotComplete | Producer):
                if not isinstance(message, Producer) or message.state != "recovering":  # that is ingest's own word
                    self._heard_s[message.producer_key] = now_s
                heard = producers.hear(changes.table, message, record.offset)
                if heard is not None:
                    changes.take(*heard)
        return changes

    def _answer(self, changes: "_Changes") -> None:
        """Have the last word where a former owner wrote late."""
        tried, self._tried = self._tried, []
        for said in (*tried, *self._ownership.late()):
            known = changes.table.get(said.key)
            liveness = producers.answer(known, said)
            told = known is None or liveness.gen > known.gen
            changes.take(liveness, told)
            if not told:
                changes.again[said.key] = None
            self._context.telemetry.warn("late_word", producer=said.key, told=told, gen=liveness.gen)

    def _tell_again(self, changes: "_Changes") -> None:
        """Add the states that are due to be told again; after a takeover all are."""
        now_s, now = self._context.clock.monotonic_s(), self._context.clock.now_ms()
        if now_s >= self._again_at_s and not self._again:
            self._again_at_s = now_s + self._context.settings.producer_again_s
            known = (each for each in changes.table.values() if each.state != "unknown")
            self._again = [each.key for each in known if now - each.heard <= AGAIN_HEARD_MS]
        due, self._again = self._again[:AGAIN_MAX], self._again[AGAIN_MAX:]
        changes.again.update(dict.fromkeys(due))

    def _judge(self, changes: "_Changes") -> None:
        now_s = self._context.clock.monotonic_s()
        waited_ms = {key: int((now_s - self._heard_s.setdefault(key, now_s)) * 1000) for key in changes.table}
        fallen = producers.passed(
            changes.table,
            self._context.clock.now_ms(),
            silent_ms=self._context.settings.producer_silent_s * 1000,
            session_silent_ms=self._context.settings.session_silent_s * 1000,
            waited_ms=waited_ms,
        )
        for each in fallen:
            changes.take(each, True)

    def _asking(self, changes: "_Changes") -> tuple[Liveness, ...]:
        """Say which producers are to be asked for; their state says so from now on."""
        ended, self._ended = self._ended, []
        for end in ended:
            after = recovery.answered(changes.table.get(end.key), end)
            if after is not None:
                changes.take(after, False)
        every_ms = self._context.settings.recovery_every_s * 1000
        asked = recovery.due(changes.table, self._context.clock.now_ms(), self._recoveries.keys(), every_ms=every_ms)
        for each in asked:
            changes.take(each, True)
        return asked

    async def _ask(self, producer: Liveness) -> None:
        """Send the request that was written down; if it fails, another one is due some time."""
        request, telemetry = producer.asked or "", self._context.telemetry
        now = self._context.clock.now_ms()
        after = recovery.after(producer, now)
        outcome, detail, refused_ms = "taken", None, 0
        try:
            if now - producer.asked_at > recovery.SENDING_MS / 2:
                raise UnavailableError("this node stood still: it is too late to ask")
            await self._recoveries[producer.provider].ask(producer.producer, request, after)
        except UnavailableError as error:
            outcome, detail = "failed", str(error)
            refused_ms = error.retry_after_ms if isinstance(error, RefusedForNowError) else 0
        at = self._context.clock.now_ms()
        self._ended.append(recovery.Ended(producer.key, request, at, outcome == "taken", refused_ms))
        self._asked.labels(producer.provider, outcome).inc()
        telemetry.info(
            "recovery_asked", producer=producer.key, request=request, after=after, outcome=outcome, detail=detail
        )

    async def _write(self, changes: "_Changes") -> None:
        """Append changes and what is known of the producers; try again until the log has them."""
        now = self._context.clock.now_ms()
        records: list[Record] = []
        counts: dict[str, int] = {}
        for each, again in changes.telling():
            value = encode(each.message(now, again=again))
            for sport, count in topics.counts(self._context.settings.partitions).items():
                topic = topics.feed(sport)
                records.extend(Record(topic, each.key, value, now, number) for number in range(count))
                counts[f"system:{sport}"] = counts.get(f"system:{sport}", 0) + count
        records.extend(
            Record(topics.PRODUCERS, each.key, _encoder.encode(each), now) for each in changes.touched.values()
        )
        before = self._tried
        self._tried = [*before, *changes.told]
        await self._intake.append(records, counts)
        self._table, self._tried = changes.table, before
        for each in changes.told:
            self._changes.labels(each.state).inc()
            self._context.telemetry.info(
                "producer",
                producer=each.key,
                state=each.state,
                gen=each.gen,
                since=each.outage_since,
                reason=each.reason,
            )


class _Changes:
    """What one cycle changes: the table after it, the producers touched, and the states to tell, in order, some again."""

    def __init__(self, table: dict[str, Liveness], writer: int) -> None:
        self.table = dict(table)
        self.writer = writer
        self.touched: dict[str, Liveness] = {}
        self.told: list[Liveness] = []
        self.again: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self.touched or self.again)

    def take(self, liveness: Liveness, told: bool) -> None:  # noqa: FBT001  both come from the machine as a pair
        liveness = replace(liveness, writer=self.writer)
        self.table[liveness.key] = liveness
        self.touched[liveness.key] = liveness
        if told:
            self.told.append(liveness)

    def telling(self) -> Iterator[tuple[Liveness, bool]]:
        """Give the states to tell, and whether each is told again."""
        yield from ((each, False) for each in self.told)
        told = {each.key for each in self.told}
        yield from ((self.table[key], True) for key in self.again if key not in told)
