"""Bodies are cut into documents without losing a byte, and without believing any size."""

import base64
import gzip
import json
import time
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_ingest.documents import Body, BodyError, _depth, read, sniff
from sb_ingest.limits import Limits

# packed without the time, so that tests have the same ids in every process
packed = partial(gzip.compress, mtime=0)

LIMITS = Limits()
JSON = "application/json"
XML = "application/xml"
LINES = "application/x-ndjson"


def cut(body: bytes, content_type: str = JSON, encoding: str = "", limits: Limits = LIMITS) -> Body:
    return read(body, content_type, encoding, "uof", limits)


def datas(body: Body) -> list[bytes]:
    return [document.data for document in body.documents]


def test_one_json_value_keeps_its_bytes() -> None:
    body = cut(b'\xef\xbb\xbf {"a" : 1.10 } \n', "Application/JSON; charset=UTF-8")
    assert datas(body) == [b'{"a" : 1.10 }']
    assert body.alone


def test_each_element_of_an_array_keeps_its_bytes() -> None:
    body = cut(b'[ {"a" : 1e2} , [1, 2],"x" ]')
    assert datas(body) == [b'{"a" : 1e2}', b"[1, 2]", b'"x"']
    assert not body.alone
    assert datas(cut(b"[]")) == []


def test_lines_may_be_blank_and_end_as_they_like() -> None:
    assert datas(cut(b'\r\n{"a":1}\r\n\r\n{"b":2}', LINES)) == [b'{"a":1}', b'{"b":2}']


def test_joined_xml_with_and_without_declarations() -> None:
    first = b'<?xml version="1.0"?>\n<a x="<>"><!-- </a> --><![CDATA[</a>]]><b/></a>'.replace(b'"<>"', b'"&lt;>"')
    # a comment between two documents goes with the first
    second = b"<c/><!-- after -->"
    third = b"<?xml version='1.0'?><a>again</a>"
    assert datas(cut(first + second + b"\n" + third + b"\n", XML)) == [first, second, third]


def test_a_broken_xml_document_ends_at_the_next_declaration() -> None:
    assert datas(cut(b"<?xml ?><a b=<?xml ?><c/>", XML)) == [b"<?xml ?><a b=", b"<?xml ?><c/>"]
    # cut off within the very end tag that the next document has too
    assert datas(cut(b"<?xml ?><a><b/></a<?xml ?><a><b/></a>", XML)) == [b"<?xml ?><a><b/></a", b"<?xml ?><a><b/></a>"]
    assert datas(cut(b"<?xml ?><a><b/><?xml ?><a/>", XML)) == [b"<?xml ?><a><b/>", b"<?xml ?><a/>"]
    assert datas(cut(b"<?xml ?><a><?xml-stylesheet ?></a>", XML)) == [b"<?xml ?><a><?xml-stylesheet ?></a>"]


def test_capture_lines_give_what_was_captured_with_its_key() -> None:
    xml, raw = "<alive/><odds_change></odds_change>", b'{"a":1}\n{"b":"\xff"}\n'
    lines = [
        {"t": 1, "provider": "uof", "key": "k.1", "body": xml},
        {"t": 2, "provider": "uof", "key": None, "body": {"b64": base64.b64encode(raw).decode()}},
        {"t": 3, "provider": "other", "body": "x"},
        {"t": 3, "provider": "uof", "body": {"b64": "~"}},
        {"t": "not", "body": "a capture line"},
    ]
    body = cut("\n".join(json.dumps(line) for line in lines).encode(), LINES)
    told = [(each.data, each.kind, each.key, each.error and each.error.code) for each in body.documents]
    assert told[:4] == [
        (b"<alive/>", "xml", "k.1", None),
        (b"<odds_change></odds_change>", "xml", "k.1", None),
        (b'{"a":1}', "json", None, None),
        (b'{"b":"\xff"}', "json", None, "malformed"),
    ]
    assert [each[3] for each in told[4:]] == ["schema", "malformed", None]
    # capture shows the bodies as they once came, not the lines around them
    assert [each.body for each in body.captured][1:] == [xml.encode(), raw]


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"", "", 400, "malformed"),
        (b"nonsense", "gzip", 400, "malformed"),
        (packed(b"[]") + b"tail", "gzip", 400, "malformed"),
        (packed(b"[]" * 1000)[:-1], "gzip", 400, "malformed"),
        (b"[]", "deflate", 415, "unsupported_media_type"),
        (packed(b"[" + b" " * 2_000_000), "gzip", 413, "too_large"),
    ],
)
def test_bodies_refused_whole(body, encoding, status, code) -> None:
    with pytest.raises(BodyError) as refused:
        cut(body, encoding=encoding)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_sniffing_too_many_documents_refuses_them_together() -> None:
    for body in (b"<a/>" * 20_001, b"[" + b"1," * 20_001 + b"1]"):
        (document,) = sniff(body, None, LIMITS)
        assert document.error is not None
        assert document.error.code == "too_large"


def test_a_gzip_bomb_is_not_inflated_beyond_its_limit() -> None:
    limits = Limits(body_bytes_max=1_000_000, gzip_ratio_max=100_000)
    bomb = packed(b" " * 200_000_000)
    started = time.perf_counter()
    with pytest.raises(BodyError):
        cut(bomb, encoding="gzip", limits=limits)
    # all of it would take about half a second
    assert time.perf_counter() - started < 0.25
    assert datas(cut(packed(b"[1]"), encoding="gzip")) == [b"1"]


@pytest.mark.parametrize(
    "body",
    [
        b"<a " * 2_000_000,
        b"<!--" * 2_000_000,
        b"<a>" * 2_700_000,
        b"<" * 8_000_000,
        b'<a b="' * 1_300_000,
        b"</a>" * 2_000_000,
        b"<?xml ?><!--" * 650_000,
        b'<?xml?><a b="' * 600_000,
        b"<r>" + b"<a></a>" * 1_100_000 + b"</r ><!-- -->",
    ],
    ids=range(9),
)
def test_no_xml_takes_long_to_cut(body) -> None:
    started = time.process_time()
    try:
        cut(body, XML)
    except BodyError as refused:
        assert refused.status == 413  # noqa: PT017  either answer will do, as long as it comes soon
    assert time.process_time() - started < 2.0


NESTED = st.recursive(
    st.one_of(st.integers(), st.text(alphabet='ab"\\[]{}é', max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k]"{', max_size=2), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(NESTED)
def test_depth_is_what_it_is(value) -> None:
    depth = depth_of(value)
    assert _depth(msgspec.json.encode(value), 100) == depth
    if depth:
        assert _depth(msgspec.json.encode(value), depth - 1) > depth - 1


@given(st.lists(NESTED, max_size=6))
def test_every_way_of_joining_gives_the_same_documents(values) -> None:
    written = [msgspec.json.encode(value) for value in values]
    assert datas(cut(b"[" + b",".join(written) + b"]")) == written
    if written:
        assert datas(cut(b"\n".join(written), LINES)) == written


@given(st.binary(max_size=200))
def test_no_bytes_break_the_cutting(raw) -> None:
    for content_type in (JSON, LINES, XML):
        for encoding in ("", "gzip"):
            try:
                found = cut(raw, content_type, encoding)
            except BodyError as refused:
                assert refused.status in {400, 413}  # noqa: PT017
            else:
                assert all(document.data for document in found.documents)
    assert all(document.key == "k" for document in sniff(raw, "k", LIMITS))
