"""Drives the real intake over a log in memory: posts bodies, reads back what was appended. No HTTP, no ports."""

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from sb_core import messages, topics
from sb_core.adapters.memory_log import MemoryLog
from sb_core.config import PipelineConfig
from sb_core.errors import UnavailableError, UnknownOutcomeError
from sb_core.pressure import Pressure
from sb_core.records import Fetched, Record
from sb_core.runtime import Context
from sb_core.settings import Settings
from sb_core.telemetry import Telemetry
from sb_ingest.answers import IntakeRequest
from sb_ingest.capture import Captures
from sb_ingest.follower import Follower
from sb_ingest.intake import Intake
from sb_ingest.knowledge import Known
from sb_ingest.limits import Limits
from sb_ingest.providers.registry import AFTER_LOSS, normalisers
from sb_ingest.service import IngestService

NOW = 1_782_240_000_000


class Clock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


class TroubledLog(MemoryLog):
    """A log that fails on demand: `trouble` holds what the next appends do.

    "unavailable": nothing happens; "unknown": it raises, "landed": it raises although it is in the log; "hang": it never
    answers; None: it works.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.trouble: list[str | None] = []
        self.appends = 0

    async def append(self, records: Sequence[Record], counts: Mapping[str, int] | None = None) -> Sequence[int]:
        self.appends += 1
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble == "unavailable":
            raise UnavailableError("not now")
        if trouble == "unknown":
            raise UnknownOutcomeError("who knows")
        if trouble == "hang":
            await anyio.sleep_forever()
        offsets = await super().append(records, counts)
        if trouble == "landed":
            raise UnknownOutcomeError("who knows")
        return offsets


class Driver:
    """An intake without HTTP, and its log."""

    def __init__(self, context: Context, log: TroubledLog, clock: Clock, lines: io.StringIO) -> None:
        settings = context.settings
        self.context = context
        self.log = log
        self.clock = clock
        self.lines = lines
        self.limits = Limits(
            body_bytes_max=settings.ingest_body_bytes_max,
            items_max=settings.ingest_items_max,
            depth_max=settings.ingest_depth_max,
        )
        self.known = Known()
        self.pressure = Pressure()
        follower = Follower(self.known, self.pressure, context)
        self.captures = Captures(context.telemetry)
        self.intake = Intake(
            context,
            self.known,
            self.captures,
            normalisers(self.limits),
            limits=self.limits,
            after_loss=AFTER_LOSS,
            recovery_told=follower.recovery_told,
            pressure=self.pressure,
        )
        self.intake.closed = None

    async def post(
        self, body: object, content_type: str = "application/json", provider: str = "canonical", **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """Post a body (bytes, text, or anything to write as JSON); returns status and the answer's JSON."""
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        answer = await self.intake.accept(IntakeRequest(provider=provider, body=raw, content_type=content_type, **more))
        return answer.status, json.loads(answer.body)

    def records(self, topic: str) -> list[Fetched]:
        """Return all records of a topic, partition by partition."""
        return [
            record
            for (name, _), partition in sorted(self.log._partitions.items())
            if name == topic
            for record in partition.records
        ]

    def feed(self, sport: str = "football") -> list[messages.AnyMessage]:
        """Return the messages of a sport's feed, in the order of each event."""
        return [messages.decode(record.value or b"") for record in self.records(topics.feed(sport))]

    def alive(self) -> list[messages.AnyMessage]:
        """Return the messages of sports-alive."""
        return [messages.decode(record.value or b"") for record in self.records(topics.ALIVE)]

    def dead_letters(self) -> list[tuple[str, bytes]]:
        """Return code and bytes of each dead letter."""
        return [
            (dict(record.headers)["sb-code"].decode(), record.value or b"")
            for record in self.records(topics.DEAD_LETTER)
        ]

    async def account(self) -> Mapping[str, Any]:
        """Return ingest's account."""
        service = IngestService(self.context, http=False)
        service.intake = self.intake
        return await service.account()


@asynccontextmanager
async def driver(config: PipelineConfig | None = None, **settings: Any) -> AsyncIterator[Driver]:
    """Make a driver; settings as in Settings."""
    clock = Clock()
    log = TroubledLog(clock)
    await log.create(topics.specs())
    lines = io.StringIO()
    counter = iter(range(1, 1_000_000))
    context = Context(
        settings=Settings(data="unused", **settings),
        log=log,
        admin=log,
        store=None,  # type: ignore[arg-type]
        cache=None,  # type: ignore[arg-type]
        clock=clock,
        telemetry=Telemetry("feed-ingestion", level="debug", stream=lines, now_ms=clock.now_ms),
        entropy=lambda size: next(counter).to_bytes(size, "big"),
        config=config or PipelineConfig(),
    )
    yield Driver(context, log, clock, lines)
    await log.aclose()


def odds(event: str = "acme:1", ts: int = NOW, **more: Any) -> dict[str, Any]:
    """A good odds message of one market; `markets` or other fields may be given."""
    return {
        "type": "odds",
        "ts": ts,
        "event": event,
        "sport": "football",
        "markets": [market("1x2")],
        **more,
    }


def market(name: str = "1x2", home: Any = "1.85", **more: Any) -> dict[str, Any]:
    """A market of home, draw, away."""
    prices = {"home": home, "draw": "3.40", "away": "4.20"}
    return {"market": name, "outcomes": [{"id": each, "odds": price} for each, price in prices.items()], **more}
