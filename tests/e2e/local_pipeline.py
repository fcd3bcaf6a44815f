"""Starts `sb local` as its own process on ports of its own, and talks to it as strangers do: httpx and `websockets`."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from ports import free_offset

ROOT = Path(__file__).resolve().parents[2]
PORTS = (4000, 4002, 4003, 4004, 4101, 4102, 4103, 4104)
ACCOUNTS = (4000, 4101, 4102, 4103, 4104)
FOOTBALL = 4101
START_S = 30
END_S = 120
ASKING_S_MAX = 20


class Pipeline:
    """A data folder with ports; `start` runs the pipeline on it, as often as wanted."""

    engines = None
    """Real engines to run on instead of embedded parts: `environ(folder)` are the settings that say where."""
    ready_ports = PORTS

    def __init__(self, data, **settings):
        self.data = Path(data)
        self.offset = free_offset(*PORTS)
        self.settings = {f"SB_{name.upper()}": str(value) for name, value in settings.items()}
        if self.engines is not None:
            self.settings = self.engines.environ(self.data) | self.settings
        self.process = None
        self.log = self.data.parent / f"{self.data.name}.log"
        self.http = None

    def url(self, port, scheme="http"):
        return f"{scheme}://127.0.0.1:{port + self.offset}"

    def start(self, *arguments, ready=True):
        self._hang_up()
        self.http = httpx.Client(timeout=30, trust_env=False)
        environment = self.environment()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sb_local", "--quiet", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        if ready:
            self.wait_ready()
        return self

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
        return {**kept, "SB_DATA": str(self.data), "SB_PORT_OFFSET": str(self.offset), **self.settings}

    def wait_ready(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {self.tail()}")
            if self.is_ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"not ready: {self.tail()}")

    def is_ready(self):
        try:
            return all(self.http.get(f"{self.url(port)}/ready").status_code == 200 for port in self.ready_ports)
        except httpx.TransportError:
            return False

    def tail(self):
        return self.log.read_text()[-3000:]

    def finish(self):
        """Wait for the end; return exit code and the account on the last line."""
        self._hang_up()
        out, _ = self.process.communicate(timeout=END_S)
        lines = out.decode().strip().splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else None

    def _hang_up(self):
        if self.http is not None:
            self.http.close()

    def stop(self):
        self._hang_up()
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out

    def kill(self):
        """Take the process away as a crash does: no handler runs, nothing is flushed."""
        self._hang_up()
        self.process.kill()
        self.process.communicate(timeout=20)

    def get(self, path, **parameters):
        return self._read(4002, path, parameters)

    def _read(self, port, path, parameters=None):
        """Read from a service; ask again while it answers 503, as a client does."""
        until = time.monotonic() + ASKING_S_MAX
        while True:
            answer = self.http.get(self.url(port) + path, params=parameters)
            if answer.status_code != 503 or time.monotonic() > until:
                answer.raise_for_status()
                return answer.json()
            time.sleep(0.1)

    def post(self, path, body, content_type="application/json", **parameters):
        return self.http.post(
            self.url(4000) + path, content=body, headers={"content-type": content_type}, params=parameters
        )

    def replay(self, *files, speed="max", **options):
        """Start `sb replay` on this pipeline, as a process of its own; `finish_replay` waits for its report."""
        named = [argument for name, value in options.items() for argument in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "sb_local.cli", "replay", *map(str, files), "--to", self.url(4000)]
        return subprocess.Popen(
            [*command, "--speed", str(speed), "--json", *named],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def replayed(self, *files, **options):
        return finish_replay(self.replay(*files, **options))

    def state(self):
        """Every event in full, by id, no older than the store has it: a node reads the updates a moment later."""
        return {item["event"]: self.get(f"/v1/events/{item['event']}", min_rev=item["rev"]) for item in self.events()}

    def event(self, event):
        """One event in full, no older than its change log (of at most 1,000 entries) has it."""
        entries = self.get(f"/v1/events/{event}/history", limit=1000)["items"]
        return self.get(f"/v1/events/{event}", min_rev=entries[-1]["rev"])

    def history(self, event):
        """The whole change log of an event."""
        items, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = self.get(f"/v1/events/{event}/history", limit=1000, **more)
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    def events(self, **parameters):
        """Page through the list of events."""
        cursor = None
        while True:
            page = self.get("/v1/events", limit=50, **parameters, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def account(self, ports=ACCOUNTS):
        """Add the accounts of the services up as the contract says."""
        total = {}
        for port in ports:
            for name, value in self._read(port, "/v1/account").items():
                if isinstance(value, dict):
                    mine = total.setdefault(name, {})
                    for code, count in value.items():
                        mine[code] = mine.get(code, 0) + count
                elif name != "balanced":
                    total[name] = total.get(name, 0) + value
        return total

    def wait_through(self, accepted=None, deadline_s=30, ports=ACCOUNTS):
        """Wait until nothing is pending (and, where given, that many units are accepted)."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            account = self.account(ports)
            enough = accepted is None or account["accepted"] >= accepted
            if enough and account["pending"] == 0 and account["changes"] == account["updates_published"]:
                return account
            time.sleep(0.02)
        raise RuntimeError(f"not through: {account}")


def finish_replay(replay):
    """Wait for a replay; return its report."""
    out, err = replay.communicate(timeout=END_S)
    assert replay.returncode == 0, err.decode()
    return json.loads(out)


def balanced(account):
    """The identities of WIRE.md, computed here."""
    outcomes = sum(account[name] for name in ("applied", "unchanged", "stale", "duplicate", "control", "pending"))
    outcomes += sum(account["dead_lettered"].values())
    return account["received"] == account["accepted"] + sum(account["refused"].values()) + account["unknown"] and (
        account["accepted"] == outcomes
    )


@contextmanager
def running(data, *arguments, **settings):
    pipeline = Pipeline(data, **settings)
    pipeline.start(*arguments)
    try:
        yield pipeline
    finally:
        if pipeline.process.poll() is None:
            pipeline.kill()
