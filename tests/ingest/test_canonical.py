"""Canonical messages: JSON and XML say the same, and what is wrong is refused in the smallest piece."""

import re
import string
import time
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from sb_core import messages
from sb_core.errors import FeedError
from sb_core.messages import AnyMessage
from sb_ingest.knowledge import RequestKnowledge
from sb_ingest.providers import Normalised
from sb_ingest.providers.canonical import Canonical

NORMALISER = Canonical()


def normalise(document: bytes) -> Normalised:
    knowledge = RequestKnowledge(None, received=0, sport_hint=None, routing_key=None)  # type: ignore[arg-type]
    return NORMALISER.normalise(document, knowledge, None, "0")


# JSON is XML

TEXT = st.text(alphabet=string.ascii_letters + "é<>&\"'日 ", min_size=1, max_size=8).map(str.strip).filter(bool)
IDENTIFIER = st.text(alphabet=string.ascii_lowercase + string.digits + ":._", min_size=1, max_size=8)
NUMBER = st.integers(-(2**62), 2**62)
MAYBE_TEXT = st.one_of(st.just(UNSET), st.none(), TEXT)
INFO = st.dictionaries(IDENTIFIER, st.one_of(TEXT, NUMBER, st.booleans(), st.none()), min_size=1, max_size=3)
GROUPS = st.one_of(st.just(UNSET), st.none(), st.lists(TEXT, max_size=3).map(tuple))


def build(struct: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(struct, **fields)


OUTCOME = build(
    messages.OutcomeOdds,
    id=IDENTIFIER,
    source=MAYBE_TEXT,
    name=MAYBE_TEXT,
    participant=MAYBE_TEXT,
    odds=st.one_of(st.just(UNSET), st.none(), st.just("1.85")),
    active=st.one_of(st.just(UNSET), st.booleans()),
    probability=MAYBE_TEXT,
    size=MAYBE_TEXT,
    info=st.one_of(st.just(UNSET), INFO),
)
MARKET = build(
    messages.MarketOdds,
    market=IDENTIFIER,
    line=st.one_of(st.just(""), TEXT),
    source=MAYBE_TEXT,
    name=MAYBE_TEXT,
    status=st.sampled_from([UNSET, "active", "suspended"]),
    groups=GROUPS,
    outcomes=st.one_of(st.just(UNSET), st.lists(OUTCOME, max_size=3).map(tuple)),
    complete=st.booleans(),
    info=st.one_of(st.just(UNSET), INFO),
)
REF = build(messages.MarketRef, market=IDENTIFIER, line=st.one_of(st.just(""), TEXT), groups=GROUPS)
REFS = st.lists(REF, max_size=3).map(tuple)
RESULT = build(
    messages.MarketResult,
    market=IDENTIFIER,
    outcomes=st.lists(
        build(
            messages.OutcomeResult,
            id=IDENTIFIER,
            result=st.sampled_from(["won", "half_lost"]),
            dead_heat=st.one_of(st.none(), st.just("0.5")),
        ),
        max_size=2,
    ).map(tuple),
)
COMPETITOR = build(
    messages.Competitor,
    id=IDENTIFIER,
    name=st.one_of(st.none(), TEXT),
    side=st.sampled_from([None, "home"]),
    players=st.lists(build(messages.Player, id=IDENTIFIER, name=st.one_of(st.none(), TEXT)), max_size=2).map(tuple),
)
HEAD: dict[str, st.SearchStrategy[Any]] = {
    "ts": st.integers(0, 2**50),
    "event": IDENTIFIER.map("acme:{}".format),
    "sport": st.sampled_from(["", "football"]),
    "id": st.one_of(st.just(""), IDENTIFIER),
    "provider": st.sampled_from(["", "acme"]),
    "producer": st.sampled_from(["0", "7"]),
    "seq": st.integers(0, 9),
    "request": st.one_of(st.none(), IDENTIFIER),
}
MAYBE_TIME = st.one_of(st.none(), st.integers(0, 2**50))
CONTROL = {**HEAD, "event": st.just(""), "provider": st.just("acme"), "producer": st.just("7")}
MESSAGE = st.one_of(
    build(messages.Odds, **HEAD, markets=st.lists(MARKET, min_size=1, max_size=3).map(tuple)),
    build(
        messages.BetStop,
        **HEAD,
        groups=st.one_of(st.none(), st.lists(TEXT, max_size=2).map(tuple)),
        markets=st.one_of(st.none(), REFS),
        status=st.sampled_from(["suspended", "inactive"]),
    ),
    build(messages.Settlement, **HEAD, certainty=st.just("live"), markets=st.lists(RESULT, max_size=2).map(tuple)),
    build(messages.Cancel, **HEAD, markets=REFS, from_=MAYBE_TIME, to=MAYBE_TIME, reason=st.one_of(st.none(), TEXT)),
    build(messages.SettlementRollback, **HEAD, markets=REFS, from_=MAYBE_TIME, to=MAYBE_TIME),
    build(messages.CancelRollback, **HEAD, markets=REFS, from_=MAYBE_TIME, to=MAYBE_TIME),
    build(messages.Hold, **HEAD, markets=st.one_of(st.none(), REFS), by=st.one_of(st.none(), TEXT)),
    build(messages.Release, **HEAD, markets=st.one_of(st.none(), REFS)),
    build(
        messages.Fixture,
        **HEAD,
        name=MAYBE_TEXT,
        start=st.one_of(st.just(UNSET), st.none(), st.integers(0, 2**50)),
        status=st.sampled_from([UNSET, "live"]),
        competition=st.one_of(
            st.just(UNSET), st.none(), build(messages.Competition, id=IDENTIFIER, name=st.one_of(st.none(), TEXT))
        ),
        competitors=st.one_of(st.just(UNSET), st.lists(COMPETITOR, max_size=2).map(tuple)),
        replaces=MAYBE_TEXT,
    ),
    build(
        messages.ScoreChange,
        **HEAD,
        home=st.one_of(st.just(UNSET), st.none(), st.integers(0, 9)),
        period=st.one_of(st.just(UNSET), st.none(), TEXT),
        clock=st.one_of(
            st.just(UNSET), st.none(), build(messages.Clock, elapsed_s=st.integers(0, 9), stopped=st.booleans())
        ),
        periods=st.lists(build(messages.PeriodScore, number=st.integers(1, 3), type=TEXT), max_size=2).map(tuple),
        details=st.one_of(st.just(UNSET), st.just({}), INFO),
        status=st.sampled_from([UNSET, "live"]),
    ),
    build(messages.Alive, **CONTROL, subscribed=st.booleans()),
    build(messages.SnapshotComplete, **CONTROL),
)
SINGULAR = {
    "markets": "market",
    "outcomes": "outcome",
    "competitors": "competitor",
    "players": "player",
    "periods": "period",
    "groups": "group",
}


def as_xml(message: AnyMessage) -> str:
    """Write a message in XML, from its JSON, by the rule of the wire contract."""
    fields = msgspec.json.decode(messages.encode(message))
    if not isinstance(message, messages.Message):
        raise TypeError(message)
    fields.setdefault("producer", message.producer)
    return element(fields.pop("type"), fields)


def element(name: str, fields: dict[str, Any]) -> str:
    attributes, children = "", ""
    for key, value in fields.items():
        if key in {"info", "details"}:
            attributes += "" if value else f' {key}="{{}}"'
            children += "".join(pair("info" if key == "info" else "detail", *each) for each in value.items())
        elif isinstance(value, dict):
            children += element(key, value)
        elif isinstance(value, list):
            attributes += "" if value else f' {key}="[]"'
            for each in value:
                inner = element(SINGULAR[key], each) if isinstance(each, dict) else f"<group>{escaped(each)}</group>"
                children += inner
        else:
            attributes += f" {key}={quoteattr(scalar(value))}"
    return f"<{name}{attributes}>{children}</{name}>"


def escaped(text: str) -> str:
    return quoteattr(text)[1:-1].replace("<", "&lt;")


def pair(name: str, key: str, value: Any) -> str:
    kinds = {bool: "bool", int: "int", type(None): "null", str: "string"}
    return f"<{name} name={quoteattr(key)} value={quoteattr(scalar(value))} type='{kinds[type(value)]}'/>"


def scalar(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@settings(max_examples=300)
@given(MESSAGE)
def test_json_and_xml_say_the_same(message) -> None:
    # the encoding leaves a default producer out, which controls have to name
    written = msgspec.json.encode({**msgspec.json.decode(messages.encode(message)), "producer": message.producer})
    assert normalise(written).messages == (message,)
    assert normalise(as_xml(message).encode()).messages == (message,)


# what is wrong

ODDS = {"type": "odds", "ts": 5, "event": "acme:1"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            '{"type":"odds","v":null,"id":null,"producer":null,"markets":[{"market":"a","line":null}]}',
            '{"type":"odds","markets":[{"market":"a"}]}',
        ),
        (
            '{"type":"odds","markets":[{"market":"a","info":null,"outcomes":[{"id":"b","info":null}]}]}',
            '{"type":"odds","markets":[{"market":"a","info":{},"outcomes":[{"id":"b","info":{}}]}]}',
        ),
        ('{"type":"fixture","competitors":null}', '{"type":"fixture","competitors":[]}'),
        (
            '{"type":"fixture","competitors":[{"id":"b","players":null}]}',
            '{"type":"fixture","competitors":[{"id":"b"}]}',
        ),
        ('{"type":"score","home":1,"periods":null}', '{"type":"score","home":1,"periods":[]}'),
        ('{"type":"score","score":{"home":1,"away":null}}', '{"type":"score","home":1,"away":null}'),
        (
            '<odds><market market="a"><info k="v" n="5" b="true" z="" x="1.50"/></market></odds>',
            '{"type":"odds","markets":[{"market":"a","info":{"k":"v","n":5,"b":true,"z":null,"x":"1.50"}}]}',
        ),
        (
            '<score><details corners="3" name="c"/><detail name="a" value="3"/></score>',
            '{"type":"score","details":{"a":"3","corners":3,"name":"c"}}',
        ),
    ],
)
def test_forms_that_mean_the_same(said, meant) -> None:
    texts = [
        each[:-1] + ',"ts":5,"event":"acme:1"}'
        if each[0] == "{"
        else re.sub(r"^(<\w+)", r'\1 ts="5" event="acme:1"', each)
        for each in (said, meant)
    ]
    (one,), (other,) = (normalise(each.encode()).messages for each in texts)
    assert one == other


def test_a_status_is_not_cleared_to_something_else() -> None:
    assert refusals({**ODDS, "markets": [{"market": "a", "status": None, "info": None}]}) == [
        ("schema", "acme:1", "a", "", 5)
    ]


def refusals(document: object) -> list[tuple[str, str | None, str | None, str | None, int | None]]:
    raw = document if isinstance(document, bytes) else msgspec.json.encode(document)
    found = normalise(raw)
    assert all(refusal.raw == raw for refusal in found.refusals)
    return [(each.code, each.event, each.market, each.line, each.ts) for each in found.refusals]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({**ODDS, "markets": [{"market": "a", "outcomes": 1}]}, ("schema", "acme:1", "a", "", 5)),
        ({**ODDS, "markets": [{"market": "a", "line": "b", "info": 1}]}, ("schema", "acme:1", "a", "b", 5)),
        ({**ODDS, "markets": [{"market": "a", "line": 1}]}, ("schema", "acme:1", None, None, 5)),
        ({**ODDS, "markets": [7]}, ("schema", "acme:1", None, None, 5)),
        ({**ODDS, "ts": True, "markets": [{"market": "a"}]}, ("bad_time", "acme:1", None, None, None)),
        ({**ODDS, "type": "fixture", "start": "soon"}, ("bad_time", "acme:1", None, None, 5)),
        ({**ODDS, "type": "settlement", "markets": [{"market": "a"}]}, ("schema", "acme:1", None, None, 5)),
        ({**ODDS, "type": "hold", "markets": [{}]}, ("schema", "acme:1", None, None, 5)),
        (b"<odds ts='x' event='acme:1'><market market='a'/></odds>", ("bad_time", "acme:1", None, None, None)),
        (
            b"<odds ts='5' event='acme:1'><market market='a'><outcome odds='2'/></market></odds>",
            ("schema", "acme:1", "a", "", 5),
        ),
        (
            b"<odds ts='5' event='acme:1'><market market='a'><info name='b' value='x' type='int'/></market></odds>",
            ("schema", "acme:1", "a", "", 5),
        ),
        (b"<odds ts='5' event='acme:1'/>", ("schema", "acme:1", None, None, 5)),
        (b"<odds event='acme:1'/>", ("schema", "acme:1", None, None, None)),
        (b"<odds_change event_id='sr:match:1'/>", ("unsupported_type", None, None, None, None)),
    ],
)
def test_the_smallest_piece_is_refused(document, expected) -> None:
    assert refusals(document) == [expected]


def test_good_markets_go_on_in_their_order() -> None:
    found = normalise(
        b'{"type":"odds","markets":[{"market":"a"},{"market":"b","status":"open"},{"market":"c"}],"ts":5,"event":"acme:1"}'
    )
    assert [each.market for each in found.messages[0].markets] == ["a", "c"]
    assert [each.market for each in found.refusals] == ["b"]


def test_too_many_markets_to_take_apart_are_refused_together() -> None:
    assert refusals({**ODDS, "markets": [{}] * 2_001}) == [("too_large", "acme:1", None, None, 5)]


@settings(max_examples=200)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_no_value_in_any_field_escapes_as_anything_but_a_refusal(value) -> None:
    for field in ("type", "ts", "event", "markets", "producer", "id", "sport", "v"):
        try:
            found = normalise(msgspec.json.encode({**ODDS, "markets": [], field: value}))
        except FeedError as refused:
            assert refused.code == "malformed"  # noqa: PT017
        else:
            assert found.messages or found.refusals


def test_an_odds_message_of_three_outcomes_is_decoded_quickly() -> None:
    outcomes = [{"id": name, "odds": "1.85"} for name in ("home", "draw", "away")]
    document = msgspec.json.encode({**ODDS, "sport": "football", "markets": [{"market": "1x2", "outcomes": outcomes}]})
    started = time.process_time()
    for _ in range(2_000):
        normalise(document)
    # about 2 µs; the bound leaves room for a busy machine
    assert (time.process_time() - started) / 2_000 < 100e-6
