"""A client's session: what it asked, what it is owed, and when it has gone too far.

The rule: bytes in, effects out; nothing here waits, reads a clock or knows a socket. Replies keep their order.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from sb_distribute import wire
from sb_distribute.filters import Filter
from sb_distribute.picture import Picture
from sb_distribute.subscriptions import Subscription
from sb_distribute.wire import Format, RefusedError

MESSAGES_PER_S_MAX: Final = 50
MESSAGES_BURST_MAX: Final = 200
REFUSED_MAX: Final = 100
"""Messages in a row that could not be done; after these the connection is closed."""
REPLIES_MAX: Final = 1_000
"""Replies that may wait for a client that sends but doesn't read."""

CLOSE_GOING_AWAY: Final = 1001
CLOSE_TOO_LARGE: Final = 1009
CLOSE_RESTART: Final = 1012
CLOSE_BAD: Final = 4400
CLOSE_UNAUTHORISED: Final = 4401
CLOSE_SLOW: Final = 4408
CLOSE_TOO_MANY: Final = 4429


class Join(Struct, frozen=True):
    """Effect: make this subscription stand."""

    asked: wire.Subscribe
    filter: Filter


class Leave(Struct, frozen=True):
    """Effect: this subscription has ended."""

    subscription: Subscription


class Close(Struct, frozen=True):
    """Effect: close the connection."""

    code: int
    reason: str


Effect: TypeAlias = Join | Leave | Close


class Limits(Struct, frozen=True):
    """What a session may have."""

    subscriptions_max: int
    outbox_bytes_max: int
    heartbeat_ms: int

    def said(self) -> Mapping[str, int]:
        """Return the limits that a client is told."""
        return {
            "subscriptions_max": self.subscriptions_max,
            "filter_ids_max": wire.FILTER_IDS_MAX,
            "message_bytes_max": wire.INBOUND_BYTES_MAX,
            "messages_per_s_max": MESSAGES_PER_S_MAX,
            "conflate_ms_max": wire.CONFLATE_MS_MAX,
        }


class Session:
    """One connection's side of the conversation."""

    def __init__(self, name: str, form: Format, limits: Limits, sports: Sequence[str], now_ms: int) -> None:
        self.name = name
        self.form = form
        self.limits = limits
        self.subscriptions: dict[str, Subscription] = {}
        self.closing = False
        self._sports = tuple(sports)
        self._replies: deque[bytes] = deque()
        self._last_out_ms = now_ms
        self._allowance = float(MESSAGES_BURST_MAX)
        self._allowed_ms = now_ms
        self._refused = 0

    def __repr__(self) -> str:
        return f"<Session {self.name} {self.form.name} subs={len(self.subscriptions)} waiting={self.waiting_bytes}>"

    @property
    def waiting_bytes(self) -> int:
        """What waits for the client, in bytes of changes."""
        return sum(sub.waiting_bytes for sub in self.subscriptions.values())

    def hello(self, lineage: int) -> None:
        """Greet."""
        self._reply(wire.Hello(self.name, self.limits.heartbeat_ms, lineage, self.limits.said()))

    # What comes in.

    def receive(self, data: bytes, now_ms: int) -> Effect | None:
        """Take one message of the client."""
        if (over := self.allow(now_ms)) is not None:
            return over
        try:
            effect = self._do(self.form.decode(data))
        except RefusedError as refused:
            return self.refuse(refused)
        self._refused = 0
        if len(self._replies) > REPLIES_MAX:
            return Close(CLOSE_SLOW, "replies are not being read")
        return effect

    def refuse(self, refused: RefusedError) -> Close | None:
        """Say what could not be done; after too many in a row, close."""
        self._refused += 1
        if self._refused > REFUSED_MAX:
            return Close(CLOSE_BAD, f"more than {REFUSED_MAX} bad messages in a row")
        self._reply(wire.Error(refused.code, refused.message, refused.sub))
        return None

    def allow(self, now_ms: int) -> Close | None:
        """Count a frame of the client; close when they come too fast."""
        gained = (now_ms - self._allowed_ms) * MESSAGES_PER_S_MAX / 1000
        self._allowance = min(float(MESSAGES_BURST_MAX), self._allowance + max(0.0, gained)) - 1
        self._allowed_ms = max(now_ms, self._allowed_ms)
        return (
            None if self._allowance >= 0 else Close(CLOSE_TOO_MANY, f"more than {MESSAGES_PER_S_MAX} messages a second")
        )

    def _do(self, operation: wire.Operation) -> Effect | None:
        if isinstance(operation, wire.Subscribe):
            wanted = Filter.of(operation, self._sports)
            if operation.sub not in self.subscriptions and len(self.subscriptions) >= self.limits.subscriptions_max:
                raise RefusedError(
                    "too_many", f"more than {self.limits.subscriptions_max} subscriptions", operation.sub
                )
            return Join(operation, wanted)
        if isinstance(operation, wire.Unsubscribe):
            found = self.subscriptions.pop(operation.sub, None)
            if found is None:
                raise RefusedError("unknown_sub", f"no subscription {operation.sub!r}", operation.sub)
            self._reply(wire.Unsubscribed(operation.sub))
            return Leave(found)
        self._reply(wire.Pong(operation.n))
        return None

    def _reply(self, frame: wire.Frame) -> None:
        self._replies.append(self.form.encode(frame))

    # What goes out.

    def take(self, picture: Picture, now_ms: int, bytes_max: int) -> tuple[list[bytes], bool]:
        """Return messages to send now, about `bytes_max` of them, and whether there are more."""
        taken: list[bytes] = []
        size = 0
        while self._replies:
            taken.append(self._replies.popleft())
            size += len(taken[-1])
            if size >= bytes_max:
                return self._took(taken, now_ms), True
        for sub in self.subscriptions.values():
            quick = sub.quick(picture, self.form, now_ms)
            if quick is not None:
                taken.append(quick)
                size += len(quick)
                continue
            if sub.idle and not picture.stale:
                continue
            for frame in sub.frames(picture, self.form, now_ms):
                taken.append(frame)
                size += len(frame)
                if size >= bytes_max:
                    return self._took(taken, now_ms), True
        return self._took(taken, now_ms), False

    def _took(self, taken: list[bytes], now_ms: int) -> list[bytes]:
        if taken:
            self._last_out_ms = now_ms
        return taken

    def beat(self, picture: Picture, now_ms: int) -> bool:
        """Put in a heartbeat if nothing was sent for long enough; tell whether it did."""
        if now_ms - self._last_out_ms < self.limits.heartbeat_ms or self._replies:
            return False
        cursors = {name: sub.cursor(picture, now_ms) for name, sub in self.subscriptions.items() if sub.synced}
        self._reply(wire.Heartbeat(now_ms, cursors))
        return True
