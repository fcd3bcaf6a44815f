"""An event's limits, and what a rollback by another than the owner keeps shut: what mutants of draft.py had survived."""

import pytest
from fold_driver import Driver, fixture, odds, settle, unsettle
from msgspec.structs import replace

from sb_process.draft import MARKETS_MAX, NAMES_BYTES_MAX, PRODUCERS_MAX
from sb_process.state import encoder

REFUSED = "dead_lettered:too_large"


def named(ts, *names):
    """Odds of several markets at once."""
    message = odds(ts)
    (market,) = message.markets
    return replace(message, markets=tuple(replace(market, market=name) for name in names))


def test_an_event_has_so_many_markets_and_no_more():
    driver = Driver()
    names = [f"m{n}" for n in range(MARKETS_MAX - 1)]
    driver.feed(*(named(10, *names[n : n + 1000]) for n in range(0, len(names), 1000)))
    assert driver.one(named(20, "x", "y")) == REFUSED, "two, where there is room for one"
    assert driver.one(named(20, "x", "m1")) == "applied"
    assert driver.one(named(30, "y")) == REFUSED
    assert driver.one(named(30, "m3", "x")) == "unchanged", "what is known has its place"
    assert len(driver.event().markets) == MARKETS_MAX


def test_names_of_an_events_markets_have_so_many_bytes_and_no_more():
    driver = Driver()
    each = len(encoder.encode(("", "")))
    share = NAMES_BYTES_MAX // 100
    full = [f"{n:02}".ljust(share - each, "x") for n in range(100)]
    assert driver.one(named(10, *full)) == "applied"
    assert driver.one(named(20, "y")) == REFUSED
    assert driver.one(named(30, full[7])) == "applied"


def test_an_event_lists_so_many_producers_and_no_more():
    driver = Driver()
    outcomes = driver.feed(*(fixture(10 + n, name=f"{n}", producer=f"p{n}") for n in range(PRODUCERS_MAX + 2)))
    assert outcomes == ["applied"] * PRODUCERS_MAX + [REFUSED] * 2
    assert driver.one(fixture(999, name="again", producer="p3")) == "applied"


@pytest.mark.parametrize(("ts", "status"), [(29, "suspended"), (30, "suspended"), (31, "active")])
def test_a_rollback_of_another_than_the_owner_keeps_shut_what_is_not_newer(ts, status):
    driver = Driver()
    driver.feed(odds(10), settle(20, producer="2"), unsettle(30, producer="2"), odds(ts, "2.50"))
    assert driver.look()[0] == status
