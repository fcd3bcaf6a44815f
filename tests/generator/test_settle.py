"""How markets end: tables of scores and results."""

import pytest

from sb_core.messages import PeriodScore
from sb_generator.scene import Moment
from sb_generator.settle import View

SPLIT = {"won": "lost", "lost": "won", "half_won": "half_lost", "half_lost": "half_won", "void": "void"}
ONE_TWO = ("home", "draw", "away")
OVER = ("over", "under")
SIDES = ("home", "away")


def moment(parts, *, kind="half", ended=True, done=(), home=None, away=None, details=None):
    periods = tuple(PeriodScore(number=n, type=k, home=h, away=a) for n, (k, h, a) in _numbered(parts, kind))
    return Moment(
        at_s=0.0,
        home=sum(p.home for p in periods) if home is None else home,
        away=sum(p.away for p in periods) if away is None else away,
        period="x",
        periods=periods,
        incident="end" if ended else "goal",
        details=details or {},
        done=frozenset((p.type, p.number) for p in periods) if ended else frozenset((kind, n) for n in done),
    )


def _numbered(parts, kind):
    for number, part in enumerate(parts, start=1):
        yield (1, part) if isinstance(part[0], str) else (number, (kind, *part))


FOOTBALL = moment([(1, 0), (1, 1)], details={"corners_home": 6, "corners_away": 4})
HOCKEY_OT = moment([(1, 1), (0, 0), (1, 1), ("overtime", 1, 0)], kind="period")
BASKETBALL = moment([(20, 18), (25, 30), (22, 20), (21, 24)], kind="quarter")
TENNIS = moment([(6, 4), (3, 6), (7, 6)], kind="set", home=2, away=1)

TABLE = [
    ("football", FOOTBALL, "1x2", "", ONE_TWO, ("won", "lost", "lost")),
    ("football", FOOTBALL, "1x2_2nd_half", "", ONE_TWO, ("lost", "won", "lost")),
    ("football", FOOTBALL, "draw_no_bet_2nd_half", "", SIDES, ("void", "void")),
    (
        "football",
        FOOTBALL,
        "double_chance",
        "",
        ("home_or_draw", "home_or_away", "draw_or_away"),
        ("won", "won", "lost"),
    ),
    ("football", FOOTBALL, "total", "total=2.5", OVER, ("won", "lost")),
    ("football", FOOTBALL, "total", "total=2.75", OVER, ("half_won", "half_lost")),
    ("football", FOOTBALL, "total", "total=3", OVER, ("void", "void")),
    ("football", FOOTBALL, "total", "total=3.25", OVER, ("half_lost", "half_won")),
    ("football", FOOTBALL, "total", "total=3.5", OVER, ("lost", "won")),
    ("football", FOOTBALL, "away_total", "total=1.5", OVER, ("lost", "won")),
    ("football", FOOTBALL, "asian_handicap", "hcp=-0.75", SIDES, ("half_won", "half_lost")),
    ("football", FOOTBALL, "asian_handicap", "hcp=-1", SIDES, ("void", "void")),
    ("football", FOOTBALL, "asian_handicap", "hcp=-1.25", SIDES, ("half_lost", "half_won")),
    ("football", FOOTBALL, "asian_handicap", "hcp=0.25", SIDES, ("won", "lost")),
    ("football", FOOTBALL, "european_handicap", "hcp=0:1", ONE_TWO, ("lost", "won", "lost")),
    ("football", FOOTBALL, "both_teams_to_score", "", ("yes", "no"), ("won", "lost")),
    ("football", FOOTBALL, "both_teams_to_score_1st_half", "", ("yes", "no"), ("lost", "won")),
    ("football", FOOTBALL, "odd_even", "", ("odd", "even"), ("won", "lost")),
    ("football", FOOTBALL, "correct_score", "", ("1:1", "2:1"), ("lost", "won")),
    ("football", FOOTBALL, "corners_total", "total=9.5", OVER, ("won", "lost")),
    ("football", FOOTBALL, "next_goal", "goalnr=2", ("home", "none", "away"), ("lost", "lost", "won")),
    ("football", FOOTBALL, "next_goal", "goalnr=9", ("home", "none", "away"), None),
    ("hockey", HOCKEY_OT, "1x2", "", ONE_TWO, ("lost", "won", "lost")),
    ("hockey", HOCKEY_OT, "money_line_incl_ot", "", SIDES, ("won", "lost")),
    ("hockey", HOCKEY_OT, "total", "total=4.5", OVER, ("lost", "won")),
    ("hockey", HOCKEY_OT, "total_incl_ot", "total=4.5", OVER, ("won", "lost")),
    ("hockey", HOCKEY_OT, "handicap_incl_ot", "hcp=-1.5", SIDES, ("lost", "won")),
    ("hockey", HOCKEY_OT, "1x2_period", "period=2", ONE_TWO, ("lost", "won", "lost")),
    ("hockey", HOCKEY_OT, "total_period", "period=3|total=1.5", OVER, ("won", "lost")),
    ("hockey", HOCKEY_OT, "overtime", "", ("yes", "no"), ("won", "lost")),
    ("basketball", BASKETBALL, "money_line", "", SIDES, ("lost", "won")),
    ("basketball", BASKETBALL, "handicap_incl_ot", "hcp=4.5", SIDES, ("won", "lost")),
    ("basketball", BASKETBALL, "1x2_1st_half", "", ONE_TWO, ("lost", "lost", "won")),
    ("basketball", BASKETBALL, "total_quarter", "quarter=2|total=54.5", OVER, ("won", "lost")),
    ("basketball", BASKETBALL, "overtime", "", ("yes", "no"), ("lost", "won")),
    ("tennis", TENNIS, "match_winner", "", SIDES, ("won", "lost")),
    ("tennis", TENNIS, "correct_score", "", ("2:0", "2:1"), ("lost", "won")),
    ("tennis", TENNIS, "total_sets", "total=2.5", OVER, ("won", "lost")),
    ("tennis", TENNIS, "set_handicap", "hcp=-1.5", SIDES, ("lost", "won")),
    ("tennis", TENNIS, "total_games", "total=31.5", OVER, ("won", "lost")),
    ("tennis", TENNIS, "game_handicap", "hcp=0.5", SIDES, ("won", "lost")),
    ("tennis", TENNIS, "set_winner", "set=2", SIDES, ("lost", "won")),
    ("tennis", TENNIS, "set_winner", "set=4", SIDES, None),
    ("tennis", TENNIS, "tie_break_set", "set=3", ("yes", "no"), ("won", "lost")),
    ("tennis", TENNIS, "total_games_set", "set=1|total=9.5", OVER, ("won", "lost")),
    ("tennis", TENNIS, "away_wins_a_set", "", ("yes", "no"), ("won", "lost")),
    ("tennis", TENNIS, "no_such_market", "", ("yes", "no"), None),
]


@pytest.mark.parametrize(("sport", "at", "market", "line", "outcomes", "expected"), TABLE)
def test_at_the_end(sport, at, market, line, outcomes, expected):
    facts = {("next_goal", "goalnr=2"): "away"}
    assert View(sport, at, facts).results(market, line, outcomes) == expected


EARLY = [
    ("total", "total=1.5", OVER, ("won", "lost")),
    ("total", "total=1.75", OVER, None),
    ("total", "total=2", OVER, None),
    ("home_total", "total=0.5", OVER, ("won", "lost")),
    ("away_total", "total=1.5", OVER, None),
    ("both_teams_to_score", "", ("yes", "no"), ("won", "lost")),
    ("1x2", "", ONE_TWO, None),
    ("1x2_1st_half", "", ONE_TWO, ("lost", "won", "lost")),
    ("total_1st_half", "total=2.5", OVER, ("lost", "won")),
    ("1x2_2nd_half", "", ONE_TWO, None),
    ("asian_handicap", "hcp=-3", SIDES, None),
]


@pytest.mark.parametrize(("market", "line", "outcomes", "expected"), EARLY)
def test_nothing_is_settled_before_it_is_decided(market, line, outcomes, expected):
    at = moment([(1, 1), (0, 0)], ended=False, done=(1,))
    assert View("football", at, {}).results(market, line, outcomes) == expected
