"""Autobahn's fuzzing client against the stream's connections: no case fails.

Left out are the cases about speed (9) and compression (12, 13), which is not offered.
It runs on CPython 2.7; `make autobahn` installs it where there is one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WSTEST = Path(os.environ.get("SB_TEST_WSTEST", ROOT / ".venv" / "autobahn" / "bin" / "wstest"))
CASES_MIN = 240
RUN_S = 300


@pytest.mark.slow
def test_no_case_fails(tmp_path):
    if not WSTEST.exists():
        pytest.skip(f"no {WSTEST}: `make autobahn` installs it, on a CPython 2.7")
    echo = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("echo_server.py"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        spec = {
            "outdir": str(tmp_path / "reports"),
            "servers": [{"agent": "sb", "url": f"ws://127.0.0.1:{int(echo.stdout.readline())}"}],
            "cases": ["*"],
            "exclude-cases": ["9.*", "12.*", "13.*"],
            "exclude-agent-cases": {},
        }
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        arguments = [str(WSTEST), "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
        subprocess.run(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, timeout=RUN_S, check=True)
        assert echo.poll() is None
    finally:
        echo.kill()
        echo.communicate()
    cases = json.loads((tmp_path / "reports" / "index.json").read_text())["sb"]
    assert len(cases) >= CASES_MIN
    behaved = {name: (case["behavior"], case["behaviorClose"]) for name, case in cases.items()}
    good = {"OK", "NON-STRICT", "INFORMATIONAL"}
    bad = {name: each for name, each in behaved.items() if each[0] not in good or each[1] not in good}
    assert not bad
