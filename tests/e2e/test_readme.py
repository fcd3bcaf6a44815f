"""The README is executed: its settings table is the real one, and its examples run against a running pipeline."""

import re
import subprocess
import sys

import pytest
from local_pipeline import ROOT, running

from sb_core import settings
from sb_local.cli import COMMANDS

README = (ROOT / "README.md").read_text()
PORT = re.compile(r"127\.0\.0\.1:(4\d{3})")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_settings_table_is_made_from_the_settings():
    table = README.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert table == settings.table(), "paste what sb_core.settings.table() gives"


def test_every_command_named_exists():
    named = set(re.findall(r"`sb ([a-z]+)", README))
    assert named <= {command.name for command in COMMANDS}


@pytest.mark.e2e
def test_the_examples_run(tmp_path):
    with running(tmp_path / "data", "--feed", "none") as pipeline:

        def shifted(text):
            return PORT.sub(lambda found: f"127.0.0.1:{int(found[1]) + pipeline.offset}", text)

        shell = [block for block in blocks("sh") if "curl" in block]
        assert len(shell) == 2
        for block in (shell[1], shell[0]):
            commands = re.split(r"\n(?=curl)", shifted(block).strip())
            for command in commands:
                done = subprocess.run(
                    ["bash", "-c", command.replace("curl -s", "curl -sS --fail")],
                    capture_output=True,
                    text=True,
                    timeout=20,
                    check=False,
                )
                assert done.returncode == 0, (command, done.stderr)
                assert done.stdout.startswith("{"), command
                if "participants?q=besiktas" in command:
                    assert "Beşiktaş" in done.stdout
                if "odds=fractional" in command:
                    assert "11/10" in done.stdout
        script = tmp_path / "follow.py"
        script.write_text(shifted(blocks("python")[0]))
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        assert "Fenerbahçe v Beşiktaş 2" in done.stdout
        assert "cursor" in done.stdout
