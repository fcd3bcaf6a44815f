"""What the SQLite store promises beyond every store: durability, several processes, its schema and its failures."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from alembic.script import ScriptDirectory

from sb_core.adapters import schema_versions, sqlite_connect
from sb_core.adapters.sqlite_connect import connect
from sb_core.adapters.sqlite_schema import migrate
from sb_core.adapters.sqlite_store import open_sqlite_store
from sb_core.errors import ContractError, FencedError, SchemaError, UnavailableError, UnknownOutcomeError
from sb_core.records import Batch, ChangeRow, EventRow, MarketRow

PLACE = ("sports-feed-football", 0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "store.db")


def batch_of(position, *, count=1, size=10):
    first = position.next_offset
    topic, partition = PLACE
    body = b'"' + b"x" * size + b'"'
    return Batch(
        topic=topic,
        partition=partition,
        epoch=position.epoch,
        owner=position.owner,
        expected=first,
        next_offset=first + count,
        done_offset=0,
        state=b"{}",
        counts={"applied": count},
        events=[EventRow("e", topic, 0, "football", 1, first + 1, "é", 5, "live", None, 1, 1, "e", body, b"{}")],
        markets=[MarketRow("e", "1x2", "", "active", True, None, 1, body, b"{}")],
        changes=[ChangeRow(topic, 0, first + n, "e", 1, first + n + 1, 1, 1, "odds", body) for n in range(count)],
    )


@pytest.mark.parametrize("threads", [True, False])
def test_everything_is_there_when_opened_again(path, clock, run, threads):
    async def main():
        async with open_sqlite_store(path, clock, threads=threads) as store:
            await store.commit(batch_of(await store.claim(PLACE, "one"), count=20))
        async with open_sqlite_store(path, clock, threads=not threads) as store:
            position = await store.claim(PLACE, "two")
            assert (position.epoch, position.next_offset) == (2, 20)
            assert len(await store.outbox(PLACE, 0, 100)) == 20
            assert await store.account([PLACE[0]]) == {"applied": 20}

    run(main)


def test_the_fence_holds_between_processes(path, clock, run):
    async def main():
        async with (
            open_sqlite_store(path, clock, threads=True) as one,
            open_sqlite_store(path, clock, threads=True) as two,
        ):
            first = await one.claim(PLACE, "one")
            await one.commit(batch_of(first))
            second = await two.claim(PLACE, "two")
            with pytest.raises(FencedError):
                await one.commit(batch_of(first))
            await two.commit(batch_of(second))
            assert len(await one.outbox(PLACE, 0, 10)) == 2

    run(main)


def test_json_is_text_that_a_person_can_query(path, clock, run):
    async def main():
        async with open_sqlite_store(path, clock, threads=True) as store:
            await store.commit(batch_of(await store.claim(PLACE, "one")))

    run(main)
    with sqlite3.connect(path) as connection:
        for table, columns in (
            ("events", ("shown", "state", "name")),
            ("markets", ("shown", "state")),
            ("changes", ('"update"',)),
            ("positions", ("state",)),
        ):
            for column in columns:
                assert connection.execute(f"SELECT typeof({column}), count(*) FROM {table}").fetchone() == ("text", 1)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    documented = {"events", "participants", "competitions", "markets", "outcomes", "changes", "positions"}
    assert documented | {"schema_version"} <= tables


def test_queries_use_their_indexes(path):
    connection = connect(path, synchronous="NORMAL")
    migrate(connection)
    for query, index in (
        ("SELECT shown FROM events WHERE event = 'e'", "sqlite_autoindex_events_1"),
        ("SELECT shown FROM events ORDER BY ifnull(start, -1), event LIMIT 9", "events_by_start"),
        (
            "SELECT shown FROM events WHERE sport IN ('a') AND status IN ('b') ORDER BY ifnull(start, -1), event LIMIT 9",
            "events_by_sport_status_start",
        ),
        (
            "SELECT shown FROM events WHERE competition IN ('a') ORDER BY ifnull(start, -1), event LIMIT 9",
            "events_by_competition_start",
        ),
        ("SELECT * FROM changes WHERE event = 'e' AND rev >= 5 ORDER BY lineage, rev LIMIT 9", "changes_by_event"),
        (
            'SELECT * FROM changes WHERE topic = \'t\' AND partition = 1 AND "offset" >= 4 ORDER BY "offset", event',
            "changes_by_offset",
        ),
    ):
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert index in plan, (query, plan)
        assert "TEMP B-TREE" not in plan, (query, plan)
    connection.close()


def test_reads_do_not_wait_for_a_write(path, clock, run):
    async def main():
        async with open_sqlite_store(path, clock, threads=True) as store:
            await store.commit(batch_of(await store.claim(PLACE, "one")))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with anyio.fail_after(1):
                assert (await store.event("e")).rev == 1
            other.execute("ROLLBACK")
            other.close()

    run(main)


def test_a_lock_held_by_another_process_is_waited_for_and_then_refused(path, clock, run, monkeypatch):
    monkeypatch.setattr(sqlite_connect, "BUSY_WAIT_MS_MAX", 100)

    async def main():
        async with open_sqlite_store(path, clock, threads=True) as store:
            position = await store.claim(PLACE, "one")
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError, match="locked"):
                await store.commit(batch_of(position))
            other.execute("ROLLBACK")
            other.close()
            await store.commit(batch_of(position))

    run(main)


@pytest.mark.parametrize("threads", [True, False])
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(path, clock, run, threads):
    async def main():
        async with open_sqlite_store(path, clock, threads=threads) as store:
            position = await store.claim(PLACE, "one")
            await store.commit(batch_of(position))
            pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
            store._writer.execute(f"PRAGMA max_page_count={pages + 5}")
            position = (await store.positions([PLACE[0]]))[0]
            for _ in range(2):
                with pytest.raises(UnavailableError, match="full"):
                    await store.commit(batch_of(position, count=100, size=1_000))
                assert (await store.positions([PLACE[0]]))[0] == position
                assert len(await store.outbox(PLACE, 0, 1_000)) == 1
            store._writer.execute(f"PRAGMA max_page_count={pages + 10_000}")
            await store.commit(batch_of(position, count=100, size=1_000))
            assert len(await store.outbox(PLACE, 0, 1_000)) == 101

    run(main)


def test_a_commit_that_fails_unclearly_is_unknown_and_the_position_tells(path, clock, run):
    async def main():
        async with open_sqlite_store(path, clock, threads=True) as store:
            position = await store.claim(PLACE, "one")
            store._writer.set_authorizer(
                lambda action, what, *_: sqlite3.SQLITE_DENY if (action, what) == (22, "COMMIT") else sqlite3.SQLITE_OK
            )
            with pytest.raises(UnknownOutcomeError):
                await store.commit(batch_of(position))
            store._writer.set_authorizer(None)
            assert (await store.positions([PLACE[0]]))[0] == position
            await store.commit(batch_of(position))

    run(main)


def test_a_file_that_is_no_store_is_said_to_be_unavailable(tmp_path, clock, run):
    async def main():
        (tmp_path / "store.db").write_text("no database" * 1_000)
        for path in (tmp_path / "store.db", tmp_path):
            with pytest.raises(UnavailableError):
                async with open_sqlite_store(str(path), clock, threads=True):
                    pass

    run(main)


def test_memory_has_no_threads(clock, run):
    async def main():
        async with open_sqlite_store(":memory:", clock, threads=True):
            pass

    with pytest.raises(ContractError):
        run(main)


def test_the_schema_is_made_once_and_a_newer_one_is_left_alone(path):
    connection = connect(path, synchronous="NORMAL")
    newest = schema_versions.newest()
    for _ in range(2):
        assert migrate(connection) == newest
        assert connection.execute("SELECT version_num FROM schema_version").fetchall() == [(str(newest),)]
    for strange, said in (("99", f"has schema version 99, this code knows up to {newest}"), ("x", "doesn't know")):
        connection.execute("UPDATE schema_version SET version_num = ?", (strange,))
        with pytest.raises(SchemaError, match=said):
            migrate(connection)
    connection.close()


def shape(connection):
    """Tables, their columns and their indexes; NOT NULL of keys aside, which SQLite takes for granted."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
    columns = {t: [(r[1], r[2], r[5]) for r in connection.execute(f"PRAGMA table_info({t})")] for t in tables}
    indexes = connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL ORDER BY name"
    ).fetchall()
    return columns, [(name, on, sql.replace('"', "")) for name, on, sql in indexes]


def test_a_database_from_before_alembic_becomes_the_same_and_keeps_what_it_holds(path, clock, run):
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "schema_1" / "sqlite.sql").read_text())
    old.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)")
    old.execute("INSERT INTO schema_version VALUES (1, 'then')")
    old.execute("INSERT INTO positions VALUES ('sports-feed-football', 3, 1, 7, 'old', 5, 5, 1, '{}')")
    old.commit()
    old.close()

    async def main():
        async with open_sqlite_store(path, clock, threads=True) as store:
            assert (await store.claim(("sports-feed-football", 3), "new")).epoch == 8

    run(main)
    fresh = connect(":memory:", synchronous="NORMAL")
    migrate(fresh)
    with closing(sqlite3.connect(path)) as found:
        assert shape(found) == shape(fresh)
    fresh.close()


def test_the_schema_written_down_is_what_the_migrations_come_to():
    assert schema_versions.rendered() == schema_versions.sqlite_text(), "run python -m sb_core.adapters.schema_versions"


def test_the_newest_migration_is_known_without_alembic():
    code = "import sys; from sb_core.adapters import sqlite_store; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    scripts = ScriptDirectory(str(Path(schema_versions.__file__).parents[1] / "schema"))
    assert scripts.get_current_head() == str(schema_versions.newest())
    assert [each.revision for each in scripts.walk_revisions()] == [
        str(n) for n in range(schema_versions.newest(), 0, -1)
    ]


def test_a_migration_that_fails_leaves_the_schema_as_it_was(path, tmp_path, monkeypatch):
    package = tmp_path / "packages" / "broken_schema"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "0001_one.sql").write_text("CREATE TABLE one (a);\n")
    monkeypatch.syspath_prepend(str(package.parent))
    connection = connect(path, synchronous="NORMAL")
    assert sqlite_connect.migrate(connection, "broken_schema") == 1
    (package / "0002_two.sql").write_text("CREATE TABLE two (a); -- ;\nCREATE TABLE two (a);\n")
    with pytest.raises(Exception, match="two already exists"):
        sqlite_connect.migrate(connection, "broken_schema")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert sorted(tables) == ["one", "schema_version"]
    (package / "0002_two.sql").write_text("CREATE TABLE two (a);\nINSERT INTO two VALUES ('a;b');\n")
    assert sqlite_connect.migrate(connection, "broken_schema") == 2
    (package / "0004_four.sql").write_text("")
    with pytest.raises(ContractError, match="not numbered"):
        sqlite_connect.migrate(connection, "broken_schema")
    connection.close()
