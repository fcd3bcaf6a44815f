"""What a bomb costs before it is refused: memory of a process of its own, for each shape that once cost a hundred times its size."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from sb_core.config import PipelineConfig
from sb_ingest.assembly import Assembly, Terms
from sb_ingest.documents import read
from sb_ingest.knowledge import Known
from sb_ingest.limits import DEFAULT
from sb_ingest.providers.canonical import Canonical
from sb_ingest.rulebook import compile_books

ROOT = Path(__file__).resolve().parents[2]
BODY_BYTES = 8_000_000
GROWTH_BYTES_MAX = 200_000_000

SHAPES = {
    "attributes": ("application/xml", 'b"<r " + b" ".join(b\'a%d="1"\' % n for n in range(650_000)) + b"/>"'),
    "elements": ("application/xml", 'b"<r>" + b"<a/>" * 1_900_000 + b"</r>"'),
    "documents": ("application/xml", 'b"<a/>" * 1_900_000'),
    "open_elements": ("application/xml", 'b"<a>" * 2_600_000'),
    "one_tag": ("application/xml", 'b"<a " + b"x" * 7_900_000'),
    "one_string": ("application/json", 'b\'{"a":"\' + b"x" * 7_900_000 + b\'\\\\"","b":[\' + b"[]," * 40 + b"[]]}"'),
    "brackets": ("application/json", 'b"[" * 7_900_000'),
    "empty_lines": ("application/x-ndjson", 'b"\\n" * 7_900_000'),
}

PROGRAM = """
import json, resource, sys
from sb_core.errors import FeedError
from sb_ingest.documents import BodyError, read
from sb_ingest.limits import DEFAULT
from sb_ingest.xml import parse

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

body = {body}
before = peak()
try:
    for document in read(body, {content_type!r}, "", "canonical", DEFAULT).documents:
        if document.kind == "xml":
            parse(document.data, DEFAULT)
    code = None
except (BodyError, FeedError) as error:
    code = error.code
print(json.dumps([len(body), code, peak() - before]))
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bomb_costs_little_more_than_itself(shape) -> None:
    content_type, body = SHAPES[shape]
    program = PROGRAM.format(body=body, content_type=content_type)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    size, code, growth = json.loads(done.stdout)
    assert BODY_BYTES * 0.9 < size <= 8 * 1024 * 1024
    assert growth < GROWTH_BYTES_MAX, f"{growth / 1e6:.0f} MB for a body of {size / 1e6:.1f} MB ({code})"


LINES = b"""x
{"type":"odds"}
{"type":"odds","ts":1,"event":"acme:1","sport":"football","markets":[{"market":"1x2","outcomes":[{"id":"a"}]}]}
{"type":"odds","ts":1,"event":"acme:1","sport":"football","markets":[{"market":"1x2","outcomes":[{"id":1}]}]}
{"type":"bet_stop","ts":1,"event":"acme:2","sport":"chess"}
"""


def test_what_a_refused_request_held_is_free_at_once() -> None:
    """Nothing of it waits for the garbage collector, which comes late in a process with much that is old."""
    terms = Terms(
        provider="canonical",
        received=2,
        trace="0",
        sport_hint=None,
        routing_key=None,
        ts_ahead_ms_max=1_000,
        dead_letter_bytes_max=1_000,
        limits=DEFAULT,
    )
    books = compile_books(PipelineConfig(), lambda _: None)
    gc.collect()
    gc.disable()
    try:
        assembly = Assembly(terms, Known(), books)
        body = read(LINES, "application/x-ndjson", "", "canonical", DEFAULT)
        for index, document in enumerate(body.documents):
            assembly.add(index, document, Canonical(), None, "0")
        assert [each.code for each in assembly.refused] == [
            "malformed",
            "schema",
            "bad_id",
            "schema",
            "unsupported_sport",
        ]
        held = weakref.ref(assembly)
        del assembly, body, document
        assert held() is None
        assert gc.collect() == 0
    finally:
        gc.enable()
