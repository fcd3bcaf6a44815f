"""The frame around services: contexts by URL, and whole processes that are told to stop in every way."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from ports import free_offset

from sb_core import topics
from sb_core.errors import ContractError
from sb_core.ops import Ops
from sb_core.records import Record
from sb_core.runtime import Context, SystemClock, open_context, run_services
from sb_core.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Settings(log_url="memory:", store_url="memory:", log_level="error")


def on_disk(folder: Path) -> Settings:
    return Settings(data=str(folder / "deep" / "data"), log_level="error")


def test_a_context_has_its_topics_and_works(run):
    async def main():
        async with open_context(MEMORY, "feed-ingestion") as context:
            assert await context.admin.partitions("sports-feed-football") == topics.PARTITIONS
            offsets = await context.log.append([Record("sports-alive", "uof:1", b"{}", 1)])
            assert list(offsets) == [0]
            assert await context.store.event("uof:1") is None
            assert await context.cache.get([(0, "uof:1")]) == [None]
            for dependency in (context.log, context.store, context.cache):
                await dependency.ping()
            assert len(context.entropy(16)) == 16
            assert context.config.market_enabled("football", "total")

    run(main)


def test_what_is_on_disk_is_there_again(run, tmp_path):
    async def main():
        for expected in (0, 1):
            async with open_context(on_disk(tmp_path), "feed-ingestion") as context:
                offsets = await context.log.append([Record("sports-alive", "uof:1", b"{}", 1)])
                assert list(offsets) == [expected]

    run(main)
    assert {path.name for path in (tmp_path / "deep" / "data").iterdir()} >= {"log.db", "store.db"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_url": "pulsar://localhost:6650"}, "SB_LOG_URL begins with pulsar:, whose adapter is not built yet"),
        ({"log_url": "kafka://localhost:9092/feeds"}, "SB_LOG_URL: a kafka: URL has servers and options only"),
        ({"log_url": "kafka://localhost:port"}, "SB_LOG_URL: 'localhost:port' is not host:port"),
        ({"store_url": "oracle://u:hunter2@h/db"}, "SB_STORE_URL begins with oracle:, whose adapter is not built yet"),
        ({"cache_url": "memcached://h/0"}, "SB_CACHE_URL begins with memcached:, whose adapter is not built yet"),
        ({"store_replica_url": "oracle://u:hunter2@h/db"}, "SB_STORE_REPLICA_URL begins with oracle:"),
        ({"log_url": "sqlite://x"}, "SB_LOG_URL must be sqlite:///path"),
        ({"log_url": "sqlite:///"}, "SB_LOG_URL must be sqlite:///path"),
        ({"log_url": "sqlite:////proc/nowhere/log.db"}, "SB_LOG_URL: the folder of /proc/nowhere/log.db can't be made"),
    ],
)
def test_what_can_t_be_opened_is_named_without_its_password(run, changes, words):
    async def main():
        async with open_context(MEMORY.changed(**changes), "x"):
            raise AssertionError

    with pytest.raises(SettingsError) as caught:
        run(main)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_other_services_share_all_but_telemetry(run):
    async def main():
        async with open_context(MEMORY, "feed-ingestion") as context:
            other = context.for_service("data-distribution")
            assert (other.log, other.store, other.cache, other.clock) == (
                context.log,
                context.store,
                context.cache,
                context.clock,
            )
            other.telemetry.counter("a_total", "x").inc()
            assert other.telemetry.registry.get_sample_value("sb_data_distribution_a_total") == 1
            assert context.telemetry.registry is not other.telemetry.registry

    run(main)


def test_the_system_clock_tells_the_time():
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time() * 1000) < 1000
    before = clock.monotonic_s()
    assert clock.monotonic_s() >= before


class Noting:
    """A service that notes what happens to it."""

    def __init__(self, context: Context, name: str, notes: list[str], after=None) -> None:
        self.name = name
        self.ops = Ops(name, context.telemetry, context.clock)
        self.notes = notes
        self.after = after

    async def run(self, stop: anyio.Event, *, task_status=anyio.TASK_STATUS_IGNORED) -> None:
        self.notes.append(f"{self.name} starts")
        task_status.started()
        if self.after is not None:
            await self.after()
            self.notes.append(f"{self.name} is through")
            return
        await stop.wait()
        self.notes.append(f"{self.name} stops")


async def failing() -> None:
    await anyio.sleep(0.05)
    raise ContractError("broken promise")


def test_the_end_of_one_service_is_the_end_of_all(run):
    notes: list[str] = []
    makers = (
        ("a", lambda context: Noting(context, "a", notes)),
        ("b", lambda context: Noting(context, "b", notes, lambda: anyio.sleep(0.05))),
    )
    assert run(run_services, makers, MEMORY) == 0
    assert notes == ["a starts", "b starts", "b is through", "a stops"]


def test_a_service_that_crashes_is_said_and_fails_the_process(run, capsys):
    notes: list[str] = []
    makers = (
        ("a", lambda context: Noting(context, "a", notes)),
        ("b", lambda context: Noting(context, "b", notes, failing)),
    )
    assert run(run_services, makers, MEMORY) == 1
    crashed = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (crashed["event"], crashed["error"], crashed["detail"]) == ("crashed", "ContractError", "broken promise")


def test_a_stop_before_the_start_is_a_start_that_does_not_happen(run):
    notes: list[str] = []

    async def main():
        stop = anyio.Event()
        stop.set()
        return await run_services((("a", lambda context: Noting(context, "a", notes)),), MEMORY, stop=stop)

    assert run(main) == 0
    assert notes == []


PROCESS = """
import sys, time
import anyio
from sb_core.ops import Ops
from sb_core.runtime import run_main
from sb_core.web import make_app, serve_http
from sb_core.auth import Keys

class Service:
    name = "feed-ingestion"

    def __init__(self, context):
        self.context = context
        self.ops = Ops(self.name, context.telemetry, context.clock)

    async def run(self, stop, *, task_status=anyio.TASK_STATUS_IGNORED):
        kind = sys.argv[1]
        async with anyio.create_task_group() as group:
            served = anyio.Event()
            async def serve(task_status):
                await serve_http(make_app(self.name, self.ops, Keys()), bind="127.0.0.1",
                    port=self.context.settings.port(self.name), stop=stop, body_bytes_max=1000, task_status=task_status)
            await group.start(serve)
            task_status.started()
            await stop.wait()
            self.context.telemetry.info("winding_down")
            if kind == "chatty":
                import logging, warnings
                logging.getLogger("some.package").info("small talk")
                logging.getLogger("some.package").warning("mind the gap")
                warnings.warn("old hat", DeprecationWarning)
            if kind == "stubborn":
                await anyio.sleep_forever()
            if kind == "deaf":
                time.sleep(60)

sys.exit(run_main("feed-ingestion", Service))
"""


class Process:
    """A service process with its log lines."""

    def __init__(self, tmp_path: Path, offset: int, kind: str, **environ: str) -> None:
        script = tmp_path / "service.py"
        script.write_text(PROCESS)
        self.process = subprocess.Popen(
            [sys.executable, str(script), kind],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "SB_DATA": str(tmp_path / "data"),
                "SB_PORT_OFFSET": str(offset),
                **environ,
            },
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[str] = []
        self.lines: list[dict[str, object]] = []

    def until(self, event: str) -> None:
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            self.events.append(str(self.lines[-1]["event"]))
            if self.events[-1] == event:
                return
        raise AssertionError(f"ended before {event}: {self.lines}")

    def send(self, number: int) -> float:
        self.process.send_signal(number)
        return time.monotonic()

    def end(self) -> int:
        try:
            for line in self.process.communicate(timeout=20)[1].splitlines():
                self.lines.append(json.loads(line))
                self.events.append(str(self.lines[-1]["event"]))
        finally:
            self.close()
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path):
    """Start such processes, all on the same port; none outlives its test, however that ends."""
    with ExitStack() as started:
        offset = free_offset(4000)

        def start_one(kind: str, **environ: str) -> Process:
            process = Process(tmp_path, offset, kind, **environ)
            started.callback(process.close)
            return process

        start_one.port = 4000 + offset
        yield start_one


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order(start, number):
    process = start("good")
    process.until("started")
    at = process.send(number)
    assert process.end() == 0
    assert time.monotonic() - at < 3
    assert process.events == ["started", "signal", "winding_down", "stopped"]
    assert process.lines[-1]["in_order"] is True
    assert all(line["service"] == "feed-ingestion" for line in process.lines)


def test_whatever_a_library_says_becomes_a_log_line(start):
    process = start("chatty", PYTHONWARNINGS="always")
    process.until("started")
    process.send(signal.SIGTERM)
    assert process.end() == 0
    said = [str(line["text"]) for line in process.lines if line["event"] == "library_log"]
    assert said[0] == "mind the gap"
    assert "DeprecationWarning: old hat" in said[1]
    assert len(said) == 2


def test_a_service_that_does_not_stop_is_cancelled_at_its_deadline(start):
    process = start("stubborn", SB_STOP_DEADLINE_S="3")
    process.until("started")
    at = process.send(signal.SIGTERM)
    assert process.end() == 1
    assert 0.9 < time.monotonic() - at < 3
    assert process.events[-1] == "stopped"
    assert process.lines[-1]["in_order"] is False


def test_a_second_signal_stops_at_once(start):
    process = start("stubborn", SB_STOP_DEADLINE_S="60")
    process.until("started")
    process.send(signal.SIGTERM)
    process.until("winding_down")
    at = process.send(signal.SIGTERM)
    assert process.end() == 1
    assert time.monotonic() - at < 3


def test_a_process_that_hangs_is_gone_at_the_deadline_all_the_same(start):
    process = start("deaf", SB_STOP_DEADLINE_S="2")
    process.until("started")
    at = process.send(signal.SIGTERM)
    assert process.end() == 1
    assert time.monotonic() - at < 4
    assert process.events[-1] == "stop_deadline"


def test_a_second_process_says_whose_port_it_wants(start):
    first = start("good")
    first.until("started")
    second = start("good")
    assert second.end() == 2
    assert second.events == ["refused_to_start"]
    assert f"port {start.port} on 127.0.0.1 is in use" in str(second.lines[0]["detail"])
    first.send(signal.SIGTERM)
    assert first.end() == 0


def test_wrong_settings_refuse_to_start(start):
    process = start("good", SB_BIND="0.0.0.0")
    _, words = process.process.communicate(timeout=20)
    assert process.process.returncode == 2
    assert words.startswith("feed-ingestion: SB_BIND is 0.0.0.0, which others can reach")


def test_a_wrong_pipeline_refuses_to_start(start, tmp_path):
    (tmp_path / "pipeline.toml").write_text("[sports.footbal]\n")
    process = start("good")
    assert process.end() == 2
    assert "unknown key sports.footbal" in str(process.lines[0]["detail"])
