"""A running pipeline and a recording of it, shared by the console's tests: both are real."""

import os
from pathlib import Path

import anyio
import pytest
from console_parts import profile_of
from local_pipeline import running

from sb_console import headless

RECORDED_S = 7.0
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Let a module's tests share one pipeline: it costs half a core for as long as it runs."""
    for item in items:
        if HERE in item.path.parents and "live" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"console-{item.path.stem}"))


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A pipeline with the simulator."""
    with running(tmp_path_factory.mktemp("console") / "data") as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def live_profile(live):
    """The profile of the running pipeline."""
    return profile_of(live.data, live.offset)


@pytest.fixture(scope="module")
def recorded(live, live_profile, tmp_path_factory):
    """A recording of the running pipeline: its file, and the snapshot that was live at its end."""
    live.post("/v1/feeds/canonical", '{"type":"odds","ts":1,"event":"bad:1","markets":7}')
    path = tmp_path_factory.mktemp("recorded") / "seven-seconds.sbrec"
    snapshot = anyio.run(headless.record, live_profile, path, RECORDED_S, backend="trio")
    return path, snapshot


@pytest.fixture
def environ(live):
    """The environment of a command that looks at the running pipeline."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    return {**kept, "SB_DATA": str(live.data), "SB_PORT_OFFSET": str(live.offset)}
