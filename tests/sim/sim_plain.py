"""The rules for an open market in the plainest way: lists of what was said, in the order of the feed.

It shares no code with the fold and knows less: where a recovery's answers make versions incomparable it says nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from sb_core import messages as m
from sb_core.records import Fetched, TopicPartition
from sb_core.shown import Event, Market

FINISHED = {"abandoned", "ended", "closed", "cancelled"}


class Plain:
    """What the feed topics say of every event."""

    def __init__(self, feeds: Mapping[TopicPartition, Sequence[Fetched]]) -> None:
        self.said: dict[str, list[tuple[int, m.AnyMessage | None]]] = {}
        self.producers: dict[TopicPartition, dict[str, m.Producer]] = {}
        self.outages: dict[TopicPartition, list[tuple[int, m.Producer]]] = {}
        self.place: dict[str, TopicPartition] = {}
        for place, records in feeds.items():
            for record in records:
                self._take(place, record)

    def _take(self, place: TopicPartition, record: Fetched) -> None:
        try:
            message = m.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.said.setdefault(record.key, []).append((record.offset, None))
            return
        if isinstance(message, m.Tick):
            return
        if isinstance(message, m.Producer):
            states = self.producers.setdefault(place, {})
            self.outages.setdefault(place, []).append((record.offset, message))
            before = states.get(message.producer)
            if before is None or message.gen >= before.gen:
                states[message.producer] = message
            return
        self.place[record.key] = place
        self.said.setdefault(record.key, []).append((record.offset, message))

    def faults(self, event: Event) -> Iterator[str]:
        """Say what forbids the markets that are shown open."""
        for market in event.markets:
            if market.open:
                for why in self._closed(event, market):
                    yield f"{event.event} {market.market}|{market.line} is open at rest, but {why}"

    def _closed(self, event: Event, market: Market) -> Iterator[str]:
        said = self.said[event.event]
        if event.status in FINISHED:
            yield f"the event is {event.status}"
        producer = self.producers.get(self.place[event.event], {}).get(market.producer or "")
        if producer is not None and producer.state == "down":
            yield "its producer is down"
        priced = [
            (offset, each)
            for offset, each in said
            if isinstance(each, m.Odds) and each.producer == market.producer and _names(each, market)
        ]
        newest = max((each.ts for _, each in priced), default=-1)
        answered = any(each.request is not None for _, each in priced)
        for offset, each in said:
            if each is None and not any(at > offset for at, _ in priced):
                yield f"a record at {offset} could not be read, and no odds came after it"
            if answered or not isinstance(each, m.BetStop) or each.producer != market.producer:
                continue
            if _covers(each, market) and each.ts >= newest:
                yield f"a stop of {each.ts} covers it and its newest odds are of {newest}"
        yield from self._held(said, market)

    def _held(self, said: Sequence[tuple[int, m.AnyMessage | None]], market: Market) -> Iterator[str]:
        """Every producer has a lane per target; who held it last, by `ts`, must have released it."""
        newest: dict[tuple[str, bool], tuple[int, int, m.AnyMessage]] = {}
        for offset, each in said:
            if isinstance(each, m.Hold | m.Release) and (each.markets is None or _names(each, market)):
                lane = each.producer, each.markets is None
                if lane not in newest or (each.ts, offset) >= newest[lane][:2]:
                    newest[lane] = each.ts, offset, each
        if newest and all(isinstance(each, m.Hold) for _, _, each in newest.values()):
            yield "an operator holds it"


def _names(message: m.AnyMessage, market: Market) -> bool:
    return any((each.market, each.line) == (market.market, market.line) for each in message.markets or ())  # type: ignore[union-attr]


def _covers(stop: m.BetStop, market: Market) -> bool:
    if stop.markets is not None:
        return _names(stop, market)
    if not stop.groups or "all" in stop.groups:
        return True
    return market.groups is None or any(group in market.groups for group in stop.groups)
