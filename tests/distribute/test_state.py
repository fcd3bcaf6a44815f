"""NodeState against the plain reference: whatever comes, what is held is the sum of what came, or it is wanted."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_core import shown
from sb_distribute.conflate import Change
from sb_distribute.state import WAITING_CHANGES_MAX, NodeState

PARTITIONS = (("sports-feed-football", 0), ("sports-feed-tennis", 0))


def made(held_max=10, ring_max=20):
    return NodeState(PARTITIONS, held_max=held_max, ring_max=ring_max)


def update(rev, at, *, event="a:1", changes=None, lineage=1, prev=None):
    return shown.Update(
        event=event, sport="football", lineage=lineage, prev=rev - 1 if prev is None else prev, rev=rev, ts=rev,
        updated=rev, changes=changes or shown.Changes(), at=at,
    )  # fmt: skip


def change(*given, **named):
    return Change(shown.raw_update_decoder.decode(shown.encoder.encode(update(*given, **named))))


def market(name, line, odds):
    return shown.Market(market=name, line=line, open=True, outcomes=[shown.Outcome(id="x", odds=odds)])


changes = st.builds(
    lambda markets, statuses, name, score: shown.Changes(
        event={} if name is None else {"name": name, "competitors": [{"id": "a:c", "side": "home"}], "surprise": 1},
        score=score,
        markets=[market(*key, odds) for key, odds in markets.items()],
        statuses=[shown.StatusChange(market=key[0], line=key[1], status="settled", open=False) for key in statuses],
    ),
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "l=1"])), st.sampled_from(["1.5", "2.5"])),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "l=1"]))),
    st.none() | st.text(max_size=3),
    st.none() | st.builds(shown.Score, home=st.integers(0, 9)),
)


@given(st.lists(changes, min_size=1, max_size=12))
def test_the_sum_of_changes_is_the_reference(given_changes):
    state, oracle = made(), shown.empty("a:1", "football")
    for rev, each in enumerate(given_changes, start=1):
        value = shown.encoder.encode(update(rev, rev, changes=each))
        step = state.apply(0, Change(shown.raw_update_decoder.decode(value)))
        oracle = shown.apply_changes(oracle, shown.update_decoder.decode(value))
        assert step.outcome == "applied"
        held = state.live("a:1").snapshot()
        assert held.event == oracle
        assert (held.lineage, held.rev) == (1, rev)
        assert state.live("a:1").snapshot() is held


def test_a_snapshot_given_away_stays_as_it_was():
    state = made()
    state.apply(0, change(1, 0, changes=shown.Changes(markets=[market("a", "", "1.5")])))
    before = state.live("a:1").snapshot().event
    state.apply(0, change(2, 1, changes=shown.Changes(event={"name": "x"}, markets=[market("a", "", "2.5")])))
    assert before.markets[0].outcomes[0].odds == "1.5"
    assert before.name is None


def test_repetitions_are_dropped():
    state = made()
    assert state.apply(0, change(1, 5)).outcome == "applied"
    assert state.apply(0, change(1, 5)) is None
    assert state.apply(0, change(1, 5, event="a:2")).outcome == "applied"  # one offset, several events
    assert state.apply(0, change(1, 4, event="a:3")) is None
    assert state.apply(0, change(2, 6)).outcome == "applied"


@pytest.mark.parametrize("first", [change(3, 7), change(2, 7, lineage=2)])
def test_what_does_not_follow_is_wanted_and_loaded_with_what_came_meanwhile(first):
    state = made()
    state.apply(0, change(1, 0))
    assert state.apply(0, first).outcome == "missing"
    assert state.live("a:1") is None
    lineage, rev = first.version
    assert state.needed("a:1") == (lineage, rev - 1)
    assert state.apply(0, change(rev + 1, 9, lineage=lineage)).outcome == "missing"
    assert state.loaded(msgspec.structs.replace(shown.empty("a:1", "football"), rev=1, lineage=1)) is None
    loaded = msgspec.structs.replace(shown.empty("a:1", "football"), rev=rev - 1, lineage=lineage)
    assert state.loaded(loaded).version == (lineage, rev + 1)
    assert not state.wanted
    assert state.apply(0, change(rev + 2, 10, lineage=lineage)).outcome == "applied"


def test_older_than_seen_is_never_taken():
    state = made(held_max=1)
    state.apply(0, change(1, 0))
    state.apply(0, change(2, 1))
    state.apply(0, change(1, 2, event="a:2"))  # pushes a:1 out
    assert state.live("a:1") is None
    assert state.evicted == 1
    old = msgspec.structs.replace(shown.empty("a:1", "football"), rev=1)
    assert state.loaded(old) is None
    assert state.loaded(msgspec.structs.replace(old, rev=2)).version == (1, 2)


def test_loaded_beyond_what_was_read_then_read():
    state = made()
    state.want("a:1")
    state.loaded(msgspec.structs.replace(shown.empty("a:1", "football"), rev=5))
    assert state.apply(0, change(4, 0)).outcome == "seen"
    assert state.apply(0, change(5, 1)).outcome == "seen"
    assert state.apply(0, change(6, 2)).outcome == "applied"
    assert [each.version[1] for each in state.since(0, 1)] == [5, 6]


def test_what_waits_for_a_load_is_bounded():
    state = made()
    for rev in range(2, 2 + 3 * WAITING_CHANGES_MAX):
        state.apply(0, change(rev, rev))
    assert len(state.wanted["a:1"]) <= WAITING_CHANGES_MAX


def test_a_change_that_cannot_be_read_makes_the_event_wanted():
    state = made()
    state.apply(0, change(1, 0))
    broken = Change(
        shown.raw_update_decoder.decode(shown.encoder.encode(update(2, 1)).replace(b'"markets":[]', b'"markets":7'))
    )
    assert state.apply(0, broken).outcome == "missing"
    assert state.since(0, 1) is None


class TestRing:
    def test_it_reaches_back_as_far_as_it_can(self):
        state = made(ring_max=6)  # three a partition
        for rev in range(1, 6):
            state.apply(0, change(rev, rev * 10))
        assert [each.raw.at for each in state.since(0, 30)] == [30, 40, 50]
        assert [each.raw.at for each in state.since(0, 21)] == [30, 40, 50]
        assert state.since(0, 20) is None
        assert list(state.since(0, 51)) == []
        assert list(state.since(1, 0)) == []

    def test_what_the_store_says_bounds_it(self):
        state = made()
        state.begin(0, lineage=1, done_offset=40, next_offset=50)
        assert state.position.offsets == (40, 0)
        assert state.since(0, 40) is None  # may have been sent before this node began to read
        assert list(state.since(0, 50)) == []
        state.apply(0, change(7, 30))
        assert state.position.offsets == (40, 0)
        assert state.since(0, 30) is None  # others of offset 30 may not have been read
        state.apply(0, change(8, 45))
        assert [each.raw.at for each in state.since(0, 31)] == [45]
        assert state.position.offsets == (45, 0)

    def test_a_raised_lineage_begins_anew(self):
        state = made()
        state.apply(0, change(1, 10))
        state.apply(0, change(2, 5, lineage=2))
        assert state.position.lineages == (2, 1)
        assert state.position.offsets == (5, 0)
        assert [each.raw.at for each in state.since(0, 5)] == [5]

    def test_after_a_hole_it_begins_anew(self):
        state = made()
        state.apply(0, change(1, 1))
        state.skip(0, "a:1")
        assert state.since(0, 1) is None
        state.apply(0, change(3, 3))
        assert state.since(0, 3) is None
        state.apply(0, change(4, 4))
        assert [each.raw.at for each in state.since(0, 4)] == [4]


def test_a_sport_is_complete_up_to_its_oldest_partition():
    state = NodeState((*PARTITIONS, ("sports-feed-football", 1)), held_max=1, ring_max=3)
    state.tick(0, 100)
    assert state.complete_to("football") is None
    state.tick(2, 90)
    state.tick(2, 80)
    assert state.complete_to("football") == 90
    assert state.complete_to("tennis") is None
