"""The change log over REST: what happened to an event, and what it looked like before.

The rule: entries pass through as the log holds them; what must be looked into is read in pages, so that an event with a
long life costs time and never memory, and the time has a limit.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from sb_core.ports import Store
from sb_core.records import ChangeRow
from sb_core.shown import Changes, Event, raw_update_decoder, update_decoder
from sb_distribute.rest_fold import EventFold, HoleError
from sb_distribute.rest_node import RestProblem
from sb_distribute.rest_odds import changes_in
from sb_distribute.rest_paging import HistoryFrom, read_cursor, write_cursor
from sb_distribute.rest_queries import HistoryQuery
from sb_distribute.rest_types import HistoryItem, RawHistoryItem, RawHistoryList

ROWS_MAX: Final = 250
"""Entries read from the store at once."""
SCAN_ROWS_MAX: Final = 5_000
"""Entries looked through for one page of history."""
SCAN_BYTES_MAX: Final = 8 * 1024 * 1024
"""Size of the entries looked through for one page, beyond which it ends; the last one may go beyond."""
PAST_S_MAX: Final = 10.0
"""Longest time to make an event's past; then 503."""

_changes_decoder: Final = msgspec.json.Decoder(Changes)


async def history(store: Store, event: str, query: HistoryQuery) -> RawHistoryList:
    """Return one page of an event's history. Raises BadQueryError for the cursor.

    The page ends, with a cursor, at the limit, and before it where enough was looked through or is in it.
    """
    after = read_cursor(HistoryFrom, query.cursor)
    start = query.from_rev if after is None else max(after.rev, query.from_rev)
    filtered = bool(query.market) or query.line is not None
    items: list[RawHistoryItem | HistoryItem] = []
    scanned = scanned_bytes = 0
    rows_max = ROWS_MAX if filtered else min(ROWS_MAX, query.limit + 1)
    async with aclosing(_pages(store, event, start, rows_max)) as pages:
        async for rows in pages:
            for row in rows:
                if len(items) == query.limit or scanned == SCAN_ROWS_MAX or scanned_bytes >= SCAN_BYTES_MAX:
                    return RawHistoryList(items=items, next=write_cursor(HistoryFrom(row.rev)))
                scanned += 1
                scanned_bytes += len(row.update)
                item = _item(row, query, filtered=filtered)
                if item is not None:
                    items.append(item)
    return RawHistoryList(items=items, next=None)


async def _pages(
    store: Store, event: str, start: int, rows_max: int | None = None
) -> AsyncGenerator[Sequence[ChangeRow], None]:
    rows_max = rows_max or ROWS_MAX
    while True:
        rows = await store.history(event, start, rows_max)
        if rows:
            yield rows
        if len(rows) < rows_max:
            return
        start = rows[-1].rev + 1


def _item(row: ChangeRow, query: HistoryQuery, *, filtered: bool) -> RawHistoryItem | HistoryItem | None:
    raw = raw_update_decoder.decode(row.update).changes
    if query.odds == "decimal" and not filtered:
        return RawHistoryItem(
            lineage=row.lineage, rev=row.rev, ts=row.ts, updated=row.updated, type=row.type, changes=raw
        )
    changes: Changes | None = _changes_decoder.decode(raw)
    if changes is not None and filtered:
        changes = touching(changes, query)
    return None if changes is None else _built(row, changes_in(changes, query.odds))


def _built(row: ChangeRow, changes: Changes) -> HistoryItem:
    return HistoryItem(lineage=row.lineage, rev=row.rev, ts=row.ts, updated=row.updated, type=row.type, changes=changes)


def touching(changes: Changes, query: HistoryQuery) -> Changes | None:
    """Cut changes down to the markets asked for; None where they touch none of them."""

    def wanted(market: str, line: str) -> bool:
        return (not query.market or market in query.market) and (query.line is None or line in query.line)

    cut = msgspec.structs.replace(
        changes,
        markets=[each for each in changes.markets if wanted(each.market, each.line)],
        statuses=[each for each in changes.statuses if wanted(each.market, each.line)],
        closed=[each for each in changes.closed if wanted(each.market, each.line)],
    )
    return cut if cut.markets or cut.statuses or cut.closed else None


async def rev_at(store: Store, event: str, at: int) -> int | None:
    """Return the last `rev` whose `updated` is not after `at` (ms); None if there was none yet.

    The whole log is looked through: clocks of several ingest nodes need not agree, so a later entry may be older.
    Raises RestProblem 410 `not_kept` if what the log still holds is all younger.
    """
    found = first = None
    async with aclosing(_pages(store, event, 1)) as pages:
        async for rows in pages:
            first = first or rows[0].rev
            for row in rows:
                if row.updated <= at:
                    found = row.rev
    if found is None and first != 1:
        raise _not_kept()
    return found


async def state_at_rev(store: Store, event: str, rev: int) -> Event:
    """Fold the change log up to `rev`.

    Raises RestProblem: 404 `unknown_rev` if the event never had it, 410 `not_kept` if retention has passed its
    beginning.
    """
    fold = EventFold(event)
    try:
        async with aclosing(_pages(store, event, 1)) as pages:
            async for rows in pages:
                for row in rows:
                    if row.rev > rev:
                        break
                    fold.apply(update_decoder.decode(row.update))
                if rows[-1].rev >= rev:
                    break
    except HoleError as error:
        raise _not_kept() from error
    state = fold.event()
    if state is None:
        raise _not_kept()
    if state.rev != rev:
        raise RestProblem(404, "unknown_rev", f"event {event[:200]!r} has no rev {rev}")
    return state


def _not_kept() -> RestProblem:
    return RestProblem(410, "not_kept", "the change log does not reach back to the event's beginning any more")
