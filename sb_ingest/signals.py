"""What ingest tells the owner of producers' liveness about sessions: heard, lost, whole again. Pure.

Signals are `producer` records on `sports-alive` (never on a feed topic, and nobody outside can send one): `down` with the
reason and the newest `ts` of the session, `up` when a picture of its own has come, `unknown` for "heard", `recovering`
for a request of a recovery that was seen. The owner decides what they mean (producers.py).
"""

from typing import Final

from msgspec import Struct

from sb_core import topics
from sb_core.messages import Producer, ProducerState, encode
from sb_core.records import Record
from sb_ingest.assembly import Assembly
from sb_ingest.producers import RESTARTED
from sb_ingest.providers import Normalised
from sb_ingest.sessions import Session, SessionKey

HEARD_SHARE: Final = 4
"""A session is reported as heard this many times within the time after which silence ends it."""


class Steps(Struct, kw_only=True):
    """A request's walk through a session: the state after each document, and what happened on the way.

    `told` are (state, reason, since) in order. `down`: the producer is down, or may be, so that a picture makes it up.
    """

    provider: str
    producer: str
    based: bool
    state: object | None = None
    down: bool = False
    told: list[tuple[ProducerState, str | None, int]] = []

    def step(self, found: Normalised, newest_ts: int) -> None:
        """Take over what a document made of the session."""
        if not self.based:
            return
        self.state = found.session
        if found.lost is not None:
            self.told.append(("down", found.lost, newest_ts))
            self.down = True
        elif self.down and found.messages and found.session is not None:
            self.told.append(("up", None, newest_ts))
            self.down = False


def of_request(
    steps: Steps, assembly: Assembly, session: Session | None, now_s: float, silent_s: float
) -> tuple[Record, ...]:
    """Return the signals of one request, in order: what the session owed, that it began here, then what came in it."""
    if not steps.based:
        return ()
    key = steps.provider, steps.producer
    received = assembly.terms.received
    made: list[Record] = []
    if session is not None:
        if session.owed is not None:
            made.append(down(key, session.owed, session.newest_ts, received))
        elif session.fresh and not session.recorded:
            since = (assembly.oldest_ts or received) - 1
            made.append(down(key, RESTARTED, since, received))
        elif not session.recorded and now_s - session.heard_s > silent_s / HEARD_SHARE:
            made.append(_signal(key, "unknown", None, max(session.newest_ts, assembly.newest_ts), received))
    newest = session.newest_ts if session is not None else 0
    made.extend(_signal(key, state, reason, max(newest, since), received) for state, reason, since in steps.told)
    return tuple(made)


def adopt(session: Session, steps: Steps, assembly: Assembly, signs: tuple[Record, ...], now_s: float) -> None:
    """Let a session be what a request made of it; the log has acknowledged that."""
    session.state = steps.state
    session.down = steps.down
    session.newest_ts = max(session.newest_ts, assembly.newest_ts)
    session.fresh = False
    session.owed = None
    if signs:
        session.heard_s = now_s


def down(key: SessionKey, reason: str, since: int, now: int) -> Record:
    """Make the signal that a session is lost."""
    return _signal(key, "down", reason, since, now)


def recovery_seen(producer: str, request: str, now: int) -> Record:
    """Make the signal that answers to a recovery's request have come; `producer` is `<provider>:<producer>`."""
    provider, _, name = producer.partition(":")
    message = Producer(
        ts=now, provider=provider, producer=name, received=now, state="recovering", gen=0, since=0, recovery=request
    )
    return Record(topics.ALIVE, producer, encode(message), now)


def _signal(key: SessionKey, state: ProducerState, reason: str | None, since: int, now: int) -> Record:
    message = Producer(
        ts=now, provider=key[0], producer=key[1], received=now, state=state, gen=0, since=since, reason=reason
    )
    return Record(topics.ALIVE, message.producer_key, encode(message), now)
