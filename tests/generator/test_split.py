"""Cutting recorded files into documents: every file of the feeds, and shapes made by hand."""

import bz2
import gzip
import json
from collections import Counter
from functools import partial

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_generator import recognise, sources, split
from sb_generator.split import SourceError

# packed without the time, so that tests have the same ids in every process
packed = partial(gzip.compress, mtime=0)

BETFAIR = {
    "football-1.242971311.bz2": (1736, "line", 1746609308664),
    "greyhounds-1.197931750.ndjson": (166, "line", 1650392673420),
    "tennis-1.223716890-truncated.ndjson": (1, "line", 1705566594928),
    "tennis-1.223716976.bz2": (362, "line", 1705566594928),
    "tennis-1.223716981.ndjson": (53, "line", 1705566594928),
    "messages/connection.json": (1, "line", None),
    "messages/mcm_market_updates.json": (33, "value", 1617253902641),
    "messages/mcm_sub_image.json": (1, "value", 1471370159007),
    "messages/status_error.json": (1, "value", None),
    "messages/streaming_503.json": (1, "line", None),
}


def cut(data, size=None):
    size = size or max(len(data), 1)
    return list(split.documents(data[start : start + size] for start in range(0, len(data), size)))


@pytest.mark.parametrize("name", BETFAIR)
def test_betfair_files(feeds, name):
    count, form, ts = BETFAIR[name]
    documents = list(sources.documents(feeds / "betfair" / name))
    assert len(documents) == count
    assert {(each.provider, each.form) for each in documents} == {("betfair", form)}
    assert documents[0].ts == ts


def test_lines_are_the_file(feeds):
    path = feeds / "betfair" / "football-1.242971311.bz2"
    assert (
        b"\n".join(each.data for each in sources.documents(path))
        == bz2.decompress(path.read_bytes()).replace(b"\r\n", b"\n").strip()
    )


def test_array_elements_are_its_bytes(feeds):
    path = feeds / "betfair" / "messages" / "mcm_market_updates.json"
    documents = list(sources.documents(path))
    assert [json.loads(each.data) for each in documents] == json.loads(path.read_bytes())
    assert all(each.data in path.read_bytes() for each in documents)


def test_uof_files(feeds):
    paths = sorted((feeds / "uof").rglob("*.xml"))
    assert len(paths) == 29
    for path in paths:
        documents = list(sources.documents(path))
        assert [(each.data, each.form, each.provider) for each in documents] == [
            (path.read_bytes().strip(), "xml", "uof")
        ], path
    everything = b"\n".join(path.read_bytes() for path in paths)
    assert [each.data for each in cut(everything)] == [path.read_bytes().strip() for path in paths]


def test_files_of_no_feed_are_not_recognised(feeds):
    for name in ("scores/nhl-in-progress.json", "lsports/outright-league-market-update-type40.json"):
        (document,) = sources.documents(feeds / name)
        assert document.provider is None


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_do_not_matter(feeds, size):
    data = (feeds / "betfair" / "tennis-1.223716981.ndjson").read_bytes()[:3000]
    assert cut(data, size) == cut(data)


def test_compressed_files(tmp_path):
    data = b'{"op":"a","pt":1}\n{"op":"b","pt":2}\n'
    for name, compressed in (
        ("a.bz2", bz2.compress(data[:18]) + bz2.compress(data[18:])),
        ("b.gz", packed(data[:18]) + packed(data[18:])),
        ("c.zst", zstandard.compress(data[:18]) + zstandard.compress(data[18:])),
        # what a file is counts, not how it is named
        ("d.json", packed(data)),
        ("e", data),
    ):
        path = tmp_path / name
        path.write_bytes(compressed)
        assert [each.ts for each in sources.documents(path)] == [1, 2], name


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress, zstandard.compress])
def test_a_compressed_file_that_ends_early_gives_what_it_has_and_says_so(tmp_path, compress):
    lines = [json.dumps({"op": "x", "pt": number, "more": str(hash(number) ** 5)}).encode() for number in range(60_000)]
    path = tmp_path / "cut"
    whole = compress(b"\n".join(lines))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = []
    with pytest.raises(SourceError, match="cut"):
        found.extend(each.data for each in _until_error(sources.documents(path), found))
    assert len(found) > 10_000
    assert found[:-1] == lines[: len(found) - 1]
    assert lines[len(found) - 1].startswith(found[-1])


def _until_error(documents, found):
    for each in documents:
        found.append(each.data)
    return []


def test_a_missing_file_is_said():
    with pytest.raises(SourceError):
        list(sources.documents(sources.Path("nowhere/at/all")))


JSON_SHAPES = [
    (b"", []),
    (b" \n\n ", []),
    (b'{"op":1}', [b'{"op":1}']),
    (b'\xef\xbb\xbf{"op":1}\r\n{"op":2}\r\n', [b'\xef\xbb\xbf{"op":1}', b'{"op":2}']),
    (b'[{"op":1},{"op":2}]', [b'{"op":1}', b'{"op":2}']),
    (b'[\n {"op":1},\n {"op":2}\n]\n', [b'{"op":1}', b'{"op":2}']),
    (b'{\n"op":\n1}', [b'{\n"op":\n1}']),
    # broken: a first line, a last one, one of several lines
    (b'{"op":\n{"op":2}\n', [b'{"op":', b'{"op":2}']),
    (b'{"op":1}\n{"op":', [b'{"op":1}', b'{"op":']),
    (b'{\n "op": "x",\n "pt": 5\n', [b'{\n "op": "x",\n "pt": 5']),
    (b'{"op":1}\n\xff\xfe\n{"op":3}', [b'{"op":1}', b"\xff\xfe", b'{"op":3}']),
]


@pytest.mark.parametrize(("data", "expected"), JSON_SHAPES)
def test_json_shapes(data, expected):
    assert [each.data for each in cut(data)] == expected


def test_what_is_broken_over_several_lines_travels_alone():
    (document,) = cut(b'{\n "op": "x",\n "pt": 5\n')
    assert (document.form, document.provider, document.ts) == ("alone_json", "betfair", None)


XML_SHAPES = [
    (b"<a/><b/>", [b"<a/>", b"<b/>"]),
    (
        b'<?xml version="1.0"?><a>x</a>\n<?xml version="1.0"?>\n<b/>',
        [b'<?xml version="1.0"?><a>x</a>', b'<?xml version="1.0"?>\n<b/>'],
    ),
    (b"<a><a/></a><!-- c --><b>\xc3\xa9</b>", [b"<a><a/></a><!-- c -->", b"<b>\xc3\xa9</b>"]),
    # broken: to the next declaration, or all the rest
    (b'<a><b></a>\n<?xml version="1.0"?><c/>', [b"<a><b></a>", b'<?xml version="1.0"?><c/>']),
    (b"<a", [b"<a"]),
]


@pytest.mark.parametrize(("data", "expected"), XML_SHAPES)
def test_xml_shapes(data, expected):
    assert [each.data for each in cut(data)] == expected


def test_xml_that_may_take_others_along_travels_alone():
    deep = b"<a>" * 20 + b"</a>" * 20
    entity = b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
    forms = [each.form for each in cut(b"<ok/>" + deep + b"<ok/>")]
    assert forms == ["xml", "alone_xml", "xml"]
    assert [each.form for each in cut(entity)] == ["alone_xml"]
    assert [each.form for each in cut(b"<a><b></a>")] == ["alone_xml"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4), min_size=1, max_size=8
    )
)
def test_whatever_is_written_as_lines_or_array_comes_back(values):
    lines = [json.dumps(each).encode() for each in values]
    assert [each.data for each in cut(b"\n".join(lines), 5)] == lines
    pretty = json.dumps(values, indent=1).encode()
    assert [json.loads(each.data) for each in cut(pretty)] == values


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_byte_is_lost(data):
    white = b" \t\r\n"
    left = data.translate(None, white)
    found = b"".join(each.data for each in cut(data, 3)).translate(None, white)
    if found != left:
        # only what a JSON array has around its elements may be gone
        assert recognise.is_json(data)
        assert not Counter(found) - Counter(left)


def test_sessions_have_the_files_names():
    names = sources.session_names(("x/a.ndjson.bz2", "y/a.bz2", "football-1.242971311.bz2", "çay maç.json", ".bz2"))
    assert names == ("a", "a-2", "football-1.242971311", "_ay_ma_", "file")


RECOGNISED = [
    (recognise.json, b'{"op":"mcm","pt":5}', ("betfair", 5)),
    (recognise.json, b'{"op":"mcm","pt":5,"x":', ("betfair", 5)),
    (recognise.json, b'{"type":"odds","ts":7}', ("canonical", 7)),
    (recognise.json, b'{"type":"odds","ts":"7"}', ("canonical", 7)),
    (recognise.json, b'{"x":1}', (None, None)),
    (recognise.json, b"[1]", (None, None)),
    (recognise.xml, b'<alive product="1" timestamp="8"/>', ("uof", 8)),
    (recognise.xml, b'<alive provider="x" producer="1" ts="9"/>', ("canonical", 9)),
    (recognise.xml, b'<?xml version="1.0"?><!-- <odds> --><u:odds_change xmlns:u="x" timestamp="1"/>', ("uof", 1)),
    (recognise.xml, b'<odds event="x:1" ts="2"><market/></odds>', ("canonical", 2)),
    (recognise.xml, b"nothing", (None, None)),
]


@pytest.mark.parametrize(("recogniser", "data", "expected"), RECOGNISED)
def test_recognition(recogniser, data, expected):
    told = recogniser(data)
    assert (told.provider, told.ts) == expected


def test_capture_lines():
    (document,) = cut(b'{"t":"2026-06-23T18:00:00Z","provider":"uof","key":"hi.x","body":"<alive/>"}')
    assert (document.capture, document.provider, document.ts, document.key) == (True, "uof", 1782237600000, "hi.x")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1782237600000", 1782237600000),
        ("2026-06-23T18:00:00Z", 1782237600000),
        ("2026-06-23T21:00:00+03:00", 1782237600000),
    ],
)
def test_times(text, ms):
    assert recognise.parse_time(text) == ms


@pytest.mark.parametrize("text", ["2026-06-23T18:00:00", "soon", ""])
def test_times_that_are_none(text):
    with pytest.raises(ValueError, match=r".*"):
        recognise.parse_time(text)
