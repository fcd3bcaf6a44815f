"""Attacks on the fold: every test here showed a bug once, or holds the fold against a plain reference of its rules."""

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fold_driver import Driver, cancel, hold, odds, producer, settle, stop, uncancel, unsettle

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
