"""Cursors: what stays put is neither skipped nor repeated, and nothing forged gets through."""

import base64

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sb_core.records import EventQuery
from sb_distribute.rest_events import store_query
from sb_distribute.rest_paging import (
    EventsAfter,
    HistoryFrom,
    KeyAfter,
    NamedAfter,
    page_of,
    read_cursor,
    write_cursor,
)
from sb_distribute.rest_queries import BadQueryError, EventsQuery

CURSORS = [EventsAfter(-1, "p:é/1"), EventsAfter(2**53, ""), NamedAfter("x"), KeyAfter("1x2", ""), HistoryFrom(7)]


@pytest.mark.parametrize("cursor", CURSORS, ids=repr)
def test_a_cursor_comes_back(cursor):
    text = write_cursor(cursor)
    assert read_cursor(type(cursor), text) == cursor
    assert text.isascii()
    assert not set(text) & set("=+/&?%")
    assert read_cursor(type(cursor), None) is None


@pytest.mark.parametrize("cursor", CURSORS, ids=repr)
def test_a_cursor_of_another_kind_is_refused(cursor):
    for kind in {EventsAfter, NamedAfter, KeyAfter, HistoryFrom} - {type(cursor)}:
        with pytest.raises(BadQueryError) as caught:
            read_cursor(kind, write_cursor(cursor))
        assert caught.value.code == "bad_cursor"


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=60), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))
    )
)
def test_nothing_forged_does_more_than_be_refused(text):
    for kind in (EventsAfter, NamedAfter, KeyAfter, HistoryFrom):
        try:
            found = read_cursor(kind, text)
        except BadQueryError as error:
            assert error.code == "bad_cursor"  # noqa: PT017  both ends are fine
        else:
            assert isinstance(found, kind)


@pytest.mark.parametrize(
    "forged",
    [["e", 2**60, "x"], ["e", 1.5, "x"], ["e", 1], ["e", 1, "x", 2], ["e", None, "x"], ["e", 1, b"\xff"], {"e": 1}, "e", 7, [[]] * 500],
)  # fmt: skip
def test_numbers_that_no_store_takes_are_refused(forged):
    text = base64.urlsafe_b64encode(msgspec.msgpack.encode(forged)).decode().rstrip("=")
    with pytest.raises(BadQueryError):
        read_cursor(EventsAfter, text)


_keys = st.tuples(st.sampled_from("abc"), st.text("xyz", max_size=2))


@settings(max_examples=300)
@given(
    lasting=st.sets(_keys, max_size=15),
    rounds=st.lists(st.tuples(st.sets(_keys, max_size=4), st.sets(_keys, max_size=4)), max_size=20),
    limit=st.integers(1, 5),
)
def test_what_lasts_is_given_once_while_others_come_and_go(lasting, rounds, limit):
    passing = iter(rounds)
    held, cursor, given_ = set(lasting), None, []
    while True:
        page, cursor = page_of(sorted(held), lambda key: key, limit, cursor)
        given_.extend(page)
        assert len(page) <= limit
        if cursor is None:
            break
        come, go = next(passing, (set(), set()))
        held = lasting | ((held | come) - go)
    assert [key for key in given_ if key in lasting] == sorted(lasting)
    assert len(set(given_)) == len(given_)


# `in_world` makes a new world each time it is called
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lasting=st.dictionaries(st.integers(0, 99), st.one_of(st.none(), st.integers(0, 3)), max_size=12),
    coming=st.lists(
        st.dictionaries(st.integers(100, 199), st.one_of(st.none(), st.integers(0, 3)), max_size=3), max_size=12
    ),
    limit=st.integers(1, 4),
)
def test_events_that_last_are_given_once_while_others_come(in_world, lasting, coming, limit):
    async def test(world):
        for number, start in lasting.items():
            await world.save(f"p:{number:03}", event={"start": start})
        more, found, cursor = iter(coming), [], ""
        while cursor is not None:
            page = await world.get(f"/v1/events?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            found += [each["event"] for each in page["items"]]
            cursor = page["next"]
            for number, start in next(more, {}).items():
                await world.save(f"p:{number:03}", event={"start": start})
        order = sorted(lasting, key=lambda number: (-1 if lasting[number] is None else lasting[number], number))
        # those that come may move to another start, and may then be met again; those that last stand still
        assert [each for each in found if each < "p:100"] == [f"p:{number:03}" for number in order]

    in_world(test)


def test_the_store_is_asked_for_one_more_than_the_page():
    asked = store_query(EventsQuery(q="Beşiktaş", limit=1_000, cursor=write_cursor(EventsAfter(5, "p:1"))))
    assert asked == EventQuery(q="besiktas", after=(5, "p:1"), limit=1_001)
