"""`sb generate state|start|pause|stop|set`: speaks to a running generator over HTTP and prints its state."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from sb_core.settings import SettingsError, load
from sb_generator.faults import parse

VERBS: Final = ("state", "start", "pause", "stop", "set")
ANSWER_S: Final = 10.0


def tell(verb: str, changes: Mapping[str, Any], url: str | None, *, as_json: bool) -> int:
    """Send one command to the generator at `url` (default: this machine's) and print what it is doing then."""
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"sb generate: {error}\n")
        return EXIT_USAGE
    base = (url or f"http://{settings.bind}:{settings.port('feed-generator')}").rstrip("/")
    headers = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=ANSWER_S, trust_env=False) as client:
            if verb == "state":
                answer = client.get("/v1/state")
            elif verb == "set":
                answer = client.patch("/v1/state", json=dict(changes))
            else:
                answer = client.post(f"/v1/{verb}")
    except httpx.HTTPError as error:
        sys.stderr.write(f"sb generate: {base}: {type(error).__name__}: {error}\n")
        return EXIT_FAILED
    if answer.status_code != httpx.codes.OK:
        sys.stderr.write(f"sb generate: {answer.status_code}: {answer.text[:500]}\n")
        return EXIT_FAILED
    state: dict[str, Any] = msgspec.json.decode(answer.content)
    sys.stdout.write(f"{msgspec.json.encode(state).decode() if as_json else words(state)}\n")
    return EXIT_OK


def changes_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was named on the command line. Raises ValueError for faults that are none."""
    named = {name: getattr(arguments, name) for name in ("rate", "seed", "scenario", "language")}
    changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if arguments.faults is not None:
        changes["faults"] = msgspec.to_builtins(parse(arguments.faults))
    return changes


def words(state: Mapping[str, Any]) -> str:
    """Say a state in one line."""
    events = state["events"] or {}
    matches = ", ".join(f"{count} {phase}" for phase, count in events.items()) or "none"
    struck = ", ".join(f"{count} {name}" for name, count in state["struck"].items() if count) or "none"
    return (
        f"{state['state']}: {state['rate']:g}/s, seed {state['seed']}, {state['scenario']}, {state['language']}; "
        f"matches {matches}; {state['sent']} sent, {state['accepted']} accepted, {state['waiting']} waiting, "
        f"{state['late_ms']} ms late; faults {struck}"
    )
