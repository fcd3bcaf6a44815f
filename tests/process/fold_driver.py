"""Drives the fold in tests: messages in, outcomes and shown state out, through the real planner."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_core import messages as m
from sb_core import shown, sports
from sb_core.precedence import ranker
from sb_core.records import Fetched
from sb_process import plan as planning
from sb_process import render
from sb_process.plan import Plan, Surroundings
from sb_process.state import Fold, PartitionState, StoredHead, load

EVENT = "uof:1"
SPORT = "football"


class Driver:
    """One partition of football, folded message by message or in batches."""

    def __init__(self, sport: str = SPORT) -> None:
        self.state = PartitionState()
        self.folds: dict[str, Fold] = {}
        self.offset = 0
        self.updates: list[shown.Update] = []
        self.plans: list[Plan] = []
        self.around = Surroundings(
            sport=sport,
            topic=f"sports-feed-{sport}",
            partition=0,
            lineage=1,
            kinds=sports.get(sport).markets,
            rank=ranker(lambda _provider: 0),
            now=1_000_000,
            dead_letter_bytes_max=100_000,
        )

    def record(self, message: m.AnyMessage | bytes, key: str | None = None) -> Fetched:
        value = message if isinstance(message, bytes) else m.encode(message)
        name = key or (EVENT if isinstance(message, bytes) else message.event)
        record = Fetched(self.around.topic, 0, self.offset, name, value, 5)
        self.offset += 1
        return record

    def batch(self, records: Sequence[Fetched]) -> Plan:
        listed: dict[str, list[str]] = {}
        for name, fold in self.folds.items():
            for each in fold.head.producers:
                listed.setdefault(each.key, []).append(name)
        batch = [planning.decode(record) for record in records]
        plan = planning.plan_batch(batch, self.state, self.folds, listed, self.around)
        self.state = plan.state
        self.folds.update(plan.folds)
        self.updates.extend(shown.update_decoder.decode(row.update) for row in plan.changes)
        self.plans.append(plan)
        return plan

    def feed(self, *messages: m.AnyMessage) -> list[str]:
        """Feed messages one by one and return the outcomes."""
        return [self.one(message) for message in messages]

    def one(self, message: m.AnyMessage | bytes) -> str:
        plan = self.batch([self.record(message)])
        names = [name for name in plan.counts if name not in {"changes", "updates_published"}]
        return names[0] if names else ""

    def event(self, event: str = EVENT) -> shown.Event:
        """Return the event as shown, after a round trip through what the store would hold."""
        fold = self.folds[event]
        stored = render.encode(StoredHead(head=fold.head, ids=fold.ids, digest=fold.digest))
        markets = tuple(render.encode(state) for state in fold.markets.values())
        again = load(stored, markets)
        assert (again.head, again.markets) == (fold.head, fold.markets)
        header = render.encode(render.header(fold.head))
        return shown.event_decoder.decode(render.snapshot(header, render.rendered(again, self.around.kinds)))

    def market(self, market: str = "1x2", line: str = "") -> shown.Market:
        return next(each for each in self.event().markets if (each.market, each.line) == (market, line))

    def look(self, market: str = "1x2", line: str = "") -> tuple[str, bool]:
        found = self.market(market, line)
        return found.status, found.open

    def check_updates(self) -> None:
        """Every event's updates, applied in order from nothing, are the event as shown, gapless."""
        for name in self.folds:
            event = shown.empty(name, self.around.sport)
            for update in self.updates:
                if update.event == name:
                    assert (update.prev, update.rev) == (event.rev, event.rev + 1)
                    event = shown.apply_changes(event, update)
            assert msgspec.to_builtins(event) == msgspec.to_builtins(self.event(name))


_ids = iter(range(10**9))


def _common(fields: dict[str, Any]) -> dict[str, Any]:
    fields.setdefault("id", f"m{next(_ids)}")
    return {"event": EVENT, "provider": "uof", "producer": "1", "sport": SPORT, "received": 50, **fields}


def odds(
    ts: int,
    home: str = "2.00",
    *,
    market: str = "1x2",
    line: str = "",
    status: Any = "active",
    groups: Any = msgspec.UNSET,
    complete: bool = True,
    outcomes: Any = None,
    **fields: Any,
) -> m.Odds:
    ids = {"1x2": ("home", "draw", "away"), "total": ("over", "under")}.get(market, ("x", "y"))
    made = outcomes
    if made is None:
        made = tuple(m.OutcomeOdds(id=each, odds=home if i == 0 else "3.50") for i, each in enumerate(ids))
    priced = m.MarketOdds(market=market, line=line, status=status, groups=groups, outcomes=made, complete=complete)
    return m.Odds(ts=ts, markets=(priced,), **_common(fields))


def stop(ts: int, *, groups: Any = None, markets: Any = None, status: Any = "suspended", **fields: Any) -> m.BetStop:
    refs = None if markets is None else tuple(ref(*each) for each in markets)
    return m.BetStop(ts=ts, groups=groups, markets=refs, status=status, **_common(fields))


def ref(market: str = "1x2", line: str = "") -> m.MarketRef:
    return m.MarketRef(market=market, line=line)


def settle(ts: int, certainty: Any = "confirmed", winner: str = "home", **fields: Any) -> m.Settlement:
    results = tuple(
        m.OutcomeResult(id=each, result="won" if each == winner else "lost") for each in ("home", "draw", "away")
    )
    return m.Settlement(
        ts=ts, certainty=certainty, markets=(m.MarketResult(market="1x2", outcomes=results),), **_common(fields)
    )


def unsettle(ts: int, **fields: Any) -> m.SettlementRollback:
    return m.SettlementRollback(ts=ts, markets=(ref(),), **_common(fields))


def cancel(ts: int, start: int | None = None, end: int | None = None, **fields: Any) -> m.Cancel:
    return m.Cancel(ts=ts, markets=(ref(),), from_=start, to=end, **_common(fields))


def uncancel(ts: int, start: int | None = None, end: int | None = None, **fields: Any) -> m.CancelRollback:
    return m.CancelRollback(ts=ts, markets=(ref(),), from_=start, to=end, **_common(fields))


def hold(ts: int, *markets: tuple[str, str], **fields: Any) -> m.Hold:
    return m.Hold(ts=ts, markets=tuple(ref(*each) for each in markets) or None, by="ops", **_common(fields))


def release(ts: int, *markets: tuple[str, str], **fields: Any) -> m.Release:
    return m.Release(ts=ts, markets=tuple(ref(*each) for each in markets) or None, by="ops", **_common(fields))


def fixture(ts: int, **fields: Any) -> m.Fixture:
    return m.Fixture(ts=ts, **_common(fields))


def score(ts: int, home: Any = msgspec.UNSET, away: Any = msgspec.UNSET, **fields: Any) -> m.ScoreChange:
    return m.ScoreChange(ts=ts, home=home, away=away, **_common(fields))


def producer(state: Any, gen: int, since: int, **fields: Any) -> m.Producer:
    base = _common({"event": "", "sport": "", **fields})
    return m.Producer(
        ts=fields.pop("ts", since), state=state, gen=gen, since=since, **{k: v for k, v in base.items() if k != "ts"}
    )
