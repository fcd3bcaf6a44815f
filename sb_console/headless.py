"""The console without a screen: one snapshot as JSON or a question answered by the exit code, and recording.

The rules: the same collectors and the same reducer as with a screen; standard output is data, standard error narration.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from sb_console.collectors.run import Collectors
from sb_console.document import document, headline
from sb_console.model import Snapshot
from sb_console.observations import Observation
from sb_console.profiles import Profile
from sb_console.query import Compare, Junction, Node, Not, Truth, holds, looking_into
from sb_console.record import FileSink, Recorder
from sb_console.reduce import first, reduce
from sb_console.requests import Request

SETTLE_S: Final = 3.6
"""As long as a verdict needs to call a partition STALLED, and a round more."""
SOURCES: Final = 13
DEADLINE_S: Final = 15.0
REQUESTS_MAX: Final = 100


class Watch:
    """Reduces what collectors see, and records it where asked to."""

    def __init__(self, profile: Profile, recorder: Recorder | None = None) -> None:
        self.snapshot = first(profile.name, profile.settings.port_offset)
        self._recorder = recorder

    def take(self, observation: Observation) -> None:
        """Take one observation."""
        if self._recorder is not None:
            self._recorder.note(self.snapshot, observation)
        self.snapshot = reduce(self.snapshot, observation)


async def look(profile: Profile, settle_s: float) -> Snapshot:
    """Watch until every source was tried and verdicts had their time; at most DEADLINE_S longer than that."""
    watch = Watch(profile)

    async def enough() -> None:
        await anyio.sleep(settle_s)
        while len(watch.snapshot.sources) < SOURCES:  # noqa: ASYNC110  whatever the reducer takes may be the last
            await anyio.sleep(0.05)

    await _watching(profile, watch, enough, settle_s + DEADLINE_S)
    return watch.snapshot


async def record(profile: Profile, path: Path, duration_s: float | None) -> Snapshot:
    """Record until a signal, or for a time. Raises OSError."""
    sink = FileSink(path)
    recorder = Recorder(sink)
    watch = Watch(profile, recorder)

    async def told() -> None:
        with anyio.move_on_after(duration_s), anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                return

    try:
        await _watching(profile, watch, told, None)
    finally:
        recorder.flush()
        sink.close()
    return watch.snapshot


async def _watching(profile: Profile, watch: Watch, until: Callable[[], Any], deadline_s: float | None) -> None:
    send, receive = anyio.create_memory_object_stream[Request](REQUESTS_MAX)
    with send, receive:
        async with anyio.create_task_group() as group:
            await group.start(Collectors(profile.settings, watch.take, receive).run)
            with anyio.move_on_after(deadline_s):
                await until()
            group.cancel_scope.cancel()


def print_once(snapshot: Snapshot, *, as_json: bool) -> None:
    """Print a snapshot."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(document(snapshot)).decode() + "\n")
        return
    verdict, why = headline(snapshot)
    sys.stdout.write(f"{verdict}  {why}\n")
    for service in snapshot.services.values():
        uptime = "" if service.uptime_s is None else f"up {service.uptime_s:.0f} s"
        sys.stdout.write(f"  {service.name:28} {service.state:10} {uptime:14} {service.reason or ''}\n")
    for group in snapshot.groups:
        sys.stdout.write(f"  {group.group:28} {group.verdict:10} lag {group.lag:<10} {group.reason}\n")


def answer(snapshot: Snapshot, node: Node | None) -> bool:
    """Say on standard error whether an expression holds and what was found; return it. Raises QueryError."""
    if node is None:
        return True
    look_up = looking_into(document(snapshot))
    held = holds(node, look_up)
    sys.stderr.write("holds\n" if held else "does not hold\n")
    for path in dict.fromkeys(_paths(node)):
        found = msgspec.json.encode(look_up(path)).decode()
        sys.stderr.write(f"  {'.'.join(path)} = {found[:200]}\n")
    return held


def _paths(node: Node | None) -> list[tuple[str, ...]]:
    if isinstance(node, Compare | Truth):
        return [node.path]
    if isinstance(node, Not):
        return _paths(node.term)
    if isinstance(node, Junction):
        return [path for term in node.terms for path in _paths(term)]
    return []
