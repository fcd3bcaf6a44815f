"""XML that nobody vouches for: bounded, without DOCTYPE, never waited for."""

import pytest

from sb_core.errors import FeedError
from sb_ingest.limits import Limits
from sb_ingest.xml import local, parse

LAUGHS = b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'">]>' + b"<a>" + b"&b;" * 100_000 + b"</a>"
EXTERNAL = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>'
FEW = Limits(elements_max=10, attributes_max=10, depth_max=5, body_bytes_max=10_000)

REFUSED = [
    (b"", "malformed"),
    (b"   ", "malformed"),
    (b"<", "malformed"),
    (b"<a>", "malformed"),
    (b"<a></b>", "malformed"),
    (b"<a/><b/>", "malformed"),
    (b"<a/>tail", "malformed"),
    (b"<a b='1' b='2'/>", "malformed"),
    (b"<a>&b;</a>", "malformed"),
    (b"<a>&#0;</a>", "malformed"),
    (b"<a>\x07</a>", "malformed"),
    (b"<a>\xc3</a>", "malformed"),
    ("<a/>".encode("utf-16"), "malformed"),
    ("<a/>".encode("utf-32"), "malformed"),
    (b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><a/>', "malformed"),
    (b"<!DOCTYPE a><a/>", "doctype"),
    (b"<!-- x --><!DOCTYPE a><a/>", "doctype"),
    (LAUGHS, "doctype"),
    (EXTERNAL, "doctype"),
    (b"<a>" * 6 + b"</a>" * 6, "too_deep"),
    (b"<a>" * 1000 + b"</a>" * 1000, "too_deep"),
    (b"<a>" + b"<b/>" * 10 + b"</a>", "too_large"),
    (b"<a " + b" ".join(b'x%d="1"' % n for n in range(11)) + b"/>", "too_large"),
    (b"<a>" + b"x" * 10_000 + b"</a>", "too_large"),
]


@pytest.mark.parametrize(("document", "code"), REFUSED)
def test_what_is_refused(document, code) -> None:
    with pytest.raises(FeedError) as refused:
        parse(document, Limits(**{**_fields(FEW), "body_bytes_max": 10_000 if len(document) < 20_000 else 10**7}))
    assert refused.value.code == code


def _fields(limits: Limits) -> dict[str, int]:
    return {name: getattr(limits, name) for name in limits.__struct_fields__}


@pytest.mark.parametrize(
    "document",
    [
        b"<a/>",
        b"\xef\xbb\xbf<a/>",
        b"\n <?xml version='1.0' encoding='UTF-8'?><a/>",
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a b='\xe4'/>",
        b"<?pi x?><!-- c --><n:a xmlns:n='urn:n'><!-- c --></n:a>",
        b"<a>" * 5 + b"</a>" * 5,
        b"<a>" + b"<b/>" * 9 + b"</a>",
    ],
)
def test_what_is_read(document) -> None:
    assert local(parse(document, FEW)) == "a"
