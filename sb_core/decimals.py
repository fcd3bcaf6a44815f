"""Plain decimal strings: reading what providers write as numbers, and writing one number one way.

The rule: text in, text out, no binary float in between; what cannot be kept in bounds is refused, never approximated
upwards.
"""

import re
from functools import lru_cache
from typing import Final

from sb_core.errors import FeedError

CHARS_MAX: Final = 40
"""Longest number looked at, in characters."""
EXPONENT_MAX: Final = 18
FRACTION_DIGITS_MAX: Final = 18

_PLAIN: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,18})?", re.ASCII)
_SIGNED: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_SCIENTIFIC: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)


def is_plain(text: str) -> bool:
    """Say whether a text is digits with an optional fraction: no sign, no exponent, at most 12 and 18 digits."""
    return len(text) <= CHARS_MAX and _PLAIN.fullmatch(text) is not None


@lru_cache(maxsize=16_384)
def _in_unit_interval(text: str) -> bool:
    if not _PLAIN.fullmatch(text):
        return False
    whole, _, fraction = text.partition(".")
    return int(whole) == 0 or (int(whole) == 1 and not fraction.strip("0"))


def is_unit(text: str) -> bool:
    """Say whether a text is a plain decimal from 0 to 1, as probabilities and dead-heat factors are."""
    return len(text) <= CHARS_MAX and _in_unit_interval(text)


def shortest(text: str) -> str | None:
    """Write a signed decimal in its one shortest form ("+2.50" is "2.5", "-0.0" is "0"); None for anything else."""
    match = _SIGNED.fullmatch(text) if len(text) <= CHARS_MAX else None
    if match is None or not (match[2] or match[3]):
        return None
    whole = match[2].lstrip("0") or "0"
    fraction = (match[3] or "").rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if match[1] == "-" and number != "0" else number


def plain_decimal(text: str) -> str:
    """Write a number that may have a sign or an exponent as a plain decimal: "7.24E-4" is "0.000724".

    A plain decimal comes back as it is. Digits beyond the 18th decimal are dropped. Raises FeedError `bad_odds` for
    anything that is no finite decimal number within bounds ("NaN", "1e999").
    """
    if is_plain(text):
        return text
    text = text.strip()
    match = _SCIENTIFIC.fullmatch(text) if len(text) <= CHARS_MAX else None
    if match is None or not (match[2] or match[3]):
        raise FeedError("bad_odds", f"{text[:CHARS_MAX]!r} is no decimal number")
    exponent = int(match[4] or 0)
    if abs(exponent) > EXPONENT_MAX:
        raise FeedError("bad_odds", f"the exponent of {text!r} is out of range")
    whole, fraction = match[2] or "0", match[3] or ""
    if exponent >= 0:
        fraction = fraction.ljust(exponent, "0")
        whole, fraction = whole + fraction[:exponent], fraction[exponent:]
    else:
        whole = whole.rjust(1 - exponent, "0")
        whole, fraction = whole[:exponent], whole[exponent:] + fraction
    whole, fraction = whole.lstrip("0") or "0", fraction[:FRACTION_DIGITS_MAX].rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if match[1] == "-" and number != "0" else number
