"""The native stack: ports it keeps, what it says is missing, and the real engines."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from native_stack import up

from sb_local import stack, stack_folder, stack_install
from sb_local.stack import ENGINES, MissingError, StackError
from sb_local.stack_probe import free

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable


@pytest.fixture
def folder(tmp_path):
    """A data folder, emptied of processes and data at the end."""
    place = tmp_path / "stack"
    yield place
    stack.down(place, purge=True)
    assert not place.exists()


# ports


def plan(folder, *names, running=(), ports=None):
    return stack_folder.planned(
        folder, [ENGINES[name] for name in names], running=running, ports=ports or {}, settings={}
    )


def test_ports_are_kept_while_they_can_be(tmp_path):
    first = plan(tmp_path, "kafka", "redis")
    assert set(first.ports) == {"kafka", "kafka-controller", "redis"}
    assert len(set(first.ports.values())) == 3
    assert plan(tmp_path, "mysql").engines == ("kafka", "redis", "mysql")
    again = plan(tmp_path, "kafka", "redis")
    assert {name: again.ports[name] for name in first.ports} == dict(first.ports)
    with socket.create_server(("127.0.0.1", first.ports["redis"])):
        assert plan(tmp_path, "redis", running={"redis"}).ports["redis"] == first.ports["redis"]
        moved = plan(tmp_path, "redis").ports["redis"]
        assert moved not in first.ports.values()
        with pytest.raises(StackError, match=f"{first.ports['redis']}.*taken"):
            plan(tmp_path, "redis", ports={"redis": first.ports["redis"]})
        with pytest.raises(StackError, match="down before"):
            plan(tmp_path, "redis", running={"redis"}, ports={"redis": first.ports["redis"]})
    assert plan(tmp_path, "redis", ports={"redis": first.ports["redis"]}).ports["redis"] == first.ports["redis"]
    with pytest.raises(StackError, match="kafka"):
        plan(tmp_path, "redis", ports={"kafka": 9092})


def test_one_command_at_a_time_holds_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_folder, "LOCK_DEADLINE_S", 0.2)
    with (
        stack_folder.locked(tmp_path / "new"),
        pytest.raises(StackError, match="another command"),
        stack_folder.locked(tmp_path / "new"),
    ):
        pytest.fail("two at once")
    with stack_folder.locked(tmp_path / "new"):
        # a purge removes the lock's file: who comes next must not share a lock that is gone
        stack_folder.purge(tmp_path / "new", ENGINES)
        with stack_folder.locked(tmp_path / "new"):
            pass


# what is missing


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine that has nothing; returns the folder that is its PATH."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stack_install, "SYSTEM_PATHS", ())
    return path


def program(path, name, text="exit 0"):
    (path / name).write_text(f"#!/bin/sh\n{text}\n")
    (path / name).chmod(0o755)


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_is_told_all_that_is_missing_at_once(tmp_path):
    with pytest.raises(MissingError) as caught:
        stack.up(tmp_path / "stack")
    lines = caught.value.what
    assert [line.partition(":")[0] for line in lines] == [
        "Java 17 or newer (java)",
        "MySQL or MariaDB (mysqld, mariadbd)",
        "MySQL's clients (mariadb-dump, mysqldump)",
        "Redis (redis-server)",
    ]
    assert all("no apt-get" in line and "package manager" in line for line in lines)
    assert stack.status(tmp_path / "stack") == ()


def test_who_is_not_root_is_told_the_command(bare, tmp_path, monkeypatch):
    program(bare, "apt-get", "touch called")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingError, match="only root") as caught:
        stack.up(tmp_path / "stack", ["redis"])
    assert "sudo apt-get install --no-install-recommends redis-tools" in str(caught.value)
    assert not (tmp_path / "called").exists()


def test_root_without_network_is_told_what_apt_said(bare, tmp_path, monkeypatch, capsys):
    program(bare, "apt-get", "echo 'E: Failed to fetch redis-tools'; echo bye; exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MissingError, match=r"apt-get could not install it \(E: Failed to fetch redis-tools"):
        stack.up(tmp_path / "stack", ["redis"])
    captured = capsys.readouterr()
    assert "bye" in captured.err
    assert captured.out == ""


def test_installing_can_be_declined(bare, tmp_path, monkeypatch):
    program(bare, "apt-get", "echo never")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MissingError, match="not allowed"):
        stack.up(tmp_path / "stack", ["redis"], install=False)


def test_an_old_java_does_not_count_and_maven_says_why_it_fails(bare, tmp_path):
    program(bare, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(MissingError, match="Java 17"):
        stack.up(tmp_path / "stack", ["kafka"])
    program(bare, "java", """echo 'openjdk version "21.0.2" 2024-01-15' >&2""")
    with pytest.raises(MissingError, match=r"Maven \(mvn\)"):
        stack.up(tmp_path / "stack", ["kafka"])
    program(bare, "mvn", "echo '[ERROR] Unknown host'; echo '[ERROR] Help'; exit 1")
    with pytest.raises(MissingError, match=r"Maven could not fetch them \(\[ERROR\] Unknown host\)"):
        stack.up(tmp_path / "stack", ["kafka"])
    assert list((tmp_path / "cache" / "sportsbet-pipeline").iterdir()) == []


def test_data_of_the_other_database_is_not_touched(bare, folder):
    program(bare, "mysqld", "echo 'mysqld  Ver 9.7.4 for Linux on x86_64'; test $# = 2 || touch $0.made")
    program(bare, "mysqldump")
    with pytest.raises(StackError, match="mysql ended"):
        stack.up(folder, ["mysql"])
    assert (bare / "mysqld.made").exists()
    program(bare, "mysqld", "echo 'mysqld  Ver 10.11.19-MariaDB for Linux on x86_64'")
    with pytest.raises(StackError, match=r"made by MySQL, and .*mysqld is MariaDB: .*--purge"):
        stack.up(folder, ["mysql"])


def test_a_server_that_cannot_start_is_reported_with_its_log(bare, folder):
    program(bare, "redis-server", "echo 'no way'; exit 1")
    with pytest.raises(StackError, match=r"redis ended; its log .*redis.log ends with:\nno way"):
        stack.up(folder, ["redis"])
    assert [row.state for row in stack.status(folder)] == ["stopped"]


# the real engines


def sb(*arguments, check=0):
    done = subprocess.run(
        [PYTHON, "-m", "sb_local.cli", "stack", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == check, done.stderr
    return done


def resp(port, *words):
    """Send Redis one command and return its answer's first bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        connection.sendall(f"*{len(words)}\r\n{parts}".encode())
        return connection.recv(65_536).decode()


def test_redis_comes_up_stays_up_and_goes_down(folder):
    first = up(folder, ("redis",))
    port, pid = first.plan.ports["redis"], first.running("redis").pid
    assert first.environ == {"SB_CACHE_URL": f"redis://127.0.0.1:{port}/0"}
    assert (first.log_url, first.store_url) == ("", "")
    assert resp(port, "CONFIG", "GET", "maxmemory-policy").splitlines()[-1] == "allkeys-lru"
    assert resp(port, "CONFIG", "GET", "maxmemory").splitlines()[-1] == str(256 * 1024 * 1024)
    assert resp(port, "CONFIG", "GET", "bind").splitlines()[-1] == "127.0.0.1"
    again = stack.up(folder, ["redis"])
    assert again == first
    assert again.running("redis").pid == pid
    with pytest.raises(StackError, match="runs already"):
        again.start("redis")
    assert stack.down(folder) == ("redis",)
    assert stack.down(folder) == ()
    assert free(port)
    assert [row.state for row in stack.status(folder)] == ["stopped"]


def test_redis_is_killed_paused_and_started_on_its_port(folder):
    made = up(folder, ("redis",))
    port = made.plan.ports["redis"]
    assert resp(port, "SET", "k", "v") == "+OK\r\n"
    made.kill("redis")
    assert made.status("redis").state == "stopped"
    with pytest.raises(StackError, match="does not run"):
        made.kill("redis")
    made.start("redis")
    assert resp(port, "GET", "k") == "$-1\r\n"
    made.pause("redis")
    assert made.status("redis").state == "paused"
    with pytest.raises(TimeoutError):
        ENGINES["redis"].probe(port, 0.2)
    made.resume("redis")
    made.await_healthy("redis", deadline_s=5)
    made.pause("redis")
    assert stack.up(folder, ["redis"]).status("redis").state == "running"
    assert made.status("redis").version.startswith("Redis ")


def test_the_commands_print_data_on_stdout_and_the_story_on_stderr(folder):
    up(folder, ("redis",))
    stack.down(folder)
    data = ("--data", str(folder))
    done = sb("up", "redis", *data)
    url = f"redis://127.0.0.1:{stack_folder.stored(folder).ports['redis']}/0"
    assert done.stdout == f"export SB_CACHE_URL={url}\n"
    assert "Redis" in done.stderr
    assert json.loads(sb("up", "redis", "--json", *data).stdout) == {"SB_CACHE_URL": url}
    status = json.loads(sb("status", "--json", *data).stdout)
    assert status["ok"] is True
    (row,) = status["engines"]
    assert (row["engine"], row["state"], row["url"]) == ("redis", "running", url)
    assert row["rss_mb"] > 1
    assert "running" in sb("status", *data).stdout
    assert json.loads(sb("down", "--json", *data).stdout) == {"stopped": ["redis"], "purged": False}
    assert json.loads(sb("status", "--json", *data, check=1).stdout)["ok"] is False
    sb("down", "--purge", *data)
    assert not folder.exists()
    sb("up", "--ports", "redis=x", *data, check=2)
    sb("up", "oracle", *data, check=2)


def test_what_a_failed_up_started_is_stopped_again(folder, monkeypatch):
    def deaf(_self, _port, _deadline_s):
        raise OSError("deaf")

    up(folder, ("redis",))
    stack.down(folder)
    monkeypatch.setattr(type(ENGINES["redis"]), "start_deadline_s", 0.3)
    monkeypatch.setattr(type(ENGINES["redis"]), "probe", deaf)
    with pytest.raises(StackError, match=r"does not serve after 0\.3 s \(deaf"):
        stack.up(folder, ["redis"])
    assert stack.status(folder)[0].state == "stopped"
    assert free(stack_folder.stored(folder).ports["redis"])


@pytest.mark.slow
def test_all_engines_keep_what_they_acknowledged_when_they_are_killed(folder):
    up(folder)
    stack.down(folder, purge=True)
    began_s = time.monotonic()
    made = stack.up(folder)
    assert time.monotonic() - began_s < 30, "from nothing, once downloaded"
    assert set(made.environ) == {"SB_LOG_URL", "SB_STORE_URL", "SB_CACHE_URL"}
    made.kafka_tool("kafka-topics.sh", "--create", "--topic", "t", "--partitions", "2")
    broker = ("--bootstrap-server", made.log_url.removeprefix("kafka://"))
    made.kafka_tool("kafka-console-producer.sh", "--topic", "t", "--request-required-acks", "-1", given="a\nb\n")
    port = str(made.plan.ports["mysql"])
    client = ("--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=sportsbet", "--password=sportsbet")
    made.mysql_tool(
        "", *client, "sportsbet", "-e", "create table x (n int primary key, s text); insert x values (1, 'Ž€😀')"
    )
    for engine in ENGINES:
        made.kill(engine)
    for engine in ENGINES:
        made.start(engine, wait=False)
    for engine in ENGINES:
        made.await_healthy(engine)
    assert made.kafka_tool("kafka-topics.sh", "--list").split() == ["t"]
    read = ("--topic", "t", "--from-beginning", "--max-messages", "2", "--timeout-ms", "20000")
    assert sorted(made.kafka_tool("kafka-console-consumer.sh", *broker, *read).split()) == ["a", "b"]
    shown = "select hex(s), @@character_set_server, @@innodb_flush_log_at_trx_commit, @@global.transaction_isolation"
    shown = shown if "MySQL" in made.status("mysql").version else shown.replace("transaction_isolation", "tx_isolation")
    row = made.mysql_tool("", *client, "-N", "sportsbet", "-e", f"{shown} from x").split()
    assert row[1:] == ["utf8mb4", "1", "READ-COMMITTED"]
    assert row[0] == "Ž€😀".encode().hex().upper()
    for engine in ENGINES:
        made.pause(engine)
        assert made.status(engine).state == "paused"
        made.resume(engine)
        made.await_healthy(engine)
    assert stack.down(folder) == ("redis", "mysql", "kafka")
    assert all(made.running(engine) is None and free(made.plan.ports[engine]) for engine in ENGINES)


@pytest.mark.slow
def test_an_engine_moves_when_its_ports_were_taken_and_takes_settings(folder):
    made = up(folder, ("kafka", "mysql"), settings={"kafka": {"message.max.bytes": "2000000"}})
    made.kafka_tool("kafka-topics.sh", "--create", "--topic", "t")
    stack.down(folder)
    with contextlib.ExitStack() as taken:
        for port in made.plan.ports.values():
            taken.enter_context(socket.create_server(("127.0.0.1", port)))
        moved = stack.up(folder, ["kafka", "mysql"], settings={"mysql": {"max-connections": "50"}})
    assert not set(moved.plan.ports.values()) & set(made.plan.ports.values())
    assert moved.kafka_tool("kafka-topics.sh", "--list").split() == ["t"]
    told = ("--describe", "--all", "--entity-type", "brokers", "--entity-name", "1")
    assert "message.max.bytes=2000000" in moved.kafka_tool("kafka-configs.sh", *told)
    assert moved.mysql_tool("", "-N", "-e", "select @@max_connections").split() == ["50"]
    dumped = moved.mysql_tool("dump", "--databases", "sportsbet")
    assert "CREATE DATABASE" in dumped
    moved.mysql_tool("", given=dumped)
