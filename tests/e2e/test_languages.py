"""The simulator speaks each language into a running pipeline: nothing is refused, and what it says is served."""

import time

import pytest
from local_pipeline import balanced, running

pytestmark = pytest.mark.e2e

LANGUAGES = {"canonical": "sim", "xml": "sim", "uof": "uof", "betfair": "betfair", "betfair-conflated": "betfair"}
RATE = 40.0


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with running(tmp_path_factory.mktemp("languages") / "data", "--feed", "none") as started:
        yield started


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_understood(pipeline, language):
    url = pipeline.url(4004)
    before = pipeline.account()
    known = {each["event"] for each in pipeline.events()}
    patched = pipeline.http.patch(f"{url}/v1/state", json={"language": language, "rate": RATE, "seed": 3})
    assert patched.status_code == 200
    pipeline.http.post(f"{url}/v1/start")
    until = time.monotonic() + 60
    while pipeline.account()["accepted"] < before["accepted"] + 150:
        assert time.monotonic() < until, pipeline.http.get(f"{url}/v1/state").json()
        time.sleep(0.1)
    state = pipeline.http.post(f"{url}/v1/stop").json()
    assert (state["refused"], state["failed"]) == ({}, 0)
    while pipeline.http.get(f"{url}/v1/state").json()["waiting"]:
        time.sleep(0.05)
    account = pipeline.wait_through()
    assert balanced(account)
    assert account["refused"] == before["refused"] == {}
    assert account["dead_lettered"] == {}
    said = [each for each in pipeline.events() if each["event"] not in known]
    assert len(said) > 3
    assert {each["event"].partition(":")[0] for each in said} == {LANGUAGES[language]}
    # no older than the store has it: a node reads the updates a moment later
    shown = [pipeline.get(f"/v1/events/{each['event']}", min_rev=each["rev"]) for each in said]
    assert any(market["open"] for event in shown for market in event["markets"]), pipeline.get("/v1/producers")
    assert all(event["name"] for event in shown)
