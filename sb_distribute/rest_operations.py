"""What REST offers: one row per path, from which the OpenAPI document is made and the application's routes are checked.

The rule: a path that is served is a row here, and the other way round.
"""

from typing import Final

from msgspec import Struct

from sb_core import shown
from sb_distribute import rest_types as types
from sb_distribute.rest_queries import (
    EventQuery,
    EventsQuery,
    HistoryQuery,
    ListQuery,
    MarketsQuery,
    NamedListQuery,
    NoQuery,
    ProducersQuery,
)


class PathName(Struct, frozen=True):
    """The variable part of a path."""

    name: str
    text: str


class Operation(Struct, frozen=True, kw_only=True):
    """A path and what GET on it takes and gives. `problems` are the codes that may come beside those of all paths."""

    path: str
    id: str
    summary: str
    query: type[NoQuery]
    answer: type[Struct]
    name: PathName | None = None
    tagged: bool = False
    """Whether answers carry an ETag and If-None-Match is honoured."""
    problems: tuple[tuple[int, str], ...] = ()


_EVENT: Final = PathName("event", "`<provider>:<their id>`; `:` may stand raw or escaped, `/` is escaped.")
_UNKNOWN_EVENT: Final = (404, "unknown_event")

OPERATIONS: Final = (
    Operation(
        path="/v1/sports",
        id="listSports",
        summary="The sports that there are",
        query=ListQuery,
        answer=types.SportList,
    ),
    Operation(
        path="/v1/sports/{sport}/markets",
        id="listCatalogue",
        summary="A sport's catalogue of canonical markets",
        query=ListQuery,
        answer=types.CatalogueList,
        name=PathName("sport", "A sport's name."),
        tagged=True,
        problems=((404, "unknown_sport"),),
    ),
    Operation(
        path="/v1/competitions",
        id="listCompetitions",
        summary="Competitions by id",
        query=NamedListQuery,
        answer=types.CompetitionList,
        problems=((400, "unknown_sport"),),
    ),
    Operation(
        path="/v1/events",
        id="listEvents",
        summary="Events without their markets, by start (unknown first), then id",
        query=EventsQuery,
        answer=types.EventList,
        problems=((400, "unknown_sport"),),
    ),
    Operation(
        path="/v1/events/{event}",
        id="getEvent",
        summary="One event with its markets, now or as it was",
        query=EventQuery,
        answer=shown.Event,
        name=_EVENT,
        tagged=True,
        problems=(_UNKNOWN_EVENT, (404, "unknown_rev"), (410, "not_kept"), (425, "not_yet")),
    ),
    Operation(
        path="/v1/events/{event}/markets",
        id="listMarkets",
        summary="Markets of an event by (market, line)",
        query=MarketsQuery,
        answer=types.MarketList,
        name=_EVENT,
        tagged=True,
        problems=(_UNKNOWN_EVENT, (425, "not_yet")),
    ),
    Operation(
        path="/v1/events/{event}/history",
        id="listHistory",
        summary="What changed, one item a rev, ascending",
        query=HistoryQuery,
        answer=types.HistoryList,
        name=_EVENT,
        problems=(_UNKNOWN_EVENT,),
    ),
    Operation(
        path="/v1/participants",
        id="listParticipants",
        summary="Competitors and players by id",
        query=NamedListQuery,
        answer=types.ParticipantList,
        problems=((400, "unknown_sport"),),
    ),
    Operation(
        path="/v1/participants/{id}",
        id="getParticipant",
        summary="One competitor or player",
        query=NoQuery,
        answer=types.ParticipantItem,
        name=PathName("id", "`<provider>:<their id>`; `:` may stand raw or escaped, `/` is escaped."),
        tagged=True,
        problems=((404, "unknown_participant"),),
    ),
    Operation(
        path="/v1/producers",
        id="listProducers",
        summary="Providers' producers and their states",
        query=ProducersQuery,
        answer=types.ProducerList,
    ),
)

PROBLEMS_OF_ALL: Final = (
    (400, "bad_parameter"),
    (400, "bad_cursor"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (414, "too_large"),
    (429, "too_many"),
    (431, "too_large"),
    (500, "internal"),
    (503, "unavailable"),
)
"""What any path may answer."""
