"""Sportradar's UOF XML: the feed's messages with their routing keys, fixtures as the REST interface gives them.

The rule: one message, one document. Before anything else come the market descriptions, which say the groups of markets.
Markets are written once for as long as they are kept; most documents are put together from what stands there already.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import msgspec
from msgspec import UNSET

from sb_core.messages import (
    Alive,
    AnyMessage,
    BetStop,
    Cancel,
    CancelRollback,
    Competition,
    Competitor,
    Fixture,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    ScoreChange,
    Settlement,
    SettlementRollback,
    SnapshotComplete,
)
from sb_core.sports import names
from sb_generator.kept import Kept
from sb_generator.speech import Spoken
from sb_generator.speech import uof_words as words
from sb_generator.speech.ids import event_number, number_of
from sb_generator.voice import PRE_MATCH

FEED: Final = "uof"
FRAGMENTS_MAX: Final = 65_536
ADVANTAGE: Final = 50
"""Their score of a game for whoever has the advantage."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UofSpeaker:
    """Speaks UOF; documents travel as capture lines, which carry each one's routing key."""

    provider = FEED
    content_type = "application/x-ndjson"
    session = False
    apart = False

    def __repr__(self) -> str:
        return "<UofSpeaker>"

    def begin(self, ms: int) -> list[Spoken]:
        """Describe the markets."""
        described = "".join(
            f'<market id="{each}" name={quoteattr(name)} groups="{"|".join(groups)}"/>'
            for each, (name, groups) in words.described().items()
        )
        return [Spoken(f'<market_descriptions response_code="OK">{described}</market_descriptions>'.encode(), ms)]

    def say(self, messages: Iterable[AnyMessage]) -> list[Spoken]:
        """Write messages, each a document with its key."""
        return [
            Spoken(_odds(each), each.ts, _key(each.producer, "odds_change", each.sport, each.event))
            if isinstance(each, Odds)
            else _spoken(each)
            for each in messages
        ]

    def pause(self, ms: int) -> list[Spoken]:  # noqa: ARG002  alives are the world's
        """Say nothing."""
        return []

    def again(self, ms: int) -> list[Spoken]:  # noqa: ARG002  the world's recovery says it
        """Say nothing."""
        return []

    def body(self, documents: Iterable[Spoken]) -> bytes:
        """Join documents as capture lines."""
        return b"\n".join([_line(each) for each in documents])


def _line(spoken: Spoken) -> bytes:
    body: object
    try:
        body = spoken.data.decode()
    except UnicodeDecodeError:
        body = {"b64": b64encode(spoken.data).decode()}
    return msgspec.json.encode({"t": spoken.ms, "provider": FEED, "key": spoken.key, "body": body})


def _spoken(message: AnyMessage) -> Spoken:
    kind, write = _WRITERS[type(message)]
    key = None
    if isinstance(message, Alive | SnapshotComplete):
        key = f"-.-.-.{kind}.-.-.-.-"
    elif not isinstance(message, Fixture):
        key = _key(message.producer, kind, message.sport, message.event)
    return Spoken(write(message).encode(), message.ts, key)


@lru_cache(maxsize=65_536)
def _key(producer: str, kind: str, sport: str, event: str) -> str:
    times = "pre.-" if producer == PRE_MATCH else "-.live"
    return f"hi.{times}.{kind}.{words.SPORTS[sport]}.sr:match.{event_number(event)}.-"


@lru_cache(maxsize=65_536)
def _event(event: str) -> str:
    return f"sr:match:{event_number(event)}"


def _head(message: AnyMessage) -> str:
    asked = f' request_id="{message.request}"' if message.request is not None else ""
    return f'event_id="{_event(message.event)}" product="{message.producer}" timestamp="{message.ts}"{asked}'


# markets


def _market(sport: str, market: MarketOdds) -> bytes:
    outcomes = () if market.outcomes is UNSET else market.outcomes
    inside = "".join(
        f'<outcome id="{words.outcome_id(sport, market.market, each.id)}"'
        f"{f' odds={quoteattr(each.odds)}' if each.odds else ''}"
        f' active="{int(each.active is not False)}"/>'
        for each in outcomes
    )
    status = words.MARKET_STATUSES["active" if market.status is UNSET else market.status]
    return f'<market {_named(sport, market.market, market.line)} status="{status}">{inside}</market>'.encode()


@lru_cache(maxsize=65_536)
def _named(sport: str, market: str, line: str) -> str:
    given = f' specifiers="{words.specifiers(line)}"' if line else ""
    return f'id="{words.market_id(sport, market)}"{given}'


_fragments: Final[Mapping[str, Kept[MarketOdds, bytes]]] = {
    sport: Kept(partial(_market, sport), FRAGMENTS_MAX) for sport in names() if sport in words.SPORTS
}


def _odds(message: Odds) -> bytes:
    kept = _fragments[message.sport]
    held, keep = kept.held.get, kept.keep
    markets = b"".join([(held(id(each)) or keep(each))[1] for each in message.markets])
    return b"<odds_change %b><odds>%b</odds></odds_change>" % (_head(message).encode(), markets)


def _stop(message: BetStop) -> str:
    groups = "|".join(message.groups) if message.groups else "all"
    return f'<bet_stop {_head(message)} groups="{groups}" market_status="{0 if message.status == "inactive" else -1}"/>'


def _settlement(message: Settlement) -> str:
    markets = "".join(_result(message.sport, each) for each in message.markets)
    certainty = 1 if message.certainty == "live" else 2
    return f'<bet_settlement {_head(message)} certainty="{certainty}"><outcomes>{markets}</outcomes></bet_settlement>'


def _result(sport: str, market: MarketResult) -> str:
    inside = "".join(
        f'<outcome id="{words.outcome_id(sport, market.market, each.id)}" {words.RESULTS[each.result]}'
        f"{f' dead_heat_factor={quoteattr(each.dead_heat)}' if each.dead_heat else ''}/>"
        for each in market.outcomes
    )
    return f"<market {_named(sport, market.market, market.line)}>{inside}</market>"


def _refs(sport: str, markets: Iterable[MarketRef], more: str = "") -> str:
    return "".join(f"<market {_named(sport, each.market, each.line)}{more}/>" for each in markets)


def _window(message: Cancel | CancelRollback) -> str:
    begin = "" if message.from_ is None else f' start_time="{message.from_}"'
    return begin + ("" if message.to is None else f' end_time="{message.to}"')


def _cancel(message: Cancel) -> str:
    reason = "" if message.reason is None else f" void_reason={quoteattr(message.reason)}"
    markets = _refs(message.sport, message.markets, reason)
    return f"<bet_cancel {_head(message)}{_window(message)}>{markets}</bet_cancel>"


def _rollback(message: SettlementRollback) -> str:
    return (
        f"<rollback_bet_settlement {_head(message)}>{_refs(message.sport, message.markets)}</rollback_bet_settlement>"
    )


def _uncancel(message: CancelRollback) -> str:
    markets = _refs(message.sport, message.markets)
    return f"<rollback_bet_cancel {_head(message)}{_window(message)}>{markets}</rollback_bet_cancel>"


# scores, fixtures, producers


def _score(message: ScoreChange) -> str:
    details = {} if message.details is UNSET else message.details
    said = [f'status="{words.STATUSES[message.status]}"'] if message.status is not UNSET else []
    said += [f'match_status="{words.PERIODS[message.period]}"'] if message.period in words.PERIODS else []
    said += [f'{side}_score="{getattr(message, side)}"' for side in ("home", "away")]
    games = [(side, details.get(f"game_{side}")) for side in ("home", "away")]
    said += [f'{side}_gamescore="{ADVANTAGE if points == "A" else points}"' for side, points in games if points]
    if "server" in details:
        said.append(f'current_server="{1 if details["server"] == "home" else 2}"')
    if "tie_break" in details:
        said.append(f'tiebreak="{str(details["tie_break"]).lower()}"')
    inside = _clock(message) + _periods(message) + _statistics(details)
    status = f"<sport_event_status {' '.join(said)}>{inside}</sport_event_status>"
    return f"<odds_change {_head(message)}>{status}</odds_change>"


def _clock(message: ScoreChange) -> str:
    clock = message.clock
    if clock is UNSET or clock is None:
        return ""
    times = {"match_time": clock.elapsed_s, "remaining_time": clock.remaining_s}
    said = "".join(f' {name}="{s // 60}:{s % 60:02d}"' for name, s in times.items() if s is not None)
    return f'<clock{said} stopped="{str(clock.stopped).lower()}"/>'


def _periods(message: ScoreChange) -> str:
    inside = "".join(
        f'<period_score match_status_code="{_stretch(each.type, each.number)}" number="{each.number}" '
        f'home_score="{each.home}" away_score="{each.away}"/>'
        for each in (() if message.periods is UNSET else message.periods)
    )
    return f"<period_scores>{inside}</period_scores>"


def _stretch(kind: str, number: int) -> str:
    codes = words.STRETCHES[kind]
    return codes[min(number, len(codes)) - 1]


def _statistics(details: Mapping[str, Any]) -> str:
    inside = "".join(
        f'<{each} home="{details[f"{each}_home"]}" away="{details[f"{each}_away"]}"/>'
        for each in words.COUNTED
        if f"{each}_home" in details
    )
    return f"<statistics>{inside}</statistics>" if inside else ""


def _fixture(message: Fixture) -> str:
    said = [f'id="{_event(message.event)}"']
    said += [f"name={quoteattr(message.name)}"] if isinstance(message.name, str) else []
    said += [f'start_time="{_date_time(message.start)}"'] if isinstance(message.start, int) else []
    said += [f'status="{message.status}"'] if message.status is not UNSET else []
    sport = f'<sport id="sr:sport:{words.SPORTS[message.sport]}"/>'
    inside = _tournament(message.competition) if isinstance(message.competition, Competition) else ""
    if isinstance(message.competitors, tuple):
        inside += f"<competitors>{''.join(map(_competitor, message.competitors))}</competitors>"
    generated = f'generated_at="{_date_time(message.ts)}"'
    return f"<fixtures_fixture {generated}><fixture {' '.join(said)}>{sport}{inside}</fixture></fixtures_fixture>"


def _tournament(competition: Competition) -> str:
    number = number_of(competition.id)
    category = f'<category id="sr:category:{number}" name={quoteattr(competition.category or "")}/>'
    return f'<tournament id="sr:tournament:{number}" name={quoteattr(competition.name or "")}>{category}</tournament>'


def _competitor(competitor: Competitor) -> str:
    players = "".join(
        f'<player id="{words.person(each.id)}" name={quoteattr(each.name or "")}/>' for each in competitor.players
    )
    inside = f"<players>{players}</players>" if players else ""
    said = f'id="{words.person(competitor.id)}" name={quoteattr(competitor.name or "")} qualifier="{competitor.side}"'
    return f"<competitor {said}>{inside}</competitor>"


def _date_time(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")


def _alive(message: Alive) -> str:
    return f'<alive product="{message.producer}" timestamp="{message.ts}" subscribed="{int(message.subscribed)}"/>'


def _complete(message: SnapshotComplete) -> str:
    return f'<snapshot_complete request_id="{message.request}" timestamp="{message.ts}" product="{message.producer}"/>'


def _odds_text(message: Odds) -> str:
    return _odds(message).decode()


_WRITERS: Final[Mapping[type, tuple[str, Callable[[Any], str]]]] = {
    Odds: ("odds_change", _odds_text),
    BetStop: ("bet_stop", _stop),
    ScoreChange: ("odds_change", _score),
    Settlement: ("bet_settlement", _settlement),
    Cancel: ("bet_cancel", _cancel),
    SettlementRollback: ("rollback_bet_settlement", _rollback),
    CancelRollback: ("rollback_bet_cancel", _uncancel),
    Fixture: ("fixture", _fixture),
    Alive: ("alive", _alive),
    SnapshotComplete: ("snapshot_complete", _complete),
}
