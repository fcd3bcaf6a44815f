"""`sb local`: the whole pipeline in one process on embedded parts, fed by the simulator or by recorded feeds."""

import argparse
import math
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec

from sb_console.__main__ import main as console_main
from sb_core import settings as settings_module
from sb_core.runtime import EXIT_FAILED, EXIT_USAGE, Context, run_main
from sb_core.settings import Settings, SettingsError
from sb_generator.replay import ReplayOptions, replay
from sb_generator.sender import HttpSender
from sb_local import status
from sb_local.service import NAME, LocalService

STATUS_S = 1.0
NO_FEED = "none"
LOG_FILE = "local.log"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb local", description=__doc__)
    made.add_argument(
        "--feed", nargs="+", metavar="FILE", help="recorded feeds instead of the simulator; 'none' for neither"
    )
    made.add_argument("--provider", help="the files' provider (default: by content)")
    made.add_argument("--sport", help="the files' sport, where they don't say it")
    made.add_argument("--key", help="the files' UOF routing key")
    made.add_argument("--speed", default="max", help="times the recorded speed, or 'max' (default)")
    made.add_argument(
        "--until-idle",
        action="store_true",
        help="end when everything is through; exit 1 if the account doesn't balance",
    )
    made.add_argument("--duration", type=float, metavar="SECONDS", help="end after this time")
    made.add_argument("--quiet", action="store_true", help="no console, and no status line every second")
    return made


class Run:
    """One call of the command: what to do while the pipeline runs, and what it came to."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.account: dict[str, object] = {}
        self.failed = False

    async def work(self, service: LocalService) -> None:
        """Feed, watch, and return when it is time to end."""
        arguments = self.arguments
        async with anyio.create_task_group() as group:
            if not arguments.quiet:
                group.start_soon(self._watch, service)
            if arguments.duration is None and not arguments.until_idle:
                await self._feed(service)
                await anyio.sleep_forever()
            with anyio.move_on_after(arguments.duration):
                await self._feed(service)
                if arguments.until_idle:
                    await service.until_through()
                else:
                    await anyio.sleep_forever()
            if not arguments.until_idle:
                await service.quiesce()
            self.account = dict(await service.account())
            group.cancel_scope.cancel()

    async def _feed(self, service: LocalService) -> None:
        arguments = self.arguments
        if not arguments.feed or arguments.feed == [NO_FEED]:
            return
        options = ReplayOptions(
            files=tuple(arguments.feed),
            provider=arguments.provider,
            sport=arguments.sport,
            key=arguments.key,
            speed=None if arguments.speed == "max" else float(arguments.speed),
        )
        context = service.context
        async with HttpSender(context.settings.ingest_url, api_key=context.settings.api_key or None) as sender:
            report = await replay(options, sender.post, context.clock)
        context.telemetry.info("replayed", **msgspec.to_builtins(report))
        self.failed = self.failed or bool(report.failed)

    async def _watch(self, service: LocalService) -> None:
        before = dict(await service.account())
        seen_s = anyio.current_time()
        while True:
            await anyio.sleep(STATUS_S)
            account = dict(await service.account())
            now_s = anyio.current_time()
            sys.stdout.write(status.line(before, account, now_s - seen_s, lag_ms=service.distribute.lag_ms()) + "\n")
            sys.stdout.flush()
            before, seen_s = account, now_s


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole pipeline; print its account on the last line where it ends by itself."""
    made = parser()
    arguments = made.parse_args(argv)
    missing = [name for name in arguments.feed or () if name != NO_FEED and not Path(name).is_file()]
    if missing:
        made.error(f"no such file: {', '.join(missing)}")
    if arguments.speed != "max" and not _is_positive(arguments.speed):
        made.error("--speed takes 'max' or a positive number")
    if arguments.duration is not None and not 0 <= arguments.duration < math.inf:
        made.error("--duration takes a number of seconds")
    try:
        settings = settings_module.load()
    except SettingsError as error:
        sys.stderr.write(f"sb local: {error}\n")
        return EXIT_USAGE
    if wants_console(arguments):
        return with_console(list(sys.argv[1:] if argv is None else argv), settings)
    run = Run(arguments)

    def make(context: Context) -> LocalService:
        return LocalService(context, run.work, simulate=not arguments.feed)

    code = run_main(NAME, make, settings)
    if run.account:
        sys.stdout.write(msgspec.json.encode(run.account).decode() + "\n")
        if arguments.until_idle and (run.failed or not run.account["balanced"]):
            return EXIT_FAILED
    return code


def wants_console(arguments: argparse.Namespace) -> bool:
    """Say whether a person sits there and waits for nothing but the pipeline itself."""
    ends = arguments.until_idle or arguments.duration is not None
    return not arguments.quiet and not ends and sys.stdin.isatty() and sys.stdout.isatty()


def with_console(argv: Sequence[str], settings: Settings) -> int:
    """Run the pipeline in a process of its own, which logs to a file, and the console here; both end with the console."""
    log = Path(settings.data) / LOG_FILE
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = log.open("ab")
    except OSError as error:
        sys.stderr.write(f"sb local: SB_DATA: {log} can't be written: {error.strerror}\n")
        return EXIT_USAGE
    with lines:
        # a session of its own, so that Ctrl-C at the console is the console's alone
        command = [sys.executable, "-m", "sb_local", "--quiet", *argv]
        pipeline = subprocess.Popen(command, stdout=lines, stderr=lines, start_new_session=True)  # noqa: S603  ourselves
    try:
        code = console_main([])
    finally:
        ended_before = pipeline.poll()
        if ended_before is None:
            pipeline.send_signal(signal.SIGTERM)
            pipeline.wait(settings.stop_deadline_s + 5)
    if ended_before:
        sys.stderr.write(f"sb local: the pipeline had ended with {ended_before}; {log} says why\n")
        return EXIT_FAILED
    return code


def _is_positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
