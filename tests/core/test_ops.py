"""What a service says of itself, with dependencies that answer, fail, hang and lie."""

import io
import json

import pytest
import trio
import trio.testing

from sb_core.errors import ContractError, UnavailableError
from sb_core.ops import ACCOUNT_KEYS, PATHS, PROBE_DEADLINE_S, Ops, account, add_accounts, problem_answer
from sb_core.telemetry import Telemetry


class TrioClock:
    """Trio's clock, so that a mock clock moves it."""

    def now_ms(self) -> int:
        return int(trio.current_time() * 1000)

    def monotonic_s(self) -> float:
        return trio.current_time()


def make() -> tuple[Ops, io.StringIO]:
    stream = io.StringIO()
    clock = TrioClock()
    telemetry = Telemetry("feed-ingestion", level="debug", stream=stream, now_ms=clock.now_ms)
    return Ops("feed-ingestion", telemetry, clock), stream


def mocked(function):
    """Run under a clock that jumps over every wait."""
    return trio.run(function, clock=trio.testing.MockClock(autojump_threshold=0))


async def fine() -> None:
    await trio.sleep(0.25)


async def broken() -> None:
    raise UnavailableError("no broker")


async def buggy() -> None:
    raise KeyError("oops")


async def hanging() -> None:
    await trio.sleep_forever()


def test_health_has_the_shape_of_the_contract():
    async def main():
        ops, _ = make()
        ops.check("log", fine)
        await trio.sleep(2)
        answer = await ops.answer("/health")
        assert (answer.status, answer.content_type) == (200, "application/json")
        body = json.loads(answer.body)
        assert list(body) == ["service", "status", "version", "uptime_s", "checks"]
        assert body["service"] == "feed-ingestion"
        assert body["status"] == "ok"
        assert body["uptime_s"] == 2.25
        assert body["checks"] == {"log": {"status": "ok", "latency_ms": 250.0, "detail": None}}

    mocked(main)


@pytest.mark.parametrize(
    ("probe", "words"), [(broken, "no broker"), (buggy, "KeyError"), (hanging, "no answer within")]
)
def test_a_broken_dependency_degrades_and_never_fails(probe, words):
    async def main():
        ops, stream = make()
        ops.check("log", fine)
        ops.check("store", probe)
        begun = trio.current_time()
        answer = await ops.answer("/health")
        assert trio.current_time() - begun <= PROBE_DEADLINE_S
        assert answer.status == 200
        body = json.loads(answer.body)
        assert body["status"] == "degraded"
        assert body["checks"]["log"]["status"] == "ok"
        assert body["checks"]["store"]["status"] == "degraded"
        assert words in body["checks"]["store"]["detail"]
        assert "check_degraded" in stream.getvalue()

    mocked(main)


def test_probes_run_at_once_and_keep_their_order():
    async def main():
        ops, _ = make()
        for name in ("d", "a", "c", "b"):
            ops.check(name, hanging)
        begun = trio.current_time()
        body = json.loads((await ops.answer("/health")).body)
        assert trio.current_time() - begun == PROBE_DEADLINE_S
        assert list(body["checks"]) == ["d", "a", "c", "b"]

    mocked(main)


def test_ready_says_why_not():
    async def main():
        ops, stream = make()
        answer = await ops.answer("/ready")
        assert answer.status == 503
        assert json.loads(answer.body) == {"service": "feed-ingestion", "ready": False, "reason": "starting"}
        ops.ready()
        ops.ready()
        answer = await ops.answer("/ready")
        assert (answer.status, json.loads(answer.body)["reason"]) == (200, None)
        ops.not_ready("partition 3 stopped")
        ops.not_ready("partition 3 stopped")
        answer = await ops.answer("/ready")
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, "partition 3 stopped")
        # said once each, however often it is set
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ready", "not_ready"]

    mocked(main)


def test_metrics_are_this_services_own():
    async def main():
        ops, _ = make()
        ops.telemetry.counter("things_total", "Things.").inc(4)
        answer = await ops.answer("/metrics")
        assert answer.status == 200
        assert answer.content_type.startswith("text/plain")
        assert b"sb_feed_ingestion_things_total 4.0" in answer.body

    mocked(main)


def test_the_account_comes_from_where_it_is_kept():
    async def main():
        ops, _ = make()
        assert json.loads((await ops.answer("/v1/account")).body) == account()

        async def read() -> dict[str, object]:
            return account(received=3, accepted=2, refused={"bad_odds": 1}, applied=2, changes=2)

        ops.account_from(read)
        body = json.loads((await ops.answer("/v1/account")).body)
        assert tuple(body) == ACCOUNT_KEYS
        assert body["refused"] == {"bad_odds": 1}
        assert body["balanced"] is True

    mocked(main)


@pytest.mark.parametrize("read", [broken, hanging])
def test_an_account_that_can_t_be_read_is_503(read):
    async def main():
        ops, _ = make()
        ops.account_from(read)
        answer = await ops.answer("/v1/account")
        assert (answer.status, answer.content_type) == (503, "application/problem+json")
        assert json.loads(answer.body)["instance"] == "/v1/account"

    mocked(main)


def test_other_paths_are_not_its_business():
    async def main():
        ops, _ = make()
        for path in ("/", "/healthz", "/health/", "/v1/accounts", ""):
            assert await ops.answer(path) is None
        for path in PATHS:
            assert await ops.answer(path) is not None

    mocked(main)


def test_every_key_is_always_there_in_the_contracts_order():
    made = account()
    assert tuple(made) == (
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
        "balanced",
    )
    assert made["refused"] == made["dead_lettered"] == {}


FULL = {
    "documents": 9,
    "ignored": 2,
    "received": 20,
    "accepted": 16,
    "unknown": 1,
    "refused": {"bad_odds": 2, "schema": 1},
    "applied": 8,
    "unchanged": 3,
    "stale": 1,
    "duplicate": 1,
    "dead_lettered": {"rule_store": 1},
    "control": 1,
    "pending": 1,
    "changes": 10,
    "updates_published": 10,
}


@pytest.mark.parametrize(
    ("change", "balanced"),
    [
        ({}, True),
        ({"duplicate": 2}, True),  # the unknown one did arrive
        ({"duplicate": 3}, False),
        ({"received": 21}, False),
        ({"accepted": 17, "received": 21}, False),
        ({"pending": 0}, False),
        ({"refused": {"bad_odds": 2}}, False),
        ({"dead_lettered": {}}, False),
        ({"dead_lettered": {"rule_store": 1, "schema": 1}, "pending": 0}, True),
        ({"changes": 7}, False),
        ({"changes": 8}, True),
        ({"unknown": -1, "received": 18, "accepted": 16}, False),
        ({"documents": 0, "ignored": 0, "updates_published": 0}, True),
    ],
)
def test_balanced_is_the_contracts_identities(change, balanced):
    assert account(**{**FULL, **change})["balanced"] is balanced


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"refused": 3}, {"applied": {"x": 1}}])
def test_an_account_of_another_shape_is_our_fault(wrong):
    with pytest.raises(ContractError):
        account(**wrong)


def test_accounts_add_up_by_code():
    ingest = account(received=20, accepted=16, unknown=1, refused={"b": 2, "a": 1}, documents=9)
    football = account(applied=8, unchanged=3, stale=1, duplicate=1, changes=10, dead_lettered={"x": 1}, pending=1)
    tennis = account(control=1, dead_lettered={"x": 0, "y": 0}, pending=0)
    assert ingest["balanced"] is football["balanced"] is False
    whole = add_accounts([ingest, football, tennis])
    assert whole["balanced"] is True
    assert whole["refused"] == {"a": 1, "b": 2}
    assert whole["dead_lettered"] == {"x": 1, "y": 0}
    assert add_accounts([]) == account()


def test_a_problem_has_the_contracts_keys():
    answer = problem_answer(429, "too_busy", "wait", "/v1/feeds/uof")
    assert (answer.status, answer.content_type) == (429, "application/problem+json")
    assert json.loads(answer.body) == {
        "type": "urn:sb:problem:too_busy",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "wait",
        "code": "too_busy",
        "instance": "/v1/feeds/uof",
    }
