"""Merging: the sum leaves the same event as its parts, and says what was shut in between."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sb_core import shown
from sb_core.messages import Score
from sb_distribute.conflate import URGENT, Change, Waiting, merge, restrict
from sb_distribute.cursor import Position
from sb_distribute.wire import JSON, MSGPACK

KEYS = (("1x2", ""), ("total", "total=2.5"), ("total", "total=3.5"))

BEFORE = Position([0], [1])


def market(key, *, is_open, odds="1.50"):
    return shown.Market(
        market=key[0],
        line=key[1],
        status="active" if is_open else "suspended",
        open=is_open,
        outcomes=[shown.Outcome(id="home", odds=odds)],
    )


def moved(key, *, is_open):
    return shown.StatusChange(market=key[0], line=key[1], status="active" if is_open else "settled", open=is_open)


def update(rev, changes, prev=None, cause="odds"):
    return shown.Update(
        event="a:1", sport="football", lineage=1, prev=rev - 1 if prev is None else prev, rev=rev, ts=rev, updated=rev,
        changes=changes, cause_type=cause, at=rev,
    )  # fmt: skip


def change(rev, changes, cause="odds"):
    return Change(shown.raw_update_decoder.decode(shown.encoder.encode(update(rev, changes, cause=cause))))


parts = st.builds(
    lambda markets, statuses, status, goals: shown.Changes(
        event={"status": status} if status else {},
        score=None if goals is None else Score(home=goals),
        markets=[market(key, is_open=is_open, odds=odds) for key, (is_open, odds) in markets.items()],
        statuses=[moved(key, is_open=is_open) for key, is_open in statuses.items() if key not in markets],
    ),
    st.dictionaries(st.sampled_from(KEYS), st.tuples(st.booleans(), st.sampled_from(["1.50", "2.00"]))),
    st.dictionaries(st.sampled_from(KEYS), st.booleans()),
    st.sampled_from(["", "live", "ended"]),
    st.none() | st.integers(0, 3),
)


@given(st.lists(parts, min_size=1, max_size=8))
def test_a_merge_leaves_the_same_event(changes):
    # the fold says only of markets that there are that their status moved
    begin = shown.apply_changes(
        shown.empty("a:1", "football"), update(1, shown.Changes(markets=[market(key, is_open=True) for key in KEYS]))
    )
    states = [begin]
    for rev, each in enumerate(changes, start=2):
        states.append(shown.apply_changes(states[-1], update(rev, each)))
    merged = merge(changes)
    at_once = shown.apply_changes(begin, update(len(changes) + 1, merged, prev=1))
    assert at_once == states[-1]
    for key in KEYS:
        is_open = [each.open for state in states for each in state.markets if (each.market, each.line) == key]
        named = shown.MarketKey(market=key[0], line=key[1]) in merged.closed
        if is_open[-1] and not all(is_open):
            assert named
        if not is_open[-1] or all(is_open):
            assert not named


def test_closed_in_parts_stays_named():
    named = shown.MarketKey(market="1x2", line="")
    assert merge([shown.Changes(closed=[named]), shown.Changes()]).closed == [named]


def test_restrict_keeps_the_events_own_fields():
    changes = shown.Changes(event={"status": "live"}, markets=[market(key, is_open=True) for key in KEYS])
    assert [each.market for each in restrict(changes, frozenset({"1x2"})).markets] == ["1x2"]
    assert restrict(changes, frozenset()).event == {"status": "live"}
    assert restrict(shown.Changes(markets=[market(KEYS[0], is_open=True)]), frozenset({"total"})) is None


def test_one_change_passes_its_bytes_on_and_is_encoded_once():
    one = change(2, shown.Changes(markets=[market(KEYS[0], is_open=True)]))
    waiting = Waiting.of(one, BEFORE, None)
    first = waiting.item(JSON, 1, 7)
    assert waiting.item(JSON, 1, 7) is first
    said = msgspec.json.decode(first)
    assert bytes(one.raw.changes) in bytes(first)
    assert list(said) == ["event", "sport", "lineage", "prev", "rev", "ts", "updated", "sent", "con", "changes"]
    assert (said["prev"], said["rev"], said["sent"], said["con"]) == (1, 2, 7, False)
    assert msgspec.msgpack.decode(waiting.item(MSGPACK, 1, 7)) == said
    assert said.keys() < {field.encode_name for field in msgspec.structs.fields(shown.Update)}, (
        "the record has them too"
    )
    assert msgspec.json.decode(waiting.item(JSON, 0, 7))["prev"] == 0
    for sent in (8, 6):
        assert msgspec.json.decode(waiting.item(JSON, 1, sent))["sent"] == sent, "clocks go back, too"
    first = waiting.item(JSON, 1, int("1780000000000"))
    assert waiting.item(JSON, 1, int("1780000000000")) is first


def test_one_change_passes_on_what_it_does_not_know():
    record = shown.encoder.encode(update(2, shown.Changes(event={"status": "live"})))
    newer = Change(shown.raw_update_decoder.decode(record.replace(b'"changes":{', b'"changes": {"later": [1], ')))
    assert b'{"later": [1], ' in bytes(Waiting.of(newer, BEFORE, None).item(JSON, 1, 7))


def test_what_waits_knows_its_size():
    changes = [change(rev, shown.Changes(event={"name": "n" * 10**rev})) for rev in (2, 3, 4)]
    waiting = Waiting.of(changes[0], BEFORE, None).then(changes[1]).then(changes[2])
    assert waiting.bytes == sum(len(bytes(each.raw.changes)) for each in changes)


def test_several_changes_become_one_item():
    one = Waiting.of(change(2, shown.Changes(markets=[market(KEYS[0], is_open=False)])), BEFORE, None)
    waiting = one.then(change(3, shown.Changes(statuses=[moved(KEYS[0], is_open=True)])))
    said = msgspec.json.decode(waiting.item(JSON, 1, 7))
    assert (said["prev"], said["rev"], said["con"]) == (1, 3, True)
    assert said["changes"]["closed"] == [{"market": "1x2", "line": ""}]
    assert said["changes"]["markets"][0]["open"]
    assert (one.version, waiting.version, waiting.before) == ((1, 2), (1, 3), BEFORE)
    assert not msgspec.json.decode(one.item(JSON, 1, 7))["con"]


def test_what_is_urgent():
    for cause in ("bet_stop", "settlement", "cancel", "hold", "producer"):
        assert change(2, shown.Changes(), cause).urgent
        assert cause in URGENT
    for cause in ("odds", "score", "fixture", "release", ""):
        assert not change(2, shown.Changes(), cause).urgent
