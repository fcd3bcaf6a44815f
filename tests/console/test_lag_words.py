"""What a verdict on lag says, and where one turns into another: what mutants of lag.py had survived."""

import pytest

from sb_console.lag import Look, judge, skew, worst

T = 77_300
"""Looks begin at no round time, and are no round time apart."""


def looked(*points, start=0, step=900):
    return [Look(T + step * number, committed, end, start) for number, (committed, end) in enumerate(points)]


def even(count, committed, end, going, coming):
    return [(committed + going * n, end + coming * n) for n in range(count)]


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (looked(*even(7, 103, 140, 0, 0)), "37 records wait and nothing was committed for 5 s"),
        (looked(*even(4, 103, 140, 0, 3), step=1_000), "46 records wait and nothing was committed for 3 s"),
        (looked(*even(8, 0, 9_005, 403, 200)), "7584 records wait, 609 fewer than 3 s ago"),
        (looked(*even(8, 7, 1_005, 100, 203)), "1719 records wait, 309 more than 3 s ago"),
        (looked(*even(8, 7, 1_005, 10, 10)), "998 records wait, 0 more than 3 s ago"),
        (looked(*even(8, 1_010, 5_021, 10, 10), start=1_003), "4011 of the 4088 records kept wait, and retention drops the oldest"),
        (looked(*even(8, 103, 5_021, 10, 10), start=190), "retention took 17 records before they were read"),
        (looked((90, 95), (90, 96), (90, 99)), "9 records wait, and the position has not moved yet"),
        (looked((500, 900), (600, 900), (400, 900)), "the position went back"),
        (looked(*even(7, 5_000, 5_400, 1_000, 1_000)), "keeps pace"),
        (looked(*even(7, 5_000, 5_000, 10, 10)), "reached the end within the window"),
        (looked((5, 9)), "looked at once only"),
        ([], "never looked at"),
    ],
)  # fmt: skip
def test_the_words(looks, words):
    assert judge(looks).reason == words


@pytest.mark.parametrize(
    ("end", "start", "verdict"),
    [(1_250, 0, "GROWING"), (1_250, 1, "AT RISK"), (1_251, 1, "AT RISK"), (1_252, 1, "GROWING")],
)
def test_close_to_what_retention_drops(end, start, verdict):
    """1,000 records wait, and a few come and go; they are a risk as 80 % of what is kept."""
    points = [(end - 1_000 - 4 * ago, end - 4 * ago) for ago in (3, 2, 1, 0)]
    assert judge(looked(*points, start=start)).verdict == verdict


@pytest.mark.parametrize(("committed", "verdict"), [(19, "AT RISK"), (20, "OK"), (21, "OK")])
def test_what_retention_took_was_not_read(committed, verdict):
    assert judge(looked((committed, committed), (committed, 22), start=20)).verdict == verdict


@pytest.mark.parametrize(
    ("lag", "going", "verdict"),
    [(20, 1, "OK"), (21, 1, "GROWING"), (200, 100, "OK"), (201, 100, "GROWING"), (20, 0, "UNKNOWN")],
)
def test_keeping_pace_is_few_records_or_two_seconds_worth(lag, going, verdict):
    points = even(3, 1_000, 1_000 + lag, going, going)
    assert judge(looked(*points, step=1_000)).verdict == verdict


@pytest.mark.parametrize(("ago", "verdict"), [(6_000, "OK"), (6_001, "GROWING")])
def test_the_end_was_reached_within_the_window(ago, verdict):
    looks = [Look(T - ago, 0, 0), Look(T - 1_000, 10, 1_000), Look(T, 20, 1_020)]
    assert judge(looks).verdict == verdict


@pytest.mark.parametrize(("stood", "verdict"), [(2_999, "UNKNOWN"), (3_000, "STALLED")])
def test_a_stall_lasts_three_seconds(stood, verdict):
    assert judge([Look(T, 5, 50), Look(T + stood, 5, 60)]).verdict == verdict
    assert judge([Look(T, 5, 50), Look(T + stood, 5, 60)], stalled_ms=stood).verdict == "STALLED"


def test_rates_are_of_the_last_three_seconds_or_of_what_there_is():
    looks = [Look(T, 0, 900), Look(T + 1_000, 400, 1_000), Look(T + 3_999, 1_000, 2_300), Look(T + 4_000, 1_001, 2_302)]
    judged = judge(looks)
    assert (judged.in_per_s, judged.out_per_s, judged.lag) == (434.0, 200.3, 1_301)
    assert (judge(looks[2:]).in_per_s, judge(looks[2:]).out_per_s) == (2_000.0, 1_000.0)
    far = [Look(T, 0, 900), Look(T + 5_000, 100, 1_400)]
    assert (judge(far).in_per_s, judge(far).out_per_s) == (100.0, 20.0)
    assert judge([Look(T, 0, 900), Look(T, 100, 1_400)]).out_per_s == 0.0
    once = judge([Look(T, 3, 900)])
    assert (once.in_per_s, once.out_per_s, once.lag, once.eta_s) == (0.0, 0.0, 897, None)


def test_the_time_to_zero_is_of_the_last_eight_seconds_in_which_it_moved():
    looks = [Look(T, 0, 5_000), Look(T + 1_000, 0, 5_000), Look(T + 3_000, 500, 5_000), Look(T + 5_000, 1_001, 5_001)]
    assert judge(looks).eta_s == 16.0  # 4,000 left, 1,000 done in 4 s
    old = [Look(T - 4_001, 0, 9_000), *looks[1:]]
    assert judge(old).eta_s == 16.0
    within = [Look(T - 3_000, 0, 9_000), Look(T - 2_000, 100, 9_000), *looks[1:]]
    assert judge(within).eta_s == 6.4  # 9,000 waited 8 s ago
    assert judge([Look(T, 0, 5_000), Look(T + 1_000, 10, 5_010)]).eta_s is None
    assert judge([Look(T, 0, 5_000), Look(T + 1_000, 10, 5_011)]).eta_s is None
    assert judge([Look(T, 0, 10), Look(T + 1_000, 10, 10)]).eta_s == 0.0
    assert judge([Look(T, 0, 10), Look(T + 1_000, 9, 10)]).eta_s == 0.1


def test_more_read_than_there_is_leaves_no_lag():
    judged = judge([Look(T, 0, 10), Look(T + 1_000, 12, 10)])
    assert (judged.verdict, judged.lag, judged.eta_s) == ("OK", 0, 0.0)


def test_nobody_who_claimed_it_stands_at_its_start():
    judged = judge([Look(T, None, 30, 8), Look(T + 4_000, None, 30, 8)])
    assert (judged.verdict, judged.lag) == ("AT RISK", 22)
    assert judge([Look(T, None, 30), Look(T + 4_000, None, 30)]).verdict == "STALLED"


def test_of_verdicts_the_worst_and_of_lags_the_skew():
    order = ["OK", "UNKNOWN", "DRAINING", "GROWING", "AT RISK", "STALLED"]
    for number, each in enumerate(order):
        assert worst(order[number::-1]) == each
    assert skew([1, 0]) == 2.0
    assert skew([3, 1, 2, 1]) == 1.7
    assert skew([]) is None
