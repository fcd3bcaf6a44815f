"""The README is executed: its settings table is the real one, and its examples run against a running pipeline."""

import os
import re
import shutil
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

        shell = [block for block in blocks("sh") if "curl -s" in block]
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
        plain, library = (executed(tmp_path / "follow.py", shifted(block)) for block in blocks("python"))
        assert "Fenerbahçe v Beşiktaş 2" in plain
        assert "cursor" in plain
        assert "Fenerbahçe v Beşiktaş 2 bet now: True" in library
        javascript(pipeline, tmp_path / "follow.js", shifted(blocks("js")[0]))


def executed(path, script):
    path.write_text(script)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def javascript(pipeline, path, script):
    """The page's script, which says more here: it follows a change, loses its connection, and resumes from its cursor."""
    node = shutil.which("node")
    version = int(subprocess.check_output([node, "--version"], text=True)[1:].partition(".")[0]) if node else 0
    if version < 20:
        assert os.environ.get("CI") != "true", "Node 20 or newer must be there"
        pytest.skip("no Node 20 or newer")
    path.write_text(
        script.replace("const said = JSON.parse(data);", "const said = JSON.parse(data); heard(said, socket);") + HEARD
    )
    flags = ["--experimental-websocket"] if version < 22 else []
    with subprocess.Popen([node, *flags, str(path)], stdout=subprocess.PIPE, text=True) as running_node:
        try:
            assert running_node.stdout.readline() == "Fenerbahçe v Beşiktaş 2\n"
            odds = {"type": "odds", "ts": 1780000000002, "event": "mine:1", "markets": [{"market": "1x2", "status": "active",
                    "outcomes": [{"id": "home", "odds": "2.20"}]}]}  # fmt: skip
            assert pipeline.http.post(f"{pipeline.url(4000)}/v1/feeds/canonical", json=odds).status_code == 202
            assert running_node.stdout.readline() == "changed 3 2.20\n"
            assert running_node.stdout.readline() == "again ring true\n"
            assert running_node.stdout.readline() == "Fenerbahçe v Beşiktaş 3\n"
        finally:
            running_node.kill()


HEARD = """
Math.random = () => 0.01;
let lost = false;
function heard(said, socket) {
  if (said.op === "subscribed" && lost) console.log("again", said.source, said.recovered);
  if (said.op === "updates") setImmediate(() => {
    const event = known.get("mine:1");
    console.log("changed", event.rev, event.markets[0].outcomes[0].odds);
    lost = true;
    socket.close();
  });
}
"""
