"""What every service answers about itself: /health, /ready, /metrics and /v1/account. No HTTP library in here.

The rules: a broken dependency makes a service `degraded`, never unhealthy, because restarting it would mend nothing;
readiness has a reason in words; every probe has a deadline; the account has all its keys, always.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import anyio
import msgspec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sb_core.circuit import Circuit
from sb_core.errors import ContractError, DependencyError
from sb_core.ports import Clock
from sb_core.telemetry import Telemetry

PROBE_DEADLINE_S: Final = 1.0
ACCOUNT_DEADLINE_S: Final = 5.0
OPEN_PATHS: Final = frozenset({"/health", "/ready"})
"""Answered without a key; the other paths need the scope `read` or `operate`."""
PATHS: Final = ("/health", "/ready", "/metrics", "/v1/account")

_OPEN: Final = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_TITLES: Final[Mapping[int, str]] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    425: "Too Early",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class OpsAnswer(Struct, frozen=True):
    """An answer in HTTP's terms, for whichever server sends it."""

    status: int
    content_type: str
    body: bytes


def title(status: int) -> str:
    """Return the words for a status."""
    return _TITLES.get(status, "Error")


def problem_answer(status: int, code: str, detail: str, instance: str | None = None) -> OpsAnswer:
    """Make a problem+json answer (RFC 9457 and `code`)."""
    body = {
        "type": f"urn:sb:problem:{code}",
        "title": title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "instance": instance,
    }
    return OpsAnswer(status, _PROBLEM, msgspec.json.encode(body))


def software_version() -> str:
    """Return the version of the installed package, or "0" from a bare source tree."""
    try:
        return version("sportsbet-pipeline")
    except PackageNotFoundError:
        return "0"


class Ops:
    """The operational side of one service. It begins not ready, with the reason "starting"."""

    def __init__(self, service: str, telemetry: Telemetry, clock: Clock) -> None:
        self.service = service
        self.reason: str | None = "starting"
        self.telemetry = telemetry
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self.version = software_version()
        self._probes: dict[str, Callable[[], Awaitable[None]]] = {}
        self._circuits: dict[str, Circuit] = {}
        self._read_account: Callable[[], Awaitable[Mapping[str, object]]] | None = None

    def __repr__(self) -> str:
        return f"<Ops {self.service} {'ready' if self.reason is None else self.reason!r}>"

    def check(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        """Add a dependency to /health; `probe` raises if it is broken, and has PROBE_DEADLINE_S."""
        self._probes[name] = probe

    def watch(self, name: str, circuit: Circuit) -> None:
        """Tell of a dependency's circuit breaker in /health (as `circuit` of its check) and /metrics."""
        self._circuits[name] = circuit

    def not_ready(self, reason: str) -> None:
        """Answer /ready with 503 and this reason from now on."""
        if reason != self.reason:
            self.telemetry.info("not_ready", reason=reason)
        self.reason = reason

    def ready(self) -> None:
        """Answer /ready with 200 from now on."""
        if self.reason is not None:
            self.telemetry.info("ready")
        self.reason = None

    def account_from(self, read: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
        """Say where /v1/account comes from: a mapping as `account` makes it."""
        self._read_account = read

    async def answer(self, path: str) -> OpsAnswer | None:
        """Answer one of PATHS; None for any other path. Never raises for a broken dependency."""
        if path == "/health":
            return OpsAnswer(200, _JSON, msgspec.json.encode(await self.health()))
        if path == "/ready":
            body = {"service": self.service, "ready": self.reason is None, "reason": self.reason}
            return OpsAnswer(200 if self.reason is None else 503, _JSON, msgspec.json.encode(body))
        if path == "/metrics":
            self._measure_circuits()
            return OpsAnswer(200, CONTENT_TYPE_LATEST, generate_latest(self.telemetry.registry))
        if path == "/v1/account":
            return await self._account()
        return None

    async def health(self) -> dict[str, object]:
        """Run all probes at once and return the body of /health."""
        found: dict[str, dict[str, object]] = {}

        async def run(name: str, probe: Callable[[], Awaitable[None]]) -> None:
            found[name] = await self._probe(name, probe)

        async with anyio.create_task_group() as group:
            for name, probe in self._probes.items():
                group.start_soon(run, name, probe)
        checks = {name: found[name] for name in self._probes}
        return {
            "service": self.service,
            "status": "ok" if all(each["status"] == "ok" for each in checks.values()) else "degraded",
            "version": self.version,
            "uptime_s": round(self._clock.monotonic_s() - self._started_s, 3),
            "checks": checks,
        }

    async def _probe(self, name: str, probe: Callable[[], Awaitable[None]]) -> dict[str, object]:
        begun_s = self._clock.monotonic_s()
        status, detail = "ok", None
        try:
            with anyio.fail_after(PROBE_DEADLINE_S):
                await probe()
        except TimeoutError:
            status, detail = "degraded", f"no answer within {PROBE_DEADLINE_S} s"
        except Exception as error:  # noqa: BLE001  a probe reports whatever is wrong with its dependency
            status, detail = "degraded", f"{type(error).__name__}: {error}"[:200]
        if detail is not None:
            self.telemetry.debug("check_degraded", check=name, detail=detail)
        latency_ms = round((self._clock.monotonic_s() - begun_s) * 1000, 3)
        found: dict[str, object] = {"status": status, "latency_ms": latency_ms, "detail": detail}
        if name in self._circuits:
            found["circuit"] = self._circuits[name].state(self._clock.monotonic_s())
        return found

    def _measure_circuits(self) -> None:
        gauge = self.telemetry.gauge
        label = ("dependency",)
        for name, circuit in self._circuits.items():
            state = circuit.state(self._clock.monotonic_s())
            gauge("circuit_open_ratio", "0 closed, 0.5 half open, 1 open.", label).labels(name).set(_OPEN[state])
            for what, count, text in (
                ("opened", circuit.opened, "Times that the circuit opened."),
                ("refused", circuit.refused, "Calls refused by an open circuit."),
                ("busy", circuit.busy, "Calls refused by a full bulkhead."),
            ):
                gauge(f"circuit_{what}_count", text, label).labels(name).set(count)

    async def _account(self) -> OpsAnswer:
        if self._read_account is None:
            return OpsAnswer(200, _JSON, msgspec.json.encode(account()))
        try:
            with anyio.fail_after(ACCOUNT_DEADLINE_S):
                counts = await self._read_account()
        except (TimeoutError, DependencyError) as error:
            return problem_answer(503, "unavailable", f"the account can't be read now: {error}", "/v1/account")
        return OpsAnswer(200, _JSON, msgspec.json.encode(counts))


ACCOUNT_COUNTS: Final = (
    "documents",
    "ignored",
    "received",
    "accepted",
    "unknown",
    "refused",
    "applied",
    "unchanged",
    "stale",
    "duplicate",
    "dead_lettered",
    "control",
    "pending",
    "changes",
    "updates_published",
)
ACCOUNT_KEYS: Final = (*ACCOUNT_COUNTS, "balanced")
"""The keys of the wire contract's account, in its order."""
ACCOUNT_BY_CODE: Final = frozenset({"refused", "dead_lettered"})
"""The keys whose value is a mapping from code to number."""


def account(**counts: int | Mapping[str, int]) -> dict[str, object]:
    """Make an account: numbers by key, `refused` and `dead_lettered` by code, what is not given is 0, `balanced` computed.

    Raises ContractError for a key that the account does not have.
    """
    strange = set(counts) - set(ACCOUNT_COUNTS)
    if strange:
        raise ContractError(f"the account has no {', '.join(sorted(strange))}")
    made: dict[str, object] = {}
    for key in ACCOUNT_COUNTS:
        value = counts.get(key, {} if key in ACCOUNT_BY_CODE else 0)
        if isinstance(value, Mapping) is not (key in ACCOUNT_BY_CODE):
            raise ContractError(f"{key} of the account is {value!r}")
        made[key] = dict(sorted(value.items())) if isinstance(value, Mapping) else value
    made["balanced"] = balanced(made)
    return made


def part_of_account(counts: Mapping[str, int | Mapping[str, int]], *, balances: bool) -> dict[str, object]:
    """Make the part that one service has in an account, which balances or not by what that service knows itself."""
    return {**account(**counts), "balanced": balances}


def balanced(counts: Mapping[str, object]) -> bool:
    """Say whether the identities of the wire contract hold.

    What was `unknown` and did arrive is in the outcomes too, so they may exceed `accepted` by up to `unknown`.
    `changes` are at least `applied`, as records about producers change events too.
    """
    number = {key: _sum(counts.get(key, 0)) for key in ACCOUNT_COUNTS}
    outcomes = sum(
        number[key] for key in ("applied", "unchanged", "stale", "duplicate", "dead_lettered", "control", "pending")
    )
    return (
        number["received"] == number["accepted"] + number["refused"] + number["unknown"]
        and number["accepted"] <= outcomes <= number["accepted"] + number["unknown"]
        and number["changes"] >= number["applied"]
        and all(value >= 0 for value in number.values())
    )


def add_accounts(parts: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """Add the accounts of several services up; the sum is balanced by its own numbers."""
    total: dict[str, int | dict[str, int]] = {key: {} if key in ACCOUNT_BY_CODE else 0 for key in ACCOUNT_COUNTS}
    for part in parts:
        for key in ACCOUNT_COUNTS:
            value, held = part.get(key, 0), total[key]
            if isinstance(held, dict):
                for code, number in (value if isinstance(value, Mapping) else {}).items():
                    held[str(code)] = held.get(str(code), 0) + int(number)
            else:
                total[key] = held + _sum(value)
    return account(**total)


def _sum(value: object) -> int:
    if isinstance(value, Mapping):
        return sum(int(number) for number in value.values())
    if isinstance(value, int):
        return value
    raise ContractError(f"{value!r} is no count")
