"""Keys from a file that is looked at again: revoked and replaced without a restart, never opened by a mistake."""

import os
from hashlib import sha256

import pytest

from sb_core.auth import Keys
from sb_core.keyring import LOOK_S, KeyRing
from sb_core.settings import load
from sb_core.telemetry import Telemetry


def entry(name, key, scopes="read"):
    return f"{name}:{sha256(key.encode()).hexdigest()}:{scopes}"


@pytest.fixture
def ring(tmp_path):
    """A ring over a file, a function that writes the file and one that lets time pass."""
    path, now = tmp_path / "keys", [0.0]
    path.write_text(entry("app", "old"))
    settings = load({"SB_API_KEYS_FILE": str(path)})
    telemetry = Telemetry("test", level="error", now_ms=lambda: 0)
    made = KeyRing(Keys.parse(settings.api_keys), path, telemetry, lambda: now[0])

    def write(text):
        path.write_text(text)
        os.utime(path, ns=(0, int(now[0] * 1e9) + 1))
        now[0] += LOOK_S

    made.write = write
    made.path = path
    return made


def test_a_key_is_replaced_in_two_steps(ring):
    assert ring.check("old", "read") == "ok"
    ring.write(f"{entry('app', 'old')};{entry('app', 'new')}")
    assert (ring.check("old", "read"), ring.check("new", "read")) == ("ok", "ok")
    ring.write(entry("app", "new"))
    assert (ring.check("old", "read"), ring.check("new", "read")) == (401, "ok")
    assert ring.version == 2


@pytest.mark.parametrize("text", ["nonsense", f"{entry('app', 'new')};x", "\udcff", "x" * 70_000])
def test_what_cannot_be_read_changes_nothing(ring, text):
    ring.path.write_bytes(text.encode("utf-8", "surrogateescape"))
    ring.write(text) if text.isascii() else os.utime(ring.path, ns=(0, 7))
    assert ring.check("old", "read") == "ok"
    assert ring.check("new", "read") == 401


def test_a_file_that_is_gone_changes_nothing(ring):
    ring.path.unlink()
    assert ring.check("old", "read") == "ok"


def test_an_emptied_file_opens_nothing(ring):
    ring.write("\n")
    assert not ring.open
    assert ring.check("old", "read") == 401
    assert ring.check(None, "read") == 401
    assert ring.check("", "read") == 401
    ring.write(entry("app", "again"))
    assert ring.check("again", "read") == "ok"


def test_keys_from_the_environment_stay():
    settings = load({"SB_API_KEYS": entry("app", "k", "operate")})
    ring = KeyRing.of(settings, Telemetry("test", level="error", now_ms=lambda: 0))
    assert ring.check("k", "read") == 403
    assert ring.version == 0
