"""Followers of a replay, on real engines: the end-to-end tests word for word."""

import pytest
from test_follow import *  # noqa: F403  the same tests with their fixtures

pytestmark = pytest.mark.engines
