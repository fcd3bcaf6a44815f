"""Drives the real console without a terminal: Textual's Pilot, what is on the screen as text, and waiting for words."""

import asyncio
import time
from contextlib import asynccontextmanager

from textual import events

from sb_console.app import Canvas, Console
from sb_console.headless import SOURCES
from sb_console.paint import words

WAIT_S = 60.0


class Driven:
    """A console under a pilot."""

    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    @property
    def text(self):
        """What the canvas shows, read from the strips that Textual is given."""
        canvas = self.app.query_one(Canvas)
        return "\n".join(canvas.render_line(y).text for y in range(self.app.size.height))

    @property
    def painted(self):
        return "\n".join(words(line) for line in self.app.shown.lines)

    async def press(self, *keys):
        """Press keys; a text that names no key is typed, faster than the pilot would."""
        for key in keys:
            if key in NAMED or len(key) == 1:
                await self.pilot.press(key)
            else:
                for each in key:
                    self.app.on_key(events.Key(each, each))

    async def begun(self):
        """Wait until every source has answered: on a busy machine the verdict may be anything by then."""
        await self.until(lambda: len(self.app.live.sources) >= SOURCES and self.app.live.rows)

    async def until(self, found, wait_s=WAIT_S):
        """Wait until words are on the screen, or a question about the app is answered by yes."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if found in self.text if isinstance(found, str) else found():
                return
            await self.pilot.pause(0.05)
        raise AssertionError(f"not seen within {wait_s} s: {found}\n{self.text}")


NAMED = {"enter", "escape", "tab", "shift+tab", "space", "up", "down", "left", "right", "home", "end", "backspace"}


@asynccontextmanager
async def console(profile, recording=None, size=(120, 40)):
    app = Console(profile, recording)
    try:
        async with app.run_test(size=size) as pilot:
            yield Driven(app, pilot)
    finally:
        assert app.close(), "the collectors' thread did not end"


def drive(profile, work, recording=None, size=(120, 40), deadline_s=100.0):
    """Run `work(driven)` on a console."""

    async def main():
        async with asyncio.timeout(deadline_s), console(profile, recording, size) as driven:
            return await work(driven)

    return asyncio.run(main())
