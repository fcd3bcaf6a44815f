"""Attacks on the fold: every test here showed a bug once, or holds the fold against a plain reference of its rules."""

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fold_driver import Driver, cancel, hold, odds, producer, settle, stop, uncancel, unsettle

from sb_core import messages as m

OPEN = ("active", True)
SHUT = ("suspended", False)


def after(*messages):
    driver = Driver()
    outcomes = driver.feed(*messages)
    driver.check_updates()
    return driver, outcomes


# generations


def test_a_partition_that_missed_outages_takes_older_messages_for_older():
    """The generation before the first outage is the one before it, not the outage's less one."""
    driver, outcomes = after(odds(18, "2.00"), producer("down", 3, 20), producer("up", 3, 20), odds(15, "9.00"))
    assert outcomes[-1] == "stale"
    assert driver.market().outcomes[0].odds == "2.00"


# one message that names something twice


def twice(first, second):
    """Join two messages of one market each into one."""
    return msgspec.structs.replace(first, markets=(*first.markets, *second.markets))


TWICE_ROWS = {
    "odds": (twice(odds(10, "2.00"), odds(10, "2.50")), OPEN),
    "settlement": (twice(settle(10, winner="away"), settle(10)), ("settled", False)),
    "rollback": (twice(unsettle(10), unsettle(10)), SHUT),
    "cancel": (twice(cancel(10), cancel(10)), ("cancelled", False)),
    "cancel rollback": (twice(uncancel(10), uncancel(10)), SHUT),
    "stop": (stop(10, markets=[("1x2", ""), ("1x2", "")]), SHUT),
    "hold": (hold(10, ("1x2", ""), ("1x2", "")), SHUT),
}


@pytest.mark.parametrize("name", TWICE_ROWS)
def test_a_market_named_twice_is_no_duplicate(name):
    """The rule `repeated_market` can be off; what is accepted must not be thrown away for meeting itself."""
    message, expected = TWICE_ROWS[name]
    driver, outcomes = after(odds(9), message, message)
    assert outcomes == ["applied", "applied", "duplicate"]
    assert driver.look() == expected


# applied always shows something new, unchanged never does


UNSEEN_ROWS = {
    "complete of a market whose set the catalogue knows": (odds(10), odds(11, complete=False)),
    "complete of a market without any price": (
        odds(10, market="uof:9", outcomes=(m.OutcomeOdds(id="x", odds=None),)),
        odds(11, market="uof:9", outcomes=(m.OutcomeOdds(id="x", odds=None),), complete=False),
    ),
    "an inactive outcome withdrawn": (
        odds(10, outcomes=(m.OutcomeOdds(id="home", odds="2.00"), m.OutcomeOdds(id="away", odds=None, active=False))),
        odds(11, outcomes=(m.OutcomeOdds(id="home", odds="2.00"),)),
    ),
    "a second cancel without an end": (twice(cancel(10), cancel(10)), cancel(11, id="again")),
    "a void under another": (cancel(10, 5), cancel(11)),
}


@pytest.mark.parametrize("name", UNSEEN_ROWS)
def test_what_shows_nothing_is_unchanged(name):
    first, second = UNSEEN_ROWS[name]
    driver, outcomes = after(first, second)
    assert outcomes == ["applied", "unchanged"]
    assert driver.event().rev == 1


def test_a_smaller_complete_set_is_shown_by_its_overround():
    priced = (m.OutcomeOdds(id="x", odds="2.00"), m.OutcomeOdds(id="y", odds=None, active=False))
    driver, outcomes = after(odds(10, market="uof:9", outcomes=priced), odds(11, market="uof:9", outcomes=priced[:1]))
    assert outcomes == ["applied", "applied"]
    assert driver.market("uof:9").overround == "0.5000"


def test_cancels_that_move_only_the_status_write_only_the_status():
    driver, outcomes = after(odds(10), cancel(11), cancel(12, 5), uncancel(13, 5), uncancel(14))
    assert outcomes == ["applied"] * 5
    written = [
        (len(each.changes.markets), [moved.status for moved in each.changes.statuses]) for each in driver.updates
    ]
    assert written == [(1, []), (0, ["cancelled"]), (1, []), (1, []), (0, ["suspended"])]


def test_an_outcome_that_a_settlement_created_is_like_any_other_once_priced():
    """It is no part of the complete set before, and active when a price says nothing else."""
    first = m.OutcomeOdds(id="x", odds="2.00")
    results = (m.MarketResult(market="uof:9", outcomes=(m.OutcomeResult(id="z", result="lost"),)),)
    settled = m.Settlement(
        ts=11, id="s", event="uof:1", provider="uof", producer="1", certainty="live", markets=results
    )
    driver, _ = after(odds(10, market="uof:9", outcomes=(first,)), settled)
    assert driver.market("uof:9").overround == "0.5000"
    driver.feed(odds(12, market="uof:9", outcomes=(m.OutcomeOdds(id="z", odds="2.00"),), complete=False))
    assert [(each.id, each.odds, each.active) for each in driver.market("uof:9").outcomes] == [
        ("x", "2.00", True),
        ("z", "2.00", True),
    ]
