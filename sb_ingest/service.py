"""Ingest as a service: the intake with its routes, knowledge, ticks, sessions' silence and producers' liveness.

The rule of stopping: refuse new requests, finish those at work, then close; nothing accepted is lost, since it was
durable before it was answered.
"""

from collections.abc import Mapping
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from sb_core import topics
from sb_core.errors import DependencyError
from sb_core.keyring import KeyRing
from sb_core.messages import Tick, encode
from sb_core.ops import Ops, part_of_account
from sb_core.pressure import Pressure
from sb_core.records import Record
from sb_core.runtime import Context
from sb_core.serving import http_limits, serve_http
from sb_ingest.capture import Captures
from sb_ingest.deadletters import DeadLetters
from sb_ingest.follower import Follower
from sb_ingest.intake import Intake
from sb_ingest.knowledge import Known
from sb_ingest.limits import Limits
from sb_ingest.liveness import LivenessOwner
from sb_ingest.providers.registry import AFTER_LOSS, normalisers
from sb_ingest.recovery_http import recoveries
from sb_ingest.web import SERVICE, Parts, make_ingest_app

TICK_S: Final = 1.0
SWEEP_S: Final = 1.0
LOAD_WAIT_S: Final = 5.0
"""How long starting waits for what other nodes learnt; then it goes on starting, not ready."""
DRAIN_S: Final = 6.0
TICK_KEY: Final = "tick"


class IngestService:
    """Takes providers' feeds on port 4000; `http=False` leaves the port out (simulation)."""

    def __init__(self, context: Context, *, http: bool = True) -> None:
        settings = context.settings
        self.name = SERVICE
        self.context = context
        self.ops = Ops(SERVICE, context.telemetry, context.clock)
        self.ops.check("log", context.log.ping)
        self.ops.account_from(self.account)
        limits = Limits(
            body_bytes_max=settings.ingest_body_bytes_max,
            items_max=settings.ingest_items_max,
            depth_max=settings.ingest_depth_max,
        )
        self.known = Known()
        pressure = Pressure()
        self._follower = Follower(self.known, pressure, context)
        self.captures = Captures(context.telemetry)
        self.intake = Intake(
            context,
            self.known,
            self.captures,
            normalisers(limits),
            limits=limits,
            after_loss=AFTER_LOSS,
            recovery_told=self._follower.recovery_told,
            pressure=pressure,
        )
        self.liveness = LivenessOwner(context, self.intake, recoveries(settings))
        self.known.overhear = self.liveness.overhear
        self._letters = DeadLetters(context.log, context.admin)
        self._limits = limits
        self._http = http
        self._ticks_failed = context.telemetry.counter("ticks_failed_total", "Ticks that could not be written.")

    def __repr__(self) -> str:
        return f"<IngestService {self.intake!r} {self.liveness!r}>"

    async def run(self, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`, then refuse what is new, finish what is at work, and close."""
        closed = anyio.Event()
        loaded = anyio.Event()
        async with anyio.create_task_group() as serving:
            if self._http:
                await serving.start(self._serve, closed)
            async with anyio.create_task_group() as working:
                working.start_soon(self._follower.run, loaded)
                working.start_soon(self._begin, loaded)
                with anyio.move_on_after(LOAD_WAIT_S):
                    await loaded.wait()
                    await anyio.lowlevel.checkpoint()
                task_status.started()
                await stop.wait()
                self.ops.not_ready("stopping")
                self.intake.closed = "stopping"
                self.captures.close()
                with anyio.move_on_after(DRAIN_S):
                    await self.intake.drained()
                working.cancel_scope.cancel()
            closed.set()

    async def _serve(self, closed: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        settings = self.context.settings
        parts = Parts(self.intake, self.captures, self._letters, self._limits)
        app = make_ingest_app(self.ops, KeyRing.of(settings, self.context.telemetry), parts)
        await serve_http(
            app,
            bind=settings.bind,
            port=settings.port(SERVICE),
            stop=closed,
            body_bytes_max=settings.ingest_body_bytes_max,
            telemetry=self.context.telemetry,
            limits=http_limits(settings),
            task_status=task_status,
        )

    async def _begin(self, loaded: anyio.Event) -> None:
        """Open the intake once it is known what was learnt before, then do what is due every second."""
        await loaded.wait()
        self.intake.closed = None
        self.ops.ready()
        async with anyio.create_task_group() as group:
            group.start_soon(self.liveness.run)
            group.start_soon(self._tick)
            group.start_soon(self._sweep)

    async def _tick(self) -> None:
        """Write the time into every feed partition, each second."""
        failing = False
        while True:
            started_s = self.context.clock.monotonic_s()
            try:
                await self.intake.append(*self._ticks())
            except DependencyError as error:
                self._ticks_failed.inc()
                if not failing:
                    self.context.telemetry.warn("ticks_failing", error=type(error).__name__, detail=str(error))
                failing = True
            else:
                failing = False
            await anyio.sleep(max(0.0, TICK_S - (self.context.clock.monotonic_s() - started_s)))

    def _ticks(self) -> tuple[list[Record], Mapping[str, int]]:
        now = self.context.clock.now_ms()
        value = encode(Tick(ts=now, received=now))
        counts = topics.counts(self.context.settings.partitions)
        records = [
            Record(topics.feed(name), TICK_KEY, value, now, number)
            for name, count in counts.items()
            for number in range(count)
        ]
        return records, {f"system:{name}": count for name, count in counts.items()}

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_S)
            await self.intake.sweep()

    async def account(self) -> Mapping[str, object]:
        """Return ingest's part of the account; what becomes of what it accepted is the processors' part."""
        counts = dict(await self.context.log.account())
        for name, number in self.intake.owed.items():
            counts[name] = counts.get(name, 0) + number
        prefix = "refused:"
        refused = {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
        flat = {
            name: counts.get(name, 0) for name in ("documents", "ignored", "received", "accepted", "unknown", "control")
        }
        given = flat["accepted"] + sum(refused.values()) + flat["unknown"]
        return part_of_account({**flat, "refused": refused}, balances=flat["received"] == given)
