"""Health, readiness, metrics and account of one service, in one round; and producers and generator, which are HTTP too.

The rule: a service that answers /health is up, whatever its other answers are; metrics are told by what changed.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio
import msgspec
from msgspec import Struct

from sb_console import metrics
from sb_console import observations as seen
from sb_console.collectors.asking import Asker, AskError, decoded

WHOLE_EVERY_S: Final = 30.0
"""Now and then all metrics are told, so that one lost observation doesn't stay wrong."""


class _Health(Struct):
    status: str
    version: str
    uptime_s: float
    checks: dict[str, seen.Check] = {}


class _Ready(Struct):
    ready: bool
    reason: str | None = None


class ServiceCollector:
    """Looks at one service."""

    def __init__(self, name: str, url: str, asker: Asker) -> None:
        self.name = name
        self._url = url
        self._asker = asker
        self._told: Mapping[str, float] = {}
        self._whole_at = 0.0

    def __repr__(self) -> str:
        return f"<ServiceCollector {self.name} {self._url}>"

    async def look(self, at: int) -> Sequence[seen.Observation]:
        """Make one round. Raises AskError when the service doesn't answer."""
        found: dict[str, Any] = {}

        async def take(name: str, path: str, kind: Any, ok: tuple[int, ...]) -> None:
            try:
                data = await self._asker.ask("GET", self._url + path, ok=ok)
                found[name] = data if kind is None else decoded(data, kind)
            except AskError as error:
                found[name] = error

        async with anyio.create_task_group() as group:
            group.start_soon(take, "health", "/health", _Health, (200,))
            group.start_soon(take, "ready", "/ready", _Ready, (200, 503))
            group.start_soon(take, "metrics", "/metrics", None, (200,))
            group.start_soon(take, "account", "/v1/account", dict[str, Any], (200,))
        health, ready = found["health"], found["ready"]
        if isinstance(health, AskError):
            raise health
        readiness = _Ready(False, str(ready)) if isinstance(ready, AskError) else ready
        made: list[seen.Observation] = [
            seen.HealthSeen(
                at=at,
                service=self.name,
                status=health.status,
                version=health.version,
                uptime_s=health.uptime_s,
                checks=health.checks,
                ready=readiness.ready,
                reason=readiness.reason,
            )
        ]
        if isinstance(found["metrics"], bytes):
            made.append(self._metrics(at, metrics.parse(found["metrics"].decode("utf-8", "replace"))))
        if isinstance(found["account"], dict):
            made.append(seen.AccountSeen(at, self.name, dict(_flat(found["account"]))))
        return made

    def _metrics(self, at: int, values: Mapping[str, float]) -> seen.MetricsSeen:
        whole = time.monotonic() >= self._whole_at or not self._told.keys() <= values.keys()
        if whole:
            self._whole_at = time.monotonic() + WHOLE_EVERY_S
        told = values if whole else {name: value for name, value in values.items() if self._told.get(name) != value}
        self._told = values
        return seen.MetricsSeen(at=at, service=self.name, values=told, whole=whole)


def _flat(account: Mapping[str, Any]) -> Sequence[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    for name, value in account.items():
        if isinstance(value, dict):
            rows.append((name, sum(value.values())))
            rows.extend((f"{name}:{code}", count) for code, count in value.items())
        elif isinstance(value, int):
            rows.append((name, int(value)))
    return rows


class _Generator(Struct):
    state: str
    rate: float
    seed: int
    scenario: str
    scenarios: dict[str, str] = {}
    faults: dict[str, float] = {}
    struck: dict[str, int] = {}
    events: dict[str, int] | None = None
    refused: dict[str, int] = {}
    run: str | None = None
    made: int = 0
    sent: int = 0
    accepted: int = 0
    retried: int = 0
    failed: int = 0
    discarded: int = 0
    waiting: int = 0
    late_ms: int | None = None
    late_ms_max: int | None = None


_COUNTS: Final = ("made", "sent", "accepted", "retried", "failed", "discarded", "waiting", "late_ms", "late_ms_max")


def generator_seen(at: int, body: bytes) -> seen.GeneratorSeen:
    """Read the generator's answer. Raises AskError."""
    told: _Generator = decoded(body, _Generator)
    return seen.GeneratorSeen(
        at=at,
        state=told.state,
        rate=told.rate,
        seed=told.seed,
        scenario=told.scenario,
        scenarios=told.scenarios,
        faults=told.faults,
        struck=told.struck,
        events=told.events or {},
        counts={name: getattr(told, name) or 0 for name in _COUNTS},
        refused=told.refused,
        run=told.run,
    )


class _Producers(Struct):
    items: list[seen.Producer]


async def producers(asker: Asker, url: str, at: int) -> Sequence[seen.Observation]:
    """Look at all producers. Raises AskError."""
    told: _Producers = await asker.json(f"{url}/v1/producers", _Producers)
    return [seen.ProducersSeen(at, told.items)]


def error_words(error: BaseException) -> str:
    """Return an error as the console shows it."""
    if isinstance(error, msgspec.MsgspecError):
        return f"not in the contract: {error}"[:200]
    return (str(error) or type(error).__name__)[:300]
