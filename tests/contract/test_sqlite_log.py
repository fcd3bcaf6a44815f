"""What the SQLite log promises beyond every log: durability, several processes, and its own failures."""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sb_core.adapters import sqlite_connect, writer
from sb_core.adapters.log_tail import Tail
from sb_core.adapters.sqlite_log import open_sqlite_log
from sb_core.errors import ContractError, DependencyError, LogTruncatedError, UnavailableError, UnknownOutcomeError
from sb_core.records import Fetched, Record
from sb_core.topics import TopicSpec

CHILD = Path(__file__).with_name("appending_child.py")
DAY_MS = 86_400_000
SPECS = (TopicSpec("t", 3, 7 * DAY_MS), TopicSpec("c", 1, None, compacted=True))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log.db")


def records(count, *, first=0, topic="t", partition=0, value=b"x"):
    return [Record(topic, f"k{n}", b"%d:" % n + value, n, partition) for n in range(first, first + count)]


async def fill(log, accepted, **counts):
    """Append records of 1 kB in tens until that fails; return the error and how many there are now."""
    while True:
        try:
            await log.append(records(10, first=accepted, value=b"x" * 1_000), counts)
        except DependencyError as error:
            return error, accepted
        accepted += 10


async def all_of(log, topic="t"):
    reader = log.reader([topic])
    delivery = await reader.read(records_max=1, wait_s=0)
    starts = await log.starts([topic])
    for place in delivery.assigned:
        reader.seek(place, starts[place])
    found = []
    while delivery := (await reader.read(records_max=10_000, wait_s=0)).records:
        found.extend(delivery)
    await reader.aclose()
    return found


def size_of(path):
    return Path(path).stat().st_size


def remove(path):
    Path(path).unlink()


def test_everything_is_there_when_opened_again(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            await log.append(records(700), {"accepted": 700})
            await log.append([Record("c", f"k{n % 5}", b"%d" % n, n, 0) for n in range(100)])
            reader = log.reader(["t"], "g")
            await reader.read(records_max=1, wait_s=0)
            await reader.commit({("t", 0): 650})
        async with open_sqlite_log(path, clock) as log:
            assert [r.offset for r in await all_of(log)] == list(range(700))
            assert await log.account() == {"accepted": 700}
            assert await log.committed("g") == {("t", 0): 650}
            # Opening compacts.
            assert {r.key: r.value for r in await all_of(log, "c")} == {f"k{n}": b"%d" % (95 + n) for n in range(5)}
            assert len(await all_of(log, "c")) == 5
            assert list(await log.append(records(1))) == [700]
            assert list(await log.append([Record("c", "k", b"", 0)])) == [100]
            assert await log.offsets_at(["t"], 600) == {("t", 0): 600, ("t", 1): 0, ("t", 2): 0}

    run(main)


def test_two_processes_append_to_one_log_and_read_each_other(path, clock, run):
    # Two logs on one file are to SQLite what two processes are: connections that share nothing.
    async def main():
        async with open_sqlite_log(path, clock) as one, open_sqlite_log(path, clock) as two:
            await one.create(SPECS)
            reader = two.reader(["t"])
            for place in (await reader.read(records_max=1, wait_s=0)).assigned:
                reader.seek(place, 0)
            rng = random.Random(2)
            sent, found = [], []

            async def append():
                for n in range(100):
                    log = rng.choice((one, two))
                    sent.extend(await log.append(records(10, first=n * 10)))

            async def read():
                while len(found) < 1_000:
                    found.extend((await reader.read(records_max=37, wait_s=5)).records)

            async with anyio.create_task_group() as group:
                group.start_soon(append)
                group.start_soon(read)
            assert sent == list(range(1_000))
            assert [(r.offset, r.key) for r in found] == [(n, f"k{n}") for n in range(1_000)]

            begun = time.monotonic()
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    group.start_soon(partial(reader.read, records_max=1, wait_s=30))
                    await anyio.sleep(0.1)
                    await one.append(records(1, first=1_000))
            assert time.monotonic() - begun < 1
            # What was told about ends may be sought, before any polling.
            await one.append(records(5, first=1_001))
            reader.seek(("t", 0), (await two.ends(["t"]))["t", 0])
            assert list((await reader.read(records_max=1, wait_s=0)).records) == []

    run(main)


def test_what_another_process_appends_does_not_wait_until_all_else_is_read(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as ours, open_sqlite_log(path, clock) as theirs:
            await ours.create(SPECS)
            await theirs.append([*records(3, partition=0), *records(4_000, partition=1)])
            reader = ours.reader(["t"])
            delivery = await reader.read(records_max=5, wait_s=5)
            for place in delivery.assigned:
                reader.seek(place, 0)
            seen = []
            while len([each for each in seen if each.partition == 0]) < 3:
                seen += (await reader.read(records_max=5, wait_s=5)).records
            await theirs.append(records(1, first=3, partition=0))
            while not any((each.partition, each.offset) == (0, 3) for each in seen):
                seen += (await reader.read(records_max=5, wait_s=5)).records
                await anyio.sleep(0.005)
            assert len(seen) < 4_000
            await reader.aclose()

    run(main)


def test_topics_of_another_process_are_found(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as one, open_sqlite_log(path, clock) as two:
            await one.create(SPECS)
            assert await two.partitions("t") == 3
            assert list(await two.append(records(2))) == [0, 1]
            with pytest.raises(ContractError, match="t has 3 partitions, not 4"):
                await two.create([TopicSpec("t", 4, None)])

    run(main)


def test_what_another_process_pruned_is_truncated_and_not_skipped(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as one, open_sqlite_log(path, clock) as two:
            await one.create(SPECS)
            await one.append(records(100))
            reader = two.reader(["t"])
            await reader.read(records_max=1, wait_s=0)
            reader.seek(("t", 0), 10)
            await one.prune(7 * DAY_MS + 50)
            with pytest.raises(LogTruncatedError) as caught:
                await reader.read(records_max=10, wait_s=0)
            assert caught.value.partition == ("t", 0)
            reader.seek(("t", 0), 50)
            assert len((await reader.read(records_max=100, wait_s=0)).records) == 50

    run(main)


def test_a_file_without_any_more_of_the_position_is_truncated(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            await log.append(records(3))
        remove(path)
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            reader = log.reader(["t"])
            await reader.read(records_max=1, wait_s=0)
            reader.seek(("t", 0), 3)
            with pytest.raises(LogTruncatedError):
                await reader.read(records_max=1, wait_s=0)

    run(main)


@pytest.mark.parametrize("lifetime_s", [0.15, 0.4, 0.8])
def test_a_killed_process_has_lost_nothing_acknowledged_and_torn_nothing(path, clock, run, lifetime_s):
    child = subprocess.Popen(
        [sys.executable, str(CHILD), path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    first = child.stdout.readline()
    time.sleep(lifetime_s)
    child.kill()
    acknowledged = [first, *child.stdout]
    child.wait()
    child.stdout.close()
    done = defaultdict(int)
    for line in acknowledged:
        if line.endswith("\n"):
            task, n = line.split(":")
            done[task] = max(done[task], int(n) + 1)
    assert sum(done.values()) > 10

    async def main():
        async with open_sqlite_log(path, clock) as log:
            by_task = defaultdict(list)
            found = await all_of(log)
            for each in found:
                by_task[each.key].append(each)
            for task, each in by_task.items():
                batches, torn = divmod(len(each), 25)
                assert torn == 0
                assert batches >= done[task]
                for n in range(batches):
                    for i in range(25):
                        assert each[n * 25 + i].value == f"{task}:{n}:{i}:".encode() + b"x" * (n % 700)
            assert await log.account() == {"accepted": len(found)}
            assert set(done) <= set(by_task)

    run(main)


def test_waiting_appends_share_a_transaction(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            groups = []
            write = log._appender.write
            log._appender.write = lambda group: (groups.append(len(group)), write(group))[1]
            async with anyio.create_task_group() as group:
                for n in range(500):
                    group.start_soon(log.append, records(1, first=n))
            assert sum(groups) == 500
            assert len(groups) <= 5
            assert len(await all_of(log)) == 500

    run(main)


def test_too_many_waiting_appends_are_refused(path, clock, run, monkeypatch):
    monkeypatch.setattr(writer, "ITEMS_WAITING_MAX", 10)

    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            results = []

            async def append(n):
                try:
                    await log.append(records(1, first=n), {"n": 1})
                    results.append("written")
                except UnavailableError:
                    results.append("refused")

            async with anyio.create_task_group() as group:
                for n in range(100):
                    group.start_soon(append, n)
            # One was being written, ten waited.
            assert sorted(results) == ["refused"] * 89 + ["written"] * 11
            assert await log.account() == {"n": 11}

    run(main)


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            await log.append(records(100), {"n": 100})
            pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
            log._writer.execute(f"PRAGMA max_page_count={pages + 10}")
            error, accepted = await fill(log, 100, n=10)
            assert isinstance(error, UnavailableError)
            assert "full" in str(error)
            assert 100 < accepted < 200
            assert await log.account() == {"n": accepted}
            assert [r.key for r in await all_of(log)] == [f"k{n}" for n in range(accepted)]
            await log.ping()
            log._writer.execute(f"PRAGMA max_page_count={pages + 10_000}")
            assert list(await log.append(records(10, first=accepted))) == list(range(accepted, accepted + 10))
        async with open_sqlite_log(path, clock) as log:
            assert [r.key for r in await all_of(log)] == [f"k{n}" for n in range(accepted + 10)]

    run(main)


def test_a_file_that_may_not_grow_refuses_and_loses_nothing(path, clock, run):
    # The operating system refuses the write, as a full disk does: ours is a write beyond RLIMIT_FSIZE.
    async def main():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            await log.append(records(100))
            size = size_of(path + "-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, hard))
            accepted = 100
            try:
                for _ in range(3):
                    error, accepted = await fill(log, accepted)
                    assert isinstance(error, UnavailableError | UnknownOutcomeError)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert [r.key for r in await all_of(log)] == [f"k{n}" for n in range(accepted)]
            await log.append(records(10, first=accepted))
            assert [r.offset for r in await all_of(log)] == list(range(accepted + 10))
        async with open_sqlite_log(path, clock) as log:
            assert [r.key for r in await all_of(log)] == [f"k{n}" for n in range(accepted + 10)]

    run(main)


def test_a_lock_held_by_another_process_is_waited_for_and_then_refused(path, clock, run, monkeypatch):
    monkeypatch.setattr(sqlite_connect, "BUSY_WAIT_MS_MAX", 100)

    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError, match="locked"):
                await log.append(records(1))
            other.execute("ROLLBACK")
            other.close()
            assert list(await log.append(records(1))) == [0]

    run(main)


def test_a_commit_that_fails_unclearly_is_unknown(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            # SQLite lets a commit be denied; what it then answers is none of the errors that are known to undo.
            log._writer.set_authorizer(
                lambda action, what, *_: sqlite3.SQLITE_DENY if (action, what) == (22, "COMMIT") else sqlite3.SQLITE_OK
            )
            with pytest.raises(UnknownOutcomeError):
                await log.append(records(1))
            log._writer.set_authorizer(None)
            assert list(await log.append(records(1))) == [0]

    run(main)


def test_one_unstorable_append_does_not_fail_the_others(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            outcomes = {}

            async def append(name, record):
                try:
                    await log.append([record], {"n": 1})
                    outcomes[name] = "written"
                except UnavailableError:
                    outcomes[name] = "unavailable"
                except DependencyError:
                    outcomes[name] = "unstorable"

            async with anyio.create_task_group() as group:
                group.start_soon(append, "first", Record("t", "k", b"", 1, 0))
                group.start_soon(append, "second", Record("t", "k", b"", 1, 0))
                group.start_soon(append, "surrogate", Record("t", "\ud800", b"", 1, 0))
                group.start_soon(append, "huge", Record("t", "k", b"", 2**70, 0))
                group.start_soon(append, "last", Record("t", "k", b"", 1, 0))
            assert outcomes == {
                "first": "written",
                "second": "written",
                "surrogate": "unstorable",
                "huge": "unstorable",
                "last": "written",
            }
            assert [r.offset for r in await all_of(log)] == [0, 1, 2]
            assert await log.account() == {"n": 3}

    run(main)


def test_what_was_appended_before_the_end_is_written_at_the_end(path, clock, run):
    async def main():
        with anyio.CancelScope() as scope:
            async with open_sqlite_log(path, clock) as log, anyio.create_task_group() as group:
                await log.create(SPECS)
                for n in range(50):
                    group.start_soon(log.append, records(1, first=n))
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        async with open_sqlite_log(path, clock) as log:
            found = await all_of(log)
            assert len(found) == 50
            assert [r.offset for r in found] == list(range(50))

    run(main)


@pytest.mark.parametrize("damage", ["text", "header"])
def test_a_file_that_is_no_log_is_said_to_be_unavailable(path, clock, run, damage):
    async def make():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)

    async def main():
        async with open_sqlite_log(path, clock):
            pass

    if damage == "header":
        run(make)
        data = bytearray(Path(path).read_bytes())
        data[:4096] = b"\xff" * 4096
        Path(path).write_bytes(data)
    else:
        Path(path).write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(UnavailableError):
        run(main)


def test_a_folder_in_the_way_is_said_to_be_unavailable(tmp_path, clock, run):
    async def main():
        (tmp_path / "file").write_text("")
        for path in (tmp_path, tmp_path / "file" / "log.db"):
            with pytest.raises(UnavailableError):
                async with open_sqlite_log(str(path), clock):
                    pass

    run(main)


def test_a_newer_schema_is_refused(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock):
            pass
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO schema_version VALUES (99, 'later')")
        connection.close()
        with pytest.raises(ContractError, match="schema version 99"):
            async with open_sqlite_log(path, clock):
                pass

    run(main)


def test_a_person_can_read_the_log(path, clock, run):
    async def main():
        async with open_sqlite_log(path, clock) as log:
            await log.create(SPECS)
            await log.append([Record("t", "uof:sr:match:1", b'{"type":"odds"}', 5, 2)])

    run(main)
    with sqlite3.connect(path) as connection:
        rows = connection.execute('SELECT topic, partition, "offset", ts, key, value FROM log').fetchall()
    connection.close()
    assert rows == [("t", 2, 0, 5, "uof:sr:match:1", '{"type":"odds"}')]


def test_the_tail_holds_one_run_per_partition_within_its_bytes():
    def made(first, count, size=1_000):
        return [Fetched("t", 0, n, "k", b"x" * size, 0) for n in range(first, first + count)]

    tail = Tail(bytes_max=100_000)
    tail.add(1, made(0, 10))
    tail.add(1, made(10, 10))
    assert [r.offset for r in tail.get(1, 5, 10, 10**9)] == list(range(5, 15))
    assert [r.offset for r in tail.get(1, 5, 10, 2_500)] == [5, 6, 7]
    assert list(tail.get(1, 20, 10, 10**9)) == []
    assert list(tail.get(2, 5, 10, 10**9)) == []
    tail.add(1, made(30, 10))  # others appended 20 to 29
    assert list(tail.get(1, 19, 10, 10**9)) == []
    assert [r.offset for r in tail.get(1, 30, 100, 10**9)] == list(range(30, 40))
    for n in range(40, 400, 10):
        tail.add(1, made(n, 10))
        tail.add(2, made(n, 10))
    assert [r.offset for r in tail.get(1, 399, 10, 10**9)] == [399]
    assert list(tail.get(1, 40, 10, 10**9)) == []
    kept = sum(len(tail.get(partition, first, 10, 10**9)) for partition in (1, 2) for first in range(40, 400, 10))
    assert 60 <= kept <= 100_000 // 1_000
