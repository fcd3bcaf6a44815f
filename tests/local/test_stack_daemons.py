"""Daemons of the native stack, told apart from strangers, and probes that only a proper answer satisfies."""

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import pytest

from sb_local.stack_probe import (
    KAFKA_REQUEST,
    NotServingError,
    ask,
    free,
    kafka_answer,
    mysql_answer,
    redis_answer,
)
from sb_local.stack_process import Command, recorded, spawn

PYTHON = sys.executable


# processes


@pytest.fixture
def daemon(tmp_path):
    """Start Python programs as daemons; what still runs at the end is killed."""
    started = []

    def start(program, name="one"):
        command = Command(PYTHON, (PYTHON, "-u", "-c", program), {"PATH": "/usr/bin:/bin"})
        started.append(spawn(command, program, tmp_path / f"{name}.pid", tmp_path / f"{name}.log"))
        return started[-1]

    yield start
    for running in started:
        running.signal(signal.SIGKILL, deadline_s=5)


def said(path, text):
    end_s = time.monotonic() + 10
    while text not in path.read_text():
        assert time.monotonic() < end_s, path.read_text()
        time.sleep(0.01)


SLEEPS = "import time; print('here'); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


def test_a_daemon_is_known_by_its_pid_file_until_it_ends(daemon, tmp_path):
    running = daemon(SLEEPS)
    assert recorded(tmp_path / "one.pid") == running
    assert os.getsid(running.pid) == running.pid
    running.stop(deadline_s=5)
    assert not running.alive
    assert recorded(tmp_path / "one.pid") is None


def test_a_daemon_that_ended_by_itself_leaves_no_zombie(daemon, tmp_path):
    running = daemon("print('done')")
    said(tmp_path / "one.log", "done")
    end_s = time.monotonic() + 10
    while running.alive:
        assert time.monotonic() < end_s
        time.sleep(0.001)
    assert not Path(f"/proc/{running.pid}").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda known: {**known, "started": known["started"] - 1},
        lambda known: {**known, "boot": "another"},
        lambda known: {**known, "mark": "another folder"},
    ],
    ids=["started at another time", "before the last boot", "another command"],
)
def test_a_process_that_only_shares_the_pid_is_left_alone(daemon, tmp_path, change):
    running = daemon(SLEEPS)
    said(tmp_path / "one.log", "here")
    file = tmp_path / "one.pid"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    assert recorded(file) is None
    stranger = type(running)(**change({name: getattr(running, name) for name in running.__struct_fields__}))
    stranger.stop(deadline_s=1)
    assert stranger.signal(signal.SIGKILL, deadline_s=1)
    assert running.alive


def test_pid_files_that_cannot_be_read_are_nobody(tmp_path):
    file = tmp_path / "x.pid"
    for content in (b"", b"\xff", b"{}", b'{"pid": "x"}', b"1234\n"):
        file.write_bytes(content)
        assert recorded(file) is None


def test_a_paused_daemon_and_one_that_ignores_sigterm_are_stopped_too(daemon, tmp_path):
    paused = daemon(SLEEPS)
    said(tmp_path / "one.log", "here")
    paused.pause()
    assert paused.paused
    began_s = time.monotonic()
    paused.stop(deadline_s=5)
    assert not paused.alive
    assert time.monotonic() - began_s < 4  # by SIGTERM after SIGCONT, not by running out of time
    stubborn = daemon(STUBBORN, "two")
    said(tmp_path / "two.log", "here")
    stubborn.stop(deadline_s=0.2)
    assert not stubborn.alive


def test_a_daemon_has_none_of_our_environment(daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("SB_API_KEYS", "secret")
    daemon("import os; print(sorted(os.environ), 'end')")
    said(tmp_path / "one.log", "end")
    assert "SB_API_KEYS" not in (tmp_path / "one.log").read_text()


# probes


def test_probes_read_answers_that_come_in_any_pieces():
    kafka = struct.pack(">ii", 1, 1) + b"rest"
    mysql = b"\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\x00rest"
    redis = b"+PONG\r\n$30\r\n# Server\r\nredis_version:7.0.15\r\nredis_git:0\r\n\r\n"
    for parse, answer, expected in (
        (kafka_answer, struct.pack(">i", len(kafka)) + kafka, "1 broker"),
        (mysql_answer, len(mysql).to_bytes(3, "little") + b"\0" + mysql, "10.11.19-MariaDB-0+deb12u1"),
        (redis_answer, redis, "7.0.15"),
    ):
        pieces = [parse(answer[:length]) for length in range(len(answer) + 1)]
        assert pieces[-1] == expected
        assert {piece for piece in pieces if piece is not None} == {expected}


@pytest.mark.parametrize(
    ("parse", "answer"),
    [
        (kafka_answer, struct.pack(">iii", 8, 1, 0)),
        (kafka_answer, struct.pack(">iii", 8, 2, 1)),
        (kafka_answer, b"HTTP/1.1 400 Bad Request\r\n"),
        (mysql_answer, b"\x17\0\0\0\xff\x10\x04Too many connections"),
        (mysql_answer, b"\x01\0\0\0\x09"),
        (redis_answer, b"-LOADING Redis is loading the dataset in memory\r\n"),
        (redis_answer, b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
def test_probes_refuse_answers_that_are_no_good(parse, answer):
    with pytest.raises(NotServingError):
        parse(answer)


@contextlib.contextmanager
def listener(answer):
    """Listen, and answer the first connection with these bytes; None accepts nothing, as a paused process does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield server.getsockname()[1]
        if answer is not None:
            thread.join(5)


def test_a_port_that_only_accepts_is_not_well():
    with listener(None) as port:
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            ask(port, KAFKA_REQUEST, kafka_answer, 0.2)
        assert time.monotonic() - began_s < 2
        assert not free(port)
    assert free(port)
    with listener(b"") as port, pytest.raises((NotServingError, ConnectionError)):
        ask(port, KAFKA_REQUEST, kafka_answer, 2)
    with listener(b"+PONG\r\n" + b"x" * 200_000) as port, pytest.raises((NotServingError, ConnectionError)):
        ask(port, b"PING\r\n", redis_answer, 2)
