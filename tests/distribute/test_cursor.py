"""Cursors: what is written is read back, everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_distribute import cursor as cursors
from sb_distribute.cursor import Position


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(1, 9)), min_size=1, max_size=48))
def test_what_is_written_is_read_back(tracks):
    position = Position([offset for offset, _ in tracks], [lineage for _, lineage in tracks])
    indices = tuple(range(0, len(tracks), 2))
    found = cursors.parse(cursors.write("0123456789abcdef", position, indices, 1_780_000_000_999))
    assert (found.digest, found.written_s) == ("0123456789abcdef", 1_780_000_000)
    assert found.offsets == tuple(position.offsets[i] for i in indices)
    assert found.lineages == position.lineage_sum(indices)


@given(st.text(max_size=60))
def test_anything_else_is_no_cursor(text):
    with pytest.raises(ValueError, match="no cursor"):
        cursors.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2-0123456789abcdef-5-1",
        "c2-0123456789abcdef-5-1-",
        "c2-0123456789abcdeg-5-1-0",
        "c1-0123456789abcdef-5-1-0",
        "c2-0123456789abcdef-5-1-0 ",
        "c2-0123456789abcdef-5-1-0\n",
        "c2-0123456789abcdef-5-1-" + "f" * 17,
        "c2-0123456789abcdef-5-1" + "-0" * 5_000,
        "c2-0123456789abcdef-5-1-٣",
    ],
)
def test_near_misses(text):
    with pytest.raises(ValueError, match="no cursor"):
        cursors.parse(text)


def test_a_position_set_back():
    position = Position([5, 6, 7], [1, 1, 2])
    assert position.at((0, 2), (1, 2)).offsets == (1, 6, 2)
    assert position.at((0, 2), (1, 2)).lineages == (1, 1, 2)
