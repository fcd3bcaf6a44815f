"""What the collectors saw, one frozen value each: all that the console ever knows comes through these.

The rules: an observation carries its own time (`at`, ms since 1970 UTC) and nothing refers to a clock; a recording is
these in order, so that a replay is the same path. Text of feeds is kept as it came; whoever paints makes it harmless.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct


class Tick(Struct, frozen=True, tag="tick"):
    """Time went on. `lost`: observations that did not fit between collectors and reducer since the last one."""

    at: int
    lost: int = 0


class Polled(Struct, frozen=True, tag="polled"):
    """A collector did its round, or could not; `off`: there is nothing for it to do here."""

    at: int
    source: str
    took_ms: float
    every_ms: int
    error: str | None = None
    off: bool = False


class Check(Struct, frozen=True):
    """A service's word on one of its dependencies."""

    status: str
    latency_ms: float | None = None
    detail: str | None = None


class HealthSeen(Struct, frozen=True, tag="health"):
    """What a service says of itself on /health and /ready."""

    at: int
    service: str
    status: str
    version: str
    uptime_s: float
    checks: Mapping[str, Check]
    ready: bool
    reason: str | None


class MetricsSeen(Struct, frozen=True, tag="metrics"):
    """A service's metrics by full name and labels; unless `whole`, only those that changed since the last time."""

    at: int
    service: str
    values: Mapping[str, float]
    whole: bool


class AccountSeen(Struct, frozen=True, tag="account"):
    """A service's part of the account; what is by code is flat (`refused:bad_odds`)."""

    at: int
    service: str
    counts: Mapping[str, int]


class Place(Struct, frozen=True):
    """One partition of one group: `committed` and `done` None where nobody has claimed it yet; `start` the oldest kept."""

    group: str
    topic: str
    partition: int
    committed: int | None
    done: int | None
    start: int
    end: int
    owner: str
    epoch: int
    lineage: int


class PlacesSeen(Struct, frozen=True, tag="places"):
    """Where every group stands in every partition."""

    at: int
    places: Sequence[Place]
    requests: int
    """Requests to the log's brokers that one look takes."""


class Price(Struct, frozen=True):
    """One outcome as shown."""

    outcome: str
    name: str | None
    odds: str | None
    active: bool = True
    result: str | None = None


class BoardMarket(Struct, frozen=True):
    """One market as shown, without what only machines read."""

    market: str
    line: str
    name: str | None
    status: str
    open: bool
    outcomes: Sequence[Price]


class TapeItem(Struct, frozen=True):
    """One update of the stream. `at` is when it came here, `sent` when the node sent it, `received` when ingest did."""

    at: int
    sport: str
    event: str
    name: str | None
    lineage: int
    prev: int
    rev: int
    ts: int
    received: int
    sent: int
    con: bool
    kind: str
    markets: Sequence[BoardMarket]
    changed: int
    """Markets changed in all; `markets` holds the first few."""


class StreamSeen(Struct, frozen=True, tag="stream"):
    """A moment of the stream: counts are totals since the collector began, `items` a sample of this moment's updates."""

    at: int
    connected: bool
    updates: int
    examined: int
    matched: int
    kept: int
    gaps: int
    repeats: int
    losses: int
    events: int
    stale: Sequence[str]
    filter: str
    items: Sequence[TapeItem]
    trouble: str | None = None


class Board(Struct, frozen=True):
    """A whole event, for people."""

    event: str
    name: str | None
    sport: str
    competition: str | None
    status: str
    start: int | None
    score: str | None
    lineage: int
    rev: int
    ts: int
    updated: int
    stale: bool
    holds: int
    producers: Sequence[str]
    markets: Sequence[BoardMarket]


class BoardSeen(Struct, frozen=True, tag="board"):
    """The event that is followed, as it is now; None: it is gone, or was never there."""

    at: int
    event: str
    board: Board | None


class Letter(Struct, frozen=True):
    """One dead letter; `body` is a beginning only in lists, and base64 where it was no text."""

    id: str
    code: str
    message: str
    stage: str
    provider: str
    source: str
    received: int | None
    trace: str | None
    sport: str | None
    event: str | None
    market: str | None
    line: str | None
    length: int | None
    cut: bool
    body: str
    text: bool = True


class LettersSeen(Struct, frozen=True, tag="letters"):
    """Dead letters that are new to the console; `total` is how many the topic holds, if the log says it."""

    at: int
    letters: Sequence[Letter]
    total: int | None


class LetterSeen(Struct, frozen=True, tag="letter"):
    """One dead letter in full."""

    at: int
    letter: Letter


class Replayed(Struct, frozen=True):
    """What became, or would become, of a dead letter: `made` are the messages of a dry run, JSON each."""

    id: str
    result: str
    accepted: int
    refused: Sequence[str]
    trace: str | None
    made: Sequence[str]


class ReplaySeen(Struct, frozen=True, tag="replay"):
    """The answer to a replay or a dry run; `boards` are the events concerned as they were at that time."""

    at: int
    dry_run: bool
    results: Sequence[Replayed]
    boards: Sequence[Board]


class GeneratorSeen(Struct, frozen=True, tag="generator"):
    """The generator's state, as its control port tells it."""

    at: int
    state: str
    rate: float
    seed: int
    scenario: str
    scenarios: Mapping[str, str]
    faults: Mapping[str, float]
    struck: Mapping[str, int]
    events: Mapping[str, int]
    counts: Mapping[str, int]
    refused: Mapping[str, int]
    run: str | None


class Producer(Struct, frozen=True):
    """A provider's producer and its state."""

    provider: str
    producer: str
    state: str
    reason: str | None = None
    since: int | None = None
    last_alive: int | None = None


class ProducersSeen(Struct, frozen=True, tag="producers"):
    """All producers."""

    at: int
    producers: Sequence[Producer]


class Step(Struct, frozen=True):
    """A stage of a message's way: `at` None where nothing remembers the time."""

    stage: str
    at: int | None
    what: str


class TraceSeen(Struct, frozen=True, tag="trace"):
    """One message's way through every stage; `before` and `after` are its event at the revs around it."""

    at: int
    key: str
    steps: Sequence[Step]
    message: str | None
    before: Board | None
    after: Board | None
    error: str | None = None


class Acted(Struct, frozen=True, tag="acted"):
    """An operator's action was done or refused; `command` is the command line that does the same."""

    at: int
    action: str
    command: str
    ok: bool
    result: str


Observation: TypeAlias = (
    Tick
    | Polled
    | HealthSeen
    | MetricsSeen
    | AccountSeen
    | PlacesSeen
    | StreamSeen
    | BoardSeen
    | LettersSeen
    | LetterSeen
    | ReplaySeen
    | GeneratorSeen
    | ProducersSeen
    | TraceSeen
    | Acted
)

SourceState: TypeAlias = Literal["live", "late", "down", "off", "waiting"]
