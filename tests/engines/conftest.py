"""Pipelines of the tests in this folder run on real engines."""

from functools import partial

import pytest
from local_pipeline import Pipeline
from real_engines import RealEngines
from undisturbed import run_whole


@pytest.fixture(scope="module", autouse=True)
def engines(session_stack):
    """Point every pipeline of a module at the engines, and drop what it left there."""
    made = Pipeline.engines = RealEngines(session_stack.stack)
    yield made
    Pipeline.engines = None
    session_stack.whole()
    made.drop()


@pytest.fixture(autouse=True)
def _whole(native_stack):
    """Have all engines serve when a test begins."""


@pytest.fixture
def whole(tmp_path):
    """Run messages once, undisturbed, on embedded parts; return what they left."""
    return partial(run_whole, tmp_path)
