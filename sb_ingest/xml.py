"""Turns untrusted XML into an element tree, or refuses it.

The rule: no DOCTYPE, hence no entities of anybody's making; no network; and size, depth and counts are bounded.
"""

import re
from functools import lru_cache
from typing import Final

from lxml import etree

from sb_core.errors import FeedError
from sb_ingest.limits import DEFAULT, Limits

_DECLARED: Final = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ENCODINGS: Final = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"windows-1252"})
"""All of these write markup as ASCII does, so that a DOCTYPE can't hide in another alphabet."""
_BOM: Final = b"\xef\xbb\xbf"
_LEVEL_BYTES_MIN: Final = 7
"""`<a></a>`: what a level of nesting costs at least; a shorter document can't be too deep."""
_ELEMENT_BYTES_MIN: Final = 4
_ATTRIBUTE_BYTES_MIN: Final = 5

_COUNT_ELEMENTS: Final = etree.XPath("count(//*)")
_COUNT_ATTRIBUTES: Final = etree.XPath("count(//@*)")


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")


def parse(document: bytes, limits: Limits = DEFAULT) -> etree._Element:
    """Parse one document and return its root.

    Raises FeedError `doctype`, `too_deep`, `too_large` or `malformed`.
    """
    if len(document) > limits.body_bytes_max:
        raise FeedError("too_large", f"a document of more than {limits.body_bytes_max} bytes")
    document = document.removeprefix(_BOM)
    _check_encoding(document)
    _check_bytes(document, limits)
    if b"<!DOCTYPE" in document:
        raise FeedError("doctype", "documents with a DOCTYPE are refused")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(document.lstrip(), parser)
    except etree.XMLSyntaxError as error:
        raise _refusal(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise FeedError("malformed", f"no XML: {error}") from error
    _check_counts(root, len(document), limits)
    return root


def local(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    tag = str(element.tag)
    return tag.rpartition("}")[2]


def _check_encoding(document: bytes) -> None:
    if b"\0" in document:
        raise FeedError("malformed", "XML is expected in UTF-8")
    declared = _DECLARED.match(document)
    encoding = declared[1].lower() if declared else b"utf-8"
    if encoding not in _ENCODINGS:
        raise FeedError("malformed", f"XML in {encoding.decode()} is not supported, UTF-8 is")
    if encoding in {b"utf-8", b"utf8"}:
        try:
            document.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FeedError("malformed", f"invalid UTF-8 at byte {error.start}") from error


def _refusal(message: str) -> FeedError:
    lower = message.lower()
    if "depth" in lower:
        return FeedError("too_deep", message[:200])
    if "huge" in lower or "too long" in lower or "limit" in lower:
        return FeedError("too_large", message[:200])
    return FeedError("malformed", f"no XML: {message[:200]}")


def _check_bytes(document: bytes, limits: Limits) -> None:
    """Refuse what could only become too large a tree before there is one: each node costs a hundred bytes and more.

    An element has one `<` or two, an attribute one `=` and perhaps more in its value; the tree is counted exactly.
    """
    if document.count(b"<") > 2 * limits.elements_max:
        ends = (document.find(b"</"), document.find(b"/>"))
        opening = document[: min((at for at in ends if at >= 0), default=len(document))]
        if opening.count(b"<") - opening.count(b"<!") - opening.count(b"<?") > limits.depth_max:
            raise FeedError("too_deep", f"elements nested more than {limits.depth_max} deep")
        raise FeedError("too_large", f"more than {limits.elements_max} elements")
    if document.count(b"=") > 2 * limits.attributes_max:
        raise FeedError("too_large", f"more than {limits.attributes_max} attributes")


def _check_counts(root: etree._Element, length: int, limits: Limits) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise FeedError("doctype", "documents with a DOCTYPE are refused")
    if length > limits.depth_max * _LEVEL_BYTES_MIN and _deeper_than(limits.depth_max)(root):
        raise FeedError("too_deep", f"elements nested more than {limits.depth_max} deep")
    if length > limits.elements_max * _ELEMENT_BYTES_MIN and _count(_COUNT_ELEMENTS, root) > limits.elements_max:
        raise FeedError("too_large", f"more than {limits.elements_max} elements")
    if (
        length > limits.attributes_max * _ATTRIBUTE_BYTES_MIN
        and _count(_COUNT_ATTRIBUTES, root) > limits.attributes_max
    ):
        raise FeedError("too_large", f"more than {limits.attributes_max} attributes")


def _count(expression: etree.XPath, root: etree._Element) -> int:
    return int(float(str(expression(root))))
