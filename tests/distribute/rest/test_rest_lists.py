"""Lists over REST: their filters, search, order, paging, the catalogue and the producers."""

import json

import pytest
import trio

from sb_core import sports
from sb_core.errors import UnavailableError
from sb_distribute import rest_events
from sb_distribute.node import ProducerRow
from sb_distribute.rest_answers import mark_stale

DAY_MS = 86_400_000


async def _fill(world, make):
    league = make.competition("uof:t:1", "Süper Lig", "Türkiye")
    open_ = make.competition("uof:t:2", "Open", "Paris")
    rows = [
        ("uof:3", "football", {"name": "Beşiktaş vs Başakşehir", "start": 3 * DAY_MS, "status": "live", "competition": league,
                               "competitors": [make.competitor("uof:c:1", "Beşiktaş", "home"), make.competitor("uof:c:2", "İstanbul Başakşehir", "away")]}),
        ("uof:1", "football", {"name": "Late", "start": DAY_MS, "status": "ended", "competition": league}),
        ("uof:2", "tennis", {"name": "Nadal R / Alcaraz C vs Ruud C", "start": DAY_MS, "status": "not_started", "competition": open_,
                             "competitors": [make.competitor("uof:c:3", "Nadal R / Alcaraz C")]}),
        ("uof:0", "basketball", {"name": "Unknown start"}),
    ]  # fmt: skip
    for event, sport, fields in rows:
        await world.save(event, sport=sport, event=fields, markets=[make.market("1x2")])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["uof:0", "uof:1", "uof:2", "uof:3"]),
        ("sport=football", ["uof:1", "uof:3"]),
        ("sport=football,tennis", ["uof:1", "uof:2", "uof:3"]),
        ("sport=football&sport=tennis", ["uof:1", "uof:2", "uof:3"]),
        ("status=live,ended", ["uof:1", "uof:3"]),
        ("status=not_started", ["uof:0", "uof:2"]),
        ("competition=uof:t:1", ["uof:1", "uof:3"]),
        ("competition=uof:t:1,uof%3At%3A2", ["uof:1", "uof:2", "uof:3"]),
        ("competition=none", []),
        (f"from={DAY_MS}", ["uof:1", "uof:2", "uof:3"]),
        (f"from={DAY_MS + 1}", ["uof:3"]),
        (f"to={3 * DAY_MS}", ["uof:1", "uof:2"]),
        ("from=1970-01-02T02:00:00%2B02:00&to=1970-01-02T00:00:00.001Z", ["uof:1", "uof:2"]),
        ("from=1970-01-02T02:00:00+02:00&to=1970-01-01T23:00:00.001-01:00", ["uof:1", "uof:2"]),
        ("q=besiktas", ["uof:3"]),
        ("q=BAŞAKŞEHİR", ["uof:3"]),
        ("q=istanbul", ["uof:3"]),
        ("q=alcaraz+nadal", ["uof:2"]),
        ("q=%20%20NADAL%20%20R%20/%20ALCARAZ%20", ["uof:2"]),
        ("q=%25", []),
        ("q=_", []),
        ("q=%CC%81", []),
        ("q=", ["uof:0", "uof:1", "uof:2", "uof:3"]),
        ("sport=tennis&status=live", []),
        ("sport=&status=&competition=&from=&to=&q=&limit=&cursor=", ["uof:0", "uof:1", "uof:2", "uof:3"]),
        ("odds=american&limit=2", ["uof:0", "uof:1"]),
    ],
)
def test_events_are_filtered(in_world, make, query, expected):
    async def test(world):
        await _fill(world, make)
        found = await world.get(f"/v1/events?{query}")
        assert [each["event"] for each in found["items"]] == expected
        assert all("markets" not in each for each in found["items"])

    in_world(test)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "bad_parameter"),
        ("limit=1001", "bad_parameter"),
        ("limit=-1", "bad_parameter"),
        ("limit=ten", "bad_parameter"),
        ("limit=1.5", "bad_parameter"),
        ("limit=1&limit=2", "bad_parameter"),
        ("sports=football", "bad_parameter"),
        ("status=over", "bad_parameter"),
        ("sport=cricket", "unknown_sport"),
        ("from=2026-06-23", "bad_parameter"),
        ("from=2026-02-30T00:00:00Z", "bad_parameter"),
        ("from=2026-06-23T18:00:00", "bad_parameter"),
        ("from=2026-06-23T25:00:00Z", "bad_parameter"),
        ("to=99999999999999999999", "bad_parameter"),
        (f"q={'x' * 201}", "bad_parameter"),
        ("cursor=nonsense", "bad_cursor"),
        ("cursor=!!!", "bad_cursor"),
        (f"cursor={'A' * 3000}", "bad_cursor"),
    ],
)
def test_what_can_not_be_asked_of_events_is_said(in_world, query, code):
    async def test(world):
        await world.problem(f"/v1/events?{query}", 400, code)

    in_world(test)


def test_the_limit_goes_to_a_thousand(in_world):
    async def test(world):
        assert (await world.get("/v1/events?limit=1000")) == {"items": [], "next": None}
        assert (await world.get("/v1/events?limit=1")) == {"items": [], "next": None}

    in_world(test)


def test_events_are_paged_through_without_a_hole(in_world):
    async def test(world):
        for number in range(25):
            await world.save(f"p:{number:02}", event={"start": None if number % 5 == 0 else 1_000 * (number % 3)})
        whole = [each["event"] for each in (await world.get("/v1/events"))["items"]]
        assert len(whole) == 25
        for limit in (1, 4, 5, 24, 25, 26):
            pages = await world.pages(f"/v1/events?limit={limit}")
            assert [each["event"] for page in pages for each in page] == whole
            assert all(len(page) == limit for page in pages[:-1])
            assert pages[-1]

    in_world(test)


def test_a_hundred_items_a_page_unless_asked_otherwise(in_world):
    async def test(world):
        for number in range(101):
            await world.save(f"p:{number:03}")
        found = await world.get("/v1/events")
        assert len(found["items"]) == 100
        assert found["next"]
        rest = await world.get(f"/v1/events?cursor={found['next']}")
        assert [each["event"] for each in rest["items"]] == ["p:100"]
        assert rest["next"] is None

    in_world(test)


def test_a_cursor_of_another_list_is_refused(in_world, make):
    async def test(world):
        await _fill(world, make)
        of_events = (await world.get("/v1/events?limit=1"))["next"]
        of_participants = (await world.get("/v1/participants?limit=1"))["next"]
        assert of_events
        assert of_participants
        await world.problem(f"/v1/participants?cursor={of_events}", 400, "bad_cursor")
        await world.problem(f"/v1/events?cursor={of_participants}", 400, "bad_cursor")
        await world.problem(f"/v1/events/uof:1/history?cursor={of_events}", 400, "bad_cursor")
        await world.problem(f"/v1/events/uof:1/markets?cursor={of_events}", 400, "bad_cursor")

    in_world(test)


def test_lists_say_which_events_are_stale(in_world, make):
    async def test(world):
        await _fill(world, make)
        world.node.stale_sports = {"football"}
        found = (await world.get("/v1/events"))["items"]
        assert {each["event"]: each["stale"] for each in found} == {
            "uof:0": False,
            "uof:1": True,
            "uof:2": False,
            "uof:3": True,
        }
        world.node.stale_sports.clear()
        assert not any(each["stale"] for each in (await world.get("/v1/events"))["items"])

    in_world(test)


@pytest.mark.parametrize("header", [b'{"sport":"x","stale":false}', b'{"sport":"x","stale":true}', b'{"stale": false, "sport": "x"}', b'{"sport":"x"}'])  # fmt: skip
@pytest.mark.parametrize("stale", [True, False])
def test_stale_is_filled_in_whatever_the_store_made_of_the_header(header, stale):
    assert json.loads(mark_stale(header, stale=stale)) == {"sport": "x", "stale": stale}


def test_a_name_that_looks_like_the_end_of_a_header_does_no_harm(in_world):
    async def test(world):
        await world.save("p:1", event={"name": '"stale":false}'})
        world.node.stale_sports = {"football"}
        (found,) = (await world.get("/v1/events"))["items"]
        assert (found["name"], found["stale"]) == ('"stale":false}', True)

    in_world(test)


def test_participants(in_world, make):
    async def test(world):
        await _fill(world, make)

        async def ids(query):
            return [each["id"] for each in (await world.get(f"/v1/participants?{query}"))["items"]]

        assert await ids("") == ["uof:c:1", "uof:c:2", "uof:c:3"]
        assert await ids("q=basaksehir") == ["uof:c:2"]
        assert await ids("q=ALCARAZ") == ["uof:c:3"]
        assert await ids("sport=tennis") == ["uof:c:3"]
        assert await ids("q=%CC%81") == []
        pages = await world.pages("/v1/participants?limit=2")
        assert [[each["id"] for each in page] for page in pages] == [["uof:c:1", "uof:c:2"], ["uof:c:3"]]
        found = await world.get("/v1/participants/uof%3Ac%3A2")
        assert (found["name"], found["sport"], found["event"]) == ("İstanbul Başakşehir", "football", "uof:3")
        response = await world.response("/v1/participants/uof:c:2")
        await world.response("/v1/participants/uof:c:2", 304, If_None_Match=response.headers["etag"])
        await world.problem("/v1/participants/uof:c:9", 404, "unknown_participant")
        await world.problem("/v1/participants/uof:c:2?q=x", 400, "bad_parameter")
        await world.problem("/v1/participants?sport=chess", 400, "unknown_sport")

    in_world(test)


def test_participants_with_slashes_in_their_ids(in_world, make):
    async def test(world):
        await world.save("p:1", event={"competitors": [make.competitor("p:a/b", "A/B"), make.competitor("p:%2F", "X")]})
        assert (await world.get("/v1/participants/p:a%2Fb"))["id"] == "p:a/b"
        assert (await world.get("/v1/participants/p:%252F"))["id"] == "p:%2F"

    in_world(test)


def test_competitions(in_world, make):
    async def test(world):
        await _fill(world, make)
        found = (await world.get("/v1/competitions"))["items"]
        assert [(each["id"], each["sport"], each["name"], each["category"]) for each in found] == [
            ("uof:t:1", "football", "Süper Lig", "Türkiye"),
            ("uof:t:2", "tennis", "Open", "Paris"),
        ]
        assert [each["id"] for each in (await world.get("/v1/competitions?sport=tennis"))["items"]] == ["uof:t:2"]
        assert [each["id"] for each in (await world.get("/v1/competitions?q=super"))["items"]] == ["uof:t:1"]
        assert [len(page) for page in await world.pages("/v1/competitions?limit=1")] == [1, 1]

    in_world(test)


def test_sports_and_their_catalogue(in_world):
    async def test(world):
        world.node.stale_sports = {"tennis"}
        found = (await world.get("/v1/sports"))["items"]
        assert [each["sport"] for each in found] == sorted(sports.names())
        assert {each["sport"]: each["stale"] for each in found}["tennis"] is True
        football = {each["market"]: each for each in (await world.get("/v1/sports/football/markets"))["items"]}
        assert football["1x2"]["outcomes"] == ["home", "draw", "away"]
        assert football["1x2"]["line"] == []
        assert football["total"]["outcomes"] == ["over", "under"]
        assert football["total"]["line"] == ["total"]
        assert {"1x2_1st_half", "asian_handicap", "both_teams_to_score"} <= set(football)
        assert "all" in football["total"]["groups"]
        for sport in sports.names():
            pages = await world.pages(f"/v1/sports/{sport}/markets?limit=7")
            names = [each["market"] for page in pages for each in page]
            assert names == sorted(sports.get(sport).markets)
        await world.problem("/v1/sports/cricket/markets", 404, "unknown_sport")
        response = await world.response("/v1/sports/tennis/markets")
        await world.response("/v1/sports/tennis/markets", 304, If_None_Match=response.headers["etag"])

    in_world(test)


def test_producers(in_world):
    async def test(world):
        world.node.rows = [
            ProducerRow(provider="uof", producer="3", state="down", reason="silent", since=5, last_alive=4),
            ProducerRow(provider="betfair", producer="0", state="unknown"),
            ProducerRow(provider="uof", producer="1", state="up", since=7),
        ]
        found = (await world.get("/v1/producers"))["items"]
        assert [(each["provider"], each["producer"], each["state"]) for each in found] == [
            ("betfair", "0", "unknown"),
            ("uof", "1", "up"),
            ("uof", "3", "down"),
        ]
        assert found[2]["reason"] == "silent"
        assert found[2]["last_alive"] == 4
        assert len((await world.get("/v1/producers?provider=uof"))["items"]) == 2
        assert [len(page) for page in await world.pages("/v1/producers?limit=2")] == [2, 1]

    in_world(test)


def test_a_store_that_fails_is_503(in_world, monkeypatch):
    async def test(world):
        async def fail(_query):
            raise UnavailableError("away")

        monkeypatch.setattr(world.store, "events", fail)
        await world.problem("/v1/events", 503, "unavailable")

    in_world(test)


def test_a_store_that_does_not_answer_is_503(in_world, monkeypatch):
    async def test(world):
        async def hang(_query):
            await trio.sleep_forever()

        monkeypatch.setattr(world.store, "events", hang)
        monkeypatch.setattr(rest_events, "READ_S_MAX", 0.1)
        await world.problem("/v1/events", 503, "unavailable")

    in_world(test)


def test_unknown_paths_are_problems(in_world):
    async def test(world):
        await world.problem("/v1/nothing", 404, "not_found")
        await world.problem("/v1/sports/football", 404, "not_found")

    in_world(test)
