"""Keys on every port of a running pipeline, replaced and revoked while it runs; a follower is shut out, too."""

import time
from hashlib import sha256

import httpx
import pytest
from local_pipeline import running
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

ASKED = {
    4000: "/v1/account",
    4002: "/v1/sports",
    4003: "/v1/account",
    4004: "/v1/state",
    4101: "/metrics",
}
REVOKED_S = 5.0


def entry(key, scopes="read,operate"):
    return f"app:{sha256(key.encode()).hexdigest()}:{scopes}"


def statuses(pipeline, key):
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return {port: httpx.get(pipeline.url(port) + path, headers=headers).status_code for port, path in ASKED.items()}


def until(statuses_now, wanted):
    end = time.monotonic() + REVOKED_S
    while (now := statuses_now()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    assert now == wanted


@pytest.mark.e2e
def test_keys_are_replaced_and_revoked_without_a_restart(tmp_path):
    path = tmp_path / "keys"
    path.write_text(entry("first"))
    with running(tmp_path / "data", "--feed", "none", api_keys_file=path, api_key="first") as pipeline:
        assert set(statuses(pipeline, None).values()) == {401}
        assert set(statuses(pipeline, "wrong").values()) == {401}
        assert set(statuses(pipeline, "first").values()) == {200}
        assert all(httpx.get(pipeline.url(port) + "/health").status_code == 200 for port in ASKED)
        url = f"{pipeline.url(4003, 'ws')}/v1/stream"
        with connect(url, subprotocols=["sb.v1.json", "sb.key.first"]) as follower:
            assert '"hello"' in follower.recv()
            path.write_text(f"{entry('first')};{entry('second')}")
            until(lambda: statuses(pipeline, "second"), dict.fromkeys(ASKED, 200))
            assert set(statuses(pipeline, "first").values()) == {200}
            path.write_text(entry("second"))
            until(lambda: statuses(pipeline, "first"), dict.fromkeys(ASKED, 401))
            assert set(statuses(pipeline, "second").values()) == {200}
            with pytest.raises(ConnectionClosedError) as closed:
                list(follower)
            assert closed.value.rcvd.code == 4401
