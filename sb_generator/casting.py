"""Who plays whom, where and when: plans of events by chance, with names and ids that stay the same in every run. Pure."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct

from sb_core.messages import Competition, Competitor, Player, Side
from sb_generator.chance import Chance
from sb_generator.names import LEAGUES, MEN, WOMEN, League

PROVIDER: Final = "sim"
"""Of all simulated events, competitions and people."""

Fate: TypeAlias = Literal[
    "played",
    "delayed",
    "moved",
    "renamed",
    "postponed",
    "cancelled",
    "reinstated",
    "interrupted",
    "abandoned",
]

FATES: Final[tuple[tuple[Fate, float], ...]] = (
    ("played", 0.86),
    ("delayed", 0.03),
    ("moved", 0.02),
    ("renamed", 0.02),
    ("postponed", 0.02),
    ("cancelled", 0.01),
    ("reinstated", 0.01),
    ("interrupted", 0.02),
    ("abandoned", 0.01),
)
_BEFORE: Final = frozenset({"delayed", "moved", "renamed", "postponed", "cancelled", "reinstated"})
"""What befalls an event before it begins."""
T = TypeVar("T")
DELAY_MS: Final = (600_000, 2_400_000)
KICK_OFF_RASTER_MS: Final = 60_000
DRAWS_MAX: Final = 12


class Plan(Struct, frozen=True, kw_only=True):
    """What an event is, before anything of it has happened. Times in ms since 1970."""

    event: str
    kick_off: int
    name: str
    competition: Competition
    competitors: tuple[Competitor, ...]
    fate: Fate = "played"
    delay_ms: int = 0
    players: tuple[str, ...] = ()


def plan(
    event: str,
    sport: str,
    kick_off: int,
    chance: Chance,
    playing: AbstractSet[str],
    *,
    joined: bool = False,
    players: int = 0,
) -> Plan:
    """Draw an event of competitors that aren't `playing`, if they can be found.

    `joined`: it began in the past, so nothing befell it before. `players` are named of each side.
    """
    for _ in range(DRAWS_MAX):
        league = chance.one(LEAGUES[sport])
        competitors = _players(league, chance) if sport == "tennis" else _teams(sport, league, chance, players)
        if not any(each.id in playing for each in competitors):
            break
    fate = FATES[chance.weighted([weight for _, weight in FATES])][0]
    delay_ms = int(chance.between(*DELAY_MS)) // KICK_OFF_RASTER_MS * KICK_OFF_RASTER_MS
    return Plan(
        event=event,
        kick_off=kick_off,
        name=" vs ".join(str(each.name) for each in competitors),
        competition=Competition(id=_id("competition", sport, league.name), name=league.name, category=league.category),
        competitors=competitors,
        fate="played" if joined and fate in _BEFORE else fate,
        delay_ms=delay_ms,
        players=tuple(player.id for each in competitors for player in each.players) if players else (),
    )


def _id(kind: str, *names: str) -> str:
    digest = blake2b("|".join(names).encode(), digest_size=5).hexdigest()
    return f"{PROVIDER}:{kind}:{digest}"


def _two(names: Sequence[str], chance: Chance) -> tuple[str, str]:
    first = chance.below(len(names))
    second = (first + 1 + chance.below(len(names) - 1)) % len(names)
    return names[first], names[second]


def _teams(sport: str, league: League, chance: Chance, players: int) -> tuple[Competitor, ...]:
    home, away = _two(league.teams, chance)
    return tuple(
        Competitor(
            id=_id("competitor", sport, name),
            name=name,
            side=side,
            players=_squad(sport, name, players) if players else (),
        )
        for name, side in _sides((home, away))
    )


@lru_cache(maxsize=1_024)
def _squad(sport: str, team: str, players: int) -> tuple[Player, ...]:
    """Name a team's players, the same in every match."""
    chance = Chance(f"squad {sport} {team}")
    first = chance.below(len(MEN))
    names = [MEN[(first + 5 * number) % len(MEN)] for number in range(players)]
    return tuple(Player(id=_id("player", sport, team, name), name=name) for name in names)


def _players(league: League, chance: Chance) -> tuple[Competitor, ...]:
    names = WOMEN if "Women" in league.name else MEN
    if "Doubles" not in league.name:
        return tuple(
            Competitor(id=_id("competitor", "tennis", name), name=name, side=side)
            for name, side in _sides(_two(names, chance))
        )
    # four different ones: two from each half of the list
    middle = len(names) // 2
    firsts, seconds = _two(names[:middle], chance), _two(names[middle:], chance)
    return tuple(
        Competitor(
            id=_id("competitor", "tennis", *pair),
            name=" / ".join(pair),
            side=side,
            players=tuple(Player(id=_id("player", name), name=name) for name in pair),
        )
        for pair, side in _sides(tuple(zip(firsts, seconds, strict=True)))
    )


def _sides(both: tuple[T, ...]) -> tuple[tuple[T, Side], ...]:
    home, away = both
    return (home, "home"), (away, "away")
