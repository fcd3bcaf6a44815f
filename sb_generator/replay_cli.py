"""`sb replay FILE… --to URL`: plays recorded feeds into an ingest service."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE, SystemClock
from sb_core.settings import SettingsError, load
from sb_generator import recognise
from sb_generator.faults import Rates, parse
from sb_generator.replay import ReplayOptions, ReplayReport, encode, replay
from sb_generator.sender import HttpSender


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
    made.add_argument("--loop", action="store_true", help="again and again, until interrupted")
    made.add_argument("--faults", type=_faults, default=Rates(), help="drop=0.01,duplicate=0.02,reorder=…,corrupt=…")
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
        loop=arguments.loop,
        faults=arguments.faults,
        seed=arguments.seed,
    )
    report = anyio.run(_replay, options, url, settings.api_key, backend="trio")
    for problem in report.problems:
        sys.stderr.write(f"sb replay: {problem}\n")
    sys.stdout.write((encode(report).decode() if arguments.json else words(report)) + "\n")
    return EXIT_FAILED if report.problems else EXIT_OK


async def _replay(options: ReplayOptions, url: str, api_key: str) -> ReplayReport:
    async with HttpSender(url, api_key) as sender:
        return await replay(options, sender.post, SystemClock())


def words(report: ReplayReport) -> str:
    """Say a report in one line."""
    refused = ", ".join(f"{count} {code}" for code, count in report.refused.items()) or "none"
    return (
        f"{report.files} files, {report.documents} documents in {report.requests} requests, {report.bytes} bytes, "
        f"{report.seconds} s: {report.accepted} messages accepted, refused {refused}, "
        f"{report.retried} times sent again, {report.failed} documents not delivered"
    )


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
