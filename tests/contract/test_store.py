"""What every store promises."""

import json
import random
from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from sb_core.errors import DependencyError, FencedError, UnavailableError, UnknownOutcomeError
from sb_core.records import (
    Batch,
    ChangeRow,
    CompetitionRow,
    EventQuery,
    EventRow,
    MarketRow,
    NamedQuery,
    OutcomeRow,
    ParticipantRow,
    Position,
    ShownEvent,
    StoredEvent,
)
from sb_core.topics import partition_of

FEED = "sports-feed-football"
PLACE = (FEED, 3)
NOW = 1_782_240_000_000
DAY_MS = 86_400_000


def event_row(event="uof:sr:match:1", *, rev=1, shown=None, state=b'{"floors":[]}', **fields):
    values = {
        "topic": FEED,
        "partition": 3,
        "sport": "football",
        "lineage": 1,
        "name": "A vs B",
        "start": NOW,
        "status": "live",
        "competition": "uof:sr:tournament:1",
        "ts": NOW,
        "updated": NOW,
        "search": "a vs b",
    }
    header = shown or json.dumps({"event": event, "rev": rev}, ensure_ascii=False).encode()
    return EventRow(event=event, rev=rev, shown=header, state=state, **{**values, **fields})


def market_row(market="1x2", line="", *, event="uof:sr:match:1", shown=b"{}", state=b"{}", **fields):
    values = {"status": "active", "open": True, "producer": "1", "ts": NOW}
    return MarketRow(event=event, market=market, line=line, shown=shown, state=state, **{**values, **fields})


def change_row(offset, rev, *, event="uof:sr:match:1", partition=3, lineage=1, updated=NOW, update=None):
    body = update or json.dumps({"rev": rev, "offset": offset}).encode()
    return ChangeRow(FEED, partition, offset, event, lineage, rev, NOW, updated, "odds", body)


def batch_of(position, count=1, **fields):
    """Make the next batch of a position that was claimed."""
    values = {
        "topic": position.topic,
        "partition": position.partition,
        "epoch": position.epoch,
        "owner": position.owner,
        "expected": position.next_offset,
        "next_offset": position.next_offset + count,
        "done_offset": position.done_offset,
        "state": b"{}",
        "counts": {},
    }
    return Batch(**{**values, **fields})


async def committed(store, position, count=1, **fields):
    """Commit the next batch and return the position after it."""
    batch = batch_of(position, count, **fields)
    await store.commit(batch)
    return replace(position, next_offset=batch.next_offset, done_offset=batch.done_offset, state=batch.state)


def opened(open_store, run, test):
    async def main():
        async with open_store() as store:
            await test(store)

    run(main)


def test_a_claim_makes_the_position_and_raises_its_epoch(open_store, run):
    async def test(store):
        first = await store.claim(PLACE, "one")
        assert first == Position(FEED, 3, 1, 1, "one", 0, 0, first.cache_generation, b"{}")
        await committed(store, first, 7, done_offset=5, state='{"é":1}'.encode())
        second = await store.claim(PLACE, "two")
        assert second == Position(FEED, 3, 1, 2, "two", 7, 5, first.cache_generation, '{"é":1}'.encode())
        await store.claim((FEED, 2), "one")
        await store.claim(("sports-feed-tennis", 3), "one")
        assert [(p.topic, p.partition) for p in await store.positions([FEED])] == [(FEED, 2), PLACE]
        assert (await store.positions([FEED]))[1] == second
        assert await store.positions([]) == []

    opened(open_store, run, test)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": 1},
        {"owner": "one"},
        {"expected": 0},
        {"expected": 6},
        {"partition": 4},
        {"done_before": 9},
        {"cache_generation": 9},
    ],
)
def test_a_batch_that_misses_the_fence_leaves_nothing(open_store, run, wrong):
    async def test(store):
        await store.claim(PLACE, "one")
        position = await committed(store, await store.claim(PLACE, "two"), 5)
        await store.claim((FEED, 4), "four")
        fields = {
            "counts": {"applied": 1},
            "events": [event_row()],
            "markets": [market_row()],
            "changes": [change_row(5, 1)],
            "participants": [ParticipantRow("p", "football", "P", "p", NOW, "e")],
            "listings": [("uof:1", "uof:sr:match:1")],
        }
        with pytest.raises(FencedError):
            await store.commit(batch_of(position, **{**fields, **wrong}))
        assert await store.event("uof:sr:match:1") is None
        assert await store.load(["uof:sr:match:1"]) == {}
        assert await store.outbox(PLACE, 0, 100) == []
        assert await store.participant("p") is None
        assert await store.account([FEED]) == {}
        assert await store.listing(PLACE, "uof:1") == []
        assert (await store.positions([FEED]))[0] == position
        await store.commit(batch_of(position, **fields))
        assert (await store.event("uof:sr:match:1")).rev == 1

    opened(open_store, run, test)


def test_a_batch_sent_again_is_fenced(open_store, run):
    async def test(store):
        batch = batch_of(await store.claim(PLACE, "one"), 2, counts={"applied": 2}, changes=[change_row(0, 1)])
        await store.commit(batch)
        with pytest.raises(FencedError):
            await store.commit(batch)
        assert await store.account([FEED]) == {"applied": 2}
        assert (await store.positions([FEED]))[0].next_offset == 2

    opened(open_store, run, test)


def test_a_batch_without_records_moves_the_done_offset(open_store, run):
    async def test(store):
        position = await committed(store, await store.claim(PLACE, "one"), 4)
        await committed(store, position, 0, done_offset=4)
        position = (await store.positions([FEED]))[0]
        assert (position.next_offset, position.done_offset) == (4, 4)

    opened(open_store, run, test)


def test_an_event_is_shown_with_its_markets_in_order(open_store, run):
    async def test(store):
        keys = [("total", "total=2.5"), ("1x2", ""), ("total", "total=10.5"), ("uof:9", "id=1|x=%7C"), ("Total", "")]
        shown = {key: json.dumps(key).encode() for key in keys}
        state = {key: json.dumps(["state", *key]).encode() for key in keys}
        position = await committed(
            store,
            await store.claim(PLACE, "one"),
            events=[event_row(rev=9, shown=b'{"shown":1}', state=b'{"state":1}')],
            markets=[market_row(*key, shown=shown[key], state=state[key]) for key in keys],
        )
        ordered = sorted(keys)
        event = ShownEvent("uof:sr:match:1", 1, 9, b'{"shown":1}', tuple(shown[key] for key in ordered))
        assert await store.event("uof:sr:match:1") == event
        stored = StoredEvent("uof:sr:match:1", b'{"state":1}', tuple(state[key] for key in ordered))
        assert await store.load(["uof:sr:match:2", "uof:sr:match:1"]) == {"uof:sr:match:1": stored}
        assert await store.event("uof:sr:match:2") is None

        # Later rows replace the earlier ones, those not named stay.
        await committed(
            store,
            position,
            events=[event_row(rev=10, shown=b'{"shown":2}', state=b'{"state":2}', status="ended", start=None)],
            markets=[market_row("1x2", shown=b'"new"', state=b'"newer"', open=False, producer=None)],
        )
        event = await store.event("uof:sr:match:1")
        assert (event.rev, event.header) == (10, b'{"shown":2}')
        assert event.markets == tuple(b'"new"' if key == ("1x2", "") else shown[key] for key in ordered)
        assert (await store.load(["uof:sr:match:1"]))["uof:sr:match:1"].state == b'{"state":2}'
        assert await store.events(EventQuery(statuses=("live",))) == []
        assert await store.events(EventQuery(statuses=("ended",))) == [b'{"shown":2}']

    opened(open_store, run, test)


def test_many_events_are_loaded_at_once(open_store, run):
    async def test(store):
        events = [f"uof:sr:match:{n}" for n in range(1_200)]
        await committed(
            store,
            await store.claim(PLACE, "one"),
            len(events),
            events=[event_row(event, state=json.dumps([event]).encode()) for event in events],
            markets=[market_row(event=event, state=json.dumps(["m", event]).encode()) for event in events],
        )
        found = await store.load([*events, "uof:none", *events])
        assert found == {
            event: StoredEvent(event, json.dumps([event]).encode(), (json.dumps(["m", event]).encode(),))
            for event in events
        }
        assert await store.load([]) == {}

    opened(open_store, run, test)


def test_outcomes_are_upserted(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        for n in range(3):
            rows = [OutcomeRow("e", "1x2", "", each, None, 15_000 + n, True, None) for each in ("home", "draw", "away")]
            position = await committed(store, position, outcomes=rows)
        rows = [OutcomeRow("e", "1x2", "", "home", "Home", None, False, "won")]
        await committed(store, position, outcomes=rows)
        assert (await store.positions([FEED]))[0].next_offset == 4

    opened(open_store, run, test)


def test_older_participants_and_competitions_never_replace_newer_ones(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        steps = [  # (ts, event, name), name that stands after it
            ((100, "e5", "first"), "first"),
            ((99, "e9", "older"), "first"),
            ((100, "e4", "same time, lower event"), "first"),
            ((100, "e5", "again"), "again"),
            ((100, "e6", "same time, higher event"), "same time, higher event"),
            ((101, "e1", "newer"), "newer"),
            ((100, "e6", "late"), "newer"),
        ]
        for (ts, event, name), standing in steps:
            position = await committed(
                store,
                position,
                participants=[ParticipantRow("uof:c:1", "football", name, name, ts, event)],
                competitions=[CompetitionRow("uof:t:1", "football", name, None, name, ts, event)],
            )
            assert (await store.participant("uof:c:1")).name == standing
            assert (await store.competitions(NamedQuery()))[0].name == standing
        # Also within one batch.
        rows = [ParticipantRow("uof:c:2", "football", name, "", ts, "e") for name, ts in (("b", 2), ("c", 3), ("a", 1))]
        await committed(store, position, participants=rows)
        assert (await store.participant("uof:c:2")).name == "c"
        assert await store.participant("uof:c:3") is None

    opened(open_store, run, test)


def test_the_outbox_gives_a_partitions_changes_in_order(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        rows = [change_row(offset, 1, event=f"e{offset}") for offset in range(10)]
        rows += [change_row(10, 2, event=f"e{n}") for n in (7, 3, 5)]  # one record that changed three events
        await committed(store, position, 11, changes=rows)
        other = await store.claim((FEED, 4), "one")
        await committed(store, other, 11, changes=[change_row(3, 1, event="other", partition=4)])
        everything = [*rows[:10], *sorted(rows[10:], key=lambda row: row.event)]
        assert await store.outbox(PLACE, 0, 11) == everything
        assert await store.outbox(PLACE, 3, 5) == rows[3:5]
        assert await store.outbox(PLACE, 5, 5) == []
        assert [row.event for row in await store.outbox((FEED, 4), 0, 11)] == ["other"]

    opened(open_store, run, test)


def test_changes_are_paged_by_offset_and_an_offset_is_never_split(open_store, run):
    async def test(store):
        rng = random.Random(5)
        rows = []
        for offset in range(0, 200, 2):
            rows += [change_row(offset, offset + 1, event=f"e{n}") for n in range(rng.choice((1, 1, 1, 5)))]
        await committed(store, await store.claim(PLACE, "one"), 200, changes=rows)
        for limit in (1, 3, 7, 1_000):
            start, found = 0, []
            while page := await store.changes(PLACE, start, limit):
                assert len({row.offset for row in page}) <= limit
                found += page
                start = page[-1].offset + 1
            assert found == rows
        assert await store.changes((FEED, 4), 0, 10) == []

    opened(open_store, run, test)


def test_history_ascends_and_is_paged_by_rev(open_store, run):
    async def test(store):
        mine = [change_row(n * 2, n + 1) for n in range(50)]
        others = [change_row(n * 2 + 1, n + 1, event="uof:sr:match:2") for n in range(50)]
        changes = [row for pair in zip(mine, others, strict=True) for row in pair]
        await committed(store, await store.claim(PLACE, "one"), 100, changes=changes)
        assert await store.history("uof:sr:match:1", 1, 1_000) == mine
        assert await store.history("uof:sr:match:1", 48, 1_000) == mine[47:]
        assert await store.history("uof:sr:match:3", 1, 10) == []
        found = []
        while page := await store.history("uof:sr:match:1", len(found) + 1, 7):
            assert len(page) <= 7
            found += page
        assert found == mine

    opened(open_store, run, test)


def test_a_raised_lineage_goes_on_and_replaces_what_it_overtakes(open_store, run):
    async def test(store):
        old = await committed(
            store, await store.claim(PLACE, "one"), 10, changes=[change_row(n, n + 1) for n in range(10)]
        )
        assert await store.raise_lineage(PLACE, 40, by=1 << 31) == 2
        with pytest.raises(FencedError):
            await store.commit(batch_of(replace(old, next_offset=40)))
        position = await store.claim(PLACE, "one")
        assert (position.lineage, position.next_offset, position.done_offset) == (2, 40, 40)
        assert position.cache_generation == old.cache_generation + (1 << 31)
        new = [change_row(40 + n, 6 + n, lineage=2) for n in range(3)]
        await committed(store, position, 3, changes=new)
        history = await store.history("uof:sr:match:1", 1, 100)
        assert [(row.lineage, row.rev) for row in history] == [*((1, n) for n in range(1, 6)), (2, 6), (2, 7), (2, 8)]

    opened(open_store, run, test)


def test_a_raised_lineage_is_above_the_one_that_is_said(open_store, run):
    async def test(store):
        assert await store.raise_lineage(PLACE, 40, above=6) == 7
        assert await store.raise_lineage(PLACE, 40, above=6) == 8
        assert await store.raise_lineage(PLACE, 40) == 9
        assert await store.raise_lineage((PLACE[0], PLACE[1] + 1), 0) == 2

    opened(open_store, run, test)


def test_a_rev_is_given_once(open_store, run):
    async def test(store):
        position = await committed(store, await store.claim(PLACE, "one"), changes=[change_row(0, 1)])
        with pytest.raises(DependencyError) as caught:
            await committed(store, position, counts={"applied": 1}, changes=[change_row(1, 2), change_row(1, 1)])
        assert not isinstance(caught.value, UnavailableError | UnknownOutcomeError | FencedError)
        assert await store.account([FEED]) == {}
        assert len(await store.outbox(PLACE, 0, 10)) == 1
        await committed(store, position, changes=[change_row(1, 2)])

    opened(open_store, run, test)


def test_a_rev_is_given_once_whatever_the_day(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        position = await committed(
            store, position, 2, events=[event_row(rev=2)], changes=[change_row(0, 1), change_row(1, 2)]
        )
        for rev in (1, 2):
            again = change_row(2, rev, updated=NOW + DAY_MS)
            with pytest.raises(DependencyError) as caught:
                await committed(store, position, events=[event_row("other"), event_row(rev=rev)], changes=[again])
            assert not isinstance(caught.value, UnavailableError | UnknownOutcomeError | FencedError)
            assert list(await store.load(["other"])) == []
        position = await committed(store, position, events=[event_row(rev=2, ts=NOW + 1)])
        later = change_row(3, 3, updated=NOW + DAY_MS)
        await committed(store, position, events=[event_row(rev=3)], changes=[later])
        assert [row.rev for row in await store.history("uof:sr:match:1", 0, 10)] == [1, 2, 3]

    opened(open_store, run, test)


def test_what_cannot_be_stored_is_said_and_leaves_nothing(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        for bad in (event_row("uof:\ud800", shown=b"{}"), event_row(ts=2**70)):
            with pytest.raises(DependencyError) as caught:
                await committed(store, position, events=[event_row("fine"), bad])
            assert not isinstance(caught.value, UnavailableError | UnknownOutcomeError | FencedError)
            assert await store.event("fine") is None
        await committed(store, position, events=[event_row("fine")])
        assert await store.event("fine") is not None

    opened(open_store, run, test)


def test_the_cache_generation_is_raised_by_the_owner_only(open_store, run):
    async def test(store):
        old = await store.claim(PLACE, "one")
        new = await store.claim(PLACE, "two")
        assert await store.raise_cache_generation(PLACE, new.epoch, "two", 1 << 32) == new.cache_generation + (1 << 32)
        for epoch, owner in ((old.epoch, "one"), (new.epoch, "one"), (old.epoch, "two")):
            with pytest.raises(FencedError):
                await store.raise_cache_generation(PLACE, epoch, owner, 1)
        assert (await store.claim(PLACE, "two")).cache_generation == new.cache_generation + (1 << 32)

    opened(open_store, run, test)


def test_the_account_adds_up_over_partitions_and_topics(open_store, run):
    async def test(store):
        for topic, partition in ((FEED, 0), (FEED, 1), ("sports-feed-tennis", 0)):
            position = await store.claim((topic, partition), "one")
            for n in range(3):
                counts = {"applied": n, "dead_lettered:schema": 1}
                position = await committed(store, position, counts=counts)
        assert await store.account([FEED]) == {"applied": 6, "dead_lettered:schema": 6}
        assert await store.account([FEED, "sports-feed-tennis", "none"]) == {"applied": 9, "dead_lettered:schema": 9}
        assert await store.account([]) == {}

    opened(open_store, run, test)


def test_more_partitions_go_on_with_listings_where_names_lead(open_store, run):
    events = [f"e{n}" for n in range(50)]

    async def test(store):
        position = await store.claim(PLACE, "one")
        await store.raise_cache_generation(PLACE, position.epoch, "one", 1)
        position = await committed(
            store, position, 9, changes=[change_row(8, 1)], listings=[("uof:1", each) for each in events]
        )
        states = [b'{"tick":%d}' % n for n in range(5)]
        await store.repartition(FEED, 7, states, by=1 << 31)
        with pytest.raises(FencedError):
            await store.commit(batch_of(position))
        after = await store.positions([FEED])
        assert [(each.partition, each.lineage, each.next_offset, each.done_offset, each.state) for each in after] == [
            (n, 7, 9 if n == PLACE[1] else 0, 0, state) for n, state in enumerate(states)
        ]
        assert {each.cache_generation for each in after} == {position.cache_generation + 1 + (1 << 31)}
        listed = {n: list(await store.listing((FEED, n), "uof:1")) for n in range(5)}
        assert listed == {n: sorted(each for each in events if partition_of(each, 5) == n) for n in range(5)}
        assert len(await store.outbox(PLACE, 0, 10)) == 1

    opened(open_store, run, test)


def test_listings_are_kept_per_partition_and_ordered(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")
        pairs = [("uof:1", "e3"), ("uof:1", "e1"), ("uof:3", "e1"), ("uof:1", "e2")]
        position = await committed(store, position, listings=pairs)
        await committed(store, position, listings=[("uof:1", "e1"), ("uof:1", "e10")])
        assert list(await store.listing(PLACE, "uof:1")) == ["e1", "e10", "e2", "e3"]
        assert list(await store.listing(PLACE, "uof:3")) == ["e1"]
        assert list(await store.listing((FEED, 4), "uof:1")) == []
        assert list(await store.listed(PLACE, "", 10)) == ["e1", "e10", "e2", "e3"]
        assert list(await store.listed(PLACE, "e1", 2)) == ["e10", "e2"]
        assert list(await store.listed(PLACE, "e3", 2)) == []
        assert list(await store.listed((FEED, 4), "", 10)) == []

    opened(open_store, run, test)


SPORTS = ("football", "tennis")
STATUSES = ("not_started", "live", "ended")
COMPETITIONS = (None, "uof:t:1", "uof:t:2")


def many_events(count=300):
    rng = random.Random(17)
    return [
        event_row(
            f"uof:sr:match:{rng.randrange(10**9)}",
            sport=rng.choice(SPORTS),
            status=rng.choice(STATUSES),
            competition=rng.choice(COMPETITIONS),
            start=rng.choice((None, 0, 1_000, 1_001, 2_000, rng.randrange(5_000))),
            search=rng.choice(("arsenal chelsea", "arsenal", "man city 100%", "man_city", "fenerbahce")),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, lambda _: True),
        ({"sports": ("tennis",)}, lambda row: row.sport == "tennis"),
        ({"sports": SPORTS}, lambda _: True),
        ({"sports": ("chess",)}, lambda _: False),
        ({"statuses": ("live", "ended")}, lambda row: row.status != "not_started"),
        ({"sports": ("football",), "statuses": ("live",)}, lambda row: (row.sport, row.status) == ("football", "live")),
        ({"competitions": ("uof:t:2",)}, lambda row: row.competition == "uof:t:2"),
        ({"start_from": 1_001}, lambda row: row.start is not None and row.start >= 1_001),
        ({"start_to": 1_001}, lambda row: row.start is not None and row.start < 1_001),
        ({"start_from": 1_000, "start_to": 2_000}, lambda row: row.start is not None and 1_000 <= row.start < 2_000),
        ({"q": "chelsea"}, lambda row: "chelsea" in row.search),
        ({"q": "Chelsea  ARSÉNAL"}, lambda row: row.search == "arsenal chelsea"),
        ({"q": "Fenerbahçe"}, lambda row: row.search == "fenerbahce"),
        ({"q": "%"}, lambda row: "%" in row.search),
        ({"q": "n_c"}, lambda row: row.search == "man_city"),
        ({"q": "\\"}, lambda _: False),
        ({"q": "' OR 1=1 --"}, lambda _: False),
    ],
)
def test_events_are_filtered_and_paged_without_a_gap_or_a_repeat(open_store, run, fields, wanted):
    async def test(store):
        rows = many_events()
        await committed(store, await store.claim(PLACE, "one"), events=rows)
        ordered = sorted(filter(wanted, rows), key=lambda row: (-1 if row.start is None else row.start, row.event))
        assert await store.events(EventQuery(**fields, limit=1_000)) == [row.shown for row in ordered]
        for limit in (1, 37):
            after, found = None, []
            while page := await store.events(EventQuery(**fields, after=after, limit=limit)):
                assert len(page) <= limit
                found += page
                last = ordered[len(found) - 1]
                after = (-1 if last.start is None else last.start, last.event)
                if limit == 1 and len(found) == 20:
                    break
            assert found == [row.shown for row in ordered][: len(found)]
            assert limit == 1 or len(found) == len(ordered)

    opened(open_store, run, test)


def test_participants_and_competitions_are_filtered_and_paged(open_store, run):
    async def test(store):
        rng = random.Random(23)
        names = ("arsenal", "100%", "a_b", "ab")
        people = [
            ParticipantRow(f"uof:c:{rng.randrange(10**9)}", rng.choice(SPORTS), "N", rng.choice(names), NOW, "e")
            for _ in range(120)
        ]
        cups = [CompetitionRow(row.id, row.sport, None, "England", row.search, NOW, "e") for row in people]
        await committed(store, await store.claim(PLACE, "one"), participants=people, competitions=cups)
        for ask, rows in ((store.participants, people), (store.competitions, cups)):
            for fields, wanted in (
                ({}, lambda _: True),
                ({"sports": ("tennis",)}, lambda row: row.sport == "tennis"),
                ({"q": "a_b"}, lambda row: row.search == "a_b"),
                ({"q": "%", "sports": SPORTS}, lambda row: row.search == "100%"),
            ):
                ordered = sorted(filter(wanted, rows), key=lambda row: row.id)
                after, found = None, []
                while page := await ask(NamedQuery(**fields, after=after, limit=13)):
                    found += page
                    after = page[-1].id
                assert found == ordered

    opened(open_store, run, test)


def test_text_of_all_kinds_comes_back_as_it_was(open_store, run):
    async def test(store):
        event = "uof:賽事:🏈:'\"\\:%_"
        body = json.dumps({"name": "Čalhanoğlu 🏈 \u2028 \x00 '\"\\"}, ensure_ascii=False).encode()
        await committed(
            store,
            await store.claim(PLACE, "one"),
            events=[event_row(event, name="🏈", shown=body, state=body)],
            markets=[market_row("uof:ü", "n=%7C", event=event, shown=body, state=body)],
            changes=[change_row(0, 1, event=event, update=body)],
            participants=[ParticipantRow("uof:ж", "football", None, "", NOW, event)],
        )
        assert await store.event(event) == ShownEvent(event, 1, 1, body, (body,))
        assert await store.load([event]) == {event: StoredEvent(event, body, (body,))}
        assert (await store.history(event, 1, 1))[0].update == body
        assert await store.participant("uof:ж") == ParticipantRow("uof:ж", "football", None, "", NOW, event)

    opened(open_store, run, test)


def test_big_batches(open_store, run):
    async def test(store):
        events = [f"uof:sr:match:{n}" for n in range(2_000)]
        await committed(
            store,
            await store.claim(PLACE, "one"),
            10_000,
            events=[event_row(event, rev=5) for event in events],
            markets=[market_row(f"m{n}", event=event) for event in events for n in range(3)],
            changes=[change_row(n, n % 5 + 1, event=events[n // 5]) for n in range(10_000)],
        )
        assert len(await store.events(EventQuery(limit=5_000))) == 2_000
        assert len(await store.outbox(PLACE, 0, 10_000)) == 10_000
        assert len((await store.event(events[-1])).markets) == 3

    opened(open_store, run, test)


def test_pruning_takes_days_that_are_old_and_sent(open_store, run):
    midnight = NOW - NOW % DAY_MS

    async def test(store):
        rows = [change_row(n, n + 1, updated=NOW + n // 1_000 * DAY_MS) for n in range(3_000)]
        position = await committed(store, await store.claim(PLACE, "one"), 3_000, changes=rows, done_offset=2_500)
        other = await store.claim((FEED, 4), "one")
        await committed(store, other, 1, changes=[change_row(0, 1, event="other", partition=4, updated=0)])
        assert await store.prune(midnight + DAY_MS) == 1_000
        assert await store.prune(midnight + DAY_MS) == 0
        assert await store.outbox(PLACE, 0, 3_000) == rows[1_000:]
        # of a day that is sent in part, a store may keep the rest of it or all
        gone = await store.prune(midnight + 4 * DAY_MS)
        assert 1_000 <= gone <= 1_500
        assert await store.outbox(PLACE, 0, 3_000) == rows[1_000 + gone :]
        assert len(await store.outbox((FEED, 4), 0, 10)) == 1
        newest = change_row(3_000, 3_001, updated=NOW + 4 * DAY_MS)
        await committed(store, position, changes=[newest], done_offset=3_000)
        assert await store.prune(midnight + 4 * DAY_MS) == 2_000 - gone
        assert await store.outbox(PLACE, 0, 3_001) == [newest]
        assert len(await store.outbox((FEED, 4), 0, 10)) == 1, "nobody has sent it, whatever its age"

    opened(open_store, run, test)


def test_a_cancelled_commit_happens_whole_or_not_at_all(open_store, run):
    async def test(store):
        rng = random.Random(31)
        position = await store.claim(PLACE, "one")
        interrupted = 0
        for _ in range(60):
            start = position.next_offset
            rows = [change_row(start + n, start + n + 1) for n in range(50)]
            returned = False
            with anyio.move_on_after(rng.choice((0, 0.0001, 0.0005, 0.001, 5))):
                await committed(store, position, 50, counts={"applied": 50}, changes=rows)
                returned = True
            interrupted += not returned
            position = (await store.positions([FEED]))[0]
            assert position.next_offset in ((start + 50,) if returned else (start, start + 50))
            assert len(await store.outbox(PLACE, 0, 10**6)) == position.next_offset
            assert (await store.account([FEED])).get("applied", 0) == position.next_offset
        assert interrupted

    opened(open_store, run, test)


def test_reads_are_consistent_beside_writes(open_store, run):
    async def test(store):
        position = await store.claim(PLACE, "one")

        async def write():
            nonlocal position
            for rev in range(1, 80):
                body = str(rev).encode()
                markets = [market_row(f"m{n}", shown=body) for n in range(20)]
                position = await committed(store, position, events=[event_row(rev=rev, shown=body)], markets=markets)

        async def read():
            rev = 0
            while rev < 79:
                event = await store.event("uof:sr:match:1")
                if event is not None:
                    assert event.rev >= rev
                    rev = event.rev
                    assert {event.header, *event.markets} == {str(rev).encode()}

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            group.start_soon(read)
            group.start_soon(read)

    opened(open_store, run, test)


def test_a_closed_store_answers_that_it_is(open_store, run):
    async def test(store):
        await store.ping()
        position = await store.claim(PLACE, "one")
        await store.aclose()
        for ask in (store.ping, partial(store.commit, batch_of(position)), partial(store.event, "e")):
            with pytest.raises(UnavailableError):
                await ask()
        await store.aclose()

    opened(open_store, run, test)
