"""The screen: Textual carries keys in and lines out; everything that is decided is decided by `press` and `frame`.

The rules: collectors never touch a widget; a beat takes what they saw, reduces it, and what changed is painted, at most
PAINTS_PER_S times a second, and after a key at once.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec import structs
from rich.segment import Segment
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from sb_console import paint, themes
from sb_console.actions import keymap
from sb_console.beside import Beside
from sb_console.collectors.run import base_url
from sb_console.desk import Desk
from sb_console.frame import Frame, frame
from sb_console.observations import Acted
from sb_console.player import Player
from sb_console.press import click, press, scroll
from sb_console.profiles import Profile
from sb_console.record import FileSink, Recorder, Recording, RecordingError
from sb_console.reduce import first, reduce
from sb_console.text import clock, plain, span
from sb_console.ui import Copy, Effect, Export, Play, Quit, RecordTo, Seek, Send, Ui

BEATS_PER_S: Final = 20
PAINTS_PER_S: Final = 5
FRAME_EMPTY: Final = Frame(lines=(), hits={}, page=1, tabs=())


class Canvas(Widget, can_focus=True, inherit_bindings=False):
    """The one widget: lines that were painted, repainted where they changed."""

    DEFAULT_CSS: ClassVar[str] = "Canvas { width: 100%; height: 100%; background: transparent; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[paint.Line, ...] = ()
        self._strips: list[Strip] = []
        self._looks: tuple[str, str, bool] = ("", "", False)

    def show(self, lines: tuple[paint.Line, ...], theme: str, colour: str, *, ascii_only: bool) -> None:
        """Take lines; those that changed are painted."""
        looks = (theme, colour, ascii_only)
        everything = looks != self._looks or len(lines) != len(self._lines)
        changed = [y for y, line in enumerate(lines) if everything or line != self._lines[y]]
        if everything:
            self._strips = [Strip.blank(0)] * len(lines)
        for y in changed:
            self._strips[y] = Strip(
                [
                    Segment(plain(text) if ascii_only else text, themes.style(theme, name, colour))
                    for text, name in lines[y]
                ]
            )
        self._lines, self._looks = lines, looks
        if everything:
            self.refresh()
        elif changed:
            width = self.size.width
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return a line."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002  Textual asks so
        """Fill the screen."""
        return container.width


class Console(App[int], inherit_bindings=False):
    """The application."""

    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False
    CSS: ClassVar[str] = "Screen { background: transparent; }"

    def __init__(self, profile: Profile, recording: Recording | None = None, ui: Ui | None = None) -> None:
        super().__init__()
        self.profile = profile
        self.ui = ui or Ui()
        self.live = first(profile.name, profile.settings.port_offset)
        self.beside = Beside(profile.settings) if recording is None else None
        self.past = recording or Recording()
        self.recorder = Recorder(self.past)
        self.player = Player(recording) if recording is not None else None
        self.held = None if recording is None else self.live
        self.shown: Frame = FRAME_EMPTY
        self.paints = 0
        self._actions = keymap(profile.keys)
        self._generator = base_url(profile.settings, "feed-generator")
        self._canvas = Canvas()
        self._paint_by_s = 0.0
        self._beat_s = time.monotonic()
        self._dirty = True
        self._files: list[FileSink] = []
        if self.player is not None:
            self.player.playing = True
            self.ui = structs.replace(self.ui, replaying=True)

    def compose(self) -> ComposeResult:
        """Put the canvas on the screen."""
        yield self._canvas

    def on_mount(self) -> None:
        """Begin."""
        self._canvas.focus()
        self._resized(self.size)
        self._paint()
        if self.beside is not None:
            self.beside.start()
        self.set_interval(1 / BEATS_PER_S, self._beat)

    # in

    @property
    def snapshot(self) -> Any:
        """Return the snapshot that is shown."""
        if self.player is not None:
            return self.player.snapshot
        return self.held or self.live

    def desk(self) -> Desk:
        """Return what keys are judged by."""
        return Desk(self.snapshot, self._actions, self.profile.name, self._generator, self.shown.page)

    def on_key(self, event: events.Key) -> None:
        """Take a key."""
        event.stop()
        event.prevent_default()
        self._answer(*press(self.ui, event.key, event.character, self.desk()))

    def on_click(self, event: events.Click) -> None:
        """Take a click: on a tab, or on a row."""
        if event.y == 1:
            for left, right, name in self.shown.tabs:
                if left <= event.x < right:
                    self._answer(self.ui.go(name), ())
        elif event.y in self.shown.hits:
            self._answer(*click(self.ui, self.shown.hits[event.y], self.desk()))

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        """Go down."""
        self._answer(*scroll(self.ui, 3, self.desk()))

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        """Go up."""
        self._answer(*scroll(self.ui, -3, self.desk()))

    def on_resize(self, event: events.Resize) -> None:
        """Take another size."""
        self._resized(event.size)

    def _resized(self, size: Size) -> None:
        if (size.width, size.height) != (self.ui.width, self.ui.height):
            self.ui = structs.replace(self.ui, width=size.width, height=size.height)
            self._paint()

    def _beat(self) -> None:
        """Take what was seen, and paint if it is time to."""
        now = time.monotonic()
        elapsed_ms = int((now - self._beat_s) * 1000)
        if elapsed_ms:
            self._beat_s += elapsed_ms / 1000
        if self.beside is not None:
            if self.beside.death is not None:
                self.exit(1, message=f"the collectors died: {self.beside.death!r}")
                return
            for observation in self.beside.drain():
                self.recorder.note(self.live, observation)
                self.live = reduce(self.live, observation)
                self._dirty = True
                if isinstance(observation, Acted):
                    level = "ok" if observation.ok else "bad"
                    self.ui = self.ui.told(f"{observation.action}: {observation.result}", level)
        if self.player is not None and self.player.playing:
            player = self.player
            self._try(lambda: player.advance(elapsed_ms))
            self._dirty = True
        if self.recorder.failed is not None:
            self.ui = self.ui.told(f"recording ended: {self.recorder.failed}", "bad")
            self.recorder.failed = None
        if self._dirty and now >= self._paint_by_s:
            # counted from when it was due: else each paint would be up to a beat later than the one before
            self._paint_by_s = max(self._paint_by_s, now - 1 / BEATS_PER_S) + 1 / PAINTS_PER_S
            self._paint()

    # out

    def _answer(self, ui: Ui, effects: tuple[Effect, ...]) -> None:
        self.ui = ui
        for effect in effects:
            self._do(effect)
        self._paint()

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Send):
            if self.beside is None:
                self.ui = self.ui.told("a recording answers no questions", "warn")
            elif not self.beside.ask(effect.request):
                self.ui = self.ui.told("the collectors have not begun yet", "warn")
        elif isinstance(effect, Quit):
            self.exit(0)
        elif isinstance(effect, Copy):
            self.copy_to_clipboard(effect.text)
        elif isinstance(effect, Export):
            self._try(lambda: self._write(effect))
        elif isinstance(effect, RecordTo):
            self._try(lambda: self._record(effect.path))
        elif isinstance(effect, Seek):
            self._try(lambda: self._seek(effect))
        elif isinstance(effect, Play):
            self._play()

    def _try(self, work: Any) -> None:
        try:
            work()
        except (OSError, RecordingError, ValueError) as error:
            self.ui = self.ui.told(str(error), "bad")

    def _write(self, effect: Export) -> None:
        path = Path(effect.path).expanduser()
        path.write_text(effect.text, "utf-8")
        self.ui = self.ui.told(f"{effect.rows} rows written to {path}", "ok")

    def _record(self, path: str) -> None:
        if self.beside is None:
            raise ValueError("this is a recording already")
        sink = FileSink(Path(path).expanduser())
        self._files.append(sink)
        self.recorder.add(sink)
        self.ui = self.ui.told(f"recording to {path}", "ok")

    def _seek(self, effect: Seek) -> None:
        if effect.at is None and effect.by_ms is None:
            if self.beside is None:
                if self.player is not None:
                    self.player.seek(self.player.last)
                return
            self.player = self.held = None
            self.ui = structs.replace(self.ui, replaying=False, frozen=False).told("live")
            return
        at = effect.at if effect.at is not None else self.snapshot.at + (effect.by_ms or 0)
        if self.player is None:
            self.player = Player(self.past, at, self.recorder.pending())
        else:
            self.player.seek(at)
        self.ui = structs.replace(self.ui, replaying=True, unlocked=False, frozen=False)

    def _play(self) -> None:
        if self.player is not None:
            self.player.playing = not self.player.playing
        else:
            self.held = self.live if self.held is None else None
            self.ui = structs.replace(self.ui, frozen=self.held is not None)

    def _moment(self) -> str:
        if self.player is not None:
            sign = "▶" if self.player.playing else "■"
            behind = (self.live.at or self.player.last) - self.player.at
            return f"REPLAY {sign} {clock(self.player.at)} -{span(max(0, behind) / 1000)}"
        return f"FROZEN {clock(self.held.at)}" if self.held is not None else "LIVE"

    def _paint(self) -> None:
        self._dirty = False
        self.shown = frame(self.snapshot, self.ui, self._actions, self._moment())
        self.paints += 1
        self._canvas.show(self.shown.lines, self.ui.theme, self.profile.colour, ascii_only=self.ui.plain)

    def close(self) -> bool:
        """End the collectors and the recordings; False if something did not end."""
        ended = self.beside is None or self.beside.close()
        self.recorder.flush()
        for sink in self._files:
            sink.close()
        return ended


def run_app(profile: Profile, recording: Recording | None, *, theme: str, plain_text: bool) -> int:
    """Run the console on this terminal; return its exit code. Raises SettingsError for keys that are none."""
    app = Console(profile, recording, Ui(theme=theme, plain=plain_text))

    async def main() -> int:
        try:
            return await app.run_async() or 0
        finally:
            app.close()

    return asyncio.run(main())
