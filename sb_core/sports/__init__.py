"""The sports that the system has, and the checks that every canonical message passes.

To add a sport: write its module, which has a SPORT, and name it in _MODULES. Topics, catalogue and checks follow.
"""

import re
from importlib import import_module
from typing import Final

from sb_core.errors import ContractError
from sb_core.sports.catalogue import Limits, MarketType, Rules, Sport, rules_for
from sb_core.sports.checks import Checked, Problem, check
from sb_core.sports.lines import make_line, parse_line

__all__ = [
    "Checked",
    "Limits",
    "MarketType",
    "Problem",
    "Rules",
    "Sport",
    "check",
    "find",
    "get",
    "make_line",
    "names",
    "parse_line",
    "register",
    "rules_for",
]

_MODULES: Final = (
    "football",
    "basketball",
    "tennis",
    "hockey",
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_registry: Final[dict[str, Sport]] = {}


def register(sport: Sport) -> None:
    """Add a sport; raises ContractError when its name is taken or no part of a topic's name."""
    if sport.name in _registry or not _NAME.fullmatch(sport.name):
        raise ContractError(f"sport {sport.name!r} cannot be registered")
    _registry[sport.name] = sport


def get(name: str) -> Sport:
    """Return a sport; raises KeyError for one that is not registered."""
    return _registry[name]


def find(name: str) -> Sport | None:
    """Return a sport, or None."""
    return _registry.get(name)


def names() -> tuple[str, ...]:
    """Name the sports in order of registration."""
    return tuple(_registry)


for _module in _MODULES:
    register(import_module(f"{__name__}.{_module}").SPORT)
