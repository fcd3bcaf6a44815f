"""What an engine of the native stack is: the shape that Kafka, MySQL and Redis fill in, each in its own module.

The rule: an engine says what it needs, writes its configuration, and can be asked whether it serves; starting and
stopping is the same for all and no business of theirs. Everything it keeps lies in its own folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sb_local.stack_install import Need
from sb_local.stack_process import Command

CLEAN_ENVIRON: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
"""The environment that engines see: none of ours, for it may hold secrets."""


class Place(Struct, frozen=True):
    """Where an engine lives: its folder (absolute), its ports by name, and settings that replace or add to its own."""

    folder: Path
    ports: Mapping[str, int]
    settings: Mapping[str, str] = {}

    @property
    def data(self) -> Path:
        """The folder of what it stores; may be a mount point."""
        return self.folder / "data"


class Engine(Protocol):
    """One engine. `port_names[0]` is the port that clients use; deadlines are for being well, and for a clean end."""

    name: str
    port_names: tuple[str, ...]
    start_deadline_s: float
    stop_deadline_s: float

    def needs(self) -> tuple[Need, ...]:
        """Say which programs must be on the machine."""
        ...

    def fetch(self, *, install: bool) -> None:
        """Get what no package brings; raises MissingError."""
        ...

    def prepare(self, place: Place) -> Command:
        """Write the configuration, make the data folder where there is none, and say what to run; raises StackError."""
        ...

    def probe(self, port: int, deadline_s: float) -> str:
        """Ask whether it serves; return its version; raises OSError or NotServingError."""
        ...

    def url(self, port: int) -> str:
        """Return the URL for the setting that names it."""
        ...
