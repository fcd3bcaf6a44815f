import logging

import pytest

from sb_core.adapters import driver_logs
from sb_core.adapters.driver_logs import Throttle, throttle


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(driver_logs.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def log(clock):  # noqa: ARG001  before the handler looks at it
    logger = logging.getLogger("some_driver")
    throttle("some_driver")
    throttle("some_driver")
    assert [type(handler) for handler in logger.handlers].count(Throttle) == 1
    yield logging.getLogger("some_driver.client")
    logger.handlers.clear()
    logger.propagate = True


@pytest.fixture
def passed():
    """What arrives at the root logger; pytest's own capture also listens at loggers that don't propagate."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append(record)

    keep = Keep()
    logging.getLogger().addHandler(keep)
    yield records
    logging.getLogger().removeHandler(keep)


def test_the_first_of_a_kind_comes_through_and_the_next_counts_the_others(log, clock, passed):
    for n in range(50):
        log.error("no connection to %s", n)
        clock[0] += 0.1
    log.error("odd: %s", "reset")
    assert [record.getMessage() for record in passed] == ["no connection to 0", "odd: reset"]
    clock[0] += 10
    log.error("no connection to %s", "b:2%d")
    log.error("odd: %s", "reset")
    assert [record.getMessage() for record in passed[2:]] == [
        "no connection to b:2%d (49 more of this kind were left out)",
        "odd: reset",
    ]
    assert {record.name for record in passed} == {"some_driver.client"}


def test_below_roots_level_nothing_comes_through(log, passed, caplog):
    with caplog.at_level(logging.ERROR):
        log.warning("a")
        log.error("b")
    assert [record.getMessage() for record in passed] == ["b"]


def test_kinds_are_bounded(log):
    for n in range(3 * driver_logs.KINDS_MAX):
        log.error(f"kind {n}")  # noqa: G004  a driver may do so
    handler = next(each for each in logging.getLogger("some_driver").handlers if isinstance(each, Throttle))
    assert len(handler._kinds) <= driver_logs.KINDS_MAX
