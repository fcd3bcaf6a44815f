"""The price model: distributions, margins, and whether matches end as often as their prices say."""

import itertools
from math import comb, exp, factorial, isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_core import odds as odds_text
from sb_generator import prices, settle
from sb_generator.chance import Chance
from sb_generator.playbill import PLAYS
from sb_generator.plays import tennis_chain as chain
from sb_generator.plays.goal_markets import Scope
from sb_generator.prices import Spread
from sb_generator.scene import Sheet, Strengths
from sb_generator.settle import View


def poisson(mean, number):
    return exp(-mean) * mean**number / factorial(number)


def test_goals_are_poisson():
    pmf = prices.goals(1.7)
    assert all(isclose(pmf[number], poisson(1.7, number)) for number in range(8))
    assert isclose(Spread(0, pmf).at_least(2), 1 - poisson(1.7, 0) - poisson(1.7, 1), abs_tol=1e-6)


def test_leads_are_differences():
    spread = prices.lead(prices.goals(1.4), prices.goals(0.9))
    for margin in (-2, 0, 3):
        expected = sum(poisson(1.4, n + margin) * poisson(0.9, n) for n in range(15) if n + margin >= 0)
        assert isclose(spread.exactly(margin), expected, abs_tol=1e-6)
    assert spread.at_least(-99) == 1.0
    assert spread.at_least(99) == 0.0


def test_1x2_of_a_scope():
    home, draw, away = Scope(1, 1, 0.8, 0.6).result()
    assert isclose(home + draw + away, 1)
    assert isclose(draw, sum(poisson(0.8, n) * poisson(0.6, n) for n in range(15)), abs_tol=1e-6)


@pytest.mark.parametrize("quarters", range(-3, 20))
def test_split_lines_break_even(quarters):
    """At the odds 1/p of either side the expected return is the stake, with stakes split as settlement splits them."""
    spread = Spread(0, prices.goals(2.3))
    share = spread.over(quarters)
    for side, probability in ((0, share), (1, 1 - share)):
        if not 0.001 < probability < 0.999:
            continue
        back = 0.0
        for total in range(15):
            over = settle.above(4 * total - quarters)
            result = settle._pair(over)[side]
            factor = {
                "won": 1 / probability,
                "half_won": 0.5 / probability + 0.5,
                "void": 1.0,
                "half_lost": 0.5,
                "lost": 0.0,
            }[result]
            back += spread.exactly(total) * factor
        assert isclose(back, 1.0, abs_tol=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.03, 1.0), min_size=2, max_size=5), st.sampled_from([play.margin for play in PLAYS.values()])
)
def test_margins_are_kept_to_a_thousandth(weights, margin):
    shares = [weight / sum(weights) for weight in weights]
    found = prices.priced(shares, margin)
    if min(shares) < prices.PRICED_MIN:
        assert found is None
        return
    assert abs(odds_text.overround(found) / 10_000 - margin) < 0.001
    # the order of probabilities is that of prices, and nobody pays less than the stake
    assert sorted(range(len(shares)), key=shares.__getitem__) == sorted(
        range(len(found)), key=lambda index: (-found[index], shares[index])
    ) or len(set(found)) < len(found)
    assert all(odds_text.parse(odds_text.text(each)) == each for each in found)


def test_quarters_are_written_shortest():
    assert [prices.quarters_text(number) for number in (-9, -4, -1, 0, 2, 10, 11)] == [
        "-2.25",
        "-1",
        "-0.25",
        "0",
        "0.5",
        "2.5",
        "2.75",
    ]
    assert all(prices.quarters_of(prices.quarters_text(number)) == number for number in range(-50, 50))


def test_outcomes_too_unlikely_are_withdrawn_alone():
    found = prices.priced_each([0.0001, 0.2, 0.7999], 1.05)
    assert found[0] is None
    assert all(found[1:])


# tennis


def test_a_game_is_won_as_often_as_the_closed_form_says():
    p, q = 0.62, 0.38
    straight = sum(comb(3 + lost, lost) * p**4 * q**lost for lost in range(3))
    expected = straight + comb(6, 3) * p**3 * q**3 * p * p / (p * p + q * q)
    assert isclose(chain.game(p, 0, 0), expected)
    assert chain.game(p, 4, 3) > chain.game(p, 3, 3) > chain.game(p, 3, 4)


def test_sets_add_up_and_are_even_between_equals():
    games = chain.fresh(0.64, 0.64)
    assert isclose(sum(games.values()), 1)
    assert set(games) == {
        *itertools.product((6,), range(5)),
        *itertools.product(range(5), (6,)),
        (7, 5),
        (5, 7),
        (7, 6),
        (6, 7),
    }
    assert isclose(sum(share for (home, away), share in games.items() if home > away), 0.5)
    assert isclose(chain.tie_break(0.6, 0.6, 3, 3, home_first=True), 0.5)


def test_a_match_is_joined_of_sets():
    games = chain.fresh(0.66, 0.60)
    won = sum(share for (home, away), share in games.items() if home > away)
    rest = chain.Rest((0, 0), games, games)
    assert isclose(sum(rest.sets.values()), 1)
    assert isclose(rest.sets[2, 0], won * won)
    assert isclose(rest.sets[2, 1], 2 * won * won * (1 - won))
    assert isclose(sum(rest.total.values()), 1)
    mean = sum((home + away) * share for (home, away), share in games.items())
    sets = 2 * (rest.sets[2, 0] + rest.sets[0, 2]) + 3 * (rest.sets[2, 1] + rest.sets[1, 2])
    assert sum(number * share for number, share in rest.total.items()) == pytest.approx(mean * sets, rel=0.02)


# calibration

CASES = {
    "football": (Strengths(1.7, 1.1), 3000),
    "hockey": (Strengths(3.2, 2.6), 3000),
    "basketball": (Strengths(1.03, 0.99), 1500),
    "tennis": (Strengths(0.65, 0.62), 1500),
}


@pytest.mark.parametrize("sport", CASES)
def test_matches_end_as_often_as_their_prices_say(sport):
    """Plays many matches of known strengths: what is offered before one must come true as often as priced."""
    strengths, count = CASES[sport]
    play = PLAYS[sport]
    offers = None
    won = {}
    for number in range(count):
        moments = play.play(Chance(f"{sport} {number}"), strengths)
        if offers is None:
            sheet = Sheet(moments[0], 0.0, strengths, live=False)
            offers = [each for family in play.before for each in play.book(sheet, family) if each.whole]
        facts = {key: winner for moment in moments for key, winner in moment.won}
        view = View(sport, moments[-1], facts)
        for offer in offers:
            results = view.results(offer.market, offer.line, offer.outcomes)
            tally = won.setdefault((offer.market, offer.line), [0.0, 0.0])
            # stakes on the first outcome that were won, of those that were decided
            tally[0] += {"won": 1.0, "half_won": 0.5}.get(results[0], 0.0)
            tally[1] += {"void": 0.0, "half_won": 0.5, "half_lost": 0.5}.get(results[0], 1.0)
    assert len(offers) > 10
    for offer in offers:
        first, decided = won[offer.market, offer.line]
        expected = offer.probabilities[0]
        # models are not the process: a tolerance of theirs beside four standard errors
        tolerance = 4 * (max(expected * (1 - expected), 0.001) / decided) ** 0.5 + 0.015
        assert abs(first / decided - expected) < tolerance, (offer.market, offer.line, first / decided, expected)


WINNERS = {
    "football": ("result", "1x2"),
    "hockey": ("incl_ot", "money_line_incl_ot"),
    "basketball": ("incl_ot", "money_line"),
    "tennis": ("match", "match_winner"),
}


@pytest.mark.parametrize("sport", WINNERS)
def test_prices_in_play_come_true(sport):
    """At points all over a match, what is expected of the home side must be what it gets, over many matches."""
    strengths, count = CASES[sport]
    play = PLAYS[sport]
    family, market = WINNERS[sport]
    expected = won = variance = 0.0
    for number in range(count // 2):
        chance = Chance(f"{sport} in play {number}")
        moments = play.play(chance, strengths)
        at = chance.below(len(moments) - 1)
        at_s = chance.between(moments[at].at_s, moments[at + 1].at_s)
        sheet = Sheet(moments[at], moments[at].clock_s(at_s), strengths, live=True)
        offer = next((each for each in play.book(sheet, family) if each.market == market), None)
        if offer is None:
            continue
        last = moments[-1]
        expected += offer.probabilities[0]
        variance += offer.probabilities[0] * (1 - offer.probabilities[0])
        won += last.home > last.away
    assert variance > 50
    assert abs(won - expected) < 4 * variance**0.5 + 0.01 * count / 2
