"""`python -m sb_console.picture RECORDING FILE.svg`: a screen of a recording as a picture, for the README.

The rule: the picture is the console's own screen, at the recording's end; nothing in it is drawn by hand.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from sb_console.app import Console
from sb_console.profiles import Profile
from sb_console.record import Recording
from sb_console.ui import Ui
from sb_core.settings import Settings


async def draw(recording: Recording, size: tuple[int, int], keys: Sequence[str]) -> str:
    """Return the SVG of a screen after some keys."""
    app = Console(Profile("local", "green", Settings()), recording, Ui())
    app.title = "sb console"
    async with app.run_test(size=size) as pilot:
        if app.player is not None:
            # as it was live at that moment, and not as a replay of it
            app.player.seek(app.player.last)
            app.live, app.player = app.player.snapshot, None
            app.ui = structs.replace(app.ui, replaying=False)
            app.held = None
        await pilot.press(*keys)
        await pilot.pause(0.3)
        # a picture fetches nothing from anywhere: who has no such font sees the next one
        return re.sub(r"@font-face\s*{[^}]*}", "", app.export_screenshot(simplify=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Draw."""
    parser = argparse.ArgumentParser(prog="python -m sb_console.picture", description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--keys", default="1", help="keys to press before, comma separated (default: 1)")
    parser.add_argument("--width", type=int, default=120)
    parser.add_argument("--height", type=int, default=34)
    arguments = parser.parse_args(argv)
    recording = Recording.read(arguments.recording)
    svg = asyncio.run(draw(recording, (arguments.width, arguments.height), arguments.keys.split(",")))
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    arguments.picture.write_text(svg, "utf-8")
    sys.stderr.write(f"{arguments.picture}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
