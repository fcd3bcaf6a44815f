"""`sb doctor`: what is missing or misconfigured, and how to mend it.

The rule: it looks and changes nothing; every finding that is not well says what to do; exit 0 only if nothing is bad.
"""

import argparse
import http.client
import importlib.metadata
import json
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec
from msgspec import Struct

from sb_core import settings as settings_module
from sb_core.config import ConfigError
from sb_core.runtime import read_config
from sb_core.settings import PORTS, Settings, SettingsError
from sb_local import doctor_engines

PYTHON_MIN: Final = (3, 11)
FREE_BYTES_MIN: Final = 1024 * 1024 * 1024
ASK_DEADLINE_S: Final = 1.0
DISTRIBUTION: Final = "sportsbet-pipeline"

Verdict = Literal["ok", "warn", "bad"]


class Finding(Struct, frozen=True):
    """What one check found; `mend` is empty when there is nothing to do."""

    check: str
    verdict: Verdict
    detail: str
    mend: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Check everything and print it; exit 1 if anything is bad."""
    parser = argparse.ArgumentParser(prog="sb doctor", description="Says what is missing or misconfigured.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(argv).json
    findings = tuple(examine())
    well = all(finding.verdict != "bad" for finding in findings)
    if as_json:
        sys.stdout.write(msgspec.json.encode({"ok": well, "checks": findings}).decode() + "\n")
    else:
        for finding in findings:
            sys.stdout.write(f"{finding.verdict:<4}  {finding.check}: {finding.detail}\n")
            if finding.mend:
                sys.stdout.write(f"      {finding.mend}\n")
    return 0 if well else 1


def examine() -> Iterator[Finding]:
    """Run all checks; those that need settings are left out when the settings are wrong."""
    yield check_python()
    yield from check_dependencies()
    yield from check_variables()
    try:
        settings = settings_module.load()
    except SettingsError as error:
        yield Finding("settings", "bad", str(error), "correct the variable in the environment or in .env")
        return
    yield Finding("settings", "ok", f"log {settings_module.redacted(settings.log_url)}")
    checks: tuple[Callable[[Settings], Finding], ...] = (check_pipeline, check_data, check_space, check_files_limit)
    for check in checks:
        yield check(settings)
    yield from check_engines(settings)
    for service in PORTS:
        yield check_port(settings, service)


def check_python() -> Finding:
    """Check the interpreter's version."""
    have, least = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, PYTHON_MIN))
    if sys.version_info < PYTHON_MIN:
        return Finding("python", "bad", f"{have} is too old", f"install Python {least} or newer")
    return Finding("python", "ok", have)


def check_dependencies() -> Iterator[Finding]:
    """Check that every library the package asks for is installed; unknown from a bare source tree."""
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("installation", "warn", "runs from a source tree, not installed", "pip install -e .")
        return
    missing = []
    for requirement in wanted:
        name = requirement.split(";")[0].split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip()
        if "extra ==" in requirement:
            continue
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("installation", "bad", f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    else:
        yield Finding("installation", "ok", f"version {importlib.metadata.version(DISTRIBUTION)}")


def check_variables() -> Iterator[Finding]:
    """Look for SB_ variables that nothing reads."""
    try:
        strange = settings_module.unknown(os.environ, Path(".env"))
    except SettingsError as error:
        yield Finding("variables", "bad", str(error), "every line of .env is KEY=VALUE, a comment or empty")
        return
    for name in strange:
        yield Finding("variables", "warn", f"no setting is named {name}", "see the table of settings in the README")


def check_pipeline(settings: Settings) -> Finding:
    """Check pipeline.toml whole."""
    try:
        config = read_config(settings)
    except ConfigError as error:
        return Finding("pipeline", "bad", str(error), f"correct {settings.pipeline}")
    steps = ", ".join(step.name for step in config.steps()) or "none"
    return Finding("pipeline", "ok", f"sports configured: {', '.join(config.sports) or 'none'}; steps: {steps}")


def check_data(settings: Settings) -> Finding:
    """Check that the data folder is or can be made writable."""
    folder = Path(settings.data).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return Finding("data", "bad", f"{there} is not a folder", "remove it or set SB_DATA elsewhere")
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("data", "bad", f"{there} is not writable", "change its owner or set SB_DATA elsewhere")
    return Finding("data", "ok", f"{folder} {'is writable' if there == folder else 'can be made'}")


def check_space(settings: Settings) -> Finding:
    """Check that there is room for the embedded log and store."""
    folder = Path(settings.data).absolute()
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    detail = f"{free // (1024 * 1024)} MiB free"
    if free < FREE_BYTES_MIN:
        return Finding(
            "space", "warn", detail, f"make room, or set SB_DATA elsewhere: {FREE_BYTES_MIN} bytes are little"
        )
    return Finding("space", "ok", detail)


def check_files_limit(settings: Settings) -> Finding:
    """Check that the process may open as many files as connections are allowed."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.http_connections_max + settings.stream_connections_max + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        mend = f"ulimit -n {wanted}, or lower SB_STREAM_CONNECTIONS_MAX and SB_HTTP_CONNECTIONS_MAX"
        return Finding("open files", "warn", f"the limit is {soft}, connections may need {wanted}", mend)
    return Finding("open files", "ok", f"the limit is {soft}")


def check_engines(settings: Settings) -> Iterator[Finding]:
    """Check that engines behind a network answer, and hold what this code works with."""
    for name, wrong, where in anyio.run(doctor_engines.look, settings, backend="trio"):
        if not wrong:
            yield Finding(name, "ok", where)
        elif wrong.startswith("topics that are missing"):
            yield Finding(name, "warn", wrong, "sb topics create, or start any service")
        else:
            yield Finding(name, "bad", f"{where}: {wrong}", f"start it, correct {name}, or run what is named")


def check_port(settings: Settings, service: str) -> Finding:
    """Check that a service's port is free, or that the service itself is on it."""
    port, check = settings.port(service), f"port {settings.port(service)}"
    host = "127.0.0.1" if settings.bind == "localhost" else settings.bind.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        found = _service_on(port)
        if found and service.startswith(found):  # 4002 and 4003 are one service
            return Finding(check, "ok", f"{service} runs here")
        by = f"{found} runs here" if found else f"taken ({error.strerror})"
        return Finding(check, "bad", f"{service} can't have it: {by}", "stop that program, or set SB_PORT_OFFSET")
    return Finding(check, "ok", f"free for {service}")


def _service_on(port: int) -> str | None:
    """Ask who answers /health on a port; None when nobody says a service's name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_DEADLINE_S)
    try:
        connection.request("GET", "/health")
        body = json.loads(connection.getresponse().read(65_536))
        return str(body["service"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
