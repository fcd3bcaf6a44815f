"""The Betfair normaliser, worked out by hand on small messages: prices, lines, events, ends and order."""

import json

import pytest
from betfair_driver import (
    MARKET,
    PT,
    Feed,
    Knowing,
    change,
    closed,
    definition,
    handicap,
    handicap_runners,
    market,
    of,
    prices,
    runners,
    started,
)

from sb_core.messages import Cancel, CancelRollback, Fixture, Odds, Settlement, SettlementRollback, content_id


def test_the_best_back_price_is_the_highest_with_size() -> None:
    feed = started()
    result = feed.send(
        change([{"id": 11, "atb": [[2.02, 3.50], [1.5, 100]], "atl": [[2.08, 1e1]], "ltp": 2.0, "tv": 1e3}])
    )
    home = market(result).outcomes[0]
    assert (home.odds, home.size) == ("2.02", "3.5")
    assert home.info == {
        "lay": "2.08",
        "lay_size": "10",
        "last": "2",
        "volume": "1000",
        "bsp": None,
        "reduction": None,
    }
    assert (home.source, home.participant, home.active) == ("11", "betfair:11", True)
    assert market(result).complete


def test_size_zero_removes_a_level() -> None:
    feed = started()
    assert prices(feed.send(change([{"id": 11, "atb": [[2, 0]]}])))["home"] == "1.90"
    result = feed.send(change([{"id": 11, "atb": [[1.9, 0], [0, 0]]}]))
    assert prices(result)["home"] is None
    assert market(result).outcomes[0].size is None
    assert result.refusals == ()


def test_levels_by_place() -> None:
    feed = Feed()
    first = feed.send(change([{"id": "11", "batb": [[0, 2, 10], [1, 1.9, 5]], "batl": [[0, 2.2, 4]]}], md=definition()))
    assert (prices(first)["home"], market(first).outcomes[0].info["lay"]) == ("2.00", "2.2")
    assert prices(feed.send(change([{"id": "11", "batb": [[0, 1.95, 1]]}])))["home"] == "1.95"
    # without the best level nothing is offered, whatever lies behind it
    assert prices(feed.send(change([{"id": "11", "batb": [[0, 0, 0]]}])))["home"] is None


def test_an_image_replaces_the_ladders() -> None:
    feed = started()
    result = feed.send(change([{"id": 22, "atb": [[3, 1]]}], img=True))
    assert prices(result) == {"home": None, "away": "3.00", "draw": None}


def test_a_definition_keeps_the_ladders_and_resends_the_market() -> None:
    feed = started()
    result = feed.send(change(md=definition(status="SUSPENDED", version=6, betDelay=5)))
    assert market(result).status == "suspended"
    assert market(result).info["bet_delay_s"] == 5
    assert prices(result)["home"] == "2.00"


def test_the_first_definition_starts_empty_and_changes_without_one_are_refused() -> None:
    feed = Feed()
    result = feed.send(change([{"id": 11, "atb": [[2, 1]]}], img=True))
    assert [refusal.code for refusal in result.refusals] == ["no_image"]
    assert result.refusals[0].event is None
    result = feed.send(change(md=definition()))
    assert prices(result) == {"home": None, "away": None, "draw": None}


def test_one_message_for_each_event_with_its_own_markets() -> None:
    result = Feed().send(
        change(id="1.1", md=definition(eventId="7")),
        change(id="1.2", md=definition(eventId="8")),
        change(id="1.3", md=definition(eventId="7", marketType="HALF_TIME")),
    )
    told = [(type(m).__name__, m.event, [x.source for x in getattr(m, "markets", ())]) for m in result.messages]
    assert told == [
        ("Fixture", "betfair:7", []),
        ("Odds", "betfair:7", ["1.1", "1.3"]),
        ("Fixture", "betfair:8", []),
        ("Odds", "betfair:8", ["1.2"]),
    ]
    assert {(m.ts, m.producer, m.provider, m.sport) for m in result.messages} == {
        (PT + 1_000, "s1", "betfair", "football")
    }


def test_more_than_four_decimals_are_rounded_down() -> None:
    feed = started()
    result = feed.send(change([{"id": 11, "atb": [[2.12349999, 1]]}]))
    assert prices(result)["home"] == "2.1234"


def test_a_double_line_is_a_handicap_for_each_pair() -> None:
    feed = Feed()
    result = feed.send(change(md=handicap()))
    assert [(m.market, m.line, m.source) for m in of(result, Odds).markets] == [
        ("asian_handicap", "hcp=-0.5", MARKET),
        ("asian_handicap", "hcp=0", MARKET),
        ("asian_handicap", "hcp=0.25", MARKET),
    ]
    sources = [[(o.id, o.source) for o in m.outcomes] for m in of(result, Odds).markets]
    assert sources[0] == [("home", "11/-0.5"), ("away", "22/0.5")]
    assert sources[1] == [("home", "11"), ("away", "22")]
    # the away side's 0.5 is the line hcp=-0.5, and only that line is named
    result = feed.send(change([{"id": 22, "hc": 0.5, "atb": [[1.9, 1]]}]))
    assert (market(result).line, prices(result)) == ("hcp=-0.5", {"home": None, "away": "1.90"})


def test_lines_that_a_definition_drops_become_inactive() -> None:
    feed = Feed()
    feed.send(change(md=handicap()))
    result = feed.send(change(md=handicap(runners=handicap_runners(-0.5, 0))))
    assert {m.line: m.status for m in of(result, Odds).markets} == {
        "hcp=-0.5": "active",
        "hcp=0": "active",
        "hcp=0.25": "inactive",
    }


def test_the_fixture_is_sent_when_it_is_new_or_changes() -> None:
    feed = Feed()
    fixture = of(feed.send(change(md=definition())), Fixture)
    assert (fixture.start, fixture.status) == (1_767_268_800_000, "not_started")
    assert [(c.id, c.name, c.side) for c in fixture.competitors] == [
        ("betfair:11", None, "home"),
        ("betfair:22", None, "away"),
    ]
    assert of(feed.send(change(md=definition(version=6))), Fixture) is None
    named = of(
        feed.send(change(md=definition(eventName="A v B", runners=runners("ACTIVE", "ACTIVE", "ACTIVE", name="x")))),
        Fixture,
    )
    assert (named.name, [c.name for c in named.competitors]) == ("A v B", ["x", "x"])
    # a definition without names takes none away
    live = of(feed.send(change(md=definition(inPlay=True))), Fixture)
    assert (live.name, live.status, live.competitors) == ("A v B", "live", named.competitors)
    moved = of(
        feed.send(change(md=definition(inPlay=True, openDate="2026-01-01T13:00:00+01:00", marketTime=None))), Fixture
    )
    assert moved is None
    moved = of(feed.send(change(md=definition(inPlay=True, openDate="2026-01-01T13:00:00Z"))), Fixture)
    assert moved.start == 1_767_272_400_000


def test_an_event_stays_live_when_a_market_of_it_is_not_in_play() -> None:
    feed = Feed()
    feed.send(change(id="1.1", md=definition(inPlay=True)))
    assert of(feed.send(change(id="1.2", md=definition(marketType="HALF_TIME"))), Fixture) is None


def test_a_closed_market_is_settled() -> None:
    feed = started()
    result = feed.send(change(md=closed("LOSER", "WINNER", "REMOVED")))
    settlement = of(result, Settlement)
    assert settlement.certainty == "confirmed"
    [settled] = settlement.markets
    assert (settled.market, settled.source) == ("1x2", MARKET)
    assert [(o.id, o.result, o.dead_heat) for o in settled.outcomes] == [
        ("home", "lost", None),
        ("away", "won", None),
        ("draw", "void", None),
    ]
    assert of(result, Odds) is None
    assert of(result, Fixture).status == "ended"


def test_an_event_ends_with_the_last_of_its_markets() -> None:
    feed = Feed()
    feed.send(change(id="1.1", md=definition(inPlay=True)), change(id="1.2", md=definition(marketType="TO_QUALIFY")))
    assert of(feed.send(change(id="1.1", md=closed("WINNER", "LOSER", "LOSER"))), Fixture) is None
    last = feed.send(change(id="1.2", md=closed("WINNER", "LOSER", marketType="TO_QUALIFY")))
    assert of(last, Fixture).status == "ended"


def test_a_closed_market_that_nobody_won_or_lost_is_cancelled() -> None:
    feed = started()
    result = feed.send(change(md=closed("REMOVED", "ACTIVE", "HIDDEN")))
    assert [(ref.market, ref.source) for ref in of(result, Cancel).markets] == [("1x2", MARKET)]
    assert of(result, Settlement) is None
    assert of(result, Fixture) is None


def test_a_market_that_opens_again_is_rolled_back() -> None:
    feed = started()
    feed.send(change(md=closed("WINNER", "LOSER", "LOSER")))
    result = feed.send(change(md=definition(status="SUSPENDED", inPlay=True)))
    assert [ref.market for ref in of(result, SettlementRollback).markets] == ["1x2"]
    assert market(result).status == "suspended"
    feed.send(change(md=closed("REMOVED", "REMOVED", "REMOVED")))
    result = feed.send(change(md=closed("WINNER", "LOSER", "LOSER")))
    assert [type(m) for m in result.messages] == [Fixture, CancelRollback, Settlement]


def test_more_winners_than_places_is_a_dead_heat() -> None:
    feed = started()
    result = feed.send(change(md=closed("WINNER", "WINNER", "WINNER")))
    assert [o.dead_heat for o in of(result, Settlement).markets[0].outcomes] == ["0.3333"] * 3


def test_a_pair_whose_runners_are_both_void_beside_decided_ones() -> None:
    feed = Feed()
    feed.send(change(md=handicap()))
    decided = handicap_runners(-0.5, statuses=("WINNER", "LOSER"))
    pushed = [
        {**r, "sortPriority": r["sortPriority"] + 2} for r in handicap_runners(0, statuses=("REMOVED", "REMOVED"))
    ]
    result = feed.send(change(md=handicap(status="CLOSED", runners=decided + pushed)))
    results = {m.line: [o.result for o in m.outcomes] for m in of(result, Settlement).markets}
    assert results == {"hcp=-0.5": ["won", "lost"], "hcp=0": ["void", "void"]}


def test_a_removed_runner_is_inactive_and_has_no_odds() -> None:
    feed = started()
    result = feed.send(change(md=definition(runners=runners("REMOVED", "ACTIVE", "ACTIVE"))))
    home = market(result).outcomes[0]
    assert (home.active, home.odds, home.size, home.info["lay"]) == (False, None, None, None)


@pytest.mark.parametrize(("event_type", "sport", "winner"), [("2", "tennis", "match_winner"), (7522, "basketball", "money_line"), (7524, "hockey", "money_line_incl_ot")])  # fmt: skip
def test_the_other_sports(event_type: object, sport: str, winner: str) -> None:
    result = Feed().send(change(md=definition(eventTypeId=event_type, runners=runners("ACTIVE", "ACTIVE"))))
    assert (of(result, Odds).sport, market(result).market) == (sport, winner)
    assert list(prices(result)) == ["home", "away"]


def test_a_sport_known_before_wins() -> None:
    result = Feed(Knowing({"betfair:7": "hockey"})).send(change(md=definition()))
    assert {message.sport for message in result.messages} == {"hockey"}


def test_the_state_before_stays_as_it_was() -> None:
    feed = started()
    before, story = feed.session, repr(feed.session)
    first = feed.normaliser.normalise(b'{"op":"mcm","pt":1700000009000,"mc":[{"id":"1.100","rc":[{"id":11,"atb":[[3,1],[2,0]]}]}]}', Knowing(), before, "s1")  # fmt: skip
    other = feed.normaliser.normalise(
        b'{"op":"mcm","pt":1700000009000,"mc":[{"id":"1.100","img":true,"rc":[]}]}', Knowing(), before, "s1"
    )
    assert repr(before) == story
    assert prices(first)["home"] == "3.00"
    assert prices(other)["home"] is None
    again = feed.normaliser.normalise(b'{"op":"mcm","pt":1700000009000,"mc":[{"id":"1.100","rc":[{"id":11,"atb":[[3,1],[2,0]]}]}]}', Knowing(), before, "s1")  # fmt: skip
    assert again.messages == first.messages


def test_old_news_is_passed_on_as_the_market_stands_and_changes_nothing() -> None:
    feed = started()
    feed.send(change([{"id": 11, "atb": [[2.5, 1]]}]))
    newest, feed.pt = feed.pt, PT - 5_000
    result = feed.send(change([{"id": 11, "atb": [[2.5, 0], [9, 1]]}]))
    assert (of(result, Odds).ts, prices(result)["home"]) == (PT - 4_000, "2.50")
    feed.pt = newest
    assert prices(feed.send(change([{"id": 22, "atb": [[3, 1]]}])))["home"] == "2.50"


def test_equal_content_at_an_equal_time_is_told_apart_but_a_redelivery_is_not() -> None:
    feed = started()

    def send(clk: str, price: float) -> Odds:
        body = {"op": "mcm", "pt": PT + 9_000, "clk": clk, "mc": [change([{"id": 22, "batb": [[0, price, 1]]}])]}
        return of(feed.document(json.dumps(body).encode()), Odds)

    up, down, up_again, redelivered = send("a", 2), send("b", 3), send("c", 2), send("c", 2)
    assert up.markets == up_again.markets
    assert [m.seq for m in (up, down, up_again, redelivered)] == [0, 1, 2, 2]
    assert content_id(up) != content_id(up_again) == content_id(redelivered)
    assert of(feed.send(change([{"id": 22, "ltp": 3}])), Odds).seq == 0


def test_a_change_that_names_no_runner_names_the_market() -> None:
    assert market(started().send(change(tv=12.5))).market == "1x2"


def test_a_market_named_twice_in_one_message_is_sent_once_as_it_stands_then() -> None:
    result = started().send(change([{"id": 11, "atb": [[2.2, 1]]}]), change([{"id": 22, "atb": [[3.3, 1]]}], con=True))
    assert prices(result) == {"home": "2.20", "away": "3.30", "draw": None}
    assert market(result).info["conflated"] is True
