"""Outcomes, owners and what an update holds, at their edges: what mutants of book.py had survived."""

import msgspec
import pytest
from fold_driver import EVENT, Driver, fixture, odds, producer, score, stop
from msgspec.structs import replace

from sb_core import messages as m
from sb_core import shown
from sb_process.draft import OUTCOMES_MAX

REFUSED = "dead_lettered:too_large"


def priced(*names, price="2.00"):
    return tuple(m.OutcomeOdds(id=each, odds=price) for each in names)


@pytest.mark.parametrize(
    ("said", "price"),
    [
        ("1.0001", "1.0001"),
        ("1.0000", None),
        ("0", None),
        ("5.5", "5.5"),
        ("1000000", "1000000"),
        ("1000000.0001", None),
    ],
)
def test_an_inactive_outcome_has_a_price_only_where_it_is_one(said, price):
    driver = Driver()
    driver.one(odds(10, outcomes=(*priced("home"), m.OutcomeOdds(id="away", odds=said, active=False))))
    away = driver.market().outcomes[1]
    assert (away.active, away.odds and float(away.odds)) == (False, price and float(price))


def test_a_market_has_so_many_outcomes_and_no_more():
    driver = Driver()
    full = [f"o{number}" for number in range(OUTCOMES_MAX)]
    assert driver.one(odds(10, market="exotic", outcomes=priced(*full))) == "applied"
    assert driver.one(odds(20, market="exotic", outcomes=priced(*full, price="3.00"))) == "applied"
    assert driver.one(odds(30, market="exotic", outcomes=priced("one more"), complete=False)) == REFUSED
    assert driver.one(odds(40, market="exotic", outcomes=priced("one more", *full))) == REFUSED
    assert driver.one(odds(50, market="other", outcomes=priced(*full, "one more"))) == REFUSED


def test_whether_outcomes_are_all_there_are_is_news_where_it_changes_the_margin():
    driver = Driver()
    assert driver.one(odds(10, market="exotic")) == "applied"
    assert driver.market("exotic").overround is not None
    assert driver.one(odds(11, market="exotic", complete=False)) == "applied"
    assert driver.market("exotic").overround is None
    assert [each.market for each in driver.updates[-1].changes.markets] == ["exotic"]
    assert driver.one(odds(12, market="exotic", complete=False)) == "unchanged"
    assert driver.one(odds(13)) == "applied"
    assert driver.one(odds(14, complete=False)) == "unchanged", "the catalogue says which outcomes 1x2 has"
    driver.check_updates()


def test_an_outcome_without_odds_that_is_withdrawn_is_news_where_it_changes_the_margin():
    given = (*priced("x", "z"), m.OutcomeOdds(id="y", odds=None, active=False))
    driver = Driver()
    driver.one(odds(10, market="exotic", outcomes=given))
    assert driver.one(odds(11, market="exotic", outcomes=given[:2])) == "applied"
    assert driver.market("exotic").overround is not None
    without = (*priced("home", "draw"), m.OutcomeOdds(id="extra", odds=None, active=False))
    driver.one(odds(12, outcomes=without))
    assert driver.one(odds(13, outcomes=without[:2])) == "unchanged"
    assert driver.one(odds(14, outcomes=(*priced("home", price="2.10"), *without[1:2]))) == "applied"
    driver.check_updates()


@pytest.mark.parametrize(
    "change", [{"price": "2.01"}, {"name": "b"}, {"names": ("home", "away", "draw")}, {"names": ("home", "draw")}]
)
def test_what_differs_of_an_outcome_is_news(change):
    driver = Driver()
    name = {"name": "a"}
    driver.one(odds(10, outcomes=tuple(replace(each, **name) for each in priced("home", "draw", "away"))))
    names = change.get("names", ("home", "draw", "away"))
    given = priced(*names, price=change.get("price", "2.00"))
    given = tuple(replace(each, name=change.get("name", "a")) for each in given)
    assert driver.one(odds(11, outcomes=given)) == "applied"
    assert driver.updates[-1].changes.markets
    assert driver.one(odds(12, outcomes=given)) == "unchanged"
    driver.check_updates()


@pytest.mark.parametrize("info", [{"a": "1"}, {"a": "3"}, {}])
def test_info_of_a_market_is_news_when_it_differs(info):
    driver = Driver()

    def said(ts, info):
        message = odds(ts)
        return replace(message, markets=(replace(message.markets[0], info=info),))

    driver.one(said(10, {"a": "2"}))
    assert driver.one(said(11, {"a": "2"})) == "unchanged"
    assert driver.one(odds(12)) == "unchanged"
    assert driver.one(said(13, info)) == "applied"
    assert driver.market().info == info
    driver.check_updates()


@pytest.mark.parametrize("other", ["0", "8"])
def test_who_is_no_better_takes_no_market_over(other):
    driver = Driver()
    driver.one(odds(10, producer="7"))
    assert driver.one(odds(20, "9.00", producer=other)) == "stale"
    assert driver.market().outcomes[0].odds == "2.00"
    driver.feed(producer("down", 1, 15, producer="7"))
    assert driver.one(odds(21, "9.00", producer=other)) == "applied"


def test_a_producers_state_is_that_producers_only():
    driver = Driver()
    driver.feed(*(fixture(10 + at, name=f"{at}", producer=f"{at}") for at in range(3)))
    driver.feed(producer("down", 1, 15, producer="1"))
    assert [(each.producer, each.state) for each in driver.event().producers] == [
        ("0", "unknown"),
        ("1", "down"),
        ("2", "unknown"),
    ]


def test_markets_are_kept_in_the_order_of_their_names_whatever_came_first():
    driver = Driver()
    driver.feed(*(odds(10 + at, market=name) for at, name in enumerate(("m", "z", "a", "k"))))
    assert [key[0] for key in driver.folds[EVENT].markets] == ["a", "k", "m", "z"]
    driver.feed(odds(20, "2.20", market="z"), odds(21, market="b"))
    assert [key[0] for key in driver.folds[EVENT].markets] == ["a", "b", "k", "m", "z"]


def test_a_row_shows_what_a_stop_did():
    driver = Driver()
    driver.feed(odds(10))
    assert render_of(driver, odds(11, "2.50")).open
    stopped = render_of(driver, stop(20))
    assert (stopped.status, stopped.open) == ("suspended", False)


def render_of(driver, message):
    """Return the market as the row of its message's plan shows it."""
    driver.one(message)
    (row,) = driver.plans[-1].markets
    return msgspec.json.decode(row.shown, type=shown.Market)


def test_an_update_names_the_fields_that_moved_and_no_others():
    driver = Driver()
    driver.feed(fixture(10, name="a", start=5), fixture(11, name="b", start=5), score(12, 1, 0))
    first, second, third = (each.changes.event for each in driver.updates)
    assert {"name", "start", "provider", "sport", "status"} <= first.keys()
    assert second == {"name": "b"}
    assert third == {}


def test_people_are_noted_when_a_fixture_moves_them():
    driver = Driver()
    two = tuple(m.Competitor(id=f"uof:c{n}", name=f"{n}") for n in range(2))
    driver.feed(fixture(10, competitors=two))
    assert [each.id for each in driver.plans[-1].participants] == ["uof:c0", "uof:c1"]
    for message in (fixture(11, name="b"), odds(12), score(13, 1, 0)):
        driver.one(message)
        assert not driver.plans[-1].participants
        assert not driver.plans[-1].competitions


def test_a_status_alone_moves_the_event():
    driver = Driver()
    driver.feed(fixture(10, name="a"))
    assert driver.one(fixture(11, status="live")) == "applied"
    assert driver.one(fixture(12, status="live")) == "unchanged"
    assert driver.one(score(13, status="ended")) == "applied"
    assert driver.one(score(14, status="ended")) == "unchanged"
    assert driver.event().status == "ended"
