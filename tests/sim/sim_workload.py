"""What the world's providers say: canonical messages about a dozen events, from one seed; right, late, doubled or bad.

The rule: a message is bytes from the moment it is made; sent again it is the same bytes.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from simulation import Chance

from sb_core import topics
from sb_core.ports import Clock

FOOTBALL: Final = tuple(f"uof:sr:match:{number}" for number in range(1, 9))
TENNIS: Final = tuple(f"uof:sr:match:{number}" for number in range(101, 105))
SPORT_OF: Final = {**dict.fromkeys(FOOTBALL, "football"), **dict.fromkeys(TENNIS, "tennis")}
MARKETS: Final[dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]]] = {
    "football": (
        ("1x2", "", ("home", "draw", "away")),
        ("total", "total=2.5", ("over", "under")),
        ("corners_total", "total=9.5", ("over", "under")),
        ("uof:777", "id=1", ("x", "y")),
    ),
    "tennis": (("match_winner", "", ("home", "away")), ("set_winner", "set=1", ("home", "away"))),
}
LIVE: Final = "1"
PREMATCH: Final = "3"
KINDS: Final[dict[str, float]] = {
    "odds": 10,
    "stop": 2.5,
    "score": 1.5,
    "fixture": 1,
    "settlement": 1.2,
    "settlement_rollback": 0.7,
    "cancel": 0.6,
    "cancel_rollback": 0.5,
    "hold": 0.4,
    "release": 0.6,
    "bad_odds": 0.5,
    "early_odds": 0.2,
}
REFUSED: Final = frozenset({"bad_odds", "early_odds"})
AHEAD_MS: Final = 12_000
"""Further ahead than a source's clock may be; sent again a little later it is none too early."""
RESULTS: Final = ("won", "lost", "void", "half_won", "undecided")
STATUSES: Final = ("live", "live", "live", "suspended", "interrupted", "ended", "not_started")


class Sent(Struct, frozen=True):
    """A message as it goes out; `id` is empty where the content's digest names it, `fine` false where it is refused.

    What is refused as too `early` may be taken when it is sent again.
    """

    id: str
    event: str
    body: bytes
    fine: bool = True
    early: bool = False


class Maker:
    """Makes messages of one producer (or of the operators)."""

    def __init__(self, chance: Chance, producer: str, clock: Clock) -> None:
        self.chance = chance
        self.producer = producer
        self.clock = clock
        self.count = 0
        self.skew_ms = 0
        """By how much the source's clock is off."""
        self._last_ts = 0

    def now_ms(self) -> int:
        """Return the source's time."""
        return self.clock.now_ms() + self.skew_ms

    def about_events(self, count: int) -> list[Sent]:
        events = FOOTBALL + TENNIS
        return [self.any(self.chance.pick(events)) for _ in range(count)]

    def any(self, event: str) -> Sent:
        kind = self.chance.weighted(KINDS)
        return self.make(kind, event)

    def make(self, kind: str, event: str, *, request: str | None = None) -> Sent:
        fields: dict[str, Any] = getattr(self, f"_{kind}")(event)
        base: dict[str, Any] = {"type": "odds" if kind in REFUSED else kind, "ts": self._ts(), "provider": "uof"}
        if kind == "early_odds":
            base["ts"] = self.now_ms() + AHEAD_MS
        if kind == "stop":
            base["type"] = "bet_stop"
        self.count += 1
        message_id = f"{self.producer}-{self.count}"
        base.update(event=event, sport=SPORT_OF[event], producer=self.producer, id=message_id, **fields)
        if request is not None:
            base["request"] = request
        return Sent(message_id, event, msgspec.json.encode(base), fine=kind not in REFUSED, early=kind == "early_odds")

    def alive(self, *, subscribed: bool = True, request: str | None = None) -> Sent:
        return self._control("alive", {"subscribed": subscribed}, request)

    def complete(self, request: str) -> Sent:
        return self._control("snapshot_complete", {}, request)

    def _control(self, kind: str, fields: dict[str, Any], request: str | None) -> Sent:
        base = {"type": kind, "ts": self.now_ms(), "provider": "uof", "producer": self.producer, **fields}
        if request is not None:
            base["request"] = request
        return Sent("", "", msgspec.json.encode(base))

    def _ts(self) -> int:
        """Return the source's time: a little back, now and then the same twice."""
        if self._last_ts and self.chance.happens(0.1):
            return self._last_ts
        self._last_ts = self.now_ms() - int(self.chance.between(0, 400))
        return self._last_ts

    # bodies

    def _named(self, event: str) -> tuple[str, str, tuple[str, ...]]:
        return self.chance.pick(MARKETS[SPORT_OF[event]])

    def _price(self) -> str:
        return f"{1 + int(self.chance.between(1, 60)) / 20:.2f}"

    def _priced(self, named: tuple[str, str, tuple[str, ...]]) -> dict[str, Any]:
        market, line, outcomes = named
        chance = self.chance
        priced = [{"id": each, "odds": self._price(), "active": chance.happens(0.95)} for each in outcomes]
        status = chance.weighted({"active": 12.0, "suspended": 1.0, "inactive": 0.5, "handed_over": 0.5})
        return {"market": market, "line": line, "status": status, "outcomes": priced, "complete": chance.happens(0.8)}

    def _odds(self, event: str) -> dict[str, Any]:
        markets = MARKETS[SPORT_OF[event]]
        named = [each for each in markets if self.chance.happens(0.6)] or [self._named(event)]
        return {"markets": [self._priced(each) for each in named]}

    def _bad_odds(self, event: str) -> dict[str, Any]:
        priced = self._priced(self._named(event))
        priced["outcomes"][0].update(odds="0.50", active=True)
        return {"markets": [priced]}

    _early_odds = _odds

    def _stop(self, event: str) -> dict[str, Any]:
        market, line, _ = self._named(event)
        which = self.chance.weighted({"event": 3.0, "all": 1.0, "group": 3.0, "unknown": 1.0, "market": 2.0})
        status = {"status": "inactive"} if self.chance.happens(0.2) else {}
        if which == "event":
            return status
        if which == "market":
            return {"markets": [{"market": market, "line": line}], **status}
        groups = {"all": ["all"], "group": ["corners" if self.chance.happens(0.5) else "score"], "unknown": ["nobody"]}
        return {"groups": groups[which], **status}

    def _score(self, _event: str) -> dict[str, Any]:
        home, away = int(self.chance.between(0, 4)), int(self.chance.between(0, 4))
        status = {"status": self.chance.pick(STATUSES[:5])} if self.chance.happens(0.5) else {}
        return {"home": home, "away": away, **status}

    def _fixture(self, event: str) -> dict[str, Any]:
        number = int(self.chance.between(1, 4))
        fields: dict[str, Any] = {"name": f"{event[-3:]} Şahin vs {number}", "start": 1_780_000_500_000 + number}
        if self.chance.happens(0.4):
            fields["competition"] = {"id": f"uof:sr:tournament:{number}", "name": f"League {number}"}
        if self.chance.happens(0.4):
            fields["competitors"] = [{"id": f"uof:sr:competitor:{number}", "name": f"Team {number}", "side": "home"}]
        if self.chance.happens(0.4):
            fields["status"] = self.chance.pick(STATUSES)
        return fields

    def _settlement(self, event: str) -> dict[str, Any]:
        market, line, outcomes = self._named(event)
        results = [{"id": each, "result": self.chance.pick(RESULTS)} for each in outcomes]
        certainty = self.chance.pick(("live", "confirmed"))
        return {"certainty": certainty, "markets": [{"market": market, "line": line, "outcomes": results}]}

    def _refs(self, event: str) -> dict[str, Any]:
        market, line, _ = self._named(event)
        return {"markets": [{"market": market, "line": line}]}

    _settlement_rollback = _refs

    def _cancel(self, event: str) -> dict[str, Any]:
        window = {"from": 1_780_000_000_000, "to": 1_780_000_009_000, "reason": "error"}
        return {**self._refs(event), **(window if self.chance.happens(0.5) else {})}

    def _cancel_rollback(self, event: str) -> dict[str, Any]:
        window = {"from": 1_780_000_000_000, "to": 1_780_000_009_000}
        return {**self._refs(event), **(window if self.chance.happens(0.5) else {})}

    def _hold(self, event: str) -> dict[str, Any]:
        target = self._refs(event) if self.chance.happens(0.5) else {}
        return {**target, "by": "ops", "reason": self.chance.pick(("line", "news"))}

    def _release(self, event: str) -> dict[str, Any]:
        return {**(self._refs(event) if self.chance.happens(0.5) else {}), "by": "ops"}


def corrupt(chance: Chance) -> tuple[str, int, bytes]:
    """Return (event, partition, bytes) of a feed record that nobody can read: an operator's slip, a foreign writer."""
    event = chance.pick(FOOTBALL)
    return event, topics.partition_of(event), chance.pick((b"{", b'{"type":"odds","ts":"x"}', b"\xff\xfe", b"[]"))
