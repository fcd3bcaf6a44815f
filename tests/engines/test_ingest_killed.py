"""Two ingest nodes on real Kafka; the one that owns producers' liveness is killed: no producer flaps, and none goes unjudged."""

import json
import time

import httpx
import pytest
from services import Services

pytestmark = [pytest.mark.engines, pytest.mark.slow]

KEPT_ALIVE_S = 45
"""Longer than a dead member keeps its partitions and a producer may be silent, together."""
TAKEOVER_S = 60


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path / "services", ("ingest", "ingest2", "football", "distribute")).start()
    yield made
    made.kill()


def alive(services, names):
    """Have whichever node answers take an alive, as providers' clients do."""
    body = json.dumps({"type": "alive", "provider": "acme", "producer": "1", "ts": int(time.time() * 1000)})
    for name in names:
        try:
            url = services.base(name) + "/v1/feeds/canonical"
            answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=10)
        except httpx.TransportError:
            continue
        if answer.status_code == 202:
            return
    raise AssertionError("no node took it")


def changes(services, name):
    return [json.loads(each)["state"] for each in services.logged(name, "producer")]


def owner_of(services, names):
    found = [each for each in names if services.metric(each, "sb_feed_ingestion_liveness_owner_state")]
    return found[0] if found else None


def kept_alive(services, names, seconds, *, stop=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop():
        alive(services, names)
        time.sleep(1)


def test_a_killed_owner_is_no_outage(services):
    names = ["ingest", "ingest2"]
    kept_alive(services, names, TAKEOVER_S, stop=lambda: any(changes(services, each) for each in names))
    owner = owner_of(services, names)
    other = next(each for each in names if each != owner)
    services.kill_one(owner)
    kept_alive(services, [other], KEPT_ALIVE_S)
    kept_alive(services, [other], TAKEOVER_S, stop=lambda: owner_of(services, [other]))
    assert owner_of(services, [other]) == other
    assert changes(services, owner) + changes(services, other) == ["up"]
    # ... and the one that is left judges
    end = time.monotonic() + 40
    while changes(services, other) != ["down"]:
        assert time.monotonic() < end, "never judged"
        time.sleep(0.5)
