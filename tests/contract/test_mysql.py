"""What only a real MySQL or MariaDB does: lost replies, locks, restarts, half of a transaction that must not stay."""

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
import sqlalchemy
import trio
from asyncmy.connection import Connection
from msgspec.structs import replace
from sqlalchemy import event

from sb_core.adapters import mysql_connect, mysql_store, schema_versions
from sb_core.adapters.mysql_connect import parse_address
from sb_core.adapters.mysql_store import READERS_MAX, WRITERS_MAX, connected_mysql_store, open_mysql_store
from sb_core.bridge import open_bridge
from sb_core.errors import BusyError, DependencyError, FencedError, SchemaError, UnavailableError, UnknownOutcomeError
from sb_core.records import Batch, ChangeRow, EventRow, MarketRow, OutcomeRow

FEED = "sports-feed-football"
PLACE = (FEED, 3)
NOW = 1_782_240_000_000
DAY_MS = 86_400_000
CHANGES = 1_000


def batch_of(position, count=1, **fields):
    """Make a batch of one event, market and outcome, and a change per record."""
    offset = position.next_offset
    body = b'{"at":%d}' % offset
    names = [f"uof:sr:match:{n}" for n in range(count)]
    values = {
        "topic": FEED,
        "partition": position.partition,
        "epoch": position.epoch,
        "owner": position.owner,
        "expected": offset,
        "next_offset": offset + count,
        "done_offset": position.done_offset,
        "state": body,
        "counts": {"applied": count},
        "events": [
            EventRow(e, FEED, 3, "football", 1, offset + 1, "A", NOW, "live", None, NOW, NOW, "a", body, body)
            for e in names
        ],
        "markets": [MarketRow(e, "1x2", "", "active", True, None, NOW, body, body) for e in names],
        "outcomes": [OutcomeRow(e, "1x2", "", "home", None, 15_000, True, None) for e in names],
        "changes": [
            ChangeRow(FEED, position.partition, offset + n, e, 1, offset + 1, NOW, NOW, "odds", body)
            for n, e in enumerate(names)
        ],
    }
    return Batch(**{**values, **fields})


def after(position, batch):
    return replace(position, next_offset=batch.next_offset, state=batch.state)


class Wire:
    """A wire to the server that does one bad thing, once: to the n-th command from the next BEGIN on."""

    def __init__(self, address):
        self.address = address
        self.bad, self.at = None, 0
        self.counting = False
        self.commands = 0

    def next(self, bad, at):
        self.bad, self.at, self.counting = bad, at, False

    async def serve(self, *, task_status):
        handler = partial(trio.serve_tcp, self.carry, 0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(handler)
            task_status.started(listener.socket.getsockname()[1])

    async def carry(self, client):
        deaf = trio.Event()
        sending = trio.Lock()
        try:
            server = await trio.open_tcp_stream(self.address.host, self.address.port)
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(self.answer, server, client, deaf, sending, nursery.cancel_scope)
                async for chunk in client:
                    bad = self.judge(chunk)
                    if bad == "request":
                        break
                    if bad == "reply":
                        deaf.set()
                    if isinstance(bad, int):
                        said = b"\xff" + bad.to_bytes(2, "little") + b"#HY000injected"
                        async with sending:
                            await client.send_all(len(said).to_bytes(3, "little") + b"\x01" + said)
                    elif bad != "silence":
                        await server.send_all(chunk)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def answer(self, server, client, deaf, sending, scope):
        async for chunk in server:
            if deaf.is_set():
                break
            async with sending:
                await client.send_all(chunk)
        scope.cancel()

    def judge(self, chunk):
        """Return what to do with this command instead of passing it on."""
        self.commands += 1
        if chunk[4:] == b"\x03BEGIN":
            self.commands = 0
            self.counting = True
        if self.bad is None or not self.counting or self.commands != self.at:
            return None
        bad, self.bad = self.bad, None
        return bad


def on_wire(url, clock, run, test):
    async def main():
        address = parse_address(url)
        async with trio.open_nursery() as nursery:
            wire = Wire(address)
            port = await nursery.start(wire.serve)
            through = url.replace(f":{address.port}/", f":{port}/")
            async with open_mysql_store(through, clock) as store:
                await test(store, wire)
            nursery.cancel_scope.cancel()

    run(main)


async def standing(store):
    """Return how far everything of the partition stands, which must be the same."""
    position = next(each for each in await store.positions([FEED]) if each.partition == PLACE[1])
    counted = (await store.account([FEED])).get("applied", 0)
    rows = len(await store.outbox(PLACE, 0, 10**6))
    assert (counted, rows) == (position.next_offset, position.next_offset)
    event = await store.event("uof:sr:match:0")
    if position.next_offset:
        assert {event.header, *event.markets} == {position.state}
    return position


@pytest.mark.engines
@pytest.mark.parametrize("bad", ["request", "reply", 1205, 1213, 1290, 2013])
def test_no_fault_at_any_statement_leaves_half_of_a_transaction(mysql_url, clock, run, bad):
    async def test(store, wire):
        position = await store.claim(PLACE, "one")
        outcomes = []
        for at in range(8):  # BEGIN, fence, events, markets, outcomes, changes, account, COMMIT
            for _ in range(2):  # so that the connection has its statements
                warm = batch_of(position, 2)
                await store.commit(warm)
                position = after(position, warm)
            assert wire.commands == 7
            wire.next(bad, at)
            batch = batch_of(position, 2)
            while True:
                try:
                    await store.commit(batch)
                    break
                except DependencyError as error:
                    outcomes.append(type(error))
                    found = await standing(store)
                    if isinstance(error, UnknownOutcomeError):
                        if found.next_offset == batch.next_offset:
                            break
                    else:
                        assert found.next_offset == batch.expected
            position = after(position, batch)
            assert (await standing(store)).next_offset == batch.next_offset
        plain = BusyError if bad in {1205, 1213} else UnavailableError
        last = UnknownOutcomeError if bad in {"request", "reply", 2013} else plain
        assert outcomes == [plain] * 7 + [last]

    on_wire(mysql_url, clock, run, test)


@pytest.mark.engines
def test_silence_ends_at_a_deadline_and_says_what_is_known(mysql_url, clock, run, monkeypatch):
    async def test(store, wire):
        position = await store.claim(PLACE, "one")
        silences = (
            (1, "STATEMENTS_S", UnavailableError),
            (4, "STATEMENTS_S", UnavailableError),
            (7, "COMMIT_S", UnknownOutcomeError),
        )
        for at, deadline, expected in silences:
            for _ in range(2):
                warm = batch_of(position)
                await store.commit(warm)
                position = after(position, warm)
            wire.next("silence", at)
            with monkeypatch.context() as short:
                short.setattr(mysql_store, deadline, 0.3)
                with pytest.raises(expected) as raised:
                    await store.commit(batch_of(position))
            assert type(raised.value) is expected
            assert (await standing(store)).next_offset == position.next_offset
        assert store._writing.dropped == 3

    on_wire(mysql_url, clock, run, test)


@pytest.mark.engines
def test_an_events_history_costs_as_much_as_it_is_long(mysql_url, mysql_ask, clock, run):
    def looked_at():
        return int(mysql_ask("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1])

    async def test(store, _wire):
        position = await store.claim(PLACE, "one")
        changes = [ChangeRow(FEED, 3, n, "uof:1", 1, n + 1, NOW, NOW, "odds", b"{}") for n in range(CHANGES)]
        await store.commit(replace(batch_of(position, CHANGES), events=[], markets=[], outcomes=[], changes=changes))
        before = looked_at()
        assert [row.rev for row in await store.history("uof:1", 1, CHANGES)] == list(range(1, CHANGES + 1))
        assert looked_at() - before < 10 * CHANGES

    on_wire(mysql_url, clock, run, test)


@pytest.mark.engines
def test_a_batch_of_any_size_is_one_statement_a_table(mysql_url, clock, run):
    async def test(store, wire):
        position = await store.claim(PLACE, "one")
        first = batch_of(position, 1)
        await store.commit(first)
        batch = batch_of(after(position, first), 400)
        before = await store.positions([FEED])
        await store.commit(batch)
        assert before[0].next_offset == 1
        # commands of more than one chunk count as such: about 250 kB in all, in chunks of up to 64 KiB
        assert wire.commands < 40

    on_wire(mysql_url, clock, run, test)


@pytest.mark.engines
def test_a_batch_cancelled_at_any_moment_leaves_a_clean_pool(mysql_url, clock, run):
    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            interrupted = 0
            for n in range(120):
                batch = batch_of(position, 20)
                with anyio.move_on_after(0.00005 * (n % 60)) as scope:
                    await store.commit(batch)
                interrupted += scope.cancelled_caught
                position = await standing(store)
                assert position.next_offset in {batch.expected, batch.next_offset}
                with anyio.move_on_after(0.0001 * (n % 20)):
                    await store.load(["uof:sr:match:1"])
            assert interrupted > 10
            assert store._writing.dropped > 5
            # no slot of the pools was lost
            async with anyio.create_task_group() as group:
                for n in range(2 * READERS_MAX):
                    group.start_soon(store.event, f"e{n}")
                for n in range(2 * WRITERS_MAX):
                    group.start_soon(store.claim, (FEED, 10 + n), "many")
            assert not store._writing._busy
            assert not store._reading._busy
            assert len(store._writing._idle) <= WRITERS_MAX

    run(test)


@pytest.mark.engines
def test_a_lock_of_another_is_waited_for_and_then_tried_again(mysql_url, clock, run, monkeypatch):
    monkeypatch.setattr(
        mysql_connect, "_SESSION", (*mysql_connect._SESSION, "SET SESSION innodb_lock_wait_timeout = 1")
    )

    async def locked(address, statement):
        connection = Connection(
            host=address.host, port=address.port, user=address.user, password=address.password, db=address.database
        )
        await connection.connect()
        await connection.query(statement)
        return connection

    async def test():
        async with open_bridge() as bridge, open_mysql_store(mysql_url, clock, bridge=bridge) as store:
            position = await store.claim(PLACE, "one")
            await store.commit(batch := batch_of(position))
            position = after(position, batch)
            # half way through a batch, so that what went before it must go, too
            take = "UPDATE outcomes SET odds = 1"
            other = await bridge.call(locked, parse_address(mysql_url), take, deadline_s=5)
            with pytest.raises(UnavailableError, match="1205"):
                await store.commit(batch_of(position))
            await standing(store)
            await bridge.call(other.rollback, deadline_s=5)
            await store.commit(batch := batch_of(position))
            assert (await standing(store)).next_offset == batch.next_offset
            assert store._writing.dropped == 0
            await bridge.call(other.ensure_closed, deadline_s=5)

    run(test)


@pytest.mark.engines
def test_what_cannot_be_stored_is_refused_for_good_and_costs_no_connection(mysql_url, clock, run):
    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            row = batch_of(position).events[0]
            for bad in (
                replace(row, event="x" * 201),
                replace(row, rev=2**63),
                replace(row, status=None),
                replace(row, name="\ud800"),
                replace(row, shown=b"\xff"),
            ):
                with pytest.raises(DependencyError) as raised:
                    await store.commit(batch_of(position, events=[bad]))
                assert type(raised.value) is DependencyError, raised.value
                assert (await standing(store)).next_offset == 0
            assert store._writing.dropped == 0
            await store.commit(batch_of(position))

    run(test)


@pytest.mark.engines
def test_columns_of_nothing_but_null_are_stored_as_such(mysql_url, mysql_ask, clock, run):
    name = mysql_url.rpartition("/")[2]

    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            for rows in (
                [("home", "Home", 1, "won"), ("away", None, None, "lost")],
                [("home", None, None, None), ("away", None, None, None)],
                [("home", None, 5, None)],
            ):
                outcomes = [OutcomeRow("e", "1x2", "", o, n, odds, True, r) for o, n, odds, r in rows]
                await store.commit(batch := batch_of(position, outcomes=outcomes))
                position = after(position, batch)
                ask = f"SELECT outcome, name, odds, result FROM {name}.outcomes ORDER BY outcome DESC"
                found = await trio.to_thread.run_sync(mysql_ask, ask)
                assert found[: len(rows)] == rows

    run(test)


@pytest.mark.engines
def test_a_fence_that_changes_nothing_still_holds(mysql_url, clock, run):
    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            empty = {"events": [], "markets": [], "outcomes": [], "changes": [], "counts": {}}
            same = batch_of(position, 0, state=position.state, **empty)
            await store.commit(same)
            await store.commit(same)
            await store.claim(PLACE, "two")
            with pytest.raises(FencedError):
                await store.commit(same)

    run(test)


@pytest.mark.engines
def test_a_killed_server_costs_one_answer_and_no_row(mysql_stack, mysql_url, clock, run):
    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            await store.commit(batch := batch_of(position, 5))
            position = after(position, batch)
            async with anyio.create_task_group() as group:  # so that several connections lie idle
                for n in range(READERS_MAX):
                    group.start_soon(store.event, f"e{n}")
            await trio.to_thread.run_sync(mysql_stack.kill, "mysql")
            for ask in (partial(store.commit, batch_of(position)), store.ping):
                with pytest.raises(UnavailableError):
                    await ask()
            await trio.to_thread.run_sync(mysql_stack.start, "mysql")
            await store.commit(batch := batch_of(position))
            await store.ping()
            assert (await standing(store)).next_offset == batch.next_offset

    run(test, deadline_s=60)


@pytest.mark.engines
def test_many_may_migrate_at_once_and_nobody_works_on_another_schema(mysql_empty_url, mysql_ask, clock, run):
    table = f"{mysql_empty_url.rpartition('/')[2]}.schema_version"
    newest = schema_versions.newest()

    async def ask(statement):
        return await trio.to_thread.run_sync(mysql_ask, statement)

    async def opened():
        async with open_mysql_store(mysql_empty_url, clock) as store:
            await store.claim(PLACE, "one")

    async def migrated():
        async with connected_mysql_store(mysql_empty_url, clock) as store:
            assert await store.migrate() == newest

    async def test():
        with pytest.raises(SchemaError, match=r"no schema yet.*sb migrate"):
            await opened()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(migrated)
        assert await ask(f"SELECT version_num FROM {table}") == [(str(newest),)]
        await opened()
        for version, said in ((1, f"version 1, this code works with {newest}: run `sb migrate`"), (99, "up to")):
            await ask(f"UPDATE {table} SET version_num = '{version}'")
            with pytest.raises(SchemaError, match=said):
                await opened()
        with pytest.raises(SchemaError, match="99"):
            await migrated()

    run(test, deadline_s=60)


SHAPE = tuple(
    f"SELECT {columns} FROM information_schema.{table} WHERE table_schema = '{{0}}' ORDER BY {order}"
    for table, columns, order in (
        ("columns", "table_name, column_name, column_type, is_nullable, collation_name, column_comment", "1, 2"),
        ("statistics", "table_name, index_name, non_unique, seq_in_index, column_name", "1, 2, 4"),
        ("partitions", "table_name, partition_name, partition_expression, partition_description", "1, 2"),
        ("tables", "table_name, engine, table_collation", "1"),
    )
)


@pytest.mark.engines
def test_a_database_from_before_alembic_becomes_the_same_wherever_its_migration_stopped(
    mysql_url, mysql_ask, clock, run
):
    """Migrations are cut off after 0, 1, 2, … statements, and run again."""
    old = (Path(__file__).parent / "schema_1" / "mysql.sql").read_text()
    name, fresh = f"sportsbet_o{uuid4().hex[:12]}", mysql_url.rpartition("/")[2]
    url = mysql_url.rpartition("/")[0] + f"/{name}"
    made = re.sub(r"(?m)^--.*$", "", old).replace("CREATE TABLE IF NOT EXISTS ", f"CREATE TABLE {name}.")
    statements = [text for text in made.split(";\n") if text.strip()]
    mysql_ask(
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
        *statements,
        f"CREATE TABLE {name}.schema_version (version INT PRIMARY KEY, applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        f"INSERT INTO {name}.schema_version (version) VALUES (1)",
        f"INSERT INTO {name}.positions VALUES ('{FEED}', 3, 1, 7, 'old', 5, 5, 1, '{{}}')",
        f"INSERT INTO {name}.changes VALUES ('{FEED}', 3, 4, 'e', 1, 1, 1, {NOW}, 'odds', '{{}}')",
    )

    async def test():
        for cut in range(1, 40):
            with cut_off_after(cut) as was_cut, suppress(UnavailableError):
                async with connected_mysql_store(url, clock) as store:
                    await store.migrate()
            if not was_cut():
                break
        else:
            pytest.fail("never whole")
        assert cut > 5
        async with open_mysql_store(url, clock) as store:
            assert (await store.claim(PLACE, "new")).epoch == 8
            assert len(await store.outbox(PLACE, 0, 10)) == 1

    run(test, deadline_s=60)
    for asked in SHAPE:
        assert mysql_ask(asked.format(name)) == [
            tuple(name if value == fresh else value for value in row) for row in mysql_ask(asked.format(fresh))
        ]
    mysql_ask(f"DROP DATABASE {name}")


@contextmanager
def cut_off_after(count):
    """End the migrating connection in the place of its statement number `count`; says whether it came to that."""
    done = 0

    def before(*_):
        nonlocal done
        done += 1
        if done == count:
            raise OSError("cut off")

    event.listen(sqlalchemy.Engine, "before_cursor_execute", before, named=False)
    try:
        yield lambda: done >= count
    finally:
        event.remove(sqlalchemy.Engine, "before_cursor_execute", before)


@pytest.mark.engines
def test_days_are_made_ahead_and_a_forgotten_database_catches_up(mysql_url, mysql_ask, clock, run):
    name = mysql_url.rpartition("/")[2]

    def days():
        return [
            each
            for (each,) in mysql_ask(
                "SELECT partition_name FROM information_schema.partitions WHERE table_schema ="
                f" '{name}' AND table_name = 'changes' ORDER BY partition_ordinal_position"
            )
        ]

    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            assert await trio.to_thread.run_sync(days) == [f"d202606{n}" for n in range(22, 30)] + ["later"]
            await store.prune(0)
            position = await store.claim(PLACE, "one")
            far = NOW + 20 * DAY_MS
            change = ChangeRow(FEED, 3, 0, "e", 1, 1, far, far, "odds", b"{}")
            await store.commit(batch_of(position, changes=[change], events=[], markets=[], outcomes=[]))
            clock.ms = far
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(store.prune, 0)
            found = await trio.to_thread.run_sync(days)
            assert len(found) == 8 + 20 + 1
            assert (found[0], found[-2:]) == ("d20260622", ["d20260719", "later"])
            assert await store.outbox(PLACE, 0, 1) == [change]
            assert await store.prune(far - DAY_MS) == 0
            assert (await trio.to_thread.run_sync(days))[0] == "d20260712"

    run(test)


@pytest.mark.engines
def test_a_day_is_not_dropped_under_a_reader_for_ever(mysql_url, clock, run):
    """DDL waits for transactions that read the table, and others wait behind it: not beyond LOCK_WAIT_S."""
    address = parse_address(mysql_url)

    async def test():
        async with open_mysql_store(mysql_url, clock) as store:
            position = await store.claim(PLACE, "one")
            async with held_open(address, "SELECT * FROM changes"):
                clock.ms += DAY_MS
                with pytest.raises(UnavailableError):
                    await store.prune(0)
                await store.commit(batch_of(position))
            await store.prune(0)

    run(test)


@asynccontextmanager
async def held_open(address, statement):
    """A transaction of another connection that has run a statement and stays open."""
    loop = asyncio.new_event_loop()

    async def begin():
        at = {"host": address.host, "port": address.port, "user": address.user, "password": address.password}
        connection = Connection(**at, database=address.database)
        await connection.connect()
        await connection.begin()
        await connection.query(statement)
        return connection

    connection = await trio.to_thread.run_sync(loop.run_until_complete, begin())
    try:
        yield
    finally:
        await trio.to_thread.run_sync(loop.run_until_complete, connection.ensure_closed())
        loop.close()


@pytest.mark.engines
def test_who_is_not_let_in_hears_that_it_is_unavailable(mysql_url, clock, run):
    async def test():
        for url in (
            re.sub(r":[^:/@]+@", ":wrong@", mysql_url),
            mysql_url + "_is_not_there",
            "mysql://sportsbet:secret@127.0.0.1:1/x",
        ):
            with pytest.raises(UnavailableError) as raised:
                async with open_mysql_store(url, clock):
                    pass
            assert "secret" not in str(raised.value)

    run(test)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("mysql://u:p@h/d", ("h", 3306, "u", "p", "d")),
        ("mysql://u%40x:p%2F%3A@[::1]:3307/d%2Dx", ("::1", 3307, "u@x", "p/:", "d-x")),
        ("mysql://u@h/d", ("h", 3306, "u", "", "d")),
    ],
)
def test_addresses(url, wanted):
    address = parse_address(url)
    assert (address.host, address.port, address.user, address.password, address.database) == wanted
    assert address.password == "" or f":{address.password}@" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "mysql:",
        "mysql://h/d",
        "mysql://u:pw@h",
        "mysql://u:pw@h/",
        "mysql://u:pw@h:x/d",
        "mysql://u:pw@h/a/b",
        "mysql://u:pw@h/d?x=1",
        "postgres://u:pw@h/d",
    ],
)
def test_other_addresses_are_refused_without_telling_the_password(url):
    with pytest.raises(ValueError, match=r"mysql://user|port|options") as raised:
        parse_address(url)
    assert "pw" not in str(raised.value)


def test_a_server_that_closes_what_it_accepts_is_unavailable(clock, run):
    """As a proxy does whose server is away."""

    async def close_at_once(stream):
        await stream.aclose()

    async def test():
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, close_at_once, 0, host="127.0.0.1"))
            url = f"mysql://u:p@127.0.0.1:{listener.socket.getsockname()[1]}/d"
            async with connected_mysql_store(url, clock) as store:
                for _ in range(30):
                    with pytest.raises(UnavailableError):
                        await store.ping()
            nursery.cancel_scope.cancel()

    run(test)
