"""What is written to the SQLite store: plain functions of a connection, each one transaction.

The rule: who writes a partition's rows passes its fence first, in the same transaction.
"""

import sqlite3
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from msgspec.structs import astuple

from sb_core.adapters.sqlite_bulk import Bulk
from sb_core.adapters.sqlite_connect import transaction
from sb_core.adapters.sqlite_queries import position
from sb_core.errors import FencedError
from sb_core.records import Batch, Position, TopicPartition
from sb_core.topics import partition_of

PRUNED_ROWS_MAX: Final = 1_000
"""Rows that one transaction of `prune` looks at, so that commits don't wait for it."""

_FENCE: Final = (
    "UPDATE positions SET next_offset = ?, done_offset = ?, state = CAST(? AS TEXT)"
    " WHERE topic = ? AND partition = ? AND epoch = ? AND owner = ? AND next_offset = ?"
    " AND done_offset >= ? AND cache_generation >= ?"
)
_EVENTS: Final = Bulk(
    "INSERT INTO events",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,CAST(? AS TEXT),CAST(? AS TEXT))",
    "ON CONFLICT (event) DO UPDATE SET topic = excluded.topic, partition = excluded.partition,"
    " sport = excluded.sport, lineage = excluded.lineage, rev = excluded.rev, name = excluded.name,"
    " start = excluded.start, status = excluded.status, competition = excluded.competition, ts = excluded.ts,"
    " updated = excluded.updated, search = excluded.search, shown = excluded.shown, state = excluded.state",
)
_MARKETS: Final = Bulk(
    "INSERT INTO markets",
    "(?,?,?,?,?,?,?,CAST(? AS TEXT),CAST(? AS TEXT))",
    "ON CONFLICT (event, market, line) DO UPDATE SET status = excluded.status, open = excluded.open,"
    " producer = excluded.producer, ts = excluded.ts, shown = excluded.shown, state = excluded.state",
)
_OUTCOMES: Final = Bulk(
    "INSERT INTO outcomes",
    "(?,?,?,?,?,?,?,?)",
    "ON CONFLICT (event, market, line, outcome) DO UPDATE SET name = excluded.name, odds = excluded.odds,"
    " active = excluded.active, result = excluded.result",
)
_CHANGES: Final = Bulk("INSERT INTO changes", "(?,?,?,?,?,?,?,?,?,CAST(? AS TEXT))")
_PARTICIPANTS: Final = Bulk(
    "INSERT INTO participants",
    "(?,?,?,?,?,?)",
    "ON CONFLICT (id) DO UPDATE SET sport = excluded.sport, name = excluded.name, search = excluded.search,"
    " ts = excluded.ts, event = excluded.event WHERE (excluded.ts, excluded.event) >= (ts, event)",
)
_COMPETITIONS: Final = Bulk(
    "INSERT INTO competitions",
    "(?,?,?,?,?,?,?)",
    "ON CONFLICT (id) DO UPDATE SET sport = excluded.sport, name = excluded.name, category = excluded.category,"
    " search = excluded.search, ts = excluded.ts, event = excluded.event"
    " WHERE (excluded.ts, excluded.event) >= (ts, event)",
)
_LISTINGS: Final = Bulk("INSERT OR IGNORE INTO listings", "(?,?,?,?)")
_COUNTS: Final = Bulk(
    "INSERT INTO account",
    "(?,?,?,?)",
    "ON CONFLICT (topic, partition, name) DO UPDATE SET count = count + excluded.count",
)


def commit(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write a batch, all or nothing. Raises FencedError."""
    place = batch.topic, batch.partition
    with transaction(connection):
        fenced = connection.execute(
            _FENCE,
            (
                batch.next_offset,
                batch.done_offset,
                batch.state,
                *place,
                batch.epoch,
                batch.owner,
                batch.expected,
                batch.done_before,
                batch.cache_generation,
            ),
        )
        if fenced.rowcount != 1:
            raise FencedError(f"{place[0]}/{place[1]}: not at {batch.expected} in epoch {batch.epoch} any more")
        for bulk, rows in (
            (_EVENTS, batch.events),
            (_MARKETS, batch.markets),
            (_OUTCOMES, batch.outcomes),
            (_CHANGES, batch.changes),
            (_PARTICIPANTS, batch.participants),
            (_COMPETITIONS, batch.competitions),
        ):
            bulk.write(connection, [astuple(row) for row in rows])
        _LISTINGS.write(connection, [(*place, *pair) for pair in batch.listings])
        _COUNTS.write(connection, [(*place, *count) for count in batch.counts.items() if count[1]])


def claim(connection: sqlite3.Connection, partition: TopicPartition, owner: str) -> Position:
    """Raise the epoch and write the owner; the position is made at offset 0 when missing."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO positions VALUES (?, ?, 1, 1, ?, 0, 0, 1, '{}')"
            " ON CONFLICT (topic, partition) DO UPDATE SET epoch = epoch + 1, owner = excluded.owner",
            (*partition, owner),
        )
        found = position(connection, partition)
        assert found is not None  # noqa: S101 - just written
        return found


def raise_cache_generation(
    connection: sqlite3.Connection, partition: TopicPartition, epoch: int, owner: str, by: int
) -> int:
    """Return the new generation. Raises FencedError."""
    with transaction(connection):
        row = connection.execute(
            "UPDATE positions SET cache_generation = cache_generation + ?"
            " WHERE topic = ? AND partition = ? AND epoch = ? AND owner = ? RETURNING cache_generation",
            (by, *partition, epoch, owner),
        ).fetchall()
        if not row:
            raise FencedError(f"{partition[0]}/{partition[1]}: not in epoch {epoch} any more")
        return int(row[0][0])


def raise_lineage(
    connection: sqlite3.Connection, partition: TopicPartition, next_offset: int, above: int, by: int
) -> int:
    """Return the new lineage, above its own and this one. The epoch rises too, so that whoever held the partition must claim it again."""
    with transaction(connection):
        row = connection.execute(
            "INSERT INTO positions VALUES (?, ?, ?, 1, '', ?, ?, ?, '{}') ON CONFLICT (topic, partition)"
            " DO UPDATE SET lineage = max(lineage + 1, excluded.lineage), epoch = epoch + 1, owner = '',"
            " next_offset = excluded.next_offset, done_offset = excluded.done_offset,"
            " cache_generation = cache_generation + excluded.cache_generation RETURNING lineage",
            (*partition, max(above, 1) + 1, next_offset, next_offset, by),
        ).fetchall()
        return int(row[0][0])


def repartition(connection: sqlite3.Connection, topic: str, lineage: int, states: Sequence[bytes], by: int) -> None:
    """Go on with as many partitions as there are states."""
    with transaction(connection):
        found = connection.execute("SELECT producer, event FROM listings WHERE topic = ?", (topic,)).fetchall()
        connection.execute("DELETE FROM listings WHERE topic = ?", (topic,))
        _LISTINGS.write(connection, [(topic, partition_of(row[1], len(states)), *row) for row in found])
        (highest,) = connection.execute(
            "SELECT ifnull(max(cache_generation), 0) FROM positions WHERE topic = ?", (topic,)
        ).fetchone()
        connection.executemany(
            "INSERT INTO positions VALUES (?, ?, ?, 1, '', 0, 0, ?, CAST(? AS TEXT)) ON CONFLICT (topic, partition)"
            " DO UPDATE SET lineage = excluded.lineage, epoch = epoch + 1, owner = '',"
            " cache_generation = excluded.cache_generation, state = excluded.state",
            [(topic, number, lineage, highest + by, state) for number, state in enumerate(states)],
        )


def prune_changes(connection: sqlite3.Connection, partition: TopicPartition, before_ms: int) -> int:
    """Remove a partition's oldest changes, those received before then and sent; return how many, 0 when none is left.

    The first that is younger ends it, so that nothing is ever searched for in all of the log.
    """
    with transaction(connection):
        oldest = connection.execute(
            'SELECT c."offset", c.updated FROM changes c JOIN positions p ON p.topic = c.topic'
            ' AND p.partition = c.partition WHERE c.topic = ? AND c.partition = ? AND c."offset" < p.done_offset'
            ' ORDER BY c."offset", c.event LIMIT ?',
            (*partition, PRUNED_ROWS_MAX),
        ).fetchall()
        old = takewhile(lambda row: row[1] < before_ms, oldest)
        last = max((offset for offset, _ in old), default=None)
        if last is None:
            return 0
        return connection.execute(
            'DELETE FROM changes WHERE topic = ? AND partition = ? AND "offset" <= ? AND updated < ?',
            (*partition, last, before_ms),
        ).rowcount
