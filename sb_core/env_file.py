"""`.env`: settings in a file, read as shells and compose read it.

The rule: a line that is not KEY=VALUE is an error with its number, never skipped.
"""

import re
from pathlib import Path
from typing import Final


class SettingsError(ValueError):
    """A setting is missing, malformed or contradictory; the message names the variable and how to mend it."""


_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env_file(path: Path) -> dict[str, str]:
    r"""Read `KEY=VALUE` lines: comments, `export`, single and double quotes; a missing file is empty.

    Unquoted values end at ` #`; double quotes know \n, \" and \\. Raises SettingsError with the line's number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = _unquoted(match[2]) if match else None
        if match is None or value is None:
            raise SettingsError(f"{path} line {number}: not KEY=VALUE")
        if value:
            values[match[1]] = value
    return values


_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def _unquoted(text: str) -> str | None:
    if text[:1] == "'":
        match = re.fullmatch(r"'([^']*)'\s*(?:#.*)?", text)
        return match[1] if match else None
    if text[:1] == '"':
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', text)
        return re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), match[1]) if match else None
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
