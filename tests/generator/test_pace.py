"""Joining documents into requests, and when these are due."""

import json

import pytest

from sb_generator import pace
from sb_generator.pace import UnrecognisedError, batches, timed, within
from sb_generator.split import Document


def line(ts=None, data=b"{}", provider="betfair", form="line", **more):
    return Document(data, form, provider, ts, **more)


def joined(documents, speed=None, provider=None, key=None):
    return list(batches(timed(documents, speed), provider, key))


def test_a_request_is_bounded_in_documents_and_bytes():
    assert [len(each.documents) for each in joined([line()] * 1203)] == [500, 500, 203]
    big = b"x" * 400_000
    found = joined([line(data=big)] * 5 + [line(data=b"y" * 3_000_000), line()])
    assert [len(each.documents) for each in found] == [2, 2, 1, 1, 1]
    assert all(len(each.body) <= pace.BYTES_MAX or len(each.documents) == 1 for each in found)


def test_forms_providers_and_what_is_broken_are_kept_apart():
    documents = [
        line(),
        line(provider=None),
        line(provider="uof", form="xml", data=b"<a/>"),
        line(provider="uof", form="xml", data=b"<b/>"),
        line(provider="uof", form="alone_xml", data=b"<c"),
        line(provider="uof", form="xml", data=b"<d/>"),
        line(form="value", data=b'{\n"op":1}'),
        line(form="value", data=b'{\n"op":2}'),
        line(form="alone_json", data=b'{\n"op"'),
        line(form="alone_json", data=b'{\n"op"'),
    ]
    found = joined(documents)
    assert [(each.provider, each.content_type, each.body) for each in found] == [
        ("betfair", "application/x-ndjson", b"{}\n{}"),
        ("uof", "application/xml", b"<a/>\n<b/>"),
        ("uof", "application/xml", b"<c"),
        ("uof", "application/xml", b"<d/>"),
        ("betfair", "application/json", b'[{\n"op":1},{\n"op":2}]'),
        ("betfair", "application/json", b'{\n"op"'),
        ("betfair", "application/json", b'{\n"op"'),
    ]
    assert json.loads(found[4].body) == [{"op": 1}, {"op": 2}]


def test_a_named_provider_wins_over_content_but_not_over_capture_lines():
    documents = [line(), line(provider="uof", capture=True)]
    assert [each.provider for each in joined(documents, provider="canonical")] == ["canonical", "uof"]


def test_an_unknown_provider_is_said():
    with pytest.raises(UnrecognisedError):
        joined([line(provider=None)])
    assert [each.provider for each in joined([line(provider=None)], provider="uof")] == ["uof"]


def test_documents_are_due_at_their_own_times():
    documents = [line(1_000), line(1_050), line(1_020), line(2_000), line(None), line(5_000)]
    assert [(len(each.documents), each.due_ms) for each in joined(documents, speed=1.0)] == [
        (3, 0.0),
        (2, 1000.0),
        (1, 4000.0),
    ]
    assert [(len(each.documents), each.due_ms) for each in joined(documents, speed=100.0)] == [(6, 0.0)]
    assert [(len(each.documents), each.due_ms) for each in joined(documents)] == [(6, None)]


def test_time_windows():
    documents = [line(None), line(1), line(5), line(None), line(9)]
    assert [each.ts for each in within(documents, 5, 9)] == [None, 5, None]
    assert list(within(documents, None, None)) == documents


def test_a_request_too_large_is_halved():
    (batch,) = joined([line(data=b"%d" % number) for number in range(5)])
    first, second = batch.halves()
    assert first.documents + second.documents == batch.documents
    assert len(first.documents) == 2
