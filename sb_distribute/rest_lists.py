"""The lists beside events: sports and their catalogue, competitions, participants, producers.

The rule: short lists are held whole and paged only on request; long ones are paged by the store.
"""

from typing import Final, TypeVar

import anyio
import msgspec
from quart import Response, request

from sb_core import sports
from sb_core.names import fold
from sb_core.ports import Store
from sb_core.records import CompetitionRow, NamedQuery, ParticipantRow
from sb_distribute.node import Node
from sb_distribute.rest_answers import content_tag, reply, unchanged
from sb_distribute.rest_node import READ_S_MAX, RestProblem
from sb_distribute.rest_paging import NamedAfter, page_of, read_cursor, write_cursor
from sb_distribute.rest_queries import ListQuery, NamedListQuery, NoQuery, ProducersQuery, read_query
from sb_distribute.rest_sports import catalogue_items, check_sports, sport_items
from sb_distribute.rest_types import (
    CatalogueList,
    CompetitionItem,
    CompetitionList,
    ParticipantItem,
    ParticipantList,
    ProducerItem,
    ProducerList,
    SportList,
)

_encoder: Final = msgspec.json.Encoder()
_Row = TypeVar("_Row", CompetitionRow, ParticipantRow)


class ListRoutes:
    """The views beside /v1/events."""

    def __init__(self, node: Node, store: Store) -> None:
        self._node = node
        self._store = store

    async def list_sports(self) -> Response:
        """Answer /v1/sports."""
        query = read_query(ListQuery, request.args.items(multi=True))
        page, cursor = page_of(sport_items(self._node), lambda item: (item.sport, ""), query.limit, query.cursor)
        return reply(_encoder.encode(SportList(items=tuple(page), next=cursor)))

    async def list_catalogue(self, sport: str) -> Response:
        """Answer /v1/sports/{sport}/markets."""
        query = read_query(ListQuery, request.args.items(multi=True))
        found = sports.find(sport)
        if found is None:
            known = ", ".join(sports.names())
            raise RestProblem(404, "unknown_sport", f"no sport {sport[:40]!r}; there are {known}")
        page, cursor = page_of(catalogue_items(found), lambda item: (item.market, ""), query.limit, query.cursor)
        body = _encoder.encode(CatalogueList(items=tuple(page), next=cursor))
        tag = content_tag(body)
        return unchanged(tag) or reply(body, tag)

    async def list_competitions(self) -> Response:
        """Answer /v1/competitions."""
        query = read_query(NamedListQuery, request.args.items(multi=True))
        asked = _named_query(query)
        with anyio.fail_after(READ_S_MAX):
            rows = [] if asked is None else list(await self._store.competitions(asked))
        page, cursor = _cut(rows, query.limit)
        items = tuple(_competition(row) for row in page)
        return reply(_encoder.encode(CompetitionList(items=items, next=cursor)))

    async def list_participants(self) -> Response:
        """Answer /v1/participants."""
        query = read_query(NamedListQuery, request.args.items(multi=True))
        asked = _named_query(query)
        with anyio.fail_after(READ_S_MAX):
            rows = [] if asked is None else list(await self._store.participants(asked))
        page, cursor = _cut(rows, query.limit)
        items = tuple(_participant(row) for row in page)
        return reply(_encoder.encode(ParticipantList(items=items, next=cursor)))

    async def one_participant(self, participant: str) -> Response:
        """Answer /v1/participants/{id}."""
        read_query(NoQuery, request.args.items(multi=True))
        with anyio.fail_after(READ_S_MAX):
            row = await self._store.participant(participant)
        if row is None:
            raise RestProblem(404, "unknown_participant", f"no participant {participant[:200]!r} is known")
        body = _encoder.encode(_participant(row))
        tag = content_tag(body)
        return unchanged(tag) or reply(body, tag)

    async def list_producers(self) -> Response:
        """Answer /v1/producers."""
        query = read_query(ProducersQuery, request.args.items(multi=True))
        found = [msgspec.convert(each, ProducerItem, from_attributes=True) for each in self._node.producers()]
        wanted = [each for each in found if not query.provider or each.provider in query.provider]
        page, cursor = page_of(sorted(wanted, key=_producer_key), _producer_key, query.limit, query.cursor)
        return reply(_encoder.encode(ProducerList(items=tuple(page), next=cursor)))


def _producer_key(item: ProducerItem) -> tuple[str, str]:
    return item.provider, item.producer


def _named_query(query: NamedListQuery) -> NamedQuery | None:
    """Turn what a client asks into what the store is asked; None if nothing can match."""
    check_sports(query.sport)
    after = read_cursor(NamedAfter, query.cursor)
    sought = None if query.q is None else fold(query.q)
    if sought == "":
        return None
    return NamedQuery(sports=query.sport, q=sought, after=None if after is None else after.id, limit=query.limit + 1)


def _cut(rows: list[_Row], limit: int) -> tuple[list[_Row], str | None]:
    page, rest = rows[:limit], rows[limit:]
    return page, write_cursor(NamedAfter(page[-1].id)) if rest else None


def _competition(row: CompetitionRow) -> CompetitionItem:
    return CompetitionItem(id=row.id, sport=row.sport, name=row.name, category=row.category, ts=row.ts)


def _participant(row: ParticipantRow) -> ParticipantItem:
    return ParticipantItem(id=row.id, sport=row.sport, name=row.name, event=row.event, ts=row.ts)
