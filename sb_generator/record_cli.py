"""`sb record --from URL FILE`: writes what an ingest service receives, original bytes and arrival times, as capture lines."""

import argparse
import bz2
import gzip
import io
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, cast

import anyio
import httpx
import msgspec
from msgspec import Struct

from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from sb_core.settings import SettingsError, load

CONNECT_S: Final = 5.0
LINE_BYTES_MAX: Final = 64 * 1024 * 1024


class Recorded(Struct):
    """What was written. `problem`: why it ended before it was told to."""

    lines: int = 0
    bytes: int = 0
    problem: str | None = None


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb record", description="Captures what an ingest service receives.")
    made.add_argument(
        "file", metavar="FILE", help="where to; .gz, .bz2 and .zst are compressed; an existing file is not overwritten"
    )
    made.add_argument("--from", dest="url", metavar="URL", help="base URL of ingest (default: SB_INGEST_URL)")
    made.add_argument("--provider", help="only this provider's")
    made.add_argument("--duration", type=float, metavar="SECONDS", help="end after this time")
    made.add_argument("--lines", type=int, metavar="N", help="end after so many lines")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    made.epilog = "A key that ingest asks for is read from SB_API_KEY or SB_API_KEY_FILE."
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Record until interrupted, or as long as told; whole lines only."""
    made = parser()
    arguments = made.parse_args(argv)
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"sb record: {error}\n")
        return EXIT_USAGE
    path = Path(arguments.file)
    if path.exists():
        made.error(f"{path} is there already")
    recorded = Recorded()
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("xb"))
        except OSError as error:
            made.error(f"{path}: {error.strerror}")
        file = stack.enter_context(_compressed(path, raw))
        anyio.run(_until_told, arguments, settings.api_key, file, recorded, backend="trio")
    if recorded.problem is not None:
        sys.stderr.write(f"sb record: {recorded.problem}\n")
    result = msgspec.json.encode(recorded).decode()
    sys.stdout.write(f"{result if arguments.json else f'{recorded.lines} lines, {recorded.bytes} bytes'}\n")
    return EXIT_OK if recorded.problem is None else EXIT_FAILED


def _compressed(path: Path, raw: io.BufferedWriter) -> io.BufferedIOBase:
    """Compress by name, so that the file is what it says."""
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="wb")
    if path.suffix == ".bz2":
        return bz2.BZ2File(raw, "wb")
    if path.suffix == ".zst":
        import zstandard  # noqa: PLC0415  a driver that only such files need

        return cast("io.BufferedIOBase", zstandard.ZstdCompressor().stream_writer(raw, closefd=False))
    return raw


async def _until_told(arguments: argparse.Namespace, api_key: str, file: io.BufferedIOBase, recorded: Recorded) -> None:
    """Record until a signal, the usual way to end a recording, or until it ends by itself."""
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, group.cancel_scope)
        await _record(arguments, api_key, file, recorded)
        group.cancel_scope.cancel()


async def _watch(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _record(arguments: argparse.Namespace, api_key: str, file: io.BufferedIOBase, recorded: Recorded) -> None:
    url = (arguments.url or load().ingest_url).rstrip("/")
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    query = {"provider": arguments.provider} if arguments.provider else {}
    # a feed may be silent for as long as it likes
    timeout = httpx.Timeout(None, connect=CONNECT_S)
    with anyio.move_on_after(arguments.duration):
        try:
            async with (
                httpx.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as client,
                client.stream("GET", f"{url}/v1/capture", params=query) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    text = (await answer.aread())[:300].decode("utf-8", "replace")
                    recorded.problem = f"{answer.status_code}: {text}"
                    return
                sys.stderr.write(f"recording from {url} to {arguments.file}\n")
                await _write(answer, file, recorded, arguments.lines)
        except httpx.HTTPError as error:
            recorded.problem = f"{type(error).__name__}: {error}"
            return
        if arguments.lines is None or recorded.lines < arguments.lines:
            recorded.problem = "the stream ended"


async def _write(answer: httpx.Response, file: io.BufferedIOBase, recorded: Recorded, lines_max: int | None) -> None:
    held = b""
    async for chunk in answer.aiter_bytes():
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            file.write(line + b"\n")
            recorded.lines += 1
            recorded.bytes += len(line) + 1
            if lines_max is not None and recorded.lines >= lines_max:
                file.flush()
                return
        # whoever looks at the file, or loses us, has what came
        file.flush()
        if len(held) > LINE_BYTES_MAX:
            recorded.problem = f"a line of more than {LINE_BYTES_MAX} bytes"
            return


if __name__ == "__main__":
    sys.exit(main())
