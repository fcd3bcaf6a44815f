"""Broken input: whatever comes, a document becomes messages and refusals, or a FeedError with a code. Nothing else."""

import re

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from uof_driver import Asked, read

from sb_core import sports
from sb_core.decimals import is_plain
from sb_core.errors import CODES, FeedError
from sb_core.messages import Odds, decode, encode
from sb_ingest.providers import Normalised

DOCUMENTS = [
    """<odds_change product="1" event_id="sr:match:42" timestamp="1000" request_id="7">
      <sport_event_status status="1" match_status="7" home_score="1" away_score="2" home_gamescore="40"
        current_server="1" tiebreak="false"><clock match_time="71:00" remaining_time="19:00" stopped="false"/>
        <period_scores><period_score match_status_code="6" number="1" home_score="1" away_score="0"/></period_scores>
        <statistics><corners home="6" away="4"/></statistics></sport_event_status>
      <odds><market id="18" specifiers="total=2.5" status="1" favourite="1"><market_metadata next_betstop="5"/>
        <outcome id="12" odds="2.25" probabilities="4.25E-1" active="1" team="1"/>
        <outcome id="13" odds="NaN" active="0"/></market>
        <market id="21" specifiers="variant=sr:exact_goals:6+"><outcome id="sr:player:7" odds="3"/></market>
        <market id="1" status="-4"/><market id="29" status="-3"/></odds></odds_change>""",
    """<bet_settlement certainty="2" product="3" event_id="sr:match:42" timestamp="1000"><outcomes>
      <market id="29"><outcome id="74" result="1" void_factor="0.5" dead_heat_factor="0.5"/></market>
      </outcomes></bet_settlement>""",
    '<bet_cancel product="1" event_id="sr:match:42" timestamp="9" start_time="5" end_time="6"><market id="1" void_reason="1"/></bet_cancel>',
    '<rollback_bet_cancel product="1" event_id="sr:match:42" timestamp="9" start_time="5"><market id="1"/></rollback_bet_cancel>',
    '<bet_stop product="1" event_id="sr:match:42" timestamp="9" groups="all|score" market_status="0"/>',
    '<fixture_change product="1" event_id="sr:match:42" timestamp="9" start_time="5" change_type="3"/>',
    '<alive product="1" timestamp="9" subscribed="1"/>',
    """<match_summary generated_at="2026-06-23T10:00:00Z"><sport_event id="sr:match:42" scheduled="2026-06-23T18:00:00Z">
      <tournament id="sr:tournament:1" name="L"><sport id="sr:sport:1"/><category name="E"/></tournament>
      <competitors><competitor id="sr:competitor:1" name="A" qualifier="home"><players><player id="sr:player:1"/></players>
      </competitor></competitors></sport_event><sport_event_status status="1" home_score="1"/>
      <statistics><totals><teams><team id="sr:competitor:1"><statistics corner_kicks="6"/></team></teams></totals></statistics>
      </match_summary>""",
    """<market_descriptions><market id="18" name="Total {total}" groups="all|score"><outcomes>
      <outcome id="12" name="over {!total} {%x} {$competitor1}"/></outcomes></market></market_descriptions>""",
]
HOSTILE = [
    "",
    " ",
    "-1",
    "0",
    "1",
    "1e400",
    "NaN",
    "-Infinity",
    "9" * 50,
    "1.",
    ".5",
    "0x10",
    "١٢",
    "\u2028",
    "a|b=c",
    "%7C",
    "{total}",
    "&#0;",
]
VALUE = re.compile(r'"[^"<&]*"')


def attempt(document: bytes, asked: Asked) -> tuple[Normalised | None, str]:
    try:
        return read(document, asked), ""
    except FeedError as error:
        return None, error.code


def survives(document: bytes) -> None:
    """Read a document as the shell does; anything but a FeedError fails the test."""
    asked = Asked("football")
    asked.learnt = {
        "uof:market:18": b'{"name":"{total}","groups":["all"],"outcomes":{"12":"{+total} {!total}"}}',
        "uof:market:21": b"{",
    }
    normalised, code = attempt(document, asked)
    if normalised is None:
        assert code in CODES
        return
    assert normalised.messages or normalised.refusals or normalised.ignored
    for refusal in normalised.refusals:
        assert refusal.code in CODES
        assert refusal.raw
        assert refusal.event is not None or refusal.market is None
    for message in normalised.messages:
        assert decode(encode(message)) == message
        sports.check(message, sports.find(message.sport) if message.sport else None)
        if isinstance(message, Odds):
            for market in message.markets:
                for outcome in market.outcomes or ():
                    assert outcome.odds is None or is_plain(str(outcome.odds))
    assert read(document, asked) == normalised


documents = st.sampled_from([each.encode() for each in DOCUMENTS])


@given(documents, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_truncated(document: bytes, data: st.DataObject) -> None:
    survives(document[: data.draw(st.integers(0, len(document)))])


@given(documents, st.lists(st.tuples(st.integers(0, 5_000), st.binary(max_size=3)), min_size=1, max_size=5))
def test_garbled(document: bytes, edits: list[tuple[int, bytes]]) -> None:
    for at, put in edits:
        position = at % len(document)
        document = document[:position] + put + document[position + len(put) :]
    survives(document)


@given(
    st.sampled_from(DOCUMENTS),
    st.integers(0, 1_000),
    st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.from_regex(r"[-+]?[0-9.]{0,8}([eE][-+]?[0-9]{1,4})?")),
)
@example(DOCUMENTS[0], 0, "9" * 400)
def test_hostile_attribute(document: str, which: int, value: str) -> None:
    places = list(VALUE.finditer(document))
    place = places[which % len(places)]
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    survives((document[: place.start()] + f'"{escaped}"' + document[place.end() :]).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(DOCUMENTS), st.integers(0, 1_000))
def test_missing_attribute(document: str, which: int) -> None:
    places = list(re.finditer(r' [a-z_]+="[^"]*"', document))
    place = places[which % len(places)]
    survives((document[: place.start()] + document[place.end() :]).encode())


@given(st.sampled_from(DOCUMENTS), st.integers(0, 1_000), st.sampled_from(["market", "outcome", "odds", "x", "sport"]))
def test_misspelt_element(document: str, which: int, name: str) -> None:
    places = list(re.finditer(r"<[a-z_]+(?=[ />])", document))
    place = places[which % len(places)]
    survives((document[: place.start()] + f"<{name}" + document[place.end() :]).encode())


@given(st.binary(max_size=200))
def test_noise(document: bytes) -> None:
    survives(document)


@given(
    st.one_of(
        st.floats(allow_nan=True).map(str),
        st.text(max_size=12),
        st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,6})?([eE]-?[0-9]{1,2})?", fullmatch=True),
    )
)
def test_odds_are_plain_decimals_or_refused(text: str) -> None:
    market = msgspec.json.encode(text).decode()
    escaped = market[1:-1].replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    survives(
        f"""<odds_change product="1" event_id="sr:match:42" timestamp="1"><odds><market id="1">
        <outcome id="1" odds="{escaped}" probabilities="{escaped}"/></market></odds></odds_change>""".encode()
    )
