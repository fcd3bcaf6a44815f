"""What is asked of the MySQL store: each function is one statement, or several of which each is consistent in itself.

The rules: what must be seen at one moment is asked in one statement, for under READ COMMITTED each sees its own; text
never becomes part of a statement but through the driver's escaping. Statements differ in length, so that they are sent
as text: prepared ones would push each other out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sb_core.adapters.conditions import limited, of_events, of_names
from sb_core.adapters.mysql_connect import QuietCursor
from sb_core.records import (
    ChangeRow,
    CompetitionRow,
    EventQuery,
    NamedQuery,
    ParticipantRow,
    Position,
    ShownEvent,
    StoredEvent,
    TopicPartition,
)

HOLE: Final = "%s"
KEYS_IN_STATEMENT_MAX: Final = 1_000

POSITION: Final = "topic, `partition`, lineage, epoch, owner, next_offset, done_offset, cache_generation, state"
_CHANGE: Final = "topic, `partition`, `offset`, event, lineage, rev, ts, updated, type, `update`"


async def query(cursor: QuietCursor, statement: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
    """Send a statement as text and return all rows."""
    await cursor.execute(cursor.mogrify(statement, tuple(values)))
    rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    return rows


def ending_in_json(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row whose last column is JSON, as bytes."""
    return (*row[:-1], row[-1].encode())


async def load(cursor: QuietCursor, events: Sequence[str]) -> Mapping[str, StoredEvent]:
    """Return the fold's state of those events that are there."""
    found: dict[str, StoredEvent] = {}
    for keys in _chunks(events):
        holes = _holes(keys)
        states: dict[str, bytes] = {}
        markets: dict[str, list[tuple[str, str, bytes]]] = {}
        for is_market, event_id, market, line, state in await query(
            cursor,
            f"SELECT 0, event, '', '', state FROM events WHERE event IN ({holes}) UNION ALL"  # noqa: S608  holes only
            f" SELECT 1, event, market, line, state FROM markets WHERE event IN ({holes})",
            (*keys, *keys),
        ):
            if is_market:
                markets.setdefault(event_id, []).append((market, line, state.encode()))
            else:
                states[event_id] = state.encode()
        for event_id, state in states.items():
            ordered = sorted(markets.get(event_id, ()))
            found[event_id] = StoredEvent(event_id, state, tuple(each[2] for each in ordered))
    return found


async def event(cursor: QuietCursor, key: str) -> ShownEvent | None:
    """Return a whole event as shown."""
    rows = await query(
        cursor,
        "SELECT 0 AS is_market, '' AS market, '' AS line, lineage, rev, shown FROM events WHERE event = %s UNION ALL"
        " SELECT 1, market, line, 0, 0, shown FROM markets WHERE event = %s",
        (key, key),
    )
    head = next((row for row in rows if not row[0]), None)
    if head is None:
        return None
    ordered = sorted((market, line, shown) for is_market, market, line, _, _, shown in rows if is_market)
    return ShownEvent(key, head[3], head[4], head[5].encode(), tuple(shown.encode() for _, _, shown in ordered))


async def listing(cursor: QuietCursor, partition: TopicPartition, producer: str) -> Sequence[str]:
    """Return the events of a partition that list a producer, ordered."""
    rows = await query(
        cursor,
        "SELECT event FROM listings WHERE topic = %s AND `partition` = %s AND producer = %s ORDER BY event",
        (*partition, producer),
    )
    return [row[0] for row in rows]


async def listed(cursor: QuietCursor, partition: TopicPartition, after: str, limit: int) -> Sequence[str]:
    """Return the events of a partition that list any producer, ordered, those beyond `after`."""
    rows = await query(
        cursor,
        "SELECT DISTINCT event FROM listings WHERE topic = %s AND `partition` = %s AND event > %s"
        " ORDER BY event LIMIT %s",
        (*partition, after, limited(limit)),
    )
    return [row[0] for row in rows]


async def outbox(cursor: QuietCursor, partition: TopicPartition, start: int, end: int) -> Sequence[ChangeRow]:
    """Return a partition's changes with start <= offset < end, in order."""
    return await _changes(
        cursor,
        "WHERE topic = %s AND `partition` = %s AND `offset` >= %s AND `offset` < %s ORDER BY `offset`, event",
        (*partition, start, end),
    )


async def changes(cursor: QuietCursor, partition: TopicPartition, start: int, limit: int) -> Sequence[ChangeRow]:
    """Return about `limit` changes from offset `start` on: never a part of an offset's changes."""
    return await _changes(
        cursor,
        "WHERE topic = %s AND `partition` = %s AND `offset` >= %s AND `offset` <= (SELECT max(page.`offset`) FROM"
        " (SELECT `offset` FROM changes WHERE topic = %s AND `partition` = %s AND `offset` >= %s"
        " ORDER BY `offset` LIMIT %s) AS page) ORDER BY `offset`, event",
        (*partition, start, *partition, start, limited(limit)),
    )


async def history(cursor: QuietCursor, event_id: str, from_rev: int, limit: int) -> Sequence[ChangeRow]:
    """Return an event's changes from `from_rev` on, ascending.

    Where a lineage was raised, what the older one had from the newer one's first rev on doesn't count any more. Each
    lineage is looked up once: asked for each change, it would cost the square of their number.
    """
    return await _changes(
        cursor,
        "c WHERE event = %s AND rev >= %s AND NOT EXISTS (SELECT 1 FROM (SELECT lineage, MIN(rev) AS began FROM changes"
        " WHERE event = %s GROUP BY lineage) AS n WHERE n.lineage > c.lineage AND n.began <= c.rev)"
        " ORDER BY lineage, rev LIMIT %s",
        (event_id, from_rev, event_id, limited(limit)),
    )


async def positions(cursor: QuietCursor, topics: Sequence[str]) -> Sequence[Position]:
    """Return the positions of these topics, ordered by topic and partition."""
    found: list[Position] = []
    for keys in _chunks(topics):
        rows = await query(
            cursor,
            f"SELECT {POSITION} FROM positions WHERE topic IN ({_holes(keys)})",  # noqa: S608  constant, holes
            keys,
        )
        found.extend(Position(*ending_in_json(row)) for row in rows)
    return sorted(found, key=lambda each: (each.topic, each.partition))


async def account(cursor: QuietCursor, topics: Sequence[str]) -> Mapping[str, int]:
    """Return the counts of these topics, added by name."""
    counts: dict[str, int] = {}
    for keys in _chunks(topics):
        for name, count in await query(
            cursor,
            f"SELECT name, sum(`count`) FROM account WHERE topic IN ({_holes(keys)}) GROUP BY name ORDER BY name",  # noqa: S608  holes
            keys,
        ):
            counts[name] = counts.get(name, 0) + int(count)
    return counts


async def events(cursor: QuietCursor, asked: EventQuery) -> Sequence[bytes]:
    """Return headers by start (unknown first), then event. `start_from` <= start < `start_to`."""
    where = of_events(asked, HOLE)
    if asked.after is not None:
        # written out: of a comparison of rows the optimizer makes no range
        start, event_id = asked.after
        where.add("start_order >= {} AND (start_order > {} OR event > {})", start, start, event_id)
    rows = await query(
        cursor,
        f"SELECT shown FROM events{where.sql} ORDER BY start_order, event LIMIT %s",  # noqa: S608  holes
        (*where.values, limited(asked.limit)),
    )
    return [row[0].encode() for row in rows]


async def participants(cursor: QuietCursor, asked: NamedQuery) -> Sequence[ParticipantRow]:
    """Return participants by id."""
    where = of_names(asked, HOLE)
    rows = await query(
        cursor,
        f"SELECT id, sport, name, search, ts, event FROM participants{where.sql} ORDER BY id LIMIT %s",  # noqa: S608  holes
        (*where.values, limited(asked.limit)),
    )
    return [ParticipantRow(*row) for row in rows]


async def participant(cursor: QuietCursor, key: str) -> ParticipantRow | None:
    """Return one participant."""
    rows = await query(cursor, "SELECT id, sport, name, search, ts, event FROM participants WHERE id = %s", (key,))
    return ParticipantRow(*rows[0]) if rows else None


async def competitions(cursor: QuietCursor, asked: NamedQuery) -> Sequence[CompetitionRow]:
    """Return competitions by id."""
    where = of_names(asked, HOLE)
    rows = await query(
        cursor,
        f"SELECT id, sport, name, category, search, ts, event FROM competitions{where.sql} ORDER BY id LIMIT %s",  # noqa: S608  holes
        (*where.values, limited(asked.limit)),
    )
    return [CompetitionRow(*row) for row in rows]


async def ping(cursor: QuietCursor) -> None:
    """Ask for nothing."""
    await query(cursor, "SELECT 1")


async def _changes(cursor: QuietCursor, rest: str, values: Sequence[Any]) -> Sequence[ChangeRow]:
    rows = await query(cursor, f"SELECT {_CHANGE} FROM changes {rest}", values)  # noqa: S608  constants
    return [ChangeRow(*ending_in_json(row)) for row in rows]


def _chunks(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    once = tuple(dict.fromkeys(keys))
    for i in range(0, len(once), KEYS_IN_STATEMENT_MAX):
        yield once[i : i + KEYS_IN_STATEMENT_MAX]


def _holes(keys: Sequence[str]) -> str:
    return ",".join(["%s"] * len(keys))
