"""The services as their users deploy them, each a process of its own, with two processors of football."""

import signal
import subprocess
import sys
import time

import httpx
from local_pipeline import ROOT, Pipeline
from ports import free_offset

SERVICES = {
    "ingest": ("sb_ingest",),
    "football": ("sb_process", "--sport", "football"),
    "football2": ("sb_process", "--sport", "football"),
    "basketball": ("sb_process", "--sport", "basketball"),
    "tennis": ("sb_process", "--sport", "tennis"),
    "hockey": ("sb_process", "--sport", "hockey"),
    "distribute": ("sb_distribute",),
}
MORE = {"ingest2": ("sb_ingest",), "distribute2": ("sb_distribute",)}
"""Those that a test may add."""
SECOND = ("football2", "ingest2", "distribute2")
STREAM_PORT = 4003
PORT = {
    "ingest": 4000,
    "ingest2": 4000,
    "football": 4101,
    "football2": 4101,
    "basketball": 4102,
    "tennis": 4103,
    "hockey": 4104,
    "distribute": 4002,
    "distribute2": 4002,
}
STOP_S = 15
READY_S = 120
"""Seven processes start at once, on two cores that others use, too."""


class Services(Pipeline):
    """A pipeline of processes on real engines; those of `names`."""

    ready_ports = (4000, 4002, 4003, 4101, 4102, 4103, 4104)

    def __init__(self, data, names=tuple(SERVICES), **settings):
        super().__init__(data, **settings)
        self.names = names
        self.second = free_offset(*(PORT[each] for each in SECOND), STREAM_PORT)
        self.processes = {}
        self.data.mkdir(parents=True, exist_ok=True)

    @property
    def accounts(self):
        """The ports of those who keep an account."""
        return tuple(sorted({PORT[each] for each in self.names} - {PORT["distribute"]}))

    def start(self, *, ready=True):
        self.http = httpx.Client(timeout=30, trust_env=False)
        for name in self.names:
            self.spawn(name)
        if ready:
            self.wait_ready()
        return self

    def spawn(self, name):
        environment = self.environment()
        if name in SECOND:
            environment["SB_PORT_OFFSET"] = str(self.second)
        with self.log_of(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *(SERVICES | MORE)[name]],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log_of(self, name):
        return self.data / f"{name}.log"

    def tail(self):
        tails = (f"{name}: {self.log_of(name).read_text()[-1000:]}" for name in self.processes)
        return "\n".join(tails)

    def base(self, name):
        return f"http://127.0.0.1:{PORT[name] + self.offset_of(name)}"

    def stream(self, name):
        return f"ws://127.0.0.1:{STREAM_PORT + self.offset_of(name)}"

    def offset_of(self, name):
        return self.second if name in SECOND else self.offset

    def ask(self, name, path):
        """Ask one service; return its answer, or None when it isn't there."""
        try:
            return self.http.get(self.base(name) + path)
        except httpx.TransportError:
            return None

    def wait_ready(self):
        until = time.monotonic() + READY_S
        while not all(self.ready(name) for name in self.names):
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > until:
                raise RuntimeError(f"not ready, ended: {dead}: {self.tail()}")
            time.sleep(0.1)

    def ready(self, name):
        answer = self.ask(name, "/ready")
        return answer is not None and answer.status_code == 200

    def metric(self, name, metric):
        """Return the sum of a metric of one service."""
        lines = self.ask(name, "/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].split(" ")[0] == metric)

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill_one(self, name):
        self.processes[name].kill()
        self.processes[name].wait(STOP_S)

    def stop_one(self, name):
        """Stop a service in order; it has 10 s, and must end well."""
        self.signal(name, signal.SIGTERM)
        assert self.processes[name].wait(STOP_S) == 0, f"{name}: {self.log_of(name).read_text()[-2000:]}"

    def kill(self):
        self._hang_up()
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(STOP_S)

    def stop(self):
        for name in self.names:
            self.stop_one(name)
        self._hang_up()

    def logged(self, name, event):
        """Return the log lines of one service that are about `event`."""
        return [line for line in self.log_of(name).read_text().splitlines() if f'"event":"{event}"' in line]
