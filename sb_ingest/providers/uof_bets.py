"""Markets of feed messages: prices and statuses, results, cancels, and their rollbacks.

The rule: a market that can't be read is refused alone; the others go on.

An odds_change may say that a market was settled (-3) or cancelled (-4). An odds message can't: the market's odds then
come as inactive, so that it is closed whatever happens to the rest, and a live settlement without results, or a cancel
without a window, says what the status says. Live, because the results come with a bet_settlement, which is confirmed or
newer.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from lxml import etree
from msgspec import UNSET

from sb_core.decimals import plain_decimal, shortest
from sb_core.errors import FeedError
from sb_core.messages import (
    AnyMessage,
    Cancel,
    Info,
    MarketOdds,
    MarketRef,
    MarketResult,
    Odds,
    OddsStatus,
    OutcomeOdds,
    OutcomeResult,
    Result,
    Settlement,
)
from sb_core.odds import SCALE, scaled
from sb_ingest.providers import Knowledge, Refusal
from sb_ingest.providers.uof_document import PROVIDER, Head, child, children, flag, required
from sb_ingest.providers.uof_markets import Identity, identify
from sb_ingest.providers.uof_reference import Names, is_participant
from sb_ingest.xml import local

SETTLED: Final = "-3"
CANCELLED: Final = "-4"

_STATUSES: Final[Mapping[str, OddsStatus]] = {
    "1": "active",
    "0": "inactive",
    "-1": "suspended",
    "-2": "handed_over",
    SETTLED: "inactive",
    CANCELLED: "inactive",
}
_RESULTS: Final[Mapping[tuple[str, str], Result]] = {
    ("1", "0"): "won",
    ("0", "0"): "lost",
    ("-1", "0"): "undecided",
    ("1", "0.5"): "half_won",
    ("0", "0.5"): "half_lost",
    ("1", "1"): "void",
    ("0", "1"): "void",
    ("-1", "1"): "void",
    ("", "1"): "void",
}
"""By result and void_factor, absent factors being 0."""

_NO_NUMBERS: Final = frozenset({"nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
_MARKET_INFO: Final = ("favourite", "cashout_status", "extended_specifiers")
_METADATA: Final = ("next_betstop", "start_time", "end_time", "aams_id")
_OUTCOME_INFO: Final = (
    "team",
    "win_probabilities",
    "lose_probabilities",
    "refund_probabilities",
    "half_win_probabilities",
    "half_lose_probabilities",
)

Piece = TypeVar("Piece")


class Reader:
    """Reads the markets of one event's message, and keeps what it had to refuse."""

    __slots__ = ("_head", "_knowledge", "refusals")

    def __init__(self, head: Head, knowledge: Knowledge) -> None:
        self._head = head
        self._knowledge = knowledge
        self.refusals: list[Refusal] = []

    def each(
        self, parent: etree._Element, read: Callable[[etree._Element, Identity, Names], Piece]
    ) -> list[tuple[etree._Element, Piece]]:
        """Read every market below an element, refusing those that can't be read."""
        found: list[tuple[etree._Element, Piece]] = []
        for element in parent:
            if local(element) != "market":
                continue
            identity: Identity | None = None
            try:
                market_id = required(element, "id")
                identity = identify(self._head.sport, market_id, element.get("specifiers", ""))
                found.append((element, read(element, identity, Names(market_id, identity.specifiers, self._knowledge))))
            except FeedError as error:
                named = (identity.market, identity.line) if identity is not None else ()
                self.refusals.append(self._head.refuse(error, *named))
        return found


def odds_messages(odds: etree._Element, head: Head, reader: Reader) -> list[AnyMessage]:
    """Turn an odds_change's markets into odds, and into what their statuses say beside."""
    found = reader.each(odds, market_odds)
    messages: list[AnyMessage] = []
    if found:
        messages.append(Odds(**head.fields(), markets=tuple(market for _, market in found)))
    settled = [market for element, market in found if element.get("status") == SETTLED]
    if settled:
        results = tuple(
            MarketResult(market=one.market, line=one.line, source=one.source, name=one.name, groups=one.groups)
            for one in settled
        )
        messages.append(Settlement(**head.fields(), certainty="live", markets=results))
    cancelled = [market for element, market in found if element.get("status") == CANCELLED]
    if cancelled:
        refs = tuple(
            MarketRef(market=one.market, line=one.line, source=one.source, name=one.name, groups=one.groups)
            for one in cancelled
        )
        messages.append(Cancel(**head.fields(), markets=refs))
    return messages


def market_odds(element: etree._Element, identity: Identity, names: Names) -> MarketOdds:
    """Read one market of an odds_change. Raises FeedError."""
    status = _STATUSES.get(element.get("status", "1"))
    if status is None:
        raise FeedError("schema", f"{element.get('status', '')[:40]!r} is no status of a market")
    outcomes = tuple(_outcome_odds(each, identity, names) for each in element if local(each) == "outcome")
    if not outcomes:
        return MarketOdds(**_described(element, identity, names), status=status)
    return MarketOdds(
        **_described(element, identity, names),
        status=status,
        outcomes=outcomes,
        complete=True,
        info=_market_info(element),
    )


def market_result(element: etree._Element, identity: Identity, names: Names) -> MarketResult:
    """Read one market of a bet_settlement. Raises FeedError."""
    outcomes = tuple(_outcome_result(each, identity, names) for each in children(element, "outcome"))
    if not outcomes:
        raise FeedError("schema", "a settled market has no outcomes")
    return MarketResult(**_described(element, identity, names), outcomes=outcomes)


def market_ref(element: etree._Element, identity: Identity, names: Names) -> MarketRef:
    """Read one market of a cancel or a rollback, whose outcomes say nothing."""
    return MarketRef(**_described(element, identity, names))


def _described(element: etree._Element, identity: Identity, names: Names) -> dict[str, Any]:
    return {
        "market": identity.market,
        "line": identity.line,
        "source": element.get("id"),
        "name": names.name,
        "groups": names.groups,
    }


def _outcome_id(element: etree._Element, identity: Identity) -> tuple[str, str]:
    """Return our id and the provider's."""
    source = required(element, "id")
    if identity.outcomes is None:
        return source, source
    ours = identity.outcomes.get(source)
    if ours is None:
        raise FeedError("bad_id", f"{identity.market} has no outcome {source[:40]!r}")
    return ours, source


def _outcome_odds(element: etree._Element, identity: Identity, names: Names) -> OutcomeOdds:
    outcome, source = _outcome_id(element, identity)
    active = flag(element, "active") is not False
    info: Info = {name: value for name in _OUTCOME_INFO if (value := element.get(name)) is not None}
    return OutcomeOdds(
        id=outcome,
        source=source,
        name=names.outcome(source),
        participant=f"{PROVIDER}:{source}" if is_participant(source) else UNSET,
        odds=_price(element.get("odds"), active=active),
        active=active,
        probability=_probability(element.get("probabilities")),
        info=info or UNSET,
    )


@lru_cache(maxsize=65_536)
def _price(text: str | None, *, active: bool) -> str | None:
    """Write odds as a plain decimal; None for an inactive outcome without a price. Raises FeedError `bad_odds`."""
    if text is not None and text.strip().lower() not in _NO_NUMBERS:
        number = plain_decimal(text)
        if not number.startswith("-") and scaled(number) > SCALE:
            return number
    if active:
        raise FeedError("bad_odds", f"an active outcome has odds {text[:40] if text is not None else None!r}")
    return None


@lru_cache(maxsize=16_384)
def _probability(text: str | None) -> str | None:
    """Write a probability as a plain decimal; None where it is none. Raises FeedError `bad_odds`."""
    if text is None or text.strip().lower() in _NO_NUMBERS:
        return None
    return plain_decimal(text)


def _market_info(element: etree._Element) -> Info:
    info: Info = {name: value for name in _MARKET_INFO if (value := element.get(name)) is not None}
    metadata = child(element, "market_metadata")
    if metadata is not None:
        info.update((name, value) for name in _METADATA if (value := metadata.get(name)) is not None)
    return info


def _outcome_result(element: etree._Element, identity: Identity, names: Names) -> OutcomeResult:
    outcome, source = _outcome_id(element, identity)
    factor = element.get("void_factor", "0")
    result = _RESULTS.get((element.get("result", ""), shortest(factor) or factor))
    if result is None:
        raise FeedError(
            "schema", f"result {element.get('result', '')[:40]!r} with void_factor {factor[:40]!r} means nothing"
        )
    return OutcomeResult(
        id=outcome,
        result=result,
        dead_heat=_dead_heat(element.get("dead_heat_factor")),
        source=source,
        name=names.outcome(source),
    )


def _dead_heat(text: str | None) -> str | None:
    """Return a dead heat's factor; None for 1, which is no dead heat. Raises FeedError `schema`."""
    if text is None:
        return None
    try:
        factor = shortest(plain_decimal(text))
    except FeedError as error:
        raise FeedError("schema", f"dead_heat_factor {text[:40]!r} is no number") from error
    return None if factor == "1" else factor
