"""What was worked out once: the same for the same object, bounded, and let go of a little at a time."""

import weakref

from sb_generator.kept import FORGOTTEN_AT_ONCE, Kept

ENTRIES_MAX = 100


class Made:
    """Something whose end can be seen."""


def test_the_same_object_is_worked_out_once():
    kept = Kept(lambda _: Made(), ENTRIES_MAX)
    thing = (1, 2)
    assert kept.of(thing) is kept.of(thing)
    assert kept.of((1, 2, *())) is not kept.of([1, 2])


def test_what_is_forgotten_goes_a_few_at_a_time():
    kept = Kept(lambda _: Made(), ENTRIES_MAX)
    alive = weakref.WeakSet()
    before = 0
    for number in range(10 * ENTRIES_MAX):
        alive.add(kept.of(Made() if number % 2 else [number]))
        assert before - len(alive) < FORGOTTEN_AT_ONCE
        before = len(alive)
        assert len(alive) <= 1.5 * ENTRIES_MAX + 1
    assert len(kept.held) <= ENTRIES_MAX
