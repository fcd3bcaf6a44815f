"""Attacks on the fold: every test here showed a bug once, or holds the fold against a plain reference of its rules."""

import msgspec
import pytest
from fold_driver import (
    Driver,
    cancel,
    fixture,
    hold,
    odds,
    producer,
    release,
    score,
    settle,
    stop,
    uncancel,
    unsettle,
)
from fold_plain import Plain
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_core import messages as m
from sb_core import odds as exact
from sb_core import shown
from sb_process import plan as planning
from sb_process import render
from sb_process.state import load, partition_decoder

OPEN = ("active", True)
SHUT = ("suspended", False)


def after(*messages):
    driver = Driver()
    outcomes = driver.feed(*messages)
    driver.check_updates()
    return driver, outcomes


# generations


def test_a_partition_that_missed_outages_takes_older_messages_for_older():
    """The generation before the first outage is the one before it, not the outage's less one."""
    driver, outcomes = after(odds(18, "2.00"), producer("down", 3, 20), producer("up", 3, 20), odds(15, "9.00"))
    assert outcomes[-1] == "stale"
    assert driver.market().outcomes[0].odds == "2.00"


# one message that names something twice


def twice(first, second):
    """Join two messages of one market each into one."""
    return msgspec.structs.replace(first, markets=(*first.markets, *second.markets))


TWICE_ROWS = {
    "odds": (twice(odds(10, "2.00"), odds(10, "2.50")), OPEN),
    "settlement": (twice(settle(10, winner="away"), settle(10)), ("settled", False)),
    "rollback": (twice(unsettle(10), unsettle(10)), SHUT),
    "cancel": (twice(cancel(10), cancel(10)), ("cancelled", False)),
    "cancel rollback": (twice(uncancel(10), uncancel(10)), SHUT),
    "stop": (stop(10, markets=[("1x2", ""), ("1x2", "")]), SHUT),
    "hold": (hold(10, ("1x2", ""), ("1x2", "")), SHUT),
}


@pytest.mark.parametrize("name", TWICE_ROWS)
def test_a_market_named_twice_is_no_duplicate(name):
    """The rule `repeated_market` can be off; what is accepted must not be thrown away for meeting itself."""
    message, expected = TWICE_ROWS[name]
    driver, outcomes = after(odds(9), message, message)
    assert outcomes == ["applied", "applied", "duplicate"]
    assert driver.look() == expected


# applied always shows something new, unchanged never does


UNSEEN_ROWS = {
    "complete of a market whose set the catalogue knows": (odds(10), odds(11, complete=False)),
    "complete of a market without any price": (
        odds(10, market="uof:9", outcomes=(m.OutcomeOdds(id="x", odds=None),)),
        odds(11, market="uof:9", outcomes=(m.OutcomeOdds(id="x", odds=None),), complete=False),
    ),
    "an inactive outcome withdrawn": (
        odds(10, outcomes=(m.OutcomeOdds(id="home", odds="2.00"), m.OutcomeOdds(id="away", odds=None, active=False))),
        odds(11, outcomes=(m.OutcomeOdds(id="home", odds="2.00"),)),
    ),
    "a second cancel without an end": (twice(cancel(10), cancel(10)), cancel(11, id="again")),
    "a void under another": (cancel(10, 5), cancel(11)),
}


@pytest.mark.parametrize("name", UNSEEN_ROWS)
def test_what_shows_nothing_is_unchanged(name):
    first, second = UNSEEN_ROWS[name]
    driver, outcomes = after(first, second)
    assert outcomes == ["applied", "unchanged"]
    assert driver.event().rev == 1


def test_a_smaller_complete_set_is_shown_by_its_overround():
    priced = (m.OutcomeOdds(id="x", odds="2.00"), m.OutcomeOdds(id="y", odds=None, active=False))
    driver, outcomes = after(odds(10, market="uof:9", outcomes=priced), odds(11, market="uof:9", outcomes=priced[:1]))
    assert outcomes == ["applied", "applied"]
    assert driver.market("uof:9").overround == "0.5000"


def test_cancels_that_move_only_the_status_write_only_the_status():
    driver, outcomes = after(odds(10), cancel(11), cancel(12, 5), uncancel(13, 5), uncancel(14))
    assert outcomes == ["applied"] * 5
    written = [
        (len(each.changes.markets), [moved.status for moved in each.changes.statuses]) for each in driver.updates
    ]
    assert written == [(1, []), (0, ["cancelled"]), (1, []), (1, []), (0, ["suspended"])]


def test_an_outcome_that_a_settlement_created_is_like_any_other_once_priced():
    """It is no part of the complete set before, and active when a price says nothing else."""
    first = m.OutcomeOdds(id="x", odds="2.00")
    results = (m.MarketResult(market="uof:9", outcomes=(m.OutcomeResult(id="z", result="lost"),)),)
    settled = m.Settlement(
        ts=11, id="s", event="uof:1", provider="uof", producer="1", certainty="live", markets=results
    )
    driver, _ = after(odds(10, market="uof:9", outcomes=(first,)), settled)
    assert driver.market("uof:9").overround == "0.5000"
    driver.feed(odds(12, market="uof:9", outcomes=(m.OutcomeOdds(id="z", odds="2.00"),), complete=False))
    assert [(each.id, each.odds, each.active) for each in driver.market("uof:9").outcomes] == [
        ("x", "2.00", True),
        ("z", "2.00", True),
    ]


# empty lists


@pytest.mark.parametrize("message", [stop(11, groups=(), markets=()), stop(11, markets=()), stop(11, groups=())])
def test_a_stop_that_names_nothing_stops_everything(message):
    assert after(odds(10), message)[0].look() == SHUT


def test_a_stop_that_names_groups_and_markets_stops_both():
    driver, _ = after(
        odds(10, groups=("all", "x")),
        odds(10, market="uof:9", groups=()),
        stop(11, groups=("x",), markets=[("uof:9", "")]),
    )
    assert (driver.look(), driver.look("uof:9")) == (SHUT, SHUT)


def test_a_hold_that_names_nothing_holds_the_event():
    nothing = msgspec.structs.replace(hold(11), markets=())
    driver, _ = after(odds(10), nothing)
    assert driver.look() == SHUT
    driver.feed(msgspec.structs.replace(release(12), markets=()))
    assert driver.look() == OPEN


# limits


def many(ts, count, name="uof:{}", **fields):
    """Return odds of so many markets, without outcomes."""
    markets = tuple(m.MarketOdds(market=name.format(n), status="active") for n in range(count))
    return msgspec.structs.replace(odds(ts, **fields), markets=markets)


def test_a_message_about_many_known_markets_may_add_one():
    """Only markets that are new count against the limit."""
    driver, outcomes = after(many(1, 2_500), many(2, 2_501))
    assert outcomes == ["applied", "applied"]
    assert driver.one(many(3, 4_001)) == "dead_lettered:too_large"
    driver.check_updates()


LONG = "uof:" + "\u00e4" * 85 + "{:06}"


def test_an_event_full_of_long_names_can_always_be_closed():
    """Closing what is refused, a stop and a producer's outage move the status of all markets in one update that fits."""
    driver = Driver()
    outcomes = driver.feed(*(many(n + 1, 500 * n, LONG) for n in range(1, 9)))
    assert set(outcomes[:3]) == {"applied"}
    assert outcomes[-1] == "dead_lettered:too_large"
    driver.feed(many(20, 1, LONG), producer("down", 1, 30), producer("up", 1, 30), many(31, 1000, LONG), stop(40))
    assert max(len(row.update) for plan in driver.plans for row in plan.changes) < planning.UPDATE_BYTES_MAX
    driver.check_updates()


def test_an_update_that_is_too_large_is_a_dead_letter_closes_its_event_and_the_partition_goes_on():
    driver, _ = after(odds(10))
    info = {f"k{n}": "x" * 1_000 for n in range(100)}
    markets = tuple(m.MarketOdds(market=f"uof:{n}", info=info, status="active") for n in range(10))
    assert driver.one(msgspec.structs.replace(odds(20), markets=markets)) == "dead_lettered:too_large"
    assert driver.look() == SHUT
    assert len(driver.event().markets) == 1
    # what was refused is not undone by what is older than it
    assert driver.feed(odds(15, "2.50")) == ["applied"]
    assert driver.look() == SHUT
    driver.feed(odds(21, "2.50"), odds(5, event="uof:2"))
    assert driver.look() == OPEN
    driver.check_updates()


def test_more_producers_groups_and_windows_than_an_event_has_room_for_are_refused():
    driver = Driver()
    names = [driver.one(odds(n, market=f"uof:{n}", producer=str(n))) for n in range(1, 258)]
    assert names == ["applied"] * 256 + ["dead_lettered:too_large"]
    driver, _ = after(odds(1), stop(2, groups=tuple(f"g{n}" for n in range(500))))
    assert driver.one(stop(3, groups=("another",))) == "dead_lettered:too_large"
    driver, _ = after(odds(1), *(uncancel(2, 0, n) for n in range(256)))
    assert driver.one(uncancel(3, 0, 256)) == "dead_lettered:too_large"


@pytest.mark.parametrize(
    "message",
    [
        m.Alive(ts=1, id="a", event="uof:1", provider="uof", producer="1"),
        m.SnapshotComplete(ts=1, id="b", event="uof:1", provider="uof", producer="1"),
    ],
)
def test_a_type_that_no_feed_topic_has_is_a_dead_letter_not_the_end(message):
    driver, _ = after(odds(1))
    assert driver.one(message) == "dead_lettered:unsupported_type"
    assert driver.look() == SHUT


# against a plain reading of the rules

MARKETS = [("1x2", ""), ("1x2", ""), ("1x2", ""), ("total", "total=2.5"), ("uof:9", "")]
WINDOWS = [(None, None), (None, None), (1, 5), (2, None)]
KINDS = (
    ("odds",) * 8 + ("settle", "back") * 2 + ("stop", "stop", "cancel", "hold", "fixture", "score", "outage", "outage")
)
SHIFTS = (-4, -2, -1, -1, 0, 0, 0, 1, 1, 2, 3)
STEP = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from(SHIFTS),
    st.sampled_from("11113334"),
    st.integers(0, 2**20),
    st.sampled_from((1, 1, 1, 2)),
)


def pick(dice, choices):
    return choices[dice % len(choices)]


def written(steps):
    """Turn drawn steps into a partition's records; time goes on, with messages that are late by up to 4."""
    now, gens, records = 10, {}, []
    for number, (kind, shift, who, dice, which) in enumerate(steps):
        now += max(0, shift)
        fields = {"id": f"i{number}", "producer": who, "event": f"uof:{which}"}
        if dice % 7 == 0:
            fields["request"] = f"r{gens.get(who, 0)}"
        ts, high = now + min(0, shift), dice // 7
        records.append(one(kind, ts, who, high, fields, gens))
    return records


def one(kind, ts, who, dice, fields, gens):  # noqa: PLR0911  a row per kind of message
    market, line = pick(dice, MARKETS)
    rest = dice // len(MARKETS)
    if kind == "odds":
        status = pick(rest, ["active"] * 5 + ["suspended", "inactive", "handed_over"])
        groups = pick(rest // 8, [msgspec.UNSET, msgspec.UNSET, None, ("all", "x"), ("y",)])
        price = pick(rest // 40, ["1.50", "2.00"])
        whole = rest % 3 > 0
        ids = {"1x2": ("home", "draw", "away"), "total": ("over", "under")}.get(market, ("x", "y"))
        priced = tuple(m.OutcomeOdds(id=each, odds=price) for each in ids[: 2 + rest // 80 % 2])
        more = {"outcomes": priced, "complete": whole, "groups": groups, "status": status}
        return odds(ts, market=market, line=line, **more, **fields)
    if kind == "stop":
        groups = pick(rest // 2, [None, ("all",), ("x",), ("x", "y")])
        named = [(market, line)] if rest % 2 and groups is None else None
        return stop(ts, groups=groups, markets=named, status=pick(rest // 8, ["suspended", "inactive"]), **fields)
    if kind == "settle":
        return settle(ts, pick(rest, ["live", "confirmed"]), pick(rest // 2, ["home", "away"]), **fields)
    if kind == "back":
        return unsettle(ts, **fields) if rest % 2 else uncancel(ts, *pick(rest // 2, WINDOWS), **fields)
    if kind == "cancel":
        return cancel(ts, *pick(rest, WINDOWS), **fields)
    if kind == "hold":
        return pick(rest, [hold, release])(ts, *pick(rest // 2, [(), ((market, line),)]), **fields)
    if kind == "fixture":
        said = pick(rest, [{"name": "a"}, {"name": "b"}, {"status": "live"}, {"status": "closed", "name": "c"}])
        return fixture(ts, **said, **fields)
    if kind == "score":
        return score(ts, rest % 3, 0, **({"status": pick(rest // 3, ["live", "ended"])} if rest % 2 else {}), **fields)
    gens[who] = gens.get(who, 0) + (rest % 2)
    state = pick(rest, ["up", "down", "recovering", "down"])
    return producer(
        state, gens[who], ts, id=fields["id"], producer=who, recovery=pick(rest // 4, [None, f"r{gens[who]}"])
    )


def seen(driver, event):
    """Say of an event as shown what the plain reading says."""
    shown = driver.event(event)
    return {
        "status": shown.status,
        "name": shown.name,
        "score": shown.score and (shown.score.home, shown.score.away),
        "holds": {None if each.market is None else (each.market, each.line) for each in shown.holds},
        "markets": {
            (each.market, each.line): {
                "status": each.status,
                "open": each.open,
                "producer": each.producer,
                "odds": {outcome.id: outcome.odds for outcome in each.outcomes if outcome.odds is not None},
                "certainty": each.certainty,
                "results": {outcome.id: outcome.result for outcome in each.outcomes if outcome.result is not None},
                "windows": {(window.from_, window.to) for window in each.cancels},
            }
            for each in shown.markets
        },
    }


def visible(event):
    """Return what is shown, without the times that only tell which message it was."""
    shown = msgspec.to_builtins(event)
    for name in ("rev", "ts", "updated", "lineage"):
        del shown[name]
    for market in shown["markets"]:
        del market["ts"]
    for each in (*shown["holds"], *(window for market in shown["markets"] for window in market["cancels"])):
        del each["ts"]
    return shown


def check_outcome(before, after, outcome):
    """Applied raises `rev` by one and shows something new; else nothing at all is shown otherwise."""
    if before is None:
        assert (after.rev, outcome) == (1, "applied")
    elif outcome in {"unchanged", "stale", "duplicate"}:
        assert after == before
    elif outcome == "applied":
        assert after.rev == before.rev + 1
        assert visible(after) != visible(before)
    else:
        assert (outcome, after.rev - before.rev in {0, 1}) == ("system", True)


def compare(driver, records):
    plain = Plain(records)
    for event in driver.folds:
        assert seen(driver, event) == plain.event(event)
        for each in driver.event(event).producers:
            assert each.state == plain.outages(f"uof:{each.producer}", len(plain.records))[1]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(STEP, min_size=1, max_size=12), st.lists(STEP, min_size=30, max_size=60)))
def test_what_is_shown_is_what_a_plain_reading_of_all_messages_says(steps):
    records, driver = written(steps), Driver()
    for number, record in enumerate(records):
        events = [record.event] if record.event else ["uof:1", "uof:2"]
        before = {event: driver.event(event) for event in events if event in driver.folds}
        outcome = driver.one(record)
        for event in events:
            if event in driver.folds:
                check_outcome(before.get(event), driver.event(event), outcome)
        if number % 6 == 0:
            compare(driver, records[: number + 1])
    compare(driver, records)
    driver.check_updates()


# what the planner writes is the state, whatever the batches are and however little memory there is


class Shelf(Driver):
    """A driver without memory: every batch begins with what the store would give, and all rows are kept as a store does."""

    def __init__(self):
        super().__init__()
        self.events, self.markets, self.outcomes, self.cache = {}, {}, {}, {}
        self.listings = set()
        self.people = {}

    def batch(self, records):
        batch = [planning.decode(record) for record in records]
        events, producers = planning.wanted(batch, self.state.producers)
        listed = {who: sorted(event for key, event in self.listings if key == who) for who in producers}
        names = {*events, *(event for found in listed.values() for event in found)}
        self.folds = {event: self.read(event) for event in names if event in self.events}
        self.state = partition_decoder.decode(render.encode(self.state))
        plan = planning.plan_batch(batch, self.state, self.folds, listed, self.around)
        self.write(plan)
        self.state = plan.state
        self.updates.extend(shown.update_decoder.decode(row.update) for row in plan.changes)
        return plan

    def read(self, event):
        rows = [row for key, row in sorted(self.markets.items()) if key[0] == event]
        return load(self.events[event].state, tuple(row.state for row in rows))

    def write(self, plan):
        self.events.update({row.event: row for row in plan.events})
        self.markets.update({(row.event, row.market, row.line): row for row in plan.markets})
        self.outcomes.update({(row.event, row.market, row.line, row.outcome): row for row in plan.outcomes})
        self.cache.update({entry.event: entry for entry in plan.cache})
        self.listings.update(plan.listings)
        for row in plan.participants:
            known = self.people.get(row.id)
            if known is None or (row.ts, row.event) >= (known.ts, known.event):
                self.people[row.id] = row


def check_rows(shelf):
    """Every row says what the fold shows: headers, markets, outcomes, listings and the cached snapshot."""
    for name, row in shelf.events.items():
        shelf.folds = {name: shelf.read(name)}
        event = shelf.event(name)
        assert shown.header_decoder.decode(row.shown) == shown.header_decoder.decode(shown.encoder.encode(event))
        assert (row.rev, row.lineage, row.status, row.name) == (event.rev, event.lineage, event.status, event.name)
        markets = [shelf.markets[name, each.market, each.line] for each in event.markets]
        assert [shown.market_decoder.decode(each.shown) for each in markets] == event.markets
        assert len(markets) == sum(key[0] == name for key in shelf.markets)
        for each, written in zip(event.markets, markets, strict=True):
            owner = each.producer and f"uof:{each.producer}"
            assert (written.status, written.open, written.ts, written.producer) == (
                each.status,
                each.open,
                each.ts or 0,
                owner,
            )
            for outcome in each.outcomes:
                found = shelf.outcomes[name, each.market, each.line, outcome.id]
                price = None if found.odds is None else exact.text(found.odds)
                assert (price, found.active, found.result) == (outcome.odds, outcome.active, outcome.result)
        assert shown.event_decoder.decode(shelf.cache[name].value) == event
        listing = {f"uof:{each.producer}" for each in event.producers}
        assert {who for who, listed in shelf.listings if listed == name} == listing


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.lists(STEP, min_size=1, max_size=12), st.lists(STEP, min_size=30, max_size=60)),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_rows_are_the_state_and_nothing_depends_on_batches_or_memory(steps, sizes):
    records = written(steps)
    plain, shelf = Driver(), Shelf()
    for record in records:
        plain.one(record)
    fetched, place, cut = [shelf.record(record) for record in records], 0, 0
    while place < len(fetched):
        size = sizes[cut % len(sizes)]
        shelf.batch(fetched[place : place + size])
        check_rows(shelf)
        place, cut = place + size, cut + 1
    assert shelf.updates == plain.updates
    shelf.folds = {event: shelf.read(event) for event in shelf.events}
    assert {event: (fold.head, fold.markets, fold.ids, fold.digest) for event, fold in shelf.folds.items()} == {
        event: (fold.head, fold.markets, fold.ids, fold.digest) for event, fold in plain.folds.items()
    }
    shelf.check_updates()


def test_rows_of_people_do_not_depend_on_batches():
    def cast(ts, *names):
        people = tuple(m.Competitor(id=f"uof:c:{name}", name=name) for name in names)
        return fixture(ts, competitors=people, competition=m.Competition(id="uof:t:1", name=f"T{ts}"), id=f"f{ts}")

    records = [cast(1, "a", "b"), cast(2, "b", "c"), cast(3)]
    one_by_one, at_once = Shelf(), Shelf()
    for record in records:
        one_by_one.batch([one_by_one.record(record)])
    at_once.batch([at_once.record(record) for record in records])
    assert at_once.people == one_by_one.people
    assert sorted((row.name, row.ts) for row in at_once.people.values()) == [("a", 1), ("b", 2), ("c", 2)]


def test_an_outage_that_the_store_refuses_is_no_unit_of_the_account():
    driver, _ = after(odds(10))
    refused = planning.refused_by_store(planning.decode(driver.record(producer("down", 1, 20), key="uof:1:p")), "no")
    plan = planning.plan_batch([refused], driver.state, driver.folds, {}, driver.around)
    assert (dict(plan.counts), len(plan.dead)) == ({"system": 1}, 1)


def test_stops_of_one_version_leave_the_more_closed():
    for first, second in (("inactive", "suspended"), ("suspended", "inactive")):
        driver, _ = after(odds(10), stop(12, status=first), stop(12, status=second))
        assert driver.look() == ("inactive", False)


def test_a_market_that_odds_only_open_has_their_ts():
    driver, outcomes = after(odds(10), stop(12), odds(13))
    assert outcomes[-1] == "applied"
    assert (driver.market().ts, driver.look()) == (13, OPEN)
    assert [each.ts for each in driver.updates[-1].changes.markets] == [13]
