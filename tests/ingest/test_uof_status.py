"""Scores of all four sports: periods, clocks, details, statuses."""

from typing import Any

import pytest
from uof_driver import Asked, read, shown

from sb_core import sports
from sb_ingest.providers.uof_status import _PERIODS


def score(sport: str, attributes: str, inside: str = "") -> dict[str, Any]:
    document = f"""<odds_change product="1" event_id="sr:match:42" timestamp="1000">
      <sport_event_status {attributes}>{inside}</sport_event_status></odds_change>"""
    normalised = read(document, Asked(sport))
    (message,) = normalised.messages
    assert sports.check(message, sports.get(sport)).problems == ()
    return shown(normalised)[0]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("0", "not_started"),
        ("1", "live"),
        ("2", "suspended"),
        ("3", "ended"),
        ("4", "closed"),
        ("5", "cancelled"),
        ("6", "delayed"),
        ("7", "interrupted"),
        ("8", "postponed"),
        ("9", "abandoned"),
        ("inprogress", "live"),
    ],
)
def test_status(number: str, status: str) -> None:
    assert score("football", f'status="{number}"')["status"] == status


@pytest.mark.parametrize(
    ("sport", "code", "period"),
    [
        ("football", "6", "1st_half"),
        ("football", "31", "half_time"),
        ("football", "7", "2nd_half"),
        ("football", "41", "extra_time_1st_half"),
        ("football", "50", "penalties"),
        ("football", "100", None),
        ("football", "8", None),
        ("basketball", "13", "1st_quarter"),
        ("basketball", "302", "break"),
        ("basketball", "40", "overtime"),
        ("tennis", "8", "1st_set"),
        ("tennis", "12", "5th_set"),
        ("hockey", "3", "3rd_period"),
        ("hockey", "52", "penalties"),
        ("football", "2nd_half", "2nd_half"),
    ],
)
def test_period(sport: str, code: str, period: str | None) -> None:
    assert score(sport, f'status="1" match_status="{code}"').get("period") == period


def test_every_period_is_one_of_its_sport() -> None:
    for name, periods in _PERIODS.items():
        assert set(periods.values()) <= set(sports.get(name).periods)


def test_tennis() -> None:
    message = score(
        "tennis",
        """status="1" match_status="9" home_score="1" away_score="0" home_gamescore="40" away_gamescore="15"
           current_server="2" tiebreak="false" expedite_mode="false" """,
        """<period_scores><period_score match_status_code="9" number="2" home_score="3" away_score="2"/>
           <period_score match_status_code="8" number="1" home_score="6" away_score="4"/></period_scores>""",
    )
    assert (message["home"], message["away"], message["period"]) == (1, 0, "2nd_set")
    assert message["periods"] == [
        {"number": 1, "type": "set", "home": 6, "away": 4},
        {"number": 2, "type": "set", "home": 3, "away": 2},
    ]
    assert message["details"] == {"game_home": 40, "game_away": 15, "server": "away", "tie_break": False}


def test_a_retirement_explains_a_drawn_score() -> None:
    message = score("tennis", 'status="3" match_status="95" home_score="1" away_score="1"')
    assert message["details"] == {"retired": True}


def test_overtimes_are_counted() -> None:
    message = score(
        "basketball",
        'status="1" match_status="40" home_score="101.0" away_score="99"',
        """<clock match_time="50:30" remaining_time="4:30" stopped="true"/><period_scores>
           <period_score match_status_code="40" number="1" home_score="4" away_score="4"/>
           <period_score match_status_code="16" number="4" home_score="20" away_score="20"/>
           <period_score match_status_code="40" number="2" home_score="2" away_score="0"/></period_scores>""",
    )
    assert message["home"] == 101
    assert message["clock"] == {"elapsed_s": 3030, "remaining_s": 270, "stopped": True}
    assert [(each["type"], each["number"]) for each in message["periods"]] == [
        ("quarter", 4),
        ("overtime", 1),
        ("overtime", 2),
    ]


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ('status="99"', ""),
        ('status="1" home_score="one"', ""),
        ('status="1" home_score="1.5"', ""),
        ('status="1" home_score="-1"', ""),
        ('status="1"', '<clock match_time="soon"/>'),
        ('status="1"', '<clock match_time="1:00" stopped="perhaps"/>'),
        ('status="1"', '<period_scores><period_score match_status_code="6" home_score="x"/></period_scores>'),
        ('status="1"', '<statistics><corners home="many" away="1"/></statistics>'),
    ],
)
def test_what_cannot_be_read_refuses_the_score(attributes: str, inside: str) -> None:
    document = f"""<odds_change product="1" event_id="sr:match:42" timestamp="1000">
      <sport_event_status {attributes}>{inside}</sport_event_status></odds_change>"""
    normalised = read(document, Asked("football"))
    assert normalised.messages == ()
    (refusal,) = normalised.refusals
    assert (refusal.code, refusal.event, refusal.ts) == ("schema", "uof:sr:match:42", 1000)


@pytest.mark.parametrize("inside", ["", '<period_score match_status_code="9" home_score="1" away_score="1"/>'])
def test_periods_of_another_sport_are_left_out(inside: str) -> None:
    message = score("football", 'status="1"', f"<period_scores>{inside}</period_scores>")
    assert message["periods"] == []
