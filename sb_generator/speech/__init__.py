"""The languages of providers: the same world as canonical JSON or XML, as UOF XML, as Betfair's stream.

The rule: a speaker says what the world said and nothing else; what its language has no word for it leaves out. It is pure:
the same messages give the same bytes.
"""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from sb_core.messages import AnyMessage


class Spoken(Struct, frozen=True, gc=False):
    """A document: its bytes, when it is planned to go (ms since 1970), its UOF routing key, and the faults in it."""

    data: bytes
    ms: int
    key: str | None = None
    marks: tuple[str, ...] = ()


class Speaker(Protocol):
    """A language. `provider` is the feed that it is posted to, `session` whether it sends deltas on a session's state."""

    @property
    def provider(self) -> str:
        """The provider in `POST /v1/feeds/{provider}`."""

    @property
    def content_type(self) -> str:
        """Of a request's body."""

    @property
    def session(self) -> bool:
        """Whether documents are deltas."""

    @property
    def apart(self) -> bool:
        """Whether a broken document takes others of its request along, and so has to travel alone."""

    def begin(self, ms: int) -> list[Spoken]:
        """Say what comes before anything else: reference documents, a connection."""
        ...

    def say(self, messages: Iterable[AnyMessage]) -> list[Spoken]:
        """Say messages of the world."""
        ...

    def pause(self, ms: int) -> list[Spoken]:
        """Say what is due at a time though nothing happened: heartbeats, what was conflated."""
        ...

    def again(self, ms: int) -> list[Spoken]:
        """Say everything that stands, after an interruption; a world's recovery says it where this says nothing."""
        ...

    def body(self, documents: Iterable[Spoken]) -> bytes:
        """Join documents into a request's body."""
        ...
