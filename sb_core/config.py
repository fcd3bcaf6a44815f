"""`pipeline.toml`: which markets and rules are on, whose word counts more, and steps of one's own.

The rule: the file is optional and everything in it is checked; a key that nobody knows is an error that names it,
because a misspelt rule would otherwise be off without anyone seeing it.

```toml
[providers]
precedence = ["uof", "betfair"]

[sports.football]
markets = ["1x2", "total"]       # left out: all

[sports.football.rules]
clock = false                    # off
markets_max = 400                # on, with a limit of its own

[[steps]]
name = "drop_friendlies"         # an entry point of the group sb.steps
sports = ["football"]            # left out: all
```
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct

from sb_core import sports as catalogue
from sb_core.errors import FeedError
from sb_core.messages import AnyMessage
from sb_core.topics import SPORTS

STEPS_GROUP: Final = "sb.steps"
STEPS_MAX: Final = 32
FILE_BYTES_MAX: Final = 1024 * 1024

RuleValue: TypeAlias = bool | int | str
"""False is off, True is on; a number or a decimal string is on, with that limit."""
StepResult: TypeAlias = AnyMessage | FeedError | None
"""The message to go on with, a refusal, or None: leave it out (counted as ignored)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.ASCII)


class ConfigError(ValueError):
    """Something in pipeline.toml is wrong; the message names the key."""


class Step(Struct, frozen=True):
    """A step of one's own: a plain synchronous callable from a message to a StepResult. No sports: all sports."""

    name: str
    sports: tuple[str, ...]
    apply: Callable[[AnyMessage], StepResult]


class SportConfig(Struct, frozen=True):
    """What one sport is set to; `markets` None means all."""

    markets: frozenset[str] | None = None
    rules: Mapping[str, RuleValue] = {}


class PipelineConfig(Struct, frozen=True):
    """The whole configuration; without a file everything is on."""

    sports: Mapping[str, SportConfig] = {}
    precedence: tuple[str, ...] = ()
    all_steps: tuple[Step, ...] = ()

    def market_enabled(self, sport: str, market: str) -> bool:
        """Say whether messages about a market of a sport go through."""
        enabled = self.sports.get(sport, _ALL_ON).markets
        return enabled is None or market in enabled

    def rules(self, sport: str) -> Mapping[str, RuleValue]:
        """Return what the file says of a sport's rules; a rule that isn't named is on with its own limit."""
        return self.sports.get(sport, _ALL_ON).rules

    def rule(self, sport: str, name: str) -> RuleValue:
        """Return one rule's setting; True when the file doesn't name it."""
        return self.rules(sport).get(name, True)

    def rank(self, provider: str) -> int:
        """Return a provider's precedence, 0 the first; those not named share the last."""
        return self.precedence.index(provider) if provider in self.precedence else len(self.precedence)

    def steps(self, sport: str | None = None) -> tuple[Step, ...]:
        """Return the steps in the file's order, all or those for one sport."""
        return tuple(step for step in self.all_steps if sport is None or not step.sports or sport in step.sports)


_ALL_ON: Final = SportConfig()


def load(path: Path, *, required: bool = False) -> PipelineConfig:
    """Read and check a file; a missing one is the default unless `required`. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path} does not exist (SB_PIPELINE)") from error
        return PipelineConfig()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        return parse(tomllib.loads(raw.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(document: Mapping[str, Any]) -> PipelineConfig:
    """Check a document and make the configuration. Raises ConfigError that names the key."""
    _known(document, "", ("sports", "providers", "steps"))
    sports = _table(document.get("sports", {}), "sports")
    _known(sports, "sports", SPORTS)
    providers = _table(document.get("providers", {}), "providers")
    _known(providers, "providers", ("precedence",))
    precedence = _names(providers.get("precedence", []), "providers.precedence")
    return PipelineConfig(
        {name: _sport(name, _table(value, f"sports.{name}"), f"sports.{name}") for name, value in sports.items()},
        precedence,
        _steps(document.get("steps", [])),
    )


def _sport(sport: str, table: Mapping[str, Any], where: str) -> SportConfig:
    _known(table, where, ("markets", "rules"))
    markets = frozenset(_names(table["markets"], f"{where}.markets")) if "markets" in table else None
    rules = _table(table.get("rules", {}), f"{where}.rules")
    for name, value in rules.items():
        if isinstance(value, float):
            raise ConfigError(f'{where}.rules.{name} is a binary fraction: write it as a string ("{value}")')
        if not isinstance(value, RuleValue):
            raise ConfigError(f"{where}.rules.{name} must be true, false, a number or a decimal string")
    try:
        catalogue.rules_for(catalogue.get(sport), rules, markets)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return SportConfig(markets, dict(rules))


def _steps(value: object) -> tuple[Step, ...]:
    if not isinstance(value, list) or len(value) > STEPS_MAX:
        raise ConfigError(f"steps must be at most {STEPS_MAX} tables [[steps]]")
    steps = []
    for number, each in enumerate(value):
        where = f"steps[{number}]"
        table = _table(each, where)
        _known(table, where, ("name", "sports"))
        name = table.get("name")
        if not isinstance(name, str):
            raise ConfigError(f"{where}.name is missing: an entry point of the group {STEPS_GROUP}")
        sports = _names(table.get("sports", []), f"{where}.sports")
        _known(dict.fromkeys(sports), f"{where}.sports", SPORTS)
        steps.append(Step(name, sports, _entry_point(name, where)))
    return tuple(steps)


def _entry_point(name: str, where: str) -> Callable[[AnyMessage], StepResult]:
    found = entry_points(group=STEPS_GROUP)
    if name not in found.names:
        offered = ", ".join(sorted(found.names)) or "none is installed"
        raise ConfigError(f"{where}.name: no entry point {name!r} in the group {STEPS_GROUP} ({offered})")
    try:
        step = found[name].load()
    except Exception as error:
        raise ConfigError(f"{where}: step {name!r} can't be loaded: {type(error).__name__}: {error}") from error
    if not callable(step):
        raise ConfigError(f"{where}: step {name!r} is not callable")
    loaded: Callable[[AnyMessage], StepResult] = step
    return loaded


def _known(table: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"unknown key {f'{where}.{key}' if where else key}: {hint}")


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a table")
    return value


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value):
        raise ConfigError(f"{where} must be a list of names")
    if len(set(value)) != len(value):
        raise ConfigError(f"{where} names something twice")
    return tuple(value)
