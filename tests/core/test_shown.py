"""Shown events: a snapshot with the changes after it is the later snapshot."""

from copy import deepcopy

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sb_core import shown
from sb_core.messages import Competition, Competitor, PeriodScore, Player, Score

ID = st.sampled_from(["a", "b", "c"])
PRICE = st.none() | st.sampled_from(["1.50", "1.85", "2.10"])
OUTCOME = st.builds(
    shown.Outcome, id=ID, odds=PRICE, active=st.booleans(), result=st.none() | st.sampled_from(["won", "lost"])
)
MARKET = st.builds(
    shown.Market,
    market=ID,
    line=st.sampled_from(["", "total=2.5"]),
    status=st.sampled_from(["active", "suspended", "settled"]),
    open=st.booleans(),
    groups=st.none() | st.just(("all", "score")),
    ts=st.integers(0, 9),
    cancels=st.just(()) | st.just((shown.CancelWindow(from_=1, to=None, ts=3),)),
    outcomes=st.lists(OUTCOME, max_size=3),
    info=st.dictionaries(ID, st.integers(0, 3) | st.booleans() | st.none(), max_size=2),
)
MARKETS = st.lists(MARKET, max_size=5, unique_by=shown.market_order).map(
    lambda each: sorted(each, key=shown.market_order)
)
SCORE = st.builds(
    Score,
    home=st.none() | st.integers(0, 3),
    away=st.integers(0, 3),
    periods=st.just(()) | st.just((PeriodScore(number=1, type="half", home=1, away=0),)),
)
FIELDS = {
    "name": st.none() | ID,
    "start": st.none() | st.integers(0, 9),
    "status": st.sampled_from(["not_started", "live", "ended"]),
    "competition": st.none() | st.builds(Competition, id=ID, name=st.none() | ID),
    "competitors": st.just(())
    | st.tuples(st.builds(Competitor, id=ID, side=st.sampled_from(["home", None]), players=st.just((Player(id="p"),)))),
    "producers": st.just(()) | st.tuples(st.builds(shown.EventProducer, producer=ID)),
    "replaces": st.none() | ID,
    "replaced_by": st.none() | ID,
    "holds": st.just(()) | st.tuples(st.builds(shown.ShownHold, market=st.none() | ID)),
}
EVENT = st.builds(
    shown.Event,
    event=st.just("uof:1"),
    provider=st.just("uof"),
    sport=st.just("football"),
    score=SCORE,
    markets=MARKETS,
    rev=st.integers(1, 5),
    ts=st.integers(0, 9),
    **FIELDS,
)


def between(old, new):
    """Write down what leads from one event to another, as the wire says it: whole things, or just the status."""
    before = {shown.market_order(market): market for market in old.markets}
    changes = shown.Changes()
    for name in shown.EVENT_FIELDS:
        if getattr(old, name) != getattr(new, name):
            changes.event[name] = getattr(new, name)
    if old.score != new.score:
        changes.score = new.score
    for market in new.markets:
        known = before.get(shown.market_order(market))
        if known == market:
            continue
        if known is not None and msgspec.structs.replace(known, status=market.status, open=market.open) == market:
            moved = {"market": market.market, "line": market.line, "status": market.status, "open": market.open}
            changes.statuses.append(shown.StatusChange(**moved))
        else:
            changes.markets.append(market)
    head = {"lineage": new.lineage, "rev": new.rev, "ts": new.ts, "updated": new.updated}
    return shown.Update(event=new.event, sport=new.sport, prev=old.rev, changes=changes, **head)


@given(EVENT, EVENT, st.booleans())
def test_snapshot_and_changes_are_the_later_snapshot(old, new, stopped):
    # markets are never deleted, so the later event has all of the earlier one's, with only the status moved or anew
    kept = {shown.market_order(market): market for market in old.markets}
    if stopped:
        kept = {
            key: msgspec.structs.replace(each, status="suspended", open=not each.open) for key, each in kept.items()
        }
    kept |= {shown.market_order(market): market for market in new.markets}
    new = msgspec.structs.replace(new, markets=sorted(kept.values(), key=shown.market_order), rev=old.rev + 1)
    update = shown.update_decoder.decode(shown.encoder.encode(between(old, new)))
    original = deepcopy(old)
    result = shown.apply_changes(old, update)
    assert result == new
    assert shown.encoder.encode(result) == shown.encoder.encode(new)
    assert old == original


@given(st.lists(EVENT, min_size=2, max_size=5))
def test_changes_applied_in_order_add_up(events):
    standing = shown.empty("uof:1", "football")
    kept = {}
    for rev, event in enumerate(events, start=1):
        kept |= {shown.market_order(market): market for market in event.markets}
        whole = sorted(kept.values(), key=shown.market_order)
        new = msgspec.structs.replace(event, rev=rev, markets=whole)
        standing = shown.apply_changes(standing, between(standing, new))
        assert standing == new


def test_from_nothing_to_the_first_rev():
    empty = shown.empty("uof:sr:match:42", "football")
    assert (empty.provider, empty.rev, empty.markets) == ("uof", 0, [])


def test_unknown_fields_and_unknown_markets_change_nothing_else():
    event = shown.empty("uof:1", "football")
    changes = shown.Changes(
        event={"rev": 99, "weather": "rain"},
        statuses=[shown.StatusChange(market="x", line="", status="active", open=True)],
    )
    update = shown.Update(event="uof:1", sport="football", lineage=2, prev=0, rev=1, ts=5, updated=6, changes=changes)
    after = shown.apply_changes(event, update)
    assert after == msgspec.structs.replace(event, lineage=2, rev=1, ts=5, updated=6)


def test_every_key_is_always_present():
    keys = set(msgspec.json.decode(shown.encoder.encode(shown.empty("uof:1", "football"))))
    assert keys == {
        "event",
        "provider",
        "sport",
        "name",
        "start",
        "status",
        "competition",
        "competitors",
        "score",
        "producers",
        "replaces",
        "replaced_by",
        "holds",
        "lineage",
        "rev",
        "ts",
        "updated",
        "stale",
        "markets",
    }
    market = msgspec.json.decode(shown.encoder.encode(shown.Market(market="1x2", outcomes=[shown.Outcome(id="home")])))
    assert set(market) == {
        "market",
        "line",
        "name",
        "status",
        "open",
        "source",
        "producer",
        "groups",
        "ts",
        "certainty",
        "cancels",
        "overround",
        "info",
        "outcomes",
    }
    assert set(market["outcomes"][0]) == {
        "id",
        "source",
        "name",
        "participant",
        "odds",
        "fair",
        "active",
        "probability",
        "size",
        "result",
        "dead_heat",
        "info",
    }


@given(EVENT)
def test_events_come_back_from_json(event):
    value = shown.encoder.encode(event)
    assert shown.event_decoder.decode(value) == event
    header = shown.header_decoder.decode(value)
    assert all(getattr(header, name) == getattr(event, name) for name in header.__struct_fields__)


def test_a_raw_update_keeps_its_changes_as_they_were_written():
    update = shown.Update(
        event="uof:1",
        sport="football",
        lineage=1,
        prev=0,
        rev=1,
        ts=5,
        updated=6,
        changes=shown.Changes(event={"name": "A vs B"}),
    )
    raw = shown.raw_update_decoder.decode(shown.encoder.encode(update))
    assert bytes(raw.changes) == shown.encoder.encode(update.changes)
