"""Pipelines of the tests in this folder run on real engines."""

from functools import partial

import pytest
from local_pipeline import Pipeline
from real_engines import RealEngines, started
from undisturbed import run_whole


@pytest.fixture(scope="session")
def native_stack(tmp_path_factory):
    with started(tmp_path_factory.mktemp("stack-all")) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def engines(native_stack):
    """Point every pipeline of a module at the engines, and drop what it left there."""
    made = Pipeline.engines = RealEngines(native_stack)
    yield made
    Pipeline.engines = None
    made.drop()


@pytest.fixture
def whole(tmp_path):
    """Run messages once, undisturbed, on embedded parts; return what they left."""
    return partial(run_whole, tmp_path)
