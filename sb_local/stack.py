"""`sb stack install|up|down|status`: real Kafka, MySQL or MariaDB and Redis on this machine, without containers.

`eval "$(sb stack up)"` points services started from that shell at them. Tests use `up`, `down` and `Stack`.
The rule: standard output is data, standard error is the story, exit 0 means that all engines asked for serve.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from sb_core import settings as settings_module
from sb_core.settings import SettingsError
from sb_local.stack_install import MissingError, StackError
from sb_local.stack_run import ENGINES, Stack, Status, down, provide, status, up

__all__ = ["ENGINES", "MissingError", "Stack", "StackError", "Status", "down", "main", "provide", "status", "up"]

PORT_MAX: Final = 65_535


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb stack", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = made.add_subparsers(dest="command", required=True)
    get = commands.add_parser("install", help="install and download what is missing, and start nothing")
    start = commands.add_parser("up", help="install what is missing, start what doesn't run, print the URLs")
    for command in (get, start):
        command.add_argument(
            "engines",
            nargs="*",
            choices=(*ENGINES, []),
            metavar="ENGINE",
            help=f"of {', '.join(ENGINES)} (default: all)",
        )
    start.add_argument(
        "--ports",
        type=_ports,
        default={},
        metavar="NAME=PORT,…",
        help="fixed ports, such as kafka=9092,mysql=3307,redis=6379 (default: free ones)",
    )
    start.add_argument("--no-install", action="store_true", help="say what is missing instead of installing it")
    stop = commands.add_parser("down", help="stop what `up` started")
    stop.add_argument("--purge", action="store_true", help="remove the data, too")
    look = commands.add_parser("status", help="what runs, where, and how well; exit 1 if anything asked for doesn't")
    for command in (start, stop, look):
        command.add_argument("--data", type=Path, metavar="FOLDER", help="where it all lies (default: SB_DATA/stack)")
        command.add_argument("--json", action="store_true", help="print one JSON document")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the four commands."""
    arguments = parser().parse_args(argv)
    commands = {"up": _up, "down": _down, "status": _status}
    try:
        if arguments.command == "install":
            provide(arguments.engines or tuple(ENGINES))
            return 0
        folder = arguments.data or Path(settings_module.load().data) / "stack"
        return commands[arguments.command](folder, arguments)
    except SettingsError as error:
        sys.stderr.write(f"sb stack: {error}\n")
        return 2
    except (StackError, OSError) as error:
        sys.stderr.write(f"sb stack: {error}\n")
        return 1


def _up(folder: Path, arguments: argparse.Namespace) -> int:
    began_s = time.monotonic()
    engines = arguments.engines or tuple(ENGINES)
    stack = up(folder, engines, ports=arguments.ports, install=not arguments.no_install)
    for name in engines:
        now = stack.status(name)
        sys.stderr.write(f"sb stack: {now.version} on port {now.port}, pid {now.pid}\n")
    sys.stderr.write(f"sb stack: up in {time.monotonic() - began_s:.1f} s, data in {stack.folder}\n")
    if arguments.json:
        _print_json(stack.environ)
    else:
        sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in stack.environ.items())
    return 0


def _down(folder: Path, arguments: argparse.Namespace) -> int:
    stopped = down(folder, purge=arguments.purge)
    if arguments.json:
        _print_json({"stopped": stopped, "purged": arguments.purge})
    else:
        sys.stderr.write(f"sb stack: stopped {', '.join(stopped) or 'nothing, for nothing ran'}\n")
    return 0


def _status(folder: Path, arguments: argparse.Namespace) -> int:
    rows = status(folder)
    well = bool(rows) and all(row.state == "running" for row in rows)
    if arguments.json:
        _print_json({"ok": well, "data": str(folder.absolute()), "engines": rows})
        return 0 if well else 1
    if not rows:
        sys.stderr.write(f"sb stack: nothing was ever started in {folder}\n")
        return 1
    sys.stdout.write(f"{'engine':8} {'state':10} {'port':>5} {'pid':>8} {'rss MB':>7} {'ms':>6} {'up s':>8} version\n")
    for row in rows:
        cells = (row.pid, row.rss_mb, row.latency_ms, row.uptime_s)
        pid, rss, latency, uptime = ("-" if cell is None else cell for cell in cells)
        sys.stdout.write(
            f"{row.engine:8} {row.state:10} {row.port:5} {pid:>8} {rss:>7} {latency:>6} {uptime:>8} {row.version or row.detail}\n"
        )
    return 0 if well else 1


def _print_json(document: object) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")


def _ports(text: str) -> dict[str, int]:
    known = {name for engine in ENGINES.values() for name in engine.port_names}
    ports: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in known or not number.isdecimal() or not 0 < int(number) <= PORT_MAX:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=PORT with a name of {', '.join(sorted(known))}")
        ports[name] = int(number)
    return ports


if __name__ == "__main__":
    sys.exit(main())
