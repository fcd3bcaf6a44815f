"""REST over the node's own word: staleness by ticks, producers from their topic, events it doesn't hold."""

from sb_core import topics
from sb_core.records import Record
from sb_core.shown import encoder
from sb_distribute.node import ProducerRow

EVENT = "uof:sr:match:42"


def test_without_ticks_everything_is_stale_and_ticks_end_it(in_world, make):
    async def test(world):
        world.node.stale_sports = None
        await world.save(EVENT, markets=[make.market("1x2")])
        await world.save("p:tennis", sport="tennis")

        async def tags():
            return [(await world.response(f"/v1/events/{event}")).headers["etag"] for event in (EVENT, "p:tennis")]

        assert await tags() == ['"1.1-stale"', '"1.1-stale"']
        assert all(each["stale"] for each in (await world.get("/v1/sports"))["items"])
        clock = world.context.clock
        await world.tick(topics.SPORTS, clock.now_ms())
        # the ticks are through when what was published after them is
        await world.save("p:last")
        await world.save("p:last-tennis", sport="tennis")
        await _until(world, "football", False)
        await _until(world, "tennis", False)
        assert await tags() == ['"1.1"', '"1.1"']
        clock.ahead_ms += 5_500
        assert await tags() == ['"1.1-stale"', '"1.1-stale"']
        await world.tick(["tennis"], clock.now_ms())
        await _until(world, "tennis", False)
        assert await tags() == ['"1.1-stale"', '"1.1"']
        listed = {each["event"]: each["stale"] for each in (await world.get("/v1/events"))["items"]}
        assert (listed[EVENT], listed["p:tennis"]) == (True, False)
        assert (await world.get(f"/v1/events/{EVENT}/markets"))["stale"] is True

    in_world(test)


async def _until(world, sport, stale):
    for _ in range(200):
        if {each["sport"]: each["stale"] for each in (await world.get("/v1/sports"))["items"]}[sport] is stale:
            return
        await world.node.wait_rev("p:never", 1, 0.01)
    raise AssertionError(f"{sport} did not become {stale=}")


def test_producers_come_from_their_topic(in_world):
    async def test(world):
        row = ProducerRow(provider="uof", producer="3", state="down", reason="silent", since=5, last_alive=4)
        await world.context.log.append([Record(topics.PRODUCERS, "uof:3", encoder.encode(row), 1)])
        for _ in range(200):
            found = (await world.get("/v1/producers"))["items"]
            if found:
                break
            await world.node.wait_rev("p:never", 1, 0.01)
        assert [(each["provider"], each["producer"], each["state"], each["recovery"]) for each in found] == [
            ("uof", "3", "down", None)
        ]

    in_world(test)
