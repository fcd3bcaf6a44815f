"""What the operator sees and does, as one frozen value beside the snapshot: screen, cursor, filters, prompt, write lock.

The rule: a key is an input and effects are the output (`press.py`), so that everything an operator can do is a table of
keys and states; the application around it only carries effects out. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, structs

from sb_console.requests import Request

Mode: TypeAlias = Literal["normal", "command", "filter", "confirm", "unlock", "help"]


class Send(Struct, frozen=True):
    """Ask the collectors' side."""

    request: Request


class Quit(Struct, frozen=True):
    """End."""


class Copy(Struct, frozen=True):
    """Put a text where the terminal's paste takes it from."""

    text: str


class Export(Struct, frozen=True):
    """Write rows to a file."""

    path: str
    text: str
    rows: int


class Seek(Struct, frozen=True):
    """Show another moment; None: now. `by_ms` is from the moment shown."""

    at: int | None = None
    by_ms: int | None = None


class Play(Struct, frozen=True):
    """Stop or go on: freezes a live screen, pauses a replay."""


class RecordTo(Struct, frozen=True):
    """Record to a file from now on."""

    path: str


Effect: TypeAlias = Send | Quit | Copy | Export | Seek | Play | RecordTo


class Confirm(Struct, frozen=True):
    """An action that waits for words to be typed."""

    question: str
    words: str
    request: Request


class Ui(Struct, frozen=True):
    """Everything that keys change. A view is a screen and what was drilled into there."""

    screen: str = "pulse"
    drills: Mapping[str, tuple[tuple[str, str], ...]] = {}
    cursors: Mapping[str, str] = {}
    offsets: Mapping[str, int] = {}
    sorts: Mapping[str, tuple[int, bool]] = {}
    filters: Mapping[str, str] = {}
    marks: tuple[str, ...] = ()
    raw: bool = False
    mode: Mode = "normal"
    typed: str = ""
    history: tuple[str, ...] = ()
    confirm: Confirm | None = None
    unlocked: bool = False
    message: str = ""
    level: str = "note"
    theme: str = "dark"
    plain: bool = False
    traced: str = ""
    frozen: bool = False
    replaying: bool = False
    width: int = 80
    height: int = 24

    @property
    def drill(self) -> tuple[tuple[str, str], ...]:
        """Return what was drilled into on this screen: (kind, key), outermost first."""
        return self.drills.get(self.screen, ())

    @property
    def view(self) -> str:
        """Name what is shown, for its cursor, sort and filter."""
        return ".".join((self.screen, *(kind for kind, _ in self.drill)))

    @property
    def filter(self) -> str:
        """Return the filter of this view."""
        return self.filters.get(self.view, "")

    def told(self, message: str, level: str = "note") -> "Ui":
        """Return this with words at the bottom."""
        return structs.replace(self, message=message, level=level)

    def into(self, kind: str, key: str) -> "Ui":
        """Return this one level deeper."""
        return structs.replace(self, drills={**self.drills, self.screen: (*self.drill, (kind, key))})

    def out(self) -> "Ui":
        """Return this one level up."""
        return structs.replace(self, drills={**self.drills, self.screen: self.drill[:-1]})

    def go(self, screen: str, drill: Sequence[tuple[str, str]] | None = None) -> "Ui":
        """Return this on another screen, as it was left there unless `drill` says otherwise."""
        drills = self.drills if drill is None else {**self.drills, screen: tuple(drill)}
        return structs.replace(self, screen=screen, drills=drills, message="")
