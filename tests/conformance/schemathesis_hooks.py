"""What Schemathesis can't know of the document: cursors are given by the service, three parameters exclude each other."""

from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

turns = 0
EXCLUSIVE = ("at", "at_rev", "min_rev")

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001  the zones are given
schemathesis.openapi.format("date-time", times.map(datetime.isoformat))
schemathesis.openapi.format("cursor", st.just(""))


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Keep one of what excludes each other; ask for an event that there is, every second time."""
    global turns  # noqa: PLW0603  a hook has nothing else to keep it in
    turns += 1
    positive = case.meta is None or case.meta.generation.mode.is_positive
    if positive and turns % 2 and "event" in (case.path_parameters or {}):
        case.path_parameters["event"] = f"bench:match:{turns % 500}"
    given = [name for name in EXCLUSIVE if name in (case.query or {})]
    for name in given[1:]:
        del case.query[name]
