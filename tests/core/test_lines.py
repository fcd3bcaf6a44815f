"""Lines: one way to write each, and no two for the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_core.errors import FeedError
from sb_core.sports.lines import LINE_CHARS_MAX, canonical_line, line_for, make_line, parse_line

NAME = st.sampled_from(["variant", "version", "player", "id", "server"])
VALUE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
TRICKY = st.text("%|=257CD30c.", min_size=1, max_size=8)
TEXTS = st.dictionaries(NAME, VALUE | TRICKY, max_size=4)


@pytest.mark.parametrize(
    ("specifiers", "line"),
    [
        ({}, ""),
        ({"total": "2.5"}, "total=2.5"),
        ({"total": "2.50"}, "total=2.5"),
        ({"hcp": "-0.0"}, "hcp=0"),
        ({"hcp": "+1.250"}, "hcp=1.25"),
        ({"hcp": "-0.50"}, "hcp=-0.5"),
        ({"hcp": "0:1"}, "hcp=0:1"),
        ({"set": "2", "game": "3"}, "game=3|set=2"),
        ({"variant": "sr:point_range:76+"}, "variant=sr:point_range:76+"),
        ({"variant": "a|b=c%"}, "variant=a%7Cb%3Dc%25"),
        ({"id": "1.24297130"}, "id=1.24297130"),
        ({"player": "uof:sr:player:1", "total": "010.5"}, "player=uof:sr:player:1|total=10.5"),
    ],
)
def test_make_line(specifiers, line):
    assert make_line(specifiers) == line
    assert canonical_line(line) == line
    assert make_line(parse_line(line)) == line


@given(TEXTS)
def test_specifiers_come_back(specifiers):
    line = make_line(specifiers)
    assert parse_line(line) == specifiers
    assert canonical_line(line) == line


@given(TEXTS, TEXTS)
def test_escaping_is_injective(one, other):
    assert (make_line(one) == make_line(other)) == (one == other)


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
def test_equal_numbers_give_equal_lines(one, other):
    assert (make_line({"hcp": f"{one:f}"}) == make_line({"hcp": f"{other:+f}"})) == (one == other)


@given(st.text("=|%ab1.-+ 7cC", max_size=20))
def test_a_canonical_line_stays(text):
    try:
        line = canonical_line(text)
    except FeedError:
        return
    assert canonical_line(line) == line
    assert make_line(parse_line(line)) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("total=2.50", "total=2.5"),
        ("set=2|game=3", "game=3|set=2"),
        ("variant=a%7cb", "variant=a%7Cb"),
        ("variant=a=b", "variant=a%3Db"),
        ("hcp=+1.0", "hcp=1"),
        ("from=01|to=010", "from=1|to=10"),
    ],
)
def test_what_is_certain_is_rewritten(text, line):
    assert canonical_line(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "total",
        "total=",
        "=2.5",
        "total=1|total=2",
        "|",
        "total=2.5|",
        "variant=50%",
        "variant=%41",
        "to tal=1",
        "variant= a",
        "variant=a\n",
        "variant=a\x00b",
        "variant=a\u202eb",
        "v%3D=1",
        "variant=" + "x" * LINE_CHARS_MAX,
    ],
)
def test_what_is_not_certain_is_refused(text):
    with pytest.raises(FeedError) as caught:
        canonical_line(text)
    assert caught.value.code == "bad_id"


@pytest.mark.parametrize("specifiers", [{"a b": "1"}, {"": "1"}, {"a": ""}, {"a": " "}, {"a": "x" * 300}])
def test_no_line_holds_these(specifiers):
    with pytest.raises(FeedError):
        make_line(specifiers)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("signed", {"-0.50": "-0.5", "+1": "1", "0": "0", "-0": "0"}, ["0:1", "x", "1e3", "--1", "."]),
        ("unsigned", {"2.50": "2.5", "0.5": "0.5"}, ["-0.5", "over", "2,5"]),
        ("ordinal", {"3": "3", "03": "3", "999": "999"}, ["0", "-1", "1.5", "1000", "x"]),
        ("score", {"0:1": "0:1", "01:2": "1:2"}, ["1", "1:", "-1:0", "a:b", "1:2:3"]),
        ("text", {"a:b": "a:b", "1.50": "1.5"}, ["a\x00"]),
    ],
)
def test_kinds_of_values(kind, good, bad):
    for value, written in good.items():
        assert line_for(f"n={value}", ("n",), (kind,)) == f"n={written}"
    for value in bad:
        with pytest.raises(FeedError):
            line_for(f"n={value}", ("n",), (kind,))


def test_a_canonical_line_has_exactly_its_specifiers():
    names, kinds = ("game", "set"), ("ordinal", "ordinal")
    assert line_for("set=2|game=03", names, kinds) == "game=3|set=2"
    assert line_for("id=1.2429713", names, kinds) == "id=1.2429713"  # where none could be derived
    for text in ("", "set=2", "game=1|set=2|hcp=0", "game=1|set=0", "id=1|set=2"):
        with pytest.raises(FeedError):
            line_for(text, names, kinds)
