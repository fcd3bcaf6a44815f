"""What goes over the WebSocket: the server's frames, the client's operations, and the two ways of writing them.

The rules: every key is always there; JSON and msgpack say the same; what a client sends is decoded by type or refused.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from sb_core.shown import Changes

SUB_CHARS_MAX: Final = 64
FILTER_IDS_MAX: Final = 1_000
ID_CHARS_MAX: Final = 256
CONFLATE_MS_MAX: Final = 60_000
CURSOR_CHARS_MAX: Final = 4_096
INBOUND_BYTES_MAX: Final = 65_536
"""A client's message beyond this closes the connection with 1009."""

ErrorCode: TypeAlias = Literal[
    "bad_json", "bad_op", "unknown_sub", "unknown_sport", "too_many", "bad_cursor", "bad_filter"
]
Source: TypeAlias = Literal["ring", "log", "snapshot"]
GoneReason: TypeAlias = Literal["competition", "unavailable"]


class Hello(Struct, tag_field="op", tag="hello", frozen=True):
    """First of all."""

    session: str
    heartbeat_ms: int
    lineage: int
    limits: Mapping[str, int]


class Subscribed(Struct, tag_field="op", tag="subscribed", frozen=True):
    """A subscription stands; `events` is how many match now."""

    sub: str
    recovered: bool
    source: Source
    events: int


class Unsubscribed(Struct, tag_field="op", tag="unsubscribed", frozen=True):
    """A subscription has ended."""

    sub: str


class Snapshot(Struct, tag_field="op", tag="snapshot", frozen=True):
    """A whole event, encoded already."""

    sub: str
    event: Raw


class Synced(Struct, tag_field="op", tag="synced", frozen=True):
    """All that matches was sent."""

    sub: str
    cursor: str


class Item(Struct, frozen=True):
    """One event's way from `prev` to `rev`; `sent` in ms."""

    event: str
    sport: str
    lineage: int
    prev: int
    rev: int
    ts: int
    updated: int
    sent: int
    con: bool
    changes: Raw | Changes


class Updates(Struct, tag_field="op", tag="updates", frozen=True):
    """Items, encoded already."""

    sub: str
    cursor: str
    items: Sequence[Raw]


class Gone(Struct, tag_field="op", tag="gone", frozen=True):
    """An event ceased to match, or can't be shown now: forget it."""

    sub: str
    event: str
    rev: int
    reason: GoneReason


class Stale(Struct, tag_field="op", tag="stale", frozen=True):
    """The picture of these sports is complete only up to `since` (ms)."""

    sub: str
    sports: Sequence[str]
    since: int


class Fresh(Struct, tag_field="op", tag="fresh", frozen=True):
    """The picture of these sports is up to date again."""

    sub: str
    sports: Sequence[str]


class Heartbeat(Struct, tag_field="op", tag="heartbeat", frozen=True):
    """Nothing happened; `ts` in ms."""

    ts: int
    cursors: Mapping[str, str]


class Pong(Struct, tag_field="op", tag="pong", frozen=True):
    """Answers a ping with its `n`."""

    n: int | str | None


class Error(Struct, tag_field="op", tag="error", frozen=True):
    """What a client asked was not done; `sub` where it named one."""

    code: ErrorCode
    message: str
    sub: str | None


Frame: TypeAlias = (
    Hello | Subscribed | Unsubscribed | Snapshot | Synced | Updates | Gone | Stale | Fresh | Heartbeat | Pong | Error
)

_Sub: TypeAlias = Annotated[str, Meta(min_length=1, max_length=SUB_CHARS_MAX)]
_Ids: TypeAlias = list[Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]]


class Subscribe(Struct, tag_field="op", tag="subscribe", frozen=True):
    """A client wants events of `sports`, `events` or `competitions` (none: all), of them perhaps only `markets`."""

    sub: _Sub
    sports: _Ids | None = None
    events: _Ids | None = None
    competitions: _Ids | None = None
    markets: _Ids | None = None
    conflate_ms: Annotated[int, Meta(ge=0, le=CONFLATE_MS_MAX)] | None = 0
    cursor: str | None = None


class Unsubscribe(Struct, tag_field="op", tag="unsubscribe", frozen=True):
    """A client has had enough of a subscription."""

    sub: _Sub


class Ping(Struct, tag_field="op", tag="ping", frozen=True):
    """A client asks whether we live."""

    n: int | Annotated[str, Meta(max_length=ID_CHARS_MAX)] | None = None


Operation: TypeAlias = Subscribe | Unsubscribe | Ping


_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ArithmeticError)
"""All that decoding untrusted bytes may raise."""


class _Named(Struct):
    op: str
    sub: Any = None
    cursor: Any = None


class RefusedError(Exception):
    """A client's message can't be done; `code` is the wire's."""

    def __init__(self, code: ErrorCode, message: str, sub: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:300]
        self.sub = sub


class Format:
    """One way of writing frames: `text` says whether they are text or binary WebSocket messages."""

    def __init__(self, name: str, subprotocol: str, codec: Any, *, text: bool) -> None:
        self.name = name
        self.subprotocol = subprotocol
        self.text = text
        self._encode: Any = codec.Encoder().encode
        self._named = codec.Decoder(_Named)
        self._anything = codec.Decoder()
        self._operation = codec.Decoder(Operation)

    def __repr__(self) -> str:
        return f"<Format {self.name}>"

    def encode(self, value: object) -> bytes:
        """Write a frame, an item or an event."""
        written: bytes = self._encode(value)
        return written

    def decode(self, data: bytes) -> Operation:
        """Read a client's message. Raises RefusedError."""
        named = self._read_op(data)
        sub = named.sub if isinstance(named.sub, str) and len(named.sub) <= SUB_CHARS_MAX else None
        if named.op not in {"subscribe", "unsubscribe", "ping"}:
            raise RefusedError("bad_op", f"no operation {named.op[:40]!r}", sub)
        subscribes = named.op == "subscribe"
        if subscribes and not isinstance(named.cursor, str | None):
            raise RefusedError("bad_cursor", "a cursor is a string", sub)
        try:
            operation: Operation = self._operation.decode(data)
        except _UNREADABLE as error:
            raise RefusedError("bad_filter" if subscribes else "bad_op", str(error), sub) from error
        return operation

    def _read_op(self, data: bytes) -> _Named:
        try:
            try:
                named: _Named = self._named.decode(data)
            except msgspec.ValidationError as error:
                # it stops at the first thing that is of the wrong type, whatever comes after
                self._anything.decode(data)
                raise RefusedError("bad_op", f"a message is an object with a string `op`: {error}") from error
        except _UNREADABLE as error:
            raise RefusedError("bad_json", f"not {self.name}: {error}") from error
        return named


JSON: Final = Format("JSON", "sb.v1.json", msgspec.json, text=True)
MSGPACK: Final = Format("msgpack", "sb.v1.msgpack", msgspec.msgpack, text=False)
FORMATS: Final = (JSON, MSGPACK)


def choose(offered: Sequence[str]) -> Format | None:
    """Pick the first offered subprotocol that we speak; None when none is."""
    for name in offered:
        for form in FORMATS:
            if form.subprotocol == name:
                return form
    return None
