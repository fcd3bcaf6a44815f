"""What the native stack needs on a machine: looks for it, installs it where it may, and says what is missing.

The rule: nothing is installed but by the machine's own clients (apt-get as root, Maven), and only packages that bring
no service of their own, so that nothing starts which `sb stack down` wouldn't stop. Installers talk to standard error.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

INSTALL_DEADLINE_S: Final = 600
ASK_DEADLINE_S: Final = 20
SAID_LINES_MAX: Final = 200
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
SYSTEM_PATHS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec")
"""Where distributions put servers, though a user's PATH may lack it."""

KAFKA_VERSION: Final = "4.1.0"
ARTIFACTS: Final = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),  # Kafka 4 speaks to slf4j 1.7: a binding of 2.x is ignored
)
COPY_GOAL: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class StackError(RuntimeError):
    """The stack can't do what was asked for; the text says why and what helps."""


class MissingError(StackError):
    """Something isn't on this machine and couldn't be installed; `what` has a line for each."""

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__("\n".join(("missing:", *(f"  {line}" for line in what))))
        self.what = tuple(what)


class Need(Struct, frozen=True):
    """One program: what it is called, how to find it (None: not there), and the Debian packages that bring it."""

    what: str
    find: Callable[[], str | None]
    packages: tuple[str, ...]


def find(*names: str) -> str | None:
    """Return the path of the first of these programs that is on PATH or in a system folder."""
    paths = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_PATHS))
    return next((path for name in names if (path := shutil.which(name, path=paths))), None)


def ensure(needs: Iterable[Need], *, install: bool) -> None:
    """See to it that every need is met; raises MissingError that names all that aren't, and how to get them."""
    lacking = [need for need in needs if need.find() is None]
    if not lacking:
        return
    packages = list(dict.fromkeys(name for need in lacking for name in need.packages))
    why = _why_not(install=install) or _install(packages)
    lacking = [need for need in lacking if need.find() is None]
    if lacking:
        raise MissingError([f"{need.what}: {why}; get it with: {_advice(need.packages)}" for need in lacking])


def jars(*, install: bool) -> Path:
    """Return the folder of Kafka's jars, after fetching them with Maven where they aren't there yet."""
    folder = cache() / f"kafka-{KAFKA_VERSION}"
    if folder.is_dir():
        return folder
    what = f"Kafka {KAFKA_VERSION}'s jars in {folder}"
    if not install:
        raise MissingError([f"{what}: installing was not allowed; get them with: sb stack up kafka"])
    ensure([MAVEN], install=install)
    sys.stderr.write(f"sb stack: fetching Kafka {KAFKA_VERSION} with Maven (once)\n")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix="fetching-") as temporary:
        work = Path(temporary)
        (work / "pom.xml").write_text(_pom(), encoding="utf-8")
        options = ("-B", "-q", "-Dstyle.color=never", "-f", str(work / "pom.xml"), "-DincludeScope=runtime")
        # Maven's own copies go with the folder; a user without a home has no place for them anyway
        places = (f"-Dmaven.repo.local={work / 'repository'}", f"-DoutputDirectory={work / 'libs'}")
        tail = _run((str(find("mvn")), COPY_GOAL, *options, *places))
        if tail is not None or not (work / "libs").is_dir():
            raise MissingError([f"{what}: Maven could not fetch them ({tail}); it needs a repository that has them"])
        try:
            # whole or not at all: what has the name is complete
            (work / "libs").rename(folder)
        except OSError as error:
            if not folder.is_dir():  # else another one fetched them meanwhile
                raise StackError(f"can't write {folder}: {error}") from error
    return folder


def cache() -> Path:
    """Return the folder in which downloads are kept, shared by all data folders of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sportsbet-pipeline"


def java() -> str | None:
    """Return the path of a Java that Kafka runs on (17 or newer)."""
    path = find("java")
    if path is None:
        return None
    match = re.search(r'version "(\d+)', output((path, "-version")))
    return path if match and int(match[1]) >= 17 else None


def output(command: Sequence[str]) -> str:
    """Return what a short command says, on either channel; raises StackError when it can't be run."""
    try:
        done = subprocess.run(  # noqa: S603  a program we looked up ourselves
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=ASK_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{command[0]}: {error}") from error
    return done.stdout.decode(errors="replace")


JAVA: Final = Need("Java 17 or newer (java)", java, ("default-jre-headless",))
MAVEN: Final = Need("Maven (mvn)", lambda: find("mvn"), ("maven",))


def _why_not(*, install: bool) -> str:
    if not install:
        return "not found, and installing was not allowed"
    if find("apt-get") is None:
        return "not found, and there is no apt-get here to install it with"
    if os.geteuid() != 0:
        return "not found, and only root may install it"
    return ""


def _install(packages: Sequence[str]) -> str:
    sys.stderr.write(f"sb stack: installing {' '.join(packages)} (once)\n")
    command = (
        "apt-get",
        "-y",
        "-qq",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "DPkg::Lock::Timeout=120",
        "install",
        "--no-install-recommends",
        *packages,
    )
    tail = _run(command)
    if tail is not None:
        # a machine that never asked has no list of packages, an old list names files that are gone
        _run(("apt-get", "-qq", "update"))
        tail = _run(command)
    return "installed, and still not found" if tail is None else f"apt-get could not install it ({tail})"


def _advice(packages: Sequence[str]) -> str:
    if find("apt-get") is None:
        return f"your package manager (Debian's names: {' '.join(packages)})"
    return f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def _run(command: Sequence[str]) -> str | None:
    """Run an installer, passing on what it says; return None when it went well, else the line that says why not."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    said: deque[str] = deque(maxlen=SAID_LINES_MAX)
    try:
        with subprocess.Popen(  # noqa: S603  a program we looked up ourselves
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            deadline = threading.Timer(INSTALL_DEADLINE_S, process.kill)
            deadline.start()
            for raw in process.stdout or ():
                line = _COLOUR.sub("", raw)
                sys.stderr.write(line)
                said.append(line.strip())
            process.wait()
            deadline.cancel()
    except OSError as error:
        return str(error)
    if process.returncode == 0:
        return None
    if process.returncode == -signal.SIGKILL:
        return f"no end after {INSTALL_DEADLINE_S} s"
    errors = [line for line in said if line.startswith(("E: ", "[ERROR] "))]
    return (errors or [line for line in reversed(said) if line] or ["without a word"])[0]


def _pom() -> str:
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>sportsbet</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{wanted}</dependencies></project>"
    )
