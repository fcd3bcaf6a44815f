"""The console without a screen, as CI and cron use it: against a running pipeline, and against nothing at all."""

import json
import os
import subprocess
import sys

import pytest
from local_pipeline import PORTS, ROOT
from ports import free_offset

from sb_console import profiles
from sb_console.__main__ import main


def console(*arguments, env, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "sb_local.cli", "console", *arguments],
        env={**env, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def nothing(tmp_path):
    """The environment of a machine on which nothing is up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_")}
    return {**kept, "SB_DATA": str(tmp_path / "absent"), "SB_PORT_OFFSET": str(free_offset(*PORTS))}


@pytest.mark.e2e
def test_once_tells_a_running_pipeline(environ):
    for _ in range(5):  # on a machine that is busy with other tests it may take a moment
        done = console("--once", "--json", env=environ)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        if told["verdict"] == told["lag"]["verdict"] == "OK":
            break
    assert (told["verdict"], told["lag"]["verdict"]) == ("OK", "OK"), told["why"]
    assert (told["services"]["ok"], told["services"]["down"]) == (8, 0)
    assert len(told["lag"]["partitions"]) == 48
    assert told["stream"]["connected"]
    assert told["stream"]["events"] > 0
    assert {source["state"] for source in told["sources"].values()} == {"live"}
    assert told["generator"]["state"] == "running"
    assert told["stages"]["ingest"]["rate_in"] > 0


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("stream.connected and services.total == 8", 0),
        ("not stream.connected or services.total < 8", 1),
        ("lag.nothing = 1", 2),
    ],
)
def test_assert_answers_by_its_exit_code(environ, expression, code):
    done = console("--assert", expression, "--settle", "1", env=environ)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""


def test_nothing_is_up_and_nothing_is_made(nothing, tmp_path):
    done = console("--once", "--json", "--settle", "0", env=nothing, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "BAD"
    assert told["services"]["down"] == 8
    assert told["lag"]["verdict"] == "UNKNOWN"
    assert told["sources"]["positions"]["error"].startswith("there is no ")
    assert not told["stream"]["connected"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--assert", "lag.verdict =="), "ends where a value should be"),
        (("--profile", "nowhere"), "there is no profile 'nowhere'"),
        (("--profile", "mine"), "colour is one of"),
        (("--replay", "console.toml"), "is no recording"),
        (("--replay", "absent.sbrec"), "absent.sbrec"),
        ((), "no terminal here"),
    ],
)
def test_wrong_usage(arguments, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "console.toml").write_text('[profiles.mine]\ncolour = "pink"\n')
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_profile_wins_over_the_environment(tmp_path, monkeypatch):
    (tmp_path / "console.toml").write_text('[profiles.mine]\nSB_DATA = "elsewhere"\n[keys]\nfreeze = ["f5"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SB_DATA", "here")
    assert profiles.load("mine").settings.data == "elsewhere"
    assert profiles.load("mine").keys == {"freeze": ("f5",)}
    assert profiles.load("local").settings.data == "here"
    assert profiles.load("compose").settings.log_url.startswith("kafka://")
