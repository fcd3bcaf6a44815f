"""The price model: from what may still happen to probabilities, from probabilities to odds with a chosen margin. Pure.

What remains to be scored is a distribution over whole numbers (`Spread`): Poisson for goals (football, hockey), the
difference of two Poissons for leads, a normal cut into whole numbers for points (basketball); tennis has its own Markov
chain and gives distributions of the same kind. Every market is priced from the score as it stands plus what remains.

Split lines follow from stakes: with the shares of a stake that win (W) and lose (L), the break-even odds are
1 + L/W, so that the probability to price is W / (W + L), and both sides add up to 1 on quarter lines too.

Margin is put on by the power method: each probability is raised to the power that makes them add up to the margin. So
favourites carry less of it than outsiders, as in real books, and odds stay above 1 however sure a favourite is.

What a model is asked for lies on rasters (`raster`): numbers of scores to come in steps of STEP_SHARE, so that a price
that was worked out once serves many events, and a change of strength by one step is a change of price.

The rule: floats are the model's; what leaves it are integers of ten-thousandths.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import erf, exp, log, sqrt
from typing import Final

from sb_core.odds import ODDS_MIN, SCALE

PRICED_MIN: Final = 0.02
"""Markets with an outcome less likely than this (or another more likely than its complement) are not offered."""
LONGSHOT_MIN: Final = 0.0008
"""The same for one outcome of many (correct scores): it is withdrawn alone."""
STEP_SHARE: Final = 0.03
"""How much larger a number on the raster is than the one before it."""
_STEP_LOG: Final = log(1.0 + STEP_SHARE)
_MEAN_MIN: Final = 1e-4
_NEWTON_STEPS: Final = 20
_GOALS_MAX: Final = 14
_EXACT: Final = 1e-9


class Spread:
    """A distribution over whole numbers from `low` on: `at_least(k)` is P(X >= k)."""

    __slots__ = ("_low", "_tails", "pmf")

    def __init__(self, low: int, pmf: Sequence[float]) -> None:
        total = 0.0
        tails = [0.0] * (len(pmf) + 1)
        for index in range(len(pmf) - 1, -1, -1):
            total += pmf[index]
            tails[index] = total
        self._low = low
        # what the truncation cut off is shared out, so that probabilities add up to 1
        self._tails = [each / total for each in tails]
        self.pmf = pmf

    def at_least(self, number: int) -> float:
        """Return P(X >= number)."""
        index = number - self._low
        if index <= 0:
            return 1.0
        return self._tails[index] if index < len(self._tails) else 0.0

    def exactly(self, number: int) -> float:
        """Return P(X = number)."""
        return self.at_least(number) - self.at_least(number + 1)

    def over(self, quarters: int) -> float:
        """Return the probability to price for "over" a line of so many quarters (10 is 2.5)."""
        if quarters % 2:
            low, high = (quarters - 1) // 2, (quarters + 1) // 2
            won = self._above(low) + self._above(high)
            lost = 2.0 - self._from(low) - self._from(high)
        else:
            won = self._above(quarters // 2)
            lost = 1.0 - self._from(quarters // 2)
        return won / (won + lost) if won + lost > _EXACT else 0.5

    def _above(self, halves: int) -> float:
        return self.at_least(halves // 2 + 1)

    def _from(self, halves: int) -> float:
        return self.at_least((halves + 1) // 2)


def raster(number: float) -> int:
    """Return a positive number's place on the raster."""
    return round(log(max(_MEAN_MIN, number)) / _STEP_LOG)


@lru_cache(maxsize=4_096)
def at_raster(place: int) -> float:
    """Return the number at a place of the raster."""
    return exp(place * _STEP_LOG)


def goals(mean: float) -> list[float]:
    """Return Poisson's distribution of goals still to come."""
    pmf = [exp(-mean)]
    for number in range(1, _GOALS_MAX + 1):
        pmf.append(pmf[-1] * mean / number)
    return pmf


def lead(home: Sequence[float], away: Sequence[float]) -> Spread:
    """Return the distribution of the difference of two independent counts."""
    low = 1 - len(away)
    pmf = [0.0] * (len(home) + len(away) - 1)
    turned = away[::-1]
    for index, share in enumerate(home):
        for offset, other in enumerate(turned, start=index):
            pmf[offset] += share * other
    return Spread(low, pmf)


def normal(mean: float, deviation: float) -> Spread:
    """Return a normal distribution cut into whole numbers."""
    deviation = max(deviation, 0.3)
    low = int(mean - 5 * deviation) - 1
    high = int(mean + 5 * deviation) + 2
    scale = deviation * sqrt(2.0)
    below = [0.5 * (1.0 + erf((number - 0.5 - mean) / scale)) for number in range(low, high + 2)]
    return Spread(low, [max(after - before, 0.0) for before, after in pairwise(below)])


def odd(pmf: Sequence[float]) -> float:
    """Return the probability that a count from 0 on is odd."""
    return sum(pmf[1::2]) / sum(pmf)


def priced(probabilities: Sequence[float], margin: float) -> list[int] | None:
    """Return odds in ten-thousandths whose implied probabilities add up to the margin; None: too sure to be offered."""
    if min(probabilities) < PRICED_MIN:
        return None
    if len(probabilities) == 2:
        return [*_pair(round(probabilities[0] * SCALE), margin)]
    return [_rounded(share) for share in implied(probabilities, margin)]


@lru_cache(maxsize=65_536)
def _pair(first: int, margin: float) -> tuple[int, int]:
    """Price two outcomes, the first of which has so many ten-thousandths: most markets are pairs, and pairs recur."""
    share = first / SCALE
    home, away = implied((share, 1.0 - share), margin)
    return _rounded(home), _rounded(away)


def priced_each(probabilities: Sequence[float], margin: float) -> list[int | None]:
    """Return odds of outcomes that are not the whole set, or of many: those too unlikely or too sure have none."""
    factor = margin if sum(probabilities) < 1 + _EXACT else 1 + (margin - 1) / 2
    odds: list[int | None] = []
    for share in probabilities:
        fits = share >= LONGSHOT_MIN and share * factor < 1 - PRICED_MIN / 2
        odds.append(_rounded(share * factor) if fits else None)
    return odds


def implied(probabilities: Sequence[float], margin: float) -> list[float]:
    """Put a margin on probabilities that add up to 1, by the power method (Newton's iteration for the power)."""
    logs = [log(each) for each in probabilities]
    power = 1.0 - (margin - 1.0) / max(-sum(p * each for p, each in zip(probabilities, logs, strict=True)), _EXACT)
    for _ in range(_NEWTON_STEPS):
        shares = [exp(power * each) for each in logs]
        miss = sum(shares) - margin
        if -_EXACT < miss < _EXACT:
            break
        power -= miss / sum(share * each for share, each in zip(shares, logs, strict=True))
    return [exp(power * each) for each in logs]


def _rounded(share: float) -> int:
    """Turn an implied probability into odds of few decimals, fine enough that the margin stays what it is."""
    odds = SCALE / share
    step = 2 if odds < 1.1 * SCALE else 10 if odds < 6 * SCALE else 50 if odds < 20 * SCALE else 1_000
    return max(ODDS_MIN, round(odds / step) * step)


@lru_cache(maxsize=4_096)
def quarters_text(quarters: int) -> str:
    """Write a number of quarters as a shortest decimal: 9 is "2.25", -2 is "-0.5"."""
    sign = "-" if quarters < 0 else ""
    whole, rest = divmod(abs(quarters), 4)
    return f"{sign}{whole}{('', '.25', '.5', '.75')[rest]}"


@lru_cache(maxsize=4_096)
def quarters_of(text: str) -> int:
    """Read a decimal as a number of quarters."""
    whole, _, fraction = text.lstrip("-").partition(".")
    value = int(whole) * 4 + int((fraction + "00")[:2]) // 25
    return -value if text.startswith("-") else value
