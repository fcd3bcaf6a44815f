"""Cuts a request's body into documents: decompression, content types, arrays, lines, capture lines, joined XML. Pure.

The rule: what is wrong with one document is that document's; only what leaves no document at all is the body's
(BodyError: 400, 413 or 415). Nothing is decompressed, split or scanned beyond its limit, and every scan is linear.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from sb_core.errors import FeedError
from sb_ingest.limits import Limits

Kind: TypeAlias = Literal["json", "xml"]

_BOM: Final = b"\xef\xbb\xbf"
_WHITE: Final = b" \t\r\n"
_CHUNK_BYTES: Final = 65_536
_TYPES: Final = {
    "application/json": "json",
    "text/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/x-ndjson": "lines",
    "application/ndjson": "lines",
    "application/jsonl": "lines",
}
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})

_array: Final = msgspec.json.Decoder(list[Raw])
_value: Final = msgspec.json.Decoder(Raw)


class BodyError(Exception):
    """The whole body is refused; `status` is 400, 413 or 415."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Document(Struct, frozen=True):
    """One document's own bytes. `key` is a capture line's routing key; `error` says why it can't be decoded."""

    data: bytes
    kind: Kind
    key: str | None = None
    error: FeedError | None = None


class Captured(Struct, frozen=True):
    """A body as a provider once sent it: what a capture line holds, or this request's body itself."""

    body: bytes
    key: str | None = None


class Body(Struct, frozen=True):
    """What a body holds. `alone`: it is one document by its content type, so that failing to decode it is a 400."""

    documents: tuple[Document, ...]
    captured: tuple[Captured, ...]
    alone: bool = False


class _CaptureLine(Struct):
    t: int | str
    provider: str
    body: str | dict[str, str]
    key: str | None = None


_capture_line: Final = msgspec.json.Decoder(_CaptureLine)


def read(body: bytes, content_type: str, content_encoding: str, provider: str, limits: Limits) -> Body:
    """Cut a body into documents. Raises BodyError."""
    form = _form(content_type)
    body = _decompressed(body, content_encoding, limits)
    if len(body) > limits.body_bytes_max:
        raise BodyError(413, "too_large", f"the body is larger than {limits.body_bytes_max} bytes")
    text = body.removeprefix(_BOM)
    if not text.strip(_WHITE):
        raise BodyError(400, "malformed", "the body is empty")
    if form == "lines":
        return _lines(text, provider, limits)
    documents = tuple(_json(text, None, limits) if form == "json" else _xml(text, None, limits))
    alone = len(documents) == 1 and not (form == "json" and text.lstrip(_WHITE).startswith(b"["))
    return Body(documents, (Captured(body),), alone)


def _form(content_type: str) -> str:
    kind, _, parameters = content_type.partition(";")
    form = _TYPES.get(kind.strip().lower())
    if form is None:
        raise BodyError(
            415,
            "unsupported_media_type",
            "send application/json, application/xml or application/x-ndjson",
        )
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]*)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in _CHARSETS:
        raise BodyError(415, "unsupported_media_type", "send UTF-8")
    return form


def _decompressed(body: bytes, content_encoding: str, limits: Limits) -> bytes:
    encoding = content_encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise BodyError(415, "unsupported_media_type", "the only Content-Encoding taken is gzip")
    allowed = min(limits.body_bytes_max, max(limits.gzip_free_bytes_max, len(body) * limits.gzip_ratio_max))
    chunks: list[bytes] = []
    total = 0
    for chunk in _inflated(body):
        total += len(chunk)
        if total > allowed:
            raise BodyError(413, "too_large", f"the body becomes larger than {allowed} bytes when decompressed")
        chunks.append(chunk)
    return b"".join(chunks)


def _inflated(body: bytes) -> Iterator[bytes]:
    """Decompress in small chunks, one gzip member after the other, so that the caller can stop at any size."""
    rest = body
    while rest:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            try:
                chunk = stream.decompress(rest, _CHUNK_BYTES)
            except zlib.error as error:
                raise BodyError(400, "malformed", f"no gzip: {error}") from error
            rest = stream.unconsumed_tail
            if not chunk and not rest and not stream.eof:
                raise BodyError(400, "malformed", "the gzip stream is truncated")
            yield chunk
        rest = stream.unused_data.lstrip(b"\0")


# JSON


def _json(text: bytes, key: str | None, limits: Limits) -> Iterator[Document]:
    """Yield the one value, or the elements of the one array. Raises BodyError if it is neither."""
    many = text.lstrip(_WHITE).startswith(b"[")
    try:
        values = _array.decode(text) if many else [_value.decode(text)]
    except RecursionError as error:
        raise BodyError(400, "too_deep", f"nested more than {limits.depth_max} deep") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError) as error:
        raise BodyError(400, "malformed", _said(error)) from error
    if len(values) > limits.items_max:
        raise BodyError(413, "too_large", f"more than {limits.items_max} documents in a body")
    for value in values:
        data = bytes(value).strip(_WHITE)
        yield Document(data, "json", key, _fault(data, limits))


def _said(error: Exception) -> str:
    return f"no JSON: {error}"[:300]


def _fault(data: bytes, limits: Limits) -> FeedError | None:
    """Say what keeps a JSON text of right syntax from being decoded: bytes that are no UTF-8, or its depth."""
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            return FeedError("malformed", f"invalid UTF-8 at byte {error.start}")
    if data.count(b"{") + data.count(b"[") > limits.depth_max and _depth(data, limits.depth_max) > limits.depth_max:
        return FeedError("too_deep", f"nested more than {limits.depth_max} deep")
    return None


_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b'{}[]"'))
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[{])|([\]}])', re.DOTALL)
"""Possessive, as all repeats over untrusted bytes: a repeated choice keeps 150 bytes for each byte it might go back to."""


def _depth(data: bytes, depth_max: int) -> int:
    """Return the depth of nesting, or anything above `depth_max` if it is deeper.

    Quick: with all but brackets and quotes taken out, each pass removes the innermost pairs. That is only right where
    no string holds a bracket or a quote; where one does, the quotes don't cancel out and the slow way decides.
    """
    if b'\\"' not in data:
        brackets = data.translate(_ALIKE, _NOT_BRACKETS).replace(b'""', b"")
        if b'"' not in brackets:
            for depth in range(depth_max + 1):
                if not brackets:
                    return depth
                brackets = brackets.replace(b"[]", b"")
            return depth_max + 1
    depth = deepest = 0
    for token in _TOKEN.finditer(data):
        if token[1]:
            depth += 1
            deepest = max(deepest, depth)
            if deepest > depth_max:
                break
        elif token[2]:
            depth -= 1
    return deepest


# lines


def _lines(text: bytes, provider: str, limits: Limits) -> Body:
    documents: list[Document] = []
    captured: list[Captured] = []
    plain: list[bytes] = []
    for number, raw in enumerate(text.split(b"\n")):
        line = raw.strip(_WHITE)
        if not line:
            continue
        if number >= limits.items_max:
            raise BodyError(413, "too_large", f"more than {limits.items_max} lines in a body")
        unpacked = _captured(line, provider, limits) if b'"body"' in line else None
        if unpacked is None:
            plain.append(raw)
            documents.append(_line(line, limits))
            continue
        documents.extend(unpacked[0])
        captured.extend(unpacked[1])
        if len(documents) > limits.items_max:
            raise BodyError(413, "too_large", f"more than {limits.items_max} documents in a body")
    if plain:
        # what holds no capture line is kept as it came
        captured.insert(0, Captured(b"\n".join(plain) if captured else text))
    return Body(tuple(documents), tuple(captured))


def _line(line: bytes, limits: Limits, key: str | None = None) -> Document:
    try:
        _value.decode(line)
    except RecursionError:
        error: FeedError | None = FeedError("too_deep", f"nested more than {limits.depth_max} deep")
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError) as problem:
        error = FeedError("malformed", _said(problem))
    else:
        error = _fault(line, limits)
    return Document(line, "json", key, error)


def _captured(line: bytes, provider: str, limits: Limits) -> tuple[list[Document], list[Captured]] | None:
    """Unpack a capture line; None if it isn't one."""
    try:
        told = _capture_line.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError):
        return None
    if told.provider != provider:
        said = f"a capture line of provider {told.provider[:40]!r} was sent to {provider!r}"
        return [Document(line, "json", told.key, FeedError("schema", said))], []
    if isinstance(told.body, str):
        body = told.body.encode("utf-8", "surrogatepass")
    else:
        try:
            body = base64.b64decode(told.body.get("b64", ""), validate=True)
        except (binascii.Error, ValueError):
            return [Document(line, "json", told.key, FeedError("malformed", "the capture line's b64 is none"))], []
    return sniff(body, told.key, limits), [Captured(body, told.key)]


def sniff(body: bytes, key: str | None, limits: Limits) -> list[Document]:
    """Cut a body whose content type nobody knows any more (of a capture line or a dead letter) into documents."""
    text = body.removeprefix(_BOM)
    if not text.strip(_WHITE):
        return [Document(body, "json", key, FeedError("malformed", "the body is empty"))]
    try:
        if text.lstrip(_WHITE).startswith(b"<"):
            return list(_xml(text, key, limits))
        return list(_json(text, key, limits))
    except BodyError as error:
        if error.code != "malformed" or b"\n" not in text.strip(_WHITE):
            return [Document(body, "json", key, FeedError(error.code, error.message))]
    lines = (line.strip(_WHITE) for line in text.split(b"\n"))
    return [_line(line, limits, key) for line in lines if line]


# XML

_START: Final = re.compile(rb"""<([^\s/>!?"'=<]++)((?:[^"'<>]++|"[^"<]*+"|'[^'<]*+')*+)>""")
_COMMENT: Final = re.compile(rb"\s*<!--")
_DECLARATION: Final = b"<?xml"
_ROOT_WITHIN_BYTES: Final = 4_096
"""Where the quick look for a root element ends."""


def _xml(text: bytes, key: str | None, limits: Limits) -> Iterator[Document]:
    """Yield the documents that are joined in a text, with or without declarations; whether they parse is seen later."""
    text = text.strip(_WHITE)
    position = 0
    count = 0
    while position < len(text):
        end = len(text) if position == 0 and _is_single(text) else _xml_end(text, position, limits)
        data = text[position:end].strip(_WHITE)
        position = end
        if not data:
            continue
        count += 1
        if count > limits.items_max:
            raise BodyError(413, "too_large", f"more than {limits.items_max} documents in a body")
        fault = None if data.startswith(b"<") else FeedError("malformed", "no XML: it doesn't begin with <")
        yield Document(data, "xml", key, fault)


def _is_single(text: bytes) -> bool:
    """Say quickly whether a text is one document, as it is if its root's end tag is there once, at the end."""
    root = _START.search(text, 0, _ROOT_WITHIN_BYTES)
    if root is None or root[2].endswith(b"/"):
        return False
    closing = b"</" + root[1] + b">"
    # a declaration further on begins another document, whose end tag may be the only one if this one is cut off
    alone = text.find(_DECLARATION, 1) < 0
    return alone and text.endswith(closing) and text.find(closing) == text.rfind(closing)


def _xml_end(text: bytes, start: int, limits: Limits) -> int:
    """Return where the document that starts at `start` ends.

    For a broken one that is the next declaration, or the text's end; and what is too deep or has too many elements
    reaches to the text's end too, so that the parser says so.
    """
    position, depth, tags = start, 0, 0
    while True:
        position = text.find(b"<", position)
        if position < 0 or depth > limits.depth_max or tags > 2 * limits.elements_max:
            return len(text)
        if tags and text.startswith(_DECLARATION, position) and text[position + 5 : position + 6].isspace():
            # the document before was cut off: no other place than its begin may have a declaration
            return position
        end, step = _markup(text, position)
        if end < 0:
            return len(text)
        if end == position:
            following = text.find(_DECLARATION, position + 1)
            return following if following >= 0 else len(text)
        position = end
        if step is None:
            continue
        tags += 1
        depth += step
        if depth <= 0:
            return _with_trailer(text, position)


def _markup(text: bytes, position: int) -> tuple[int, int | None]:
    """Return the end of the markup at `position` and its step in depth: 1, -1, 0 (empty element), None (no element).

    The end is `position` for what is broken or not allowed, -1 for what never ends.
    """
    for opening, closing in ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")):
        if text.startswith(opening, position):
            end = text.find(closing, position + len(opening))
            return (-1 if end < 0 else end + len(closing)), None
    if text.startswith(b"</", position):
        end = text.find(b">", position) + 1
        return (position, None) if text.find(b"<", position + 1, end) >= 0 else (end or -1, -1)
    match = _START.match(text, position)
    if match is None:
        return position, None
    return match.end(), 0 if match[2].endswith(b"/") else 1


def _with_trailer(text: bytes, position: int) -> int:
    """Take comments after the root element along, so that they don't count as a document."""
    while True:
        match = _COMMENT.match(text, position)
        end = text.find(b"-->", match.end()) if match else -1
        if end < 0:
            return position
        position = end + 3
