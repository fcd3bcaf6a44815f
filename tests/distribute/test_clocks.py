"""What a node waits for and how old it takes its picture to be, while the wall clock is set."""

from sb_distribute.clocks import Freshness, SteadyClock

HOUR_MS = 3_600_000


class Machine:
    """A machine's clocks, set by hand."""

    def __init__(self) -> None:
        self.wall_ms = 1_780_000_000_000
        self.passed_s = 5.25

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.passed_s

    def passes(self, ms: int) -> None:
        self.wall_ms += ms
        self.passed_s += ms / 1000


def test_what_is_waited_for_comes_in_its_time_though_the_wall_clock_is_set_back():
    machine = Machine()
    steady = SteadyClock(machine)
    began_ms = steady.now_ms()
    assert began_ms == machine.wall_ms
    machine.passes(400)
    machine.wall_ms -= HOUR_MS
    machine.passes(250)
    assert steady.now_ms() - began_ms == 650
    assert steady.monotonic_s() == machine.passed_s


def test_a_picture_that_stands_still_ages_though_the_wall_clock_is_set_back():
    machine = Machine()
    freshness, complete_to = Freshness(machine), machine.wall_ms
    assert freshness.age_ms("football", complete_to) == 0
    machine.wall_ms -= HOUR_MS
    machine.passes(7_000)
    assert freshness.age_ms("football", complete_to) == 7_000
    assert freshness.age_ms("football", complete_to + 1) == 0


def test_a_picture_that_lags_is_as_old_as_the_wall_clock_says():
    machine = Machine()
    freshness, complete_to = Freshness(machine), machine.wall_ms - 30_000
    assert freshness.age_ms("football", complete_to) == 30_000
    machine.passes(1_000)
    assert freshness.age_ms("football", complete_to + 1_000) == 30_000
    machine.wall_ms += HOUR_MS
    assert freshness.age_ms("football", complete_to + 1_000) == 30_000 + HOUR_MS
