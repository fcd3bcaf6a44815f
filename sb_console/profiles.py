"""Profiles: which pipeline the console looks at, in what colour; and keys, where an operator wants others.

    # console.toml, all of it optional
    [profiles.production]
    colour = "red"
    SB_INGEST_URL = "https://ingest.example"

    [keys]
    freeze = ["space", "f5"]

The rule: what console.toml says of a profile wins over the environment, which wins over the built-in profiles: a console
that says "production" must never look at anything else by a variable left over in a shell.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from sb_core import settings as settings_module
from sb_core.env_file import read_env_file
from sb_core.settings import PREFIX, SETTINGS, Settings, SettingsError

FILE: Final = "console.toml"
LOCAL: Final = "local"
COLOURS: Final = ("green", "blue", "yellow", "magenta", "cyan", "red")
BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = {
    LOCAL: {"colour": "green"},
    "compose": {
        "colour": "blue",
        "SB_LOG_URL": "kafka://127.0.0.1:9092",
        "SB_STORE_URL": "mysql://sportsbet:sportsbet@127.0.0.1:3307/sportsbet",
        "SB_CACHE_URL": "redis://127.0.0.1:6379/0",
    },
}


class Profile(Struct, frozen=True):
    """A pipeline to look at."""

    name: str
    colour: str
    settings: Settings
    keys: Mapping[str, Sequence[str]] = {}


def load(name: str, path: Path | None = None) -> Profile:
    """Read a profile. Raises SettingsError for what is wrong in words."""
    told = _read(path)
    profiles = told.get("profiles", {})
    if name not in BUILT_IN and name not in profiles:
        known = ", ".join(sorted({*BUILT_IN, *profiles}))
        raise SettingsError(f"there is no profile {name!r}; there are {known}")
    ours = _checked(name, profiles.get(name, {}))
    built_in = BUILT_IN.get(name, {})
    environ = {**read_env_file(Path(".env")), **{key: value for key, value in os.environ.items() if value}}
    merged = {**built_in, **environ, **ours}
    for key in ours:
        # a secret that a profile names itself is not to be read from another file as well
        merged.pop(f"{key}_FILE", None)
    colour = ours.get("colour") or built_in.get("colour") or COLOURS[0]
    if colour not in COLOURS:
        raise SettingsError(f"profile {name}: colour is one of {', '.join(COLOURS)}")
    return Profile(name, colour, settings_module.load(merged), _keys(told.get("keys", {})))


def _read(path: Path | None) -> dict[str, dict[str, dict[str, str]]]:
    try:
        return tomllib.loads((path or Path(FILE)).read_text("utf-8"))
    except FileNotFoundError as error:
        if path is None:
            return {}
        raise SettingsError(f"there is no {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path or FILE}: {error}") from error


def _checked(name: str, values: Mapping[str, object]) -> dict[str, str]:
    known = {"colour", *(each.env for each in SETTINGS), *(f"{each.env}_FILE" for each in SETTINGS if each.secret)}
    for key in values:
        if key not in known:
            raise SettingsError(f"profile {name}: {key} is neither colour nor a setting {PREFIX}…")
    return {key: str(value) for key, value in values.items()}


def _keys(values: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    made: dict[str, tuple[str, ...]] = {}
    for action, keys in values.items():
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise SettingsError(f"[keys] {action} is a list of keys")
        made[action] = tuple(keys)
    return made
