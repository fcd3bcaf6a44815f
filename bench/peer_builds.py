"""Peers made ready beside this Python: their files copied, what they need installed, programs built once.

The rule: a peer whose runtime or packages can't be had is left out with a word; it never fails a measurement.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.target import ROOT

SOURCE: Final = ROOT / "bench" / "peers"
INSTALL_S: Final = 300


class PeerError(Exception):
    """A peer can't be run here; says why."""


def built(name: str, *files: str) -> Path:
    """Build a program in Go; return its path. Raises PeerError."""
    if shutil.which("go") is None:
        raise PeerError("there is no Go here")
    folder = folder_of(name, *(f"{name}/{file}" for file in files))
    install(["go", "mod", "tidy"], folder)
    install(["go", "build", "-o", "peer", "."], folder)
    return folder / "peer"


def folder_of(name: str, *files: str) -> Path:
    """Return a folder of a peer's own, with its files in it."""
    folder = Path(sys.prefix) / "peers" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(SOURCE / file, folder)
    return folder


def install(command: list[str], folder: Path) -> None:
    """Run an installer there. Raises PeerError."""
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_S, check=True)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{command[0]} can't install what it needs: {error}") from error
