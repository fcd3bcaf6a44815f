"""One event as a node holds it: header and markets, changed in place by the changes that follow.

The rule: it is the sum of all its changes up to its (lineage, rev), or it is not held. Pure.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from sb_core import shown
from sb_core.messages import FINISHED
from sb_distribute.conflate import Change, Key, Version

_FIELD_TYPES: Final[dict[str, Any]] = {
    field.name: field.type for field in msgspec.structs.fields(shown.Header) if field.name in shown.EVENT_FIELDS
}
_HEADER_FIELDS: Final = shown.Header.__struct_fields__


class EventSnapshot(Struct, frozen=True):
    """An event at one (lineage, rev). `event` is shared: treat it as frozen; its `stale` is always False."""

    lineage: int
    rev: int
    event: shown.Event


class Live:
    """A held event: header and markets change in place, market objects are shared with whoever was given them."""

    __slots__ = ("_order", "_snapshot", "header", "markets", "touched", "version")

    def __init__(self, event: shown.Event) -> None:
        self.header = shown.Header(**{name: getattr(event, name) for name in _HEADER_FIELDS})
        self.markets: dict[Key, shown.Market] = {(market.market, market.line): market for market in event.markets}
        self.version: Version = (event.lineage, event.rev)
        self.touched = False
        self._order: list[Key] | None = None
        self._snapshot: EventSnapshot | None = None

    def __repr__(self) -> str:
        return f"<Live {self.header.event} {self.version[0]}.{self.version[1]} markets={len(self.markets)}>"

    @property
    def competition(self) -> str | None:
        """The id of the event's competition."""
        return None if self.header.competition is None else self.header.competition.id

    @property
    def current(self) -> bool:
        """Whether subscriptions by sport or competition include it: not finished, or changed since this node began."""
        return self.touched or self.header.status not in FINISHED

    def apply(self, change: Change) -> None:
        """Go to the change's version, which follows. Raises msgspec.MsgspecError, and is then unchanged."""
        changes = change.changes
        header, markets = self.header, self.markets
        if changes.event:
            fields = [
                (name, msgspec.convert(value, _FIELD_TYPES[name]))
                for name, value in changes.event.items()
                if name in _FIELD_TYPES
            ]
            for name, value in fields:
                setattr(header, name, value)
        if changes.score is not None:
            header.score = changes.score
        for market in changes.markets:
            key = market.market, market.line
            if key not in markets:
                self._order = None
            markets[key] = market
        for moved in changes.statuses:
            key = moved.market, moved.line
            whole = markets.get(key)
            if whole is not None:
                markets[key] = msgspec.structs.replace(whole, status=moved.status, open=moved.open)
        raw = change.raw
        header.lineage, header.rev, header.ts, header.updated = raw.lineage, raw.rev, raw.ts, raw.updated
        self.version = change.version
        self.touched = True
        self._snapshot = None

    def snapshot(self) -> EventSnapshot:
        """Return the event as it is now; made once per version."""
        if self._snapshot is None:
            if self._order is None:
                self._order = sorted(self.markets)
            fields: dict[str, Any] = {name: getattr(self.header, name) for name in _HEADER_FIELDS}
            event = shown.Event(**fields, markets=[self.markets[key] for key in self._order])
            self._snapshot = EventSnapshot(*self.version, event)
        return self._snapshot
