"""The embedded log's file: plain functions of a connection that append, find, read and prune records.

The rules: offsets are given inside of the transaction that writes the records, consecutive per partition, and never
again; a record's id is (partition's id << 40) + offset.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from sb_core.adapters.sqlite_bulk import Bulk
from sb_core.adapters.sqlite_connect import transaction
from sb_core.errors import ContractError
from sb_core.records import Fetched, Header, Record, TopicPartition
from sb_core.topics import TopicSpec

OFFSET_BITS: Final = 40
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
TIMES_EVERY: Final = 256
"""Records between two entries of `times`."""
PRUNED_ROWS_MAX: Final = 2_000
"""Rows that one transaction removes at most, so that appends don't wait for it."""

_RECORDS: Final = Bulk("INSERT INTO records", "(?,?,?,?,?)")
_TIMES: Final = Bulk("INSERT INTO times", "(?,?)")
_COUNTS: Final = Bulk("INSERT INTO counts", "(?,?)", "ON CONFLICT (name) DO UPDATE SET count = count + excluded.count")
_COMMITTED: Final = Bulk(
    "INSERT INTO committed",
    "(?,?,?,?)",
    "ON CONFLICT (consumers, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
)

_headers = msgspec.json.Decoder(tuple[Header, ...])


class Topic(Struct, frozen=True):
    """A topic as made; `ids` are its partitions' ids in order."""

    spec: TopicSpec
    ids: tuple[int, ...]


class Planned(Struct):
    """An append on its way: (partition id, record) each. `offsets` is filled in by the write."""

    rows: list[tuple[int, Record]]
    counts: Mapping[str, int]
    commits: Mapping[tuple[str, TopicPartition], int]
    offsets: list[int] = []


class _Place:
    """Where the next record of a partition goes."""

    __slots__ = ("next_id", "ts_max")

    def __init__(self, next_id: int, ts_max: int) -> None:
        self.next_id = next_id
        self.ts_max = ts_max


class Appender:
    """Writes groups of appends on the one writing connection, and remembers where each partition ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._places: dict[int, _Place] = {}
        self._version = -1

    def write(self, group: Sequence[Planned]) -> None:
        """Write a group in one durable transaction, filling in the offsets."""
        try:
            with transaction(self._connection):
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
                if version != self._version:  # another process has written
                    self._places.clear()
                    self._version = version
                for planned in group:
                    self._append(planned)
                self._add_counts(group)
                self._store_offsets(group)
        except BaseException:
            self._places.clear()  # they were moved on for nothing
            raise

    def _append(self, planned: Planned) -> None:
        rows: list[tuple[Any, ...]] = []
        times: list[tuple[int, int]] = []
        offsets: list[int] = []
        for partition, record in planned.rows:
            place = self._places.get(partition)
            if place is None:
                place = self._places[partition] = _find_place(self._connection, partition)
            record_id = place.next_id
            offset = record_id & OFFSET_MASK
            if not offset % TIMES_EVERY:
                times.append((record_id, place.ts_max))
            place.next_id = record_id + 1
            place.ts_max = max(place.ts_max, record.ts)
            headers = msgspec.json.encode(record.headers) if record.headers else None
            rows.append((record_id, record.ts, record.key, record.value, headers))
            offsets.append(offset)
        _RECORDS.write(self._connection, rows)
        _TIMES.write(self._connection, times)
        planned.offsets = offsets

    def _add_counts(self, group: Sequence[Planned]) -> None:
        counts: dict[str, int] = {}
        for planned in group:
            for name, count in planned.counts.items():
                counts[name] = counts.get(name, 0) + count
        _COUNTS.write(self._connection, [(name, count) for name, count in counts.items() if count])

    def _store_offsets(self, group: Sequence[Planned]) -> None:
        rows = {key: offset for planned in group for key, offset in planned.commits.items()}
        _COMMITTED.write(self._connection, [(consumers, *place, offset) for (consumers, place), offset in rows.items()])


def catalogue(connection: sqlite3.Connection) -> dict[str, Topic]:
    """Return all topics."""
    ids: dict[str, list[int]] = {}
    for topic, partition in connection.execute("SELECT topic, id FROM partitions ORDER BY topic, partition"):
        ids.setdefault(topic, []).append(partition)
    return {
        name: Topic(TopicSpec(name, partitions, retention_ms, bool(compacted)), tuple(ids[name]))
        for name, partitions, retention_ms, compacted in connection.execute(
            "SELECT name, partitions, retention_ms, compacted FROM topics ORDER BY name"
        ).fetchall()
    }


def create(connection: sqlite3.Connection, specs: Sequence[TopicSpec]) -> None:
    """Make the topics that are missing, all or none; settings other than the partitions are brought up to date."""
    with transaction(connection):
        there = catalogue(connection)
        for spec in specs:
            found = there.get(spec.name)
            if found is not None and found.spec.partitions != spec.partitions:
                raise ContractError(
                    f"topic {spec.name} has {found.spec.partitions} partitions, not {spec.partitions};"
                    " SB_PARTITIONS and sb topics repartition say how many"
                )
            connection.execute(
                "INSERT INTO topics VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET retention_ms = excluded.retention_ms, compacted = excluded.compacted",
                (spec.name, spec.partitions, spec.retention_ms, spec.compacted),
            )
            if found is None:
                connection.executemany(
                    "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                    [(spec.name, n) for n in range(spec.partitions)],
                )


def grow(connection: sqlite3.Connection, specs: Sequence[TopicSpec]) -> None:
    """Add partitions to topics, all or none."""
    with transaction(connection):
        there = catalogue(connection)
        for spec in specs:
            found = there.get(spec.name)
            if found is None or found.spec.partitions > spec.partitions:
                raise ContractError(f"topic {spec.name} is not there, or has more than {spec.partitions} partitions")
            connection.execute("UPDATE topics SET partitions = ? WHERE name = ?", (spec.partitions, spec.name))
            connection.executemany(
                "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                [(spec.name, n) for n in range(found.spec.partitions, spec.partitions)],
            )


def bounds(connection: sqlite3.Connection, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return (oldest kept offset, end) per partition id."""
    if len(partitions) == 1:
        return {partitions[0]: _bounds(connection, partitions[0])}
    wanted = frozenset(partitions)
    rows = connection.execute(
        "SELECT p.id, p.start_offset, (SELECT max(r.id) FROM records r WHERE r.id BETWEEN p.id << 40"
        " AND (p.id << 40) + 0xFFFFFFFFFF) FROM partitions p"
    )
    return {partition: (start, _end(start, last)) for partition, start, last in rows if partition in wanted}


def fetch(
    connection: sqlite3.Connection,
    place: TopicPartition,
    partition: int,
    between: tuple[int, int],
    records_max: int,
    bytes_max: int,
) -> list[Fetched]:
    """Return records with offsets from the first of `between` to below the second, at least one if there is one."""
    topic, number = place
    found: list[Fetched] = []
    size = 0
    low = partition << OFFSET_BITS
    for record_id, ts, key, value, headers in connection.execute(
        "SELECT id, ts, key, value, headers FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (low | between[0], low | between[1], records_max),
    ):
        found.append(
            Fetched(topic, number, record_id - low, key, value, ts, _headers.decode(headers) if headers else ())
        )
        size += len(value) if value is not None else 0
        if size >= bytes_max:
            break
    return found


def offset_at(connection: sqlite3.Connection, partition: int, ts: int) -> int:
    """Return the first offset whose record has this ts or a later one, the end when there is none."""
    start, end = _bounds(connection, partition)
    low = partition << OFFSET_BITS
    # Below this entry everything is older, and `ts_max` never falls, so that the one sought follows closely.
    row = connection.execute(
        "SELECT id FROM times WHERE id >= ? AND id < ? AND ts_max < ? ORDER BY id DESC LIMIT 1",
        (low | start, low | end, ts),
    ).fetchone()
    row = connection.execute(
        "SELECT id FROM records WHERE id >= ? AND id < ? AND ts >= ? ORDER BY id LIMIT 1",
        (row[0] if row else low | start, low | end, ts),
    ).fetchone()
    return (row[0] & OFFSET_MASK) if row else end


def account(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the counts."""
    return dict(connection.execute("SELECT name, count FROM counts ORDER BY name").fetchall())


def committed(connection: sqlite3.Connection, group: str) -> dict[TopicPartition, int]:
    """Return a group's committed offsets."""
    rows = connection.execute("SELECT topic, partition, next_offset FROM committed WHERE consumers = ?", (group,))
    return {(topic, partition): offset for topic, partition, offset in rows}


def prune(connection: sqlite3.Connection, partition: int, before_ms: int) -> int:
    """Remove some records before the first that is not older than then; return how many, 0 when none is left."""
    with transaction(connection):
        start, end = _bounds(connection, partition)
        keep = min(offset_at(connection, partition, before_ms), start + PRUNED_ROWS_MAX, end)
        if keep <= start:
            return 0
        low = partition << OFFSET_BITS
        # The start is moved in the same step, so that offsets are not given again when nothing is left.
        connection.execute("UPDATE partitions SET start_offset = ? WHERE id = ?", (keep, partition))
        connection.execute("DELETE FROM times WHERE id >= ? AND id < ?", (low, low | keep))
        return connection.execute("DELETE FROM records WHERE id >= ? AND id < ?", (low, low | keep)).rowcount


def compact(connection: sqlite3.Connection, partition: int) -> int:
    """Keep the newest record per key; return how many went."""
    with transaction(connection):
        low = partition << OFFSET_BITS
        return connection.execute(
            "DELETE FROM records WHERE id BETWEEN ?1 AND ?2 AND id NOT IN"
            " (SELECT max(id) FROM records WHERE id BETWEEN ?1 AND ?2 GROUP BY key)",
            (low, low | OFFSET_MASK),
        ).rowcount


def _bounds(connection: sqlite3.Connection, partition: int) -> tuple[int, int]:
    low = partition << OFFSET_BITS
    start, last = connection.execute(
        "SELECT start_offset, (SELECT max(id) FROM records WHERE id BETWEEN ?1 AND ?2) FROM partitions WHERE id = ?3",
        (low, low | OFFSET_MASK, partition),
    ).fetchone()
    return start, _end(start, last)


def _end(start: int, last: int | None) -> int:
    return start if last is None else max(start, (last & OFFSET_MASK) + 1)


def _find_place(connection: sqlite3.Connection, partition: int) -> _Place:
    start, end = _bounds(connection, partition)
    low = partition << OFFSET_BITS
    row = connection.execute(
        "SELECT id, ts_max FROM times WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1", (low, low | end)
    ).fetchone()
    since, ts_max = row or (low | start, 0)
    newest = connection.execute("SELECT max(ts) FROM records WHERE id >= ? AND id < ?", (since, low | end)).fetchone()[
        0
    ]
    return _Place(low | end, max(ts_max, newest or 0))
