"""Betfair input that nobody foresaw: nothing but FeedError is raised, and ladders equal the plainest fold."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from betfair_driver import Feed, Knowing, change, closed, definition, handicap, handicap_runners, of
from hypothesis import given
from hypothesis import strategies as st

from sb_core.errors import FeedError
from sb_core.messages import Odds, encode
from sb_core.sports import check, get
from sb_ingest.providers import Normalised
from sb_ingest.providers.betfair import BetfairNormaliser

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "sNaN", "-Infinity", "1e999999", "mcm", "CLOSED", "2026-01-01", "\ud800", "1" * 5_000])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)

SEEDS: list[dict[str, Any]] = [
    {"op": "mcm", "pt": 1_700_000_000_000, "clk": "a", "mc": [change([{"id": 11, "atb": [[2, 10], [1.9, 5]], "ltp": 2, "tv": 4}], md=definition(), img=True)]},
    {"op": "mcm", "pt": 1_700_000_001_000, "clk": "b", "mc": [change([{"id": 11, "hc": -0.5, "batb": [[0, 2, 10]]}], id="1.2", md=handicap())]},
    {"op": "mcm", "pt": 1_700_000_002_000, "clk": "c", "mc": [change([{"id": 22, "atl": [[2, 10]]}], con=True), change([{"id": 22, "hc": 0.5, "batl": [[0, 3, 1]]}], id="1.2")]},
    {"op": "mcm", "pt": 1_700_000_003_000, "clk": "d", "mc": [change(md=closed("WINNER", "LOSER", "REMOVED")), change(id="1.2", md=handicap(runners=handicap_runners(0)))]},
    {"op": "mcm", "pt": 1_700_000_004_000, "status": 503},
    {"op": "status", "statusCode": "FAILURE", "connectionClosed": True},
]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in inner for path in paths(each, (*at, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    """Draw the seeds in an order of their own, each with some of its values replaced by anything."""
    docs = []
    for seed in draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=6)):
        document: Any = seed
        for _ in range(draw(st.integers(0, 2))):
            document = replaced(document, draw(st.sampled_from(paths(document))), draw(VALUES))
        docs.append(json.dumps(document).encode())
    return docs


def sound(result: Normalised) -> None:
    for message in result.messages:
        encode(message)
        check(message, get(message.sport))
        assert message.event.startswith("betfair:")
    for refusal in result.refusals:
        FeedError(refusal.code, refusal.message)
        assert (refusal.market is None) == (refusal.line is None)
        assert refusal.raw


@given(sessions())
def test_mutated_messages_raise_nothing_but_feed_errors_and_leave_the_state_before_alone(docs: list[bytes]) -> None:
    normaliser, session = BetfairNormaliser(), None
    for document in docs:
        story = repr(session)
        try:
            result = normaliser.normalise(document, Knowing(), session, "0")
        except FeedError:
            assert repr(session) == story
            continue
        assert repr(session) == story
        sound(result)
        session = result.session


@given(VALUES)
def test_any_json_raises_nothing_but_feed_errors(value: Any) -> None:
    for document in (value, {"op": "mcm", "pt": 1, "mc": value}, {"op": "mcm", "pt": 1, "mc": [value]}):
        with contextlib.suppress(FeedError):
            sound(BetfairNormaliser().normalise(json.dumps(document).encode(), Knowing(), None, "0"))


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_feed_errors(document: bytes) -> None:
    with pytest.raises(FeedError):
        BetfairNormaliser().normalise(document, Knowing(), None, "0")


LEVELS = st.lists(
    st.tuples(st.integers(101, 120).map(lambda cents: cents / 100), st.sampled_from([0, 0, 1, 2.5])), max_size=4
)
STEPS = st.lists(st.tuples(st.sampled_from([11, 22]), LEVELS, LEVELS, st.booleans()), max_size=12)


@given(STEPS)
def test_ladders_equal_the_plainest_fold(steps: list[tuple[int, list[Any], list[Any], bool]]) -> None:
    feed = Feed()
    feed.send(change(md=definition()))
    plain: dict[tuple[int, str], dict[float, float]] = {}
    for runner, atb, atl, img in steps:
        message = of(feed.send(change([{"id": runner, "atb": atb, "atl": atl}], img=img)), Odds)
        if img:
            plain.clear()
        for side, levels in (("atb", atb), ("atl", atl)):
            ladder = plain.setdefault((runner, side), {})
            for price, size in levels:
                ladder[price] = size
                if not size:
                    del ladder[price]
        for outcome in message.markets[0].outcomes:
            backs, lays = (plain.get((int(outcome.source), side)) for side in ("atb", "atl"))
            back, lay = max(backs) if backs else None, min(lays) if lays else None
            shown = [outcome.odds, outcome.size, outcome.info["lay"], outcome.info["lay_size"]]
            expected = [back, backs[back] if backs else None, lay, lays[lay] if lays else None]
            assert [each and Decimal(each) for each in shown] == [each and Decimal(str(each)) for each in expected]
