"""Events over REST: the list, one event, its markets, its history and its past.

The rule: a current event comes from the node, which never goes back; lists and the past come from the store. `stale` is
the node's word of this moment on every answer, also on those about the past.
"""

from typing import Final
from urllib.parse import unquote

import anyio
import msgspec
from msgspec import Struct
from quart import Response, request

from sb_core import records
from sb_core.names import fold
from sb_core.ports import Store
from sb_core.shown import Event, Market, market_order
from sb_distribute import rest_history
from sb_distribute.node import EventSnapshot, Node
from sb_distribute.rest_answers import (
    AnswerCache,
    encode_event,
    event_tag,
    join_list,
    mark_stale,
    reply,
    sport_of,
    unchanged,
)
from sb_distribute.rest_node import READ_S_MAX, RestProblem, snapshot_of, unknown_event
from sb_distribute.rest_odds import market_in
from sb_distribute.rest_paging import EventsAfter, page_of, read_cursor, write_cursor
from sb_distribute.rest_queries import BadQueryError, EventQuery, EventsQuery, HistoryQuery, MarketsQuery, read_query
from sb_distribute.rest_sports import check_sports
from sb_distribute.rest_types import MarketList

PREFIX: Final = "/v1/events/"
PARTS: Final = ("markets", "history")
"""What may follow an event's id in a path."""


def split_path(raw: str) -> tuple[str, str | None]:
    """Split what stands after PREFIX, still escaped, into the event's id and the part asked for (or None).

    An escaped `/` belongs to the id, a raw one before one of PARTS ends it; so an id that ends in `/markets` can be
    named by escaping it.
    """
    head, slash, last = raw.rpartition("/")
    if slash and head and last in PARTS:
        return unquote(head), last
    return unquote(raw), None


class _Place(Struct, frozen=True):
    """Where an event stands in the list."""

    event: str
    start: int | None = None


_place_decoder: Final = msgspec.json.Decoder(_Place)
_encoder: Final = msgspec.json.Encoder()


class EventRoutes:
    """The views under /v1/events."""

    def __init__(self, node: Node, store: Store, answers: AnswerCache) -> None:
        self._node = node
        self._store = store
        self._answers = answers

    async def list_events(self) -> Response:
        """Answer /v1/events."""
        query = read_query(EventsQuery, request.args.items(multi=True))
        check_sports(query.sport)
        asked = store_query(query)
        if asked is None:
            return reply(join_list([], None))
        with anyio.fail_after(READ_S_MAX):
            found = list(await self._store.events(asked))
        page, rest = found[: query.limit], found[query.limit :]
        cursor = None
        if rest:
            last = _place_decoder.decode(page[-1])
            cursor = write_cursor(EventsAfter(-1 if last.start is None else last.start, last.event))
        return reply(join_list(self._with_stale(page), cursor))

    def _with_stale(self, headers: list[bytes]) -> list[bytes]:
        judged: dict[str, bool] = {}
        marked = []
        for header in headers:
            sport = sport_of(header)
            if sport not in judged:
                judged[sport] = self._node.stale(sport)
            marked.append(mark_stale(header, stale=judged[sport]))
        return marked

    async def event_or_part(self, event: str) -> Response:
        """Answer /v1/events/{event} and what lies below it. `event` is the router's; the raw path tells more."""
        raw = bytes(request.scope.get("raw_path") or b"").decode("ascii", "replace").partition("?")[0]
        name, part = split_path(raw.removeprefix(PREFIX)) if raw.startswith(PREFIX) else (event, None)
        if part == "markets":
            return await self._markets(name)
        if part == "history":
            return await self._history(name)
        return await self._event(name)

    async def _event(self, event: str) -> Response:
        query = read_query(EventQuery, request.args.items(multi=True))
        given = [name for name in ("at", "at_rev", "min_rev") if getattr(query, name) is not None]
        if len(given) > 1:
            raise BadQueryError("bad_parameter", f"`{given[0]}` and `{given[1]}` exclude each other")
        if query.at is not None or query.at_rev is not None:
            return await self._past(event, query)
        snapshot = await snapshot_of(self._node, event, query.min_rev)
        stale = self._node.stale(snapshot.event.sport)
        tag = event_tag(snapshot.lineage, snapshot.rev, stale=stale)
        return unchanged(tag) or reply(self._answers.event(snapshot, query.odds, stale=stale), tag)

    async def _past(self, event: str, query: EventQuery) -> Response:
        now = await snapshot_of(self._node, event, None)
        past = await self._state_at(now, query)
        stale = self._node.stale(past.sport)
        tag = event_tag(past.lineage, past.rev, stale=stale)
        return unchanged(tag) or reply(encode_event(past, query.odds, stale=stale), tag)

    async def _state_at(self, now: EventSnapshot, query: EventQuery) -> Event:
        event = now.event.event
        if query.at_rev == now.rev or (query.at is not None and now.event.updated <= query.at):
            return now.event
        with anyio.fail_after(rest_history.PAST_S_MAX):
            rev = query.at_rev
            if rev is None:
                rev = await rest_history.rev_at(self._store, event, query.at or 0)
            if rev is None:
                raise RestProblem(404, "unknown_event", f"event {event[:200]!r} was not known at that time")
            return await rest_history.state_at_rev(self._store, event, rev)

    async def _markets(self, event: str) -> Response:
        query = read_query(MarketsQuery, request.args.items(multi=True))
        snapshot = await snapshot_of(self._node, event, query.min_rev)
        stale = self._node.stale(snapshot.event.sport)
        tag = event_tag(snapshot.lineage, snapshot.rev, stale=stale)
        wanted = [market for market in snapshot.event.markets if _wanted(market, query)]
        page, cursor = page_of(wanted, market_order, query.limit, query.cursor)
        known = unchanged(tag)
        if known is not None:
            return known
        answer = MarketList(
            event=snapshot.event.event,
            lineage=snapshot.lineage,
            rev=snapshot.rev,
            stale=stale,
            items=[market_in(market, query.odds) for market in page],
            next=cursor,
        )
        return reply(_encoder.encode(answer), tag)

    async def _history(self, event: str) -> Response:
        query = read_query(HistoryQuery, request.args.items(multi=True))
        with anyio.fail_after(READ_S_MAX):
            if await self._node.event(event, 0) is None:
                raise unknown_event(event)
            page = await rest_history.history(self._store, event, query)
        return reply(_encoder.encode(page))


def store_query(query: EventsQuery) -> records.EventQuery | None:
    """Turn what a client asks into what the store is asked, one item more than the page to know of a next one.

    None if nothing can match: a `q` in which nothing is left to look for.
    """
    after = read_cursor(EventsAfter, query.cursor)
    sought = None if query.q is None else fold(query.q)
    if sought == "":
        return None
    return records.EventQuery(
        sports=query.sport,
        statuses=query.status,
        competitions=query.competition,
        start_from=query.from_,
        start_to=query.to,
        q=sought,
        after=None if after is None else (after.start, after.event),
        limit=query.limit + 1,
    )


def _wanted(market: Market, query: MarketsQuery) -> bool:
    return (
        (not query.market or market.market in query.market)
        and (query.line is None or market.line in query.line)
        and (not query.status or market.status in query.status)
        and (query.open is None or market.open is query.open)
    )
