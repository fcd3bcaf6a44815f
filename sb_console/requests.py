"""What the console asks of its collectors' side; the answers come back as observations, like everything else.

The rule: a request that changes the system says which command line does the same (`command`), and is answered by `Acted`.
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct


class Follow(Struct, frozen=True):
    """Follow an event; None: no more."""

    event: str | None


class Filter(Struct, frozen=True):
    """Sample only updates for which this expression holds."""

    text: str


class ShowLetter(Struct, frozen=True):
    """Read one dead letter in full."""

    id: str


class Replay(Struct, frozen=True):
    """Send dead letters through the normaliser again, or say what would become of them."""

    ids: tuple[str, ...]
    dry_run: bool

    @property
    def command(self) -> str:
        """Return the equivalent command line."""
        return f"sb deadletters replay {'--dry-run ' if self.dry_run else ''}{' '.join(self.ids)}"


class Command(Struct, frozen=True):
    """Start, pause or stop the generator."""

    verb: str
    url: str

    @property
    def command(self) -> str:
        """Return the equivalent command line."""
        return f"curl -X POST {self.url}/v1/{self.verb}"


class Patch(Struct, frozen=True):
    """Change what the generator does."""

    changes: Mapping[str, object]
    url: str

    @property
    def command(self) -> str:
        """Return the equivalent command line."""
        import json  # noqa: PLC0415  only for the words of it

        return f"curl -X PATCH {self.url}/v1/state -d '{json.dumps(self.changes)}'"


class Trace(Struct, frozen=True):
    """Find the message that made a `rev` of an event (rev 0: its newest)."""

    event: str
    rev: int


Request: TypeAlias = Follow | Filter | ShowLetter | Replay | Command | Patch | Trace
