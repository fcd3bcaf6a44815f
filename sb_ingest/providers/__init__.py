"""What a provider's normaliser is: one document in, canonical messages, refusals and a new session state out.

The rule: normalisers are pure and deterministic. The same documents in the same order from an empty session give the
same messages, so that content ids recognise a redelivery. A session's new state is a new value: the shell adopts it only
after the log has acknowledged the messages, so the state that was passed in must stay as it was.
"""

from typing import Protocol

from msgspec import Struct

from sb_core.messages import AnyMessage


class Refusal(Struct, frozen=True, kw_only=True):
    """A piece of input that could not become (part of) a message.

    `code` is one of errors.CODES or `rule_<name>`; `raw` the original bytes of the document (a replay takes
    only what the refusal names from it). What it names is closed by a bet_stop of its own: (`market`, `line`) or, without a
    market, the whole `event`; without an event nothing can be closed. `ts` is the item's (ms), None where it is missing
    or unusable.
    """

    code: str
    message: str
    raw: bytes
    event: str | None = None
    sport: str | None = None
    market: str | None = None
    line: str | None = None
    ts: int | None = None
    provider: str = ""
    producer: str = "0"


class Learnt(Struct, frozen=True, kw_only=True):
    """What a document taught beside messages: sports of events, and reference documents by key (JSON).

    `sports` need not repeat the sport of the messages themselves. `reference` is kept in a compacted topic.
    """

    sports: dict[str, str] = {}
    reference: dict[str, bytes] = {}


class Normalised(Struct, frozen=True, kw_only=True):
    """What one document became.

    `ignored` counts heartbeats and reference documents. `session` is the state to go on with (None: none).
    `lost` says why the session's producer is to be taken for down (its state is then dropped).
    """

    messages: tuple[AnyMessage, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    ignored: int = 0
    learnt: Learnt | None = None
    session: object | None = None
    lost: str | None = None


class Knowledge(Protocol):
    """What a normaliser may ask for: learnt facts (this request's included) and the request's hints."""

    @property
    def received(self) -> int:
        """When the request came, in ms."""

    @property
    def sport_hint(self) -> str | None:
        """`?sport=`."""

    @property
    def routing_key(self) -> str | None:
        """`?key=`, or a capture line's key."""

    def sport_of(self, event: str) -> str | None:
        """Return the sport an event is known to have."""

    def reference(self, key: str) -> bytes | None:
        """Return the newest reference document of a key (JSON)."""


class Normaliser(Protocol):
    """A provider's format. `session_based`: deltas that need the state of earlier documents."""

    @property
    def name(self) -> str:
        """The provider's name in `POST /v1/feeds/{name}` and before the colon of event ids."""

    @property
    def session_based(self) -> bool:
        """Whether documents are deltas on a session's state."""

    def normalise(self, document: bytes, knowledge: Knowledge, session: object | None, producer: str) -> Normalised:
        """Turn one document (a JSON value or an XML document) into messages.

        `producer` is the session's name, "0" without one. Raises FeedError only where nothing of the document can be used.
        Messages may leave `received`, `trace`, `id` and `provider` empty: the shell fills them.
        """
        ...
