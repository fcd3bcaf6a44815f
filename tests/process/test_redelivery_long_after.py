"""Redelivery after the event has forgotten the message's id: what was refused once for what stood then stays refused."""

import random
from functools import partial

import msgspec
import pytest
from fold_driver import Driver, cancel, fixture, hold, odds, release, score, settle, stop, uncancel, unsettle

from sb_process import book
from sb_process.state import IDS_MAX, remember

FORGETFUL_IDS_MAX = 2
SEEDS = 300


def noise(start):
    """Return enough messages that the event forgets the ids before them."""
    return [score(start + number, number % 90, 0) for number in range(IDS_MAX + 1)]


LATE = [
    # the owner hands over long after another's odds were refused
    ([odds(10), odds(20, "5.00", producer="3")], [odds(30, status="handed_over")], 1),
    # a live settlement is refused for a confirmed one, which is then taken back
    ([settle(10, "confirmed", "home"), settle(20, "live", "away")], [unsettle(15)], 1),
    # a rollback that is older than its settlement, which another producer's then replaces
    ([settle(20, "confirmed", "home"), unsettle(10)], [settle(30, "confirmed", "away", producer="3")], 1),
]


@pytest.mark.parametrize(("first", "then", "again"), LATE)
def test_what_was_refused_for_what_stood_stays_refused(first, then, again):
    driver = Driver()
    assert driver.feed(*first)[again] == "stale"
    driver.feed(*noise(1_000), *then)
    before = driver.event()
    assert driver.one(first[again]) in {"stale", "duplicate"}
    assert driver.event() == before


def message(chance, number, length):
    fields = {"id": f"i{number}", "producer": chance.choice("13")}
    ts = chance.randint(1, 2 * length)
    market, line = chance.choice([("1x2", ""), ("total", "total=2.5")])
    window = chance.choice([(None, None), (1, 5)])
    targets = chance.choice([(), ((market, line),)])
    status = chance.choice(["active", "active", "suspended", "handed_over"])
    price = chance.choice(["1.50", "2.00", "3.25"])
    kinds = [
        *[lambda: odds(ts, price, market=market, line=line, status=status, **fields)] * 5,
        lambda: stop(ts, groups=chance.choice([None, ("all",), ("x",)]), **fields),
        lambda: settle(ts, chance.choice(["live", "confirmed"]), chance.choice(["home", "away"]), **fields),
        lambda: chance.choice([unsettle(ts, **fields), cancel(ts, *window, **fields), uncancel(ts, *window, **fields)]),
        lambda: chance.choice([hold(ts, *targets, **fields), release(ts, *targets, **fields)]),
        lambda: fixture(ts, name=chance.choice("ab"), status=chance.choice(["live", "closed"]), **fields),
        lambda: score(ts, chance.randint(0, 2), 0, **fields),
    ]
    return chance.choice(kinds)()


def shape(driver):
    updates = [msgspec.to_builtins(msgspec.structs.replace(update, at=0)) for update in driver.updates]
    return updates, {name: fold.digest for name, fold in driver.folds.items()}


@pytest.mark.parametrize("length", [8, 25])
def test_all_of_it_once_more_after_any_part_of_it_changes_nothing(monkeypatch, length):
    """A replay from the start after a crash: the ids at standing versions and the lanes are all there is to tell."""
    monkeypatch.setattr(book, "remember", partial(remember, ids_max=FORGETFUL_IDS_MAX))
    for seed in range(SEEDS):
        chance = random.Random(seed)
        sequence = [message(chance, number, length) for number in range(length)]
        plain, again = Driver(), Driver()
        plain.feed(*sequence)
        again.feed(*sequence[: chance.randint(1, length)], *sequence)
        assert shape(again) == shape(plain), f"seed {seed}"
