"""`sb replay FILE… --to URL`: plays recorded feeds into an ingest service."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio

from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE, SystemClock
from sb_core.settings import SettingsError, load
from sb_generator import recognise
from sb_generator.faults import Rates, parse
from sb_generator.progress import ProgressBar
from sb_generator.replay import ReplayOptions, ReplayReport, encode, replay
from sb_generator.sender import HttpSender

COUNT_MAX: Final = 1_000_000


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb replay", description="Plays recorded feeds into an ingest service.")
    made.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="lines, JSON, XML or capture lines; plain, .bz2, .gz or .zst",
    )
    made.add_argument("--to", metavar="URL", help="base URL of ingest (default: SB_INGEST_URL)")
    made.add_argument("--provider", help="the files' provider (default: by content)")
    made.add_argument("--sport", help="the files' sport, where they don't say it")
    made.add_argument("--key", help="the files' UOF routing key")
    made.add_argument("--speed", type=_speed, default=None, metavar="N|max", help="times the recorded speed (max)")
    made.add_argument("--from", dest="start", type=_time, metavar="TIME", help="first time: ms or RFC 3339")
    made.add_argument("--until", dest="end", type=_time, metavar="TIME", help="end before this time: ms or RFC 3339")
    made.add_argument("--loop", action="store_true", help="again and again, each round with ids and times of its own")
    made.add_argument("--rounds", type=_count, metavar="N", help="end a loop after so many rounds")
    made.add_argument("--scale", type=_count, default=1, metavar="N", help="so many copies of every event at once (1)")
    made.add_argument(
        "--faults", type=_faults, default=Rates(), help=f"name=probability,…: {', '.join(Rates.__struct_fields__)}"
    )
    made.add_argument("--seed", type=int, default=1, help="of the faults (1)")
    made.add_argument("--json", action="store_true", help="print the report as one JSON object")
    made.epilog = "A key that ingest asks for is read from SB_API_KEY or SB_API_KEY_FILE."
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Replay files; exit 0 only if every document was judged."""
    made = parser()
    arguments = made.parse_args(argv)
    missing = [name for name in arguments.files if not Path(name).is_file()]
    if missing:
        made.error(f"no such file: {', '.join(missing)}")
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"sb replay: {error}\n")
        return EXIT_USAGE
    url = arguments.to or settings.ingest_url
    if not url.startswith(("http://", "https://")):
        made.error("--to takes a URL that begins with http:// or https://")
    options = ReplayOptions(
        files=tuple(arguments.files),
        provider=arguments.provider,
        sport=arguments.sport,
        key=arguments.key,
        speed=arguments.speed,
        start=arguments.start,
        end=arguments.end,
        loop=arguments.loop or arguments.rounds is not None,
        rounds=arguments.rounds,
        scale=arguments.scale,
        faults=arguments.faults,
        seed=arguments.seed,
    )
    report = anyio.run(_replay, options, url, settings.api_key, backend="trio")
    for problem in report.problems:
        sys.stderr.write(f"sb replay: {problem}\n")
    sys.stdout.write((encode(report).decode() if arguments.json else words(report)) + "\n")
    return EXIT_FAILED if report.problems else EXIT_OK


async def _replay(options: ReplayOptions, url: str, api_key: str) -> ReplayReport:
    clock = SystemClock()
    bar = ProgressBar(clock) if sys.stderr.isatty() else None
    async with HttpSender(url, api_key) as sender:
        try:
            return await replay(options, sender.post, clock, bar.show if bar is not None else None)
        finally:
            if bar is not None:
                bar.end()


def words(report: ReplayReport) -> str:
    """Say a report in one line."""
    refused = ", ".join(f"{count} {code}" for code, count in report.refused.items()) or "none"
    return (
        f"{report.files} files, {report.documents} documents in {report.requests} requests, {report.bytes} bytes, "
        f"{report.seconds} s: {report.accepted} messages accepted, refused {refused}, "
        f"{report.retried} times sent again, {report.failed} documents not delivered"
        + "".join(f"; {name}: {_fields(counts)}" for name, counts in report.faults.items())
    )


def _fields(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError("takes 'max' or a positive number")
    return speed


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:7]) <= COUNT_MAX:
        raise argparse.ArgumentTypeError(f"takes a number from 1 to {COUNT_MAX}")
    return int(text)


def _faults(text: str) -> Rates:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _time(text: str) -> int:
    try:
        return recognise.parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither ms since 1970 nor RFC 3339 with an offset") from error


if __name__ == "__main__":
    sys.exit(main())
