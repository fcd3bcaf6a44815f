"""Sportradar's Unified Odds Feed: XML messages of its queue and answers of its REST API.

The rule: elements by local name, with or without namespace. One bad market is refused alone. The feed has no sequence
numbers; `timestamp` orders per (producer, event), and equal ones are legal.

What is decided here: a message without `product` has producer "0". An odds_change gives a score (if it has a
sport_event_status), then odds, then what statuses -3 and -4 say (see `uof_bets`). A bet_stop that names no groups stops
all. A bet_settlement that doesn't say how certain it is counts as live, the weaker claim. A bet_cancel gives one cancel
per void reason; `superceded_by` becomes part of the reason, because which of the two events goes on is not certain. A
fixture_change says only its start, and `cancelled` for type 3; that a new fixture should be fetched (types 1, 2, 4, 5)
is not ours to do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from lxml import etree

from sb_core.errors import FeedError
from sb_core.messages import (
    Alive,
    AnyMessage,
    BetStop,
    Cancel,
    CancelRollback,
    Fixture,
    MarketRef,
    Settlement,
    SettlementRollback,
    SnapshotComplete,
)
from sb_ingest import xml
from sb_ingest.providers import Knowledge, Normalised, Refusal
from sb_ingest.providers.uof_bets import Reader, market_ref, market_result, odds_messages
from sb_ingest.providers.uof_document import (
    PROVIDER,
    Head,
    child,
    event_of,
    event_of_key,
    flag,
    integer,
    milliseconds,
    required,
    sport_of,
)
from sb_ingest.providers.uof_fixtures import DOCUMENTS, normalise_rest
from sb_ingest.providers.uof_reference import is_reference, learn
from sb_ingest.providers.uof_status import score_message

_PRODUCT: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_CHANGE_CANCELLED: Final = 3
_STOPPED_INACTIVE: Final = frozenset({"0", "-3", "-4"})


class Uof:
    """The normaliser of provider `uof`."""

    name: Final = PROVIDER
    session_based: Final = False

    def normalise(
        self,
        document: bytes,
        knowledge: Knowledge,
        session: object | None,  # noqa: ARG002 - the feed's messages stand on their own
        producer: str,
    ) -> Normalised:
        """Turn one XML document into messages. Raises FeedError where nothing of it can be used."""
        root = xml.parse(document)
        kind = xml.local(root)
        if is_reference(kind):
            return Normalised(ignored=1, learnt=learn(root))
        if kind in DOCUMENTS:
            return normalise_rest(root, document, knowledge, producer)
        if kind == "alive":
            return Normalised(messages=(_alive(root),))
        if kind == "snapshot_complete":
            return Normalised(messages=(_snapshot_complete(root),))
        read = _OF_EVENTS.get(kind)
        if read is None:
            raise FeedError("unsupported_type", f"{kind[:40]!r} is no document of this feed that means anything here")
        return _of_event(root, document, knowledge, producer, read)


def _time(root: etree._Element) -> int:
    ts = milliseconds(root, "timestamp")
    if ts is None:
        raise FeedError("bad_time", f"{xml.local(root)} has no timestamp")
    return ts


def _product(root: etree._Element) -> str:
    product = required(root, "product")
    if not _PRODUCT.fullmatch(product):
        raise FeedError("schema", f"product {product[:40]!r} is no id")
    return product


def _alive(root: etree._Element) -> Alive:
    subscribed = flag(root, "subscribed")
    return Alive(provider=PROVIDER, producer=_product(root), ts=_time(root), subscribed=subscribed is not False)


def _snapshot_complete(root: etree._Element) -> SnapshotComplete:
    return SnapshotComplete(
        provider=PROVIDER, producer=_product(root), ts=_time(root), request=required(root, "request_id")
    )


_Read: TypeAlias = Callable[[etree._Element, Head, Reader], list[AnyMessage]]  # noqa: SLF001 - lxml's name for it


def _of_event(root: etree._Element, document: bytes, knowledge: Knowledge, producer: str, read: _Read) -> Normalised:
    """Read a message about an event; what spoils it as a whole closes the event at the message's own time."""
    event = event_of(root.get("event_id") or event_of_key(knowledge.routing_key))
    sport = sport_of(event, knowledge)
    ts: int | None = None
    try:
        producer = _product(root) if root.get("product") else producer
        ts = _time(root)
        request = root.get("request_id") or None
        head = Head(event=event, sport=sport, ts=ts, producer=producer, document=document, request=request)
        reader = Reader(head, knowledge)
        messages = read(root, head, reader)
    except FeedError as error:
        refusal = Refusal(
            code=error.code,
            message=error.message,
            raw=document,
            event=event,
            sport=sport,
            ts=ts,
            provider=PROVIDER,
            producer=producer,
        )
        return Normalised(refusals=(refusal,))
    nothing = not messages and not reader.refusals
    return Normalised(messages=tuple(messages), refusals=tuple(reader.refusals), ignored=int(nothing))


def _odds_change(root: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    messages: list[AnyMessage] = []
    status = child(root, "sport_event_status")
    if status is not None:
        try:
            messages.append(score_message(status, head))
        except FeedError as error:
            reader.refusals.append(head.refuse(error))
    odds = child(root, "odds")
    if odds is not None:
        messages.extend(odds_messages(odds, head, reader))
    return messages


def _bet_stop(root: etree._Element, head: Head, _: Reader) -> list[AnyMessage]:
    groups = tuple(group for group in root.get("groups", "all").split("|") if group)
    inactive = root.get("market_status") in _STOPPED_INACTIVE
    return [
        BetStop(
            **head.fields(),
            groups=None if not groups or "all" in groups else groups,
            status="inactive" if inactive else "suspended",
        )
    ]


def _bet_settlement(root: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    certainty = root.get("certainty", "1")
    if certainty not in {"1", "2"}:
        raise FeedError("schema", f"certainty {certainty!r:.40} is neither 1 nor 2")
    outcomes = child(root, "outcomes")
    found = reader.each(outcomes, market_result) if outcomes is not None else []
    _want_markets(found, reader)
    if not found:
        return []
    return [
        Settlement(
            **head.fields(),
            certainty="live" if certainty == "1" else "confirmed",
            markets=tuple(market for _, market in found),
        )
    ]


def _bet_cancel(root: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    window = _window(root)
    found = reader.each(root, market_ref)
    _want_markets(found, reader)
    by_reason: dict[str | None, list[MarketRef]] = {}
    superceded = root.get("superceded_by")
    for element, market in found:
        said = [element.get("void_reason"), superceded and f"superceded_by {superceded}"]
        by_reason.setdefault("; ".join(each for each in said if each) or None, []).append(market)
    return [
        Cancel(**head.fields(), **window, markets=tuple(markets), reason=reason)
        for reason, markets in by_reason.items()
    ]


def _rollback_bet_settlement(root: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    markets = _refs(root, reader)
    return [SettlementRollback(**head.fields(), markets=markets)] if markets else []


def _rollback_bet_cancel(root: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    window = _window(root)
    markets = _refs(root, reader)
    return [CancelRollback(**head.fields(), **window, markets=markets)] if markets else []


def _fixture_change(root: etree._Element, head: Head, _: Reader) -> list[AnyMessage]:
    said: dict[str, Any] = {}
    start = milliseconds(root, "start_time")
    if start is not None:
        said["start"] = start
    if integer(root, "change_type") == _CHANGE_CANCELLED:
        said["status"] = "cancelled"
    return [Fixture(**head.fields(), **said)] if said else []


def _refs(root: etree._Element, reader: Reader) -> tuple[MarketRef, ...]:
    found = reader.each(root, market_ref)
    _want_markets(found, reader)
    return tuple(market for _, market in found)


def _want_markets(found: list[Any], reader: Reader) -> None:
    if not found and not reader.refusals:
        raise FeedError("schema", "no market is named")


def _window(root: etree._Element) -> dict[str, Any]:
    start, end = milliseconds(root, "start_time"), milliseconds(root, "end_time")
    if start is not None and end is not None and end < start:
        raise FeedError("bad_time", f"the window ends at {end}, before it starts at {start}")
    return {"from_": start, "to": end}


_OF_EVENTS: Final[Mapping[str, _Read]] = {
    "odds_change": _odds_change,
    "bet_stop": _bet_stop,
    "bet_settlement": _bet_settlement,
    "bet_cancel": _bet_cancel,
    "rollback_bet_settlement": _rollback_bet_settlement,
    "rollback_bet_cancel": _rollback_bet_cancel,
    "fixture_change": _fixture_change,
}
