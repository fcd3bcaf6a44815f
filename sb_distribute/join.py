"""How a subscription begins: with snapshots, or where its cursor stands, from the ring or from the change log.

The rule: a resume has no hole, or it is no resume. The last look at the ring and the subscription's beginning are one
step without a wait in between, so that nothing can pass between them.
"""

from collections.abc import Sequence
from typing import Final

import anyio
import msgspec

from sb_core import shown
from sb_core.errors import DependencyError, UnavailableError
from sb_core.messages import FINISHED
from sb_core.runtime import Context
from sb_distribute import cursor as cursors
from sb_distribute import wire
from sb_distribute.conflate import Change
from sb_distribute.cursor import Cursor
from sb_distribute.hub import Hub
from sb_distribute.node import Node
from sb_distribute.session import Join, Session
from sb_distribute.subscriptions import UNSURE, Subscription
from sb_distribute.wire import RefusedError

RESUME_CHANGES_MAX: Final = 20_000
"""Changes read from the log for one resume; with more a snapshot is cheaper."""
RESUME_PAGE_MAX: Final = 1_000
RESUME_TRIES_MAX: Final = 3
RESUME_DEADLINE_S: Final = 5.0
EVENTS_AT_ONCE_MAX: Final = 8
STATUS_CAUSES: Final = frozenset({"fixture", "score"})
"""What moves the status of an event."""
DAY_S: Final = 86_400
RETENTION_SHARE: Final = 0.5
"""Of the time that changes are kept, in which a cursor may rely on the log: nobody says which ones are gone already."""


class Joiner:
    """Makes subscriptions stand."""

    def __init__(self, node: Node, hub: Hub, context: Context) -> None:
        self._node = node
        self._hub = hub
        self._store = context.store
        self._clock = context.clock
        self._logged_s_max = context.settings.retention_days * RETENTION_SHARE * DAY_S
        self._telemetry = context.telemetry
        self._joins = context.telemetry.counter(
            "stream_subscribed_total", "Subscriptions, by how they began", ("source",)
        )

    async def join(self, session: Session, effect: Join) -> None:
        """Let a subscription begin and take part. Raises RefusedError `bad_cursor`."""
        asked, hub = effect.asked, self._hub
        cursor = _parsed(asked)
        hub.remove(session.subscriptions.pop(asked.sub, None))
        if effect.filter.kind == "events":
            await self._load(sorted(effect.filter.ids))
        sub = Subscription(
            asked.sub,
            hub.named(effect.filter),
            effect.filter.indices(hub.state.partitions),
            session,
            conflate_ms=asked.conflate_ms or 0,
            bytes_max=session.limits.outbox_bytes_max,
        )
        source = None if cursor is None else await self._resume(sub, cursor)
        if source is None:
            self._begin(sub)
        if session not in hub.sessions:
            return  # it was closed meanwhile
        hub.add(session, sub)
        self._joins.labels(source or "snapshot").inc()

    def _begin(self, sub: Subscription) -> None:
        """Begin with snapshots; what is known to be missing, and may match, is owed."""
        hub, state = self._hub, self._hub.state
        sub.begin(hub.matching(sub))
        if sub.filter.kind == "events":
            for event in sub.filter.ids:
                if state.live(event) is None and state.seen(event) is not None:
                    self._node.want(event)  # it was loaded, but had to make room for others
        for event in sorted(state.wanted.keys() & sub.filter.ids if sub.filter.kind == "events" else state.wanted):
            sub.mark(event, hub.position)

    async def _load(self, events: Sequence[str]) -> None:
        """Have the events held that can be; what can't be had now follows when it can."""
        limiter = anyio.CapacityLimiter(EVENTS_AT_ONCE_MAX)

        async def one(event: str) -> None:
            async with limiter:
                try:
                    await self._node.event(event)
                except UnavailableError:
                    self._node.want(event)

        missing = [event for event in events if self._hub.state.live(event) is None]
        if missing:
            async with anyio.create_task_group() as group:
                for event in missing:
                    group.start_soon(one, event)

    async def _resume(self, sub: Subscription, cursor: Cursor) -> wire.Source | None:
        """Begin where the cursor stands; None when that can't be done without a hole."""
        try:
            with anyio.fail_after(RESUME_DEADLINE_S):
                return await self._begin_at(sub, cursor)
        except (DependencyError, TimeoutError, msgspec.MsgspecError, RecursionError) as error:
            self._telemetry.warn("resume_failed", detail=f"{type(error).__name__}: {error}")
            return None

    async def _begin_at(self, sub: Subscription, cursor: Cursor) -> wire.Source | None:
        state, position = self._hub.state, self._hub.position
        if cursor.digest != sub.digest or len(cursor.offsets) != len(sub.indices):
            return None
        if cursor.lineages != position.lineage_sum(sub.indices):
            return None
        offsets = dict(zip(sub.indices, cursor.offsets, strict=True))
        if sub.filter.kind == "competitions" and any(at > position.offsets[index] for index, at in offsets.items()):
            # this node is behind, and may take for known members what the client can't know as such
            return None
        changes = await self._from_log(offsets, cursor.written_s)
        # From here on nothing waits.
        if changes is None or state is not self._hub.state:
            return None
        source: wire.Source = "log" if tuple(offsets.values()) != cursor.offsets else "ring"
        for index, offset in offsets.items():
            changes.extend(state.since(index, offset) or ())
        wanted = self._matching(sub, changes)
        if wanted is None:
            return None
        held = self._hub.matching(sub)
        by_event = sub.filter.kind == "events"
        # of what is finished, a node gives what has changed since it began: another one may not have given it
        moved = {
            each.event for each in wanted if each.raw.cause_type in STATUS_CAUSES and "status" in each.changes.event
        }
        versions = {
            event: live.version if by_event or not (event in moved or live.header.status in FINISHED) else UNSURE
            for event, live in held.items()
        }
        sports = {live.header.sport for live in held.values()}
        # loaded at a rev whose update is still to come, or not at all: a cursor can't tell what the client has
        anew = [event for event in versions if state.ahead(event)]
        if by_event:
            anew.extend(sorted(state.wanted.keys() & sub.filter.ids))
        sub.resume(source, wanted, versions, sports, position.at(sub.indices, cursor.offsets), anew)
        return source

    async def _from_log(self, offsets: dict[int, int], written_s: int) -> list[Change] | None:
        """Read from the log what the ring hasn't, and move `offsets` to where the ring goes on; None if it never does."""
        state = self._hub.state
        changes: list[Change] = []
        for _ in range(RESUME_TRIES_MAX):
            beyond = [index for index, offset in offsets.items() if state.since(index, offset) is None]
            if not beyond:
                return changes
            if self._clock.now_ms() / 1000 - written_s > self._logged_s_max:
                return None
            for index in beyond:
                read = await self._logged(index, offsets[index], RESUME_CHANGES_MAX - len(changes))
                if read is None:
                    return None
                changes.extend(read[0])
                offsets[index] = read[1]
        return None

    async def _logged(self, index: int, start: int, limit: int) -> tuple[list[Change], int] | None:
        """Read a partition's changes from the log up to where the node stands; and the offset from which to go on."""
        state = self._hub.state
        place, target, made_below = state.partitions[index], state.position.offsets[index], state.made_below(index)
        changes: list[Change] = []
        while start <= target:
            rows = await self._store.changes(place, start, min(RESUME_PAGE_MAX, limit + 1))
            if not rows:
                break
            changes.extend(Change(shown.raw_update_decoder.decode(row.update)) for row in rows)
            if len(changes) > limit:
                return None
            start = rows[-1].offset + 1
        # a store that failed over may lack, for now, changes that were published already; asked last, it tells
        positions = await self._store.positions([place[0]])
        stands_at = next((each.next_offset for each in positions if each.partition == place[1]), 0)
        return (changes, max(start, target + 1)) if stands_at >= made_below else None

    def _matching(self, sub: Subscription, changes: Sequence[Change]) -> list[Change] | None:
        """Keep what concerns the subscription; None when who belongs to it may have changed."""
        kept = []
        for change in changes:
            live = self._hub.state.live(change.event)
            if sub.filter.kind == "competitions" and (live is None or "competition" in change.changes.event):
                return None
            if sub.filter.matches(change.event, change.raw.sport, None if live is None else live.competition):
                kept.append(change)
        return kept


def _parsed(asked: wire.Subscribe) -> Cursor | None:
    if asked.cursor is None:
        return None
    try:
        return cursors.parse(asked.cursor)
    except ValueError as error:
        raise RefusedError("bad_cursor", str(error), asked.sub) from error
