"""Canonical messages: the round trip, absent against null, and digests."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from sb_core import messages as m

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
INTEGER = st.integers(-(2**63) + 1, 2**63 - 1)
INFO = st.dictionaries(TEXT, st.none() | TEXT | INTEGER | st.booleans(), max_size=3)


def maybe(strategy):
    return st.just(UNSET) | st.none() | strategy


def unset_or(strategy):
    return st.just(UNSET) | strategy


def some(strategy):
    return st.lists(strategy, max_size=3).map(tuple)


def of(cls, **fields):
    return st.builds(cls, **fields)


OUTCOME_ODDS = of(
    m.OutcomeOdds,
    id=TEXT,
    source=maybe(TEXT),
    name=maybe(TEXT),
    participant=maybe(TEXT),
    odds=maybe(TEXT),
    active=unset_or(st.booleans()),
    probability=maybe(TEXT),
    size=maybe(TEXT),
    info=unset_or(INFO),
)
NAMED = {"market": TEXT, "line": TEXT, "source": maybe(TEXT), "name": maybe(TEXT), "groups": maybe(some(TEXT))}
MARKET_ODDS = of(
    m.MarketOdds,
    **NAMED,
    status=unset_or(st.sampled_from(["active", "suspended", "inactive", "handed_over"])),
    outcomes=unset_or(some(OUTCOME_ODDS)),
    complete=st.booleans(),
    info=unset_or(INFO),
)
REF = of(m.MarketRef, **NAMED)
OUTCOME_RESULT = of(
    m.OutcomeResult,
    id=TEXT,
    result=st.sampled_from(["won", "lost", "void", "half_won", "half_lost", "undecided"]),
    dead_heat=st.none() | TEXT,
    source=maybe(TEXT),
    name=maybe(TEXT),
)
MARKET_RESULT = of(m.MarketResult, **NAMED, outcomes=some(OUTCOME_RESULT))
PLAYER = of(m.Player, id=TEXT, name=st.none() | TEXT)
COMPETITOR = of(
    m.Competitor, id=TEXT, name=st.none() | TEXT, side=st.sampled_from(["home", "away", None]), players=some(PLAYER)
)
COMPETITION = of(m.Competition, id=TEXT, name=st.none() | TEXT, category=st.none() | TEXT)
NUMBER = st.none() | INTEGER
CLOCK = of(m.Clock, elapsed_s=NUMBER, remaining_s=NUMBER, stopped=st.none() | st.booleans())
PERIOD = of(m.PeriodScore, number=INTEGER, type=TEXT, home=NUMBER, away=NUMBER)
STATUS = unset_or(st.sampled_from(["not_started", "live", "ended", "closed", "cancelled"]))
REFS = st.none() | some(REF)
HEAD = {
    "ts": INTEGER,
    "v": st.integers(1, 3),
    "id": TEXT,
    "provider": TEXT,
    "producer": TEXT,
    "event": TEXT,
    "sport": TEXT,
    "seq": INTEGER,
    "received": INTEGER,
    "trace": TEXT,
    "request": st.none() | TEXT,
}
WINDOW = {"from_": NUMBER, "to": NUMBER}
OPERATOR = {"markets": REFS, "reason": st.none() | TEXT, "by": st.none() | TEXT}
BODIES = {
    m.Fixture: {
        "name": maybe(TEXT),
        "start": maybe(INTEGER),
        "status": STATUS,
        "competition": maybe(COMPETITION),
        "competitors": unset_or(some(COMPETITOR)),
        "replaces": maybe(TEXT),
        "replaced_by": maybe(TEXT),
    },
    m.Odds: {"markets": some(MARKET_ODDS)},
    m.BetStop: {
        "groups": st.none() | some(TEXT),
        "markets": REFS,
        "status": st.sampled_from(["suspended", "inactive"]),
    },
    m.ScoreChange: {
        "home": NUMBER,
        "away": NUMBER,
        "period": st.none() | TEXT,
        "clock": st.none() | CLOCK,
        "periods": some(PERIOD),
        "details": INFO,
        "status": STATUS,
    },
    m.Settlement: {"certainty": st.sampled_from(["live", "confirmed"]), "markets": some(MARKET_RESULT)},
    m.Cancel: {"markets": some(REF), **WINDOW, "reason": st.none() | TEXT},
    m.SettlementRollback: {"markets": some(REF), **WINDOW},
    m.CancelRollback: {"markets": some(REF), **WINDOW},
    m.Hold: OPERATOR,
    m.Release: OPERATOR,
    m.Alive: {"subscribed": st.booleans()},
    m.SnapshotComplete: {},
    m.Producer: {
        "state": st.sampled_from(["unknown", "up", "recovering", "down"]),
        "gen": INTEGER,
        "since": INTEGER,
        "reason": st.none() | TEXT,
        "recovery": st.none() | TEXT,
    },
    m.Tick: {},
}
MESSAGES = {cls: of(cls, **HEAD, **body) for cls, body in BODIES.items()}


def test_every_type_is_here():
    assert set(MESSAGES) == set(m.AnyMessage.__args__)
    for cls, body in BODIES.items():
        assert set(cls.__struct_fields__) == set(HEAD) | set(body), cls


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_round_trip(cls):
    @settings(max_examples=60)
    @given(MESSAGES[cls])
    def comes_back(message):
        value = m.encode(message)
        assert m.decode(value) == message
        assert m.encode(m.decode(value)) == value
        assert msgspec.json.decode(value)["type"] == m.type_of(message)

    comes_back()


def test_absent_is_not_null():
    head = '{"type":"odds","ts":1,"event":"a:1","markets":[{"market":"1x2","outcomes":[{"id":"home"%s}]}]}'
    absent, null, empty = (m.decode((head % each).encode()) for each in ("", ',"odds":null', ',"info":{}'))
    assert absent.markets[0].outcomes[0].odds is UNSET
    assert null.markets[0].outcomes[0].odds is None
    assert absent.markets[0].outcomes[0].info is UNSET
    assert empty.markets[0].outcomes[0].info == {}
    assert len({m.content_id(each) for each in (absent, null, empty)}) == 3
    assert b'"odds":null' in m.encode(null)
    assert b'"odds"' not in m.encode(absent).replace(b'"type":"odds"', b"")


def test_no_outcomes_is_not_an_absent_list():
    named, none = (
        m.decode(f'{{"type":"odds","ts":1,"markets":[{{"market":"1x2"{each}}}]}}'.encode())
        for each in ("", ',"outcomes":[]')
    )
    assert named.markets[0].outcomes is UNSET
    assert none.markets[0].outcomes == ()
    assert m.decode(m.encode(none)).markets[0].outcomes == ()


def test_unknown_keys_are_ignored_and_floats_are_not_odds():
    assert m.decode(b'{"type":"tick","ts":1,"weather":{"rain":[1]}}') == m.Tick(ts=1)
    with pytest.raises(msgspec.ValidationError):
        m.decode(b'{"type":"odds","ts":1,"markets":[{"market":"1x2","outcomes":[{"id":"home","odds":1.85}]}]}')
    with pytest.raises(msgspec.ValidationError):
        m.decode(b'{"type":"odds","ts":1,"markets":[{"market":"1x2","status":"settled"}]}')
    with pytest.raises(msgspec.ValidationError):
        m.decode(b'{"type":"weather","ts":1}')
    with pytest.raises(msgspec.ValidationError):
        m.decode(b'{"type":"alive"}')


def test_a_window_is_called_from_on_the_wire():
    cancel = m.decode(b'{"type":"cancel","ts":1,"event":"a:1","markets":[{"market":"1x2"}],"from":5,"to":7}')
    assert (cancel.from_, cancel.to) == (5, 7)
    assert b'"from":5' in m.encode(cancel)


@given(MESSAGES[m.Odds], TEXT, INTEGER)
def test_the_digest_is_of_content_only(message, trace, received):
    stamped = msgspec.structs.replace(message, id="x", trace=trace, received=received)
    assert m.content_id(stamped) == m.content_id(message)
    assert m.content_id(m.decode(m.encode(message))) == m.content_id(message)
    later = msgspec.structs.replace(message, ts=message.ts + 1)
    assert m.content_id(later) != m.content_id(message)


def test_the_digest_does_not_see_the_order_of_extras():
    one, other = (m.ScoreChange(ts=1, event="a:1", details=each) for each in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert m.content_id(one) == m.content_id(other)
    assert m.content_id(one) != m.content_id(m.ScoreChange(ts=1, event="a:1", details={"a": 2, "b": 1}))


def test_the_producers_key_spans_providers():
    assert m.Alive(ts=1, provider="uof", producer="3").producer_key == "uof:3"
