"""Filters: what a subscription covers, read from a client's wish or refused.

The rule: a filter says the same on every node; its digest is part of cursors.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal, TypeAlias

from msgspec import Struct

from sb_core.topics import partition_of, sport_of
from sb_distribute import wire
from sb_distribute.wire import RefusedError

Kind: TypeAlias = Literal["all", "sports", "events", "competitions"]


class Filter(Struct, frozen=True):
    """What a subscription covers; `markets` None means all markets."""

    kind: Kind
    ids: frozenset[str] = frozenset()
    markets: frozenset[str] | None = None

    @classmethod
    def of(cls, asked: wire.Subscribe, sports: Sequence[str]) -> "Filter":
        """Read a client's wish. Raises RefusedError (bad_filter, unknown_sport, too_many)."""
        lists: dict[Kind, list[str] | None] = {
            "sports": asked.sports,
            "events": asked.events,
            "competitions": asked.competitions,
        }
        given = [(kind, ids) for kind, ids in lists.items() if ids is not None]
        if len(given) > 1:
            raise RefusedError("bad_filter", "only one of sports, events and competitions", asked.sub)
        for name, ids in (*given, ("markets", asked.markets)):
            if ids is not None and not ids:
                raise RefusedError("bad_filter", f"{name} is empty; leave it out for all", asked.sub)
            if ids is not None and len(ids) > wire.FILTER_IDS_MAX:
                raise RefusedError("too_many", f"more than {wire.FILTER_IDS_MAX} {name}", asked.sub)
        kind, ids = given[0] if given else ("all", [])
        if kind == "sports":
            for sport in ids or ():
                if sport not in sports:
                    raise RefusedError("unknown_sport", f"no sport {sport[:40]!r}", asked.sub)
        markets = None if asked.markets is None else frozenset(asked.markets)
        return cls(kind, frozenset(ids or ()), markets)

    def matches(self, event: str, sport: str, competition: str | None) -> bool:
        """Tell whether an event is covered."""
        if self.kind == "all":
            return True
        if self.kind == "events":
            return event in self.ids
        return (sport if self.kind == "sports" else competition) in self.ids

    def digest(self) -> str:
        """Return 16 hex digits that are the same for the same filter on every node."""
        markets = "*" if self.markets is None else "\x1e".join(sorted(self.markets))
        text = "\x1f".join((self.kind, markets, *sorted(self.ids)))
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def indices(self, partitions: Sequence[tuple[str, int]]) -> tuple[int, ...]:
        """Return which feed partitions can have changes for this filter."""
        if self.kind == "sports":
            return tuple(i for i, (topic, _) in enumerate(partitions) if sport_of(topic) in self.ids)
        if self.kind == "events":
            counts: dict[str, int] = {}
            for topic, _ in partitions:
                counts[topic] = counts.get(topic, 0) + 1
            wanted = {(topic, partition_of(event, count)) for topic, count in counts.items() for event in self.ids}
            return tuple(i for i, partition in enumerate(partitions) if partition in wanted)
        return tuple(range(len(partitions)))
