"""The stack that tests share: what it says where it can't be had, and that it ends whatever becomes of the tests."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from native_stack import ended, up

from sb_local import stack
from sb_local.stack import MissingError, StackError
from sb_local.stack_probe import free

ROOT = Path(__file__).resolve().parents[2]
HOLDING = """
import sys, time
from pathlib import Path
from native_stack import ended, up
with ended(Path(sys.argv[1])):
    up(Path(sys.argv[1]), ("redis",))
    print("up", flush=True)
    time.sleep(600)
"""
GONE_S = 30


def lacking(error):
    def up(*_, **options):
        assert options["install"] is False, "tests install nothing by themselves"
        raise error

    return up


def test_what_is_missing_skips_and_fails_where_it_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "up", lacking(MissingError(["Java 17 or newer (java): not found"])))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"Java 17 or newer \(java\): not found") as skipped:
        up(tmp_path)
    assert "make stack" in str(skipped.value)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Java 17"):
        up(tmp_path)


def test_an_engine_that_does_not_start_is_no_reason_to_skip(tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "up", lacking(StackError("kafka ended")))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(StackError, match="kafka ended"):
        up(tmp_path)


def test_a_stack_ends_with_the_process_that_had_it_started(tmp_path):
    folder = tmp_path / "stack"
    with ended(folder):
        up(folder, ("redis",))  # or skip
    assert not folder.exists()
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = (sys.executable, "-c", HOLDING, str(folder))
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE) as holding:
        try:
            assert holding.stdout.readline() == b"up\n"
            (row,) = stack.status(folder)
            assert row.state == "running"
        finally:
            holding.kill()
    until = time.monotonic() + GONE_S
    while folder.exists() or not free(row.port):
        assert time.monotonic() < until
        time.sleep(0.05)
