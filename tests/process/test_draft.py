"""An event's limits, and what a rollback by another than the owner keeps shut: what mutants of draft.py had survived."""

import pytest
from fold_driver import EVENT, Driver, fixture, odds, producer, settle, stop, unsettle
from msgspec.structs import replace

from sb_core.shown import Event
from sb_process.state import encoder

REFUSED = "dead_lettered:too_large"
MARKETS_MAX, NAMES_BYTES_MAX, PRODUCERS_MAX = 4_000, 400_000, 256


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


def test_a_rollback_of_the_owners_counts_by_version():
    driver = Driver()
    driver.feed(odds(10), settle(11), unsettle(30), odds(30, "2.50"))
    assert driver.look()[0] == "suspended"
    again = Driver()
    outage = producer("down", 1, 20), producer("recovering", 1, 20, recovery="r1")
    again.feed(odds(10), settle(11), unsettle(15), *outage, odds(12, request="r1"))
    assert again.look() == ("active", True), "what a recovery brings is newer than all before the outage"


@pytest.mark.parametrize("other", ["0", "2"])
def test_a_rollback_of_another_than_the_owner_counts_by_time(other):
    driver = Driver()
    outage = producer("down", 1, 20), producer("up", 1, 21)
    driver.feed(odds(10), *outage, settle(28, producer=other), unsettle(30, producer=other), odds(25, "2.50"))
    assert driver.look()[0] == "suspended", "generations compare within one producer only"
    driver.one(odds(31, "2.50"))
    assert driver.look() == ("active", True)


@pytest.mark.parametrize("field", ["name", "source"])
def test_what_a_market_is_called_is_news_when_it_differs(field):
    driver = Driver()
    driver.one(odds(10))
    for ts, (said, outcome) in enumerate(
        [("b", "applied"), ("b", "unchanged"), ("c", "applied"), ("a", "applied")], 11
    ):
        message = odds(ts)
        (market,) = message.markets
        assert driver.one(replace(message, markets=(replace(market, **{field: said}),))) == outcome
        assert getattr(driver.folds[EVENT].markets["1x2", ""], field) == said


def test_the_groups_of_a_market_are_news_when_they_differ():
    driver = Driver()
    said = [driver.one(odds(ts, groups=groups)) for ts, groups in enumerate([("a",), ("a",), ("b",), ("a", "b")], 10)]
    assert said == ["applied", "unchanged", "applied", "applied"]


@pytest.mark.parametrize("stopped", [("x", "2.5"), ("x", "3.5"), ("y", "2.5")])
def test_a_stop_of_one_market_spares_those_of_its_name_or_its_line(stopped):
    driver = Driver()
    markets = [("x", "2.5"), ("x", "3.5"), ("y", "2.5")]
    driver.feed(*(odds(10, market=market, line=line) for market, line in markets))
    driver.one(stop(20, markets=(stopped,)))
    assert [each for each in markets if driver.look(*each)[0] != "active"] == [stopped]


def test_the_first_change_says_all_that_an_event_has():
    driver = Driver()
    driver.feed(odds(10), odds(11, "2.50"))
    first, second = driver.updates
    assert {*first.changes.event} == {*Event.__struct_fields__} - {
        "event",
        "lineage",
        "rev",
        "ts",
        "updated",
        "markets",
        "score",
        "stale",
    }
    assert not second.changes.event


def test_so_many_producers_are_remembered_with_a_market_and_no_more():
    driver = Driver()
    driver.one(odds(10))
    room = 3 * PRODUCERS_MAX - 1
    outcomes = driver.feed(*(odds(20, "2.50", producer=f"p{n}") for n in range(room + 2)))
    assert outcomes == ["stale"] * room + [REFUSED] * 2
    assert driver.one(odds(30, "2.50", producer="p3")) == "stale", "who has a place keeps it"


def test_odds_without_markets_make_an_event_known_and_then_nothing():
    driver = Driver()
    empty = replace(odds(10), markets=())
    assert driver.feed(empty, replace(odds(11), markets=())) == ["applied", "unchanged"]
    assert driver.event().rev == 1
