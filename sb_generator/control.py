"""What the generator is told to do, and how a command changes it. Pure.

    stopped --start--> running --pause--> paused --start--> running;  any --stop--> stopped

The rule: a command that changes nothing is no error, and a wrong one changes nothing.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType, structs

from sb_generator.faults import Rates, checked
from sb_generator.schedule import SCENARIOS
from sb_generator.speech.languages import LANGUAGES
from sb_generator.world import RATE_MAX, RATE_MIN

State: TypeAlias = Literal["running", "paused", "stopped"]
Command: TypeAlias = Literal["start", "pause", "stop"]

T = TypeVar("T")

RATE: Final = 50.0
SEED: Final = 1
SEED_MAX: Final = 2**53 - 1
SCENARIO: Final = "steady"
LANGUAGE: Final = "canonical"


class Controls(Struct, frozen=True, kw_only=True):
    """What is wanted. `rate` is in messages a second."""

    state: State = "stopped"
    rate: float = RATE
    seed: int = SEED
    scenario: str = SCENARIO
    faults: Rates = Rates()
    language: str = LANGUAGE


class Patch(Struct, frozen=True):
    """A change: absent leaves as it is, null goes back to the default."""

    rate: float | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    scenario: str | UnsetType | None = UNSET
    faults: Mapping[str, float] | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET


def commanded(controls: Controls, command: Command) -> Controls:
    """Apply a command."""
    if command == "start":
        return structs.replace(controls, state="running")
    if command == "pause":
        return controls if controls.state == "stopped" else structs.replace(controls, state="paused")
    return structs.replace(controls, state="stopped")


def patched(controls: Controls, patch: Patch) -> Controls:
    """Apply a change. Raises ValueError that says what is wrong."""
    rate = _given(patch.rate, RATE, controls.rate)
    if not RATE_MIN <= rate <= RATE_MAX:
        raise ValueError(f"rate must be from {RATE_MIN} to {RATE_MAX:.0f} messages a second")
    seed = _given(patch.seed, SEED, controls.seed)
    if not 0 <= seed <= SEED_MAX:
        raise ValueError(f"seed must be from 0 to {SEED_MAX}")
    scenario = _given(patch.scenario, SCENARIO, controls.scenario)
    if scenario not in SCENARIOS:
        raise ValueError(f"there is no scenario {scenario[:40]!r}; there are {', '.join(SCENARIOS)}")
    language = _given(patch.language, LANGUAGE, controls.language)
    if language not in LANGUAGES:
        raise ValueError(f"there is no language {language[:40]!r}; there are {', '.join(LANGUAGES)}")
    faults = controls.faults if patch.faults is UNSET else checked(patch.faults or {})
    return structs.replace(controls, rate=rate, seed=seed, scenario=scenario, faults=faults, language=language)


def _given(given: T | UnsetType | None, default: T, now: T) -> T:
    """Return what a change wants: absent stays, null is the default."""
    return now if isinstance(given, UnsetType) else default if given is None else given
