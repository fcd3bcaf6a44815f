"""The keys that hold now: from the settings, or from a file that is looked at again, so that revoking needs no restart.

The rule: what can't be read changes nothing, and is said; a file that holds no keys any more lets nobody in.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sb_core.auth import AuthResult, Key, Keys
from sb_core.settings import Settings
from sb_core.telemetry import Telemetry

LOOK_S: Final = 1.0
"""How often the file is looked at, at most."""
FILE_BYTES_MAX: Final = 65_536
_NOBODY: Final = Keys((Key("nobody", b"", frozenset()),))


class KeyRing:
    """Keys that may change; asked like `Keys`. `version` rises with every change."""

    def __init__(
        self, keys: Keys, path: Path | None, telemetry: Telemetry, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.version = 0
        self._keys = keys
        self._path = path
        self._telemetry = telemetry
        self._now_s = now_s
        self._looked_s = now_s()
        self._stamp = None if path is None else _stamp(path)

    def __repr__(self) -> str:
        return f"<KeyRing {self._keys!r} version={self.version}>"

    @classmethod
    def of(cls, settings: Settings, telemetry: Telemetry) -> "KeyRing":
        """Begin with what the settings say. Raises ValueError for keys that can't be read."""
        path = Path(settings.api_keys_file) if settings.api_keys_file else None
        return cls(Keys.parse(settings.api_keys), path, telemetry)

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""
        self.look()
        return self._keys.open

    def check(self, presented: str | None, *scopes: str) -> AuthResult:
        """Judge a presented key, as Keys.check does."""
        self.look()
        return self._keys.check(presented, *scopes)

    def find(self, presented: str | None) -> Key | None:
        """Return the key that was presented."""
        return self._keys.find(presented)

    def look(self) -> None:
        """Look at the file again if that is due."""
        if self._path is None or self._now_s() - self._looked_s < LOOK_S:
            return
        self._looked_s = self._now_s()
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            with self._path.open("rb") as file:
                text = file.read(FILE_BYTES_MAX + 1)
            if len(text) > FILE_BYTES_MAX:
                raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
            keys = Keys.parse(text.decode())
        except (OSError, ValueError) as error:
            self._telemetry.error("keys_unreadable", detail=f"the keys stay as they were: {error}")
            return
        self._stamp = stamp
        self._keys = _NOBODY if keys.open else keys
        self.version += 1
        self._telemetry.info("keys_changed", keys=repr(self._keys))


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
