"""The change log over REST: history, and the event as it was, against the states that were really there."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sb_core.messages import Competition, Score
from sb_core.shown import (
    Changes,
    Market,
    MarketKey,
    Outcome,
    StatusChange,
    Update,
    apply_changes,
    empty,
    encoder,
    update_decoder,
)
from sb_distribute import rest_history
from sb_distribute.rest_fold import EventFold, HoleError

EVENT = "uof:sr:match:42"


def _plain(event):
    return msgspec.json.decode(encoder.encode(event))


async def _life(world, make):
    await world.save(EVENT, kind="fixture", event={"name": "A vs B", "status": "not_started", "start": 9})
    await world.save(EVENT, markets=[make.market("total", "total=2.5"), make.market("1x2", odds={"home": "2.00"})])
    await world.save(EVENT, kind="score", score=Score(home=1, away=0), event={"status": "live"})
    await world.save(
        EVENT,
        kind="bet_stop",
        statuses=[StatusChange(market="total", line="total=2.5", status="suspended", open=False)],
        closed=[MarketKey(market="total", line="total=2.5")],
    )
    await world.save(EVENT, markets=[make.market("total", "total=2.5", odds={"over": "1.70", "under": "2.30"})])
    await world.save(EVENT, kind="fixture", event={"name": None, "competition": Competition(id="uof:t:1")})


def test_history_tells_every_rev(in_world, make):
    async def test(world):
        await _life(world, make)
        found = (await world.get(f"/v1/events/{EVENT}/history"))["items"]
        assert [each["rev"] for each in found] == [1, 2, 3, 4, 5, 6]
        assert [each["type"] for each in found] == ["fixture", "odds", "score", "bet_stop", "odds", "fixture"]
        assert [each["updated"] - each["ts"] for each in found] == [5] * 6
        # whoever applies the changes gets what is served
        state = empty(EVENT, "football")
        for each in found:
            fields = {name: each[name] for name in ("lineage", "rev", "ts", "updated", "changes")}
            update = {**fields, "event": EVENT, "sport": "football", "prev": each["rev"] - 1}
            state = apply_changes(state, msgspec.convert(update, Update))
        assert _plain(state) == await world.get(f"/v1/events/{EVENT}")

    in_world(test)


def test_history_is_paged(in_world, make):
    async def test(world):
        await _life(world, make)
        for limit in (1, 2, 3, 5, 6, 7):
            pages = await world.pages(f"/v1/events/{EVENT}/history?limit={limit}")
            assert [each["rev"] for page in pages for each in page] == [1, 2, 3, 4, 5, 6]
        assert [each["rev"] for each in (await world.get(f"/v1/events/{EVENT}/history?from_rev=5"))["items"]] == [5, 6]
        assert await world.get(f"/v1/events/{EVENT}/history?from_rev=7") == {"items": [], "next": None}
        pages = await world.pages(f"/v1/events/{EVENT}/history?limit=2&from_rev=3")
        assert [each["rev"] for page in pages for each in page] == [3, 4, 5, 6]

    in_world(test)


def test_history_of_a_market(in_world, make, monkeypatch):
    async def test(world):
        await _life(world, make)

        async def revs(query):
            pages = await world.pages(f"/v1/events/{EVENT}/history?{query}")
            return [each["rev"] for page in pages for each in page]

        assert await revs("market=total") == [2, 4, 5]
        assert await revs("market=1x2") == [2]
        assert await revs("line=") == [2]
        assert await revs("line=total=2.5&market=1x2") == []
        assert await revs("market=total&limit=1") == [2, 4, 5]
        assert await revs("market=total,1x2&from_rev=3") == [4, 5]
        found = (await world.get(f"/v1/events/{EVENT}/history?market=total"))["items"]
        assert [[each["market"] for each in item["changes"]["markets"]] for item in found] == [["total"], [], ["total"]]
        assert found[1]["changes"]["statuses"][0]["status"] == "suspended"
        # a page ends where enough was looked through, and the next goes on from there
        monkeypatch.setattr(rest_history, "SCAN_ROWS_MAX", 2)
        monkeypatch.setattr(rest_history, "ROWS_MAX", 3)
        assert await revs("market=total") == [2, 4, 5]
        assert [len(page) for page in await world.pages(f"/v1/events/{EVENT}/history?market=total")] == [1, 1, 1]
        monkeypatch.setattr(rest_history, "SCAN_BYTES_MAX", 1)
        assert [len(page) for page in await world.pages(f"/v1/events/{EVENT}/history?limit=6")] == [1] * 6

    in_world(test)


@pytest.mark.parametrize("rows_max", [1, 2, 500])
def test_at_rev_is_the_event_as_it_was(in_world, make, monkeypatch, rows_max):
    monkeypatch.setattr(rest_history, "ROWS_MAX", rows_max)

    async def test(world):
        await _life(world, make)
        for rev in range(1, 7):
            response = await world.response(f"/v1/events/{EVENT}?at_rev={rev}")
            assert response.json() == _plain(world.states[EVENT, rev])
            assert response.headers["etag"] == f'"1.{rev}"'
            await world.response(f"/v1/events/{EVENT}?at_rev={rev}", 304, If_None_Match=f'"1.{rev}"')
        await world.problem(f"/v1/events/{EVENT}?at_rev=7", 404, "unknown_rev")
        await world.problem("/v1/events/uof:none?at_rev=1", 404, "unknown_event")

    in_world(test)


@pytest.mark.parametrize("rows_max", [1, 4, 500])
def test_at_is_the_event_as_it_was_served_then(in_world, make, monkeypatch, rows_max):
    monkeypatch.setattr(rest_history, "ROWS_MAX", rows_max)

    async def test(world):
        await _life(world, make)
        for at, rev in [(1_000, 1), (1_999, 1), (2_000, 2), (5_500, 5), (6_000, 6), (10**13, 6)]:
            assert await world.get(f"/v1/events/{EVENT}?at={at}") == _plain(world.states[EVENT, rev])
        assert (await world.get(f"/v1/events/{EVENT}?at=1970-01-01T02:00:04.999%2B02:00"))["rev"] == 4
        await world.problem(f"/v1/events/{EVENT}?at=999", 404, "unknown_event")
        await world.problem(f"/v1/events/{EVENT}?at=-1", 404, "unknown_event")

    in_world(test)


def test_at_counts_by_rev_where_the_clocks_of_ingest_nodes_disagree(in_world, make):
    async def test(world):
        for updated in (1_000, 5_000, 3_000, 9_000):
            await world.save(EVENT, at=updated, markets=[make.market("total")])
        assert (await world.get(f"/v1/events/{EVENT}?at=3000"))["rev"] == 3
        assert (await world.get(f"/v1/events/{EVENT}?at=2999"))["rev"] == 1
        assert (await world.get(f"/v1/events/{EVENT}?at=8999"))["rev"] == 3

    in_world(test)


def test_the_past_is_stale_while_the_node_is(in_world, make):
    async def test(world):
        await _life(world, make)
        world.node.stale_sports = {"football"}
        response = await world.response(f"/v1/events/{EVENT}?at_rev=2")
        assert response.json()["stale"] is True
        assert response.headers["etag"] == '"1.2-stale"'

    in_world(test)


def test_the_past_goes_through_a_raised_lineage(in_world, make):
    async def test(world):
        await world.save(EVENT, markets=[make.market("total")])
        await world.save(EVENT, lineage=2, markets=[make.market("1x2")])
        await world.save(EVENT, lineage=2, markets=[make.market("1x2", status="suspended", open=False)])
        assert await world.get(f"/v1/events/{EVENT}?at_rev=2") == _plain(world.states[EVENT, 2])
        found = (await world.get(f"/v1/events/{EVENT}/history"))["items"]
        assert [(each["lineage"], each["rev"]) for each in found] == [(1, 1), (2, 2), (2, 3)]

    in_world(test)


def test_what_retention_has_passed_is_said(in_world, make):
    async def test(world):
        await _life(world, make)
        connection = world.store._writer
        connection.execute("DELETE FROM changes WHERE rev < 3")
        await world.problem(f"/v1/events/{EVENT}?at_rev=4", 410, "not_kept")
        await world.problem(f"/v1/events/{EVENT}?at=4000", 410, "not_kept")
        await world.problem(f"/v1/events/{EVENT}?at=1000", 410, "not_kept")
        assert [each["rev"] for each in (await world.get(f"/v1/events/{EVENT}/history"))["items"]] == [3, 4, 5, 6]
        # the present needs no log
        assert (await world.get(f"/v1/events/{EVENT}?at_rev=6"))["rev"] == 6
        connection.execute("DELETE FROM changes")
        await world.problem(f"/v1/events/{EVENT}?at_rev=4", 410, "not_kept")
        assert await world.get(f"/v1/events/{EVENT}/history") == {"items": [], "next": None}

    in_world(test)


_names = st.sampled_from(["1x2", "total", "uof:7"])
_lines = st.sampled_from(["", "total=2.5", "total=3"])
_markets = st.builds(
    Market,
    market=_names,
    line=_lines,
    status=st.sampled_from(["active", "suspended", "settled"]),
    open=st.booleans(),
    outcomes=st.lists(
        st.builds(Outcome, id=st.sampled_from(["a", "b"]), odds=st.sampled_from(["1.50", None])), max_size=2
    ),
)
_statuses = st.builds(
    StatusChange, market=_names, line=_lines, status=st.sampled_from(["active", "suspended"]), open=st.booleans()
)
_changes = st.builds(
    Changes,
    event=st.fixed_dictionaries(
        {},
        optional={
            "name": st.one_of(st.none(), st.text(max_size=5)),
            "start": st.one_of(st.none(), st.integers(0, 9)),
            "status": st.sampled_from(["live", "ended"]),
            "competition": st.one_of(st.none(), st.just({"id": "c", "name": None, "category": "x"})),
            "producers": st.just([{"producer": "1", "state": "up", "since": 1, "reason": None}]),
            "strange": st.integers(),
        },
    ),
    score=st.one_of(st.none(), st.builds(Score, home=st.integers(0, 3))),
    markets=st.lists(_markets, max_size=3, unique_by=lambda each: (each.market, each.line)),
    statuses=st.lists(_statuses, max_size=2),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(_changes, min_size=1, max_size=8))
def test_the_fold_is_apply_changes_and_nothing_else(all_changes):
    fold, state = EventFold("p:1"), empty("p:1", "football")
    assert fold.event() is None
    for rev, changes in enumerate(all_changes, 1):
        written = encoder.encode(
            Update(
                event="p:1", sport="football", lineage=1, prev=rev - 1, rev=rev, ts=rev, updated=rev, changes=changes
            )
        )
        fold.apply(update_decoder.decode(written))
        state = apply_changes(state, update_decoder.decode(written))
        assert encoder.encode(fold.event()) == encoder.encode(state)
    assert fold.rev == len(all_changes)


def test_the_fold_stops_at_a_hole():
    fold = EventFold("p:1")
    update = Update(event="p:1", sport="football", lineage=1, prev=1, rev=2, ts=1, updated=1, changes=Changes())
    with pytest.raises(HoleError):
        fold.apply(update)
