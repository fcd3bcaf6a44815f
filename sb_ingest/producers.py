"""The liveness of producers: a pure machine from what was heard, and from time passing, to changes of state.

The rule: an outage raises `gen` by one and has a `since` in the source's own clock, below which nothing that was said
counts as confirmed. A producer that never sent an alive, and never was a lost session, is `unknown` and judged by nothing.

    unknown     alive, subscribed       up (gen 0: no outage)
    any         alive, not subscribed   recovering (an outage), unless it said so last time too
    recovering  snapshot_complete       up
    up, rec.    silence                 down (an outage)
    down        alive, subscribed       up, or recovering if a recovery was under way
    up, rec.    we ask for a recovery   recovering, with the request whose answers count (recovery.py)
    any         clock stepped back      down (an outage), up with the next alive that is newer
    any         session lost            down (an outage)
    down        session's picture       up
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from sb_core.messages import Alive, Producer, ProducerState, SnapshotComplete

SILENT_MS: Final = 20_000
"""Silence of a producer that sends alives after which it is down."""
STEPS_BACK: Final = 5
"""Alives in a row older than the newest that mean that the source's clock was set back."""
PRODUCERS_MAX: Final = 10_000
STEPPED: Final = "clock_stepped"
RESTARTED: Final = "session_restarted"
"""The reason of a session that begins on a node that knows nothing of it; a loss only if it was heard before."""
SESSION_MARGIN_MS: Final = 30_000
"""The node that has a session judges its silence; only when it must be dead itself does the owner."""

Heard: TypeAlias = Alive | SnapshotComplete | Producer
"""What `sports-alive` holds; `Producer` are signals about sessions (signals.py)."""


class Liveness(Struct, frozen=True, kw_only=True):
    """What is known of one producer; a value of `sports-producers`. Times in ms.

    `since` is when the state began, by our clock; `outage_since` the newest outage's place in the source's clock, and
    `newest_ts` the source's clock as of `newest_received`. `heard` is when anything came. `offset` is that of the newest
    record of `sports-alive` taken in, so that none counts twice. `recovered_gen` is the newest generation whose snapshot is
    complete, `lost_from` (source's clock; 0: unknown) from when on messages may be missing; `asked` our newest request for `asked_gen`, the `tries`-th for that. `asked_at` (our clock) is when it was
    written down, and from its end on (`answered`) when that was; `taken`: the provider said that it will do it;
    `refused_until` (our clock): it said not to be asked before. `writer` numbers the ownership that wrote this.
    """

    provider: str
    producer: str
    state: ProducerState = "unknown"
    reason: str | None = None
    since: int | None = None
    last_alive: int | None = None
    recovery: str | None = None
    gen: int = 0
    outage_since: int = 0
    kind: Literal["alive", "session"] = "alive"
    newest_ts: int = 0
    newest_received: int = 0
    heard: int = 0
    older_in_row: int = 0
    subscribed: bool = True
    recovering: bool = False
    judged: bool = False
    offset: int = -1
    recovered_gen: int = 0
    lost_from: int = 0
    asked: str | None = None
    asked_at: int = 0
    asked_gen: int = 0
    tries: int = 0
    answered: bool = False
    taken: bool = False
    refused_until: int = 0
    writer: int = 0

    @property
    def key(self) -> str:
        """The producer's identity across providers."""
        return f"{self.provider}:{self.producer}"

    def source_now(self, now: int) -> int:
        """Return the source's clock at `now`, by the newest that it said."""
        return self.newest_ts + max(0, now - self.newest_received) if self.newest_ts else 0

    def message(self, now: int, *, again: bool = False) -> Producer:
        """Return the record for the feed partitions that says this state; told again it has an id of its own."""
        name = f"producer:{self.key}:{self.gen}:{self.state}:{self.outage_since}:{self.recovery or ''}"
        return Producer(
            ts=now,
            received=now,
            id=f"{name[:180]}@{now}" if again else name[:200],
            provider=self.provider,
            producer=self.producer,
            state=self.state,
            gen=self.gen,
            since=self.outage_since,
            reason=self.reason,
            recovery=self.recovery,
        )


Table: TypeAlias = Mapping[str, Liveness]
"""Producers by key."""
NOBODY: Final[Mapping[str, int]] = {}


def hear(table: Table, message: Heard, offset: int) -> tuple[Liveness, bool] | None:
    """Take in one record of `sports-alive`.

    Returns the producer's new liveness and whether its state is to be told; None for a record that says nothing (new).
    """
    known = table.get(message.producer_key)
    if known is None:
        if len(table) >= PRODUCERS_MAX:
            return None
        known = Liveness(provider=message.provider, producer=message.producer)
    if offset <= known.offset:
        return None
    if isinstance(message, Alive):
        after = _alive(known, message)
    elif isinstance(message, SnapshotComplete):
        after = _complete(known, message)
    else:
        after = _signal(known, message)
    return replace(after, offset=offset), _told(known, after)


def answer(known: Liveness | None, said: Liveness) -> Liveness:
    """Answer the word of a former owner that came late, to be told again or, of a later generation, told.

    Partitions have taken it, after ours or before. Below our generation it says nothing to them, in the same one ours told
    again undoes it; into a later one ours follows, as after an outage.
    """
    if known is None:
        return said
    if said.asked_at > known.asked_at:
        asked = {name: getattr(said, name) for name in ("asked", "asked_at", "asked_gen", "answered", "taken", "tries")}
        known = replace(known, refused_until=said.refused_until, **asked)
    if said.gen <= known.gen:
        return known
    if known.state == "unknown":
        return replace(said, offset=known.offset)
    reason = "lost" if known.reason == STEPPED else known.reason
    since = max(known.outage_since, said.outage_since, known.source_now(known.heard))
    return replace(_outage(known, known.state, "", known.heard, since), gen=said.gen, reason=reason)


def awaits(known: Liveness | None, request: str) -> bool:
    """Say whether a producer is out and its owner has not said yet that answers to this request count."""
    return _counts(known, request) and known is not None and known.recovery != request


def _counts(known: Liveness | None, request: str | None) -> bool:
    """Say whether answers to a request may be of the newest outage; what we asked for before it says nothing about that."""
    if known is None or request is None or known.state not in {"recovering", "down"}:
        return False
    return known.asked != request or known.asked_gen == known.gen


def _told(before: Liveness, after: Liveness) -> bool:
    return (before.state, before.gen, before.recovery) != (after.state, after.gen, after.recovery)


def _into(known: Liveness, state: ProducerState, reason: str | None, now: int) -> Liveness:
    return replace(known, state=state, reason=reason, since=now)


def _outage(known: Liveness, state: ProducerState, reason: str, now: int, outage_since: int) -> Liveness:
    after = replace(known, state=state, reason=reason, since=now, gen=known.gen + 1)
    lost_from = known.lost_from if known.gen > known.recovered_gen else known.newest_ts
    if reason == STEPPED:
        lost_from = 0  # times before and after the step don't compare
    return replace(after, outage_since=outage_since, recovery=None, lost_from=lost_from)


def _alive(known: Liveness, message: Alive) -> Liveness:
    now = message.received
    heard = replace(known, heard=max(known.heard, now), last_alive=now, judged=True, kind="alive")
    if message.ts < known.newest_ts:
        return _older(heard, message, now)
    if known.last_alive is not None and (message.ts, message.subscribed) == (known.newest_ts, known.subscribed):
        # the newest once more: a step or a silence that was told of since is newer than that
        return replace(heard, older_in_row=0)
    heard = replace(heard, newest_ts=message.ts, newest_received=now, older_in_row=0, subscribed=message.subscribed)
    if not message.subscribed:
        if known.subscribed or known.state == "down":
            heard = replace(_outage(heard, "recovering", "not_subscribed", now, message.ts), recovering=True)
    elif known.state in {"unknown", "down"}:
        state: ProducerState = "recovering" if known.recovering else "up"
        heard = _into(heard, state, known.reason if known.recovering else None, now)
    if message.request is not None and heard.state == "recovering":
        heard = replace(heard, recovery=message.request)
    return heard


def _older(known: Liveness, message: Alive, now: int) -> Liveness:
    """Take an alive that is older than the newest: late, or the source's clock was set back."""
    if known.older_in_row + 1 < STEPS_BACK:
        return replace(known, older_in_row=known.older_in_row + 1)
    stepped = replace(known, newest_ts=message.ts, newest_received=now, older_in_row=0, subscribed=message.subscribed)
    return _outage(stepped, "down", STEPPED, now, message.ts)


def _complete(known: Liveness, message: SnapshotComplete) -> Liveness:
    if not known.recovering or (known.recovery and message.request and known.recovery != message.request):
        return known
    if known.asked is not None and message.request == known.asked and known.asked_gen != known.gen:
        # what was asked for before the newest outage says nothing about that
        return known
    done = replace(known, recovering=False, recovery=message.request or known.recovery)
    if known.state != "recovering":
        return done
    return replace(_into(done, "up", None, message.received), recovered_gen=known.gen)


def _signal(known: Liveness, message: Producer) -> Liveness:
    now = message.received
    if message.state == "recovering":
        return replace(known, recovery=message.recovery) if _counts(known, message.recovery) else known
    new = not known.heard
    newest = max(known.newest_ts, message.since)
    newest_received = now if message.since > known.newest_ts else known.newest_received
    kind: Literal["alive", "session"] = "session" if known.last_alive is None else "alive"
    # only live sessions say that they were heard or began again; recorded ones are never judged by silence
    judged = known.judged or message.state == "unknown" or message.reason == RESTARTED
    heard = replace(
        known,
        kind=kind,
        judged=judged,
        heard=max(known.heard, now),
        newest_ts=newest,
        newest_received=newest_received,
    )
    if message.state == "down":
        if known.state == "down" or (new and message.reason == RESTARTED):
            return heard
        return _outage(heard, "down", message.reason or "lost", now, newest)
    if message.state == "up" and known.state == "down" and kind == "session":
        return _into(heard, "up", None, now)
    return heard


def passed(
    table: Table,
    now: int,
    *,
    silent_ms: int = SILENT_MS,
    session_silent_ms: int,
    waited_ms: Mapping[str, int] = NOBODY,
) -> tuple[Liveness, ...]:
    """Judge silence at `now`; returns the producers that are down for it.

    `waited_ms` is for how long, at least, the owner has heard nothing of each by a clock that nobody sets.
    """
    fallen = []
    for each in table.values():
        if each.state == "down" or not each.judged:
            continue
        limit = session_silent_ms + SESSION_MARGIN_MS if each.kind == "session" else silent_ms
        if max(now - each.heard, waited_ms.get(each.key, 0)) > limit:
            fallen.append(_outage(each, "down", "silent", now, each.source_now(now)))
    return tuple(fallen)
