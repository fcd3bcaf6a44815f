"""A plain reading of the fold's rules, to hold the fold against: every answer is worked out anew from all messages.

The rule: nothing here is kept from one message to the next, and nothing is shared with sb_process. It takes a partition's
records without redeliveries, and says what is shown of one event.
"""

from sb_core import messages as m
from sb_core import sports

FINISHED = {"abandoned", "ended", "closed", "cancelled"}
LIVE = {"uof:1", "uof:4"}
REFS = (m.Cancel, m.CancelRollback, m.SettlementRollback, m.Settlement, m.Odds, m.BetStop, m.Hold, m.Release)


class Plain:
    """A partition's records, in order; system records count by their first id."""

    def __init__(self, records):
        self.records = []
        self.versions = {}
        seen = set()
        for record in records:
            name = (record.event, record.id)
            if name not in seen:
                self.records.append(record)
            seen.add(name)

    # producers

    def outages(self, who, until):
        """Return (gen, since, requests) of a producer's outages before a place, and its state there."""
        gen, state, known = 0, "unknown", []
        for record in self.records[:until]:
            if not isinstance(record, m.Producer) or record.producer_key != who or record.gen < gen:
                continue
            if record.gen > gen:
                known.append((record.gen, record.since, set()))
            if record.recovery is not None and known:
                known[-1][2].add(record.recovery)
            gen, state = record.gen, record.state
        return known, state, gen

    def version(self, place):
        """Return (generation, ts, seq) of the message at a place."""
        if place not in self.versions:
            message = self.records[place]
            answered = [
                gen
                for gen, since, requests in self.outages(message.producer_key, place)[0]
                if message.ts > since or message.request in requests
            ]
            self.versions[place] = max(answered, default=0), message.ts, message.seq
        return self.versions[place]

    def floor(self, who, version):
        """Return a floor in the newest generation whose outage began before it, as far as times compare."""
        gen, ts, seq = version
        told = [each for each in self.records if isinstance(each, m.Producer) and each.producer_key == who]
        stepped = [each.gen for each in told if each.reason == "clock_stepped" and each.gen > gen]
        later = [
            number
            for number, since, _ in self.outages(who, len(self.records))[0]
            if number > gen and since < ts and all(number < step for step in stepped)
        ]
        return max(later, default=gen), ts, seq

    def lane(self, of):
        """Go through a lane: `of` gives (name of the lane, what) or None; yields (place, version, what) of what applies."""
        highest = {}
        for place, message in enumerate(self.records):
            part = of(message)
            if part is None:
                continue
            name = (message.producer_key, part[0])
            version = self.version(place)
            if version >= highest.get(name, version):
                highest[name] = version
                yield place, version, part[1]

    # the event

    def event(self, event):
        """Return what is shown of an event, beside `ts`s, `rev`s and names; None if nobody named it."""
        own = [each for each in self.records if each.event == event]
        if not own:
            return None
        markets = {}
        for message in own:
            if isinstance(message, REFS):
                for each in message.markets or ():
                    markets[each.market, each.line] = None
        status = self.status(event)
        name = None
        for _, _, fixture in self.lane(lambda each: described(each, event)):
            name = fixture.name
        score = None
        for _, _, each in self.lane(lambda each: ("score", each) if scored(each, event) else None):
            score = (each.home, each.away)
        return {
            "status": status,
            "name": name,
            "score": score,
            "holds": {key for key in [None, *markets] if self.held(event, key)},
            "markets": {key: self.market(event, key, status) for key in markets},
        }

    def status(self, event):
        found = "not_started"
        for _, _, each in self.lane(lambda each: stated(each, event)):
            found = each
        return found

    def held(self, event, key):
        """Say whether a target (None: the event) is held."""

        def of(message):
            if not isinstance(message, m.Hold | m.Release) or message.event != event:
                return None
            targets = [(each.market, each.line) for each in message.markets or ()] or [None]
            return ("hold", isinstance(message, m.Hold)) if key in targets else None

        said = [False, *(held for _, _, held in self.lane(of))]
        return said[-1]

    # a market

    def market(self, event, key, event_status):
        odds = self.odds(event, key)
        settled, undone = self.settlement(event, key)
        void, windows, uncancelled = self.cancels(event, key)
        status = odds["status"]
        owner, version = odds["owner"], odds["version"]
        if owner is not None:
            floors = self.stops(event, key, owner, odds["groups"])
            covering = {how for floor, how in floors if version <= self.floor(owner, floor)}
            if status in {"active", "suspended"} and covering:
                status = "inactive" if "inactive" in covering else "suspended"
            for who, floor in [*undone, *uncancelled]:
                older = version <= self.floor(owner, floor) if who == owner else version[1] <= floor[1]
                if older and status == "active":
                    status = "suspended"
        if status == "active" and (self.held(event, None) or self.held(event, key)):
            status = "suspended"
        opened = status == "active" and owner is not None and event_status not in FINISHED
        if opened:
            _, state, gen = self.outages(owner, len(self.records))
            opened = state != "down" and version[0] >= gen
        if settled is not None:
            status, opened = "settled", False
        if void:
            status, opened = "cancelled", False
        return {
            "status": status,
            "open": opened,
            "producer": owner and owner.partition(":")[2],
            "odds": {each: price for each, price in odds["prices"].items() if price is not None},
            "certainty": settled and settled[0],
            "results": settled[1] if settled else {},
            "windows": windows,
        }

    def odds(self, event, key):
        """Follow a market's prices through its owners."""
        owner, status, version, lanes, prices = None, "suspended", None, {}, {}
        kind = sports.get("football").markets.get(key[0])
        groups = kind and kind.groups
        for place, message in enumerate(self.records):
            if not isinstance(message, m.Odds) or message.event != event:
                continue
            for given in message.markets:
                if (given.market, given.line) != key:
                    continue
                who, said = message.producer_key, self.version(place)
                down = owner is not None and self.outages(owner, place)[1] == "down"
                outranks = who in LIVE and owner not in LIVE
                if said < lanes.get(who, said):
                    continue
                lanes[who] = said
                if owner not in {None, who} and not (status == "handed_over" or down or outranks):
                    continue
                status, owner, version = given.status, who, said
                if isinstance(given.groups, tuple) or given.groups is None:
                    groups = given.groups
                if given.complete:
                    prices = dict.fromkeys(prices)
                for outcome in given.outcomes:
                    prices[outcome.id] = outcome.odds
        return {"owner": owner, "status": status, "version": version, "groups": groups, "prices": prices}

    def stops(self, event, key, owner, groups):
        """Return (version, status) of the floors that cover a market: of each target the highest."""
        floors = {}
        for place, message in enumerate(self.records):
            if not isinstance(message, m.BetStop) or (message.event, message.producer_key) != (event, owner):
                continue
            targets = [(each.market, each.line) for each in message.markets or ()]
            targets += ["all"] if "all" in (message.groups or ()) else list(message.groups or ())
            for target in targets or ["all"]:
                covers = target in {"all", key} or (isinstance(target, str) and (groups is None or target in groups))
                floor = self.version(place), message.status
                standing = floors.get(target)
                if covers and (standing is None or floor[0] > standing[0]):
                    floors[target] = floor
                elif covers and floor[0] == standing[0] and "inactive" in {floor[1], standing[1]}:
                    floors[target] = floor[0], "inactive"
        return list(floors.values())

    def settlement(self, event, key):
        """Return (certainty, results) that stand or None, and (producer, version) of the rollbacks that applied."""
        standing, undone, highest = None, [], {}
        for place, message in enumerate(self.records):
            if not isinstance(message, m.Settlement | m.SettlementRollback) or message.event != event:
                continue
            for given in message.markets:
                if (given.market, given.line) != key:
                    continue
                who, version = message.producer_key, self.version(place)
                back = isinstance(message, m.SettlementRollback)
                kind = "back" if back else message.certainty
                older = version < max(highest.get((who, kind), version), highest.get((who, "back"), version))
                if older:
                    continue
                highest[who, kind] = version
                if back and standing is not None and standing[2] == who and version < standing[3]:
                    continue
                if kind == "live" and standing is not None and standing[0] == "confirmed":
                    continue
                if back:
                    standing = None
                    undone.append((who, version))
                else:
                    standing = kind, {each.id: each.result for each in given.outcomes}, who, version
        return standing and standing[:2], undone

    def cancels(self, event, key):
        """Return whether a cancel without an end stands, the windows that stand, and the rollbacks that applied."""

        def of(message):
            if not isinstance(message, m.Cancel | m.CancelRollback) or message.event != event:
                return None
            named = any((each.market, each.line) == key for each in message.markets)
            window = message.from_, message.to
            return (window, (isinstance(message, m.Cancel), window)) if named else None

        voids, windows, undone = set(), set(), []
        for place, version, (stands, window) in self.lane(of):
            if not stands:
                voids.discard(window)
                windows.discard(window)
                undone.append((self.records[place].producer_key, version))
                continue
            if window[1] is None:
                voids.add(window)
            if window != (None, None):
                windows.add(window)
        return bool(voids), windows, undone


def described(message, event):
    """A fixture that says a name."""
    if isinstance(message, m.Fixture) and message.event == event and isinstance(message.name, str):
        return "fixture", message
    return None


def scored(message, event):
    return isinstance(message, m.ScoreChange) and message.event == event


def stated(message, event):
    """An event status, of whichever message."""
    if not isinstance(message, m.Fixture | m.ScoreChange) or message.event != event:
        return None
    return ("status", message.status) if isinstance(message.status, str) else None
