"""Schemathesis on the OpenAPI document of a running node: all checks, no failure.

It has an environment of its own, which `make schemathesis` makes: its plugin has no place in our test runs.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest
from ports import free_offset

from bench import fanout

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("SB_TEST_SCHEMATHESIS", ROOT / ".venv" / "schemathesis" / "bin" / "schemathesis"))
PORTS = (4000, 4002, 4003)
GENERATE_S = 120
RUN_S = 600


@pytest.mark.slow
def test_no_check_fails(tmp_path):
    if not TOOL.exists():
        pytest.skip(f"no {TOOL}: `make schemathesis` installs it")
    with fanout.node(offset=free_offset(*PORTS)) as target:
        writer = fanout.Writer(4000 + target.offset)
        writer.begin()
        time.sleep(0.5)
        hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            [
                str(TOOL), f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
                "run", f"{target.url(4002)}/openapi.json", "--checks", "all", "--continue-on-failure",
                "--max-time", str(GENERATE_S), "--no-color",
            ],
            cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=RUN_S, check=False,
        )  # fmt: skip
        writer.close()
        assert done.returncode == 0, done.stdout[-6_000:]
        assert "Tested: 10" in " ".join(done.stdout.split()), done.stdout[-2_000:]
