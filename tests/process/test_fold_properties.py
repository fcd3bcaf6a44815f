"""Property: duplicates and redeliveries, in any interleaving and any batching, give the same state, `rev`s and digests."""

import msgspec
from fold_driver import (
    Driver,
    cancel,
    fixture,
    hold,
    odds,
    producer,
    release,
    score,
    settle,
    stop,
    uncancel,
    unsettle,
)
from hypothesis import given, settings
from hypothesis import strategies as st

TS = st.integers(1, 30)
WHO = st.sampled_from(["1", "3"])
MARKET = st.sampled_from([("1x2", ""), ("total", "total=2.5"), ("uof:9", "")])
GROUPS = st.sampled_from([None, ("all",), ("x",), ("x", "y")])
STATUS = st.sampled_from(["active", "active", "suspended", "inactive", "handed_over"])


@st.composite
def message(draw, number):
    ts, who = draw(TS), draw(WHO)
    fields = {"id": f"i{number}", "producer": who}
    window = draw(st.sampled_from([(None, None), (1, 5), (2, None)]))
    market, line = draw(MARKET)
    kind = draw(st.integers(0, 13))
    if kind <= 4:
        price = draw(st.sampled_from(["1.50", "2.00", "3.25"]))
        made = odds(
            ts,
            price,
            market=market,
            line=line,
            status=draw(STATUS),
            groups=draw(GROUPS),
            complete=draw(st.booleans()),
            **fields,
        )
    elif kind == 5:
        made = stop(ts, groups=draw(GROUPS), **fields)
    elif kind == 6:
        made = stop(ts, markets=[(market, line)], status=draw(st.sampled_from(["suspended", "inactive"])), **fields)
    elif kind == 7:
        made = settle(
            ts, draw(st.sampled_from(["live", "confirmed"])), draw(st.sampled_from(["home", "away"])), **fields
        )
    elif kind == 8:
        made = draw(
            st.sampled_from([unsettle(ts, **fields), cancel(ts, *window, **fields), uncancel(ts, *window, **fields)])
        )
    elif kind == 9:
        targets = draw(st.sampled_from([(), ((market, line),)]))
        made = draw(st.sampled_from([hold(ts, *targets, **fields), release(ts, *targets, **fields)]))
    elif kind == 10:
        made = fixture(
            ts, name=draw(st.sampled_from(["a", "b"])), status=draw(st.sampled_from(["live", "closed"])), **fields
        )
    elif kind == 11:
        made = score(ts, draw(st.integers(0, 2)), 0, **fields)
    else:
        gen = draw(st.integers(0, 3))
        state = draw(st.sampled_from(["down", "recovering", "up"]))
        made = producer(state, gen, ts, recovery=draw(st.sampled_from([None, "r1"])), **fields)
    return made


@st.composite
def histories(draw):
    """A sequence, the same with redeliveries in between, and where to cut batches."""
    sequence = [draw(message(number)) for number in range(draw(st.integers(1, 14)))]
    noisy = []
    for number, made in enumerate(sequence):
        noisy.append(made)
        noisy.extend(draw(st.lists(st.sampled_from(sequence[: number + 1]), max_size=3)))
    cuts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=len(noisy)))
    return sequence, noisy, cuts


def shape(driver):
    updates = [msgspec.structs.replace(update, at=0) for update in driver.updates]
    return {
        "updates": [msgspec.to_builtins(update) for update in updates],
        "events": {name: msgspec.to_builtins(driver.event(name)) for name in driver.folds},
        "digests": {name: fold.digest for name, fold in driver.folds.items()},
        "markets": {name: msgspec.to_builtins(list(fold.markets.values())) for name, fold in driver.folds.items()},
    }


@settings(max_examples=250, deadline=None)
@given(histories())
def test_redelivery_and_batching_change_nothing(history):
    sequence, noisy, cuts = history
    plain = Driver()
    for made in sequence:
        plain.batch([plain.record(made, key=made.event or "producer")])
    again = Driver()
    records = [again.record(made, key=made.event or "producer") for made in noisy]
    place = 0
    while place < len(records):
        size = cuts[place % len(cuts)]
        again.batch(records[place : place + size])
        place += size
    assert shape(again) == shape(plain)
    again.check_updates()


@settings(max_examples=150, deadline=None)
@given(histories())
def test_no_market_is_open_below_a_stop(history):
    sequence, _, _ = history
    driver = Driver()
    for made in sequence:
        driver.batch([driver.record(made, key=made.event or "producer")])
        for fold in driver.folds.values():
            for state in fold.markets.values():
                if state.open:
                    version = state.odds[state.owner].version
                    floors = fold.head.stops.get(state.owner)
                    if floors is not None and floors.everything is not None:
                        assert version > floors.everything.version
                    assert state.status == "active"
                    assert state.settled is None
                    assert not state.voids
                    assert fold.head.status not in {"closed", "ended", "cancelled", "abandoned"}
                    assert all(each.hold is None for name, each in fold.head.holds.items() if name == "")
