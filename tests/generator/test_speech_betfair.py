"""The world as Betfair's stream: our normaliser gives it back, and `betfairlightweight` holds the same books."""

import json
from decimal import Decimal

import msgspec
import pytest
from betfair_driver import Knowing
from betfairlightweight.streaming.cache import MarketBookCache
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_core import messages, sports
from sb_core.messages import BetStop, Cancel, CancelRollback, Fixture, Odds, Settlement, SettlementRollback
from sb_generator.speech.betfair import BetfairSpeaker
from sb_generator.speech.betfair_words import word_of
from sb_generator.speech.ids import event_number
from sb_generator.world import World
from sb_ingest.providers.betfair import BetfairNormaliser

ORIGIN = 1_782_237_600_000
MINUTE = 60_000
SEEN = {"active": "active", "suspended": "suspended", "inactive": "suspended", "handed_over": "suspended"}


class Exchange:
    """What the world says of the markets that an exchange has: status, prices, results."""

    def __init__(self):
        self.competitors = {}
        self.markets = {}

    def take(self, message):
        if isinstance(message, Fixture) and message.competitors is not msgspec.UNSET:
            self.competitors[message.event] = message.competitors
        elif isinstance(message, Odds):
            for each in message.markets:
                self._odds(message, each)
        elif isinstance(message, BetStop):
            catalogue = sports.get(message.sport).markets
            for (event, market, _), held in self.markets.items():
                if (
                    event == message.event
                    and held["status"] == "active"
                    and set(message.groups) & set(catalogue[market].groups)
                ):
                    held["status"] = "suspended"
        elif isinstance(message, Settlement | Cancel | CancelRollback) and getattr(message, "to", None) is None:
            for each in message.markets:
                self._end(message, each)

    def _odds(self, message, market):
        key = message.event, market.market, market.line
        word = word_of(message.sport, market.market, market.line, self.competitors[message.event])
        if word is None or (key not in self.markets and market.status != "active"):
            return
        held = self.markets.setdefault(key, {"word": word, "sport": message.sport, "odds": {}, "results": {}})
        held["status"] = SEEN[market.status]
        if market.status == "active":
            held["odds"] = {each.id: each.odds for each in market.outcomes if each.odds}

    def _end(self, message, market):
        held = self.markets.get((message.event, market.market, market.line))
        if held is None:
            return
        if isinstance(message, Cancel):
            held["status"] = "cancelled"
        elif isinstance(message, CancelRollback) or message.certainty == "live":
            held["status"] = "suspended"
        else:
            held["status"] = "settled"
            held["results"] = {each.id: each.result for each in market.outcomes}


class Read:
    """What the normaliser makes of the stream."""

    def __init__(self):
        self.session = None
        self.markets = {}
        self.conflated = 0

    def take(self, document):
        normalised = BetfairNormaliser().normalise(document, Knowing(), self.session, "s")
        assert normalised.refusals == (), (document, normalised.refusals)
        self.session = normalised.session
        for message in normalised.messages:
            sport = sports.get(message.sport)
            checked = sports.check(message, sport)
            assert checked.problems == (), checked.problems
            if isinstance(message, Odds):
                for each in message.markets:
                    held = self.markets.setdefault((message.event, each.market, each.line), {"results": {}})
                    held["status"] = each.status
                    held["odds"] = {one.id: one.odds for one in each.outcomes if one.odds}
                    self.conflated += each.info["conflated"]
            elif isinstance(message, Settlement):
                for each in message.markets:
                    held = self.markets[message.event, each.market, each.line]
                    held["status"] = "settled"
                    held["results"] = {one.id: one.result for one in each.outcomes}
            elif isinstance(message, Cancel):
                for each in message.markets:
                    self.markets[message.event, each.market, each.line]["status"] = "cancelled"
            else:
                assert isinstance(message, Fixture | CancelRollback | SettlementRollback), messages.type_of(message)


def as_closed(held):
    """A closed market that nobody won, lost or placed in reads as cancelled: the stream has no other words for it."""
    if held["status"] == "settled" and set(held["results"].values()) == {"void"}:
        return "cancelled", {}
    return held["status"], held["results"]


def same(exchange, read):
    named = {
        (f"betfair:{event_number(event)}", market, line): held
        for (event, market, line), held in exchange.markets.items()
    }
    assert set(named) == set(read.markets)
    for key, mine in named.items():
        theirs = read.markets[key]
        assert (theirs["status"], theirs["results"]) == as_closed(mine), key
        if mine["status"] == "active":
            assert {each: Decimal(odds) for each, odds in theirs["odds"].items()} == {
                each: Decimal(odds) for each, odds in mine["odds"].items()
            }, key


def spoken(seed, minutes, speaker, step_ms=2_000, rate=0.4, live=8):
    """Step a world; yield what it said and what of that the speaker told, step by step."""
    world = World(seed, ORIGIN, rate, live=live)
    yield [], speaker.begin(ORIGIN)
    while world.now_ms < ORIGIN + minutes * MINUTE:
        now = world.now_ms + step_ms
        said = world.step(now)
        yield said, [*speaker.say(said), *speaker.pause(now + speaker._conflate_ms)]


@settings(max_examples=3)
@given(st.integers(0, 10_000), st.sampled_from((5, 100)), st.sampled_from((0, 0, 400)))
def test_the_stream_gives_the_world_back(seed, minutes, conflate_ms):
    exchange, read = Exchange(), Read()
    for number, (said, told) in enumerate(spoken(seed, minutes, BetfairSpeaker(conflate_ms))):
        for message in said:
            exchange.take(message)
        for document in told:
            read.take(document.data)
        if number % 20 == 0:
            same(exchange, read)
    same(exchange, read)
    assert len(read.markets) > 10
    assert (read.conflated > 0) == (conflate_ms > 0)


def test_a_resubscription_sends_images_that_change_nothing():
    exchange, read = Exchange(), Read()
    speaker = BetfairSpeaker()
    for said, told in spoken(4, 20, speaker):
        for message in said:
            exchange.take(message)
        for document in told:
            read.take(document.data)
    read.session = msgspec.structs.replace(type(read.session)(), images_only=True)
    images = speaker.again(ORIGIN + 21 * MINUTE)
    assert json.loads(images[0].data)["ct"] == "RESUB_DELTA"
    for document in images:
        assert all(each["img"] for each in json.loads(document.data)["mc"])
        read.take(document.data)
    same(exchange, read)


def test_heartbeats_and_clocks():
    speaker = BetfairSpeaker()
    told = [json.loads(each.data) for _, some in spoken(4, 20, speaker, rate=0.02, live=4) for each in some]
    assert [each["op"] for each in told[:2]] == ["connection", "status"]
    stream = told[2:]
    assert stream[0]["ct"] == "SUB_IMAGE"
    assert any(each.get("ct") == "HEARTBEAT" for each in stream)
    assert len({each["clk"] for each in stream}) == len(stream)
    assert [each["pt"] for each in stream] == sorted(each["pt"] for each in stream)


# another's client


@pytest.mark.parametrize("seed", [1, 2])
def test_betfairlightweight_holds_the_same_books(seed):
    """Feeds the generated stream to the cache of a client that others wrote, and compares its books with the world's."""
    exchange, caches = Exchange(), {}
    speaker = BetfairSpeaker()
    for said, told in spoken(seed, 40, speaker):
        for message in said:
            exchange.take(message)
        for document in told:
            message = json.loads(document.data)
            for change in message.get("mc", ()):
                cache = caches.setdefault(
                    change["id"], MarketBookCache(change["id"], message["pt"], False, False, False)
                )
                cache.update_cache(change, message["pt"], True)
    books = {}
    for market_id, cache in caches.items():
        book = cache.create_resource(0, snap=True)
        definition = book.market_definition
        books[definition.event_id, definition.market_type, definition.name] = book
        assert market_id == book.market_id
    compared = 0
    for (event, _, _), mine in exchange.markets.items():
        book = books[str(event_number(event)), mine["word"].type, mine["word"].name]
        if mine["status"] == "active":
            assert book.status == "OPEN"
            for runner in book.runners:
                [word] = [each for each in mine["word"].runners if each.id == runner.selection_id]
                best = runner.ex.available_to_back
                expected = mine["odds"].get(word.outcome)
                assert (Decimal(str(best[0].price)) if best else None) == (Decimal(expected) if expected else None)
                compared += 1
        elif mine["status"] == "settled":
            results = {"won": "WINNER", "lost": "LOSER", "void": "REMOVED"}
            assert book.status == "CLOSED"
            found = {
                word.outcome: runner.status
                for word in mine["word"].runners
                for runner in book.runners
                if runner.selection_id == word.id
            }
            assert found == {outcome: results[result] for outcome, result in mine["results"].items()}
            compared += 1
        else:
            assert book.status == ("CLOSED" if mine["status"] == "cancelled" else "SUSPENDED")
    assert compared > 50
