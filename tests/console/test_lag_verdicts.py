"""Windows of looks, and the verdicts they must get. Looks are one a second; (committed, end) each."""

import pytest

from sb_console.lag import Look, judge, skew, worst
from sb_console.lagging import looked
from sb_console.observations import Place


def window(*looks, start=0):
    return [Look(1_000 * number, committed, end, start) for number, (committed, end) in enumerate(looks)]


def line(seconds, committed, end, going, coming):
    """A window in which position and end move evenly."""
    return [(committed + going * n, end + coming * n) for n in range(seconds)]


TABLE = {
    "nothing ever written": (window(*[(0, 0)] * 7), "OK"),
    "at the end all the time": (window(*line(7, 100, 100, 10, 10)), "OK"),
    "at the end once within the window": (window((10, 20), (20, 20), (20, 30), (20, 40)), "OK"),
    "one tick behind, and moving": (window(*line(7, 100, 101, 1, 1)), "OK"),
    "a steady pipeline under load": (window(*line(7, 5_000, 5_400, 1_000, 1_000)), "OK"),
    "noise under load": (window((0, 50), (980, 1_100), (2_010, 2_080), (2_990, 3_140), (4_000, 4_090)), "OK"),
    "stands still while records come": (window(*line(7, 100, 101, 0, 10)), "STALLED"),
    "stands still while none come": (window(*line(7, 100, 140, 0, 0)), "STALLED"),
    "was at the end 2 s ago and stands since": (window((90, 90), (90, 95), (90, 99)), "OK"),
    "stands still for 2 s, and read before": (window((80, 95), (90, 95), (90, 96), (90, 99)), "OK"),
    "a few records late, on a quiet partition": (window((0, 1), (1, 3), (1, 4), (2, 6), (3, 8)), "OK"),
    "stands still for 2 s, as far as is known": (window((90, 95), (90, 96), (90, 99)), "UNKNOWN"),
    "stands still for 3 s": (window((80, 95), (90, 95), (90, 96), (90, 99), (90, 102)), "STALLED"),
    "nobody has claimed it and nothing waits": (window(*[(None, 0)] * 7), "OK"),
    "nobody has claimed it and records wait": (window(*[(None, 3)] * 7), "STALLED"),
    "reads half of what comes": (window(*line(7, 0, 1_000, 100, 200)), "GROWING"),
    "reads as much as comes and stays far behind": (window(*line(7, 0, 10_000, 100, 100)), "GROWING"),
    "reads twice of what comes": (window(*line(7, 0, 9_000, 400, 200)), "DRAINING"),
    "reads, and nothing comes": (window(*line(7, 0, 9_000, 400, 0)), "DRAINING"),
    "began to read again after a stall": (
        window((0, 900), (0, 1_000), (0, 1_100), (0, 1_200), (300, 1_300), (600, 1_400), (900, 1_500)),
        "OK",  # two seconds' worth at this pace
    ),
    "began to read a long backlog again": (
        window((0, 9_000), (0, 9_100), (0, 9_200), (0, 9_300), (300, 9_400), (600, 9_500), (900, 9_600)),
        "DRAINING",
    ),
    "retention took what was not read": (window(*line(7, 100, 5_000, 10, 10), start=150), "AT RISK"),
    "retention is close behind": (window(*line(7, 1_100, 5_000, 10, 10), start=1_000), "AT RISK"),
    "far behind, but nothing was ever dropped": (window(*line(7, 100, 5_000, 10, 10)), "GROWING"),
    "went back": (window((500, 900), (600, 900), (400, 900)), "UNKNOWN"),
    "looked at once": (window((5, 9)), "UNKNOWN"),
    "never looked at": ([], "UNKNOWN"),
}


@pytest.mark.parametrize(("looks", "verdict"), TABLE.values(), ids=TABLE)
def test_verdict(looks, verdict):
    judged = judge(looks)
    assert judged.verdict == verdict, judged
    assert judged.reason


def test_rates_and_time_to_zero():
    judged = judge(window(*line(7, 0, 9_000, 400, 200)))
    assert (judged.lag, judged.in_per_s, judged.out_per_s) == (7_800, 200.0, 400.0)
    assert judged.eta_s == 39.0
    assert judge(window(*line(7, 0, 1_000, 100, 200))).eta_s is None


def test_rates_are_of_the_last_seconds_only():
    stalled_then_fast = window((0, 9_000), (0, 9_000), (0, 9_000), (1_000, 9_000), (2_000, 9_000), (3_000, 9_000))
    assert judge(stalled_then_fast).out_per_s == 1_000.0
    assert judge(stalled_then_fast).eta_s == 6.0


@pytest.mark.parametrize("pace", [[400] * 30, [380, 420, 300, 500, 410] * 6, [450] * 8 + [380] * 22], ids=str)
def test_the_time_to_zero_comes_true(pace):
    """A backlog of 8,000 records is worked off while 50 a second come: what was said 5 s on is held against what it took."""
    looks = [(0, 8_000 + 50 * n) for n in range(5)]
    committed, said = 0, {}
    for second, done in enumerate(pace):
        end = looks[-1][1] + 50
        committed = min(end, committed + done)
        looks.append((committed, end))
        said[second] = judge(window(*looks)[-20:]).eta_s
        if committed == end:
            break
    for second in range(5, len(said) - 3):
        assert said[second] == pytest.approx(len(said) - 1 - second, rel=0.3), (second, said)


def test_the_worst_and_how_uneven():
    assert worst(["OK", "DRAINING", "STALLED", "GROWING"]) == "STALLED"
    assert worst([]) == "OK"
    assert skew([10, 10, 10]) == 1.0
    assert skew([30, 0, 0]) == 3.0
    assert skew([0, 0]) is None


def looks(*rounds):
    """Looks at a group of two partitions, one a second: ((committed, end), (committed, end)) each."""
    rows, groups = {}, ()
    for number, parts in enumerate(rounds):
        places = [
            Place("g", "t", partition, committed, committed, 0, end, "o", 1, 1)
            for partition, (committed, end) in enumerate(parts)
        ]
        rows, groups = looked(rows, groups, places, 1_000 * number)
    return rows, groups[0]


def test_a_group_that_takes_its_partitions_in_turns_drains():
    rows, group = looks(*(((300 * n, 5_000), (0, 3_000)) for n in range(8)))
    assert group.verdict == "DRAINING"
    assert group.eta_s == pytest.approx((8_000 - 2_100) / 300, abs=0.1)
    assert rows["t/1"].verdict == "UNKNOWN", "its turn may come yet"


def test_a_partition_that_stands_apart_for_long_is_stalled_and_told_for_its_group():
    rows, group = looks(*(((100 * n, 100 * n), (5, 40 + n)) for n in range(20)))
    assert rows["t/0"].verdict == "OK"
    assert rows["t/1"].verdict == "STALLED"
    assert group.verdict == "STALLED"
    assert "partition 1" in group.reason


def test_a_group_that_stands_is_stalled_soon():
    _, group = looks(*(((10, 20 + n), (7, 7)) for n in range(4)))
    assert group.verdict == "STALLED"
