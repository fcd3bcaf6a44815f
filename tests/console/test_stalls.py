"""Verdicts on a running pipeline of separate processes: a processor that stops is STALLED and the bottleneck, one that
starts again is DRAINING with an estimate that comes true, then OK."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import anyio
import httpx
import msgspec
import pytest
from console_parts import profile_of
from local_pipeline import ROOT
from ports import free_offset

from sb_console.collectors.run import Collectors
from sb_console.observations import PlacesSeen
from sb_console.reduce import first, reduce

PORTS = (4000, 4002, 4003, 4004, 4101, 4102, 4103, 4104)
SERVICES = {"ingest": 4000, "distribute": 4002}
WAIT_S = 300.0
BACKLOG = 24_000
PER_REQUEST = 250
WITHIN = 0.30


class Processes:
    """Services as processes of their own on one data folder."""

    def __init__(self, data):
        self.offset = free_offset(*PORTS)
        self.data = data
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
        # small batches make it slow, so that there is something to watch
        told = {"SB_DATA": str(data), "SB_PORT_OFFSET": str(self.offset), "SB_PROCESS_BATCH_MAX": "5"}
        self.environ = {**kept, **told, "SB_LOG_LEVEL": "error"}
        self.http = httpx.Client(timeout=30, trust_env=False)
        self.running = []

    def start(self, *arguments, port):
        process = subprocess.Popen([sys.executable, "-m", "sb_local.cli", *arguments], cwd=ROOT, env=self.environ)
        self.running.append(process)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            try:
                if self.http.get(f"http://127.0.0.1:{port + self.offset}/ready").status_code == 200:
                    return process
            except httpx.TransportError:
                pass
            assert process.poll() is None
            time.sleep(0.05)
        raise AssertionError(f"{arguments} was not ready")

    def send(self, number):
        lines = [
            msgspec.json.encode(
                {"type": "odds", "ts": 1_780_000_000_000 + n, "event": f"stall:{n % 40}", "sport": "football",
                 "markets": [{"market": "1x2", "outcomes": [{"id": "home", "odds": f"{2 + n % 700 / 100:.2f}"}]}]}
            )
            for n in range(number, number + PER_REQUEST)
        ]  # fmt: skip
        url = f"http://127.0.0.1:{4000 + self.offset}/v1/feeds/canonical"
        headers = {"content-type": "application/x-ndjson"}
        assert self.http.post(url, content=b"\n".join(lines), headers=headers).status_code == 202

    def close(self):
        self.http.close()
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(20)


class Watched:
    """Collectors in a thread, and what they come to."""

    def __init__(self, profile):
        self.profile = profile
        self.snapshot = first("local")
        self.history = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: anyio.run(self._run, backend="trio"))
        self._thread.start()

    async def _run(self):
        send, receive = anyio.create_memory_object_stream(1)
        with send, receive:
            async with anyio.create_task_group() as group:
                await group.start(Collectors(self.profile.settings, self._take, receive).run)
                while not self._stop.is_set():  # noqa: ASYNC110  a thread sets it
                    await anyio.sleep(0.05)
                group.cancel_scope.cancel()

    def _take(self, observation):
        self.snapshot = reduce(self.snapshot, observation)
        if isinstance(observation, PlacesSeen):
            self.history.append((observation.at, self.football))

    @property
    def football(self):
        return next((each for each in self.snapshot.groups if each.group == "sb-process-football"), None)

    def until(self, held, wait_s=WAIT_S):
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if held(self):
                return
            time.sleep(0.05)
        raise AssertionError(f"never came: {self.football} {self.snapshot.bottleneck} {self.snapshot.why}")

    def close(self):
        self._stop.set()
        self._thread.join(20)


@pytest.mark.e2e
def test_stop_a_processor_and_start_it_again(tmp_path):
    with ExitStack() as stack:
        processes = Processes(tmp_path / "data")
        stack.callback(processes.close)
        processes.start("ingest", port=4000)
        processes.start("distribute", port=4002)
        processor = processes.start("process", "--sport", "football", port=4101)
        watched = Watched(profile_of(processes.data, processes.offset))
        stack.callback(watched.close)
        watched.until(lambda each: each.football is not None and each.football.verdict == "OK")

        processor.send_signal(signal.SIGTERM)
        assert processor.wait(20) == 0
        stopped = watched.snapshot.at
        for number in range(0, BACKLOG, PER_REQUEST):
            processes.send(number)
        watched.until(
            lambda each: each.football.verdict == "STALLED" and each.snapshot.bottleneck == "process football"
        )
        assert watched.snapshot.why.startswith("STALLED")
        assert "DOWN" in watched.snapshot.why
        stalled = next(entry for entry in watched.snapshot.timeline if "STALLED" in entry.text)
        assert stalled.at - stopped < 10_000 or os.getloadavg()[0] > 4, (
            "within 10 s on a machine with nothing else to do"
        )

        watched.history.clear()
        processes.start("process", "--sport", "football", port=4101)
        watched.until(lambda each: each.football.verdict == "OK" and each.football.lag < 100)
        texts = [entry.text for entry in watched.snapshot.timeline if entry.subject == "sb-process-football"]
        assert any("→ DRAINING" in text for text in texts), texts
        assert any("→ OK" in text for text in texts), texts


@pytest.mark.e2e
@pytest.mark.slow
def test_most_estimates_come_true_on_a_machine_with_nothing_else_to_do(tmp_path):
    with ExitStack() as stack:
        processes = Processes(tmp_path / "data")
        stack.callback(processes.close)
        processes.start("ingest", port=4000)
        for number in range(0, 2 * BACKLOG, PER_REQUEST):
            processes.send(number)
        watched = Watched(profile_of(processes.data, processes.offset))
        stack.callback(watched.close)
        watched.until(lambda each: each.football is not None and each.football.verdict == "STALLED")
        watched.history.clear()
        processes.start("process", "--sport", "football", port=4101)
        watched.until(lambda each: each.football.verdict == "OK" and each.football.lag < 100)
        off = estimates_off(watched.history)
        assert off[len(off) // 2] <= WITHIN, off


def estimates_off(history):
    """Return by which share of the time that it really took each estimate was off, the best first."""
    done = next(
        at for at, group in history if group.lag < 100 and any(g.verdict == "DRAINING" for t, g in history if t < at)
    )
    errors = sorted(
        abs(group.eta_s - (done - at) / 1000) / ((done - at) / 1000)
        for at, group in history
        if group.verdict == "DRAINING" and group.eta_s is not None and done - at >= 1_000
    )
    assert errors, history
    return errors
