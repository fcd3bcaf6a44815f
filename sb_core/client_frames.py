"""What a client of the stream hears, as types, and what it amounts to for one subscription. No I/O.

The rules: these are WIRE's shapes, written from the reading side; unknown keys are ignored; an item that isn't newer is
dropped, one that doesn't follow is a gap, and after a gap nothing is applied until the subscription stands again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from sb_core import shown


class Hello(Struct, tag_field="op", tag="hello", frozen=True):
    """The server greets."""

    session: str
    heartbeat_ms: int
    lineage: int
    limits: dict[str, int]


class Subscribed(Struct, tag_field="op", tag="subscribed", frozen=True):
    """A subscription stands."""

    sub: str
    recovered: bool
    source: Literal["ring", "log", "snapshot"]
    events: int


class Unsubscribed(Struct, tag_field="op", tag="unsubscribed", frozen=True):
    """A subscription has ended."""

    sub: str


class Snapshot(Struct, tag_field="op", tag="snapshot", frozen=True):
    """A whole event; it replaces what was known of it, unless that is newer."""

    sub: str
    event: shown.Event


class Synced(Struct, tag_field="op", tag="synced", frozen=True):
    """Everything that matches is known now."""

    sub: str
    cursor: str


class Item(shown.Update, kw_only=True):
    """One event's way from `prev` to `rev`; `con`: several changes in one; `sent` in ms."""

    sent: int = 0


class Updates(Struct, tag_field="op", tag="updates", frozen=True):
    """Items of one subscription, and the cursor after them."""

    sub: str
    cursor: str
    items: list[Item]


class Changed(Struct, frozen=True):
    """An item that was applied, and the event as it is now."""

    sub: str
    item: Item
    event: shown.Event


class Gap(Struct, frozen=True):
    """An item that doesn't follow what is known; the client subscribes again."""

    sub: str
    event: str
    known: tuple[int, int] | None
    prev: int


class Gone(Struct, tag_field="op", tag="gone", frozen=True):
    """An event that belongs to the subscription no longer."""

    sub: str
    event: str
    rev: int
    reason: str


class Stale(Struct, tag_field="op", tag="stale", frozen=True):
    """The server's picture of these sports is old; nothing of them may be bet on."""

    sub: str
    sports: list[str]
    since: int


class Fresh(Struct, tag_field="op", tag="fresh", frozen=True):
    """The server's picture of these sports is up to date again."""

    sub: str
    sports: list[str]


class Heartbeat(Struct, tag_field="op", tag="heartbeat", frozen=True):
    """Nothing happened."""

    ts: int
    cursors: dict[str, str]


class Pong(Struct, tag_field="op", tag="pong", frozen=True):
    """The answer to a ping."""

    n: int | str | None


class Refused(Struct, tag_field="op", tag="error", frozen=True):
    """What was asked was not done."""

    code: str
    message: str
    sub: str | None


class Lost(Struct, frozen=True):
    """The connection is gone; the client tries again after `pause_s`."""

    code: int | None
    reason: str
    pause_s: float


Frame: TypeAlias = (
    Hello | Subscribed | Unsubscribed | Snapshot | Synced | Updates | Gone | Stale | Fresh | Heartbeat | Pong | Refused
)
Happened: TypeAlias = (
    Hello
    | Subscribed
    | Unsubscribed
    | Snapshot
    | Synced
    | Changed
    | Gap
    | Gone
    | Stale
    | Fresh
    | Heartbeat
    | Pong
    | Refused
    | Lost
)
Heard: TypeAlias = Subscribed | Snapshot | Synced | Updates | Gone | Stale | Fresh
"""Frames that are about one subscription."""


class Followed:
    """What is known of one subscription."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = dict(request)
        self.cursor: str | None = None
        self.synced = False
        self.mending = False
        """A gap was found: nothing is applied until the subscription stands again."""
        self.asked_again = False
        self.events: dict[str, shown.Event] = {}
        self.stale: set[str] = set()
        self.repeats = 0
        """Items that were not newer than what was known, and dropped."""

    def __repr__(self) -> str:
        return f"<Followed {self.request.get('sub')} events={len(self.events)} synced={self.synced}>"

    def take(self, item: Item) -> Changed | Gap | None:
        """Apply an item; None when it is not newer."""
        if self.mending:
            return None
        held = self.events.get(item.event)
        sub = str(self.request["sub"])
        if held is not None and (item.lineage, item.rev) <= (held.lineage, held.rev):
            self.repeats += 1
            return None
        if held is None or item.lineage != held.lineage or item.prev > held.rev:
            return Gap(sub, item.event, None if held is None else (held.lineage, held.rev), item.prev)
        event = shown.apply_changes(held, item)
        self.events[item.event] = event
        return Changed(sub, item, event)

    def _keep(self, event: shown.Event) -> None:
        """Take a whole event; a node that is behind the one before it may show what was: what is newer stays."""
        held = self.events.get(event.event)
        if held is None or (held.lineage, held.rev) <= (event.lineage, event.rev):
            self.events[event.event] = event

    def hear(self, said: Heard) -> Sequence[Happened]:
        """Take what the server said of this subscription; return what that amounts to."""
        if isinstance(said, Updates):
            return self._items(said)
        if isinstance(said, Subscribed):
            self.stale, self.mending = set(), False
            if not said.recovered:
                # a cursor says what is known here; cut off before the next one, nothing would be
                self.events, self.cursor, self.synced = {}, None, False
        elif isinstance(said, Snapshot):
            self._keep(said.event)
        elif isinstance(said, Synced):
            self.synced, self.cursor = True, said.cursor
        elif isinstance(said, Gone):
            self.events.pop(said.event, None)
        elif isinstance(said, Stale):
            self.stale.update(said.sports)
        else:
            self.stale.difference_update(said.sports)
            for name, event in self.events.items():
                if event.stale and event.sport in said.sports:
                    self.events[name] = msgspec.structs.replace(event, stale=False)
        return (said,)

    def _items(self, said: Updates) -> Sequence[Happened]:
        happened: list[Happened] = []
        for item in said.items:
            each = self.take(item)
            if each is not None:
                happened.append(each)
            if isinstance(each, Gap):
                self.mending, self.asked_again = True, False
        if not self.mending:
            self.cursor = said.cursor
        return happened
