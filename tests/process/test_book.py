"""Tables for the fold: one test or row per sentence of DESIGN.md's "The fold"."""

import pytest
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

from sb_core import messages as m

OPEN = ("active", True)
SHUT = ("suspended", False)


def after(*messages):
    driver = Driver()
    outcomes = driver.feed(*messages)
    driver.check_updates()
    return driver, outcomes


# outcomes


def test_an_applied_message_raises_rev_by_one_and_writes_one_entry():
    driver, outcomes = after(odds(1), odds(2, "2.10"), odds(3, "2.20"))
    assert outcomes == ["applied"] * 3
    assert [update.rev for update in driver.updates] == [1, 2, 3]
    assert driver.event().rev == 3


def test_outcomes_in_order():
    first = odds(10)
    driver, outcomes = after(first, first, odds(9, "9.00"), odds(11), odds(12, "2.50"), first)
    assert outcomes == ["applied", "duplicate", "stale", "unchanged", "applied", "duplicate"]
    assert driver.event().rev == 2
    assert driver.market().outcomes[0].odds == "2.50"


def test_unchanged_keeps_ts_as_shown_but_stores_the_version():
    driver, outcomes = after(odds(10), odds(20), odds(15, "9.00"))
    assert outcomes == ["applied", "unchanged", "stale"]
    assert driver.market().ts == 10
    assert driver.event().ts == 10


def test_equal_timestamps_apply_in_order_of_arrival_and_redelivery_is_known():
    a, b = odds(10, "2.00"), odds(10, "3.00")
    driver, outcomes = after(a, b, a, b)
    assert outcomes == ["applied", "applied", "duplicate", "duplicate"]
    assert driver.market().outcomes[0].odds == "3.00"


def test_ids_at_the_standing_version_outlive_the_last_64():
    a, b = odds(10, "2.00"), odds(10, "3.00")
    others = [odds(n, str(2 + n / 100) + "0", market="total", line="total=2.5", id=f"o{n}") for n in range(11, 111)]
    _, outcomes = after(a, b, *others, a, b)
    assert outcomes[-2:] == ["duplicate", "duplicate"]


def test_several_markets_count_as_the_best_of_them():
    def two(ts, price, other_ts_price):
        first, second = odds(ts, price), odds(ts, other_ts_price, market="total", line="total=2.5")
        return m.Odds(
            ts=ts, id=f"t{ts}{price}", event="uof:1", provider="uof", producer="1", sport="football",
            markets=(*first.markets, *second.markets),
        )  # fmt: skip

    driver, outcomes = after(
        two(10, "2.00", "1.90"), odds(20, "2.20"), two(15, "9.00", "1.95"), two(16, "9.00", "1.95")
    )
    assert outcomes == ["applied", "applied", "applied", "unchanged"]
    assert driver.market().outcomes[0].odds == "2.20"
    assert driver.market("total", "total=2.5").outcomes[0].odds == "1.95"


def test_seq_orders_beside_ts():
    _, outcomes = after(odds(10, "2.00", seq=5), odds(10, "3.00", seq=4), odds(10, "3.00", seq=6))
    assert outcomes == ["applied", "stale", "applied"]


# odds and owners


def test_absent_is_unchanged_and_null_is_cleared():
    partial = (m.OutcomeOdds(id="home", odds="4.00"), m.OutcomeOdds(id="away", odds=None))
    driver, _ = after(odds(1), odds(2, complete=False, outcomes=partial))
    assert [outcome.odds for outcome in driver.market().outcomes] == ["4.00", "3.50", None]


def test_complete_withdraws_what_is_not_named_and_never_deletes():
    only = (m.OutcomeOdds(id="away", odds="4.00"), m.OutcomeOdds(id="home", odds="1.40"))
    driver, _ = after(odds(1), odds(2, outcomes=only))
    shown = [(outcome.id, outcome.odds, outcome.active) for outcome in driver.market().outcomes]
    assert shown == [("away", "4.00", True), ("home", "1.40", True), ("draw", None, False)]
    driver.feed(odds(3))
    assert [(each.id, each.active) for each in driver.market().outcomes] == [
        ("home", True),
        ("draw", True),
        ("away", True),
    ]


def test_overround_and_fair_need_the_complete_set():
    driver, _ = after(odds(1, "2.00", market="total", line="total=2.5"))
    market = driver.market("total", "total=2.5")
    # 1/2.00 + 1/3.50 = 0.785714
    assert market.overround == "0.7857"
    assert [each.fair for each in market.outcomes] == ["1.57", "2.75"]
    driver.feed(
        odds(2, market="total", line="total=2.5", complete=False, outcomes=(m.OutcomeOdds(id="under", odds=None),))
    )
    market = driver.market("total", "total=2.5")
    assert market.overround is None
    assert [each.fair for each in market.outcomes] == [None, None]


def test_another_producer_is_stale_until_it_may_take_over():
    driver, outcomes = after(odds(1), odds(99, "5.00", producer="3"))
    assert outcomes == ["applied", "stale"]
    assert driver.market().producer == "1"


def test_handover_and_back():
    driver, outcomes = after(
        odds(10, producer="3"),
        odds(20, status="handed_over", producer="3"),
        odds(5, "2.50", producer="1"),
        odds(30, "9.00", producer="3"),
    )
    assert outcomes == ["applied", "applied", "applied", "stale"]
    assert (driver.market().producer, driver.look()) == ("1", OPEN)
    # what came before its time was refused, and so is what is older than that; the next may take over
    late, newer = odds(25, "9.00", producer="3"), odds(31, "9.50", producer="3")
    assert driver.feed(odds(40, status="handed_over"), late, newer) == ["applied", "stale", "applied"]
    assert driver.market().producer == "3"


def test_live_ranks_above_pre_match_and_keeps_the_market():
    driver, outcomes = after(odds(10, producer="3"), odds(1, "2.50", producer="1"), odds(99, producer="3"))
    assert outcomes == ["applied", "applied", "stale"]
    assert driver.market().producer == "1"


def test_a_former_owner_that_takes_over_again_is_not_older_than_itself():
    driver, outcomes = after(
        odds(10, producer="3"), odds(1, "2.50"), odds(2, status="handed_over"), odds(9, "7.00", producer="3")
    )
    assert outcomes == ["applied", "applied", "applied", "stale"]
    assert driver.market().status == "handed_over"


def test_an_owner_that_is_down_is_taken_over():
    driver, outcomes = after(odds(10), producer("down", 1, 10), odds(5, "2.50", producer="3"))
    assert outcomes[2] == "applied"
    assert (driver.market().producer, driver.look()) == ("3", OPEN)


# stops


STOP_ROWS = {
    "after odds": ((odds(10), stop(11)), SHUT),
    "same ts as odds": ((odds(10), stop(10)), SHUT),
    "before odds": ((odds(10), stop(9)), OPEN),
    "older odds after it don't reopen": ((odds(10), stop(12), odds(11, "2.50")), SHUT),
    "equal odds after it don't reopen": ((odds(10), stop(12), odds(12, "2.50")), SHUT),
    "newer odds reopen": ((odds(10), stop(12), odds(13, "2.50")), OPEN),
    "newer odds with the same price reopen": ((odds(10), stop(12), odds(13)), OPEN),
    "inactive": ((odds(10), stop(12, status="inactive")), ("inactive", False)),
    "first seen after a stop, older": ((stop(12), odds(11)), SHUT),
    "first seen after a stop, newer": ((stop(12), odds(13)), OPEN),
    "by group, groups unknown": ((odds(10, groups=None), stop(12, groups=("x",))), SHUT),
    "by group, in it": ((odds(10, groups=("all", "x")), stop(12, groups=("x",))), SHUT),
    "by group, not in it": ((odds(10, groups=("all", "y")), stop(12, groups=("x",))), OPEN),
    "by group all": ((odds(10, groups=()), stop(12, groups=("all",))), SHUT),
    "by group, first seen later": ((stop(12, groups=("x",)), odds(11, groups=("x",))), SHUT),
    "by group, first seen later, groups unknown": ((stop(12, groups=("x",)), odds(11, groups=None)), SHUT),
    "by market": ((odds(10), stop(12, markets=[("1x2", "")])), SHUT),
    "by another market": ((odds(10), stop(12, markets=[("total", "total=2.5")])), OPEN),
    "by market, first seen later": ((stop(12, markets=[("1x2", "")]), odds(11)), SHUT),
    "a lower stop leaves the floor": ((odds(10), stop(12), stop(8), odds(11, "2.50")), SHUT),
    "of another producer": ((odds(10), stop(99, producer="3")), OPEN),
    "odds that are inactive stay so": ((odds(10, status="inactive"), stop(12)), ("inactive", False)),
}


@pytest.mark.parametrize("name", STOP_ROWS)
def test_stops_are_floors(name):
    messages, expected = STOP_ROWS[name]
    driver, _ = after(*messages)
    assert driver.look() == expected


def test_outcomes_of_stops():
    _, outcomes = after(odds(10), stop(12), stop(11), stop(12), stop(13), stop(13, groups=("x",)))
    assert outcomes == ["applied", "applied", "stale", "unchanged", "unchanged", "unchanged"]


def test_a_stop_writes_just_the_statuses_that_moved():
    driver, _ = after(odds(10), odds(10, market="total", line="total=2.5", status="inactive"), stop(12))
    changes = driver.updates[-1].changes
    assert changes.markets == []
    assert [(each.market, each.status, each.open) for each in changes.statuses] == [("1x2", "suspended", False)]


def test_a_stop_may_be_an_events_first_message_and_creates_what_it_names():
    driver, outcomes = after(stop(5, markets=[("1x2", "")]))
    assert outcomes == ["applied"]
    assert driver.event().rev == 1
    assert driver.look() == SHUT


# settlement, cancel, rollbacks


SETTLE_ROWS = {
    "settled": ((odds(10), settle(11)), "settled"),
    "older than the odds": ((odds(10), settle(5)), "settled"),
    "odds never unsettle": ((odds(10), settle(11), odds(20, "2.50")), "settled"),
    "never seen before": ((settle(11),), "settled"),
    "stop on settled": ((odds(10), settle(11), stop(12)), "settled"),
    "rolled back": ((odds(10), settle(11), unsettle(12)), "suspended"),
    "rolled back, older odds": ((odds(10), settle(11), unsettle(13), odds(12, "2.50")), "suspended"),
    "rolled back, newer odds": ((odds(10), settle(11), unsettle(13), odds(14)), "active"),
    "rolled back before it came": ((odds(10), unsettle(12), settle(11)), "suspended"),
    "rolled back, settled again": ((odds(10), settle(11), unsettle(12), settle(13)), "settled"),
    "older rollback": ((odds(10), settle(11), unsettle(9)), "settled"),
    "rolled back twice": ((odds(10), settle(11), unsettle(12), unsettle(14), odds(13)), "suspended"),
    "cancelled": ((odds(10), cancel(11)), "cancelled"),
    "cancelled above settled": ((odds(10), settle(11), cancel(12)), "cancelled"),
    "cancelled above settled, either order": ((odds(10), cancel(11), settle(12)), "cancelled"),
    "cancel rolled back to settled": ((odds(10), settle(11), cancel(12), uncancel(13)), "settled"),
    "cancel rolled back": ((odds(10), cancel(12), uncancel(13)), "suspended"),
    "cancel rolled back, newer odds": ((odds(10), cancel(12), uncancel(13), odds(14)), "active"),
    "cancel rolled back before it came": ((odds(10), uncancel(13), cancel(12), odds(14)), "active"),
    "cancel with an end": ((odds(10), cancel(12, 1, 5)), "active"),
    "cancel with a start only": ((odds(10), cancel(12, 1)), "cancelled"),
    "settlement rollback leaves a cancel": ((odds(10), settle(11), cancel(12), unsettle(13)), "cancelled"),
    "cancel rollback leaves other windows": ((odds(10), cancel(12), uncancel(13, 1, 5)), "cancelled"),
    "both rolled back": ((odds(10), settle(11), cancel(12), uncancel(13), unsettle(14), odds(15)), "active"),
}


@pytest.mark.parametrize("name", SETTLE_ROWS)
def test_settlement_and_cancel(name):
    messages, expected = SETTLE_ROWS[name]
    driver, _ = after(*messages)
    assert driver.look() == (expected, expected == "active")


def result_of(driver):
    market = driver.market()
    winners = [outcome.id for outcome in market.outcomes if outcome.result == "won"]
    return market.certainty, winners


CERTAINTY_ROWS = {
    "confirmed beats live at any ts": ((settle(20, "live"), settle(10, "confirmed", "away")), ("confirmed", ["away"])),
    "live never beats confirmed": ((settle(10), settle(20, "live", "away")), ("confirmed", ["home"])),
    "newer of the same certainty": ((settle(10), settle(20, "confirmed", "away")), ("confirmed", ["away"])),
    "older of the same certainty": ((settle(20), settle(10, "confirmed", "away")), ("confirmed", ["home"])),
    "newer live": ((settle(10, "live"), settle(20, "live", "away")), ("live", ["away"])),
    "live again after rollback": ((settle(10), unsettle(15), settle(20, "live", "away")), ("live", ["away"])),
    "confirmed older than rollback": ((settle(20, "live"), unsettle(30), settle(25, "confirmed")), (None, [])),
}


@pytest.mark.parametrize("name", CERTAINTY_ROWS)
def test_certainty(name):
    messages, expected = CERTAINTY_ROWS[name]
    driver, _ = after(odds(1), *messages)
    assert result_of(driver) == expected


def test_a_settlement_without_outcomes_keeps_the_results_that_stand():
    bare = m.Settlement(
        ts=12, id="bare", event="uof:1", provider="uof", producer="1", sport="football", certainty="live",
        markets=(m.MarketResult(market="1x2"),),
    )  # fmt: skip
    driver, outcomes = after(settle(11, "live"), bare)
    assert outcomes[-1] == "unchanged"
    assert result_of(driver) == ("live", ["home"])


def test_a_settlement_creates_outcomes_without_odds():
    driver, _ = after(settle(11))
    assert [(each.id, each.odds, each.result) for each in driver.market().outcomes] == [
        ("home", None, "won"),
        ("draw", None, "lost"),
        ("away", None, "lost"),
    ]


def test_windows_are_recorded_and_taken_back_one_by_one():
    driver, _ = after(odds(10), cancel(12, 1, 5, reason="a"), cancel(11, 6, 9))
    assert [(each.from_, each.to, each.reason) for each in driver.market().cancels] == [(1, 5, "a"), (6, 9, None)]
    driver.feed(uncancel(13, 1, 5))
    assert [(each.from_, each.to) for each in driver.market().cancels] == [(6, 9)]
    driver.check_updates()


# holds


HOLD_ROWS = {
    "event": ((odds(10), hold(5)), SHUT),
    "wins over newer odds": ((odds(10), hold(5), odds(99, "2.50")), SHUT),
    "market": ((odds(10), hold(5, ("1x2", ""))), SHUT),
    "another market": ((odds(10), hold(5, ("total", "total=2.5"))), OPEN),
    "market first seen later": ((hold(5), odds(10)), SHUT),
    "released": ((odds(10), hold(5), release(6)), OPEN),
    "older release": ((odds(10), hold(5), release(4)), SHUT),
    "older hold after release": ((odds(10), hold(5), release(7), hold(6)), OPEN),
    "event released, market held": ((odds(10), hold(5), hold(5, ("1x2", "")), release(6)), SHUT),
    "stopped while held": ((odds(10), hold(5), stop(11), release(12)), SHUT),
}


@pytest.mark.parametrize("name", HOLD_ROWS)
def test_holds(name):
    messages, expected = HOLD_ROWS[name]
    driver, _ = after(*messages)
    assert driver.look() == expected


def test_holds_are_shown_and_list_no_producer():
    driver, _ = after(odds(10), hold(5, producer="console"))
    assert [(each.market, each.by) for each in driver.event().holds] == [(None, "ops")]
    assert [each.producer for each in driver.event().producers] == ["1"]


# producers


PRODUCER_ROWS = {
    "down closes": ((odds(10), producer("down", 1, 11)), False),
    "a price from before the outage": (
        (odds(10), producer("down", 1, 20), producer("up", 1, 25), odds(15, "2.50")),
        False,
    ),
    "newer and the same price": ((odds(10), producer("down", 1, 20), producer("up", 1, 25), odds(21)), True),
    "up alone does not open": ((odds(10), producer("down", 1, 20), producer("up", 1, 25)), False),
    "newer while still down": ((odds(10), producer("down", 1, 20), odds(21)), False),
    "newer while recovering": ((odds(10), producer("down", 1, 20), producer("recovering", 1, 20), odds(21)), True),
    "answer to the recovery, older ts": (
        (odds(10), producer("down", 1, 20), producer("recovering", 1, 20, recovery="r1"), odds(12, request="r1")),
        True,
    ),
    "answer to another recovery": (
        (odds(10), producer("down", 1, 20), producer("recovering", 1, 20, recovery="r1"), odds(12, request="r0")),
        False,
    ),
    "stop during the outage": (
        (odds(10), producer("down", 1, 20), producer("up", 1, 25), stop(22), odds(21, "2.50")),
        False,
    ),
    "a stop that came before the record of an outage that began before it": (
        (odds(10), stop(22), producer("down", 1, 20), producer("up", 1, 25), odds(21, "2.50")),
        False,
    ),
    "the same, newer than the stop": (
        (odds(10), stop(22), producer("down", 1, 20), producer("up", 1, 25), odds(23, "2.50")),
        True,
    ),
    "a stop from before the clock stepped back": (
        (
            odds(10_000),
            stop(10_001),
            producer("down", 1, 500, reason="clock_stepped"),
            producer("up", 1, 500),
            odds(501, "2.50"),
        ),
        True,
    ),
    "a stop from before the clock stepped back, and an outage after that": (
        (
            odds(10_000),
            stop(10_001),
            producer("down", 1, 500, reason="clock_stepped"),
            producer("up", 1, 500),
            producer("down", 2, 600),
            producer("up", 2, 600),
            odds(601, "2.50"),
        ),
        True,
    ),
    "a stop that an outage and then a step of the clock came after": (
        (
            odds(10_000),
            stop(10_010),
            producer("down", 1, 10_005),
            producer("up", 1, 10_006),
            producer("down", 2, 500, reason="clock_stepped"),
            producer("up", 2, 500),
            odds(10_009, "2.50", request="r"),
        ),
        True,
    ),
    "second outage": (
        (
            odds(10),
            producer("down", 1, 20),
            producer("up", 1, 25),
            odds(26),
            producer("down", 2, 30),
            producer("up", 2, 35),
        ),
        False,
    ),
    "another producer": ((odds(10), producer("down", 1, 20, producer="3")), True),
    "unknown is judged by nothing": ((odds(10),), True),
    "clock stepped back": (
        (odds(10_000), producer("down", 1, 500, reason="clock_stepped"), producer("up", 1, 500), odds(501, "2.50")),
        True,
    ),
}


@pytest.mark.parametrize("name", PRODUCER_ROWS)
def test_producers(name):
    messages, expected = PRODUCER_ROWS[name]
    driver, _ = after(*messages)
    assert driver.look()[1] is expected


def test_each_state_is_one_change_of_each_event_that_lists_the_producer_at_one_offset():
    driver = Driver()
    driver.feed(odds(10), odds(10, event="uof:2", id="e2"), odds(10, event="uof:3", producer="3", id="e3"))
    before = len(driver.updates)
    driver.batch([driver.record(producer("down", 1, 20), key="producer")])
    moved = driver.updates[before:]
    assert [(each.event, each.rev, each.cause_type) for each in moved] == [
        ("uof:1", 2, "producer"),
        ("uof:2", 2, "producer"),
    ]
    assert len({each.at for each in moved}) == 1
    assert moved[0].changes.event["producers"][0]["state"] == "down"
    assert [(each.market, each.open) for each in moved[0].changes.statuses] == [("1x2", False)]
    driver.check_updates()


def test_a_repeated_or_older_producer_record_changes_nothing():
    driver, _ = after(odds(10), producer("down", 2, 20), producer("down", 2, 20), producer("up", 1, 15))
    assert driver.event().rev == 2


def test_open_market_of_an_event_first_seen_while_its_producer_is_down():
    driver, _ = after(producer("down", 1, 20), odds(10))
    assert driver.look() == ("active", False)
    assert driver.event().producers[0].state == "down"


# events


def test_event_lanes_are_apart():
    driver, outcomes = after(
        fixture(10, name="A vs B", start=1_000),
        score(5, 0, 0, status="live"),
        fixture(8, name="old"),
        score(4, 9, 9),
        fixture(12, name=None),
    )
    assert outcomes == ["applied", "applied", "stale", "stale", "applied"]
    event = driver.event()
    assert (event.name, event.start, event.status, event.score.home) == (None, 1_000, "live", 0)


def test_what_a_score_leaves_out_is_unchanged_and_null_clears_it():
    driver, outcomes = after(
        score(5, status="live"),
        score(6, 1, 0, period="1st_half", details={"corners_home": 1}),
        score(7, 2),
        score(8, status="ended"),
        score(9, period=None),
        score(9, 2, details={"corners_home": 1}),
    )
    assert outcomes == ["applied", "applied", "applied", "applied", "applied", "unchanged"]
    assert driver.updates[0].changes.score is None
    event = driver.event()
    assert (event.score.home, event.score.away, event.score.period) == (2, 0, None)
    assert (event.score.details, event.status) == ({"corners_home": 1}, "ended")
    driver.check_updates()


def test_a_market_that_had_no_odds_and_a_producer_that_had_no_outage_have_no_time():
    driver, _ = after(stop(5, markets=[("1x2", "")]), producer("up", 0, 0))
    assert driver.event().markets[0].ts is None
    assert driver.event().producers[0].since is None
    driver.feed(odds(10))
    assert driver.market().ts == 10


def test_status_comes_from_either_in_one_lane():
    driver, outcomes = after(
        score(10, 1, 0, status="live"), fixture(9, name="x", status="not_started"), fixture(11, status="closed")
    )
    assert outcomes == ["applied", "applied", "applied"]
    assert driver.event().status == "closed"


@pytest.mark.parametrize("status", ["ended", "closed", "cancelled", "abandoned"])
def test_a_finished_event_has_nothing_open(status):
    driver, _ = after(odds(10), fixture(11, status=status))
    assert driver.look() == ("active", False)
    driver.feed(fixture(12, status="live"))
    assert driver.look() == OPEN
    driver.check_updates()


def test_an_update_carries_what_made_it():
    message = odds(10, trace="t" * 32)
    driver, _ = after(message)
    update = driver.updates[0]
    assert (update.cause, update.cause_type, update.at, update.trace) == (message.id, "odds", 0, "t" * 32)
    assert len(update.digest) == 16


# what can't be read


def test_an_unreadable_record_is_dead_lettered_and_closes_its_event_until_newer_odds():
    driver, _ = after(odds(10))
    assert driver.one(b'{"type":"odds"') == "dead_lettered:malformed"
    assert driver.look() == SHUT
    assert driver.plans[-1].dead[0].value == b'{"type":"odds"'
    driver.feed(odds(10, "4.00"))
    assert driver.look() == SHUT
    driver.feed(odds(11, "4.00"))
    assert driver.look() == OPEN
    driver.check_updates()


def test_a_record_whose_key_is_another_event_is_refused():
    driver = Driver()
    plan = driver.batch([driver.record(odds(1), key="uof:other")])
    assert dict(plan.counts) == {"dead_lettered:schema": 1}
