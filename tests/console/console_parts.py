"""What the console's tests share: profiles of pipelines, recorded observations, frames as text."""

from pathlib import Path

import msgspec
import zstandard

from sb_console.actions import ACTIONS
from sb_console.frame import frame
from sb_console.observations import Observation
from sb_console.paint import words
from sb_console.profiles import Profile
from sb_console.record import fold
from sb_console.reduce import first
from sb_console.ui import Ui
from sb_core import settings as settings_module

OBSERVED = Path(__file__).with_name("observed.ndjson.zst")


def profile_of(data, offset, **environ):
    """Make the profile of a pipeline on `data` and these ports."""
    told = {"SB_DATA": str(data), "SB_PORT_OFFSET": str(offset), **environ}
    return Profile("local", "green", settings_module.load(told))


def observed():
    """Return the recorded observations (made by observe.py)."""
    lines = zstandard.ZstdDecompressor().decompress(OBSERVED.read_bytes(), max_output_size=2**28).split(b"\n")
    return [msgspec.json.decode(line, type=Observation) for line in lines]


def snapshot():
    """Return the snapshot that the recorded observations come to."""
    return fold(first("local"), observed())


def painted(held, moment="LIVE", **ui):
    """Return a frame's lines as text."""
    made = frame(held, Ui(**ui), ACTIONS, moment)
    return [words(line) for line in made.lines]
