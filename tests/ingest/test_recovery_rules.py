"""What a recovery is asked for, when, and of whom, case by case: what mutants of recovery.py had survived."""

import pytest
from msgspec.structs import replace

from sb_ingest import recovery
from sb_ingest.producers import Liveness
from sb_ingest.recovery import Ended

T = 1_790_000_000_123
EVERY_MS = 30_000
OWES = Liveness(provider="p", producer="1", state="up", gen=1, since=T - 5_000, recovered_gen=0)


def due(*producers, now=T, every_ms=EVERY_MS):
    """Return who is to be asked, by its producer, as it is from then on."""
    return {
        each.producer: each
        for each in recovery.due({each.key: each for each in producers}, now, {"p"}, every_ms=every_ms)
    }


def test_a_request_is_named_after_the_second_in_which_it_is_written_down():
    asked = due(replace(OWES, refused_until=T - 1, answered=True, taken=True))["1"]
    assert (asked.asked, asked.recovery, asked.asked_at, asked.asked_gen) == ("1790000000", "1790000000", T, 1)
    assert (asked.state, asked.since, asked.recovering) == ("recovering", T, True)
    assert (asked.tries, asked.answered, asked.taken, asked.refused_until) == (1, False, False, 0)


def test_who_recovers_already_goes_on_recovering_since_when_it_did():
    assert due(replace(OWES, state="recovering"))["1"].since == T - 5_000


@pytest.mark.parametrize(
    ("asked", "asked_gen", "tries"),
    [("1", 1, 3), ("1", 0, 1), ("1", 2, 1), (None, 1, 1)],
)
def test_tries_count_for_the_outage_that_was_asked_for(asked, asked_gen, tries):
    known = replace(OWES, asked=asked, asked_at=T - 3_600_000, asked_gen=asked_gen, tries=2, answered=True)
    assert due(known)["1"].tries == tries


@pytest.mark.parametrize(
    ("asked_gen", "again"),
    [(1, False), (0, True), (2, True)],
)
def test_only_what_was_asked_for_this_outage_is_waited_for(asked_gen, again):
    known = replace(OWES, asked="1", asked_at=T - 40_000, asked_gen=asked_gen, answered=True, taken=True, tries=1)
    assert bool(due(known)) is again


@pytest.mark.parametrize(
    ("taken", "tries", "ago_ms", "again"),
    [
        (False, 1, EVERY_MS - 1, False),
        (False, 1, EVERY_MS, True),
        (False, 2, 2 * EVERY_MS - 1, False),
        (False, 2, 2 * EVERY_MS, True),
        (False, 9, 16 * EVERY_MS - 1, False),
        (False, 9, 16 * EVERY_MS, True),
        (True, 1, recovery.ANSWER_MS - 1, False),
        (True, 1, recovery.ANSWER_MS, True),
    ],
)
def test_a_request_is_made_anew_after(taken, tries, ago_ms, again):
    known = replace(OWES, asked="1", asked_at=T - ago_ms, asked_gen=1, answered=True, taken=taken, tries=tries)
    assert bool(due(known)) is again
    assert bool(due(replace(known, asked_at=T + ago_ms))) is again, "the clock may have been set back"
    unanswered = replace(known, answered=False, asked_at=T - ago_ms - recovery.SENDING_MS)
    assert bool(due(unanswered)) is again, "it may have been sent late"


def test_without_a_limit_a_request_that_failed_is_made_anew_at_once():
    known = replace(OWES, asked="1", asked_at=T, asked_gen=1, answered=True, tries=1)
    assert due(known, every_ms=0)


@pytest.mark.parametrize(
    ("since", "recovery_", "asks"),
    [
        (T - 999, None, False),
        (T - 1_000, None, True),
        (T + 1_000, None, True),
        (None, None, True),
        (T - 1_000, "announced", False),
        (T - recovery.ANSWER_MS + 1, "announced", False),
        (T - recovery.ANSWER_MS, "announced", True),
        (T - 3 * (T // 10), None, True),
    ],
)
def test_who_is_back_is_left_to_settle(since, recovery_, asks):
    assert bool(due(replace(OWES, since=since, recovery=recovery_))) is asks


@pytest.mark.parametrize(
    "other",
    [
        {"state": "down"},
        {"state": "unknown"},
        {"kind": "session"},
        {"recovered_gen": 1},
        {"recovered_gen": 2},
        {"provider": "q"},
    ],
)
def test_who_owes_nothing_is_not_asked(other):
    assert not due(replace(OWES, **other))
    assert due(replace(OWES, gen=300, recovered_gen=299), every_ms=1)


def test_of_a_providers_producers_the_one_asked_longest_ago_is_asked_then_the_first_by_name():
    waits = {"asked_gen": 0, "asked": "1", "answered": True}
    late, early = replace(OWES, asked_at=T - 70_000, **waits), replace(OWES, asked_at=T - 80_000, **waits)
    assert list(due(late, replace(early, producer="2"))) == ["2"]
    assert list(due(replace(early, producer="2"), late)) == ["2"]
    assert list(due(replace(OWES, producer="2"), OWES)) == ["1"]
    assert list(due(OWES, replace(OWES, producer="2"))) == ["1"]
    assert len(due(OWES, replace(OWES, producer="2"), replace(OWES, producer="3"))) == 1


@pytest.mark.parametrize(
    ("refused_ms", "asks"),
    [(0, True), (1, False), (recovery.REFUSED_MS_MAX, False), (recovery.REFUSED_MS_MAX + 1, True), (-1, True)],
)
def test_a_provider_that_refused_is_left_alone_as_a_whole(refused_ms, asks):
    other = replace(
        OWES, producer="2", recovered_gen=1, asked="1", asked_at=T - 40_000, answered=True, refused_until=T + refused_ms
    )
    assert bool(due(OWES, other)) is asks
    never = replace(other, asked=None)
    assert due(OWES, never), "what was never asked for was never refused"


@pytest.mark.parametrize(("ago_ms", "asks"), [(EVERY_MS - 1, False), (EVERY_MS, True)])
def test_the_limit_is_the_providers_not_the_producers(ago_ms, asks):
    other = replace(OWES, producer="2", recovered_gen=1, asked="1", asked_at=T - ago_ms, answered=True)
    assert bool(due(OWES, other)) is asks


ASKED = replace(OWES, asked="50", asked_at=T, asked_gen=1)


@pytest.mark.parametrize(
    ("known", "request_"),
    [(None, "50"), (ASKED, "49"), (ASKED, "51"), (replace(ASKED, answered=True), "50"), (OWES, "50")],
)
def test_the_end_of_another_request_says_nothing(known, request_):
    assert recovery.answered(known, Ended("p:1", request_, T + 5, True)) is None


@pytest.mark.parametrize(
    ("refused_ms", "until"),
    [
        (0, 0),
        (-5, 0),
        (1, T + 6),
        (7_000, T + 7_005),
        (recovery.REFUSED_MS_MAX + 1, T + 5 + recovery.REFUSED_MS_MAX),
    ],
)
def test_a_request_ends(refused_ms, until):
    request = str(int("50"))  # not the same object
    after = recovery.answered(ASKED, Ended("p:1", request, T + 5, False, refused_ms))
    assert after is not None
    assert (after.asked_at, after.answered, after.taken, after.refused_until) == (T + 5, True, False, until)
    assert recovery.answered(ASKED, Ended("p:1", request, T + 5, True)).refused_until == 0


@pytest.mark.parametrize(
    ("ago_ms", "wanted"),
    [
        (0, T - 60_000),
        (5_000, T - 65_000),
        (35_940_000, T - 36_000_000),
        (35_940_001, None),
        (-59_999, T - 1),
        (-60_000, None),
        (-60_001, None),
    ],
)
def test_what_is_asked_for_begins_a_minute_before_what_was_lost_and_lies_in_the_last_ten_hours(ago_ms, wanted):
    known = replace(OWES, newest_ts=T, newest_received=T, lost_from=T - ago_ms)
    assert recovery.after(known, T) == wanted
    assert recovery.after(replace(known, lost_from=0), T) is None
