"""The liveness of producers, as a table of what was heard and what it makes of a producer."""

from functools import partial

import msgspec
import pytest
from msgspec.structs import replace

from sb_core.messages import Alive, Producer, SnapshotComplete
from sb_ingest.producers import PRODUCERS_MAX, SESSION_MARGIN_MS, Liveness, answer, awaits, hear, passed

T = 1_000_000
SESSION_MS = 60_000


class World:
    """Feeds the machine and keeps its table."""

    def __init__(self) -> None:
        self.table: dict[str, Liveness] = {}
        self.told: list[tuple[str, int, int, str | None]] = []
        self.offset = 0

    def hear(self, message) -> None:
        found = hear(self.table, message, self.offset)
        self.offset += 1
        if found is not None:
            self._take(*found)

    def _take(self, after: Liveness, told: bool) -> None:  # noqa: FBT001
        self.table[after.key] = after
        if told:
            self.told.append((after.state, after.gen, after.outage_since, after.reason))

    def alive(
        self, ts: int, received: int | None = None, *, subscribed: bool = True, request: str | None = None
    ) -> None:
        received = ts if received is None else received
        self.hear(Alive(ts=ts, received=received, provider="p", producer="1", subscribed=subscribed, request=request))

    def complete(self, ts: int, request: str | None = None) -> None:
        self.hear(SnapshotComplete(ts=ts, received=ts, provider="p", producer="1", request=request))

    def signal(self, state: str, now: int, since: int, reason: str | None = None, recovery: str | None = None) -> None:
        self.hear(
            Producer(
                ts=now,
                received=now,
                provider="p",
                producer="1",
                state=state,  # type: ignore[arg-type]
                gen=0,
                since=since,
                reason=reason,
                recovery=recovery,
            )
        )

    def pass_until(self, now: int) -> None:
        for each in passed(self.table, now, session_silent_ms=SESSION_MS):
            self._take(each, True)

    @property
    def state(self) -> Liveness:
        return self.table["p:1"]


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_alive_makes_it_up_without_an_outage(world) -> None:
    world.alive(T)
    world.alive(T + 10_000)
    assert world.told == [("up", 0, 0, None)]
    assert (world.state.last_alive, world.state.since) == (T + 10_000, T)


def test_silence_is_an_outage_since_the_sources_time(world) -> None:
    # the source's clock is 5 s ahead of ours
    world.alive(T + 5_000, T)
    world.pass_until(T + 20_000)
    assert world.told == [("up", 0, 0, None)]
    world.pass_until(T + 20_001)
    world.pass_until(T + 90_000)
    assert world.told[1:] == [("down", 1, T + 25_001, "silent")]
    world.alive(T + 100_000, T + 95_000)
    assert world.told[2:] == [("up", 1, T + 25_001, None)]


def test_silence_is_noticed_though_the_wall_clock_is_set_back(world) -> None:
    world.alive(T)
    judged = partial(passed, world.table, T - 3_600_000, session_silent_ms=SESSION_MS)
    assert not judged()
    assert not judged(waited_ms={"p:1": 20_000, "p:2": 60_000})
    assert [each.reason for each in judged(waited_ms={"p:1": 20_001})] == ["silent"]


def test_each_outage_raises_the_generation(world) -> None:
    for round_ in range(3):
        world.alive(T + round_ * 100_000)
        world.pass_until(T + round_ * 100_000 + 50_000)
    assert [(state, gen) for state, gen, *_ in world.told] == [
        ("up", 0),
        ("down", 1),
        ("up", 1),
        ("down", 2),
        ("up", 2),
        ("down", 3),
    ]


def test_a_lost_subscription_recovers_until_the_snapshot_is_complete(world) -> None:
    world.alive(T)
    world.alive(T + 10_000, subscribed=False)
    world.alive(T + 20_000, subscribed=False)
    world.alive(T + 30_000)
    assert world.told[1:] == [("recovering", 1, T + 10_000, "not_subscribed")]
    world.complete(T + 31_000, "r1")
    assert world.told[2:] == [("up", 1, T + 10_000, None)]
    assert world.state.recovery == "r1"
    world.alive(T + 40_000, subscribed=False)
    assert world.told[3:] == [("recovering", 2, T + 40_000, "not_subscribed")]


def test_a_first_alive_without_subscription_recovers(world) -> None:
    world.alive(T, subscribed=False)
    assert world.told == [("recovering", 1, T, "not_subscribed")]


def test_silence_while_recovering_is_an_outage_and_the_recovery_goes_on_after_it(world) -> None:
    world.alive(T, subscribed=False)
    world.pass_until(T + 30_000)
    world.alive(T + 40_000)
    assert [(state, gen) for state, gen, *_ in world.told] == [("recovering", 1), ("down", 2), ("recovering", 2)]
    world.complete(T + 41_000)
    assert world.state.state == "up"


def test_a_snapshot_completed_while_down_lets_the_next_alive_make_it_up(world) -> None:
    world.alive(T, subscribed=False)
    world.pass_until(T + 30_000)
    world.complete(T + 31_000)
    assert world.state.state == "down"
    world.alive(T + 32_000)
    assert world.state.state == "up"


def test_a_snapshot_of_another_request_completes_nothing(world) -> None:
    world.alive(T, subscribed=False, request="r2")
    assert world.state.recovery == "r2"
    world.complete(T + 1, "r1")
    assert world.state.state == "recovering"
    world.complete(T + 2, "r2")
    assert world.state.state == "up"


def test_a_complete_snapshot_of_what_never_was_out_says_nothing(world) -> None:
    world.complete(T)
    world.alive(T + 1)
    world.complete(T + 2)
    assert world.told == [("up", 0, 0, None)]


def test_five_older_alives_in_a_row_are_a_clock_set_back(world) -> None:
    world.alive(T)
    for number in range(4):
        world.alive(T - 600_000 + number, T + number + 1)
    assert world.told == [("up", 0, 0, None)]
    world.alive(T - 599_000, T + 5)
    assert world.told[1:] == [("down", 1, T - 599_000, "clock_stepped")]
    world.alive(T - 589_000, T + 10_000)
    assert world.told[2:] == [("up", 1, T - 599_000, None)]


def test_late_alives_among_new_ones_are_no_step(world) -> None:
    world.alive(T)
    for number in range(20):
        world.alive(T - 5_000, T + number)
        if number % 4 == 3:
            world.alive(T + number, T + number)
    assert world.told == [("up", 0, 0, None)]
    # late as they were, they were heard
    assert world.state.heard == T + 19


def test_equal_alives_are_no_step(world) -> None:
    for number in range(10):
        world.alive(T, T + number)
    assert world.told == [("up", 0, 0, None)]


def test_the_newest_alive_once_more_undoes_nothing_that_was_told_since(world) -> None:
    """Its append was answered late, or never, and it was sent again; found by the simulation after a clock's step."""
    world.alive(T)
    world.pass_until(T + 30_000)
    world.alive(T, T + 31_000)
    assert [each[0] for each in world.told] == ["up", "down"]
    assert world.state.heard == T + 31_000
    world.alive(T + 1, T + 32_000)
    for number in range(5):
        world.alive(T - 3_000, T + 33_000 + number, subscribed=False, request="r")
    world.signal("recovering", T + 34_000, 0, recovery="r")
    world.complete(T + 34_000, "r")
    told = len(world.told)
    world.alive(T - 3_000, T + 35_000, subscribed=False, request="r")
    assert world.told[told:] == []
    world.alive(T - 2_000, T + 36_000)
    assert [each[0] for each in world.told[told:]] == ["up"]


def test_an_alive_as_old_as_the_newest_that_says_something_else_counts(world) -> None:
    world.alive(T)
    world.alive(T, subscribed=False)
    assert [each[0] for each in world.told] == ["up", "recovering"]


def test_a_record_counts_once(world) -> None:
    world.alive(T)
    world.offset = 0
    world.alive(T, subscribed=False)
    assert world.told == [("up", 0, 0, None)]


def test_a_session_lost_is_down_until_its_next_picture(world) -> None:
    world.signal("down", T, T - 500, "session_restarted")
    world.signal("up", T, T - 500)
    assert world.told == []
    world.signal("down", T + 1_000, T + 900, "the stream says status 503")
    world.signal("unknown", T + 2_000, T + 1_500)
    assert world.told == [("down", 1, T + 900, "the stream says status 503")]
    world.signal("down", T + 2_000, T + 1_900, "silent")
    world.signal("up", T + 3_000, T + 2_900)
    assert world.told[1:] == [("up", 1, T + 900, None)]


def test_a_session_that_begins_again_elsewhere_was_lost(world) -> None:
    world.signal("unknown", T, T - 500)
    world.signal("down", T + 5_000, T + 4_000, "session_restarted")
    assert world.told == [("down", 1, T + 4_000, "session_restarted")]


def test_a_session_whose_node_died_is_judged_by_its_silence(world) -> None:
    world.signal("unknown", T, T - 500)
    world.pass_until(T + SESSION_MS)
    assert world.told == []
    world.pass_until(T + SESSION_MS + 30_001)
    assert world.told == [("down", 1, T - 500 + SESSION_MS + 30_001, "silent")]


def test_a_recorded_session_is_never_judged_by_silence(world) -> None:
    world.signal("up", T, T)
    world.pass_until(T + 10**9)
    world.signal("down", T, T, "503")
    world.signal("up", T, T)
    world.pass_until(T + 10**9)
    assert [state for state, *_ in world.told] == ["down", "up"]


def test_a_recoverys_request_is_told_before_its_answers_count(world) -> None:
    world.alive(T, subscribed=False)
    assert awaits(world.state, "r1")
    world.signal("recovering", T + 1, 0, recovery="r1")
    assert world.told[1:] == [("recovering", 1, T, "not_subscribed")]
    assert world.state.recovery == "r1"
    assert not awaits(world.state, "r1")
    assert world.state.message(T).recovery == "r1"
    world.complete(T + 2, "r1")
    world.signal("recovering", T + 3, 0, recovery="r2")
    assert len(world.told) == 3
    assert not awaits(None, "r1")


def test_what_was_taken_in_before_says_nothing_again(world) -> None:
    world.offset = 7
    world.alive(T)
    world.offset = 3
    world.alive(T + 1, subscribed=False)
    assert world.told == [("up", 0, 0, None)]


def test_as_many_producers_as_allowed_are_known_and_no_more(world) -> None:
    world.table = {f"p:x{n}": Liveness(provider="p", producer=f"x{n}") for n in range(PRODUCERS_MAX - 1)}
    world.alive(T)
    assert world.state.state == "up"
    stranger = Alive(ts=T, received=T, provider="p", producer="2", subscribed=True)
    assert hear(world.table, stranger, 1) is None
    world.alive(T + 1)
    assert world.state.newest_ts == T + 1


def test_the_sources_time_is_never_before_what_it_said() -> None:
    assert Liveness(provider="p", producer="1").source_now(T) == 0
    known = Liveness(provider="p", producer="1", newest_ts=T, newest_received=T + 100)
    assert [known.source_now(now) for now in (T, T + 100, T + 101)] == [T, T, T + 1]


def test_the_name_of_a_change_fits_and_says_which_recovery() -> None:
    known = Liveness(provider="p", producer="1", state="recovering", gen=2, outage_since=T, recovery="r" * 300)
    assert known.message(T).id == ("producer:p:1:2:recovering:1000000:" + "r" * 300)[:200]


def test_older_alives_are_counted_anew_after_the_newest_and_after_a_step(world) -> None:
    def older(count: int, ts: int) -> None:
        for number in range(count):
            world.alive(ts + number)

    world.alive(T)
    older(4, T - 900)
    world.alive(T)
    older(4, T - 800)
    assert len(world.told) == 1
    older(1, T - 700)
    assert world.told[1:] == [("down", 1, T - 700, "clock_stepped")]
    older(4, T - 2_000)
    assert len(world.told) == 2
    older(1, T - 1_000)
    assert world.told[2:] == [("down", 2, T - 1_000, "clock_stepped")]


def test_a_producer_that_comes_back_without_subscription_is_out_again(world) -> None:
    world.alive(T, subscribed=False)
    world.alive(T + 1, subscribed=False)
    world.pass_until(T + 30_000)
    world.alive(T + 31_000, subscribed=False)
    assert [(state, gen) for state, gen, _, _ in world.told] == [("recovering", 1), ("down", 2), ("recovering", 3)]


def test_a_request_stands_until_another_one_is_told(world) -> None:
    world.alive(T, request="early")
    assert (world.told, world.state.recovery) == ([("up", 0, 0, None)], None)
    world.alive(T + 1, subscribed=False, request="r")
    world.alive(T + 2, subscribed=False)
    assert world.state.recovery == "r"
    world.alive(T + 3, subscribed=False, request="s")
    assert world.state.recovery == "s"


def test_the_sources_time_is_that_of_when_it_was_said_first(world) -> None:
    world.signal("unknown", T, T - 500)
    world.signal("unknown", T + 10, T - 500)
    world.signal("unknown", T + 20, T - 900)
    assert (world.state.newest_ts, world.state.newest_received, world.state.heard) == (T - 500, T, T + 20)


def test_silence_is_judged_at_its_limit_and_of_everybody() -> None:
    down, session, alive = (Liveness(provider="p", producer=name, judged=True, heard=T) for name in "abc")
    table = {"p:a": replace(down, state="down"), "p:b": replace(session, kind="session"), "p:c": alive}

    def fallen(waited_ms: int) -> list[str]:
        judged = passed(table, T + waited_ms, silent_ms=20_000, session_silent_ms=SESSION_MS)
        return [each.producer for each in judged]

    assert SESSION_MARGIN_MS == 30_000
    assert [fallen(waited) for waited in (20_000, 20_001, 90_000, 90_001)] == [[], ["c"], ["c"], ["b", "c"]]


def test_of_a_producer_that_nobody_has_heard_nothing_is_known() -> None:
    assert PRODUCERS_MAX == 10_000
    assert Liveness(provider="p", producer="1") == Liveness(
        provider="p",
        producer="1",
        state="unknown",
        reason=None,
        since=None,
        last_alive=None,
        recovery=None,
        gen=0,
        outage_since=0,
        kind="alive",
        newest_ts=0,
        newest_received=0,
        heard=0,
        older_in_row=0,
        subscribed=True,
        recovering=False,
        judged=False,
        offset=-1,
        recovered_gen=0,
        lost_from=0,
        asked=None,
        asked_at=0,
        asked_gen=0,
        tries=0,
        answered=False,
        taken=False,
        refused_until=0,
    )


def test_a_table_that_is_too_full_already_takes_nobody() -> None:
    table = {f"p:x{n}": Liveness(provider="p", producer=f"x{n}") for n in range(PRODUCERS_MAX + 1)}
    assert hear(table, Alive(ts=T, received=T, provider="p", producer="1", subscribed=True), 0) is None


@pytest.mark.parametrize(
    ("state", "recovery", "waits"),
    [
        ("recovering", None, True),
        ("recovering", "s", True),
        ("recovering", "r", False),
        ("down", None, True),
        ("down", "r", False),
        ("up", None, False),
        ("up", "s", False),
        ("unknown", None, False),
    ],
)
def test_answers_wait_for_the_word_of_who_is_out(state, recovery, waits) -> None:
    assert awaits(Liveness(provider="p", producer="1", state=state, recovery=recovery), "r") is waits


def liveness(**fields: object) -> Liveness:
    return msgspec.convert({"provider": "p", "producer": "1", **fields}, Liveness)


ANSWERS = {
    "of an earlier generation": (liveness(state="up", gen=2), liveness(state="down", gen=1), None),
    "of the same generation": (liveness(state="up", gen=2), liveness(state="recovering", gen=2, recovery="r"), None),
    "down, by who had fallen asleep": (
        liveness(state="up", gen=1, outage_since=5),
        liveness(state="down", gen=2, outage_since=30),
        ("up", 2, 30, None),
    ),
    "several generations above": (
        liveness(state="up", gen=1, outage_since=5),
        liveness(state="down", gen=4, outage_since=3),
        ("up", 4, 5, None),
    ),
    "up, of a producer that is down": (
        liveness(state="down", reason="silent"),
        liveness(state="up", gen=1),
        ("down", 1, 0, "silent"),
    ),
    "of one whose clock stepped: the answer is no step": (
        liveness(state="down", gen=1, reason="clock_stepped"),
        liveness(state="up", gen=2),
        ("down", 2, 0, "lost"),
    ),
    "of one that nobody judged yet": (liveness(offset=8), liveness(state="up", gen=1, offset=3), ("up", 1, 0, None)),
    "of one that nobody knows": (None, liveness(state="up", gen=3, offset=3), ("up", 3, 0, None)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_late_word_is_answered(name) -> None:
    known, said, expected = ANSWERS[name]
    after = answer(known, said)
    if expected is None:
        assert after == known
        return
    assert (after.state, after.gen, after.outage_since, after.reason) == expected
    assert after.offset == (said if known is None else known).offset


def test_an_answer_begins_no_earlier_than_the_last_that_was_heard() -> None:
    known = liveness(state="up", gen=1, newest_ts=900, newest_received=1_000, heard=1_500, outage_since=10)
    after = answer(known, liveness(state="down", gen=2, outage_since=1_100))
    assert (after.outage_since, after.since, after.lost_from) == (1_400, 1_500, 0)
    recovered = answer(replace(known, recovered_gen=1), liveness(state="down", gen=2))
    assert recovered.lost_from == 900, "that before is recovered, so messages are missing from here on"


def test_what_was_asked_for_before_the_answer_is_not_what_recovers() -> None:
    asked = {"asked": "77", "asked_at": 50, "asked_gen": 1, "recovery": "77", "recovering": True}
    after = answer(liveness(state="recovering", gen=1, **asked), liveness(state="down", gen=2))
    assert (after.state, after.gen, after.recovery, after.recovering) == ("recovering", 2, None, True)
    table = {after.key: after}
    told = Producer(ts=1, received=1, provider="p", producer="1", state="recovering", gen=0, since=0, recovery="77")
    assert hear(table, told, 5) == (replace(after, offset=5), False)
    assert not awaits(after, "77"), "nobody waits for what will never be told"
    assert awaits(after, "78")
    (complete, _) = hear(table, SnapshotComplete(ts=1, received=1, provider="p", producer="1", request="77"), 5) or ()
    assert (complete.state, complete.recovering) == ("recovering", True)


@pytest.mark.parametrize("gen", [0, 1])
def test_what_a_former_owner_asked_for_last_is_known(gen) -> None:
    said = liveness(
        gen=gen, asked="31", asked_at=31, asked_gen=gen, tries=2, answered=True, taken=True, refused_until=9
    )
    after = answer(liveness(state="up", asked="30", asked_at=30), said)
    assert [getattr(after, name) for name in ("asked", "asked_at", "asked_gen", "tries")] == ["31", 31, gen, 2]
    assert (after.answered, after.taken, after.refused_until) == (True, True, 9)
    kept = answer(liveness(state="up", asked="32", asked_at=32), said)
    assert (kept.asked, kept.tries, kept.refused_until) == ("32", 0, 0)


def test_told_again_a_state_has_an_id_of_its_own() -> None:
    known = liveness(state="up", gen=2, recovery="x" * 300)
    first, again, later = known.message(5), known.message(5, again=True), known.message(6, again=True)
    assert len({first.id, again.id, later.id}) == 3
    assert max(len(each.id) for each in (first, again, later)) <= 200
    assert replace(again, id=first.id) == first


def test_messages_may_be_missing_from_the_first_outage_on_that_nobody_recovered(world) -> None:
    world.alive(T)
    world.alive(T + 10_000)
    world.pass_until(T + 40_000)
    assert world.state.lost_from == T + 10_000
    world.alive(T + 50_000)
    world.pass_until(T + 90_000)
    assert world.state.lost_from == T + 10_000, "that of the first, for nothing was recovered"
    world.alive(T + 100_000, subscribed=False)
    world.complete(T + 101_000)
    assert (world.state.state, world.state.gen, world.state.recovered_gen) == ("up", 3, 3)
    world.alive(T + 110_000)
    world.pass_until(T + 150_000)
    assert world.state.lost_from == T + 110_000
    world.alive(T + 160_000)
    for number in range(5):
        world.alive(T + number, T + 160_001 + number)
    assert (world.state.reason, world.state.lost_from) == ("clock_stepped", 0)


def test_what_recovered_goes_on_in_its_reason_and_from_its_own_time(world) -> None:
    world.alive(T, subscribed=False)
    world.pass_until(T + 30_000)
    world.alive(T + 40_000)
    assert world.told[-1] == ("recovering", 2, T + 30_000, "silent")
    assert world.state.since == T + 40_000
    world.complete(T + 41_000)
    assert world.told[-1] == ("up", 2, T + 30_000, None)
    assert world.state.since == T + 41_000


def test_a_first_alive_at_the_time_that_a_session_said_counts(world) -> None:
    world.signal("unknown", T, T)
    world.alive(T)
    assert (world.state.state, world.state.kind, world.state.last_alive) == ("up", "alive", T)
    world.signal("unknown", T + 1, T + 1)
    assert world.state.kind == "alive"


COMPLETED = [
    # recovery, asked, asked_gen, the request that is complete, whether that counts
    (None, None, 0, None, True),
    (None, None, 0, "r", True),
    ("r", None, 0, None, True),
    ("r", None, 0, "r", True),
    ("r", None, 0, "s", False),
    ("r", "r", 2, "r", True),
    ("r", "r", 1, "r", False),
    (None, "r", 1, "r", False),
    (None, "r", 1, "s", True),
    (None, "r", 1, None, True),
    (None, "r", 2, "s", True),
]


@pytest.mark.parametrize(("recovery", "asked", "asked_gen", "request_", "counts"), COMPLETED)
def test_which_snapshots_complete_a_recovery(world, recovery, asked, asked_gen, request_, counts) -> None:
    known = Liveness(provider="p", producer="1", state="recovering", recovering=True, gen=2, recovery=recovery)
    world.table = {"p:1": replace(known, asked=asked, asked_gen=asked_gen)}
    world.complete(T, request_)
    assert (world.state.state == "up", world.state.recovered_gen) == (counts, 2 if counts else 0)
    if counts:
        assert world.state.recovery == (request_ or recovery)


@pytest.mark.parametrize(("state", "taken"), [("recovering", True), ("down", True), ("up", False), ("unknown", False)])
def test_only_who_is_out_is_told_of_a_recovery(world, state, taken) -> None:
    world.table = {"p:1": Liveness(provider="p", producer="1", state=state, recovery="old")}
    world.signal("recovering", T, 0)
    assert world.state.recovery == "old"
    world.signal("recovering", T, 0, recovery="r")
    assert world.state.recovery == ("r" if taken else "old")
    assert world.state.heard == 0, "that is our own word"


def test_a_session_that_is_lost_before_it_was_ever_heard(world) -> None:
    world.signal("down", T, T - 5)
    assert world.told == [("down", 1, T - 5, "lost")]
    assert (world.state.kind, world.state.judged) == ("session", False)


def test_a_session_that_begins_is_judged_from_then_on(world) -> None:
    world.signal("down", T, T - 5, "session_restarted")
    assert (world.told, world.state.judged) == ([], True)
    world.pass_until(T + SESSION_MS + SESSION_MARGIN_MS + 1)
    assert [state for state, *_ in world.told] == ["down"]


def test_a_picture_is_not_what_a_producer_with_alives_waits_for(world) -> None:
    world.alive(T)
    world.pass_until(T + 30_000)
    world.signal("up", T + 31_000, T + 31_000)
    assert world.state.state == "down"
    world.alive(T + 32_000)
    assert world.state.state == "up"


def test_a_picture_of_a_session_that_was_not_lost_says_nothing(world) -> None:
    world.signal("up", T, T)
    assert (world.told, world.state.state) == ([], "unknown")
    world.signal("down", T + 1, T + 1, "503")
    world.signal("unknown", T + 2, T + 2)
    assert world.state.state == "down"
