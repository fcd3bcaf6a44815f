"""Every recorded UOF file and single Betfair message, posted to a running pipeline: answer, codes, and the state in REST.

The rows are in order, because files of `all-types` speak of one match at one timestamp: each row says what that match has
become after it. Worked out by hand from the files.
"""

from collections import Counter

import pytest
from local_pipeline import balanced, running

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("recorded_files")]

MATCH = "uof:sr:match:42"
NOBODY = (None, {})


def market(name, line="", **facts):
    return {("market", name, line): facts}


# file, ?sport=, accepted units in the answer, event, facts of the event (or of one of its markets)
UOF = [
    ("all-types/alive.xml", "football", 1, *NOBODY),
    ("all-types/api-competitor_profile.xml", "football", 0, *NOBODY),
    (
        "all-types/api-fixtures_fixture.xml",
        None,
        1,
        MATCH,
        {"sport": "football", "status": "not_started", "start": 1_782_237_600_000, "rev": 1, "markets": []},
    ),
    ("all-types/api-market_descriptions.xml", None, 0, *NOBODY),
    ("all-types/api-match_status_descriptions.xml", None, 0, *NOBODY),
    # status 1 is live; score 1:2 in the 2nd half (7), 71:00 played
    ("all-types/api-match_summary.xml", None, 2, MATCH, {"status": "live", "home": 1, "away": 2, "elapsed_s": 4260}),
    ("all-types/api-producers.xml", None, 0, *NOBODY),
    ("all-types/api-schedule.xml", None, 1, MATCH, {"start": 1_782_237_600_000}),
    # a window with an end leaves the status; nobody has priced the market, so it is suspended
    ("all-types/bet_cancel.xml", None, 1, MATCH, market("uof:1", "goalnr=1", status="suspended", cancels=1)),
    (
        "all-types/bet_settlement.xml",
        None,
        1,
        MATCH,
        market("uof:1", "goalnr=1", status="settled", certainty="confirmed"),
    ),
    ("all-types/bet_stop.xml", None, 1, MATCH, market("uof:1", "goalnr=1", status="settled")),
    ("all-types/fixture_change.xml", None, 1, MATCH, {"start": 1_653_576_000_000}),
    # odds never unsettle
    (
        "all-types/odds_change.xml",
        None,
        2,
        MATCH,
        market("uof:1", "goalnr=1", status="settled", odds=["2.25", "3.55", "3.10"]),
    ),
    ("all-types/rollback_bet_cancel.xml", None, 1, MATCH, market("uof:1", "goalnr=1", status="settled", cancels=0)),
    # the stop and both rollbacks have the odds' own timestamp, so none of the odds is newer
    (
        "all-types/rollback_bet_settlement.xml",
        None,
        1,
        MATCH,
        market("uof:1", "goalnr=1", status="suspended", open=False),
    ),
    ("all-types/snapshot_complete.xml", None, 1, *NOBODY),
    (
        "recorded/bet_cancel.xml",
        "football",
        1,
        "uof:sr:match:18941600",
        market("next_goal_1st_half", "goalnr=1", status="suspended", cancels=1, source="62"),
    ),
    (
        "recorded/bet_settlement.xml",
        "football",
        1,
        "uof:sr:match:16807109",
        market(
            "uof:201",
            "",
            status="settled",
            results={"861": "half_won", "862": "lost", "863": "void", "864": "half_lost"},
        ),
    ),
    (
        "recorded/fixture-0.xml",
        None,
        1,
        "uof:sr:match:18001015",
        {"sport": "football", "status": "closed", "competition": "UEFA Champions League"},
    ),
    (
        "recorded/fixture-1.xml",
        None,
        1,
        "uof:sr:match:8696826",
        {"competition": "Div 1 Sodra", "start": 1_477_936_800_000},
    ),
    (
        "recorded/fixture-2.xml",
        None,
        1,
        "uof:sr:match:13616027",
        {"sport": "tennis", "competitors": ["Hossam Y / Taweel I H", "Goldhoff G / Gornet A"]},
    ),
    # no tournament: the sport is known from the fixture before; the competition stays
    (
        "recorded/fixture-3.xml",
        None,
        1,
        "uof:sr:match:13616027",
        {"sport": "tennis", "competition": "ITF Egypt F2, Men Doubles"},
    ),
    ("recorded/markets-0.xml", None, 0, *NOBODY),
    ("recorded/markets-1.xml", None, 0, *NOBODY),
    (
        "recorded/odds_change-0.xml",
        "football",
        3,
        "uof:sr:match:123",
        {
            "status": "live",
            "home": 2,
            "away": 2,
            "elapsed_s": 4502,
            **market("uof:188", "", status="active", open=True, odds=["1.40", "1.50", "1.87", "1.90", "2.10"]),
            **market("uof:49", "", status="inactive"),
            **market("uof:123", "game=3|point=1|set=2", status="suspended"),
            **market("uof:145", "variant=sr:point_range:76+", status="cancelled"),
        },
    ),
    ("recorded/player_profile_f.xml", None, 0, *NOBODY),
    ("recorded/player_profile_m.xml", None, 0, *NOBODY),
    ("recorded/player_profile_u.xml", None, 0, *NOBODY),
    (
        "recorded/rollback_bet_cancel.xml",
        "football",
        1,
        "uof:sr:match:4444",
        market("uof:48", "score=41.5", status="suspended"),
    ),
]

# file, accepted, codes refused
BETFAIR = [
    ("connection.json", 0, {}),
    ("mcm_con_true.json", 0, {"no_image": 1}),
    ("mcm_heartbeat.json", 0, {}),
    ("mcm_live_image.json", 0, {"no_image": 1}),
    ("mcm_live_update.json", 0, {"no_image": 1}),
    ("mcm_market_definition_runner_removed.json", 0, {"unsupported_sport": 1}),
    ("mcm_market_updates.json", 0, {"no_image": 32}),
    ("mcm_resub_delta.json", 2, {"no_image": 41}),
    ("mcm_sub_image.json", 0, {"unsupported_sport": 1}),
    ("mcm_update.json", 0, {"no_image": 1}),
    ("mcm_update_md.json", 2, {}),
    ("mcm_update_tv.json", 0, {"no_image": 1}),
    ("status.json", 0, {}),
    ("status_error.json", 0, {}),
    ("streaming_503.json", 0, {}),
    ("streaming_mcm_RESUB_DELTA.json", 0, {"no_image": 41, "unsupported_sport": 2}),
    ("streaming_mcm_SUB_IMAGE.json", 0, {"unsupported_sport": 1}),
]


def check_market(shown, facts):
    seen = {
        "cancels": len(shown["cancels"]),
        "odds": [outcome["odds"] for outcome in shown["outcomes"]],
        "results": {outcome["id"]: outcome["result"] for outcome in shown["outcomes"]},
    }
    assert {name: seen.get(name, shown.get(name)) for name in facts} == facts


def check_event(event, facts):
    score = event["score"] or {}
    seen = {
        "home": score.get("home"),
        "away": score.get("away"),
        "elapsed_s": (score.get("clock") or {}).get("elapsed_s"),
        "competition": (event["competition"] or {}).get("name"),
        "competitors": [each["name"] for each in event["competitors"]],
    }
    markets = {("market", each["market"], each["line"]): each for each in event["markets"]}
    for name, expected in facts.items():
        if isinstance(name, tuple):
            check_market(markets[name], expected)
        else:
            assert seen.get(name, event.get(name)) == expected, name


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with running(tmp_path_factory.mktemp("files") / "data", "--feed", "none") as started:
        yield started


def test_every_uof_file(pipeline, feeds):
    files = {str(path.relative_to(feeds / "uof")) for path in (feeds / "uof").rglob("*.xml")}
    assert files == {row[0] for row in UOF}, "a file without a row, or a row without a file"
    for name, sport, accepted, event, facts in UOF:
        body = (feeds / "uof" / name).read_bytes()
        answer = pipeline.post("/v1/feeds/uof", body, "application/xml", **({"sport": sport} if sport else {}))
        assert (answer.status_code, answer.json()) == (202, {"accepted": accepted, "refused": []}), name
        pipeline.wait_through()
        if event is not None:
            check_event(pipeline.get(f"/v1/events/{event}"), facts)
    assert balanced(pipeline.account())


def test_uof_without_a_sport_is_refused_as_unknown(pipeline):
    body = b'<bet_stop product="1" event_id="sr:match:777" timestamp="5" groups="all"/>'
    answer = pipeline.post("/v1/feeds/uof", body, "application/xml")
    assert answer.status_code == 422
    assert [each["code"] for each in answer.json()["refused"]] == ["unknown_sport"]


def test_every_betfair_message(pipeline, feeds):
    files = {path.name for path in (feeds / "betfair" / "messages").iterdir()}
    assert files == {row[0] for row in BETFAIR}, "a file without a row, or a row without a file"
    for name, accepted, refused in BETFAIR:
        path = feeds / "betfair" / "messages" / name
        answer = pipeline.post("/v1/feeds/betfair", path.read_bytes(), session=path.stem, recorded=1)
        body = answer.json()
        assert answer.status_code == (422 if refused and not accepted and name != "mcm_market_updates.json" else 202), (
            name
        )
        assert body["accepted"] == accepted, name
        assert Counter(each["code"] for each in body["refused"]) == refused, name
    account = pipeline.wait_through()
    assert balanced(account)
    for event, name in (("28984188", "WINNER"), ("30363344", "GAME_BY_GAME_01_07")):
        shown = pipeline.get(f"/v1/events/betfair:{event}")
        assert [each["market"] for each in shown["markets"]] == [f"betfair:{name}"]
        assert not any(each["open"] for each in shown["markets"])


def test_lsports_files_are_refused_with_codes_and_keep_their_bytes(pipeline, feeds):
    for path in sorted((feeds / "lsports").iterdir()):
        answer = pipeline.post("/v1/feeds/canonical", path.read_bytes())
        assert answer.status_code == 422, path.name
        assert [each["code"] for each in answer.json()["refused"]] == ["schema"]
        assert pipeline.post("/v1/feeds/lsports", path.read_bytes()).json()["code"] == "unknown_provider"
    assert balanced(pipeline.account())
