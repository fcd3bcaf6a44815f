"""Query strings: what is read, what is refused, and times in all their spellings."""

from datetime import datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_core import odds
from sb_core.shown import empty, encoder
from sb_distribute.node import EventSnapshot
from sb_distribute.rest_answers import AnswerCache, tag_matches
from sb_distribute.rest_events import split_path
from sb_distribute.rest_queries import (
    BadQueryError,
    EventQuery,
    EventsQuery,
    HistoryQuery,
    ListQuery,
    MarketsQuery,
    NamedListQuery,
    NoQuery,
    OddsFormat,
    ProducersQuery,
    instant,
    read_query,
)

KINDS = (NoQuery, ListQuery, NamedListQuery, EventsQuery, EventQuery, MarketsQuery, HistoryQuery, ProducersQuery)


def test_every_form_of_odds_may_be_asked_for():
    assert set(get_args(OddsFormat)) == set(odds.FORMATS)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_asked_gives_the_defaults(kind):
    assert read_query(kind, []) == kind()


@pytest.mark.parametrize("kind", KINDS)
@given(
    pairs=st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from(["limit", "from", "at", "sport", "line", "open", "q", "cursor"]), st.text(max_size=6)
            ),
            st.text(max_size=40),
        ),
        max_size=4,
    )
)
def test_no_query_string_does_more_than_be_refused(kind, pairs):
    try:
        found = read_query(kind, pairs)
    except BadQueryError as error:
        assert (error.code, 0 < len(error.detail) < 400) == ("bad_parameter", True)  # noqa: PT017  both ends are fine
    else:
        assert isinstance(found, kind)


def test_blanks_between_the_items_of_a_list_are_no_part_of_them():
    asked = read_query(EventsQuery, [("status", "live, ended ,"), ("sport", " tennis")])
    assert (asked.status, asked.sport) == (("live", "ended"), ("tennis",))


@pytest.mark.parametrize("pairs", [[("x", "")], [("x", "1")], [("status", "")], [("market", ",")], [("limit", "1")]])
def test_unknown_parameters_are_refused_even_when_empty(pairs):
    with pytest.raises(BadQueryError):
        read_query(NoQuery, pairs)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("-5", -5),
        ("1782237600000", 1_782_237_600_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00.0019999Z", 1),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
    ],
)
def test_times(text, ms):
    assert instant("from", text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "1.5", "1e3", "2026-06-23", "2026-06-23T18:00:00", "2026-6-23T18:00:00Z", "2026-13-01T00:00:00Z",
     "2026-06-23T18:00Z", "2026-06-23T18:00:00+0200", "2026-06-23T24:00:00Z", "2026-06-23T18:00:61Z", "0000-01-01T00:00:00Z",
     "2026-06-23T18:00:00+24:00", "٢٠٢٦-06-23T18:00:00Z", "1" * 16, "2026-06-23T18:00:00.Z"],
)  # fmt: skip
def test_no_times(text):
    with pytest.raises(BadQueryError):
        instant("from", text)


# hypothesis wants its bounds without a zone
@given(st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_times_as_python_writes_them(moment):
    offset = moment.utcoffset()
    if offset is None or offset.total_seconds() % 60:
        return
    whole = int(moment.timestamp() // 1)
    expected = whole * 1_000 + moment.microsecond // 1_000
    assert instant("at", moment.isoformat()) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("p:1", ("p:1", None)),
        ("p%3A1", ("p:1", None)),
        ("p:1/markets", ("p:1", "markets")),
        ("p:1/history", ("p:1", "history")),
        ("p:1%2Fmarkets", ("p:1/markets", None)),
        ("p:1%2Fmarkets/markets", ("p:1/markets", "markets")),
        ("p:a/b", ("p:a/b", None)),
        ("p:a/b/history", ("p:a/b", "history")),
        ("markets", ("markets", None)),
        ("%252F", ("%2F", None)),
        ("p:a//markets", ("p:a/", "markets")),
    ],
)
def test_paths(raw, expected):
    assert split_path(raw) == expected


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ("", False),
        ('"1.2"', True),
        ('W/"1.2"', True),
        ('"1.1" , "1.2"', True),
        ("*", True),
        ('"1.2-stale"', False),
        ("1.2", False),
        (",".join(['"0.0"'] * 60 + ['"1.2"']), False),
    ],
)
def test_tags(header, matches):
    assert tag_matches(header, '"1.2"') is matches


def test_the_cache_of_answers_keeps_its_bound():
    size = len(encoder.encode(empty("p:0", "football")))
    cache = AnswerCache(bytes_max=3 * size + 10)
    for number in range(5):
        cache.event(EventSnapshot(1, 1, empty(f"p:{number}", "football")), "decimal", stale=False)
        assert cache.used_bytes <= 3 * size + 10
    assert cache.used_bytes == 3 * size
    kept = EventSnapshot(1, 1, empty("p:4", "football"))
    assert cache.event(kept, "decimal", stale=False) == encoder.encode(kept.event)
    assert cache.hits == 1
    # a newer state takes the older one's place, an older one none
    newer = EventSnapshot(1, 2, empty("p:4", "football"))
    cache.event(newer, "decimal", stale=False)
    cache.event(kept, "decimal", stale=False)
    assert cache.used_bytes == 3 * size
    cache.event(newer, "decimal", stale=False)
    assert cache.hits == 2
    tiny = AnswerCache(bytes_max=10)
    assert tiny.event(kept, "decimal", stale=True).endswith(b'"stale":true,"markets":[]}')
    assert tiny.used_bytes == 0
