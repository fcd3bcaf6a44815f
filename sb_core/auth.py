"""API keys: who may do what. Only digests of keys are configured, so that a leaked configuration opens nothing.

The rule: no keys configured means open; otherwise no or an unknown key is 401, a known key without the scope is 403.
Scopes are `feed:<provider>` (`feed:*` for all), `read` and `operate`; none implies another.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct

AuthResult: TypeAlias = Literal["ok", 401, 403]
KEYS_MAX: Final = 256
NAMESAKES_MAX: Final = 2
"""A client may have two keys at once: the one that is being replaced, and its successor."""
KEY_CHARS_MAX: Final = 512
"""A presented key beyond this is not even hashed."""
SUBPROTOCOL_PREFIX: Final = "sb.key."

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_SCOPE: Final = re.compile(r"read|operate|feed:(?:\*|[A-Za-z0-9_-]{1,64})", re.ASCII)


class Key(Struct, frozen=True):
    """One configured key: its holder's name, the SHA-256 of the key, and its scopes."""

    name: str
    digest: bytes
    scopes: frozenset[str]


class Keys(Struct, frozen=True):
    """All configured keys."""

    keys: tuple[Key, ...] = ()
    version: int = 0

    @classmethod
    def parse(cls, text: str) -> "Keys":
        """Read `name:sha256:scope,scope;…`; an empty text means open. Raises ValueError that names the entry."""
        entries = [entry.strip() for entry in text.split(";") if entry.strip()]
        if len(entries) > KEYS_MAX:
            raise ValueError(f"more than {KEYS_MAX} keys")
        keys = tuple(_parse_key(entry, number) for number, entry in enumerate(entries, start=1))
        names = [key.name for key in keys]
        for name in names:
            if names.count(name) > NAMESAKES_MAX:
                raise ValueError(f"more than {NAMESAKES_MAX} keys are named {name!r}")
        return cls(keys)

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""
        return not self.keys

    def check(self, presented: str | None, *scopes: str) -> AuthResult:
        """Judge a presented key (without "Bearer "): it must have one of `scopes`."""
        if self.open:
            return "ok"
        key = self.find(presented)
        if key is None:
            return 401
        return "ok" if any(_grants(key.scopes, scope) for scope in scopes) else 403

    def find(self, presented: str | None) -> Key | None:
        """Return the key that was presented, comparing digests in constant time."""
        if not presented or len(presented) > KEY_CHARS_MAX:
            return None
        digest = sha256(presented.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def __repr__(self) -> str:
        return f"<Keys {'open' if self.open else ' '.join(key.name for key in self.keys)}>"


class KeyCheck(Protocol):
    """Who judges keys: `Keys`, or whatever knows the keys that hold now."""

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""

    def check(self, presented: str | None, *scopes: str) -> AuthResult:
        """Judge a presented key: it must have one of `scopes`."""

    def find(self, presented: str | None) -> Key | None:
        """Return the key that was presented."""

    @property
    def version(self) -> int:
        """Say how often the keys have changed."""


def _parse_key(entry: str, number: int) -> Key:
    name, _, rest = entry.partition(":")
    digest, _, scopes_text = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError(f"entry {number} has no proper name (name:sha256:scope,scope)")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"the key of {name!r} is not a SHA-256 in 64 hex digits")
    scopes = [scope.strip() for scope in scopes_text.split(",") if scope.strip()]
    if not scopes:
        raise ValueError(f"{name!r} has no scopes")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise ValueError(f"{name!r} has the unknown scope {scope[:80]!r} (feed:<provider>, read, operate)")
    return Key(name, bytes.fromhex(digest), frozenset(scopes))


def _grants(scopes: frozenset[str], scope: str) -> bool:
    return scope in scopes or (scope.startswith("feed:") and "feed:*" in scopes)


def bearer(header: str | None) -> str | None:
    """Return the key of an `Authorization: Bearer <key>` header's value; None without one."""
    scheme, _, key = (header or "").strip().partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def subprotocol_key(offered: Iterable[str]) -> str | None:
    """Return the key among offered WebSocket subprotocols (`sb.key.<key>`); None without one."""
    for name in offered:
        if name.strip().startswith(SUBPROTOCOL_PREFIX):
            return name.strip().removeprefix(SUBPROTOCOL_PREFIX) or None
    return None
