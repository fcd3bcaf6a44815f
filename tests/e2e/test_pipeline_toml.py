"""`pipeline.toml` drops a market type and adds a step from an entry point, in a pipeline that really runs."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from local_pipeline import ROOT, Pipeline, balanced

pytestmark = pytest.mark.e2e

STEP = '''
"""Steps of a desk of its own."""

import msgspec

from sb_core.errors import FeedError
from sb_core.messages import Fixture


def house_rules(message):
    if isinstance(message, Fixture) and isinstance(message.name, str):
        if "friendly" in message.name.lower():
            return None
        if "banned" in message.name.lower():
            raise FeedError("rule_house", "not with us", event=message.event)
        return msgspec.structs.replace(message, name=message.name.upper())
    return message
'''


def install(folder):
    """Install a distribution with an entry point, as pip would leave it."""
    (folder / "desk_steps.py").write_text(STEP)
    info = folder / "desk_steps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: desk-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sb.steps]\nhouse_rules = desk_steps:house_rules\n")


def odds(event, market, line, outcomes):
    priced = [{"id": each, "odds": "2.00"} for each in outcomes]
    return {
        "type": "odds",
        "ts": 1000,
        "event": event,
        "sport": "football",
        "markets": [{"market": market, "line": line, "status": "active", "outcomes": priced}],
    }


def fixture(event, name):
    return {"type": "fixture", "ts": 1000, "event": event, "sport": "football", "name": name}


def test_a_market_type_is_dropped_and_a_step_added(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    configuration = tmp_path / "pipeline.toml"
    configuration.write_text(
        textwrap.dedent("""
            [sports.football]
            markets = ["1x2"]

            [[steps]]
            name = "house_rules"
            sports = ["football"]
        """)
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    pipeline = Pipeline(tmp_path / "data", pipeline=configuration)
    pipeline.start("--feed", "none")
    try:
        feed = [
            fixture("x:1", "Alpha v Beta"),
            fixture("x:2", "A Friendly"),
            fixture("x:3", "Banned v All"),
            odds("x:1", "1x2", "", ("home", "draw", "away")),
            odds("x:1", "total", "total=2.5", ("over", "under")),
        ]
        answer = pipeline.post("/v1/feeds/canonical", json.dumps(feed))
        assert answer.status_code == 202
        codes = [(each["index"], each["code"]) for each in answer.json()["refused"]]
        assert (2, "rule_house") in codes
        assert balanced(pipeline.wait_through())
        event = pipeline.get("/v1/events/x:1")
        assert event["name"] == "ALPHA V BETA"
        priced = {each["market"]: each["open"] for each in event["markets"]}
        assert priced["1x2"] is True
        assert not priced.get("total", False)
        assert {each["event"] for each in pipeline.events()} <= {"x:1", "x:3"}
    finally:
        pipeline.kill()


def test_a_misspelt_key_is_named_and_nothing_starts(tmp_path):
    configuration = tmp_path / "pipeline.toml"
    configuration.write_text("[sports.football]\nmarket = ['1x2']\n")
    environment = {**os.environ, "SB_DATA": str(tmp_path / "data"), "SB_PIPELINE": str(configuration)}
    ended = subprocess.run(
        [sys.executable, "-m", "sb_local", "--feed", "none"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "sports.football.market" in ended.stderr
    assert "did you mean 'markets'" in ended.stderr
