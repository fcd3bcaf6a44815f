"""When a reader's client counts as dead."""

import pytest

from sb_core.adapters.kafka_watchdog import LOOKS_MAX, NOWHERE, Watchdog

ONE, TWO = ("sports-feed-football", 1), ("sports-feed-football", 2)


def looked(*looks):
    """Return what each look says."""
    watchdog = Watchdog()
    return [watchdog.look(seen) for seen in looks]


@pytest.mark.parametrize("position", [0, 7, NOWHERE])
def test_who_stands_still_while_the_end_grows_is_dead_after_some_looks(position):
    said = looked(*({ONE: (position, 10 + n)} for n in range(LOOKS_MAX + 1)))
    assert said[:-1] == [None] * LOOKS_MAX
    assert said[-1].startswith("sports-feed-football/1 stood ")
    assert said[-1].endswith(f"for {LOOKS_MAX} looks while its end went from 10 to {10 + LOOKS_MAX}")


@pytest.mark.parametrize(
    "looks",
    [
        [{ONE: (n, 100 + n)} for n in range(30)],
        [{ONE: (100, 100)}] * 30,
        [{ONE: (7, 10)}] * 30,
        [{ONE: (n // 5, 10 + n)} for n in range(30)],
        [{ONE: (7, 10 + n)} if n % 5 else {} for n in range(30)],
        [{ONE if n % 2 else TWO: (7, 10 + n)} for n in range(30)],
        [{ONE: (7, 7 if n == 4 else 10 + n)} for n in range(LOOKS_MAX + 4)],
    ],
    ids=["moves", "at the end", "nothing comes", "slow", "delivers now and then", "never twice", "was at the end"],
)
def test_others_are_not(looks):
    assert looked(*looks) == [None] * len(looks)


def test_what_could_not_be_looked_at_counts_for_nothing():
    watchdog = Watchdog()
    for n in range(LOOKS_MAX):
        assert watchdog.look({ONE: (7, 10 + n)}) is None
    watchdog.forget()
    for n in range(LOOKS_MAX):
        assert watchdog.look({ONE: (7, 20 + n)}) is None
    assert watchdog.look({ONE: (7, 30)}) is not None


def test_one_dead_partition_is_found_among_others():
    looks = [{ONE: (n, n), TWO: (7, 10 + n)} for n in range(LOOKS_MAX + 1)]
    assert looked(*looks)[-1].startswith("sports-feed-football/2 ")
