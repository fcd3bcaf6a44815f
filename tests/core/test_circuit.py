"""The circuit breaker as a table, and what it does in front of a store that fails, hangs, or comes back."""

import anyio
import anyio.lowlevel
import pytest

from sb_core.adapters.guarded import Guard, GuardedStore
from sb_core.adapters.replica import ReplicaStore
from sb_core.circuit import FAILURES_MAX, OPEN_S_MAX, OPEN_S_MIN, PROBE_S_MAX, Circuit
from sb_core.errors import BusyError, DependencyError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.ops import Ops
from sb_core.records import NamedQuery, ShownEvent
from sb_core.telemetry import Telemetry


class Clock:
    def __init__(self):
        self.s = 100.0

    def monotonic_s(self):
        return self.s

    def now_ms(self):
        return int(self.s * 1000)


def opened(at_s=10.0):
    circuit = Circuit("store")
    for _ in range(FAILURES_MAX):
        assert circuit.admit(at_s) is None
        circuit.failed(at_s, 0.0)
    return circuit


def test_it_opens_after_failures_in_a_row_only():
    circuit = Circuit("store")
    for _ in range(FAILURES_MAX * 3):
        for _ in range(FAILURES_MAX - 1):
            circuit.failed(1.0, 0.0)
        circuit.succeeded()
    assert circuit.state(1.0) == "closed"
    assert circuit.opened == 0
    assert opened().state(10.0) == "open"


def test_while_open_nobody_is_let_through_and_then_one():
    circuit = opened(10.0)
    assert circuit.admit(10.1) == pytest.approx(OPEN_S_MIN - 0.1)
    after = 10.0 + OPEN_S_MIN
    assert circuit.state(after) == "half_open"
    assert circuit.admit(after) is None
    assert circuit.admit(after) is not None
    assert circuit.refused == 2
    circuit.succeeded()
    assert circuit.state(after) == "closed"
    assert circuit.admit(after) is None


def test_a_probe_that_fails_opens_it_for_longer_up_to_a_limit():
    circuit, at_s = opened(10.0), 10.0
    waits = []
    for _ in range(5):
        at_s += circuit.admit(at_s) or 0.0
        assert circuit.admit(at_s) is None
        circuit.failed(at_s, 0.0)
        waits.append(circuit.admit(at_s))
    assert waits == pytest.approx([OPEN_S_MIN * 2, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX])


def test_jitter_only_shortens():
    circuit = Circuit("store")
    for _ in range(FAILURES_MAX):
        circuit.failed(10.0, 0.99)
    assert OPEN_S_MIN / 2 <= circuit.admit(10.0) < OPEN_S_MIN


def test_a_probe_that_is_never_heard_of_blocks_nobody_for_ever():
    circuit = opened(10.0)
    assert circuit.admit(11.0) is None
    assert circuit.admit(11.0 + PROBE_S_MAX - 0.1) is not None
    assert circuit.admit(11.0 + PROBE_S_MAX) is None


def test_late_failures_of_calls_from_before_do_not_hold_it_open():
    circuit = opened(10.0)
    until = circuit.admit(10.0)
    for _ in range(50):
        circuit.failed(10.1, 0.0)
    assert circuit.opened == 1
    assert circuit.admit(10.1) == pytest.approx(until - 0.1)


class Failing:
    """A store that does to each read what it is told."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = 0

    def __getattr__(self, name):
        async def method(*_):
            self.asked += 1
            outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
            if isinstance(outcome, BaseException):
                raise outcome
            if callable(outcome):
                return await outcome()
            return outcome

        return method


def guarded(store, clock, calls_max=4, slow_s=0.01):
    circuit = Circuit("store")
    guard = Guard(circuit, clock, bytes, calls_max=calls_max, slow_s=slow_s)
    return GuardedStore(store, guard), circuit


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (UnavailableError("gone"), "open"),
        (UnknownOutcomeError("?"), "open"),
        (BusyError("1213"), "closed"),
        (FencedError("another"), "closed"),
        (DependencyError("too long"), "closed"),
    ],
)
def test_what_counts_as_a_failure(error, state, run):
    clock = Clock()
    store, circuit = guarded(Failing(error), clock)

    async def test():
        for _ in range(FAILURES_MAX * 2):
            with pytest.raises(DependencyError):
                await store.positions([])

    run(test)
    assert circuit.state(clock.s) == state
    assert store.inner.asked == (FAILURES_MAX if state == "open" else FAILURES_MAX * 2)


def test_a_store_that_hangs_is_left_alone_and_found_again(run):
    clock = Clock()
    inner = Failing(anyio.sleep_forever)
    store, circuit = guarded(inner, clock)

    async def hang():
        async with anyio.create_task_group() as group:
            group.start_soon(store.positions, [])
            await anyio.wait_all_tasks_blocked()
            clock.s += 0.02
            group.cancel_scope.cancel()

    async def test():
        for _ in range(FAILURES_MAX):
            await hang()
        with pytest.raises(UnavailableError, match="circuit is open"):
            await store.positions([])
        inner.outcomes[:] = [[]]
        clock.s += OPEN_S_MAX
        assert await store.positions([]) == []
        assert circuit.state(clock.s) == "closed"

    run(test)


def test_a_full_bulkhead_says_so_at_once_and_opens_nothing(run):
    clock = Clock()
    store, circuit = guarded(Failing(anyio.sleep_forever), clock, calls_max=3)

    async def test():
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(store.positions, [])
            await anyio.sleep(0.01)
            with pytest.raises(BusyError):
                await store.positions([])
            group.cancel_scope.cancel()
        assert (circuit.busy, circuit.state(clock.s)) == (1, "closed")

    run(test)


def test_health_and_metrics_tell_of_it(run):
    clock = Clock()
    store, circuit = guarded(Failing(UnavailableError("gone")), clock)
    ops = Ops("data-distribution", Telemetry("data-distribution", now_ms=clock.now_ms), clock)
    ops.check("store", store.ping)
    ops.watch("store", circuit)

    async def test():
        assert (await ops.health())["checks"]["store"]["circuit"] == "closed"
        for _ in range(FAILURES_MAX):
            health = await ops.health()
        assert health["checks"]["store"]["circuit"] == "open"
        assert health["status"] == "degraded"
        text = (await ops.answer("/metrics")).body.decode()
        assert 'circuit_open_ratio{dependency="store"} 1.0' in text
        assert 'circuit_opened_count{dependency="store"} 1.0' in text

    run(test)


def shown(rev):
    return ShownEvent("e", 1, rev, b"{}", ())


@pytest.mark.parametrize(
    ("copy", "at_least", "rev", "served"),
    [
        (shown(5), (1, 5), 5, 1),
        (shown(4), (1, 5), 9, 0),
        (shown(4), (0, 0), 4, 1),
        (shown(5), None, 9, 0),
        (None, (0, 0), 9, 0),
        (UnavailableError("gone"), (0, 0), 9, 0),
    ],
)
def test_a_copy_answers_unless_it_is_older_than_what_was_seen(copy, at_least, rev, served, run):
    async def test():
        store = ReplicaStore(Failing(shown(9)), Failing(copy))
        assert (await store.event("e", at_least)).rev == rev
        assert store.served == served

    run(test)


def test_lists_of_names_come_from_the_copy_while_it_answers(run):
    async def test():
        store = ReplicaStore(Failing(["primary"]), Failing(["copy"], UnavailableError("gone")))
        assert await store.participants(NamedQuery()) == ["copy"]
        assert await store.competitions(NamedQuery()) == ["primary"]
        assert store.served == 1

    run(test)
