"""An event as it was: the change log folded from its first entry on.

The rule: what comes out equals `shown.apply_changes` entry by entry; it is only cheaper, because markets are sorted
once at the end. An entry that doesn't follow the one before it stops the fold: a hole is never papered over.
"""

from typing import Any

import msgspec

from sb_core.shown import EVENT_FIELDS, Changes, Event, Header, Market, Update, empty, market_order

_FIELD_TYPES: dict[str, Any] = {
    field.name: field.type for field in msgspec.structs.fields(Header) if field.name in EVENT_FIELDS
}


class HoleError(Exception):
    """The change log doesn't reach back to the event's first `rev`: retention has passed it."""


class EventFold:
    """Takes an event's updates in order from rev 1 and gives its state. Pure: no I/O, no clock."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._header: dict[str, Any] = {}
        self._markets: dict[tuple[str, str], Market] = {}
        self._last: Update | None = None

    def __repr__(self) -> str:
        return f"<EventFold {self._event} rev={self.rev} markets={len(self._markets)}>"

    @property
    def rev(self) -> int:
        """The `rev` folded last; 0 before the first."""
        return 0 if self._last is None else self._last.rev

    def apply(self, update: Update) -> None:
        """Take the next update. Raises HoleError where it doesn't follow."""
        if update.prev != self.rev:
            raise HoleError(f"rev {update.rev} follows {update.prev}, not {self.rev}")
        self._last = update
        self._apply_header(update.changes)
        for market in update.changes.markets:
            self._markets[market_order(market)] = market
        for moved in update.changes.statuses:
            key = moved.market, moved.line
            known = self._markets.get(key)
            if known is not None:
                self._markets[key] = msgspec.structs.replace(known, status=moved.status, open=moved.open)

    def _apply_header(self, changes: Changes) -> None:
        for name, value in changes.event.items():
            if name in _FIELD_TYPES:
                self._header[name] = msgspec.convert(value, _FIELD_TYPES[name])
        if changes.score is not None:
            self._header["score"] = changes.score

    def event(self) -> Event | None:
        """Return the event at the last update taken; None before the first."""
        last = self._last
        if last is None:
            return None
        return msgspec.structs.replace(
            empty(self._event, last.sport),
            **self._header,
            markets=sorted(self._markets.values(), key=market_order),
            lineage=last.lineage,
            rev=last.rev,
            ts=last.ts,
            updated=last.updated,
        )
