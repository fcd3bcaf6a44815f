"""Recorded Betfair files against an independent fold, on real engines: the end-to-end tests word for word."""

import pytest
from test_recorded_betfair import *  # noqa: F403  the same tests with their fixtures

pytestmark = [pytest.mark.engines, pytest.mark.slow]
