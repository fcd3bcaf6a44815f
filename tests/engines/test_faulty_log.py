"""The log in trouble under real services: a broker whose disk is full ends, and is started again by its supervisor.

The measure is the same feed run once, whole and undisturbed, on embedded parts.
"""

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from clinging_follower import ClingingFollower
from services import Services
from test_faulty_database import NAMES, PORTS, check, football, sent
from test_services_killed import check_follower
from undisturbed import SETTLE_S, settled

from sb_local import stack

pytestmark = pytest.mark.engines

REFUSED_S = 5
"""By then a sender has its answer."""
SLACK_S = 1
ROOM_BYTES = 262_144


@pytest.fixture
def small_log(tmp_path):
    """A broker on a disk of its own, with little room."""
    folder = tmp_path / "small"
    data = folder / "kafka" / "data"
    data.mkdir(parents=True)
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "small", str(data)], check=False).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield stack.up(folder, ("kafka",)), data
    finally:
        with suppress(stack.StackError):
            stack.down(folder)
        subprocess.run(["umount", str(data)], check=True)


class Supervisor(threading.Thread):
    """Starts the broker whenever it has ended, as compose does."""

    def __init__(self, made):
        super().__init__(daemon=True)
        self.made = made
        self.starts = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(1):
            if self.made.running("kafka") is None:
                with suppress(stack.StackError):
                    self.made.start("kafka", wait=False)
                    self.starts += 1

    def finish(self):
        self.over.set()
        self.join(20)


class Football(Services):
    """What football needs, on a log of its own."""

    ready_ports = (4000, 4002, 4003, 4101)

    def __init__(self, data, log_url):
        super().__init__(data, NAMES)
        self.log_url = log_url

    def environment(self):
        return super().environment() | {"SB_LOG_URL": self.log_url}


def fill(data):
    """Leave next to no room, while others write."""
    ballast = data / "ballast"
    with ballast.open("wb") as file:
        for _ in range(100):
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - ROOM_BYTES)
                return ballast
    raise AssertionError("the disk can't be filled")


def refused_in_s(services, message):
    begun = time.monotonic()
    answer = services.http.post(f"{services.url(4000)}/v1/feeds/canonical", json=message)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    return time.monotonic() - begun


@pytest.mark.slow
def test_a_full_disk_refuses_senders_and_all_goes_on_when_there_is_room(tmp_path, engines, small_log, whole):  # noqa: ARG001  store and cache
    made, data = small_log
    messages = football(15, 6_000)
    services = Football(tmp_path / "services", made.log_url)
    supervisor = Supervisor(made)
    try:
        services.start()
        with ClingingFollower(services.url(4003, "ws")) as follower:
            sender = sent(services, messages, per_s=400, batch=40)
            sender.until(800)
            ballast = fill(data)
            until = time.monotonic() + 60
            while not sender.retried:
                assert time.monotonic() < until, "nothing was refused"
                time.sleep(0.05)
            accepted = sender.sent
            assert refused_in_s(services, messages[0]) < REFUSED_S + SLACK_S
            supervisor.start()
            assert refused_in_s(services, messages[0]) < REFUSED_S + SLACK_S
            assert services.ask("distribute", "/health").status_code == 200
            assert sender.sent == accepted
            ballast.unlink()
            sender.finish()
            account = settled(services, NAMES, PORTS)
            events = services.state()
            versions = {item["event"]: (item["lineage"], item["rev"]) for item in events.values()}
            follower.wait_for(versions, deadline_s=SETTLE_S)
            assert supervisor.starts > 0
            check(services, account, whole(messages))
            check_follower(follower, events)
    finally:
        if supervisor.is_alive():
            supervisor.finish()
        services.kill()
