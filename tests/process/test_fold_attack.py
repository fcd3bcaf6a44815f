"""Attacks on the fold: every test here showed a bug once, or holds the fold against a plain reference of its rules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fold_driver import Driver, odds, producer

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
