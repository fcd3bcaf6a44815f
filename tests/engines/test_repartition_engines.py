"""A sport gets more partitions on real engines: the end-to-end test word for word."""

import pytest
from test_repartition import *  # noqa: F403  the same test

pytestmark = [pytest.mark.engines, pytest.mark.xdist_group("stack")]
