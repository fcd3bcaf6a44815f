"""A recording played again and again, and many times at once: copies of its documents with ids and times of their own. Pure.

The rule: the first copy of the first round has the original ids; every other has ids that no other has. Times pass as the
recording is played: at a speed they begin now and pass at that speed, as fast as can be they end now. So one hour of
recording feeds a day, at any scale, and no time lies ahead of its arrival.
"""

from collections.abc import Iterable, Iterator

from msgspec import structs

from sb_generator import captured, rewrite
from sb_generator.split import Document


class Times:
    """Where a round's times lie. `speed` None: as fast as can be; then `last` is the recording's end, None: they stay."""

    def __init__(self, now_ms: int, speed: float | None, last: int | None) -> None:
        self.first: int | None = None
        self.last = 0
        self._now_ms = now_ms
        self._speed = speed
        self._shift_ms = 0 if last is None else now_ms - last

    def __repr__(self) -> str:
        return f"<Times {self.first} to {self.last}>"

    def at(self, ms: int) -> int:
        """Return where a time lies now."""
        if self._speed is None:
            return ms + self._shift_ms
        return ms if self.first is None else self._now_ms + int((ms - self.first) / self._speed)

    def note(self, ms: int | None) -> None:
        """Note a document's own time."""
        if ms is not None:
            self.first = ms if self.first is None else self.first
            self.last = max(self.last, ms)


def copies(documents: Iterable[Document], times: Times, numbers: range, provider: str | None) -> Iterator[Document]:
    """Yield each document's copies, one after the other, so that all copies keep pace; their `ts` stays, for the pace."""
    for document in documents:
        times.note(document.ts)
        for number in numbers:
            yield copy(document, times, number, provider)


def copy(document: Document, times: Times, number: int, provider: str | None) -> Document:
    """Return a document with moved times and a copy's ids."""
    whose = document.provider if document.capture else provider or document.provider
    original = captured.body_of(document.data) if document.capture else document.data
    data = rewrite.renamed(rewrite.moved(original, whose, times.at), whose, number)
    key = rewrite.renamed_key(document.key, number)
    if document.capture:
        data = captured.with_body(document.data, data, key, times.at)
    return structs.replace(document, data=data, key=key)
