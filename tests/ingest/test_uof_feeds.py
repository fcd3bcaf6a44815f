"""Every recorded UOF document, with what must come of it, worked out by hand from the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from uof_driver import KEY, Asked, read, shown

from sb_core import sports


class Row(NamedTuple):
    file: str
    messages: list[dict[str, Any]]
    sport: str | None = None
    key: str | None = None
    ignored: int = 0
    learnt: Mapping[str, object] = {}


HEAD = {"provider": "uof", "event": "uof:sr:match:42", "sport": "football"}
FEED = {**HEAD, "producer": "1", "ts": 1653576646190, "request": "7"}
REST = {**HEAD, "ts": 1782208800000}
FIRST_GOAL = {"market": "uof:1", "line": "goalnr=1", "source": "1"}
FIXTURE = {
    **REST,
    "type": "fixture",
    "start": 1782237600000,
    "competition": {"id": "uof:sr:tournament:1", "name": "Premier League", "category": "England"},
    "competitors": [{"id": "uof:sr:competitor:1", "name": "Team A", "side": "home", "players": []}],
}
DOUBLES = {
    "type": "fixture",
    "provider": "uof",
    "event": "uof:sr:match:13616027",
    "sport": "tennis",
    "ts": 1576064255000,
    "name": "Hossam Y / Taweel I H vs Goldhoff G / Gornet A",
    "start": 1516699800000,
    "status": "closed",
    "competitors": [
        {
            "id": "uof:sr:competitor:328169",
            "name": "Hossam Y / Taweel I H",
            "side": "home",
            "players": [
                {"id": "uof:sr:competitor:53491", "name": "Taweel, Issam Haitham"},
                {"id": "uof:sr:competitor:110109", "name": "Hossam, Youssef"},
            ],
        },
        {
            "id": "uof:sr:competitor:406755",
            "name": "Goldhoff G / Gornet A",
            "side": "away",
            "players": [
                {"id": "uof:sr:competitor:92845", "name": "Goldhoff, George"},
                {"id": "uof:sr:competitor:167212", "name": "Gornet, Alexander"},
            ],
        },
    ],
}


def outcome(source: str, odds: str, probability: str | None, **more: object) -> dict[str, Any]:
    return {"id": source, "source": source, "odds": odds, "active": True, "probability": probability, **more}


def result(source: str, how: str, ours: str | None = None) -> dict[str, Any]:
    return {"id": ours or source, "source": source, "result": how}


ALL_TYPES = [
    Row(
        "alive",
        [{"type": "alive", "provider": "uof", "producer": "1", "ts": 1653576646190}],
    ),
    Row(
        "snapshot_complete",
        [{"type": "snapshot_complete", "provider": "uof", "producer": "1", "ts": 1653576646190, "request": "7"}],
    ),
    Row("bet_stop", [{**FEED, "type": "bet_stop", "status": "inactive"}], key=KEY),
    Row(
        "odds_change",
        [
            {
                **FEED,
                "producer": "3",
                "type": "score",
                "status": "live",
                "home": 1,
                "away": 2,
                "period": "2nd_half",
                "clock": {"elapsed_s": 4260, "remaining_s": 1140, "stopped": False},
                "periods": [
                    {"number": 1, "type": "half", "home": 1, "away": 0},
                    {"number": 2, "type": "half", "home": 0, "away": 2},
                ],
                "details": {
                    "yellow_cards_home": 2,
                    "yellow_cards_away": 1,
                    "red_cards_home": 0,
                    "red_cards_away": 1,
                    "corners_home": 6,
                    "corners_away": 4,
                    "penalties_home": 0,
                    "penalties_away": 0,
                },
            },
            {
                **FEED,
                "producer": "3",
                "type": "odds",
                "markets": [
                    {
                        **FIRST_GOAL,
                        "status": "active",
                        "complete": True,
                        "info": {
                            "favourite": "1",
                            "cashout_status": "1",
                            "next_betstop": "1653576700000",
                            "start_time": "1653576000000",
                        },
                        "outcomes": [
                            outcome("1", "2.25", "0.425694", info={"team": "1"}),
                            outcome("2", "3.55", "0.267471"),
                            outcome("3", "3.10", "0.306834"),
                        ],
                    }
                ],
            },
        ],
        key=KEY,
    ),
    Row(
        "bet_settlement",
        [
            {
                **FEED,
                "type": "settlement",
                "certainty": "confirmed",
                "markets": [{**FIRST_GOAL, "outcomes": [result("1", "won"), result("2", "lost"), result("3", "lost")]}],
            }
        ],
        key=KEY,
    ),
    Row(
        "bet_cancel",
        [
            {
                **FEED,
                "type": "cancel",
                "markets": [FIRST_GOAL],
                "from": 1653570000000,
                "to": 1653576000000,
                "reason": "0",
            }
        ],
        key=KEY,
    ),
    Row(
        "rollback_bet_cancel",
        [
            {
                **FEED,
                "type": "cancel_rollback",
                "markets": [FIRST_GOAL],
                "from": 1653570000000,
                "to": 1653576000000,
            }
        ],
        key=KEY,
    ),
    Row("rollback_bet_settlement", [{**FEED, "type": "settlement_rollback", "markets": [FIRST_GOAL]}], key=KEY),
    Row("fixture_change", [{**FEED, "type": "fixture", "status": "cancelled", "start": 1653576000000}], key=KEY),
    Row("api-fixtures_fixture", [{**FIXTURE, "status": "not_started"}]),
    Row("api-schedule", [FIXTURE]),
    Row(
        "api-match_summary",
        [
            {
                **FIXTURE,
                "competitors": [
                    {
                        "id": "uof:sr:competitor:1",
                        "name": "Team A",
                        "side": "home",
                        "players": [{"id": "uof:sr:player:10", "name": "Player Ten"}],
                    }
                ],
            },
            {
                **REST,
                "type": "score",
                "status": "live",
                "home": 1,
                "away": 2,
                "period": "2nd_half",
                "clock": {"elapsed_s": 4260, "remaining_s": None, "stopped": False},
                "periods": [{"number": 1, "type": "half", "home": 1, "away": 0}],
                "details": {"yellow_cards_home": 2, "red_cards_home": 0, "corners_home": 6},
            },
        ],
    ),
    Row(
        "api-competitor_profile",
        [],
        ignored=1,
        learnt={
            "uof:player:sr:player:10": {"name": "Player Ten"},
            "uof:player:sr:player:11": {"name": "Player Eleven"},
            "uof:competitor:sr:competitor:1": {"name": "Team A"},
        },
    ),
    Row(
        "api-market_descriptions",
        [],
        ignored=1,
        learnt={
            "uof:market:1:sr:point_range:76+": {
                "name": "1x2",
                "groups": ["all", "score", "regular_play"],
                "outcomes": {"1": "{$competitor1}", "2": "draw", "3": "{$competitor2}"},
            }
        },
    ),
    Row("api-match_status_descriptions", [], ignored=1),
    Row(
        "api-producers",
        [],
        ignored=1,
        learnt={
            "uof:producer:1": {"name": "LO", "description": "Live Odds", "scope": "live", "active": "true"},
            "uof:producer:3": {"name": "Ctrl", "description": "Betradar Ctrl", "scope": "prematch", "active": "true"},
        },
    ),
]

RECORDED = [
    Row(
        "bet_cancel",
        [
            {
                "type": "cancel",
                "provider": "uof",
                "event": "uof:sr:match:18941600",
                "sport": "football",
                "producer": "1",
                "ts": 1564602448841,
                "from": 1564597838000,
                "to": 1564598513000,
                "reason": "12",
                "markets": [{"market": "next_goal_1st_half", "line": "goalnr=1", "source": "62"}],
            }
        ],
        sport="football",
    ),
    Row(
        "rollback_bet_cancel",  # without a product
        [
            {
                "type": "cancel_rollback",
                "provider": "uof",
                "event": "uof:sr:match:4444",
                "sport": "basketball",
                "ts": 1239,
                "markets": [{"market": "uof:48", "line": "score=41.5", "source": "48"}],
            }
        ],
        sport="basketball",
    ),
    Row(
        "fixture-0",
        [
            {
                "type": "fixture",
                "provider": "uof",
                "event": "uof:sr:match:18001015",
                "sport": "football",
                "ts": 1566304511000,
                "name": "Ajax Amsterdam vs Tottenham Hotspur",
                "start": 1557342000000,
                "status": "closed",
                "competition": {
                    "id": "uof:sr:tournament:7",
                    "name": "UEFA Champions League",
                    "category": "International Clubs",
                },
                "competitors": [
                    {"id": "uof:sr:competitor:2953", "name": "Ajax Amsterdam", "side": "home", "players": []},
                    {"id": "uof:sr:competitor:33", "name": "Tottenham Hotspur", "side": "away", "players": []},
                ],
            }
        ],
    ),
    Row(
        "fixture-1",
        [
            {
                "type": "fixture",
                "provider": "uof",
                "event": "uof:sr:match:8696826",
                "sport": "football",
                "ts": 1567690537000,
                "name": "IK Oddevold vs Tvaakers IF",
                "start": 1477936800000,
                "status": "closed",
                "competition": {"id": "uof:sr:tournament:68", "name": "Div 1 Sodra", "category": "Sweden"},
                "competitors": [
                    {"id": "uof:sr:competitor:1860", "name": "IK Oddevold", "side": "home", "players": []},
                    {"id": "uof:sr:competitor:22356", "name": "Tvaakers IF", "side": "away", "players": []},
                ],
            }
        ],
    ),
    Row(
        "fixture-2",
        [
            {
                **DOUBLES,
                "competition": {
                    "id": "uof:sr:tournament:15812",
                    "name": "ITF Egypt F2, Men Doubles",
                    "category": "ITF Men",
                },
            }
        ],
    ),
    Row("fixture-3", [DOUBLES], sport="tennis"),  # without a tournament, so that only the hint says the sport
    Row("player_profile_f", [], ignored=1, learnt={"uof:player:sr:player:948": {"name": "Jessica, Lee"}}),
    Row("player_profile_m", [], ignored=1, learnt={"uof:player:sr:player:947": {"name": "Barnard, Lee"}}),
    Row("player_profile_u", [], ignored=1, learnt={"uof:player:sr:player:949": {"name": "Chan, Jack"}}),
]


@pytest.mark.parametrize(
    ("folder", "row"),
    [("all-types", row) for row in ALL_TYPES] + [("recorded", row) for row in RECORDED],
    ids=lambda value: value if isinstance(value, str) else value.file,
)
def test_document(feeds: Path, folder: str, row: Row) -> None:
    normalised = read(feeds / "uof" / folder / f"{row.file}.xml", Asked(row.sport, row.key))
    assert shown(normalised) == row.messages
    assert normalised.refusals == ()
    assert normalised.ignored == row.ignored
    learnt = normalised.learnt.reference if normalised.learnt else {}
    assert {key: msgspec.json.decode(value) for key, value in learnt.items()} == row.learnt
    for message in normalised.messages:
        checked = sports.check(message, sports.find(message.sport) if message.sport else None)
        assert checked.problems == ()


def test_every_file_has_a_row(feeds: Path) -> None:
    elsewhere = {"bet_settlement", "odds_change-0", "markets-0", "markets-1"}  # test_uof_recorded
    for folder, rows in (("all-types", {row.file for row in ALL_TYPES}), ("recorded", {row.file for row in RECORDED})):
        files = {path.stem for path in (feeds / "uof" / folder).glob("*.xml")}
        assert files - (elsewhere if folder == "recorded" else set()) == rows
