"""All collectors in one task group: rounds with deadlines, requests of the operator, and a tick a second.

The rules: a round that fails or takes too long is told as `Polled`, and the next one comes all the same; nothing that a
source does ends the group.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream

from sb_console import observations as seen
from sb_console import requests as asked
from sb_console.collectors.asking import Asker, AskError
from sb_console.collectors.letters import LettersCollector
from sb_console.collectors.positions import PositionsCollector, Stores
from sb_console.collectors.services import ServiceCollector, error_words, generator_seen, producers
from sb_console.collectors.stream import FocusCollector, StreamCollector, now_ms
from sb_console.collectors.tracing import Tracer
from sb_core.config import ConfigError
from sb_core.errors import ContractError, DependencyError
from sb_core.settings import PORTS, Settings, SettingsError

ROUND_S: Final = 1.0
SLOW_ROUND_S: Final = 2.0
DEADLINE_S: Final = 2.5
"""A round that takes longer is given up."""
TRACE_S_MAX: Final = 10.0
TICK_S: Final = 1.0

Emit = Callable[[seen.Observation], None]
Look = Callable[[int], Awaitable[Sequence[seen.Observation]]]
_EXPECTED: Final = (AskError, DependencyError, ContractError, SettingsError, ConfigError, OSError)


def base_url(settings: Settings, service: str) -> str:
    """Return where a service answers: its own setting, else its port on the host that ingest is on."""
    if service == "feed-ingestion":
        return settings.ingest_url.rstrip("/")
    if service == "data-distribution":
        return settings.distribute_url.rstrip("/")
    if service == "data-distribution-stream":
        parts = urlsplit(settings.stream_url.rstrip("/"))
        return urlunsplit(parts._replace(scheme={"ws": "http", "wss": "https"}[parts.scheme]))
    parts = urlsplit(settings.ingest_url)
    return f"{parts.scheme}://{parts.hostname}:{settings.port(service)}"


class Collectors:
    """Everything that looks; `emit` takes observations and must not block."""

    def __init__(self, settings: Settings, emit: Emit, requests: MemoryObjectReceiveStream[asked.Request]) -> None:
        self._settings = settings
        self._emit = emit
        self._requests = requests
        self._lost: Callable[[], int] = lambda: 0

    def count_lost(self, lost: Callable[[], int]) -> None:
        """Say where ticks learn how many observations were lost since the last one."""
        self._lost = lost

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Collect until cancelled."""
        settings, emit = self._settings, self._emit
        rest = base_url(settings, "data-distribution")
        ingest = base_url(settings, "feed-ingestion")
        async with Asker(settings.api_key, DEADLINE_S) as asker, anyio.create_task_group() as group:
            stores = Stores(settings)
            self._asker, self._tracer = asker, Tracer(asker, rest, stores)
            self._letters = LettersCollector(asker, ingest, rest, stores)
            self._stream = StreamCollector(settings.stream_url, settings.api_key, emit)
            self._focus = FocusCollector(settings.stream_url, settings.api_key, emit)
            self._generator = f"{base_url(settings, 'feed-generator')}/v1/state"
            rounds: list[tuple[str, float, Look]] = [
                (name, ROUND_S, ServiceCollector(name, base_url(settings, name), asker).look) for name in PORTS
            ]
            rounds += [
                ("positions", ROUND_S, PositionsCollector(stores).look),
                ("dead letters", ROUND_S, self._letters.look),
                ("generator", ROUND_S, self._look_generator),
                ("producers", SLOW_ROUND_S, partial(producers, asker, rest)),
            ]
            group.start_soon(stores.run)
            group.start_soon(self._stream.run)
            group.start_soon(self._focus.run)
            for name, every_s, look in rounds:
                group.start_soon(self._rounds, name, every_s, look)
            group.start_soon(self._answer)
            task_status.started()
            while True:
                emit(seen.Tick(now_ms(), self._lost()))
                await anyio.sleep(TICK_S)

    async def _rounds(self, name: str, every_s: float, look: Look) -> None:
        while True:
            begun_s = anyio.current_time()
            error: str | None = f"no answer within {DEADLINE_S:g} s"
            with anyio.move_on_after(DEADLINE_S):
                try:
                    for observation in await look(now_ms()):
                        self._emit(observation)
                    error = None
                except _EXPECTED as trouble:
                    error = error_words(trouble)
            took_s = anyio.current_time() - begun_s
            self._emit(seen.Polled(now_ms(), name, round(took_s * 1000, 1), int(every_s * 1000), error))
            await anyio.sleep(max(0.05, every_s - took_s))

    async def _look_generator(self, at: int) -> Sequence[seen.Observation]:
        return [generator_seen(at, await self._asker.ask("GET", self._generator))]

    # what the operator asks

    async def _answer(self) -> None:
        async with anyio.create_task_group() as group:
            async for request in self._requests:
                if isinstance(request, asked.Follow):
                    self._focus.follow(request.event)
                elif isinstance(request, asked.Filter):
                    self._stream.sample(request.text)
                else:
                    group.start_soon(self._do, request)

    async def _do(self, request: asked.Request) -> None:
        if isinstance(request, asked.Trace):
            with anyio.move_on_after(TRACE_S_MAX):
                self._emit(await self._tracer.trace(request.event, request.rev, now_ms()))
            return
        try:
            for observation in await self._done(request):
                self._emit(observation)
        except AskError as error:
            words = getattr(request, "command", type(request).__name__)
            self._emit(seen.Acted(now_ms(), type(request).__name__.lower(), words, ok=False, result=str(error)))

    async def _done(self, request: asked.Request) -> Sequence[seen.Observation]:
        if isinstance(request, asked.ShowLetter):
            return await self._letters.one(request.id, now_ms())
        if isinstance(request, asked.Replay):
            answer = await self._letters.replay(request.ids, now_ms(), dry_run=request.dry_run)
            if request.dry_run:
                return [answer]
            told = ", ".join(sorted({f"{each.id} {each.result}" for each in answer.results}))
            ok = all(each.result in {"accepted", "nothing"} for each in answer.results)
            return [answer, seen.Acted(now_ms(), "replay", request.command, ok=ok, result=told[:500])]
        if isinstance(request, asked.Command):
            url = self._generator.removesuffix("/state")
            told_now = generator_seen(now_ms(), await self._asker.ask("POST", f"{url}/{request.verb}"))
            return [told_now, seen.Acted(now_ms(), request.verb, request.command, ok=True, result=told_now.state)]
        if isinstance(request, asked.Patch):
            told_now = generator_seen(now_ms(), await self._asker.ask("PATCH", self._generator, dict(request.changes)))
            return [told_now, seen.Acted(now_ms(), "generator", request.command, ok=True, result="changed")]
        return []
