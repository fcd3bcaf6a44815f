"""Which subscriptions an event concerns.

The rule: an event costs as much as the subscriptions that cover it, however many there are.
"""

from collections.abc import Iterator
from itertools import chain

from sb_distribute.filters import Kind
from sb_distribute.subscriptions import Subscription


class Index:
    """Finds the subscriptions that an event concerns."""

    def __init__(self) -> None:
        self.all: dict[Subscription, None] = {}
        self._by: dict[tuple[Kind, str], dict[Subscription, None]] = {}

    def __len__(self) -> int:
        return len(self.all)

    def add(self, sub: Subscription) -> None:
        """Add a subscription."""
        self.all[sub] = None
        for key in self._keys(sub):
            self._by.setdefault(key, {})[sub] = None

    def remove(self, sub: Subscription) -> None:
        """Remove a subscription."""
        self.all.pop(sub, None)
        for key in self._keys(sub):
            found = self._by.get(key)
            if found is not None:
                found.pop(sub, None)
                if not found:
                    del self._by[key]

    def matching(self, event: str, sport: str, competition: str | None) -> Iterator[Subscription]:
        """Return the subscriptions that cover an event."""
        by = self._by
        found = [by.get(("all", "")), by.get(("sports", sport)), by.get(("events", event))]
        if competition is not None:
            found.append(by.get(("competitions", competition)))
        return chain.from_iterable([subs for subs in found if subs])

    def concerns(self, event: str, sport: str) -> bool:
        """Tell whether there are any by event, by sport or for all."""
        by = self._by
        return ("all", "") in by or ("sports", sport) in by or ("events", event) in by

    def of_competition(self, competition: str) -> Iterator[Subscription]:
        """Return the subscriptions by competition that cover this one."""
        yield from self._by.get(("competitions", competition), ())

    def by_competition(self) -> Iterator[Subscription]:
        """Return all subscriptions by competition."""
        return (sub for sub in self.all if sub.filter.kind == "competitions")

    @staticmethod
    def _keys(sub: Subscription) -> list[tuple[Kind, str]]:
        if sub.filter.kind == "all":
            return [("all", "")]
        return [(sub.filter.kind, each) for each in sub.filter.ids]
