"""Which documents go together into a request, and when it is due. Pure.

The rule: order is kept; a request never mixes providers, keys or forms, and never holds more than DOCUMENTS_MAX
documents or BYTES_MAX bytes (one larger document goes alone). With a speed, a request is due at its first document's
own time, and takes along what follows within TOGETHER_MS of that.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from sb_generator.split import Document, Form

DOCUMENTS_MAX: Final = 500
BYTES_MAX: Final = 1_000_000
TOGETHER_MS: Final = 50
"""Of replayed time after division by the speed: documents closer than this travel together."""

_TYPES: Final[dict[Form, str]] = {
    "line": "application/x-ndjson",
    "value": "application/json",
    "alone_json": "application/json",
    "xml": "application/xml",
    "alone_xml": "application/xml",
}
_ALONE: Final = frozenset({"alone_json", "alone_xml"})


class Batch(Struct, frozen=True):
    """Documents of one request. `due_ms` counts from the file's begin, at the wanted speed; None: as soon as can be."""

    provider: str
    key: str | None
    form: Form
    documents: tuple[bytes, ...]
    due_ms: float | None
    marks: tuple[tuple[str, ...], ...] = ()
    """The faults in each document."""

    @property
    def content_type(self) -> str:
        """The request's content type."""
        return _TYPES[self.form]

    @property
    def body(self) -> bytes:
        """The request's body."""
        if self.form == "value" and len(self.documents) > 1:
            return b"[" + b",".join(self.documents) + b"]"
        return b"\n".join(self.documents)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Cut in two, for a request that was too large."""
        middle = len(self.documents) // 2
        first, second = self.documents[:middle], self.documents[middle:]
        marks = self.marks[:middle], self.marks[middle:]
        return (
            Batch(self.provider, self.key, self.form, first, self.due_ms, marks[0]),
            Batch(self.provider, self.key, self.form, second, self.due_ms, marks[1]),
        )


class UnrecognisedError(Exception):
    """A document's provider can't be told from its content, and none was named."""


def timed(documents: Iterable[Document], speed: float | None) -> Iterator[tuple[Document, float | None]]:
    """Add to each document when it is due, in ms from the first at the wanted speed; None without a speed.

    A time that steps back, or is missing, is the time before it: order wins over time.
    """
    first: int | None = None
    due_ms = 0.0
    for document in documents:
        if speed is None:
            yield document, None
            continue
        if document.ts is not None:
            first = document.ts if first is None else first
            due_ms = max(due_ms, (document.ts - first) / speed)
        yield document, due_ms


def within(documents: Iterable[Document], start: int | None, end: int | None) -> Iterator[Document]:
    """Keep documents whose own time lies in [start, end) (ms); one without a time is judged by the one before it."""
    ts: int | None = None
    for document in documents:
        ts = document.ts if document.ts is not None else ts
        if (start is None or ts is None or ts >= start) and (end is None or ts is None or ts < end):
            yield document


def batches(
    documents: Iterable[tuple[Document, float | None]], provider: str | None, key: str | None
) -> Iterator[Batch]:
    """Join documents into requests. `provider` and `key` come before what the documents say.

    A document that doesn't say its provider has that of the one before it. Raises UnrecognisedError if the first
    doesn't say it.
    """
    held: list[bytes] = []
    marks: list[tuple[str, ...]] = []
    size = 0
    kind: tuple[str, str | None, Form] | None = None
    begun_ms: float | None = None
    known: str | None = None
    for document, due_ms in documents:
        known = _provider(document, provider, known)
        if known is None:
            raise UnrecognisedError("the first document doesn't show its provider: name it")
        now = (known, key, document.form)
        full = len(held) >= DOCUMENTS_MAX or size + len(document.data) > BYTES_MAX or document.form in _ALONE
        late = due_ms is not None and begun_ms is not None and due_ms > begun_ms + TOGETHER_MS
        if held and kind is not None and (now != kind or full or late):
            yield Batch(*kind, tuple(held), begun_ms, tuple(marks))
            held, marks, size = [], [], 0
        if not held:
            kind, begun_ms = now, due_ms
        held.append(document.data)
        marks.append(document.marks)
        size += len(document.data) + 1
    if held and kind is not None:
        yield Batch(*kind, tuple(held), begun_ms, tuple(marks))


def _provider(document: Document, named: str | None, before: str | None) -> str | None:
    if document.capture:
        return document.provider or named or before
    return named or document.provider or before
