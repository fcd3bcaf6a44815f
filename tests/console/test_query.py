"""Expressions: what they mean, and that nothing but an answer ever comes of them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_console.query import QueryError, holds, looking_into, parse

DATA = {
    "lag": {"verdict": "OK", "total": 12, "eta_s": None},
    "services": {"down": 0, "feed-ingestion": {"state": "OK"}},
    "items": [{"n": 1}, {"n": 2}],
    "odds": "5.10",
    "names": ["1x2", "total"],
    "stale": False,
}


def true(text):
    return holds(parse(text), looking_into(DATA))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('lag.verdict == "OK" and services.down == 0', True),
        ("lag.verdict = ok", True),
        ("lag.verdict = OK services.down = 0", True),
        ("lag.verdict != OK or services.down = 0", True),
        ("lag.verdict = STALLED or services.down = 1", False),
        ("not lag.verdict = STALLED", True),
        ("not (lag.verdict = OK and services.down = 0)", False),
        ("lag.total >= 12", True),
        ("lag.total > 12.0", False),
        ("odds > 5", True),
        ("odds > 5.10", False),
        ("odds == 5.1", True),
        ("odds < 10", True),
        ("lag.eta_s < 10", False),
        ("lag.eta_s >= 10", False),
        ("lag.eta_s == null", True),
        ("lag.eta_s != 3", True),
        ("services.feed-ingestion.state = OK", True),
        ("items.1.n = 2", True),
        ("names = 1x2", True),
        ("names = 1X2", True),
        ("names = btts", False),
        ("lag.verdict ~ '^o'", True),
        ("lag.verdict !~ stall", True),
        ("stale", False),
        ("not stale", True),
        ("stale = false", True),
        ("lag.verdict > 3", False),
        ("", True),
        ("services.down = 1 or services.down = 0 and lag.total = 12", True),
    ],
)
def test_means(text, held):
    assert true(text) is held


@pytest.mark.parametrize(
    "text",
    ["(", ")", "lag.verdict ==", "= 3", "lag.verdict = = 3", "a ~ '['", "not", "x" * 2_000, "(" * 60 + "a" + ")" * 60],
)
def test_cannot_be_read(text):
    with pytest.raises(QueryError):
        parse(text)


@pytest.mark.parametrize("text", ["lag.nope", "nope = 1", "items.7.n = 1", "__class__ = 1", "lag.__class__ = 1"])
def test_asks_for_what_is_not_there(text):
    with pytest.raises(QueryError):
        true(text)


@given(st.text(alphabet="ab.=<>!~()\"' \\andornt01x", max_size=60))
def test_any_text_is_answered_or_refused(text):
    try:
        node = parse(text)
    except QueryError:
        return
    with suppress(QueryError):
        assert holds(node, looking_into({"a": {"b": 1}, "b": "x"})) in {True, False}
