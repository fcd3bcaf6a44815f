"""Changes on their way to clients: read once, encoded once, and merged when a client can't take each one.

The rules: a merge leads from the first change's `prev` to the last one's `rev` and leaves the same event as its parts;
a market that was shut in between and is open again is named in `closed`; nothing here knows who the clients are.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from sb_core.messages import Score
from sb_core.shown import Changes, Market, MarketKey, RawUpdate, StatusChange
from sb_distribute.cursor import Position
from sb_distribute.wire import JSON, Format, Gone, Item

Version: TypeAlias = tuple[int, int]
"""(lineage, rev)"""
Key: TypeAlias = tuple[str, str]
"""(market, line)"""

URGENT: Final = frozenset({"bet_stop", "settlement", "cancel", "hold", "producer"})
"""What goes out at once, with all that waits of its event. A producer's outage closes markets as a stop does."""

_changes_decoder: Final = msgspec.json.Decoder(Changes)


class Change:
    """One update as read from the log, shared by everybody who passes it on."""

    __slots__ = ("_changes", "_restricted", "event", "raw", "version")

    def __init__(self, raw: RawUpdate) -> None:
        self.raw = raw
        self.event = raw.event
        self.version: Version = (raw.lineage, raw.rev)
        self._changes: Changes | None = None
        # made when the first client needs them: most changes are nobody's
        self._restricted: dict[frozenset[str], Changes | None] | None = None

    def __repr__(self) -> str:
        return f"<Change {self.event} {self.raw.lineage}.{self.raw.prev}-{self.raw.rev} {self.raw.cause_type}>"

    @property
    def before(self) -> Version:
        """What it follows."""
        return self.raw.lineage, self.raw.prev

    @property
    def urgent(self) -> bool:
        """Whether it goes out at once."""
        return self.raw.cause_type in URGENT

    @property
    def bytes(self) -> int:
        """The size of what changed, as JSON."""
        return memoryview(self.raw.changes).nbytes

    @property
    def changes(self) -> Changes:
        """What changed, decoded. Raises msgspec.MsgspecError."""
        if self._changes is None:
            self._changes = _changes_decoder.decode(self.raw.changes)
        return self._changes

    def restricted(self, markets: frozenset[str]) -> Changes | None:
        """Return what changed of these markets and of the event itself; None when that is nothing."""
        if self._restricted is None:
            self._restricted = {}
        if markets not in self._restricted:
            self._restricted[markets] = restrict(self.changes, markets)
        return self._restricted[markets]


def restrict(changes: Changes, markets: frozenset[str]) -> Changes | None:
    """Keep what is about these markets, and the event's own fields and score; None when nothing is left."""
    kept = Changes(
        event=changes.event,
        score=changes.score,
        markets=[market for market in changes.markets if market.market in markets],
        statuses=[moved for moved in changes.statuses if moved.market in markets],
        closed=[key for key in changes.closed if key.market in markets],
    )
    if kept.event or kept.score is not None or kept.markets or kept.statuses or kept.closed:
        return kept
    return None


class Merged:
    """The sum of successive changes of one event."""

    __slots__ = ("_event", "_markets", "_named", "_score", "_shut", "_statuses")

    def __init__(self) -> None:
        self._event: dict[str, Any] = {}
        self._score: Score | None = None
        self._markets: dict[Key, Market] = {}
        self._statuses: dict[Key, StatusChange] = {}
        self._shut: dict[Key, None] = {}
        self._named: dict[Key, None] = {}

    def add(self, changes: Changes) -> None:
        """Go on with the next rev's changes."""
        self._event.update(changes.event)
        if changes.score is not None:
            self._score = changes.score
        for market in changes.markets:
            key = market.market, market.line
            self._markets[key] = market
            self._statuses.pop(key, None)
            if not market.open:
                self._shut[key] = None
        for moved in changes.statuses:
            key = moved.market, moved.line
            whole = self._markets.get(key)
            if whole is not None:
                self._markets[key] = msgspec.structs.replace(whole, status=moved.status, open=moved.open)
            else:
                self._statuses[key] = moved
            if not moved.open:
                self._shut[key] = None
        for named in changes.closed:
            self._named[named.market, named.line] = None

    def changes(self) -> Changes:
        """Return the sum; `closed` names what was shut in between and is open at the end."""
        reopened = [key for key in self._shut if self._open(key)]
        return Changes(
            event=self._event,
            score=self._score,
            markets=list(self._markets.values()),
            statuses=list(self._statuses.values()),
            closed=[MarketKey(market=market, line=line) for market, line in dict.fromkeys((*self._named, *reopened))],
        )

    def _open(self, key: Key) -> bool:
        whole = self._markets.get(key)
        return whole.open if whole is not None else self._statuses[key].open


def merge(parts: Iterable[Changes]) -> Changes:
    """Sum up changes of successive revs."""
    merged = Merged()
    for part in parts:
        merged.add(part)
    return merged.changes()


class Waiting:
    """Successive changes of one event on their way, immutable and shared by all for whom the same ones wait.

    `before` is the node's position before the first. What they amount to is worked out, and encoded, once for all.
    """

    __slots__ = ("_items", "_markets", "_parts", "_sent", "_sum", "before", "bytes", "version")

    def __init__(
        self, parts: tuple[Change, ...], before: Position, markets: frozenset[str] | None, size_bytes: int
    ) -> None:
        self._parts = parts
        self._markets = markets
        self._sum: Changes | None = None
        self._items: dict[tuple[str, int] | int, Raw] = {}
        self._sent: int | None = None
        self.before = before
        self.bytes = size_bytes
        self.version = parts[-1].version
        """Where it leads."""

    def __repr__(self) -> str:
        return f"<Waiting {self._parts[0]!r}{f' and {len(self._parts) - 1} more' if self._parts[1:] else ''}>"

    @classmethod
    def of(cls, change: Change, before: Position, markets: frozenset[str] | None) -> "Waiting":
        """Begin with one change."""
        return cls((change,), before, markets, change.bytes)

    def then(self, change: Change) -> "Waiting":
        """Go on with the next change."""
        return Waiting((*self._parts, change), self.before, self._markets, self.bytes + change.bytes)

    def item(self, form: Format, prev: int, sent: int) -> Raw:
        """Encode as one item that leads on from `prev`; once for all who have the same format and prev."""
        if sent != self._sent:
            self._items = {}
            self._sent = sent
        key = prev if form is JSON else (form.name, prev)
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = self._encoded(form, prev, sent)
        return item

    def _encoded(self, form: Format, prev: int, sent: int) -> Raw:
        raw = self._parts[-1].raw
        changes: Raw | Changes
        if len(self._parts) == 1 and self._markets is None and form is JSON:
            changes = raw.changes
        else:
            if self._sum is None:
                self._sum = merge(map(self._part, self._parts))
            changes = self._sum
        con = len(self._parts) > 1
        said = Item(raw.event, raw.sport, raw.lineage, prev, raw.rev, raw.ts, raw.updated, sent, con, changes)
        return Raw(form.encode(said))

    def _part(self, change: Change) -> Changes:
        if self._markets is None:
            return change.changes
        return change.restricted(self._markets) or Changes()


class Owed(Struct, frozen=True):
    """What is owed of one event other than changes: a snapshot still to be made, or the word that it is gone."""

    before: Position
    gone: Gone | None = None
    lacks: bool = False
    """The client doesn't have the event."""
    back: bool = False
    """Once it is told that the event is gone, a snapshot is owed."""


Shared: TypeAlias = dict[Waiting | frozenset[str] | None, Waiting]
"""What one change has made of what waited before it: the same for all subscriptions for which the same waited."""


def following(
    change: Change, before: Position, markets: frozenset[str] | None, waiting: Waiting | None, shared: Shared
) -> Waiting:
    """Return what waits once a change has come; the same object for all for whom the same waited."""
    key = markets if waiting is None else waiting
    found = shared.get(key)
    if found is None:
        found = shared[key] = Waiting.of(change, before, markets) if waiting is None else waiting.then(change)
    return found
