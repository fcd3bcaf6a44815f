"""Events over REST: the event itself, tags, waiting for a rev, markets, forms of odds, names and ids of all kinds."""

import hashlib
from urllib.parse import quote

import msgspec
import pytest
import trio

from sb_core import odds
from sb_core.errors import UnavailableError
from sb_core.shown import encoder

EVENT = "uof:sr:match:42"


def test_an_event_is_what_was_stored(in_world, make):
    async def test(world):
        saved = await world.save(
            EVENT,
            event={
                "name": "A vs B",
                "start": 5,
                "status": "live",
                "competitors": [make.competitor("uof:c:1", "A", "home")],
            },
            markets=[make.market("total", "total=2.5"), make.market("1x2", odds={"home": "2.00"})],
        )
        found = await world.get(f"/v1/events/{EVENT}")
        assert found == msgspec.json.decode(encoder.encode(saved))
        assert [each["market"] for each in found["markets"]] == ["1x2", "total"]

    in_world(test)


@pytest.mark.parametrize(
    "event",
    [
        "uof:sr:match:42",
        "p:a/b",
        "p:a//b",
        "p:x/markets",
        "p:history",
        "p:50% off?&#=",
        "p:%2F",
        "p:İstanbul \u0131",
        "p:日本",
        "p: ",
        "p:..",
        "p:+",
    ],
)
def test_ids_of_all_kinds_are_found_escaped(in_world, make, event):
    async def test(world):
        await world.save(event, markets=[make.market("1x2")])
        escaped = quote(event, safe="")
        assert (await world.get(f"/v1/events/{escaped}"))["event"] == event
        assert len((await world.get(f"/v1/events/{escaped}/markets"))["items"]) == 1
        assert len((await world.get(f"/v1/events/{escaped}/history"))["items"]) == 1

    in_world(test)


def test_colons_may_stand_raw_or_escaped_and_slashes_raw(in_world):
    async def test(world):
        await world.save(EVENT)
        await world.save("p:a/b")
        for path in ("uof:sr:match:42", "uof%3Asr%3Amatch%3A42", "uof%3asr:match%3a42"):
            assert (await world.get(f"/v1/events/{path}"))["event"] == EVENT
        response = await world.client.get("/v1/events/p:a/b")
        assert response.json()["event"] == "p:a/b"
        assert (await world.client.get("/v1/events/p:a/b/history")).json()["items"]

    in_world(test)


def test_an_unknown_event_is_a_problem(in_world):
    async def test(world):
        for path in ("/v1/events/uof:none", "/v1/events/uof:none/markets", "/v1/events/uof:none/history"):
            found = await world.problem(path, 404, "unknown_event")
            assert set(found) == {"type", "title", "status", "detail", "code", "instance"}
        await world.problem("/v1/events/%ff%fe", 404, "unknown_event")
        await world.problem("/v1/events/%00", 404, "unknown_event")

    in_world(test)


def test_tags_name_lineage_and_rev_and_staleness(in_world):
    async def test(world):
        await world.save(EVENT)
        await world.save(EVENT)
        for path in (f"/v1/events/{EVENT}", f"/v1/events/{EVENT}/markets", f"/v1/events/{EVENT}?odds=american"):
            world.node.stale_sports.clear()
            fresh = await world.response(path)
            assert (fresh.headers["etag"], fresh.json()["stale"]) == ('"1.2"', False)
            world.node.stale_sports.add("football")
            stale = await world.response(path)
            assert (stale.headers["etag"], stale.json()["stale"]) == ('"1.2-stale"', True)
            world.node.stale_sports = {"tennis"}
            assert (await world.get(path))["stale"] is False

    in_world(test)


def test_who_has_the_state_gets_304(in_world):
    async def test(world):
        await world.save(EVENT)
        path = f"/v1/events/{EVENT}"
        for named in ('"1.1"', 'W/"1.1"', '"0.9", "1.1"', "*"):
            response = await world.response(path, 304, If_None_Match=named)
            assert response.content == b""
            assert response.headers["etag"] == '"1.1"'
        for named in ('"1.2"', '"1.1-stale"', "1.1", ""):
            await world.response(path, 200, If_None_Match=named)
        world.node.stale_sports.add("football")
        await world.response(path, 200, If_None_Match='"1.1"')
        await world.response(path, 304, If_None_Match='"1.1-stale"')
        world.node.stale_sports.clear()
        await world.save(EVENT)
        await world.response(path, 200, If_None_Match='"1.1"')

    in_world(test)


def test_another_lineage_is_another_state(in_world):
    async def test(world):
        await world.save(EVENT)
        await world.save(EVENT, lineage=2)
        assert (await world.response(f"/v1/events/{EVENT}")).headers["etag"] == '"2.2"'

    in_world(test)


def test_answers_are_encoded_once_per_state(in_world, make):
    async def test(world):
        await world.save(EVENT, markets=[make.market("1x2", odds={"home": "2.00"})])
        first = await world.get(f"/v1/events/{EVENT}?odds=american")
        assert first == await world.get(f"/v1/events/{EVENT}?odds=american")
        await world.save(EVENT, markets=[make.market("1x2", odds={"home": "3.00"})])
        later = await world.get(f"/v1/events/{EVENT}?odds=american")
        assert [each["markets"][0]["outcomes"][0]["odds"] for each in (first, later)] == ["+100", "+200"]
        metrics = (await world.client.get("/metrics")).text
        assert "sb_data_distribution_rest_answers_hits_ratio 0.333" in metrics

    in_world(test)


def test_min_rev_is_there_already_or_waited_for(in_world):
    async def test(world):
        await world.save(EVENT)
        assert (await world.get(f"/v1/events/{EVENT}?min_rev=1"))["rev"] == 1

        async def later():
            await trio.sleep(0.2)
            await world.save(EVENT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            assert (await world.get(f"/v1/events/{EVENT}?min_rev=2"))["rev"] == 2

    in_world(test)


def test_min_rev_waits_for_an_event_that_nobody_knows_yet(in_world):
    async def test(world):
        async def later():
            await trio.sleep(0.2)
            await world.save(EVENT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            assert (await world.get(f"/v1/events/{EVENT}?min_rev=1"))["rev"] == 1

    in_world(test)


def test_min_rev_that_does_not_come_is_425(in_world):
    async def test(world):
        await world.save(EVENT)
        for path in (f"/v1/events/{EVENT}?min_rev=9", f"/v1/events/{EVENT}/markets?min_rev=9"):
            begun = trio.current_time()
            response = await world.response(path, 425)
            assert 1.9 < trio.current_time() - begun < 10
            assert response.json()["code"] == "not_yet"
            assert response.headers["retry-after"] == "1"

    in_world(test)


def test_markets_are_filtered(in_world, make):
    async def test(world):
        await world.save(
            EVENT,
            markets=[
                make.market("1x2", status="suspended", open=False),
                make.market("total", "total=2.5"),
                make.market("total", "total=3.5", status="settled", open=False),
                make.market("uof:17", "a,b=1"),
            ],
        )

        async def keys(query):
            found = await world.get(f"/v1/events/{EVENT}/markets?{query}")
            assert (found["rev"], found["lineage"], found["event"], found["next"]) == (1, 1, EVENT, None)
            return [(each["market"], each["line"]) for each in found["items"]]

        everything = [("1x2", ""), ("total", "total=2.5"), ("total", "total=3.5"), ("uof:17", "a,b=1")]
        assert await keys("") == everything
        assert await keys("market=total") == everything[1:3]
        assert await keys("market=total,1x2") == everything[:3]
        assert await keys("market=total&market=1x2") == everything[:3]
        assert await keys("market=none") == []
        assert await keys("status=settled,suspended") == [everything[0], everything[2]]
        assert await keys("open=true") == [everything[1], everything[3]]
        assert await keys("open=false") == [everything[0], everything[2]]
        assert await keys("open=") == everything
        assert await keys("line=total=3.5") == everything[2:3]
        assert await keys("line=") == everything[:1]
        assert await keys("line=a,b=1") == everything[3:]
        assert await keys("market=total&open=true&status=active") == everything[1:2]
        await world.problem(f"/v1/events/{EVENT}/markets?open=maybe", 400, "bad_parameter")
        await world.problem(f"/v1/events/{EVENT}/markets?status=lost", 400, "bad_parameter")

    in_world(test)


def test_many_markets_come_whole_unless_paged(in_world, make):
    async def test(world):
        await world.save(EVENT, markets=[make.market("total", f"total={i}.5") for i in range(150)])
        whole = (await world.get(f"/v1/events/{EVENT}/markets"))["items"]
        assert len(whole) == 150
        pages = await world.pages(f"/v1/events/{EVENT}/markets?limit=40")
        assert [len(page) for page in pages] == [40, 40, 40, 30]
        assert [each for page in pages for each in page] == whole

    in_world(test)


@pytest.mark.parametrize("form", sorted(odds.FORMATS))
def test_every_form_of_odds(in_world, make, form):
    prices = {"a": "1.85", "b": "1.0001", "c": "1000000.00", "d": None, "e": "2.00", "f": "1.0125", "g": "2.50"}
    expected = {
        "american": ["-118", "-1000000", "+99999900", None, "+100", "-8000", "+150"],
        "fractional": ["17/20", "1/10000", "999999/1", None, "1/1", "1/80", "3/2"],
        "hongkong": ["0.85", "0.0001", "999999.00", None, "1.00", "0.0125", "1.50"],
        "malay": ["0.85", "0.0001", "-0.000001", None, "1.00", "0.01", "-0.67"],
        "indonesian": ["-1.18", "-10000.00", "999999.00", None, "1.00", "-80.00", "1.50"],
        "decimal": list(prices.values()),
    }

    async def test(world):
        saved = await world.save(EVENT, markets=[make.market("x:1", odds=prices)])
        stored = encoder.encode(saved)
        market = (await world.get(f"/v1/events/{EVENT}?odds={form}"))["markets"][0]
        assert [each["odds"] for each in market["outcomes"]] == expected[form]
        assert [each["fair"] for each in market["outcomes"]] == expected[form]
        listed = (await world.get(f"/v1/events/{EVENT}/markets?odds={form}"))["items"][0]
        past = (await world.get(f"/v1/events/{EVENT}?at_rev=1&odds={form}"))["markets"][0]
        changed = (await world.get(f"/v1/events/{EVENT}/history?odds={form}"))["items"][0]["changes"]["markets"][0]
        assert listed == market == past == changed
        assert encoder.encode(saved) == stored

    in_world(test)


def test_fair_odds_beyond_the_range_of_odds_are_written_too(in_world, make):
    async def test(world):
        market = make.market("x:1", odds={"a": "1000000.00"})
        market.outcomes[0].fair = "1234567.00"
        await world.save(EVENT, markets=[market])
        found = await world.get(f"/v1/events/{EVENT}?odds=fractional")
        assert found["markets"][0]["outcomes"][0]["fair"] == "1234566/1"

    in_world(test)


@pytest.mark.parametrize(
    "query",
    ["odds=roman", "rev=1", "at=yesterday", "at=2026-06-23T18:00:00", "at_rev=0", "at_rev=x", "min_rev=-1", "odds=decimal&odds=malay", "at=1&at_rev=1", "at_rev=1&min_rev=1", "min_rev=99999999999999999999999"],
)  # fmt: skip
def test_what_can_not_be_asked_is_said(in_world, query):
    async def test(world):
        await world.save(EVENT)
        found = await world.problem(f"/v1/events/{EVENT}?{query}", 400, "bad_parameter")
        assert query.split("=")[0] in found["detail"] or "exclude" in found["detail"]

    in_world(test)


def test_names_survive_as_they_came(in_world, make):
    names = [
        "İstanbul Başakşehir",
        "Kay\u0131\u0131",
        "Nadal R / Alcaraz C",
        "double  space",
        'quote " \\ and <b>',
        "\u202eabc",
        "🎾",
    ]

    async def test(world):
        for number, name in enumerate(names):
            event = f"p:{number}"
            await world.save(event, event={"name": name, "competitors": [make.competitor(f"p:c{number}", name)]})
            assert (await world.get(f"/v1/events/{event}"))["name"] == name
            assert (await world.get(f"/v1/participants/p:c{number}"))["name"] == name
        assert [each["name"] for each in (await world.get("/v1/events"))["items"]] == names

    in_world(test)


def test_a_node_that_can_not_answer_is_503(in_world):
    async def test(world):
        world.node.fails = UnavailableError("the store sleeps")
        response = await world.response(f"/v1/events/{EVENT}", 503)
        assert response.json()["code"] == "unavailable"
        assert response.headers["retry-after"] == "1"

    in_world(test)


def test_only_get_and_head_are_allowed(in_world):
    async def test(world):
        await world.save(EVENT)
        response = await world.client.post(f"/v1/events/{EVENT}", json={})
        assert response.status_code == 405
        assert response.json()["code"] == "method_not_allowed"
        head = await world.client.head(f"/v1/events/{EVENT}")
        assert (head.status_code, head.headers["etag"], head.headers["cache-control"]) == (200, '"1.1"', "no-cache")

    in_world(test)


def test_keys_guard_everything_but_health(in_world):
    def entry(name, key, scope):
        return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}:{scope}"

    async def test(world):
        await world.save(EVENT)
        paths = [
            f"/v1/events/{EVENT}",
            "/v1/events",
            "/v1/sports",
            "/v1/producers",
            "/openapi.json",
            "/docs",
            "/v1/participants/x",
        ]
        for path in paths:
            assert (await world.client.get(path)).status_code == 401
            assert (await world.client.get(path, headers={"Authorization": "Bearer nope"})).status_code == 401
            assert (await world.client.get(path, headers={"Authorization": "Bearer feedkey"})).status_code == 403
            status = (await world.client.get(path, headers={"Authorization": "Bearer readkey"})).status_code
            assert status == (404 if path.endswith("/x") else 200)
        assert (await world.client.get("/health")).status_code == 200

    in_world(test, keys=f"{entry('r', 'readkey', 'read')};{entry('f', 'feedkey', 'feed:uof')}")
