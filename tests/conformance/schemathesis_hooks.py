"""What Schemathesis can't know of the document: cursors are given by the service, three parameters exclude each other."""

from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

EXCLUSIVE = ("at", "at_rev", "min_rev")

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001  the zones are given
schemathesis.openapi.format("date-time", times.map(datetime.isoformat))
schemathesis.openapi.format("cursor", st.just(""))


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Keep one of what excludes each other."""
    given = [name for name in EXCLUSIVE if name in (case.query or {})]
    for name in given[1:]:
        del case.query[name]
