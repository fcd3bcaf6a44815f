"""The recorded documents that are long, by their decisive facts, and what market descriptions teach."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from uof_driver import Asked, read, shown

from sb_core import sports


def results(market: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["result"] for each in market["outcomes"]}


def test_settlement_of_a_tennis_match(feeds: Path) -> None:
    normalised = read(
        feeds / "uof/recorded/bet_settlement.xml", Asked(key="hi.pre.-.bet_settlement.5.sr:match.16807109.-")
    )
    (settlement,) = shown(normalised)
    assert normalised.refusals == ()
    assert settlement["event"] == "uof:sr:match:16807109"
    assert settlement["sport"] == "tennis"
    assert settlement["producer"] == "3"
    assert settlement["ts"] == 1547538073717
    assert settlement["certainty"] == "confirmed"
    assert [(each["market"], each.get("line", ""), each["source"]) for each in settlement["markets"]] == [
        ("away_wins_a_set", "", "193"),
        ("total_games_set", "set=1|total=9.5", "204"),
        ("first_set_match", "", "201"),
        ("uof:535", "variant=pre:markettext:52751", "535"),
        ("uof:40", "type=live", "40"),
    ]
    wins, total, double, free, scorer = settlement["markets"]
    assert results(wins) == {"yes": "lost", "no": "won"}
    assert results(total) == {"over": "lost", "under": "won"}
    assert results(double) == {
        "home/away": "void",
        "away/away": "half_lost",
        "home/home": "half_won",
        "away/home": "lost",
    }
    won = {"pre:outcometext:6388892", "pre:outcometext:6408970"}
    assert len(free["outcomes"]) == 32
    assert {each["id"] for each in free["outcomes"] if each["result"] == "won"} == won
    assert {each["id"] for each in free["outcomes"] if each.get("dead_heat") == "0.5"} == won
    assert results(scorer) == {
        "sr:player:10077": "lost",
        "sr:player:38560": "lost",
        "sr:player:44864": "lost",
        "sr:player:158243": "lost",
        "sr:player:249437": "won",
    }


def test_the_same_settlement_of_a_sport_without_these_markets(feeds: Path) -> None:
    (settlement,) = shown(read(feeds / "uof/recorded/bet_settlement.xml", Asked("football")))
    assert [(each["market"], each.get("line", "")) for each in settlement["markets"]] == [
        ("uof:193", ""),
        ("uof:204", "setnr=1|total=9.5"),
        ("uof:201", ""),
        ("uof:535", "variant=pre:markettext:52751"),
        ("uof:40", "type=live"),
    ]


@pytest.fixture
def odds_change(feeds: Path) -> list[dict[str, Any]]:
    normalised = read(feeds / "uof/recorded/odds_change-0.xml", Asked("football"))
    assert normalised.refusals == ()
    for message in normalised.messages:
        assert sports.check(message, sports.get("football")).problems == ()
    return shown(normalised)


def test_odds_change_begins_with_the_score(odds_change: list[dict[str, Any]]) -> None:
    score = odds_change[0]
    assert score == {
        "type": "score",
        "provider": "uof",
        "producer": "2",
        "event": "uof:sr:match:123",
        "sport": "football",
        "ts": 1234,
        "status": "live",
        "home": 2,
        "away": 2,
        "period": "2nd_half",
        "clock": {"elapsed_s": 4502, "remaining_s": None, "stopped": None},
        "periods": [
            {"number": 1, "type": "half", "home": 2, "away": 0},
            {"number": 2, "type": "half", "home": 0, "away": 2},
        ],
        "details": {
            "yellow_cards_home": 1,
            "yellow_cards_away": 1,
            "red_cards_home": 0,
            "red_cards_away": 0,
            "yellow_red_cards_home": 0,
            "yellow_red_cards_away": 0,
            "corners_home": 5,
            "corners_away": 7,
        },
    }


def test_odds_change_names_and_statuses(odds_change: list[dict[str, Any]]) -> None:
    odds, cancel = odds_change[1:]
    assert [
        (each["market"], each.get("line", ""), each["status"], len(each.get("outcomes", ())), each.get("complete"))
        for each in odds["markets"]
    ] == [
        ("uof:47", "score=41.5", "active", 2, True),
        ("uof:48", "score=42.5", "active", 2, True),  # status absent
        ("uof:49", "", "inactive", 0, None),  # status 0, no outcomes: they stay as they are
        ("uof:123", "game=3|point=1|set=2", "suspended", 2, True),
        ("uof:188", "", "active", 5, True),
        ("uof:899", "", "active", 36, True),
        ("uof:145", "variant=sr:point_range:76+", "inactive", 5, True),  # status -4
        ("uof:888", "player=sr:player:361790", "active", 4, True),
        ("uof:891", "goalnr=1|player=sr:player:122702", "active", 4, True),
    ]
    assert cancel["type"] == "cancel"
    assert cancel["markets"] == [{"market": "uof:145", "line": "variant=sr:point_range:76+", "source": "145"}]
    assert "from" not in cancel
    assert "to" not in cancel


def test_odds_change_outcomes(odds_change: list[dict[str, Any]]) -> None:
    markets = {each["market"]: each for each in odds_change[1]["markets"]}
    scorers = {each["id"]: each for each in markets["uof:899"]["outcomes"]}
    assert scorers["sr:player:10077"] == {
        "id": "sr:player:10077",
        "source": "sr:player:10077",
        "participant": "uof:sr:player:10077",
        "odds": "200.0",
        "active": True,
        "probability": "0.000897094",  # 8.97094E-4
        "info": {"team": "1"},
    }
    assert scorers["sr:player:2614"]["odds"] is None
    assert scorers["sr:player:2614"]["active"] is False
    assert scorers["sr:player:164343"]["probability"] == "0.0000000099"  # 9.9E-9
    assert scorers["sr:player:111505"]["odds"] == "135.0"
    inactive = [each for each in scorers.values() if not each["active"]]
    assert len(inactive) == 14
    assert all(each["odds"] is None for each in inactive)
    # an inactive outcome may have odds, and keeps them
    assert [(each["odds"], each["active"]) for each in markets["uof:188"]["outcomes"]] == [
        ("1.4", True),
        ("1.5", False),
        ("1.87", True),
        ("1.9", True),
        ("2.1", False),
    ]
    assert [each["id"] for each in markets["uof:145"]["outcomes"]][:1] == ["sr:point_range:76+:1132"]
    assert markets["uof:123"]["info"] == {"extended_specifiers": "pero=2"}
    assert markets["uof:47"]["info"] == {"favourite": "1", "next_betstop": "12345"}


def test_market_descriptions_with_variants(feeds: Path) -> None:
    normalised = read(feeds / "uof/recorded/markets-0.xml", Asked())
    assert (normalised.messages, normalised.refusals, normalised.ignored) == ((), (), 1)
    assert normalised.learnt is not None
    learnt = {key: msgspec.json.decode(value) for key, value in normalised.learnt.reference.items()}
    assert set(learnt) == {
        "uof:market:1",
        "uof:market:11",
        "uof:market:21",
        "uof:market:21:sr:exact_goals:6+",
        "uof:market:575",
        "uof:market:892",
        "uof:market:892:sr:goalscorer:fieldplayers_nogoal_owngoal_other",
    }
    assert learnt["uof:market:575"] == {
        "name": "10 minutes - total corners from {from} to {to}",
        "groups": ["all", "10_min", "corners"],
        "outcomes": {"13": "under {total}", "12": "over {total}"},
    }
    assert learnt["uof:market:21:sr:exact_goals:6+"]["groups"] is None
    assert learnt["uof:market:21:sr:exact_goals:6+"]["outcomes"]["sr:exact_goals:6+:74"] == "6+"


def test_market_descriptions_in_another_language(feeds: Path) -> None:
    normalised = read(feeds / "uof/recorded/markets-1.xml", Asked())
    assert normalised.learnt is not None
    learnt = {key: msgspec.json.decode(value) for key, value in normalised.learnt.reference.items()}
    assert set(learnt) == {"uof:market:1", "uof:market:10", "uof:market:16", "uof:market:18"}
    assert learnt["uof:market:18"]["name"] == "Ukupno golova"
    assert learnt["uof:market:18"]["outcomes"] == {"13": "manje od {total}", "12": "više od {total}"}


def test_what_is_learnt_names_markets_and_their_groups(feeds: Path) -> None:
    asked = Asked("football")
    for file in ("markets-0", "markets-1", "player_profile_m"):
        asked.take(read(feeds / f"uof/recorded/{file}.xml", asked))
    document = """<odds_change product="1" event_id="sr:match:1" timestamp="5"><odds>
      <market id="18" specifiers="total=2.5"><outcome id="12" odds="2.0"/><outcome id="13" odds="1.8"/></market>
      <market id="16" specifiers="hcp=-0.25"><outcome id="1714" odds="2.0"/><outcome id="1715" odds="1.8"/></market>
      <market id="21" specifiers="variant=sr:exact_goals:6+"><outcome id="sr:exact_goals:6+:74" odds="9"/></market>
      <market id="892" specifiers="goalnr=2|version=1"><outcome id="sr:player:947" odds="9"/></market>
      <market id="575" specifiers="from=1|to=10|total=0.5" status="-1"/>
    </odds></odds_change>"""
    (odds,) = shown(read(document, asked))
    told = [
        (each["market"], each["name"], each["groups"][1:], [one["name"] for one in each.get("outcomes", ())])
        for each in odds["markets"]
    ]
    regular = ["score", "regular_play"]
    assert told == [
        ("total", "Ukupno golova", regular, ["više od 2.5", "manje od 2.5"]),
        ("asian_handicap", "Handicap", regular, ["home (-0.25)", "away (+0.25)"]),
        ("uof:21", "Exact goals", regular, ["6+"]),
        ("uof:892", "2nd goalscorer", ["regular_play", "scorers"], ["Barnard, Lee"]),
        ("uof:575", "10 minutes - total corners from 1 to 10", ["10_min", "corners"], []),
    ]
