"""Odds: exactness, the conversions table, and the way back."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_core import decimals, odds
from sb_core.errors import FeedError

ODDS = st.integers(odds.ODDS_MIN, odds.ODDS_MAX)
USUAL = st.integers(10_100, 1_000_000).map(lambda each: each // 100 * 100)

CONVERSIONS = [
    # decimal, american, fractional, hongkong, malay, indonesian
    ("1.01", "-10000", "1/100", "0.01", "0.01", "-100.00"),
    ("1.20", "-500", "1/5", "0.20", "0.20", "-5.00"),
    ("1.50", "-200", "1/2", "0.50", "0.50", "-2.00"),
    ("1.85", "-118", "17/20", "0.85", "0.85", "-1.18"),
    ("1.91", "-110", "91/100", "0.91", "0.91", "-1.10"),
    ("2.00", "+100", "1/1", "1.00", "1.00", "1.00"),
    ("2.50", "+150", "3/2", "1.50", "-0.67", "1.50"),
    ("2.85", "+185", "37/20", "1.85", "-0.54", "1.85"),
    ("3.25", "+225", "9/4", "2.25", "-0.44", "2.25"),
    ("11.00", "+1000", "10/1", "10.00", "-0.10", "10.00"),
    ("1.0125", "-8000", "1/80", "0.0125", "0.01", "-80.00"),
    ("1.001", "-100000", "1/1000", "0.001", "0.001", "-1000.00"),
    ("501.00", "+50000", "500/1", "500.00", "-0.002", "500.00"),
    ("1000000.00", "+99999900", "999999/1", "999999.00", "-0.000001", "999999.00"),
]


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: row[0])
def test_conversions(row):
    value = odds.parse(row[0])
    assert tuple(write(value) for write in odds.FORMATS.values()) == row
    assert tuple(odds.FORMATS) == ("decimal", "american", "fractional", "hongkong", "malay", "indonesian")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.0001", 10_001), ("1.5", 15_000), ("01.50", 15_000), ("2", 20_000), ("1000000", 10**10), ("1.23459", 12_345)],
)
def test_parse(text, value):
    assert odds.parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.00",
        "1.0000",
        "1.00009",
        "0",
        "-2.5",
        "+2.5",
        " 2.5",
        "2.5 ",
        "2.5\n",
        "2,5",
        "2.",
        ".5",
        "1e3",
        "NaN",
        "inf",
        "1_000.5",
        "1000000.0001",
        "1000001",
        "9" * 13,
        "1." + "5" * 19,
        "\u0662.\u0665",
        "\uff12.5",
        "0x2",
    ],
)
def test_what_is_no_odds_is_refused(text):
    with pytest.raises(FeedError) as caught:
        odds.parse(text)
    assert caught.value.code == "bad_odds"


@given(ODDS)
def test_text_comes_back(value):
    written = odds.text(value)
    assert odds.parse(written) == value
    assert 2 <= len(written.partition(".")[2]) <= 4
    assert Decimal(written) * odds.SCALE == value


@given(ODDS, st.text("0123456789", max_size=14))
def test_further_decimals_are_rounded_down(value, digits):
    whole, fraction = divmod(value, odds.SCALE)
    assert odds.parse(f"{whole}.{fraction:04d}{digits}") == value or value == odds.ODDS_MAX


@pytest.mark.parametrize("form", ["decimal", "fractional", "hongkong"])
@given(value=ODDS)
def test_exact_formats_come_back(form, value):
    assert odds.parse_format(form, odds.FORMATS[form](value)) == value


@pytest.mark.parametrize("form", ["american", "malay", "indonesian"])
@given(value=st.integers(10_100, 200_0000))
def test_rounded_formats_say_the_same_again(form, value):
    """Reading what was written and writing that differs by one in the last digit at most."""
    written = odds.FORMATS[form](value)
    again = odds.FORMATS[form](odds.parse_format(form, written))
    unit = 1 if form == "american" else Fraction("0.01")
    evens = {written, again} in ({"-100", "+100"}, {"1.00", "-1.00"})  # evens have two names in these formats
    assert evens or abs(Fraction(again) - Fraction(written)) <= unit


@given(st.integers(100, 100_000), st.booleans())
def test_american_comes_back(number, plus):
    written = f"+{number}" if plus or number == 100 else f"-{number}"
    value = odds.parse_format("american", written)
    if plus or number <= 1_000:  # beyond, four decimals of decimal odds cannot tell -5001 from -5000
        assert odds.american(value) == written


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("american", "+99"),
        ("american", "-50"),
        ("american", "0"),
        ("american", "1e3"),
        ("american", ""),
        ("fractional", "1/0"),
        ("fractional", "0/1"),
        ("fractional", "-1/2"),
        ("fractional", "0.5"),
        ("hongkong", "0"),
        ("hongkong", "-0.5"),
        ("hongkong", "1e999999999"),
        ("hongkong", "1_0"),
        ("malay", "0"),
        ("malay", "1.01"),
        ("malay", "-1.5"),
        ("malay", "NaN"),
        ("indonesian", "0.99"),
        ("indonesian", "-0.5"),
        ("indonesian", " 2"),
        ("decimal", "1.00"),
    ],
)
def test_what_a_format_cannot_say_is_refused(form, text):
    with pytest.raises(FeedError) as caught:
        odds.parse_format(form, text)
    assert caught.value.code == "bad_odds"


def test_overround_and_fair_of_the_wire_example():
    assert odds.text(odds.fair(odds.parse("1.85"), 10_480)) == "1.94"
    assert odds.text(odds.overround([20_000, 20_000])) == "1.00"
    assert odds.overround([19_100, 19_100]) == 10_471


def test_overround_is_rounded_half_up_exactly():
    # 1/3 + 1/3 + 1/3 + 1/20000 is 1.00005, though each third is cut
    assert odds.overround([30_000, 30_000, 30_000, 200_000_000]) == 10_001


@given(st.lists(ODDS, min_size=1, max_size=40))
def test_overround_is_exact(prices):
    exact = sum(Fraction(odds.SCALE**2, each) for each in prices)
    assert odds.overround(prices) == int(exact + Fraction(1, 2))


@given(st.lists(USUAL, min_size=2, max_size=5))
def test_fair_odds_have_no_margin(prices):
    margin = odds.overround(prices)
    fair = [odds.fair(each, margin) for each in prices]
    for price, without in zip(prices, fair, strict=True):
        exact = Fraction(price * margin, odds.SCALE)
        assert odds.ODDS_MIN <= without <= odds.ODDS_MAX
        if odds.ODDS_MIN <= exact <= odds.ODDS_MAX:
            assert abs(without - exact) <= (50 if exact >= 10_999 else 1)
        if margin >= odds.SCALE:
            assert without >= price - 50


@given(ODDS, st.integers(0, 10**7))
def test_fair_stays_in_range_and_rises_with_the_odds(value, margin):
    fair = odds.fair(value, margin)
    assert odds.ODDS_MIN <= fair <= odds.ODDS_MAX
    assert odds.parse(odds.text(fair)) == fair
    assert odds.fair(min(value + 1, odds.ODDS_MAX), margin) >= fair


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("7.24E-4", "0.000724"),
        ("7.2E-9", "0.0000000072"),
        ("8.97094E-4", "0.000897094"),
        ("1e3", "1000"),
        ("1.5e0", "1.5"),
        ("12.345e1", "123.45"),
        ("+0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0.0", "0"),
        ("-1.50", "-1.5"),
        ("0.0032518534", "0.0032518534"),
        ("1.50", "1.50"),
        (" 2.5 ", "2.5"),
        ("0E+9", "0"),
    ],
)
def test_plain_decimal(text, plain):
    assert decimals.plain_decimal(text) == plain


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "e5", ".", "1e999", "1e-19", "0x1", "1,5", "1 2", "9" * 41])
def test_plain_decimal_refuses(text):
    with pytest.raises(FeedError):
        decimals.plain_decimal(text)


@given(st.decimals(min_value=0, max_value=10**9, places=6), st.integers(-9, 9))
def test_plain_decimal_is_exact(number, exponent):
    plain = decimals.plain_decimal(f"{number}e{exponent}")
    assert Decimal(plain) == number * Decimal(10) ** exponent
    assert "e" not in plain.lower()


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=4))
def test_shortest_is_exact_and_short(number):
    short = decimals.shortest(f"{number:+.4f}")
    assert short is not None
    assert Decimal(short) == number
    assert decimals.shortest(short) == short
    assert not short.endswith(".")
    assert not (("." in short) and short.endswith("0"))


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0", True),
        ("1", True),
        ("1.000", True),
        ("0.5", True),
        ("1.01", False),
        ("2", False),
        ("-0.1", False),
        ("", False),
        ("7.24E-4", False),
        ("NaN", False),
        ("0." + "1" * 19, False),
        ("0" * 50, False),
    ],
)
def test_unit_interval(text, unit):
    assert decimals.is_unit(text) is unit
