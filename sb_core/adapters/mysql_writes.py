"""What is written to the MySQL store: each function is the inside of one transaction, on the bridge's loop.

The rules: who writes a partition's rows passes its fence first, in the same transaction; older never replaces newer by
a guard in the statement, for nothing is read and then written.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import astuple

from sb_core.adapters.mysql_bulk import Bulk, Row, pieces, replacing
from sb_core.adapters.mysql_connect import QuietCursor
from sb_core.adapters.mysql_queries import POSITION, ending_in_json, query
from sb_core.errors import FencedError
from sb_core.records import Batch, ChangeRow, EventRow, MarketRow, Position, TopicPartition
from sb_core.topics import partition_of

_EVENT_COLUMNS: Final = EventRow.__struct_fields__
_MARKET_COLUMNS: Final = MarketRow.__struct_fields__
_CHANGE_COLUMNS: Final = ChangeRow.__struct_fields__
_FENCE: Final = (
    "UPDATE positions SET next_offset = %s, done_offset = %s, state = %s"
    " WHERE topic = %s AND `partition` = %s AND epoch = %s AND owner = %s AND next_offset = %s"
    " AND done_offset >= %s AND cache_generation >= %s"
)
# A rev is given once: a batch that began below the rev that stands makes NULL of a column that can't be, and is refused.
# `lineage` and `rev` last, for assignments see those before them.
_ONWARD: Final = "VALUES(lineage) > lineage OR (VALUES(lineage) = lineage AND VALUES(base_rev) >= rev)"
_EVENTS: Final = Bulk(
    "events",
    (*_EVENT_COLUMNS, "base_rev"),
    1,
    f"base_rev = IF({_ONWARD}, VALUES(base_rev), NULL), "
    + replacing([column for column in _EVENT_COLUMNS[1:] if column not in {"lineage", "rev"}])
    + ", "
    + replacing(("lineage", "rev")),
    (6, 7, 9),
)
_MARKETS: Final = Bulk("markets", _MARKET_COLUMNS, 3, replacing(_MARKET_COLUMNS[3:]), (5,))
_OUTCOMES: Final = Bulk(
    "outcomes",
    ("event", "market", "line", "outcome", "name", "odds", "active", "result"),
    4,
    replacing(("name", "odds", "active", "result")),
    (4, 5, 7),
)
_CHANGES: Final = Bulk("changes", _CHANGE_COLUMNS, 4)
_LISTINGS: Final = Bulk("listings", ("topic", "partition", "producer", "event"), 4, "event = VALUES(event)")
_COUNTS: Final = Bulk("account", ("topic", "partition", "name", "count"), 3, "`count` = `count` + VALUES(`count`)")


def _guarded(columns: tuple[str, ...]) -> str:
    """Replace a row by one that is not older by (ts, event); these two last, for assignments see those before them."""
    newer = "VALUES(ts) > ts OR (VALUES(ts) = ts AND VALUES(event) >= event)"
    return ", ".join(
        [f"{column} = IF({newer}, VALUES({column}), {column})" for column in (*columns, "event")]
        + ["ts = GREATEST(ts, VALUES(ts))"]
    )


_PARTICIPANTS: Final = Bulk(
    "participants",
    ("id", "sport", "name", "search", "ts", "event"),
    1,
    _guarded(("sport", "name", "search")),
    (2,),
)
_COMPETITIONS: Final = Bulk(
    "competitions",
    ("id", "sport", "name", "category", "search", "ts", "event"),
    1,
    _guarded(("sport", "name", "category", "search")),
    (2, 3),
)


async def commit(cursor: QuietCursor, batches: Sequence[Batch]) -> None:
    """Write batches of different partitions, all or none. Raises FencedError."""
    await _pass_fences(cursor, batches)
    await _EVENTS.write(cursor, [row for batch in batches for row in _events(batch)])
    await _MARKETS.write(cursor, [_texts(row, 2) for batch in batches for row in batch.markets])
    await _OUTCOMES.write(cursor, [astuple(row) for batch in batches for row in batch.outcomes])
    await _CHANGES.write(cursor, [_texts(row, 1) for batch in batches for row in batch.changes])
    await _PARTICIPANTS.write(cursor, [astuple(row) for batch in batches for row in batch.participants])
    await _COMPETITIONS.write(cursor, [astuple(row) for batch in batches for row in batch.competitions])
    await _LISTINGS.write(
        cursor, [(batch.topic, batch.partition, *pair) for batch in batches for pair in batch.listings]
    )
    await _COUNTS.write(
        cursor,
        [(batch.topic, batch.partition, *count) for batch in batches for count in batch.counts.items() if count[1]],
    )


async def _pass_fences(cursor: QuietCursor, batches: Sequence[Batch]) -> None:
    """Move the positions, all in one round trip where the server takes rows in binary form."""
    ordered = sorted(batches, key=lambda each: (each.topic, each.partition))
    moved = 0
    for piece in pieces([_fence(batch) for batch in ordered]):
        moved += await cursor.executemany(_FENCE, piece) or 0
    if moved != len(batches):
        stood = [f"{each.topic}/{each.partition} at {each.expected} in epoch {each.epoch}" for each in ordered]
        raise FencedError(f"not {' and '.join(stood)} any more")


def _fence(batch: Batch) -> Row:
    place, owner = (batch.topic, batch.partition), (batch.epoch, batch.owner)
    after = batch.next_offset, batch.done_offset, batch.state.decode()
    return (*after, *place, *owner, batch.expected, batch.done_before, batch.cache_generation)


def _events(batch: Batch) -> list[Row]:
    """Return a batch's event rows, each with the rev before the first that the batch gives."""
    began: dict[str, int] = {}
    for change in batch.changes:
        began[change.event] = min(began.get(change.event, change.rev), change.rev - 1)
    return [(*_texts(row, 2), began.get(row.event, row.rev)) for row in batch.events]


def _texts(row: Any, count: int) -> Row:
    """Make a row whose last `count` columns are JSON into one of texts."""
    values = astuple(row)
    return (*values[:-count], *(value.decode() for value in values[-count:]))


async def claim(cursor: QuietCursor, partition: TopicPartition, owner: str) -> Position:
    """Raise the epoch and write the owner; the position is made at offset 0 when missing."""
    await cursor.execute(
        "INSERT INTO positions VALUES (%s, %s, 1, 1, %s, 0, 0, 1, '{}')"
        " ON DUPLICATE KEY UPDATE epoch = epoch + 1, owner = VALUES(owner)",
        (*partition, owner),
    )
    rows = await query(cursor, f"SELECT {POSITION} FROM positions WHERE topic = %s AND `partition` = %s", partition)  # noqa: S608  constant
    return Position(*ending_in_json(rows[0]))


async def raise_cache_generation(
    cursor: QuietCursor, partition: TopicPartition, epoch: int, owner: str, by: int
) -> int:
    """Return the new generation. Raises FencedError."""
    changed = await cursor.execute(
        "UPDATE positions SET cache_generation = cache_generation + %s"
        " WHERE topic = %s AND `partition` = %s AND epoch = %s AND owner = %s",
        (by, *partition, epoch, owner),
    )
    if changed != 1:
        raise FencedError(f"{partition[0]}/{partition[1]}: not in epoch {epoch} any more")
    return await _own(cursor, "cache_generation", partition)


async def raise_lineage(cursor: QuietCursor, partition: TopicPartition, next_offset: int, above: int, by: int) -> int:
    """Return the new lineage, above its own and this one. The epoch rises too, so that whoever held the partition must claim it again."""
    await cursor.execute(
        "INSERT INTO positions VALUES (%s, %s, %s, 1, '', %s, %s, %s, '{}') ON DUPLICATE KEY UPDATE"
        " lineage = GREATEST(lineage + 1, VALUES(lineage)), epoch = epoch + 1, owner = '', next_offset = VALUES(next_offset),"
        " done_offset = VALUES(done_offset), cache_generation = cache_generation + VALUES(cache_generation)",
        (*partition, max(above, 1) + 1, next_offset, next_offset, by),
    )
    return await _own(cursor, "lineage", partition)


async def repartition(cursor: QuietCursor, topic: str, lineage: int, states: Sequence[bytes], by: int) -> None:
    """Go on with as many partitions as there are states."""
    found = await query(cursor, "SELECT producer, event FROM listings WHERE topic = %s", (topic,))
    await cursor.execute("DELETE FROM listings WHERE topic = %s", (topic,))
    await _LISTINGS.write(cursor, [(topic, partition_of(row[1], len(states)), *row) for row in found])
    rows = await query(cursor, "SELECT IFNULL(MAX(cache_generation), 0) FROM positions WHERE topic = %s", (topic,))
    for number, state in enumerate(states):
        await cursor.execute(
            "INSERT INTO positions VALUES (%s, %s, %s, 1, '', 0, 0, %s, %s) ON DUPLICATE KEY UPDATE"
            " lineage = VALUES(lineage), epoch = epoch + 1, owner = '',"
            " cache_generation = VALUES(cache_generation), state = VALUES(state)",
            (topic, number, lineage, int(rows[0][0]) + by, state.decode()),
        )


async def _own(cursor: QuietCursor, column: str, partition: TopicPartition) -> int:
    """Read back what this transaction wrote and holds locked."""
    rows = await query(cursor, f"SELECT {column} FROM positions WHERE topic = %s AND `partition` = %s", partition)  # noqa: S608  constant
    return int(rows[0][0])
