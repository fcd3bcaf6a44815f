"""An outage of the log, as a node reads through it."""

from types import SimpleNamespace

import pytest
import trio

from sb_core.errors import LogTruncatedError, UnavailableError
from sb_core.records import Delivery
from sb_core.telemetry import Telemetry
from sb_distribute import patience
from sb_distribute.patience import PatientReader


class Outage:
    """A reader that fails `times`, with a clock that each read moves on by ten seconds."""

    def __init__(self, times, error):
        self.left = times
        self.error = error
        self.now_s = 0.0

    async def read(self, **_):
        await trio.lowlevel.checkpoint()
        self.now_s += 10
        if self.left:
            self.left -= 1
            raise self.error
        return Delivery()

    def context(self):
        telemetry = Telemetry("test", level="error", now_ms=lambda: 0)
        clock = SimpleNamespace(monotonic_s=lambda: self.now_s)
        return SimpleNamespace(clock=clock, telemetry=telemetry, entropy=bytes)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(patience, "RETRY_S", 0.001)


def read(run, outage):
    return run(PatientReader(outage.context(), outage).read)


def test_a_short_one_is_read_through(run):
    outage = Outage(5, UnavailableError("down"))
    assert read(run, outage) == Delivery()
    assert (outage.left, outage.now_s) == (0, 60)


def test_a_long_one_ends_the_reading(run):
    outage = Outage(50, UnavailableError("down"))
    with pytest.raises(UnavailableError):
        read(run, outage)
    assert outage.now_s == 70


def test_other_errors_come_at_once(run):
    outage = Outage(1, LogTruncatedError("gone", ("t", 0)))
    with pytest.raises(LogTruncatedError):
        read(run, outage)
    assert outage.now_s == 10
