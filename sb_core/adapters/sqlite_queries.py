"""What is asked of the SQLite store: plain functions of a connection, each one consistent read.

The rule: nothing here writes, and text never becomes part of a statement.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sb_core.adapters.conditions import limited, of_events, of_names
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

HOLE: Final = "?"
KEYS_IN_STATEMENT_MAX: Final = 256

_CHANGE: Final = 'topic, partition, "offset", event, lineage, rev, ts, updated, type, CAST("update" AS BLOB)'
_POSITION: Final = (
    "topic, partition, lineage, epoch, owner, next_offset, done_offset, cache_generation, CAST(state AS BLOB)"
)


def load(connection: sqlite3.Connection, events: Sequence[str]) -> Mapping[str, StoredEvent]:
    """Return the fold's state of those events that are there."""
    found: dict[str, StoredEvent] = {}
    with _snapshot(connection):
        for keys in _chunks(tuple(dict.fromkeys(events))):
            holes = _holes(keys)
            markets: dict[str, list[bytes]] = {}
            for event, state in connection.execute(
                f"SELECT event, CAST(state AS BLOB) FROM markets WHERE event IN ({holes}) ORDER BY event, market, line",  # noqa: S608 - holes only
                keys,
            ):
                markets.setdefault(event, []).append(state)
            for event, state in connection.execute(
                f"SELECT event, CAST(state AS BLOB) FROM events WHERE event IN ({holes})",  # noqa: S608 - holes only
                keys,
            ):
                found[event] = StoredEvent(event, state, tuple(markets.get(event, ())))
    return found


def listing(connection: sqlite3.Connection, partition: TopicPartition, producer: str) -> Sequence[str]:
    """Return the events of a partition that list a producer, ordered."""
    rows = connection.execute(
        "SELECT event FROM listings WHERE topic = ? AND partition = ? AND producer = ? ORDER BY event",
        (*partition, producer),
    )
    return [row[0] for row in rows]


def listed(connection: sqlite3.Connection, partition: TopicPartition, after: str, limit: int) -> Sequence[str]:
    """Return the events of a partition that list any producer, ordered, those beyond `after`."""
    rows = connection.execute(
        "SELECT DISTINCT event FROM listings WHERE topic = ? AND partition = ? AND event > ? ORDER BY event LIMIT ?",
        (*partition, after, limited(limit)),
    )
    return [row[0] for row in rows]


def outbox(connection: sqlite3.Connection, partition: TopicPartition, start: int, end: int) -> Sequence[ChangeRow]:
    """Return a partition's changes with start <= offset < end, in order."""
    rows = connection.execute(
        f'SELECT {_CHANGE} FROM changes WHERE topic = ? AND partition = ? AND "offset" >= ? AND "offset" < ?'  # noqa: S608 - constant
        ' ORDER BY "offset", event',
        (*partition, start, end),
    )
    return [ChangeRow(*row) for row in rows]


def changes(connection: sqlite3.Connection, partition: TopicPartition, start: int, limit: int) -> Sequence[ChangeRow]:
    """Return about `limit` changes from offset `start` on: never a part of an offset's changes."""
    rows = connection.execute(
        f'SELECT {_CHANGE} FROM changes WHERE topic = ?1 AND partition = ?2 AND "offset" >= ?3 AND "offset" <='  # noqa: S608 - constant
        ' (SELECT max("offset") FROM (SELECT "offset" FROM changes WHERE topic = ?1 AND partition = ?2'
        ' AND "offset" >= ?3 ORDER BY "offset" LIMIT ?4)) ORDER BY "offset", event',
        (*partition, start, limited(limit)),
    )
    return [ChangeRow(*row) for row in rows]


def history(connection: sqlite3.Connection, event: str, from_rev: int, limit: int) -> Sequence[ChangeRow]:
    """Return an event's changes from `from_rev` on, ascending.

    Where a lineage was raised, what the older one had from the newer one's first rev on doesn't count any more.
    """
    rows = connection.execute(
        f"SELECT {_CHANGE} FROM changes c WHERE event = ? AND rev >= ? AND NOT EXISTS (SELECT 1 FROM changes n"  # noqa: S608 - constant
        " WHERE n.event = c.event AND n.lineage > c.lineage AND n.rev <= c.rev) ORDER BY lineage, rev LIMIT ?",
        (event, from_rev, limited(limit)),
    )
    return [ChangeRow(*row) for row in rows]


def positions(connection: sqlite3.Connection, topics: Sequence[str]) -> Sequence[Position]:
    """Return the positions of these topics, ordered by topic and partition."""
    found: list[Position] = []
    for keys in _chunks(tuple(dict.fromkeys(topics))):
        rows = connection.execute(
            f"SELECT {_POSITION} FROM positions WHERE topic IN ({_holes(keys)}) ORDER BY topic, partition",  # noqa: S608 - constant, holes
            keys,
        )
        found.extend(Position(*row) for row in rows)
    return sorted(found, key=lambda position: (position.topic, position.partition))


def partitions(connection: sqlite3.Connection) -> Sequence[TopicPartition]:
    """Return the partitions that have a position."""
    rows = connection.execute("SELECT topic, partition FROM positions ORDER BY topic, partition")
    return [(topic, partition) for topic, partition in rows]


def position(connection: sqlite3.Connection, partition: TopicPartition) -> Position | None:
    """Return one partition's position."""
    row = connection.execute(
        f"SELECT {_POSITION} FROM positions WHERE topic = ? AND partition = ?",  # noqa: S608 - constant
        partition,
    ).fetchone()
    return Position(*row) if row else None


def account(connection: sqlite3.Connection, topics: Sequence[str]) -> Mapping[str, int]:
    """Return the counts of these topics, added by name."""
    counts: dict[str, int] = {}
    for keys in _chunks(tuple(dict.fromkeys(topics))):
        rows = connection.execute(
            f"SELECT name, sum(count) FROM account WHERE topic IN ({_holes(keys)}) GROUP BY name ORDER BY name",  # noqa: S608 - holes
            keys,
        )
        for name, count in rows:
            counts[name] = counts.get(name, 0) + count
    return counts


def event(connection: sqlite3.Connection, key: str) -> ShownEvent | None:
    """Return a whole event as shown."""
    with _snapshot(connection):
        row = connection.execute(
            "SELECT event, lineage, rev, CAST(shown AS BLOB) FROM events WHERE event = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        markets = connection.execute(
            "SELECT CAST(shown AS BLOB) FROM markets WHERE event = ? ORDER BY market, line", (key,)
        ).fetchall()
    found, lineage, rev, header = row
    return ShownEvent(found, lineage, rev, header, tuple(market for (market,) in markets))


def events(connection: sqlite3.Connection, query: EventQuery) -> Sequence[bytes]:
    """Return headers by start (unknown first), then event. `start_from` <= start < `start_to`."""
    where = of_events(query, HOLE)
    if query.after is not None:
        where.add("(ifnull(start, -1), event) > ({}, {})", *query.after)
    rows = connection.execute(
        f"SELECT CAST(shown AS BLOB) FROM events{where.sql} ORDER BY ifnull(start, -1), event LIMIT ?",  # noqa: S608 - holes
        (*where.values, limited(query.limit)),
    )
    return [row[0] for row in rows]


def participants(connection: sqlite3.Connection, query: NamedQuery) -> Sequence[ParticipantRow]:
    """Return participants by id."""
    where = of_names(query, HOLE)
    rows = connection.execute(
        f"SELECT id, sport, name, search, ts, event FROM participants{where.sql} ORDER BY id LIMIT ?",  # noqa: S608 - holes
        (*where.values, limited(query.limit)),
    )
    return [ParticipantRow(*row) for row in rows]


def participant(connection: sqlite3.Connection, key: str) -> ParticipantRow | None:
    """Return one participant."""
    row = connection.execute(
        "SELECT id, sport, name, search, ts, event FROM participants WHERE id = ?", (key,)
    ).fetchone()
    return ParticipantRow(*row) if row else None


def competitions(connection: sqlite3.Connection, query: NamedQuery) -> Sequence[CompetitionRow]:
    """Return competitions by id."""
    where = of_names(query, HOLE)
    rows = connection.execute(
        f"SELECT id, sport, name, category, search, ts, event FROM competitions{where.sql} ORDER BY id LIMIT ?",  # noqa: S608 - holes
        (*where.values, limited(query.limit)),
    )
    return [CompetitionRow(*row) for row in rows]


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")  # nothing was written


def _chunks(keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Cut into pieces of few different lengths (the last key repeats), so that few statements are compiled."""
    for i in range(0, len(keys), KEYS_IN_STATEMENT_MAX):
        piece = keys[i : i + KEYS_IN_STATEMENT_MAX]
        size = next(size for size in (1, 4, 16, 64, KEYS_IN_STATEMENT_MAX) if size >= len(piece))
        yield piece + piece[-1:] * (size - len(piece))


def _holes(keys: tuple[str, ...]) -> str:
    return ",".join("?" * len(keys))
