"""The operator's commands on engines that are not as this code needs them: a clear word, and exit 1."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.engines


@pytest.fixture
def environ(engines, tmp_path):
    """Point at engines whose database holds no schema yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    environ = kept | engines.environ(tmp_path)
    name = engines.database(tmp_path)
    engines.stack.mysql_tool("", "-e", f"DROP DATABASE {name}; CREATE DATABASE {name}")
    return environ | {"SB_DATA": str(tmp_path)}


def sb(environ, *arguments, given=""):
    command = [sys.executable, "-m", "sb_local.cli", *arguments]
    return subprocess.run(command, env=environ, input=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [(("lag",), ""), (("lineage", "raise", "--sport", "football", "--partition", "0"), "sports-feed-football/0\n")],
)
def test_an_empty_database_is_refused_in_one_line(environ, arguments, given):
    done = sb(environ, *arguments, given=given)
    assert done.returncode == 1
    assert "no schema yet" in done.stderr
    assert "sb migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_looks_at_engines(environ, engines, tmp_path):
    done = sb(environ, "doctor", "--json")
    found = {each["check"]: each for each in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert found["SB_STORE_URL"]["verdict"] == "bad"
    assert "no schema yet" in found["SB_STORE_URL"]["detail"]
    assert (found["SB_LOG_URL"]["verdict"], found["SB_CACHE_URL"]["verdict"]) == ("warn", "ok")
    engines.migrate(tmp_path)
    assert sb(environ, "topics", "create").returncode == 0
    done = sb(environ | {"SB_CACHE_URL": "redis://127.0.0.1:1/0"}, "doctor", "--json")
    found = {each["check"]: each for each in json.loads(done.stdout)["checks"]}
    assert [found[name]["verdict"] for name in ("SB_LOG_URL", "SB_STORE_URL", "SB_CACHE_URL")] == ["ok", "ok", "bad"]
    assert "sportsbet:sportsbet@" not in done.stdout, "no password"
