"""The database in trouble under real services: faults in a share of its transactions, a state from before, a full disk.

The measure is the same feed run once, whole and undisturbed, on embedded parts.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from clinging_follower import ClingingFollower
from faulty_wire import FAULTS, FaultyWire
from plain_feed import Feed
from pressing_sender import PressingSender
from services import Services
from test_services_killed import check_follower
from undisturbed import SETTLE_S, Left, check_account, settled

from sb_core.adapters.mysql_connect import parse_address
from sb_local import stack

pytestmark = pytest.mark.engines

NAMES = ("ingest", "football", "distribute")
PORTS = (4000, 4101)
MESSAGES = 2_000
EVENTS = 40
BACK_S = 20


class Football(Services):
    """What football needs, its database behind a wire."""

    ready_ports = (4000, 4002, 4003, 4101)

    def __init__(self, data, wire=None, store=None):
        super().__init__(data, NAMES)
        self.wire, self.store = wire, store

    def environment(self):
        environment = super().environment()
        if self.store is not None:
            environment["SB_STORE_URL"] = self.store
        if self.wire is not None:
            environment["SB_STORE_URL"] = self.wire.url(environment["SB_STORE_URL"])
        return environment


@contextmanager
def running(folder, engines, *, store=None, **wire):
    address = parse_address(store or engines.stack.store_url)
    with FaultyWire(address.host, address.port, **wire) as made:
        services = Football(folder / "services", made, store)
        try:
            yield services.start()
        finally:
            services.kill()


def football(seed, count=MESSAGES):
    return [
        message
        for message in Feed(seed, count * 2, events=EVENTS, first=0.05).messages
        if message["sport"] == "football"
    ]


def check(services, account, whole):
    for name in NAMES:
        assert services.logged(name, "crashed") == []
    outcome = Left(services, account)
    assert outcome.events.keys() == whole.events.keys()
    for name, event in whole.events.items():
        assert outcome.histories[name] == whole.histories[name], name
        assert outcome.events[name] == event, name
    check_account(account, whole.account)


def sent(services, messages, **options):
    sender = PressingSender(services.url(4000), messages, **options)
    sender.start()
    return sender


def test_faults_in_a_share_of_all_transactions_lose_nothing_and_double_nothing(tmp_path, engines, whole):
    messages = football(11)
    with running(tmp_path, engines, share=0.05, seed=3) as services:
        wire = services.wire
        sender = sent(services, messages, batch=3)  # small ones, for what comes meanwhile shares a transaction
        sender.finish()
        # so many more faults, that each kind has met a statement and a COMMIT, unless chance is against it
        account = settled(services, NAMES, PORTS)
        check(services, account, whole(messages))
        assert wire.transactions > 100
        assert sum(wire.injected.values()) > wire.transactions * 0.02
        retried = services.metric("football", "sb_data_processing_football_commit_retries_total")
        unknown = services.metric("football", "sb_data_processing_football_commit_unknown_total")
        assert retried > 0
        assert unknown > 0 or not any(kind in {"lost reply", 2013} and at == "COMMIT" for kind, at in wire.injected)
        assert {kind for kind, _ in wire.injected} <= set(FAULTS)


def test_what_the_database_will_not_take_is_bisected_to_one_dead_letter(tmp_path, engines):
    messages = [message for message in football(12, 600) if message["type"] == "odds"]
    bad = {
        "type": "fixture",
        "event": messages[0]["event"],
        "sport": "football",
        "ts": messages[50]["ts"],
        "name": "POISON",
    }
    with running(tmp_path, engines, poison=b"POISON") as services:
        sent(services, [*messages[:50], bad, *messages[50:]], batch=len(messages) + 1).finish()
        account = settled(services, NAMES, PORTS)
        assert account["dead_lettered"] == {"rule_store": 1}
        assert account["accepted"] == len(messages) + 1
        assert services.wire.injected["poison"] > 1
        letters = services.http.get(services.url(4000) + "/v1/deadletters?code=rule_store").json()["items"]
        assert len(letters) == 1
        assert services.ask("football", "/ready").status_code == 200


def restored(engines, services, ago_s, sender):
    """Put the database back into the state that it had `ago_s` ago, while nobody reaches it; messages keep coming."""
    name = engines.database(services.data)
    dump = engines.stack.mysql_tool("dump", "--single-transaction", "--databases", name)
    told = sender.sent
    time.sleep(ago_s)
    assert sender.sent > told, "something happens meanwhile"
    services.wire.cut()
    engines.stack.mysql_tool("", given=f"DROP DATABASE {name};\n{dump}")
    services.wire.mend()
    until = time.monotonic() + BACK_S
    while services.ask("football", "/v1/account").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("ago_s", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_database_from_before_makes_the_same_again(tmp_path, engines, whole, ago_s):
    per_s = 150
    messages = football(13, per_s * (ago_s + 12))
    with running(tmp_path, engines) as services, ClingingFollower(services.url(4003, "ws")) as follower:
        sender = sent(services, messages, per_s=per_s, batch=15)
        sender.until(per_s * 3)
        restored(engines, services, ago_s, sender)
        sender.finish()
        account = settled(services, NAMES, PORTS)
        events = services.state()
        follower.wait_for(
            {item["event"]: (item["lineage"], item["rev"]) for item in events.values()}, deadline_s=SETTLE_S
        )
        check(services, account, whole(messages))
        check_follower(follower, events)
        assert services.logged("football", "fenced"), "it noticed"
        assert services.metric("football", "sb_data_processing_football_fenced_total") > 0


@pytest.fixture
def small_disk(tmp_path):
    """A database on a disk of its own, with little room."""
    folder = tmp_path / "small"
    data = folder / "mysql" / "data"
    data.mkdir(parents=True)
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "small", str(data)], check=False).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield stack.up(folder, ("mysql",), settings={"mysql": {"innodb-log-file-size": "32M"}}), data
    finally:
        with suppress(stack.StackError):
            stack.down(folder)
        subprocess.run(["umount", str(data)], check=True)


def fill(data):
    """Leave a few pages of room; looked at again where the database has taken some of it meanwhile."""
    ballast = data / "ballast"
    while True:
        ballast.write_bytes(b"")
        room = max(1, shutil.disk_usage(data).free - 262_144)
        if not subprocess.run(["fallocate", "-l", str(room), str(ballast)], check=False).returncode:
            return ballast
        assert room > 1, "the database has filled it by itself"


def test_a_full_disk_is_told_to_senders_and_all_goes_on_when_there_is_room(tmp_path, engines, small_disk, whole):
    made, data = small_disk
    messages = football(14, 6_000)
    environ = {**os.environ, "SB_STORE_URL": made.store_url}
    subprocess.run([sys.executable, "-m", "sb_local.migrate"], env=environ, check=True, timeout=60)
    with running(tmp_path, engines, store=made.store_url) as services:
        sender = sent(services, messages, per_s=400, batch=40)
        sender.until(800)
        ballast = fill(data)
        filled = time.monotonic()
        until = filled + 60
        stalls = "sb_data_processing_football_store_stalls_total"
        while not services.metric("football", stalls):
            assert time.monotonic() < until, "nothing grew"
            time.sleep(0.1)
        stalled = time.monotonic()
        while not sender.retried:
            assert time.monotonic() - stalled < 5
            time.sleep(0.05)
        refused = services.http.post(
            f"{services.url(4000)}/v1/feeds/canonical", json=messages[0], headers={"content-type": "application/json"}
        )
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert services.ask("distribute", "/health").status_code == 200
        ballast.unlink()
        sender.finish()
        account = settled(services, NAMES, PORTS)
        check(services, account, whole(messages))
