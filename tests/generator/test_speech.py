"""The world in canonical XML and UOF XML, read back by the normalisers: the same messages come out."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uof_driver import Asked

from sb_core import messages, sports
from sb_core.messages import (
    Alive,
    BetStop,
    Fixture,
    Odds,
    ScoreChange,
    SnapshotComplete,
)
from sb_generator.speech import canonical, uof_words
from sb_generator.speech.canonical import XmlSpeaker, encoded
from sb_generator.speech.ids import event_number, number_of
from sb_generator.speech.uof import UofSpeaker
from sb_generator.world import World
from sb_ingest.providers.canonical import Canonical
from sb_ingest.providers.uof import Uof

ORIGIN = 1_782_237_600_000
MINUTE = 60_000


def said(seed, minutes, rate=0.2, live=5):
    """A while of a small world, with a recovery in the middle and at the end."""
    world = World(seed, ORIGIN, rate, live=live)
    found = world.step(ORIGIN + minutes * MINUTE // 2)
    found += world.interrupted(world.now_ms, "r1") + world.recover(world.now_ms, "r1")
    found += world.step(ORIGIN + minutes * MINUTE)
    return found + world.recover(world.now_ms, "r2")


WHILES = st.tuples(st.integers(0, 10_000), st.sampled_from((5, 30, 100)))


@settings(max_examples=2)
@given(WHILES)
def test_json_is_what_the_messages_encoder_writes(given_while):
    for message in said(*given_while, rate=1.0):
        assert encoded(message) == messages.encode(message)


@settings(max_examples=2)
@given(WHILES)
def test_canonical_xml_gives_every_message_back(given_while):
    found = said(*given_while)
    spoken = XmlSpeaker().say(found)
    assert len(found) == len(spoken)
    for message, document in zip(found, spoken, strict=True):
        [back] = Canonical().normalise(document.data, Asked(), None, "0").messages
        assert messages.encode(back) == messages.encode(message), document.data
        assert document.ms == message.ts


# UOF


def theirs(name):
    """An id of the world as UOF's, under our prefix."""
    if name.startswith(("sim:player:", "sim:competitor:")):
        return f"uof:sr:{name.split(':')[1]}:{number_of(name)}"
    if name.startswith("sim:competition:"):
        return f"uof:sr:tournament:{number_of(name)}"
    return f"uof:sr:match:{event_number(name)}"


def market_of(sport, market, line):
    if market not in uof_words.MARKETS[sport]:
        return f"uof:{market.removeprefix('sim:')}", line
    specifiers = sports.parse_line(line)
    if "player" in specifiers:
        specifiers["player"] = theirs(specifiers["player"])
    return market, sports.make_line(specifiers)


def outcome_of(name):
    return theirs(name).removeprefix("uof:") if name.startswith("sim:player:") else name


def people(competitors):
    return [
        (theirs(each.id), each.name, each.side, [(theirs(one.id), one.name) for one in each.players])
        for each in competitors
    ]


CARRIED = {
    "football": ("corners", "yellow_cards", "red_cards"),
    "tennis": ("server", "game", "tie_break"),
    "basketball": (),
    "hockey": (),
}


def expected(message):
    """What UOF can say of a message of the world."""
    kind = messages.type_of(message)
    if isinstance(message, Alive | SnapshotComplete):
        fields = {"producer": message.producer, "ts": message.ts}
        more = {"subscribed": message.subscribed} if isinstance(message, Alive) else {"request": message.request}
        return kind, fields | more
    fields = {"event": theirs(message.event), "sport": message.sport, "ts": message.ts}
    if not isinstance(message, Fixture):
        # fixtures are REST answers, which name neither producer nor request
        fields |= {"producer": message.producer, "request": message.request}
    if isinstance(message, Fixture):
        return kind, fields | fixture(message, theirs)
    if isinstance(message, BetStop):
        return kind, fields | {"groups": None if "all" in message.groups else message.groups, "status": message.status}
    if isinstance(message, ScoreChange):
        names = [name for name in message.details if name.startswith(CARRIED[message.sport])]
        details = {name: message.details[name] for name in names}
        # theirs are numbers, 50 for an advantage
        details |= {
            name: 50 if each == "A" else int(each) for name, each in details.items() if name.startswith("game_")
        }
        return kind, fields | score(message) | {"details": details}
    return kind, fields | markets(message, lambda m: market_of(message.sport, m.market, m.line), outcome_of)


def found_of(message):
    kind = messages.type_of(message)
    if isinstance(message, Alive | SnapshotComplete):
        fields = {"producer": message.producer, "ts": message.ts}
        more = {"subscribed": message.subscribed} if isinstance(message, Alive) else {"request": message.request}
        return kind, fields | more
    fields = {"event": message.event, "sport": message.sport, "ts": message.ts}
    if isinstance(message, Fixture):
        return kind, fields | fixture(message, lambda name: name)
    fields |= {"producer": message.producer, "request": message.request}
    if isinstance(message, BetStop):
        return kind, fields | {"groups": message.groups, "status": message.status}
    if isinstance(message, ScoreChange):
        return kind, fields | score(message) | {"details": message.details}
    return kind, fields | markets(message, lambda m: (m.market, m.line), lambda name: name)


def fixture(message, of):
    made = {"start": message.start, "status": message.status}
    if message.name is not msgspec.UNSET:
        made["name"] = message.name
        made["competition"] = of(message.competition.id), message.competition.name, message.competition.category
        made["competitors"] = (
            people(message.competitors)
            if of is theirs
            else [(e.id, e.name, e.side, [(p.id, p.name) for p in e.players]) for e in message.competitors]
        )
    return made


def score(message):
    names = ("home", "away", "period", "clock", "periods", "status")
    return {name: getattr(message, name) for name in names}


def markets(message, key, outcome):
    made = {name: getattr(message, name) for name in ("certainty", "reason", "from_", "to") if hasattr(message, name)}
    rows = []
    for each in message.markets:
        row = [key(each)]
        if isinstance(message, Odds):
            outcomes = () if each.outcomes is msgspec.UNSET else each.outcomes
            row += [each.status, each.complete, [(outcome(o.id), o.odds, o.active) for o in outcomes]]
        elif hasattr(each, "outcomes"):
            row += [[(outcome(o.id), o.result, o.dead_heat) for o in each.outcomes]]
        rows.append(row)
    return made | {"markets": rows}


def read_uof(spoken, asked):
    for document in spoken:
        asked.routing_key = document.key
        normalised = Uof().normalise(document.data, asked, None, "0")
        assert normalised.refusals == (), (document.data, normalised.refusals)
        asked.take(normalised)
        for message in normalised.messages:
            if message.event:
                asked.known[message.event] = message.sport
        yield document, normalised


@settings(max_examples=2)
@given(WHILES)
def test_uof_gives_the_world_back(given_while):
    world = said(*given_while)
    speaker, asked = UofSpeaker(), Asked()
    [(_, described)] = read_uof(speaker.begin(ORIGIN), asked)
    assert described.ignored == 1
    spoken = speaker.say(world)
    for message, (document, normalised) in zip(world, read_uof(spoken, asked), strict=True):
        [back] = normalised.messages
        assert found_of(back) == expected(message), document.data
        if isinstance(message, Odds):
            check_groups(message, back)


def check_groups(message, back):
    for mine, each in zip(message.markets, back.markets, strict=True):
        if mine.groups is not msgspec.UNSET:
            assert set(each.groups) == set(mine.groups)


def test_routing_keys_say_sport_event_and_producer():
    world = said(3, 40)
    kinds = set()
    for message, spoken in zip(world, UofSpeaker().say(world), strict=True):
        if isinstance(message, Fixture):
            assert spoken.key is None
            continue
        priority, pre, live, kind, sport, urn, number, node = spoken.key.split(".")
        kinds.add(kind)
        if kind in {"alive", "snapshot_complete"}:
            assert [priority, pre, live, sport, urn, number, node] == ["-"] * 7
            continue
        assert (priority, urn, node) == ("hi", "sr:match", "-")
        assert sport == uof_words.SPORTS[message.sport]
        assert int(number) == event_number(message.event)
        assert (pre, live) == (("pre", "-") if message.producer == "3" else ("-", "live"))
    assert kinds >= {"odds_change", "bet_stop", "bet_settlement", "alive", "snapshot_complete"}


def test_bodies_join_documents():
    world = said(5, 10)
    lines = UofSpeaker().body(UofSpeaker().say(world[:5])).split(b"\n")
    assert [msgspec.json.decode(each)["body"].encode() for each in lines] == [
        each.data for each in UofSpeaker().say(world[:5])
    ]
    assert canonical.CanonicalSpeaker().body(canonical.CanonicalSpeaker().say(world[:5])).count(b"\n") == 4


@pytest.mark.parametrize("sport", sports.names())
def test_no_two_markets_share_a_number(sport):
    ids = [each for each, _ in uof_words.MARKETS[sport].values()]
    assert len(set(ids)) == len(ids)
