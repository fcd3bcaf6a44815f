"""The main job on recorded Betfair data: REST equals an independent fold of the file, and the account balances."""

from decimal import Decimal

import pytest
from local_pipeline import Pipeline, balanced, running
from plain_betfair import Fold, lines, plain, source

pytestmark = pytest.mark.e2e

STATUS = {"OPEN": "active", "SUSPENDED": "suspended", "INACTIVE": "inactive"}


def fold(path):
    folded = Fold()
    for line in lines(path):
        folded.apply(line)
    return folded


def replayed(tmp_path, *files):
    """Replay files to the end; return the account, and the pipeline started again on the data that was kept."""
    pipeline = Pipeline(tmp_path / "data")
    pipeline.start("--feed", *map(str, files), "--speed", "max", "--until-idle", ready=False)
    code, account = pipeline.finish()
    assert code == 0, pipeline.tail()
    assert account["balanced"] is True
    assert balanced(account)
    return account


def shown_markets(pipeline):
    """All markets that REST shows, by source market and line."""
    found = {}
    for item in pipeline.events():
        event = pipeline.get(f"/v1/events/{item['event']}")
        for market in event["markets"]:
            key = market["source"], market["line"]
            assert key not in found, "two markets for one source"
            found[key] = market
    return found


def test_football_200_markets(tmp_path, feeds):
    path = feeds / "betfair" / "football-1.242971311.bz2"
    account = replayed(tmp_path, path)
    assert account["documents"] == 1736
    folded = fold(path)
    assert len(folded.definitions) == 200
    with running(tmp_path / "data", "--feed", "none") as pipeline:
        shown = shown_markets(pipeline)
    handicaps = 0
    prices = 0
    for market, definition in folded.definitions.items():
        mine = {line: each for (name, line), each in shown.items() if name == market}
        expected_lines = 33 if definition["bettingType"] == "ASIAN_HANDICAP_DOUBLE_LINE" else 1
        assert len(mine) == expected_lines
        handicaps += expected_lines == 33
        outcomes = {
            each["source"]: (each, line) for line, shown_market in mine.items() for each in shown_market["outcomes"]
        }
        assert {each["status"] for each in mine.values()} == {STATUS[definition["status"]]}
        assert len(outcomes) == len(definition["runners"])
        for runner in definition["runners"]:
            name = source(runner["id"], runner.get("hc", 0))
            outcome, line = outcomes[name]
            best = folded.best(market, name)
            if best is None:
                assert (outcome["odds"], outcome["size"]) == (None, None)
            else:
                prices += 1
                assert Decimal(outcome["odds"]) == best[0]
                assert Decimal(outcome["size"]) == best[1]
            assert outcome["active"] is (runner["status"] == "ACTIVE")
            if expected_lines == 33:
                home = runner["sortPriority"] % 2 == 1
                assert outcome["id"] == ("home" if home else "away")
                hcp = runner.get("hc", 0) if home else -runner.get("hc", 0)
                assert line == f"hcp={plain(hcp)}"
            else:
                assert outcome["id"] == {1: "home", 2: "away", 3: "draw"}[runner["sortPriority"]]
    assert handicaps == 60
    assert prices > 500


@pytest.mark.parametrize(
    ("name", "market", "markets"),
    [("tennis-1.223716976.bz2", "match_winner", 1), ("tennis-1.223716981.ndjson", None, 1)],
)
def test_tennis_whole_life(tmp_path, feeds, name, market, markets):
    path = feeds / "betfair" / name
    replayed(tmp_path, path)
    folded = fold(path)
    assert len(folded.definitions) == markets
    (source_id, definition) = next(iter(folded.definitions.items()))
    with running(tmp_path / "data", "--feed", "none") as pipeline:
        event = pipeline.get(f"/v1/events/betfair:{definition['eventId']}")
        history = pipeline.get(f"/v1/events/betfair:{definition['eventId']}/history", limit=1000)["items"]
    shown = next(each for each in event["markets"] if each["source"] == source_id)
    if market is not None:
        assert shown["market"] == market
    assert event["sport"] == "tennis"
    assert event["name"] == definition.get("eventName")
    assert definition["status"] == "CLOSED"
    assert (shown["status"], shown["open"]) == ("settled", False)
    results = {"WINNER": "won", "LOSER": "lost", "REMOVED": "void"}
    for runner in definition["runners"]:
        outcome = next(each for each in shown["outcomes"] if each["source"] == str(runner["id"]))
        assert outcome["result"] == results[runner["status"]]
        last = folded.last.get((source_id, str(runner["id"])))
        if last is not None:
            assert Decimal(outcome["info"]["last"]) == last
    names = [item["changes"]["event"]["name"] for item in history if "name" in item["changes"]["event"]]
    starts = [item["changes"]["event"]["start"] for item in history if "start" in item["changes"]["event"]]
    if market is not None:
        assert names[0] == "Cameron Norrie v Casper Ruud"
        assert names[-1] == "Norrie v Ruud"
        assert len(set(starts)) > 1


def test_refused_files_are_refused_item_by_item_and_keep_their_bytes(tmp_path, feeds):
    greyhounds = feeds / "betfair" / "greyhounds-1.197931750.ndjson"
    truncated = feeds / "betfair" / "tennis-1.223716890-truncated.ndjson"
    pipeline = Pipeline(tmp_path / "data")
    pipeline.start("--feed", str(greyhounds), str(truncated), "--until-idle", ready=False)
    code, account = pipeline.finish()
    assert code == 0, pipeline.tail()
    assert account["accepted"] == 0
    assert account["refused"] == {"unsupported_sport": 166, "malformed": 1}
    with running(tmp_path / "data", "--feed", "none") as served:
        import httpx  # noqa: PLC0415

        letters = httpx.get(served.url(4000) + "/v1/deadletters", params={"code": "malformed"}).json()["items"]
        assert len(letters) == 1
        assert letters[0]["length"] == len(truncated.read_bytes().rstrip(b"\n"))
