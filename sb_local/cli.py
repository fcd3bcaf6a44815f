"""`sb`: one command for everything. It only finds the command's module and calls its `main`.

The rules: a module is imported when its command is called, so that `sb --help` is at once; exit 0 means success,
2 wrong usage, 1 failure; results go to standard output, everything else to standard error.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, cast

from msgspec import Struct

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


class Command(Struct, frozen=True):
    """A command: its name, the module that has `main(argv) -> int`, and a sentence."""

    name: str
    module: str
    text: str


COMMANDS: Final = (
    Command("local", "sb_local.__main__", "the whole pipeline in one process, fed by the simulator or recorded feeds"),
    Command("ingest", "sb_ingest.__main__", "takes providers' feeds (4000)"),
    Command("process", "sb_process.__main__", "folds one sport's messages into events (4101-4104)"),
    Command("distribute", "sb_distribute.__main__", "serves REST (4002) and WebSocket (4003)"),
    Command("generate", "sb_generator.__main__", "simulates feeds (4004)"),
    Command("replay", "sb_generator.replay_cli", "plays recorded feeds into an ingest service"),
    Command("record", "sb_generator.record_cli", "captures what an ingest service receives"),
    Command("deadletters", "sb_ingest.deadletters_cli", "lists, shows and replays what was refused"),
    Command("lag", "sb_local.lag", "positions of the processors and how far they are behind"),
    Command("migrate", "sb_local.migrate", "brings the database's schema up to date"),
    Command("topics", "sb_local.topics", "topics of the log: list, create, verify"),
    Command("doctor", "sb_local.doctor", "what is missing or misconfigured, and how to mend it"),
    Command("console", "sb_console.__main__", "the operations console"),
    Command("stack", "sb_local.stack", "native Kafka, MySQL and Redis for tests"),
    Command("lineage", "sb_local.lineage", "an operator's last resort: raises a partition's lineage"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        sys.stderr.write(usage())
        return EXIT_USAGE
    name, rest = arguments[0], arguments[1:]
    if name in {"-h", "--help", "help"}:
        sys.stdout.write(usage())
        return EXIT_OK
    if name == "--version":
        from sb_core.ops import software_version  # noqa: PLC0415  its imports cost more than the rest of this module

        sys.stdout.write(f"sb {software_version()}\n")
        return EXIT_OK
    command = next((each for each in COMMANDS if each.name == name), None)
    if command is None:
        sys.stderr.write(f"sb: there is no command {name!r}\n\n{usage()}")
        return EXIT_USAGE
    return run(command, rest)


def run(command: Command, argv: Sequence[str]) -> int:
    """Import a command's module and call its `main`, turning every way to end into an exit code."""
    try:
        entry = _load(command)
        if entry is None:
            sys.stderr.write(f"sb {command.name}: not built yet\n")
            return EXIT_FAILED
        code = entry(argv)
        sys.stdout.flush()
    except SystemExit as end:
        # argparse ends so: 0 after --help, 2 after wrong usage
        return _code_of(end)
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:
        # whoever read our output has left; the interpreter must not stumble over it once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code


def _load(command: Command) -> Callable[[Sequence[str]], int] | None:
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        # only our own module's absence means "not built": a missing dependency is a fault to be seen
        if error.name is not None and (command.module == error.name or command.module.startswith(f"{error.name}.")):
            return None
        raise
    return cast("Callable[[Sequence[str]], int] | None", getattr(module, "main", None))


def _code_of(end: SystemExit) -> int:
    if end.code is None:
        return EXIT_OK
    if isinstance(end.code, int):
        return end.code
    sys.stderr.write(f"{end.code}\n")
    return EXIT_FAILED


def usage() -> str:
    """Return the text of `sb --help`."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.text}" for command in COMMANDS]
    return "usage: sb COMMAND [ARGUMENTS]\n\n" + "\n".join(lines) + "\n\nsb COMMAND --help says more.\n"


if __name__ == "__main__":
    sys.exit(main())
