"""What must be true while a world lives, judged by what was seen at the ports: staleness is told, silence closes.

The rule: limits are the product's own, with room for what the world does to it meanwhile.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio
from sim_clients import Application
from sim_oracle import Oracle

if TYPE_CHECKING:
    from sim_world import World

LOOK_S: Final = 0.5
TOLD_S: Final = 2.0
"""How long a node and its client may take to say that a picture is older than the limit."""
SILENT_S: Final = 30.0
"""After so long a silence the markets of a producer are closed: 20 s and whatever hindered the one who judges it."""


async def watch_staleness(world: "World", applications: Sequence[Application], sports: Sequence[str]) -> None:
    """See that clients are told of a picture that is older than the limit, for as long as this is let run."""
    well_s: dict[str, float] = {}
    last: dict[str, object] = {}
    moved_s: dict[str, tuple[int | None, float]] = {}
    patience_s = TOLD_S
    if world.shape.clocks_set:  # a node that starts with a wrong clock must see for itself that nothing comes
        patience_s += world.settings.lag_ms_max / 1000
    while True:
        await trio.sleep(LOOK_S)
        now_s, now_ms = trio.current_time(), world.clock.now_ms()
        for sport in sports:
            complete_to = world.oracle.complete_to(sport)
            if sport not in moved_s or moved_s[sport][0] != complete_to:
                moved_s[sport] = complete_to, now_s
        for application in applications:
            connection = application.connection
            other, last[application.name] = last.get(application.name) is not connection, connection
            if (
                connection is None
                or other
                or not (connection.well and application.reads and application.followed.synced)
            ):
                well_s[application.name] = now_s
                continue
            if now_s - well_s.setdefault(application.name, now_s) < patience_s:
                continue
            for sport in sports:
                complete_to, since_s = moved_s[sport]
                # times that wrong clocks wrote say little; that nothing came says enough
                age_ms = (now_s - since_s) * 1000 if world.shape.clocks_set else now_ms - (complete_to or 0)
                if complete_to is None or age_ms < world.settings.lag_ms_max + TOLD_S * 1000:
                    continue
                world.oracle.happened("stale_told")
                world.oracle.expect(
                    sport in application.followed.stale,
                    f"{application.name} takes {sport} for fresh, {age_ms:.0f} ms after the newest tick",
                )


def see_silence(oracle: Oracle, producer: str) -> None:
    """See that nothing of a producer that has been silent for SILENT_S is open."""
    oracle.happened("silence_judged")
    for event, versions in oracle.versions.items():
        if oracle.place_of(versions[-1]) in oracle.standing:
            continue  # its partition stopped itself: nothing is closed in it, and its sport is stale
        opened = [each.market for each in versions[-1].markets if each.open and each.producer == producer]
        oracle.expect(not opened, f"{event}: {opened} of {producer} are open after {SILENT_S:g} s of silence")
