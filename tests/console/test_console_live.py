"""The real console against a really running pipeline, driven as an operator does."""

import json
import threading
import time

import pytest
from console_parts import profile_of
from driver import drive
from local_pipeline import PORTS
from ports import free_offset

from sb_console.record import Recording

pytestmark = pytest.mark.e2e


def test_an_operators_round(live, live_profile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def work(see):
        await see.begun()
        await see.until("account  accepted")
        await see.until("everything keeps up", wait_s=90.0)
        await see.press("2")
        await see.until("8 of 8 services are OK")
        await see.press("enter")
        await see.until("body_bytes_total")
        await see.press("enter", "escape", "escape", "3")
        await see.until("in 48 partitions")
        await see.press("e")
        await see.until("48 rows written")
        await see.press("4")
        await see.until(" odds ")
        await see.press("/", "sport=football market=1x2 odds>1", "enter")
        await see.until("filter sport=football")
        await see.until(lambda: see.app.live.stream.filter == "sport=football market=1x2 odds>1")
        await see.press("enter")
        await see.until("markets open")
        await see.press("t")
        await see.until("change log of")
        assert see.text == see.painted, "the terminal is given what was painted"
        return see.app.live.trace

    trace = drive(live_profile, work)
    event, _, rev = trace.key.rpartition("@")
    history = live.get(f"/v1/events/{event}/history", from_rev=rev, limit=1)["items"][0]
    assert (trace.after.rev, trace.before.rev) == (int(rev), int(rev) - 1)
    assert trace.steps[0].at == history["ts"]
    assert json.loads(trace.message)["event"] == event
    assert [step.stage for step in trace.steps][:4] == ["provider", "ingest", "log", "process"]


def test_freeze_time_travel_and_the_write_lock(live, live_profile):
    async def work(see):
        await see.begun()
        await see.press("7")
        await see.until("a second wanted")
        rate = live.http.get(f"{live.url(4004)}/v1/state").json()["rate"]
        await see.press("+")
        await see.until("the write lock is on")
        await see.press("w", "local", "enter")
        await see.until(" write ")
        await see.press("+")
        await see.until(f"{2 * rate:g} a second wanted")
        assert live.http.get(f"{live.url(4004)}/v1/state").json()["rate"] == 2 * rate
        await see.press("-")
        await see.until(f"{rate:g} a second wanted")
        await see.press("8")
        await see.until("curl -X PATCH")
        at = see.app.live.timeline[-1].at
        await see.press("enter")
        await see.until("REPLAY")
        assert see.app.snapshot.at <= at
        assert not see.app.ui.unlocked, "another moment can't be changed"
        await see.press("7", "+")
        await see.until("this is another moment")
        await see.press("L")
        await see.until("LIVE")
        await see.press("space")
        await see.until("FROZEN")
        frozen, alive = see.app.snapshot, see.app.live.at
        await see.until(lambda: see.app.live.at > alive + 1_000)
        assert see.app.snapshot is frozen
        await see.press("space")
        await see.until("LIVE")

    drive(live_profile, work)


def test_a_poison_message_is_seen_mended_and_replayed_once(live, live_profile):
    poison = {"type": "odds", "ts": 1_780_000_000_500, "event": "poison:1", "markets": [
        {"market": "1x2", "outcomes": [{"id": "home", "odds": "2.10"}, {"id": "draw", "odds": "3.40"},
                                       {"id": "away", "odds": "3.60"}]}]}  # fmt: skip
    fixture = {
        "type": "fixture",
        "ts": 1_780_000_000_000,
        "event": "poison:1",
        "sport": "football",
        "name": "Mended v Poison",
    }

    async def work(see):
        await see.begun()
        await see.press("5")
        await see.until(lambda: "dead letters" in see.app.live.sources)
        known = {letter.id for letter in see.app.live.letters}
        sent = time.monotonic()
        answer = live.post("/v1/feeds/canonical", json.dumps(poison))
        assert answer.status_code == 422, answer.text
        code = answer.json()["refused"][0]["code"]
        await see.until(lambda: any(each.event == "poison:1" and each.id not in known for each in see.app.live.letters))
        await see.until(code)
        print(f"seen after {time.monotonic() - sent:.2f} s")
        rows = [each for each in see.app.live.letters if each.event == "poison:1"]
        see.app.ui = see.app.ui.go("letters", (("code", code), ("letter", rows[-1].id)))
        await see.press("d")
        await see.until("a replay would be refused")
        assert live.post("/v1/feeds/canonical", json.dumps(fixture)).status_code == 202
        await see.press("d")
        await see.until("a replay would be accepted")
        await see.press("w", "local", "enter", "r")
        await see.until("Type 'replay 1'")
        await see.press("replay 1", "enter")
        await see.until("the replay was accepted")
        await see.press("8")
        await see.until("sb deadletters replay 0-")
        return rows[-1]

    drive(live_profile, work)
    until = time.monotonic() + 30
    while time.monotonic() < until and "odds" not in [entry["type"] for entry in live.history("poison:1")]:
        time.sleep(0.1)
    time.sleep(1)  # a second time would have come by now
    history = live.history("poison:1")
    assert [entry["type"] for entry in history].count("odds") == 1
    event = live.event("poison:1")
    assert [outcome["odds"] for outcome in event["markets"][0]["outcomes"]] == ["2.10", "3.40", "3.60"]


HOSTILE = "\x1b[31mEvil\x1b[2J [bold red]x[/] \u202egnp\u202c مكبي\x07"


def test_hostile_names_go_through_the_whole_pipeline_and_leave_the_screen_as_it_is(live, live_profile):
    fixture = {"type": "fixture", "ts": 1_780_000_000_000, "event": "hostile:1", "sport": "football", "name": HOSTILE}
    assert live.post("/v1/feeds/canonical", json.dumps(fixture)).status_code == 202

    async def work(see):
        await see.begun()
        await see.press(":", "event hostile:1", "enter")
        await see.until("Evil")
        name = see.app.live.board.name  # ingest takes control characters out; the rest of it is the console's business
        assert "\u202e" in name
        assert "[bold red]" in name
        text = see.text
        assert not any(each in text for each in "\x1b\x07\u202e\u202c")
        assert "[bold red]x[/] ·gnp·" in text
        svg = see.app.export_screenshot()
        assert "\x1b" not in svg

    drive(live_profile, work)


def test_nothing_is_up(tmp_path):
    async def work(see):
        await see.until("no service answers")
        for number in "12345678":
            await see.press(number)
        await see.press("3")
        await see.until("positions down: there is no")
        assert see.app.beside.death is None

    drive(profile_of(tmp_path / "absent", free_offset(*PORTS)), work, size=(80, 24))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_plays_and_seeks(recorded, live_profile):
    path, snapshot = recorded

    async def work(see):
        await see.until("REPLAY ▶")
        begun = see.app.player.at
        await see.until(lambda: see.app.player.at > begun + 500)
        await see.press("space", "L")
        await see.until("REPLAY ■")
        assert see.app.snapshot.services == snapshot.services
        assert see.app.player.at == see.app.player.last
        await see.press("w")
        await see.until("can't be changed")

    drive(live_profile, work, recording=Recording.read(path))


def test_ending_leaves_no_thread_behind(live_profile):
    before = {each.name for each in threading.enumerate()}

    async def work(see):
        await see.begun()
        await see.press("q")

    drive(live_profile, work)
    left = {each.name for each in threading.enumerate()} - before
    # Trio's idle workers are named so, and end by themselves after ten seconds without work
    assert {name for name in left if not name.startswith("Trio thread ")} <= {"asyncio_0"}
    assert "collectors" not in {each.name for each in threading.enumerate()}
