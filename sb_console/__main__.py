"""`sb console`: the operations console, with a screen or without one."""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from sb_console import headless, profiles
from sb_console.profiles import Profile
from sb_console.query import Node, QueryError, parse
from sb_console.record import Recording, RecordingError
from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE, GC_THRESHOLDS
from sb_core.settings import SettingsError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="sb console",
        description="The operations console. Without options it opens the screen; ? there says more.",
        epilog="console.toml may hold profiles and keys.",
    )
    made.add_argument("--profile", default=profiles.LOCAL, help="which pipeline: local (default), compose, or your own")
    made.add_argument("--config", type=Path, metavar="FILE", help="instead of console.toml")
    made.add_argument("--once", action="store_true", help="look once, print what is found, and end")
    made.add_argument("--json", action="store_true", help="with --once: the whole snapshot as one JSON object")
    made.add_argument(
        "--assert",
        dest="expression",
        metavar="EXPR",
        help="look once; exit 0 if this holds of the snapshot, else 1: 'lag.verdict == \"OK\" and services.down == 0'",
    )
    made.add_argument("--settle", type=float, default=headless.SETTLE_S, metavar="SECONDS", help="how long to look")
    made.add_argument("--record", type=Path, metavar="FILE", help="record without a screen, until interrupted")
    made.add_argument("--duration", type=float, metavar="SECONDS", help="with --record: end after this time")
    made.add_argument("--replay", type=Path, metavar="FILE", help="show a recording instead of a pipeline")
    made.add_argument(
        "--at", type=int, metavar="MS", help="with --replay: the moment, in ms since 1970 (default: its end)"
    )
    made.add_argument("--ascii", action="store_true", help="no character beyond ASCII")
    made.add_argument("--theme", choices=("dark", "light", "none"), help="none (or NO_COLOR): no colours at all")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console; return its exit code."""
    gc.set_threshold(*GC_THRESHOLDS)
    made = parser()
    arguments = made.parse_args(argv)
    try:
        node = parse(arguments.expression) if arguments.expression is not None else None
        profile = profiles.load(arguments.profile, arguments.config)
        recording = Recording.read(arguments.replay) if arguments.replay else None
    except (QueryError, SettingsError, RecordingError, OSError) as error:
        sys.stderr.write(f"sb console: {error}\n")
        return EXIT_USAGE
    if recording is not None and recording.cut:
        sys.stderr.write(f"sb console: {arguments.replay} ends within a chunk; it is shown up to there\n")
    try:
        if arguments.once or arguments.json or arguments.expression is not None:
            return _once(arguments, profile, node, recording)
        if arguments.record:
            anyio.run(headless.record, profile, arguments.record, arguments.duration, backend="trio")
            return EXIT_OK
    except (RecordingError, OSError) as error:
        sys.stderr.write(f"sb console: {error}\n")
        return EXIT_FAILED
    except QueryError as error:
        sys.stderr.write(f"sb console: {error}\n")
        return EXIT_USAGE
    return _screen(arguments, profile, recording)


def _once(arguments: argparse.Namespace, profile: Profile, node: Node | None, recording: Recording | None) -> int:
    if recording is not None:
        span = recording.span
        snapshot = recording.seek(arguments.at if arguments.at is not None else span[1] if span else 0)
    else:
        snapshot = anyio.run(headless.look, profile, arguments.settle, backend="trio")
    if arguments.json or arguments.expression is None:
        headless.print_once(snapshot, as_json=arguments.json)
    return EXIT_OK if headless.answer(snapshot, node) else EXIT_FAILED


def _screen(arguments: argparse.Namespace, profile: Profile, recording: Recording | None) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("sb console: no terminal here; --once, --assert and --record need none\n")
        return EXIT_USAGE
    from sb_console.app import run_app  # noqa: PLC0415  who asks for no screen doesn't wait for its library

    theme = arguments.theme or ("none" if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else "dark")
    plain = arguments.ascii or "UTF-8" not in (sys.stdout.encoding or "").upper()
    try:
        return run_app(profile, recording, theme=theme, plain_text=plain)
    except SettingsError as error:
        sys.stderr.write(f"sb console: {error}\n")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
