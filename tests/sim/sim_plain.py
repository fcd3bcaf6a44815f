"""What must be shown of an event, in the plainest way: lists of what was said, in the order of the feed.

It shares no code with the fold. Of settlements, cancels, holds, scores, statuses and prices it says what stands; of an
open market, what forbids it. Where a clock stepped back, times don't compare, and it says less.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from sb_core import messages as m
from sb_core.records import Fetched, TopicPartition
from sb_core.shown import Event, Market

FINISHED = {"abandoned", "ended", "closed", "cancelled"}
Version: TypeAlias = tuple[int, int]
"""(generation of the producer, ts)"""
Said: TypeAlias = tuple[int, Version, Any]
"""(offset, version, message); a record that nobody can read is None, at version (0, 0)."""


class Plain:
    """What the feed topics say of every event."""

    def __init__(self, feeds: Mapping[TopicPartition, Sequence[Fetched]]) -> None:
        self.said: dict[str, list[Said]] = {}
        self.outages: dict[tuple[TopicPartition, str], list[m.Producer]] = {}
        """By partition and producer, its records, each once, in order."""
        self.place: dict[str, TopicPartition] = {}
        self._ids: set[tuple[str, str]] = set()
        for place, records in feeds.items():
            for record in records:
                self._take(place, record)

    def _take(self, place: TopicPartition, record: Fetched) -> None:
        try:
            message = m.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.said.setdefault(record.key, []).append((record.offset, (0, 0), None))
            return
        if isinstance(message, m.Tick):
            return
        if isinstance(message, m.Producer):
            known = self.outages.setdefault((place, message.producer), [])
            newest = max((each.gen for each in known), default=0)
            if message.gen >= newest and all(each.id != message.id for each in known):
                known.append(message)
            return
        self.place[record.key] = place
        if (record.key, message.id) not in self._ids:
            self._ids.add((record.key, message.id))
            version = self._generation(place, message), message.ts
            self.said.setdefault(record.key, []).append((record.offset, version, message))

    def _generation(self, place: TopicPartition, message: m.Message) -> int:
        """Of the newest outage told before that it is newer than, or whose recovery it answers."""
        told = self.outages.get((place, message.producer), ())
        began: dict[int, int] = {}
        for each in told:
            began.setdefault(each.gen, each.since)
        answered = {each.gen for each in told if message.request is not None and each.recovery == message.request}
        return max([0, *(gen for gen, since in began.items() if gen and (since < message.ts or gen in answered))])

    def _now(self, event: str, version: Version, producer: str) -> Version:
        """Return what a stop of that version counts as by all that was told of its producer's outages since."""
        gen, ts = version
        told = self.outages.get((self.place[event], producer), ())
        steps = [each.gen for each in told if each.reason == "clock_stepped" and each.gen > gen]
        comparable = [each for each in told if each.gen < min(steps, default=each.gen + 1)]
        return max([gen, *(each.gen for each in comparable if each.since < ts)]), ts

    # what is wrong

    def faults(self, event: Event) -> Iterator[str]:
        """Say what of an event that is shown can't be."""
        said = self.said[event.event]
        fixtures = [each for each in said if isinstance(each[2], m.Fixture)]
        scores = [each for each in said if isinstance(each[2], m.ScoreChange)]
        for name in ("name", "start", "competition"):
            given = [getattr(each, name) for each in _standing(fixtures) if getattr(each, name) is not msgspec.UNSET]
            if given and given[-1] != getattr(event, name):
                yield f"{event.event} has {name} {getattr(event, name)!r} and not {given[-1]!r}"
        scored = list(_standing(scores))
        shown = None if event.score is None else (event.score.home, event.score.away)
        if scored and shown != (scored[-1].home, scored[-1].away):
            yield f"{event.event} has the score {shown} and not that of {scored[-1].id}"
        status = list(_standing([each for each in said if _states(each[2])]))
        if status and event.status != status[-1].status:
            yield f"{event.event} is {event.status} and not {status[-1].status}, as {status[-1].id} says"
        for market in event.markets:
            for why in self._market(event, market, said):
                yield f"{event.event} {market.market}|{market.line} is {market.status} at rest, but {why}"

    def _market(self, event: Event, market: Market, said: Sequence[Said]) -> Iterator[str]:
        about = [each for each in said if each[2] is not None and _names(each[2], market)]
        windows, voided = _cancelled(about)
        settled = _settled(about)
        if voided != (market.status == "cancelled"):
            yield f"cancels without an end: {voided}"
        shown = {(each.from_, each.to) for each in market.cancels}
        if shown != windows:
            yield f"its windows are {shown} and not {windows}"
        if not voided and (settled is not None) != (market.status == "settled"):
            yield f"the settlement that stands is {settled and settled.id}"
        if settled is not None:
            results = {each.id: each.result for each in _of(settled, market).outcomes}
            there = {each.id: each.result for each in market.outcomes if each.result is not None}
            if market.certainty != settled.certainty or there != results:
                yield f"it has {market.certainty} {there} and not {settled.certainty} {results} of {settled.id}"
        yield from _priced(market, about)
        if market.open:
            yield from self._closed(event, market, said, about)

    def _closed(self, event: Event, market: Market, said: Sequence[Said], about: Sequence[Said]) -> Iterator[str]:
        """Say what forbids an open market to be open."""
        if event.status in FINISHED:
            yield f"the event is {event.status}"
        owner = (market.producer or "").rpartition(":")[2]
        odds = [each for each in about if isinstance(each[2], m.Odds) and each[2].producer == owner]
        newest = max([each[1] for each in odds], default=(-1, -1))
        yield from self._out(event.event, owner, newest)
        for offset, version, each in said:
            if each is None and not any(at > offset for at, _, _ in odds):
                yield f"a record at {offset} could not be read, and no odds came after it"
            stops = isinstance(each, m.BetStop) and each.producer == owner and _covers(each, market)
            # in its own generation newer odds have ended it, whatever the clock said later
            ended = any(at[0] == version[0] and at > version for _, at, _ in odds)
            if stops and not ended and self._now(event.event, version, owner) >= newest:
                yield f"a stop of {version} covers it and its newest odds are of {newest}"
        for rollback in _rollbacks(about):
            version = rollback[1]
            if (version >= newest) if rollback[2].producer == owner else (version[1] >= newest[1]):
                yield f"it was rolled back at {version} and its newest odds are of {newest}"
        if any(_held(said, market)):
            yield "an operator holds it"

    def _out(self, event: str, owner: str, newest: Version) -> Iterator[str]:
        told = self.outages.get((self.place[event], owner), ())
        if told and told[-1].state == "down":
            yield "its producer is down"
        if newest[0] < max([each.gen for each in told], default=0):
            yield "its producer was out, and nothing newer came since"


def _standing(said: Iterable[Said], part: Callable[[Any], object] = lambda _: None) -> Iterator[Any]:
    """Give what was not older than what stood of the same producer (and part) when it came."""
    stood: dict[object, Version] = {}
    for _, version, each in said:
        lane = each.producer, part(each)
        if version >= stood.get(lane, version):
            stood[lane] = version
            yield each


def _states(message: Any) -> bool:
    return isinstance(message, m.Fixture | m.ScoreChange) and message.status is not msgspec.UNSET


def _names(message: Any, market: Market) -> bool:
    return any(
        (each.market, each.line) == (market.market, market.line) for each in getattr(message, "markets", ()) or ()
    )


def _of(message: Any, market: Market) -> Any:
    return next(each for each in message.markets if (each.market, each.line) == (market.market, market.line))


def _settled(about: Sequence[Said]) -> m.Settlement | None:
    """Return the settlement of a market that stands."""
    stood: dict[tuple[str, str], Version] = {}
    settled: tuple[Version, m.Settlement] | None = None
    for _, version, each in about:
        if isinstance(each, m.Settlement):
            lane = each.certainty, each.producer
            if version < max(stood.get(lane, version), stood.get(("rollback", each.producer), version)):
                continue
            stood[lane] = version
            if settled is None or each.certainty == "confirmed" or settled[1].certainty == "live":
                settled = version, each
        elif isinstance(each, m.SettlementRollback):
            lane = "rollback", each.producer
            own = settled is not None and settled[1].producer == each.producer
            if version < stood.get(lane, version):
                continue
            stood[lane] = version
            if settled is not None and not (own and version < settled[0]):
                settled = None
    return None if settled is None else settled[1]


def _cancelled(about: Sequence[Said]) -> tuple[set[tuple[int | None, int | None]], bool]:
    """Return the windows in which bets are void, and whether all are."""
    said = [each for each in about if isinstance(each[2], m.Cancel | m.CancelRollback)]
    windows: dict[tuple[int | None, int | None], bool] = {}
    for each in _standing(said, lambda one: (one.from_, one.to)):
        windows[each.from_, each.to] = isinstance(each, m.Cancel)
    stand = {window for window, stands in windows.items() if stands}
    return {window for window in stand if window != (None, None)}, any(to is None for _, to in stand)


def _rollbacks(about: Sequence[Said]) -> Iterator[Said]:
    """Give the rollbacks that came before nothing newer of their own kind, and so left a floor."""
    stood: dict[object, Version] = {}
    for said in about:
        version, each = said[1], said[2]
        if isinstance(each, m.Cancel | m.CancelRollback):
            lane: tuple[object, ...] = each.producer, each.from_, each.to
        elif isinstance(each, m.SettlementRollback):
            lane = (each.producer,)
        else:
            continue
        if version >= stood.get(lane, version):
            stood[lane] = version
            if isinstance(each, m.CancelRollback):
                yield said
    # a rollback of a settlement may itself have come too late for one that stands; those leave no floor
    for index, said in enumerate(about):
        if isinstance(said[2], m.SettlementRollback) and _settled(about[:index]) is None:
            before = [each for each in about[:index] if isinstance(each[2], m.SettlementRollback)]
            if all(each[1] <= said[1] for each in before if each[2].producer == said[2].producer):
                yield said


def _held(said: Sequence[Said], market: Market) -> Iterator[bool]:
    """Say of the event's hold and of the market's whether it stands."""
    orders = [each for each in said if isinstance(each[2], m.Hold | m.Release)]
    for mine in (
        [each for each in orders if not each[2].markets],
        [each for each in orders if each[2].markets and _names(each[2], market)],
    ):
        yield [isinstance(each, m.Hold) for each in _standing(mine)][-1:] == [True]


def _priced(market: Market, about: Sequence[Said]) -> Iterator[str]:
    """Say which prices aren't those of the newest odds of the market's producer."""
    owner = (market.producer or "").rpartition(":")[2]
    odds = [each for each in about if isinstance(each[2], m.Odds) and each[2].producer == owner]
    newest = list(_standing(odds))[-1:]
    there = {each.id: each for each in market.outcomes}
    for message in newest:
        for given in _of(message, market).outcomes:
            shown = there[given.id]
            if shown.active != given.active or shown.odds is None or Decimal(shown.odds) != Decimal(given.odds):
                yield f"{given.id} is {shown.odds} {shown.active} and not {given.odds} {given.active} of {message.id}"


def _covers(stop: m.BetStop, market: Market) -> bool:
    if stop.markets is not None:
        return _names(stop, market)
    if not stop.groups or "all" in stop.groups:
        return True
    return market.groups is None or any(group in market.groups for group in stop.groups)
