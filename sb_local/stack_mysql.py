"""MySQL or MariaDB of the native stack: database and user `sportsbet`, settings as the store wants them in production.

A real MySQL (`mysqld`) is taken where there is one, else MariaDB, which is what distributions have. Both durable at
every commit, READ COMMITTED, utf8mb4. The administrator is whoever owns the data folder, over the socket in it; over
TCP there is only `sportsbet`, who may also make databases named `sportsbet_…` for tests.
"""

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sb_local.stack_engine import CLEAN_ENVIRON, Place
from sb_local.stack_install import Need, StackError, find, output
from sb_local.stack_probe import HOST, ask, mysql_answer
from sb_local.stack_process import Command, write

NAME: Final = "sportsbet"
PASSWORD: Final = "sportsbet"  # noqa: S105  of a database that only this machine reaches
SOCKET: Final = "mysql.sock"
"""Relative to the data folder, in which the server works: a whole path may be longer than a socket's 107 bytes."""

APPARMOR: Final = "/etc/apparmor.d/usr.sbin.mysqld"
APPARMOR_HINT: Final = f"AppArmor may forbid mysqld this folder: sudo apparmor_parser -R {APPARMOR}\n"
INIT_DEADLINE_S: Final = 120
_MADE: Final = "initialised"
_INIT_SQL: Final = (
    "SET NAMES utf8mb4;",
    f"CREATE DATABASE IF NOT EXISTS {NAME} CHARACTER SET utf8mb4;",
    f"CREATE USER IF NOT EXISTS '{NAME}'@'%' IDENTIFIED BY '{PASSWORD}';",
    f"GRANT ALL ON `{NAME}`.* TO '{NAME}'@'%';",
    f"GRANT ALL ON `{NAME}\\_%`.* TO '{NAME}'@'%';",
)
"""One statement a line, as both servers want them; run at every start, so that each must bear repetition."""


def server() -> str | None:
    """Return the path of the server: MySQL before MariaDB (whose `mysqld`, if there, is MariaDB by an old name)."""
    mysqld = find("mysqld")
    if mysqld and not _is_mariadb(mysqld):
        return mysqld
    return find("mariadbd") or mysqld


class MySql:
    """The engine (see stack_engine.Engine)."""

    name = "mysql"
    port_names: tuple[str, ...] = ("mysql",)
    start_deadline_s = 90.0
    stop_deadline_s = 20.0

    def needs(self) -> tuple[Need, ...]:
        """Say which programs must be on the machine: the server, and the tools that tests dump and load with."""
        return (
            Need("MySQL or MariaDB (mysqld, mariadbd)", server, ("mariadb-server-core",)),
            Need("MySQL's clients (mariadb-dump, mysqldump)", lambda: _client("dump"), ("mariadb-client",)),
        )

    def fetch(self, *, install: bool) -> None:
        """Nothing beyond packages."""

    def prepare(self, place: Place) -> Command:
        """Write my.cnf, make the data folder once, and say what to run."""
        path = server()
        if path is None:
            raise StackError("the database's server has gone from this machine")
        config = place.folder / "my.cnf"
        place.data.mkdir(parents=True, exist_ok=True)
        write(place.folder / "init.sql", "\n".join((*_INIT_SQL, "")).encode())
        write(config, _text(_settings(place)).encode())
        made, kind = place.folder / _MADE, "MariaDB" if _is_mariadb(path) else "MySQL"
        if not made.exists():
            _initialise(path, config, place.data)
            write(made, kind.encode())
        elif (before := made.read_text(encoding="utf-8")) != kind:
            raise StackError(f"{place.data} was made by {before}, and {path} is {kind}: remove it with down --purge")
        return Command(path, (path, f"--defaults-file={config}", *_user()), CLEAN_ENVIRON)

    def probe(self, port: int, deadline_s: float) -> str:
        """Wait for the greeting, which comes when init.sql is through; return the version."""
        version = ask(port, b"", mysql_answer, deadline_s)
        return f"MariaDB {version.partition('-MariaDB')[0]}" if "MariaDB" in version else f"MySQL {version}"

    def url(self, port: int) -> str:
        """Return SB_STORE_URL."""
        return f"mysql://{NAME}:{PASSWORD}@{HOST}:{port}/{NAME}"


def tool(name: str, *arguments: str) -> Command:
    """Say how to run a client (`dump`, `admin`; "" is the shell) as administrator; its working folder must be `data`."""
    path = _client(name)
    if path is None:
        raise StackError(f"there is neither {' nor '.join(_client_names(name))} on this machine")
    user = () if _is_mariadb(path) else ("--user=root",)
    given = ("--no-defaults", f"--socket={SOCKET}", "--default-character-set=utf8mb4", *user, *arguments)
    return Command(path, (path, *given), CLEAN_ENVIRON)


def _client_names(name: str) -> tuple[str, str]:
    return (f"mariadb-{name}", f"mysql{name}") if name else ("mariadb", "mysql")


def _client(name: str) -> str | None:
    return find(*_client_names(name))


def _is_mariadb(path: str) -> bool:
    return "MariaDB" in output((path, "--no-defaults", "--version"))


def _user() -> tuple[str, ...]:
    """Both servers refuse to run as root unless told so by name; files stay the owner's this way."""
    return ("--user=root",) if os.geteuid() == 0 else ()


def _initialise(path: str, config: Path, data: Path) -> None:
    # what an interrupted attempt left is of no use; the folder itself may be a mount point
    for left in data.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    if _is_mariadb(path):
        script = find("mariadb-install-db", "mysql_install_db")
        if script is None:
            raise StackError("mariadb-install-db is missing: it comes with mariadb-server-core")
        account = ("--auth-root-authentication-method=socket", f"--auth-root-socket-user={getpass.getuser()}")
        command = (script, f"--defaults-file={config}", "--skip-test-db", *account, *_user())
    else:
        command = (path, f"--defaults-file={config}", "--initialize-insecure", *_user())
    try:
        done = subprocess.run(  # noqa: S603  a program we looked up ourselves
            command,
            env=dict(CLEAN_ENVIRON),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INIT_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"making the database did not end in {INIT_DEADLINE_S} s") from error
    if done.returncode != 0:
        # Ubuntu's profile lets mysqld write below /var/lib/mysql only, whoever runs it
        hint = APPARMOR_HINT if "Errcode: 13" in done.stdout and Path(APPARMOR).exists() else ""
        raise StackError(f"the database can't be made:\n{done.stdout}{hint}")


def _settings(place: Place) -> dict[str, str]:
    return {
        "datadir": str(place.data),
        "socket": SOCKET,
        "pid-file": "server.pid",
        "bind-address": HOST,
        "port": str(place.ports["mysql"]),
        "init-file": str(place.folder / "init.sql"),
        "loose-mysqlx": "OFF",
        "loose-log-warnings": "1",  # else each look of ours is a line in the log
        "skip-name-resolve": "ON",
        "local-infile": "OFF",
        "secure-file-priv": str(place.folder),  # packages name a folder that only their own service has
        "skip-log-bin": "",
        "performance-schema": "OFF",
        "character-set-server": "utf8mb4",
        "transaction-isolation": "READ-COMMITTED",
        "default-time-zone": "+00:00",
        "innodb-flush-log-at-trx-commit": "1",
        "innodb-buffer-pool-size": "512M",
        "innodb-buffer-pool-dump-at-shutdown": "OFF",
        "innodb-buffer-pool-load-at-startup": "OFF",
        "max-connections": "200",
        "max-allowed-packet": "64M",
        **place.settings,
    }


def _text(settings: dict[str, str]) -> str:
    lines = (f"{name} = {value}" if value else name for name, value in settings.items())
    return "\n".join(("[mysqld]", *lines, ""))
