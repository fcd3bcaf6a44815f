"""What the UOF tests share: a request's knowledge, and messages as the JSON that topics hold."""

from pathlib import Path
from typing import Any

import msgspec

from sb_core.messages import encode
from sb_ingest.providers import Normalised
from sb_ingest.providers.uof import Uof

KEY = "hi.-.live.odds_change.1.sr:match.42.-"


class Asked:
    """What a request knows and hints at."""

    received = 2_000_000_000_000

    def __init__(self, sport: str | None = None, key: str | None = None, known: dict[str, str] | None = None) -> None:
        self.sport_hint = sport
        self.routing_key = key
        self.known = known or {}
        self.learnt: dict[str, bytes] = {}

    def sport_of(self, event: str) -> str | None:
        return self.known.get(event)

    def reference(self, key: str) -> bytes | None:
        return self.learnt.get(key)

    def take(self, normalised: Normalised) -> None:
        """Remember what a document taught, as the shell does."""
        if normalised.learnt is not None:
            self.learnt.update(normalised.learnt.reference)


def read(document: Path | bytes | str, asked: Asked) -> Normalised:
    body = document.read_bytes() if isinstance(document, Path) else document
    return Uof().normalise(body.encode() if isinstance(body, str) else body, asked, None, "0")


def shown(normalised: Normalised) -> list[dict[str, Any]]:
    return [msgspec.json.decode(encode(message)) for message in normalised.messages]
