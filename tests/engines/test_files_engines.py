"""Every recorded file and message, on real engines: the end-to-end tests word for word."""

import pytest
from test_recorded_files import *  # noqa: F403  the same tests with their fixtures

pytestmark = pytest.mark.engines
