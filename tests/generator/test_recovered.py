"""What an answer to a recovery brings back: all that stands of the producer asked, and what ended since, as it was said."""

from sb_core.messages import Cancel, CancelRollback, Fixture, Odds, Settlement, SettlementRollback, SnapshotComplete
from sb_generator.world import World

ORIGIN = 1_782_237_600_000
MINUTE = 60_000
LASTING = Settlement | SettlementRollback | Cancel | CancelRollback


def lasting(messages):
    return {(type(each), each.event, each.ts) for each in messages if isinstance(each, LASTING)}


def test_what_was_settled_since_is_said_again_with_its_own_time():
    world = World(8, ORIGIN, 5.0, live=20)
    early = world.step(ORIGIN + 30 * MINUTE)
    late = world.step(ORIGIN + 60 * MINUTE)
    assert len(lasting(early)) > 30
    again = world.recover(ORIGIN + 60 * MINUTE, "r1", ("1",), ORIGIN + 30 * MINUTE)
    missed = lasting(each for each in late if each.producer == "1")
    assert lasting(again) == missed
    assert len(missed) > 30
    closed = {each.event for each in late if isinstance(each, Fixture) and each.status == "closed"}
    assert {each.event for each in again if isinstance(each, Fixture) and each.status == "closed"} == closed
    assert closed
    assert {each.request for each in again} == {"r1"}


def test_without_a_time_all_of_what_ended_is_said():
    world = World(8, ORIGIN, 5.0, live=20)
    said = world.step(ORIGIN + 60 * MINUTE)
    assert lasting(world.recover(ORIGIN + 60 * MINUTE, "r1")) == lasting(said)


def test_only_the_producer_that_was_asked_answers():
    world = World(8, ORIGIN, 5.0, live=20)
    world.step(ORIGIN + MINUTE)
    for producer in ("1", "3"):
        again = world.recover(ORIGIN + MINUTE, "r1", (producer,))
        assert {each.producer for each in again} == {producer}
        assert sum(isinstance(each, Odds) for each in again) > 5
        assert isinstance(again[-1], SnapshotComplete)
        assert sum(isinstance(each, SnapshotComplete) for each in again) == 1
