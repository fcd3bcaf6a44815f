"""The keys that steer the generator. Pure.

The rule: a key asks for what the generator's own port can do, and for nothing that depends on what was seen too long ago.
"""

from collections.abc import Callable

from sb_console.desk import Desk
from sb_console.requests import Patch, Request
from sb_console.ui import Effect, Send, Ui

Answer = tuple[Ui, tuple[Effect, ...]]


def steer(make: Callable[[Desk], Request | None]) -> Callable[[Ui, Desk], Answer]:
    """Make an action that asks for what `make` says."""

    def do(ui: Ui, desk: Desk) -> Answer:
        request = make(desk)
        if request is None:
            return ui.told("the generator does not answer", "warn"), ()
        return ui.told(f"asked: {getattr(request, 'command', '')}"), (Send(request),)

    return do


def times(factor: float) -> Callable[[Desk], Request | None]:
    """Multiply the rate."""

    def make(desk: Desk) -> Request | None:
        told = desk.snapshot.generator
        return None if told is None else Patch({"rate": round(told.rate * factor, 3)}, desk.generator_url)

    return make


def next_scenario(desk: Desk) -> Request | None:
    """Take the next scenario."""
    told = desk.snapshot.generator
    if told is None:
        return None
    names = list(told.scenarios) or [told.scenario]
    place = names.index(told.scenario) if told.scenario in names else -1
    return Patch({"scenario": names[(place + 1) % len(names)]}, desk.generator_url)
