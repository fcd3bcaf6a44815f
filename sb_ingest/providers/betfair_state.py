"""What a Betfair session holds between messages: markets with their ladders, and what was said of their events.

The rule: everything here is frozen, and what changes is a new value that shares all that did not change. So the state
before a message stays usable when the log does not acknowledge what the message became.
"""

from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from sb_core.errors import FeedError
from sb_core.messages import Competitor, EventStatus, Side
from sb_ingest.providers.betfair_ladders import EMPTY, Runner, change_runner
from sb_ingest.providers.betfair_markets import Line, sides
from sb_ingest.providers.betfair_wire import MarketChange, MarketDefinition, RunnerDefinition, instant_ms, runner_source

MARKETS_HELD_MAX: Final = 20_000
"""Markets of one session; more are refused as `too_large`."""

Ended: TypeAlias = Literal["", "settled", "cancelled"]
DECIDED: Final = frozenset({"WINNER", "LOSER", "PLACED"})


class Held(Struct, frozen=True, kw_only=True):
    """A market of a sport that we have.

    `lines` are what it is to us, `places` its runners' line by source, `definitions` and `runners` by source. `pt` is the
    newest message's. `broken` says why its ladders can no longer be trusted: only an image mends that. `ended` is what we
    last said of its end.
    """

    source: str
    event: str
    sport: str
    definition: MarketDefinition
    definitions: dict[str, RunnerDefinition]
    lines: tuple[Line, ...]
    places: dict[str, int]
    runners: dict[str, Runner]
    pt: int
    broken: str = ""
    ended: Ended = ""


class Foreign(Struct, frozen=True, kw_only=True):
    """A market that is refused with every change: of a sport or a betting type that we do not have."""

    code: str
    message: str
    event: str
    sport: str | None = None
    line: Line | None = None


class EventFacts(Struct, frozen=True, kw_only=True):
    """What this session said of an event, the markets it has of it, and which source market holds which line."""

    sport: str
    name: str | None = None
    start: int | None = None
    status: EventStatus | None = None
    competitors: tuple[Competitor, ...] = ()
    sources: frozenset[str] = frozenset()
    claims: dict[tuple[str, str], str] = {}

    @property
    def shown(self) -> tuple[str | None, int | None, EventStatus | None, tuple[Competitor, ...]]:
        """What a fixture says."""
        return self.name, self.start, self.status, self.competitors


class Session(Struct, frozen=True, kw_only=True):
    """A session's state.

    `seq` counts messages of equal `pt` (`clk` tells a redelivered one), because equal content at an equal time would
    else be taken for a duplicate. After a loss (`images_only`) a market begins with an image, not with a definition.
    """

    markets: dict[str, Held | Foreign] = {}
    events: dict[str, EventFacts] = {}
    pt: int = 0
    clk: str | None = None
    seq: int = 0
    images_only: bool = False


def hold(
    held: Held | None,
    source: str,
    event: str,
    sport: str,
    definition: MarketDefinition,
    lines: tuple[Line, ...],
) -> Held:
    """Return a market with a new definition and the ladders it had (none: empty ones)."""
    definitions = {runner_source(runner.id, runner.hc): runner for runner in definition.runners}
    return Held(
        source=source,
        event=event,
        sport=sport,
        definition=definition,
        definitions=definitions,
        lines=lines,
        places={outcome.source: place for place, line in enumerate(lines) for outcome in line.outcomes},
        runners=held.runners if held else {},
        pt=held.pt if held else 0,
        broken=held.broken if held else "",
        ended=held.ended if held else "",
    )


def change_ladders(held: Held, change: MarketChange, pt: int) -> tuple[Held, dict[str, FeedError]]:
    """Apply a change's image and deltas; the second names, by runner, what in them is no offer.

    Raises FeedError `bad_id` for a runner that the definition lacks, `bad_odds` for a handicap that is no number.
    """
    runners = {} if change.img else dict(held.runners)
    problems: dict[str, FeedError] = {}
    for each in change.rc or ():
        source = runner_source(each.id, each.hc)
        if source not in held.places:
            raise FeedError("bad_id", f"market {held.source} has no runner {source}")
        runners[source], problem = change_runner(runners.get(source, EMPTY), each)
        if problem:
            problems[source] = problem
    return msgspec.structs.replace(held, runners=runners, pt=pt, broken="" if change.img else held.broken), problems


def named_places(held: Held, change: MarketChange) -> set[int]:
    """Return the places of the lines that a change names; one that names no runner means all of the market."""
    if change.img or change.definition or not change.rc:
        return set(range(len(held.lines)))
    named = (held.places.get(_source(each.id, each.hc)) for each in change.rc)
    return {place for place in named if place is not None}


def _source(runner: int | str, hc: Decimal | None) -> str:
    try:
        return runner_source(runner, hc)
    except FeedError:
        return ""


def learn_event(facts: EventFacts, source: str, definition: MarketDefinition) -> EventFacts:
    """Return what a definition adds to what is known of its event. Raises FeedError `bad_time`.

    `openDate` is the event's start (a market's own is `marketTime`, which stands in where the event's is missing). What a
    definition leaves out stays known: live definitions lack names that others had.
    """
    start = instant_ms(definition.open_date)
    if start is None:
        start = instant_ms(definition.market_time)
    return msgspec.structs.replace(
        facts,
        name=definition.event_name or facts.name,
        start=facts.start if start is None else start,
        status=_status(facts.status, definition),
        competitors=_competitors(facts.competitors, definition),
        sources=facts.sources | {source},
    )


def _status(known: EventStatus | None, definition: MarketDefinition) -> EventStatus | None:
    """Tell the event's status: live once any of its markets is in play; only an open market says not started."""
    if definition.status == "CLOSED":
        return known
    if definition.in_play:
        return "live"
    if definition.status == "OPEN" and known in {None, "ended"}:
        return "not_started"
    return known


def _competitors(known: tuple[Competitor, ...], definition: MarketDefinition) -> tuple[Competitor, ...]:
    runners = sides(definition)
    if not runners:
        return known
    names = {competitor.id: competitor.name for competitor in known}
    both: tuple[Side, ...] = ("home", "away")
    found = []
    for side, runner in zip(both, runners, strict=True):
        id_ = f"betfair:{runner.id}"
        found.append(Competitor(id=id_, name=runner.name or names.get(id_), side=side))
    return tuple(found)


def is_over(markets: list[Held]) -> bool:
    """Say whether an event is over: its winner market closed with a winner, and no other of its markets is still to close.

    `markets` are all that the session has of the event.
    """
    decided = any(
        held.definition.market_type == "MATCH_ODDS"
        and any(runner.status == "WINNER" for runner in held.definition.runners)
        for held in markets
    )
    return decided and all(held.definition.status == "CLOSED" for held in markets)
