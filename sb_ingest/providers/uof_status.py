"""Scores: UOF's sport_event_status, of the feed and of the REST summary, as a score message.

The rule: a number that can't be read refuses the score; a code that we have no word for is left out, because a label
unknown to us should not close an event. Codes are those of Sportradar's match_status descriptions.
"""

import re
from collections.abc import Mapping
from typing import Final

from lxml import etree
from msgspec import UNSET, UnsetType

from sb_core.errors import FeedError
from sb_core.messages import Clock, EventStatus, Info, PeriodScore, ScoreChange
from sb_core.sports import Sport, find
from sb_ingest.providers.uof_document import Head, child, children, count, flag, integer
from sb_ingest.xml import local

_STATUSES: Final[Mapping[str, EventStatus]] = {
    "0": "not_started",
    "1": "live",
    "2": "suspended",
    "3": "ended",
    "4": "closed",
    "5": "cancelled",
    "6": "delayed",
    "7": "interrupted",
    "8": "postponed",
    "9": "abandoned",
    "not_started": "not_started",
    "scheduled": "not_started",
    "created": "not_started",
    "booked": "not_started",
    "match_about_to_start": "not_started",
    "live": "live",
    "inprogress": "live",
    "started": "live",
    "suspended": "suspended",
    "ended": "ended",
    "complete": "ended",
    "closed": "closed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "delayed": "delayed",
    "start_delayed": "delayed",
    "interrupted": "interrupted",
    "postponed": "postponed",
    "abandoned": "abandoned",
}
"""The feed's numbers and REST's words."""

_PERIODS: Final[Mapping[str, Mapping[str, str]]] = {
    "football": {
        "6": "1st_half",
        "31": "half_time",
        "7": "2nd_half",
        "32": "awaiting_extra_time",
        "41": "extra_time_1st_half",
        "33": "extra_time_half_time",
        "42": "extra_time_2nd_half",
        "34": "awaiting_penalties",
        "50": "penalties",
    },
    "basketball": {
        "13": "1st_quarter",
        "14": "2nd_quarter",
        "15": "3rd_quarter",
        "16": "4th_quarter",
        "6": "1st_half",
        "7": "2nd_half",
        "31": "half_time",
        "30": "break",
        "301": "break",
        "302": "break",
        "303": "break",
        "32": "awaiting_overtime",
        "40": "overtime",
    },
    "tennis": {"8": "1st_set", "9": "2nd_set", "10": "3rd_set", "11": "4th_set", "12": "5th_set", "30": "break"},
    "hockey": {
        "1": "1st_period",
        "2": "2nd_period",
        "3": "3rd_period",
        "30": "break",
        "301": "break",
        "302": "break",
        "32": "awaiting_overtime",
        "40": "overtime",
        "34": "awaiting_penalties",
        "35": "awaiting_penalties",
        "50": "penalties",
        "52": "penalties",
    },
}
"""`Score.period` by match_status."""

_STRETCHES: Final[Mapping[str, tuple[str, int]]] = {
    "1": ("period", 1),
    "2": ("period", 2),
    "3": ("period", 3),
    "6": ("half", 1),
    "7": ("half", 2),
    "8": ("set", 1),
    "9": ("set", 2),
    "10": ("set", 3),
    "11": ("set", 4),
    "12": ("set", 5),
    "13": ("quarter", 1),
    "14": ("quarter", 2),
    "15": ("quarter", 3),
    "16": ("quarter", 4),
    "40": ("overtime", 0),
    "41": ("overtime", 1),
    "42": ("overtime", 2),
    "50": ("penalties", 0),
    "51": ("penalties", 0),
    "52": ("penalties", 0),
}
"""Type and number of a period's score by match_status_code; 0: the document says which."""

_ENDINGS: Final[Mapping[str, str]] = {
    "92": "retired",
    "93": "walkover",
    "94": "walkover",
    "95": "retired",
    "96": "retired",
    "97": "defaulted",
    "98": "defaulted",
}
_SIDES: Final = {"1": "home", "2": "away"}
_CLOCK: Final = re.compile(r"([0-9]{1,4})(?::([0-9]{1,2}))?", re.ASCII)
_COUNTED: Final = ("yellow_cards", "red_cards", "yellow_red_cards", "corners")
_TEAM_COUNTED: Final = {
    "yellow_cards": "yellow_cards",
    "red_cards": "red_cards",
    "yellow_red_cards": "yellow_red_cards",
    "corner_kicks": "corners",
    "corners": "corners",
}


def event_status(text: str | None) -> EventStatus | UnsetType:
    """Return the status of an event by number or word; UNSET where nothing is said. Raises FeedError `schema`."""
    if text is None:
        return UNSET
    status = _STATUSES.get(text)
    if status is None:
        raise FeedError("schema", f"{text[:40]!r} is no status of an event")
    return status


def score_message(status: etree._Element, head: Head, details: Info | None = None) -> ScoreChange:
    """Turn a sport_event_status into a score message; `details` are what the document counts elsewhere.

    Raises FeedError `schema`.
    """
    sport = find(head.sport)
    code = status.get("match_status_code") or status.get("match_status") or ""
    return ScoreChange(
        **head.fields(),
        status=event_status(status.get("status_code") or status.get("status")),
        home=count(status, "home_score"),
        away=count(status, "away_score"),
        period=_period(code, status.get("match_status") or "", sport),
        clock=_clock(child(status, "clock")),
        periods=_periods(status, sport),
        details={**(details or {}), **_details(status, code, sport)},
    )


def team_details(summary: etree._Element, sides: Mapping[str, str]) -> Info:
    """Count cards and corners of a REST summary's statistics; `sides` leads from team ids to home and away."""
    found: Info = {}
    for name in ("statistics", "totals", "teams"):
        below = child(summary, name)
        if below is None:
            return found
        summary = below
    for team in children(summary, "team"):
        side = sides.get(team.get("id", ""))
        statistics = child(team, "statistics")
        if side is None or statistics is None:
            continue
        for theirs, ours in _TEAM_COUNTED.items():
            counted = count(statistics, theirs)
            if counted is not None:
                found[f"{ours}_{side}"] = counted
    return found


def _period(code: str, word: str, sport: Sport | None) -> str | None:
    if sport is None:
        return None
    period = _PERIODS.get(sport.name, {}).get(code)
    if period is None and word in sport.periods:
        return word
    return period


def _clock(clock: etree._Element | None) -> Clock | None:
    if clock is None:
        return None
    return Clock(
        elapsed_s=_seconds(clock.get("match_time") or clock.get("played")),
        remaining_s=_seconds(clock.get("remaining_time")),
        stopped=flag(clock, "stopped"),
    )


def _seconds(text: str | None) -> int | None:
    """Read `mm:ss`, or minutes alone."""
    if text is None:
        return None
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise FeedError("schema", f"{text[:40]!r} is no clock")
    return int(match[1]) * 60 + int(match[2] or 0)


def _periods(status: etree._Element, sport: Sport | None) -> tuple[PeriodScore, ...]:
    scores = child(status, "period_scores")
    if scores is None or sport is None:
        return ()
    found: list[PeriodScore] = []
    for each in scores:
        stretch = _STRETCHES.get(each.get("match_status_code", ""))
        kind, number = stretch or (each.get("type", ""), 0)
        said = integer(each, "number")
        if kind not in sport.period_types:
            continue
        number = number or said or 1 + sum(one.type == kind for one in found)
        found.append(
            PeriodScore(type=kind, number=number, home=count(each, "home_score"), away=count(each, "away_score"))
        )
    order = list(sport.period_types)
    return tuple(sorted(found, key=lambda one: (order.index(one.type), one.number)))


def _details(status: etree._Element, code: str, sport: Sport | None) -> Info:
    """Collect what the sport counts beside the score: only under names that it has."""
    found: Info = {}
    statistics = child(status, "statistics")
    for each in () if statistics is None else statistics:
        if local(each) in _COUNTED:
            found[f"{local(each)}_home"] = count(each, "home")
            found[f"{local(each)}_away"] = count(each, "away")
    for side in ("home", "away"):
        found[f"game_{side}"] = count(status, f"{side}_gamescore")
        if sport is not None and sport.name == "football":
            found[f"penalties_{side}"] = count(status, f"{side}_penalty_score")
    found["server"] = _SIDES.get(status.get("current_server", ""))
    found["possession"] = _SIDES.get(status.get("possession", ""))
    found["tie_break"] = flag(status, "tiebreak")
    if code in _ENDINGS:
        found[_ENDINGS[code]] = True
    known = sport.details if sport is not None else ()
    return {name: value for name, value in found.items() if value is not None and name in known}
