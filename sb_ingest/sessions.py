"""Provider sessions: whose state it is, who may use it, and when it is lost. No I/O; times are arguments.

The rule: one request at a time per session. A session that is lost owes its producer a `down`, which is written before
anything else of that session, and only what begins with a picture of its own makes the producer `up` again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias

from msgspec import Struct

SessionKey: TypeAlias = tuple[str, str]
"""(provider, name)."""
NO_SESSION: Final = "0"
"""The producer of what comes without a session, or was recorded."""


class SessionBusyError(Exception):
    """Another request is using the session."""


class SessionsFullError(Exception):
    """All sessions that there may be are in use."""


class Session(Struct, kw_only=True):
    """A session between requests. Times are monotonic, in seconds; `newest_ts` is the newest `ts` of its messages, in ms.

    `recorded` sessions are never judged by silence or restart. `owed` is the reason of a loss that nobody was told of
    yet; `down` that the producer was told, or has to be told, to be down, so that the next picture makes it `up`.
    """

    key: SessionKey
    recorded: bool
    used_s: float
    state: object | None = None
    newest_ts: int = 0
    busy: bool = False
    fresh: bool = True
    owed: str | None = None
    down: bool = False
    heard_s: float = -1e9

    @property
    def producer(self) -> SessionKey:
        """The (provider, producer) that the session speaks for: recorded ones are all producer "0"."""
        return (self.key[0], NO_SESSION) if self.recorded else self.key

    def renew(self) -> None:
        """Begin a recorded session anew, as one that was never heard of: its definitions come first, and no images."""
        self.state, self.fresh, self.down = None, True, False

    def lose(self, reason: str) -> None:
        """Drop the state; the producer has to be told."""
        self.state = None
        self.owed = reason
        self.down = True


class Sessions:
    """All sessions of this node, the least recently used first."""

    def __init__(self, sessions_max: int, silent_s: float) -> None:
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()
        self._sessions_max = sessions_max
        self._silent_s = silent_s

    def __repr__(self) -> str:
        return f"<Sessions {len(self._sessions)}/{self._sessions_max}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, key: SessionKey, *, recorded: bool, now_s: float) -> Session:
        """Take a session for one request. Raises SessionBusyError or SessionsFullError."""
        session = self._sessions.get(key)
        if session is None:
            if len(self._sessions) >= self._sessions_max:
                self._make_room()
            session = self._sessions[key] = Session(key=key, recorded=recorded, used_s=now_s)
        if session.busy:
            raise SessionBusyError(key[1])
        if session.state is not None and self._is_silent(session, now_s):
            session.lose("silent")
        session.busy = True
        session.used_s = now_s
        self._sessions.move_to_end(key)
        return session

    def close(self, session: Session, now_s: float) -> None:
        """Give a session back."""
        session.busy = False
        session.used_s = now_s

    def lost(self, now_s: float) -> Iterator[Session]:
        """Take, one after the other, the idle sessions whose loss somebody has to be told of; the caller closes each."""
        for session in list(self._sessions.values()):
            if session.busy:
                continue
            if session.owed is None and session.state is not None and self._is_silent(session, now_s):
                session.lose("silent")
            if session.owed is not None:
                session.busy = True
                yield session
            elif session.state is None and now_s - session.used_s > self._silent_s:
                self.forget(session)

    def forget(self, session: Session) -> None:
        """Forget a session that owes nothing; one of the same name begins anew."""
        self._sessions.pop(session.key, None)

    def _is_silent(self, session: Session, now_s: float) -> bool:
        return not session.recorded and now_s - session.used_s > self._silent_s

    def _make_room(self) -> None:
        for session in self._sessions.values():
            if not session.busy and session.owed is None:
                if session.state is None:
                    self.forget(session)
                    return
                session.lose("state_dropped")
                break
        raise SessionsFullError(str(self._sessions_max))
