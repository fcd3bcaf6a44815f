"""When to ask a provider to say everything again: a pure machine over what is known of its producers.

The rule: a producer that is heard again after an outage owes a recovery, and a provider is never asked twice within
`every_ms`, whichever of its producers it is about and whoever owns them, because what was asked is written down before it
is sent. A request that fails, or is not answered, is made anew under another id, ever more seldom. A provider that says
for how long it takes none (Retry-After) is left alone for so long, for all of its producers. A recovery that the provider
announced by itself is waited for as one that we asked for.

Sessions owe none: their next picture is one.
"""

from collections.abc import Collection
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sb_ingest.producers import Liveness, Table

SETTLED_MS: Final = 1_000
"""How long a producer is heard again before it is asked, since it may be about to say that it recovers by itself."""
ANSWER_MS: Final = 120_000
"""How long a request that was taken may take to be answered."""
SENDING_MS: Final = 15_000
"""From when a request was written down, it is sent and has ended within this, or it isn't sent any more."""
DOUBLED_MAX: Final = 4
"""The wait before another try doubles so often."""
MARGIN_MS: Final = 60_000
"""What came so shortly before an outage is asked for again."""
REFUSED_MS_MAX: Final = 3_600_000
"""A provider that asks for more than an hour's patience is asked after that hour."""
AFTER_MS_MAX: Final = 36_000_000
"""Providers keep messages for ten hours; what is older is asked for without a time."""


def due(table: Table, now: int, providers: Collection[str], *, every_ms: int) -> tuple[Liveness, ...]:
    """Return the producers to ask for at `now`, one of each provider at most, as they are from then on.

    `providers` are those that can be asked.
    """
    first: dict[str, Liveness] = {}
    held: set[str] = set()
    for each in table.values():
        if each.asked is not None and (_since(each, now) < every_ms or 0 < each.refused_until - now <= REFUSED_MS_MAX):
            held.add(each.provider)
        if each.provider in providers and _owes(each, now, every_ms):
            chosen = first.get(each.provider)
            if chosen is None or (each.asked_at, each.key) < (chosen.asked_at, chosen.key):
                first[each.provider] = each
    return tuple(_asking(each, now) for provider, each in first.items() if provider not in held)


def _since(known: Liveness, now: int) -> int:
    """Return how long ago its request was sent at least; one whose end nobody knows may have been sent late."""
    passed = abs(now - known.asked_at)
    return passed if known.answered else passed - SENDING_MS


def _owes(known: Liveness, now: int, every_ms: int) -> bool:
    """Say whether a recovery is to be asked for, as far as this producer goes."""
    if known.kind != "alive" or known.state not in {"up", "recovering"} or known.gen <= known.recovered_gen:
        return False
    if known.asked is not None and known.asked_gen == known.gen:
        wait_ms = max(every_ms, ANSWER_MS if known.taken else 0) << min(known.tries - 1, DOUBLED_MAX)
        return _since(known, now) >= wait_ms
    announced = known.recovery is not None
    return abs(now - known.since if known.since is not None else SETTLED_MS) >= (ANSWER_MS if announced else SETTLED_MS)


def _asking(known: Liveness, now: int) -> Liveness:
    request = str(now // 1000)
    again = known.asked is not None and known.asked_gen == known.gen
    return replace(
        known,
        state="recovering",
        since=known.since if known.state == "recovering" else now,
        recovery=request,
        recovering=True,
        asked=request,
        asked_at=now,
        asked_gen=known.gen,
        tries=known.tries + 1 if again else 1,
        answered=False,
        taken=False,
        refused_until=0,
    )


class Ended(Struct, frozen=True):
    """How a request of a producer (`key`) ended, and when; `refused_ms`: not to be made anew for so long."""

    key: str
    request: str
    at: int
    taken: bool
    refused_ms: int = 0


def answered(known: Liveness | None, ended: Ended) -> Liveness | None:
    """Return the producer with the end of its request; None if that says nothing (any more)."""
    if known is None or known.asked != ended.request or known.answered:
        return None
    until = ended.at + min(ended.refused_ms, REFUSED_MS_MAX) if ended.refused_ms > 0 else 0
    return replace(known, asked_at=ended.at, answered=True, taken=ended.taken, refused_until=until)


def after(known: Liveness, now: int) -> int | None:
    """Return the time in the source's clock from which on everything is wanted; None: all that stands."""
    since = known.lost_from - MARGIN_MS
    return since if known.lost_from and 0 < known.source_now(now) - since <= AFTER_MS_MAX else None
