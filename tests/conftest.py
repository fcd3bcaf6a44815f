"""Fixtures that every folder of tests may use."""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from native_stack import NativeStack, started

# A busy machine is no failure. CI takes the same examples every time, so that a landing doesn't depend on luck;
# everywhere else they are new ones each time.
settings.register_profile(
    "project", deadline=None, derandomize=os.environ.get("CI") == "true", suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")

ROOT = Path(__file__).resolve().parent.parent
RUN_DEADLINE_S = 30.0

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how much of the simulation to run (tests/sim)."""
    parser.addoption("--sim-seeds", type=int, default=200, help="seeds of the simulation, from 1 on")
    parser.addoption("--sim-seed", type=int, default=None, help="this seed alone, with its trace")

    parser.addoption("--times", type=int, default=1, help="this many times the examples of each property (make hunt)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests on engines on one worker: they share a stack, and kill parts of it. Multiply examples."""
    for item in items:
        if item.get_closest_marker("engines"):
            item.add_marker(pytest.mark.xdist_group("stack"))
    properties = {item.function for item in items if getattr(item.function, "is_hypothesis_test", False)}
    for each in properties if config.getoption("--times") > 1 else ():
        known = each._hypothesis_internal_use_settings
        more = settings(known, max_examples=known.max_examples * config.getoption("--times"))
        each._hypothesis_internal_use_settings = more


@pytest.fixture(scope="session")
def session_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """Kafka, a database and Redis, started for this session."""
    with started(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def native_stack(session_stack: NativeStack) -> NativeStack:
    """Kafka, a database and Redis, each of which serves, and may be killed, stopped and held by a test."""
    return session_stack.whole()


@pytest.fixture(scope="session")
def feeds() -> Path:
    """The folder of recorded feeds; without it a test is skipped, but not where CI=true says that it must be there."""
    path = Path(os.environ.get("SB_TEST_FEEDS", ROOT.parent / "shared" / "feeds"))
    if not path.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the recorded feeds are not at {path} (SB_TEST_FEEDS)")
        pytest.skip(f"no recorded feeds at {path} (SB_TEST_FEEDS)")
    return path


@pytest.fixture
def run() -> Callable[..., T]:
    """Run an async function with its arguments under Trio, within a deadline (`deadline_s=`), and return its result."""

    def run_within(function: Callable[..., Awaitable[T]], *args: object, deadline_s: float = RUN_DEADLINE_S) -> T:
        async def main() -> T:
            with trio.fail_after(deadline_s):
                return await function(*args)

        return trio.run(main)

    return run_within
