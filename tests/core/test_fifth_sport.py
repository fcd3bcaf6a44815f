"""A fifth sport is one file and one line: shown on a copy of the package, in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import sb_core

HANDBALL = '''
"""Handball: two halves, goals, and draws."""

from sb_core.sports.catalogue import HOME_DRAW_AWAY, OVER_UNDER, Sport, catalogue, market

SPORT = Sport(
    name="handball",
    title="Handball",
    periods=("1st_half", "half_time", "2nd_half"),
    period_types={"half": 2},
    score="goals",
    details=(),
    markets=catalogue(
        market("1x2", "1x2", HOME_DRAW_AWAY),
        market("total", "Total goals", OVER_UNDER, "total"),
    ),
)
'''

SHOWN = """
from sb_core import sports, topics
from sb_core.messages import MarketOdds, Odds, OutcomeOdds, PeriodScore, ScoreChange
from sb_core.sports import check

assert sports.names() == topics.SPORTS == ("football", "basketball", "tennis", "hockey", "handball")
specs = {spec.name: spec.partitions for spec in topics.specs()}
assert specs["sports-feed-handball"] == specs["sports-updates-handball"] == 12
handball = sports.get("handball")
assert sorted(handball.markets) == ["1x2", "total"]

def odds(market, line, *outcomes):
    priced = tuple(OutcomeOdds(id=each, odds="1.9") for each in outcomes)
    return Odds(ts=1, event="acme:1", markets=(MarketOdds(market=market, line=line, outcomes=priced),))

clean = check(odds("total", "total=55.50", "over", "under"), handball)
assert clean.message.markets[0].line == "total=55.5"
assert clean.message.markets[0].outcomes[0].odds == "1.90"
assert check(odds("asian_handicap", "hcp=0", "home"), handball).problems[0].code == "bad_id"
third = ScoreChange(ts=1, event="acme:1", periods=(PeriodScore(number=3, type="half"),))
assert check(third, handball).problems[0].code == "rule_period"
print("shown")
"""


def test_a_fifth_sport_is_one_file_and_one_line(tmp_path):
    source = Path(sb_core.__file__).parent
    package = tmp_path / "sb_core"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "sports" / "handball.py").write_text(HANDBALL)
    registry = package / "sports" / "__init__.py"
    before = registry.read_text()
    registry.write_text(before.replace('    "hockey",\n', '    "hockey",\n    "handball",\n', 1))
    assert len(registry.read_text().splitlines()) == len(before.splitlines()) + 1
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "shown\n"
