"""The change log by day: a partition per UTC day, made ahead of time, dropped whole when it is old and sent.

The rules: nothing is dropped that its feed partition's `done_offset` has not passed, whatever its age, and of a day
nothing before all of it; one process at a time looks after it, others leave it to that one.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from sb_core.adapters.mysql_connect import QuietCursor
from sb_core.adapters.mysql_queries import query

DAY_MS: Final = 86_400_000
DAYS_AHEAD: Final = 7
"""Days that are there before they begin; a database that nobody looks after for longer puts all into `later`."""
KEEP_HOUSE_S: Final = 600.0
LATER: Final = "later"

_LOCK: Final = "CONCAT('sb_days:', DATABASE())"


class Day(Struct, frozen=True):
    """A partition of the change log, with all below `end_ms` that the days before it don't hold; None: no end."""

    name: str
    end_ms: int | None


async def keep_house(cursor: QuietCursor, now_ms: int, before_ms: int) -> int:
    """Make the days to come, drop those that ended before then; return how many rows went."""
    ((got,),) = await query(cursor, f"SELECT GET_LOCK({_LOCK}, 0)")
    if got != 1:
        return 0  # another process is at it
    try:
        days = await _days(cursor)
        await _make_ahead(cursor, days, now_ms)
        return await _drop(cursor, [day for day in days if day.end_ms is not None and day.end_ms <= before_ms])
    finally:
        await query(cursor, f"SELECT RELEASE_LOCK({_LOCK})")


async def _days(cursor: QuietCursor) -> list[Day]:
    rows = await query(
        cursor,
        "SELECT partition_name, partition_description FROM information_schema.partitions"
        " WHERE table_schema = DATABASE() AND table_name = 'changes' ORDER BY partition_ordinal_position",
    )
    return [Day(name, None if end == "MAXVALUE" else int(end)) for name, end in rows]


async def _make_ahead(cursor: QuietCursor, days: list[Day], now_ms: int) -> None:
    """Part `later`, which is empty unless nobody looked for long, into days."""
    known = max((day.end_ms for day in days if day.end_ms is not None), default=None)
    today = now_ms - now_ms % DAY_MS
    first = today if known is None else known + DAY_MS
    ends = range(first, today + DAYS_AHEAD * DAY_MS + 1, DAY_MS)
    if not ends:
        return
    parts = [f"PARTITION {_name(end)} VALUES LESS THAN ({end})" for end in ends]
    parts.append(f"PARTITION {LATER} VALUES LESS THAN MAXVALUE")
    await cursor.execute(f"ALTER TABLE changes REORGANIZE PARTITION {LATER} INTO ({', '.join(parts)})")


async def _drop(cursor: QuietCursor, days: list[Day]) -> int:
    done = {
        (topic, partition): offset
        for topic, partition, offset in await query(cursor, "SELECT topic, `partition`, done_offset FROM positions")
    }
    dropped = 0
    for day in days:
        newest = await query(
            cursor,
            f"SELECT topic, `partition`, MAX(`offset`), COUNT(*) FROM changes PARTITION ({day.name})"  # noqa: S608  a name of ours
            " GROUP BY topic, `partition`",
        )
        if all(offset < done.get((topic, partition), 0) for topic, partition, offset, _ in newest):
            await cursor.execute(f"ALTER TABLE changes DROP PARTITION {day.name}")
            dropped += sum(count for *_, count in newest)
    return dropped


def _name(end_ms: int) -> str:
    """Name a partition by the last day that it holds."""
    return f"d{datetime.fromtimestamp(end_ms / 1000 - 1, UTC):%Y%m%d}"
