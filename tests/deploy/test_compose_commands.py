"""The README's commands for containers, each typed as it stands there, at a terminal, against a system built from scratch."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PORTS = (4000, 4002, 4003, 4004, 4101, 4102, 4103, 4104, 9092, 3307, 6379)
UP_S = 300
ANSWER_S = 60
PASSWORD = "sportsbet"
INTERRUPT = "\x03"

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.xdist_group("compose")]

TYPED = {
    "docker-compose exec redis redis-cli": [("> ", "DBSIZE\r")],
    "docker-compose exec mysql mysql -u sportsbet -p": [
        ("Enter password: ", f"{PASSWORD}\r"),
        ("mysql> ", "SELECT COUNT(*) > 0 FROM sportsbet.events;\r"),
    ],
}
"""What is typed once a command shows something; such a command is left with `exit`."""

SHOWN = {
    "curl localhost:4101/health": r'"service":"data-processing-football","status":"ok"',
    "docker-compose logs -f data-processing-football": r'"event":"assigned"',
    'docker-compose logs -f | grep "error"': r"error",
    "docker-compose exec kafka kafka-topics.sh --list --bootstrap-server localhost:9092": r"sports-updates-tennis",
    "docker-compose exec kafka kafka-console-consumer.sh --bootstrap-server localhost:9092"
    " --topic sports-feed-football --from-beginning": r'\{"type":"odds".*"event":"sim:',
    "docker-compose exec redis redis-cli": r"\(integer\) [1-9]",
    "docker-compose exec mysql mysql -u sportsbet -p": r"\| +1 \|",
}
"""What must be seen of each; those that follow (`-f`, consumers) are interrupted after that."""


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, command, environment):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.shown = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "-c", command],
            cwd=ROOT,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while chunk := os.read(self.ours, 65_536):
                self.shown += chunk.decode(errors="replace")
        except OSError:
            pass  # the command has ended

    def type(self, text):
        os.write(self.ours, text.encode())

    def until(self, pattern, deadline_s=ANSWER_S):
        end = time.monotonic() + deadline_s
        while not re.search(pattern, self.shown):
            assert time.monotonic() < end, f"not seen: {pattern} (ended: {self.process.poll()})\n{self.shown[-3000:]}"
            time.sleep(0.1)

    def end(self, text=INTERRUPT, deadline_s=60):
        if self.process.poll() is None:
            self.type(text)
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
        os.close(self.ours)


class System:
    """A project of its own, on ports of its own."""

    def __init__(self):
        self.project = f"sb-test-{os.getpid()}"
        self.ports = {port: free_port() for port in PORTS}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
        self.environment |= {f"PORT_{port}": str(there) for port, there in self.ports.items()}
        self.environment |= {"COMPOSE_PROJECT_NAME": self.project, "TERM": "dumb"}

    def here(self, command):
        """The command with our ports in the place of the usual ones, and nothing else."""
        return re.sub(r"localhost:(\d+)", lambda found: f"localhost:{self.ports[int(found[1])]}", command)

    def terminal(self, command):
        return Terminal(self.here(command), self.environment)

    def run(self, *command, deadline_s=UP_S):
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=deadline_s, check=False
        )

    def containers(self):
        out = self.run("docker", "compose", "ps", "-a", "--format", "json").stdout
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def well(self, count):
        """All services healthy, both jobs through."""
        found = self.containers()
        healthy = [each for each in found if each["Health"] == "healthy"]
        through = {each["Service"] for each in found if each["State"] == "exited" and each["ExitCode"] == 0}
        return len(healthy) == count and through == {"migrate", "topics"}

    def wait_well(self, count, terminal=None):
        end = time.monotonic() + UP_S
        while not self.well(count):
            ended = terminal is not None and terminal.process.poll() is not None
            assert not ended, terminal.shown[-5000:]
            assert time.monotonic() < end, self.containers()
            time.sleep(1)

    def left(self):
        """What of the project is still there."""
        mine = f"label=com.docker.compose.project={self.project}"
        found = [self.run("docker", kind, "ls", *(["-a"] if kind == "container" else []), "-q", "--filter", mine).stdout
                 for kind in ("container", "volume", "network")]  # fmt: skip
        return "".join(found).split()


def engine_runs():
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def system():
    if shutil.which("docker-compose") is None or not engine_runs():
        said = "no docker-compose here, or its engine doesn't run"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    made = System()
    try:
        yield made
    finally:
        made.run("docker", "compose", "down", "-v", "--remove-orphans")


def commands():
    text = (ROOT / "README.md").read_text()
    (block,) = [each for each in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "docker-compose" in each]
    return [line.split("  #")[0].strip() for line in block.splitlines()]


def test_the_commands_of_the_readme(system):
    up, *asked, scale, down = commands()
    assert up == "docker-compose up --build"
    assert "--scale data-processing-football=3" in scale
    assert down == "docker-compose down -v"
    assert set(asked) == set(SHOWN)

    running = system.terminal(up)
    try:
        system.wait_well(10, running)
        for command in asked:
            if "error" in command:  # a healthy system has none to show
                system.run("docker", "compose", "restart", "redis")
            terminal = system.terminal(command)
            try:
                for prompt, text in TYPED.get(command, ()):
                    terminal.until(prompt)
                    terminal.type(text)
                terminal.until(SHOWN[command])
                terminal.end("exit\r" if command in TYPED else INTERRUPT)
            finally:
                terminal.close()
        running.end()
    finally:
        running.close()

    scaled = system.terminal(scale)
    try:
        system.wait_well(12, scaled)
        processors = [each for each in system.containers() if each["Service"] == "data-processing-football"]
        assert len(processors) == 3
        assert not any(each["Publishers"] for each in processors)
        scaled.end()
    finally:
        scaled.close()

    assert system.left()
    assert system.run(*down.split()).returncode == 0
    assert system.left() == []


def test_up_with_wait_is_well_at_once_and_down_leaves_nothing(system):
    done = system.run("docker", "compose", "up", "--build", "--wait")
    assert done.returncode == 0, done.stderr[-3000:]
    assert system.well(10)
    assert system.run("docker", "compose", "down", "-v").returncode == 0
    assert system.left() == []
