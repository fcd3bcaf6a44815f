"""Buckets: what comes in, what is left, and that they are forgotten in the end."""

from hypothesis import given
from hypothesis import strategies as st

from sb_core.quota import Quotas


def test_a_bucket_empties_and_fills():
    quotas = Quotas(3)
    assert [quotas.take("a", 10.0).remaining for _ in range(3)] == [2, 1, 0]
    refused = quotas.take("a", 10.0)
    assert (refused.allowed, refused.remaining, refused.reset_s) == (False, 0, 1)
    assert quotas.take("b", 10.0).allowed
    later = quotas.take("a", 10.5)
    assert later.allowed
    assert later.remaining == 0
    assert quotas.take("a", 20.0).remaining == 2
    assert quotas.take("a", 20.0).headers() == {
        "RateLimit-Limit": "3",
        "RateLimit-Remaining": "1",
        "RateLimit-Reset": "1",
    }


def test_a_clock_that_steps_back_gives_nothing_away():
    quotas = Quotas(1)
    assert quotas.take("a", 10.0).allowed
    assert not quotas.take("a", 5.0).allowed


@given(st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_never_more_than_the_rate_and_one_bucket(per_s, pauses):
    quotas, now_s, allowed = Quotas(per_s), 100.0, 0
    for pause_s in pauses:
        now_s += pause_s
        allowed += quotas.take("a", now_s).allowed
    assert allowed <= per_s + sum(pauses) * per_s + 1e-6


def test_only_so_many_clients_are_remembered():
    quotas = Quotas(1, clients_max=10)
    for number in range(100):
        quotas.take(str(number), 1.0)
    assert repr(quotas) == "<Quotas 1/s clients=10>"
