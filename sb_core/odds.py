"""Exact odds: integers of ten-thousandths inside, decimal strings outside, binary floats nowhere.

Odds run from 1.0001 to 1,000,000. More than four decimals are rounded down. Conversions to the other five formats
round as each docstring says; `parse_format` goes back where the format is exact enough.
"""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

from sb_core.errors import FeedError

SCALE: Final = 10_000
ODDS_MIN: Final = 10_001
ODDS_MAX: Final = 1_000_000 * SCALE
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,18})?", re.ASCII)
_SIGNED: Final = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,18})?", re.ASCII)
_FRACTIONAL: Final = re.compile(r"[0-9]{1,12}/[0-9]{1,12}", re.ASCII)


@lru_cache(maxsize=65_536)
def parse(text: str) -> int:
    """Turn a plain decimal string into ten-thousandths, rounding more than four decimals down.

    Raises FeedError `bad_odds` for anything but digits with an optional fraction, and outside of 1.0001 to 1,000,000.
    """
    value = scaled(text)
    if not ODDS_MIN <= value <= ODDS_MAX:
        raise FeedError("bad_odds", f"odds {text[:40]!r} are not between 1.0001 and 1000000")
    return value


def scaled(text: str) -> int:
    """Turn a plain decimal string into ten-thousandths without asking for the range of odds."""
    if not _DECIMAL.fullmatch(text):
        raise FeedError("bad_odds", f"odds {text[:40]!r} are not a plain decimal number")
    whole, _, fraction = text.partition(".")
    return int(whole) * SCALE + int((fraction + "0000")[:4])


@lru_cache(maxsize=65_536)
def text(odds: int) -> str:
    """Write ten-thousandths as a decimal string of two to four decimals: 15000 is "1.50", 10125 is "1.0125"."""
    whole, rest = divmod(odds, SCALE)
    fraction = f"{rest:04d}"
    return f"{whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def overround(odds: list[int]) -> int:
    """Return the sum of the implied probabilities of a complete set, in ten-thousandths, half up."""
    unit = 10**16
    total = 0
    for each in odds:  # the hot path: a third less than sum() of a generator
        total += unit // each
    # total is 10**12 times the sum of 1/odds, as odds carry 10**4 themselves; each division dropped less than one,
    # which matters only just below a half
    margin, rest = divmod(total + 5 * 10**7, 10**8)
    if rest < 10**8 - len(odds):
        return margin
    return _half_up(sum((Fraction(SCALE * SCALE, each) for each in odds), start=Fraction(0)))


def fair(odds: int, margin: int) -> int:
    """Return margin-free odds by the proportional method: odds times the overround.

    Rounded half up to two decimals, to four below 1.10, where two would lose the price; kept within the range of odds.
    """
    exact = odds * margin
    near = (exact + SCALE // 2) // SCALE
    if near < 11_000:
        return max(near, ODDS_MIN)
    cents = (exact + 50 * SCALE) // (100 * SCALE) * 100
    return min(ODDS_MAX, cents)


def _half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _two_decimals(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    cents = _half_up(abs(value) * 100)
    if cents:
        return f"{sign}{cents // 100}.{cents % 100:02d}"
    # two decimals would lose the price and its sign: give its first two digits
    places = 2
    while abs(value) * 10**places < 1:
        places += 1
    digits = _half_up(abs(value) * 10 ** (places + 1))
    return f"{sign}0.{digits:0{places + 1}d}".rstrip("0")


def american(odds: int) -> str:
    """Write as American odds: "+150" from evens upwards, "-200" below; whole numbers, half up by magnitude."""
    net = Fraction(odds - SCALE, SCALE)
    if net >= 1:
        return f"+{_half_up(net * 100)}"
    return f"-{_half_up(100 / net)}"


def fractional(odds: int) -> str:
    """Write as fractional odds in lowest terms ("17/20"); exact."""
    net = Fraction(odds - SCALE, SCALE)
    return f"{net.numerator}/{net.denominator}"


def hongkong(odds: int) -> str:
    """Write as Hong Kong odds: the net win for a stake of one, two decimals or exact up to four."""
    return text(odds - SCALE)


def malay(odds: int) -> str:
    """Write as Malay odds: the net win up to evens, above that minus its inverse; two decimals, half up by magnitude.

    Prices that would be 0.00 get their first two digits ("0.0049", "-0.002").
    """
    net = Fraction(odds - SCALE, SCALE)
    return _two_decimals(net if net <= 1 else -1 / net)


def indonesian(odds: int) -> str:
    """Write as Indonesian odds: the net win from evens, below that minus its inverse; two decimals, half up by magnitude."""
    net = Fraction(odds - SCALE, SCALE)
    return _two_decimals(net if net >= 1 else -1 / net)


FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "decimal": text,
    "american": american,
    "fractional": fractional,
    "hongkong": hongkong,
    "malay": malay,
    "indonesian": indonesian,
}


def parse_format(form: str, written: str) -> int:
    """Read odds written in one of FORMATS back into ten-thousandths, half up.

    Exact for decimal, fractional and Hong Kong; for the others the nearest odds to what the rounded text says.
    Raises FeedError `bad_odds`, also for what a format cannot say (American odds between -100 and 100, Malay ones
    beyond 1, Indonesian ones within).
    """
    if form == "decimal":
        return parse(written)
    pattern = _FRACTIONAL if form == "fractional" else _SIGNED
    if not pattern.fullmatch(written):
        raise FeedError("bad_odds", f"{written[:40]!r} is no {form} odds")
    try:
        odds = _half_up((_net(form, Fraction(written)) + 1) * SCALE)
    except (ValueError, ZeroDivisionError) as error:
        raise FeedError("bad_odds", f"{written[:40]!r} is no {form} odds") from error
    if not ODDS_MIN <= odds <= ODDS_MAX:
        raise FeedError("bad_odds", f"{form} odds {written[:40]!r} are out of range")
    return odds


def _net(form: str, value: Fraction) -> Fraction:
    """Return the net win for a stake of one; raises ValueError for what the format cannot say."""
    if form in {"fractional", "hongkong"}:
        return value
    size = abs(value)
    if form == "american":
        value, size = value / 100, size / 100
    if size > 1 if form == "malay" else size < 1:
        raise ValueError(form)
    return value if value > 0 else -1 / value
