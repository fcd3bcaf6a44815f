"""Stops and holds at their edges: what mutants of stops.py had survived."""

import pytest
from fold_driver import Driver, hold, odds, release, stop
from msgspec.structs import replace

from sb_process.draft import PRODUCERS_MAX
from sb_process.stops import GROUPS_MAX


def test_a_second_stop_raises_the_floor_of_the_first():
    driver = Driver()
    driver.feed(odds(10), stop(20))
    assert driver.one(stop(40)) == "unchanged"
    assert driver.one(odds(30, "2.10")) == "applied"
    assert driver.look() == ("suspended", False)
    driver.one(odds(41))
    assert driver.look() == ("active", True)


@pytest.mark.parametrize("of", [{"groups": ("score",)}, {"markets": (("1x2",),)}])
def test_a_second_stop_of_a_part_raises_that_parts_floor(of):
    driver = Driver()
    driver.feed(odds(10, groups=("score",)), stop(20, **of), stop(40, **of), odds(30, groups=("score",)))
    assert driver.look() == ("suspended", False)


@pytest.mark.parametrize("again", [{"reason": "a"}, {"reason": "z"}, {"by": "a"}, {"by": "z"}])
def test_a_hold_for_another_reason_or_by_another_is_news(again):
    driver = Driver()
    said = {"reason": "line", "by": "ops"}
    assert driver.feed(odds(10), replace(hold(20), **said)) == ["applied", "applied"]
    assert driver.one(replace(hold(30), **said)) == "unchanged"
    assert driver.one(replace(hold(40), **{**said, **again})) == "applied"
    (shown,) = driver.event().holds
    assert {"reason": shown.reason, "by": shown.by} == {**said, **again}
    assert driver.feed(release(50), release(60)) == ["applied", "unchanged"]


def test_a_target_is_held_by_so_many_producers_and_no_more():
    driver = Driver()
    driver.one(odds(10))
    outcomes = driver.feed(*(hold(20, reason=f"{n}", producer=f"p{n}") for n in range(PRODUCERS_MAX + 2)))
    assert outcomes == ["applied"] * PRODUCERS_MAX + ["dead_lettered:too_large"] * 2
    assert driver.one(hold(30, reason="again", producer="p3")) == "applied"


@pytest.mark.parametrize("statuses", [("inactive", "suspended"), ("suspended", "inactive")])
def test_of_two_stops_of_one_version_the_more_closed_stays(statuses):
    driver = Driver()
    driver.feed(odds(10), *(stop(20, status=status) for status in statuses))
    assert driver.look() == ("inactive", False)


def test_so_many_groups_may_be_stopped_and_no_more():
    driver = Driver()
    names = [f"g{n}" for n in range(GROUPS_MAX + 2)]
    assert driver.feed(odds(10), stop(20, groups=tuple(names))) == ["applied", "dead_lettered:too_large"]
    assert driver.one(stop(20, groups=tuple(names[:GROUPS_MAX]))) != "dead_lettered:too_large"
    assert driver.one(stop(30, groups=(names[-1],))) == "dead_lettered:too_large"
    assert driver.one(stop(30, groups=(names[0],))) != "dead_lettered:too_large"
