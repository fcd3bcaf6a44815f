"""What the Betfair tests share: a session that is fed small messages, and what they are built from."""

import json
from typing import Any

from sb_core.messages import AnyMessage, MarketOdds, Odds
from sb_ingest.providers import Normalised
from sb_ingest.providers.betfair import BetfairNormaliser

PT = 1_700_000_000_000
MARKET = "1.100"


class Knowing:
    received = PT
    sport_hint = None
    routing_key = None

    def __init__(self, sports: dict[str, str] | None = None) -> None:
        self.sports = sports or {}

    def sport_of(self, event: str) -> str | None:
        return self.sports.get(event)

    def reference(self, key: str) -> bytes | None:  # noqa: ARG002 - the protocol's
        return None


class Feed:
    """A session that is fed dicts, one message each, a second apart."""

    def __init__(self, knowledge: Knowing | None = None) -> None:
        self.normaliser = BetfairNormaliser()
        self.knowledge = knowledge or Knowing()
        self.session: object | None = None
        self.pt = PT

    def document(self, document: bytes) -> Normalised:
        result = self.normaliser.normalise(document, self.knowledge, self.session, "s1")
        self.session = result.session
        return result

    def send(self, *changes: Any, **fields: Any) -> Normalised:
        self.pt += 1_000
        return self.document(json.dumps({"op": "mcm", "pt": self.pt, "mc": list(changes), **fields}).encode())


def runners(*statuses: str, **more: Any) -> list[dict[str, Any]]:
    ids = (11, 22, 58805, 44, 55)
    return [
        {"id": id_, "status": status, "sortPriority": place, **more}
        for place, (id_, status) in enumerate(zip(ids, statuses, strict=False), start=1)
    ]


def definition(**fields: Any) -> dict[str, Any]:
    return {
        "eventId": "7",
        "eventTypeId": "1",
        "bettingType": "ODDS",
        "marketType": "MATCH_ODDS",
        "status": "OPEN",
        "inPlay": False,
        "betDelay": 0,
        "numberOfWinners": 1,
        "version": 5,
        "marketTime": "2026-01-01T12:00:00.000Z",
        "openDate": "2026-01-01T12:00:00.000Z",
        "runners": runners("ACTIVE", "ACTIVE", "ACTIVE"),
        **fields,
    }


def change(rc: list[dict[str, Any]] | None = None, id: str = MARKET, **fields: Any) -> dict[str, Any]:  # noqa: A002
    marked = {"marketDefinition": fields.pop("md")} if "md" in fields else {}
    return {"id": id, "rc": rc or [], **marked, **fields}


def of(result: Normalised, kind: type[AnyMessage]) -> Any:
    found = [message for message in result.messages if isinstance(message, kind)]
    assert len(found) <= 1
    return found[0] if found else None


def market(result: Normalised) -> MarketOdds:
    [found] = of(result, Odds).markets
    return found


def prices(result: Normalised) -> dict[str, str | None]:
    return {outcome.id: outcome.odds for outcome in market(result).outcomes}


def started() -> Feed:
    feed = Feed()
    feed.send(change([{"id": 11, "atb": [[2, 10], [1.9, 5]], "atl": [[2.1, 7]]}], md=definition(), img=True))
    return feed


def handicap_runners(*pairs: float, statuses: tuple[str, str] = ("ACTIVE", "ACTIVE")) -> list[dict[str, Any]]:
    found = []
    for hc in pairs:
        for id_, sign, status in ((11, 1, statuses[0]), (22, -1, statuses[1])):
            found.append({"id": id_, "hc": sign * hc, "status": status, "sortPriority": len(found) + 1})
    return found


def handicap(**fields: Any) -> dict[str, Any]:
    more = {"runners": handicap_runners(-0.5, 0, 0.25), "numberOfWinners": 0, **fields}
    return definition(marketType="ASIAN_HANDICAP", bettingType="ASIAN_HANDICAP_DOUBLE_LINE", **more)


def closed(*statuses: str, **fields: Any) -> dict[str, Any]:
    return definition(status="CLOSED", inPlay=True, runners=runners(*statuses), **fields)
