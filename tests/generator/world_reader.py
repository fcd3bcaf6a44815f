"""Reads a world's messages as a stranger would: per event, what is open, what the score is, how markets ended."""

from collections import defaultdict

import msgspec

from sb_core import messages, odds, sports
from sb_core.messages import BetStop, Cancel, CancelRollback, Fixture, Odds, ScoreChange, Settlement, SettlementRollback


class Event:
    def __init__(self):
        self.statuses = []
        self.scores = []
        self.markets = {}
        self.ended = {}
        self.prices = {}
        self.ts = 0
        self.sport = ""
        self.stopped = {}
        self.log = []
        self.unseen = set()
        self.voided = {}
        self.names = []
        self.starts = []

    def open_markets(self):
        return {key for key, status in self.markets.items() if status == "active" and key not in self.ended}


class Reader:
    """Checks each message on its way in."""

    def __init__(self):
        self.events = defaultdict(Event)
        self.types = defaultdict(int)
        self.books = defaultdict(list)
        self.last_ts = 0
        self.alive = defaultdict(list)
        self.half = 0
        self.dead_heats = 0

    def take(self, raw):
        message = messages.decode(raw)
        self.types[messages.type_of(message)] += 1
        sport = sports.find(message.sport) if message.sport else None
        checked = sports.check(message, sport)
        assert checked.problems == (), (checked.problems, raw)
        assert checked.rounded == 0, raw
        assert checked.message is message or checked.message == message, raw
        if not message.event:
            self.alive[message.producer].append(message.ts)
            return
        event = self.events[message.event]
        assert message.ts > event.ts, raw
        event.ts, event.sport = message.ts, message.sport
        event.log.append(messages.type_of(message))
        getattr(self, f"_{messages.type_of(message)}")(message, event)

    def _fixture(self, message: Fixture, event):
        if message.status is not msgspec.UNSET and message.status not in event.statuses[-1:]:
            event.statuses.append(message.status)
        if isinstance(message, Fixture):
            event.starts.append(message.start)
            if message.name is not msgspec.UNSET:
                event.names.append(message.name)

    def _score(self, message: ScoreChange, event):
        self._fixture(message, event)
        if event.scores:
            before = event.scores[-1]
            assert message.home >= before.home, message
            assert message.away >= before.away, message
            # a half begins where the one before it should have ended, without its stoppage time
            if message.clock is not None and message.period == before.period:
                assert message.clock.elapsed_s >= before.clock.elapsed_s, message
            assert len(message.periods) >= len(before.periods), message
            for old, new in zip(before.periods, message.periods, strict=False):
                assert new.home >= old.home, message
                assert new.away >= old.away, message
        event.scores.append(message)

    def _odds(self, message: Odds, event):
        live = event.statuses[-1] == "live"
        handing = all(each.status == "handed_over" for each in message.markets)
        assert handing or message.producer == ("1" if live else "3"), message
        assert event.statuses[-1] in {"not_started", "delayed", "live"}, message
        for market in message.markets:
            key = market.market, market.line
            if market.status == "active":
                assert key not in event.ended, (message.event, key)
                assert market.complete, market
                self._book(market, event)
                event.prices[key] = [each.id for each in market.outcomes]
            event.markets[key] = market.status
            event.stopped.pop(key, None)

    def _book(self, market, event):
        kind = sports.get(event.sport).markets[market.market]
        found = [odds.parse(each.odds) for each in market.outcomes if each.odds]
        if kind.complete and len(found) == len(kind.outcomes):
            self.books[event.sport].append(odds.overround(found))

    def _bet_stop(self, message: BetStop, event):
        catalogue = sports.get(event.sport).markets
        for key in event.open_markets():
            if set(message.groups) & set(catalogue[key[0]].groups):
                event.markets[key] = "suspended"

    def _settlement(self, message: Settlement, event):
        for market in message.markets:
            key = market.market, market.line
            results = {each.id: each.result for each in market.outcomes}
            if key not in event.markets:
                # first seen at its settlement
                assert (message.certainty, event.statuses[-1]) == ("confirmed", "ended"), key
                event.markets[key] = "inactive"
                event.unseen.add(key)
            self.half += sum(result in {"half_won", "half_lost"} for result in results.values())
            self.dead_heats += any(each.dead_heat for each in market.outcomes)
            before = event.ended.get(key)
            assert before is None or before[1] == results, (message.event, key, before, results)
            event.ended[key] = message.certainty, results

    def _settlement_rollback(self, message: SettlementRollback, event):
        for market in message.markets:
            certainty, _ = event.ended.pop((market.market, market.line))
            assert certainty == "live"
            event.markets[market.market, market.line] = "suspended"

    def _cancel(self, message: Cancel, event):
        for market in message.markets:
            key = market.market, market.line
            if message.to is not None:
                assert message.from_ < message.to <= message.ts
                event.voided[key] = message.from_, message.to
                continue
            assert key not in event.ended, key
            event.ended[key] = "cancelled", {}

    def _cancel_rollback(self, message: CancelRollback, event):
        for market in message.markets:
            key = market.market, market.line
            if message.to is not None:
                assert event.voided.pop(key) == (message.from_, message.to)
                continue
            assert event.ended.pop(key) == ("cancelled", {})
            event.markets[key] = "suspended"


def lines(world, until_ms, step_ms):
    """Step a world and yield what it says, encoded."""
    now = world.now_ms
    while now < until_ms:
        now = min(now + step_ms, until_ms)
        for message in world.step(now):
            assert message.ts <= now or message.ts - now < 1_000
            yield messages.encode(message)
