"""`sb`: dispatch and exit codes, as a shell sees them; and doctor's findings."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sb_core import serving
from sb_core.auth import Keys
from sb_core.ops import Ops
from sb_core.runtime import SystemClock
from sb_core.telemetry import Telemetry
from sb_core.web import make_app, serve_http
from sb_local import cli, doctor
from sb_local.cli import COMMANDS, Command, main

ROOT = Path(__file__).resolve().parents[2]


def sb(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sb_local.cli", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Make a command whose module has the given source."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(source: str, name: str = "sb_made_up") -> Command:
        (tmp_path / f"{name}.py").write_text(source)
        return Command("made-up", name, "is made up")

    yield make
    sys.modules.pop("sb_made_up", None)


def test_the_commands_of_the_wire_contract_are_there():
    assert {each.name for each in COMMANDS} == {
        "local",
        "ingest",
        "process",
        "distribute",
        "generate",
        "replay",
        "record",
        "deadletters",
        "stack",
        "lag",
        "migrate",
        "topics",
        "doctor",
        "lineage",
        "console",
    }


@pytest.mark.parametrize("argument", ["--help", "-h", "help"])
def test_help_is_a_result(argument, capsys):
    assert main([argument]) == 0
    out, err = capsys.readouterr()
    assert all(f"  {each.name} " in out for each in COMMANDS)
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "usage: sb"), (["lokal"], "no command 'lokal'"), (["--wat"], "--wat")]
)
def test_wrong_usage_is_2_and_said_on_standard_error(arguments, words, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sb ")


def test_help_loads_no_service(tmp_path):
    begun = time.monotonic()
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from sb_local.cli import main; main(['--help']);"
                "print([m for m in sys.modules if m in ('trio', 'quart', 'hypercorn', 'sb_core.runtime')], file=sys.stderr)"
            ),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stderr == "[]\n"
    assert time.monotonic() - begun < 5


def test_a_command_gets_its_arguments_and_gives_its_code(command, capsys):
    made = command("def main(argv):\n    print(argv)\n    return 7\n")
    assert cli.run(made, ["a", "--b"]) == 7
    assert capsys.readouterr().out == "['a', '--b']\n"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import argparse\ndef main(argv):\n    argparse.ArgumentParser().parse_args(argv)\n", 2),
        ("import sys\ndef main(argv):\n    sys.exit()\n", 0),
        ("import sys\ndef main(argv):\n    sys.exit('why')\n", 1),
        ("def main(argv):\n    raise KeyboardInterrupt\n", 1),
    ],
)
def test_every_way_to_end_has_its_code(command, source, code, capsys):
    assert cli.run(command(source), ["--unknown"]) == code
    if code == 2:
        assert "--unknown" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["sb_not_there", "sb_not_there.deep.__main__", "sb_core.not_there"])
def test_a_command_that_is_not_built_says_so(module, capsys):
    assert cli.run(Command("future", module, ""), []) == 1
    assert capsys.readouterr().err == "sb future: not built yet\n"


def test_a_module_without_main_is_not_built(command, capsys):
    assert cli.run(command("x = 1\n"), []) == 1
    assert "not built yet" in capsys.readouterr().err


def test_a_missing_library_is_not_a_command_that_is_not_built(command):
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_missing"):
        cli.run(command("import a_library_that_is_missing\n"), [])


def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    answer = subprocess.run(
        f"{sys.executable} -m sb_local.cli doctor --json | true",
        shell=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SB_PORT_OFFSET": "5500"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in answer.stderr


def test_doctor_finds_a_healthy_machine_well_and_touches_nothing(tmp_path):
    answer = sb("doctor", "--json", cwd=tmp_path, SB_PORT_OFFSET="5500")
    assert answer.returncode == 0, answer.stdout
    body = json.loads(answer.stdout)
    assert body["ok"] is True
    assert {check["check"] for check in body["checks"]} >= {"python", "settings", "pipeline", "data", "port 9500"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "check", "words"),
    [
        ({"SB_RETENTION_DAYS": "never"}, "settings", "SB_RETENTION_DAYS"),
        ({"SB_DATA": "/dev/null/x"}, "data", "/dev/null is not a folder"),
        ({"SB_PIPELINE": "elsewhere.toml"}, "pipeline", "elsewhere.toml does not exist"),
    ],
)
def test_doctor_says_what_is_bad_and_how_to_mend_it(tmp_path, environ, check, words):
    answer = sb("doctor", "--json", cwd=tmp_path, **{"SB_PORT_OFFSET": "5500", **environ})
    assert answer.returncode == 1
    found = next(each for each in json.loads(answer.stdout)["checks"] if each["check"] == check)
    assert found["verdict"] == "bad"
    assert words in found["detail"]
    assert found["mend"] != ""


def test_doctor_speaks_to_people_too(tmp_path):
    (tmp_path / "pipeline.toml").write_text("[sports.football.rules]\nclok = false\n")
    answer = sb("doctor", cwd=tmp_path, SB_PORT_OFFSET="5500", SB_PROT_OFFSET="1")
    assert answer.returncode == 1
    assert "bad   pipeline: pipeline.toml: sports.football: football has no rule clok" in answer.stdout
    assert "warn  variables: no setting is named SB_PROT_OFFSET" in answer.stdout


def test_doctor_says_who_is_on_a_port():
    taken = serving.listen("127.0.0.1", 0)
    try:
        offset = taken.getsockname()[1] - 4000
        settings = doctor.Settings(port_offset=offset)
        assert doctor.check_port(settings, "feed-ingestion").verdict == "bad"
    finally:
        taken.close()
    assert doctor.check_port(settings, "feed-ingestion").verdict == "ok"


def test_doctor_knows_our_own_services(run):
    async def main():
        made = serving.listen("127.0.0.1", 0)
        settings = doctor.Settings(port_offset=made.getsockname()[1] - 4000)
        made.close()
        clock = SystemClock()
        ops = Ops("feed-ingestion", Telemetry("feed-ingestion", now_ms=clock.now_ms), clock)
        serve = partial(
            serve_http,
            make_app("feed-ingestion", ops, Keys()),
            bind="127.0.0.1",
            port=settings.port("feed-ingestion"),
            stop=anyio.Event(),
            body_bytes_max=1,
        )
        async with anyio.create_task_group() as group:
            await group.start(serve)
            found = await anyio.to_thread.run_sync(doctor.check_port, settings, "feed-ingestion")
            shifted = settings.changed(port_offset=settings.port_offset - 2)
            other = await anyio.to_thread.run_sync(doctor.check_port, shifted, "data-distribution")
            group.cancel_scope.cancel()
        assert (found.verdict, found.detail) == ("ok", "feed-ingestion runs here")
        assert (other.verdict, other.detail) == (
            "bad",
            "data-distribution can't have it: feed-ingestion runs here",
        )

    run(main)
