"""REST answers about events: fixtures, summaries and schedules become fixture (and score) messages.

The rule: only what a document says becomes part of a message; what it doesn't mention stays unchanged.
"""

from collections.abc import Iterator
from typing import Any, Final

from lxml import etree
from msgspec import UNSET, UnsetType

from sb_core.errors import FeedError
from sb_core.messages import AnyMessage, Competition, Competitor, Fixture, Player, Side
from sb_ingest.providers import Knowledge, Normalised, Refusal
from sb_ingest.providers.uof_document import (
    PROVIDER,
    Head,
    child,
    children,
    date_time,
    event_of,
    required,
    sport_of,
)
from sb_ingest.providers.uof_status import event_status, score_message, team_details
from sb_ingest.xml import local

DOCUMENTS: Final = frozenset({"fixtures_fixture", "match_summary", "schedule"})


def normalise_rest(root: etree._Element, document: bytes, knowledge: Knowledge, producer: str) -> Normalised:
    """Turn a REST answer into messages, event by event. Raises FeedError where the document has no time or no event."""
    ts = date_time(root, "generated_at")
    if ts is None:
        raise FeedError("bad_time", f"{local(root)} has no generated_at")
    events = [each for each in root if local(each) in {"fixture", "sport_event"}]
    if not events:
        raise FeedError("schema", f"{local(root)} describes no event")
    messages: list[AnyMessage] = []
    refusals: list[Refusal] = []
    for element in events:
        event: str | None = None
        try:
            event = event_of(element.get("id"))
            sport = sport_of(event, knowledge, _sport(element))
            head = Head(event=event, sport=sport, ts=ts, producer=producer, document=document)
        except FeedError as error:
            refusals.append(_refusal(error, document, event, ts, producer))
            continue
        try:
            messages.append(_fixture(element, head))
        except FeedError as error:
            refusals.append(head.refuse(error))
        # only a summary has a status, and it describes one event
        for status in children(root, "sport_event_status") if len(events) == 1 else ():
            try:
                messages.append(score_message(status, head, team_details(root, _sides(element))))
            except FeedError as error:
                refusals.append(head.refuse(error))
    return Normalised(messages=tuple(messages), refusals=tuple(refusals))


def _refusal(error: FeedError, document: bytes, event: str | None, ts: int, producer: str) -> Refusal:
    return Refusal(
        code=error.code,
        message=error.message,
        raw=document,
        event=event,
        ts=ts,
        provider=PROVIDER,
        producer=producer,
    )


def _fixture(element: etree._Element, head: Head) -> Fixture:
    start = date_time(element, "start_time")
    if start is None:
        start = date_time(element, "scheduled")
    said: dict[str, Any] = {}
    competitors = _competitors(element)
    if competitors is not UNSET:
        said["competitors"] = competitors
    name = element.get("name") or _versus(competitors)
    if name:
        said["name"] = name
    if start is not None:
        said["start"] = start
    competition = _competition(element)
    if competition is not None:
        said["competition"] = competition
    for field in ("replaces", "replaced_by"):
        other = element.get(field)
        if other:
            said[field] = event_of(other)
    return Fixture(**head.fields(), status=event_status(element.get("status")), **said)


def _sport(element: etree._Element) -> str | None:
    """Return the Sportradar id of the sport that an event, its tournament or its season names."""
    for parent in (element, child(element, "tournament"), child(element, "season")):
        sport = child(parent, "sport") if parent is not None else None
        if sport is not None and sport.get("id"):
            return sport.get("id")
    return None


def _competition(element: etree._Element) -> Competition | None:
    tournament = child(element, "tournament")
    if tournament is None:
        return None
    category = child(tournament, "category")
    return Competition(
        id=f"{PROVIDER}:{required(tournament, 'id')}",
        name=tournament.get("name"),
        category=category.get("name") if category is not None else None,
    )


def _competitors(element: etree._Element) -> tuple[Competitor, ...] | UnsetType:
    group = child(element, "competitors")
    if group is None:
        return UNSET
    return tuple(
        Competitor(
            id=f"{PROVIDER}:{required(each, 'id')}",
            name=each.get("name"),
            side=_side(each.get("qualifier")),
            players=tuple(_players(each)),
        )
        for each in children(group, "competitor")
    )


def _players(competitor: etree._Element) -> Iterator[Player]:
    players = child(competitor, "players")
    for player in () if players is None else children(players, "player"):
        yield Player(id=f"{PROVIDER}:{required(player, 'id')}", name=player.get("name"))


def _side(qualifier: str | None) -> Side | None:
    if qualifier == "home":
        return "home"
    return "away" if qualifier == "away" else None


def _versus(competitors: tuple[Competitor, ...] | UnsetType) -> str | None:
    """Name a match after its two sides; None unless both are there."""
    if competitors is UNSET:
        return None
    sides = {each.side: each.name for each in competitors if each.side and each.name}
    return f"{sides['home']} vs {sides['away']}" if len(sides) == 2 else None


def _sides(element: etree._Element) -> dict[str, str]:
    group = child(element, "competitors")
    found = {}
    for each in () if group is None else children(group, "competitor"):
        side = _side(each.get("qualifier"))
        if side is not None:
            found[each.get("id", "")] = str(side)
    return found
