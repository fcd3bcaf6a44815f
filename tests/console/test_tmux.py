"""The console in a real terminal: started by its command in tmux, typed at, read from the screen."""

import os
import re
import shutil
import subprocess
import sys
import time
import uuid

import pytest
from local_pipeline import PORTS, ROOT
from ports import free_offset

pytestmark = pytest.mark.e2e
WAIT_S = 40.0


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder, environ, *arguments, size=(80, 24)):
        self.socket = str(folder / "tmux.sock")
        kept = {name: value for name, value in environ.items() if name not in {"COLUMNS", "LINES", "TMUX"}}
        self.environ = {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-m", "sb_local.cli", *arguments]
        shown = " ".join(f"'{each}'" for each in command)
        self.name = uuid.uuid4().hex[:8]
        self.tmux("-f", os.devnull, "new-session", "-d", "-s", self.name, "-x", str(size[0]), "-y", str(size[1]),
                  "-c", str(folder), f"{shown}; echo ended with $?; sleep 1000")  # fmt: skip

    def tmux(self, *arguments):
        done = subprocess.run(
            ["tmux", "-S", self.socket, *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout

    def type(self, *keys):
        for key in keys:
            self.tmux("send-keys", "-t", self.name, *(["-l", key] if len(key) == 1 or " " in key else [key]))

    def screen(self, *flags):
        return self.tmux("capture-pane", "-p", *flags, "-t", self.name)

    def until(self, words):
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if words in self.screen():
                return
            time.sleep(0.1)
        raise AssertionError(f"{words!r} not seen:\n{self.screen()}")

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(environ, tmp_path):
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here: install Debian's package of that name")
    opened = []

    def open_one(*arguments, size=(80, 24), **more):
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        opened.append(Terminal(folder, {**environ, **more}, *arguments, size=size))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def test_typed_at_and_read(terminal):
    tty = terminal("console")
    tty.until("account  accepted")
    tty.type("3")
    tty.until("in 48 partitions")
    tty.type(":", "stream", "Enter")
    tty.until("updates of")
    tty.type("Tab")
    tty.until("dead letters kept")
    tty.type("?")
    tty.until("everywhere")
    tty.type("Escape")
    tty.until("dead letters kept")  # Esc and a key at once would be Alt and that key
    tty.tmux("resize-window", "-t", tty.name, "-x", "160", "-y", "40")
    tty.type("1")
    tty.until("LAST TWO MINUTES")
    lines = tty.screen().splitlines()
    assert max(map(len, lines)) > 120
    tty.type("q")
    tty.until("ended with 0")


def test_without_colour_and_in_ascii(terminal):
    tty = terminal("console", "--ascii", NO_COLOR="1")
    tty.until("account  accepted")
    assert tty.screen().isascii()
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", tty.screen("-e")) for code in found.split(";")}
    assert not codes & {str(n) for n in [*range(30, 39), *range(40, 49), *range(90, 108)]}, codes
    tty.type("q")
    tty.until("ended with 0")


def test_sb_local_in_a_terminal_opens_the_console_and_ends_with_it(terminal, tmp_path):
    offset = free_offset(*PORTS)
    tty = terminal("local", SB_DATA=str(tmp_path / "data"), SB_PORT_OFFSET=str(offset))
    tty.until("account  accepted")
    tty.type("7")
    tty.until("50 a second wanted")
    tty.type("q")
    tty.until("ended with 0")
    assert '"event":"stopped"' in (tmp_path / "data" / "local.log").read_text(), "the pipeline wound down in order"
