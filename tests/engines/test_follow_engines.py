"""Followers of a replay, on real engines: the end-to-end tests word for word."""

import pytest
from test_follow import *  # noqa: F403  the same tests with their fixtures
from test_follow import following

pytestmark = pytest.mark.engines

PARAMS = ["tennis", "canonical", pytest.param("football", marks=pytest.mark.slow)]
followed = pytest.fixture(scope="module", params=PARAMS)(following)
