"""Settlements, cancels and their rollbacks at their edges: what mutants of settle.py had survived."""

import pytest
from fold_driver import Driver, cancel, odds, ref, settle, uncancel, unsettle
from msgspec.structs import replace

from sb_core import messages as m
from sb_process.state import CANCELS_MAX, WINDOWS_MAX

TOTAL = {"market": "total", "line": "total=2.5"}


def windows(driver):
    return [(each.from_, each.to, each.reason) for each in driver.market().cancels]


@pytest.mark.parametrize(("start", "end", "status"), [(5, None, "cancelled"), (None, 9, "active"), (5, 9, "active")])
def test_a_window_that_is_open_on_one_side_is_shown(start, end, status):
    driver = Driver()
    driver.feed(odds(10), cancel(20, start, end))
    assert windows(driver) == [(start, end, None)]
    assert driver.look()[0] == status


def test_windows_stand_beside_each_other_and_are_taken_back_one_by_one():
    driver = Driver()
    spans = [(5, 9), (1, 3), (7, 9), (5, 6)]
    driver.feed(odds(10), *(cancel(20, *span) for span in spans))
    assert windows(driver) == [(*span, None) for span in spans]
    for n, span in enumerate(spans):
        assert driver.one(uncancel(30, *span)) == "applied"
        assert windows(driver) == [(*each, None) for each in spans[n + 1 :]]


def test_voids_stand_beside_each_other_too():
    driver = Driver()
    driver.feed(odds(10), cancel(20), cancel(20, 5), cancel(20, 7))
    for span in ((5, None), (None, None)):
        driver.one(uncancel(30, *span))
        assert driver.look()[0] == "cancelled"
    driver.one(uncancel(30, 7))
    assert driver.look()[0] == "suspended"


@pytest.mark.parametrize("again", ["a", "z"])
def test_a_window_said_again_for_another_reason_is_news(again):
    driver = Driver()
    driver.feed(odds(10), cancel(20, 1, 5, reason="x"), cancel(20, 6, 9, reason="x"))
    assert driver.one(cancel(30, 1, 5, reason="x")) == "unchanged"
    assert driver.one(cancel(40, 1, 5, reason=again)) == "applied"
    assert windows(driver) == [(6, 9, "x"), (1, 5, again)]


def test_so_many_windows_stand_and_no_more():
    driver = Driver()
    driver.one(odds(10))
    outcomes = driver.feed(*(cancel(20, n, n + 1) for n in range(CANCELS_MAX + 2)))
    assert outcomes == ["applied"] * CANCELS_MAX + ["dead_lettered:too_large"] * 2
    assert driver.one(cancel(30, 3, 4, reason="again")) == "applied"


def test_so_many_windows_are_remembered_and_no_more():
    driver = Driver()
    driver.one(odds(10))
    for n in range(WINDOWS_MAX):
        driver.feed(uncancel(20, n, n + 1))
    assert driver.one(cancel(30, WINDOWS_MAX, WINDOWS_MAX + 1)) == "dead_lettered:too_large"
    assert driver.one(cancel(30, 3, 4)) == "applied", "a window that is known has its place"


def test_a_rollback_of_several_markets_passes_none_over():
    driver = Driver()
    both = (ref(), ref(**TOTAL))
    driver.feed(odds(10), odds(10, **TOTAL), replace(cancel(20), markets=both))
    # of the first market it is older than what was said already
    assert driver.feed(uncancel(40), replace(uncancel(30), markets=both)) == ["applied", "applied"]
    assert driver.look(**TOTAL)[0] == "suspended"


def test_what_is_settled_but_was_never_priced_is_no_active_outcome():
    driver = Driver()
    driver.one(settle(10))
    assert [(each.active, each.odds) for each in driver.market().outcomes] == [(False, None)] * 3
    driver.feed(unsettle(20), odds(30, outcomes=(m.OutcomeOdds(id="home", odds="2.00"),)))
    assert [each.id for each in driver.market().outcomes if each.active] == ["home"]


def test_a_settlement_of_its_rollbacks_version_stands_in_either_order():
    seen = []
    for order in ((settle(20), unsettle(20)), (unsettle(20), settle(20))):
        driver = Driver()
        seen.append((driver.feed(odds(10), *order), driver.look()))
    assert [each[0] for each in seen] == [["applied"] * 3] * 2


def test_an_older_rollback_by_another_producer_lowers_no_floor():
    driver = Driver()
    driver.feed(odds(10), settle(11), unsettle(40), odds(30))
    assert driver.look() == ("suspended", False)
    driver.feed(settle(50), unsettle(60), odds(55))
    assert driver.look() == ("suspended", False)
    driver.one(odds(61))
    assert driver.look() == ("active", True)


@pytest.mark.parametrize("producer", ["uof:1", "1", "3"])
def test_versions_of_two_producers_are_not_compared(producer):
    driver = Driver()
    driver.feed(odds(10), settle(20, producer="2"))
    assert driver.one(unsettle(15, producer=producer)) == "applied"
    assert driver.look()[0] == "suspended"
