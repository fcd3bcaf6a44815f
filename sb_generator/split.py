"""Cuts a recorded file's bytes into documents: lines, one JSON value or array, XML documents one after the other. Pure.

The rule: every byte that is not white space between documents goes into a document, unchanged; what is broken stays
one document as it is, because it is ingest that refuses, and keeps, what can't be used.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias
from xml.parsers import expat

import msgspec
from msgspec import Raw, Struct

from sb_generator import recognise

Form: TypeAlias = Literal["line", "value", "xml", "alone_json", "alone_xml"]
"""How a document can travel: in lines, in a JSON array, joined with other XML, or in a request of its own."""

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
WHOLE_BYTES_MAX: Final = 256 * 1024 * 1024
"""What is held of a file that is not lines."""
JOINED_XML_BYTES_MAX: Final = 256 * 1024
_JOINED_XML_DEPTH_MAX: Final = 16
_STEP_BYTES: Final = 65_536
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_WHITE: Final = b" \t\r\n"
_DECLARATION: Final = b"<?xml"

_array: Final = msgspec.json.Decoder(list[Raw])


class SourceError(Exception):
    """A file can't be read to its end; what was read before still counts."""


class Document(Struct, frozen=True):
    """One document of a file, as it stands there. `ts` is its own time in ms (None: it says none), `marks` its faults."""

    data: bytes
    form: Form
    provider: str | None = None
    ts: int | None = None
    key: str | None = None
    capture: bool = False
    marks: tuple[str, ...] = ()


def documents(chunks: Iterable[bytes]) -> Iterator[Document]:
    """Yield a file's documents in order. Raises SourceError as `chunks` does, after what could be read."""
    source = _Source(chunks)
    head = source.first_line()
    if head[:2] in _UTF16 or recognise.is_xml(head):
        yield from _xml(source.rest(WHOLE_BYTES_MAX))
    elif not head or recognise.is_json(head):
        yield from _lines(source.lines())
    else:
        yield from _json(source)
    if source.error is not None:
        raise source.error


class _Source:
    """A file's bytes with a look ahead; an error while reading ends the bytes and is kept."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.error: SourceError | None = None
        self._chunks = iter(chunks)
        self._held = b""
        self._ended = False

    def _more(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self._ended = True
        except SourceError as error:
            self.error = error
            self._ended = True
        return b""

    def first_line(self) -> bytes:
        """Look at the first line that is not blank, or at what there is of it within LINE_BYTES_MAX."""
        parts = [self._held]
        size, begun = 0, False
        while not self._ended and size < LINE_BYTES_MAX:
            part = self._more()
            parts.append(part)
            size += len(part)
            ended = b"\n" in (part if begun else part.lstrip(_WHITE))
            begun = begun or bool(part.strip(_WHITE))
            if begun and ended:
                break
        self._held = b"".join(parts)
        return self._held.lstrip(_WHITE).partition(b"\n")[0].strip(_WHITE)

    def rest(self, bytes_max: int) -> bytes:
        """Take all there is; more than `bytes_max` is left and noted as an error."""
        parts = [self._held]
        size = len(self._held)
        while not self._ended and size <= bytes_max:
            parts.append(self._more())
            size += len(parts[-1])
        self._held = b""
        if size > bytes_max:
            self._ended = True
            self.error = SourceError(f"more than {bytes_max} bytes that are no lines")
        return b"".join(parts)

    def hold(self, data: bytes) -> None:
        """Put bytes back."""
        self._held = data

    def lines(self) -> Iterator[bytes]:
        """Yield all lines that are not blank, without their ends."""
        held = self._held
        self._held = b""
        while True:
            *whole, held = held.split(b"\n")
            for line in whole:
                if line.strip(_WHITE):
                    yield line.strip(_WHITE)
            if self._ended:
                break
            parts = [held]
            size = len(held)
            while not self._ended and b"\n" not in parts[-1]:
                parts.append(self._more())
                size += len(parts[-1])
                if size > LINE_BYTES_MAX:
                    self._ended = True
                    self.error = SourceError(f"a line of more than {LINE_BYTES_MAX} bytes")
            held = b"".join(parts)
        for line in held.split(b"\n"):
            if line.strip(_WHITE):
                yield line.strip(_WHITE)


def _lines(lines: Iterable[bytes]) -> Iterator[Document]:
    for line in lines:
        yield from _values(line) if line.startswith(b"[") else (_of_json(line),)


def _json(source: _Source) -> Iterator[Document]:
    """Read what begins with a line that is no JSON value: a value over several lines, or something broken."""
    whole = source.rest(WHOLE_BYTES_MAX)
    if recognise.is_json(whole):
        yield from _values(whole.strip(_WHITE))
        return
    source.hold(whole)
    lines = list(source.lines())
    if len(lines) == 1 or any(line.startswith(b"{") and recognise.is_json(line) for line in lines):
        yield from _lines(lines)
    else:
        yield _of_json(whole.strip(_WHITE))


def _values(text: bytes) -> Iterator[Document]:
    """Yield an array's elements, or the one value that a text is."""
    try:
        values = _array.decode(text.removeprefix(_BOM))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError):
        yield _of_json(text)
        return
    for value in values:
        yield _of_json(bytes(value).strip(_WHITE))


def _of_json(data: bytes) -> Document:
    told = recognise.json(data)
    form: Form = "line" if b"\n" not in data else "value" if told.valid else "alone_json"
    return Document(data, form, told.provider, told.ts, told.key, told.capture)


def _xml(text: bytes) -> Iterator[Document]:
    position = 0
    while position < len(text):
        end, joinable = _xml_end(text, position)
        data = text[position:end].strip(_WHITE)
        position = end
        if data:
            told = recognise.xml(data)
            yield Document(data, "xml" if joinable else "alone_xml", told.provider, told.ts)


def _xml_end(text: bytes, start: int) -> tuple[int, bool]:
    """Return where the document that starts at `start` ends, and whether ingest can cut it from others joined to it.

    A broken one reaches to the next declaration, or to the text's end, and travels alone, so that it takes nobody
    along; so does whatever ingest's limits might refuse before it has found the end.
    """
    parser = expat.ParserCreate()
    depth = deepest = 0

    def opened(_name: str, _attributes: object) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)

    def closed(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    position = start
    # white space first would make a declaration "not at the start"
    while text[position : position + 1] and text[position] in _WHITE:
        position += 1
    begun = position
    try:
        while position < len(text):
            parser.Parse(text[position : position + _STEP_BYTES], False)
            position += _STEP_BYTES
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        found = expat.errors.messages[error.code]
        if found in {expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT, expat.errors.XML_ERROR_MISPLACED_XML_PI}:
            end = begun + parser.ErrorByteIndex
            if deepest and not depth:
                return end, _is_joinable(text[begun:end], deepest)
        following = text.find(_DECLARATION, begun + 1)
        return (following if following >= 0 else len(text)), False
    return len(text), _is_joinable(text[begun:], deepest)


def _is_joinable(data: bytes, depth: int) -> bool:
    return len(data) <= JOINED_XML_BYTES_MAX and depth <= _JOINED_XML_DEPTH_MAX and b"<!DOCTYPE" not in data
