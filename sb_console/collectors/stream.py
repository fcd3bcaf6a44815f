"""The stream as an operator sees it: every update counted, a sample of them kept, one event followed in full.

The rules: what is kept was examined by the filter, and how many were examined is told, so that a sample never passes for
all; a moment keeps SAMPLE_MAX updates and examines EXAMINED_MAX, whatever the rate.
"""

import time
from collections.abc import Callable
from typing import Final

import anyio

from sb_console import observations as seen
from sb_console.collectors.boards import board_of, markets_of
from sb_console.query import Node, QueryError, parse
from sb_console.tape import matches
from sb_core.client import (
    Changed,
    Fresh,
    Gap,
    Gone,
    Happened,
    Lost,
    Snapshot,
    Stale,
    StreamClient,
    StreamError,
    Synced,
)
from sb_core.client_frames import Item

MOMENT_S: Final = 0.25
SAMPLE_MAX: Final = 25
EXAMINED_MAX: Final = 400
MARKETS_MAX: Final = 8
"""Markets of an update that its tape item holds."""
AGAIN_S: Final = 1.0
SOURCE: Final = "stream"
TAPE: Final = "tape"
FOCUS: Final = "focus"

Emit = Callable[[seen.Observation], None]


def now_ms() -> int:
    """Return wall time in ms."""
    return time.time_ns() // 1_000_000


class StreamCollector:
    """Follows everything."""

    def __init__(self, url: str, key: str, emit: Emit) -> None:
        self._url = url
        self._key = key or None
        self._emit = emit
        self._client: StreamClient | None = None
        self._filter = ""
        self._node: Node | None = None
        self._connected = False
        self._trouble: str | None = None
        self._counts = dict.fromkeys(("updates", "examined", "matched", "kept", "gaps", "losses"), 0)
        self._repeats_before = 0
        self._held: list[seen.TapeItem] = []
        self._examined = 0

    def __repr__(self) -> str:
        return f"<StreamCollector {self._url} {self._counts}>"

    def sample(self, text: str) -> None:
        """Sample only what this filter lets through from now on; one that can't be read changes nothing."""
        try:
            self._node = parse(text)
        except QueryError:
            return
        self._filter = text

    async def run(self) -> None:
        """Follow, for ever."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            while True:
                await anyio.sleep(MOMENT_S)
                self._tell()

    async def _follow(self) -> None:
        while True:
            try:
                async with StreamClient(self._url, key=self._key) as client:
                    self._client = client
                    await client.subscribe(TAPE)
                    self._connected, self._trouble = True, None
                    async for happened in client:
                        self._take(happened)
            except StreamError as error:
                self._trouble = str(error)
            self._connected = False
            if self._client is not None and TAPE in self._client.subs:
                self._repeats_before += self._client.followed(TAPE).repeats
            self._client = None
            await anyio.sleep(AGAIN_S)

    def _take(self, happened: Happened) -> None:
        counts = self._counts
        if isinstance(happened, Changed):
            counts["updates"] += 1
            if self._examined < EXAMINED_MAX and len(self._held) < SAMPLE_MAX:
                self._examine(happened.item, happened.event.name)
        elif isinstance(happened, Gap):
            counts["gaps"] += 1
        elif isinstance(happened, Lost):
            counts["losses"] += 1
            self._connected, self._trouble = False, happened.reason or "lost"
        elif isinstance(happened, Synced):
            self._connected, self._trouble = True, None

    def _examine(self, item: Item, name: str | None) -> None:
        self._examined += 1
        self._counts["examined"] += 1
        made = tape_item(item, name, now_ms())
        if self._node is not None and not matches(self._node, made):
            return
        self._counts["matched"] += 1
        self._counts["kept"] += 1
        self._held.append(made)

    def _tell(self) -> None:
        client, at = self._client, now_ms()
        known = client is not None and TAPE in client.subs
        followed = client.followed(TAPE) if client is not None and known else None
        repeats = self._repeats_before + (followed.repeats if followed is not None else 0)
        self._emit(
            seen.StreamSeen(
                at=at,
                connected=self._connected,
                **self._counts,
                repeats=repeats,
                events=len(followed.events) if followed is not None else 0,
                stale=sorted(followed.stale) if followed is not None else (),
                filter=self._filter,
                items=self._held,
                trouble=self._trouble,
            )
        )
        error = None if self._connected else self._trouble or "not connected yet"
        self._emit(seen.Polled(at, SOURCE, 0.0, int(MOMENT_S * 1000), error))
        self._held, self._examined = [], 0


class FocusCollector:
    """Follows one event in full, on a connection of its own while there is one to follow."""

    def __init__(self, url: str, key: str, emit: Emit) -> None:
        self._url = url
        self._key = key or None
        self._emit = emit
        self._event: str | None = None
        self._changed = anyio.Event()

    def follow(self, event: str | None) -> None:
        """Follow another event, or none."""
        if event != self._event:
            self._event = event
            self._changed.set()

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            self._changed = anyio.Event()
            if self._event is None:
                await self._changed.wait()
                continue
            async with anyio.create_task_group() as group:
                group.start_soon(self._follow, self._event)
                await self._changed.wait()
                group.cancel_scope.cancel()

    async def _follow(self, event: str) -> None:
        while True:
            try:
                async with StreamClient(self._url, key=self._key) as client:
                    await client.subscribe(FOCUS, events=[event])
                    async for happened in client:
                        if isinstance(happened, Changed | Snapshot | Gone | Stale | Fresh | Synced):
                            held = client.events(FOCUS).get(event)
                            self._emit(seen.BoardSeen(now_ms(), event, None if held is None else board_of(held)))
            except StreamError:
                await anyio.sleep(AGAIN_S)


def tape_item(item: Item, name: str | None, at: int) -> seen.TapeItem:
    """Make a line of the tape of an update."""
    changes = item.changes
    return seen.TapeItem(
        at=at,
        sport=item.sport,
        event=item.event,
        name=changes.event.get("name") or name,
        lineage=item.lineage,
        prev=item.prev,
        rev=item.rev,
        ts=item.ts,
        received=item.updated,
        sent=item.sent,
        con=item.con,
        kind=_kind(item),
        markets=markets_of(changes, MARKETS_MAX),
        changed=len(changes.markets) + len(changes.statuses),
    )


def _kind(item: Item) -> str:
    """Name what an update is mostly about."""
    changes = item.changes
    if any(each.result is not None for market in changes.markets[:1] for each in market.outcomes):
        return "settled"
    if changes.closed or any(not each.open for each in changes.statuses):
        return "closed"
    if changes.score is not None:
        return "score"
    if changes.markets:
        return "odds"
    if changes.statuses:
        return "opened"
    return "producer" if set(changes.event) == {"producers"} else "event"
