"""Names of markets: a table by hand, and the rule that two source markets never share one."""

from collections import defaultdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb_core import sports
from sb_core.errors import FeedError
from sb_core.messages import MarketRef, SettlementRollback
from sb_ingest.providers.uof_markets import TABLES, Identity, canonical_markets, identify, split_specifiers
from sb_ingest.providers.uof_reference import ordinal, signed


@pytest.mark.parametrize(
    ("sport", "market_id", "specifiers", "market", "line"),
    [
        ("football", "1", "", "1x2", ""),
        ("football", "60", "", "1x2_1st_half", ""),
        ("football", "1", "goalnr=1", "uof:1", "goalnr=1"),
        ("football", "18", "total=2.5", "total", "total=2.5"),
        ("football", "18", "total=2.50", "total", "total=2.5"),
        ("football", "18", "total=3.0", "total", "total=3"),
        ("football", "18", "total=-1", "uof:18", "total=-1"),
        ("football", "18", "total=many", "uof:18", "total=many"),
        ("football", "18", "", "uof:18", ""),
        ("football", "18", "total=2.5|variant=x", "uof:18", "total=2.5|variant=x"),
        ("football", "16", "hcp=-0.0", "asian_handicap", "hcp=0"),
        ("football", "16", "hcp=+0.25", "asian_handicap", "hcp=0.25"),
        ("football", "14", "hcp=0:1", "european_handicap", "hcp=0:1"),
        ("football", "14", "hcp=-1", "uof:14", "hcp=-1"),
        ("football", "29", "", "both_teams_to_score", ""),
        ("football", "45", "", "uof:45", ""),  # its "other" is not ours
        ("football", "186", "", "uof:186", ""),
        ("football", "145", "variant=sr:point_range:76+", "uof:145", "variant=sr:point_range:76+"),
        ("football", "21", "variant=sr:exact_goals:6+", "uof:21", "variant=sr:exact_goals:6+"),
        ("football", "123", "set=2|game=3|point=1", "uof:123", "game=3|point=1|set=2"),
        ("football", "900", "a=x%y|b=c=d", "uof:900", "a=x%25y|b=c%3Dd"),
        ("football", "900", "id=7", "uof:900", "id=id%3D7"),
        ("football", "900", "7", "uof:900", "id=7"),
        ("football", "900", "a=1|a=2", "uof:900", "id=a%3D1%7Ca%3D2"),
        ("football", "900", "a=|b=1", "uof:900", "id=a%3D%7Cb%3D1"),
        ("basketball", "219", "", "money_line", ""),
        ("basketball", "18", "total=180.5", "total", "total=180.5"),
        ("basketball", "225", "total=180.5", "total_incl_ot", "total=180.5"),
        ("basketball", "226", "total=180.5", "uof:226", "total=180.5"),  # the US market is another one
        ("basketball", "303", "quarternr=3|hcp=-1.5", "handicap_quarter", "hcp=-1.5|quarter=3"),
        (
            "basketball",
            "921",
            "player=sr:player:9|total=20.5",
            "player_total_points",
            "player=uof:sr:player:9|total=20.5",
        ),
        ("tennis", "1", "", "uof:1", ""),
        ("tennis", "186", "", "match_winner", ""),
        ("tennis", "202", "setnr=2", "set_winner", "set=2"),
        ("tennis", "210", "setnr=2|gamenr=3", "game_winner", "game=3|set=2"),
        ("hockey", "406", "", "money_line_incl_ot", ""),
        ("hockey", "16", "hcp=1.5", "handicap", "hcp=1.5"),
        ("hockey", "446", "periodnr=1|total=1.5", "total_period", "period=1|total=1.5"),
        ("curling", "1", "", "uof:1", ""),
    ],
)
def test_identity(sport: str, market_id: str, specifiers: str, market: str, line: str) -> None:
    found = identify(sport, market_id, specifiers)
    assert (found.market, found.line) == (market, line)
    assert (found.outcomes is None) == market.startswith("uof:")


@pytest.mark.parametrize("market_id", ["", "1|2", "a b", "1:2", "x" * 65, "\u0661"])
def test_ids_that_are_none(market_id: str) -> None:
    with pytest.raises(FeedError) as caught:
        identify("football", market_id, "")
    assert caught.value.code == "bad_id"


@pytest.mark.parametrize("sport", sports.names())
def test_the_catalogue_has_every_row_of_the_table(sport: str) -> None:
    assert canonical_markets(sport).keys() == TABLES[sport].keys()
    names = [row[0] for row in TABLES[sport].values()]
    assert len(set(names)) == len(names)
    for _, _, outcomes in TABLES[sport].values():
        assert len(set(outcomes.values())) == len(outcomes)


_NAMES = st.sampled_from(
    ["total", "hcp", "score", "setnr", "set", "gamenr", "variant", "version", "id", "player", "type"]
)
_VALUES = st.one_of(
    st.sampled_from(["0", "-0", "1", "1.0", "+1", "0:1", "2.5", "2.50", "76+", "id=1", "a|b", "%7C", "uof:x", ""]),
    st.text(alphabet="01.-+:%=|id", max_size=6),
)
_SPECIFIERS = st.one_of(
    st.lists(st.tuples(_NAMES, _VALUES), max_size=3).map(
        lambda pairs: "|".join(f"{name}={value}" for name, value in pairs)
    ),
    st.text(alphabet="01.-+:%=|idtotal", max_size=12),
)
_IDS = st.one_of(
    st.sampled_from(sorted({each for table in TABLES.values() for each in table})), st.integers(0, 2000).map(str)
)
_SOURCES = st.tuples(_IDS, _SPECIFIERS)


def meaning(market_id: str, specifiers: str) -> object:
    """What a source market is, independent of how its specifiers are ordered and its numbers written."""
    pairs = split_specifiers(specifiers)
    if pairs is None:
        return market_id, specifiers
    return market_id, frozenset((name, number(name, value)) for name, value in pairs.items())


def number(name: str, value: str) -> object:
    if name in {"variant", "version", "player", "id"}:
        return value
    try:
        return float(value)
    except ValueError:
        home, colon, away = value.partition(":")
        return (int(home), int(away)) if colon and home.isdecimal() and away.isdecimal() else value


def named(sport: str, source: tuple[str, str]) -> Identity | None:
    try:
        return identify(sport, *source)
    except FeedError as error:
        return None if error.code == "bad_id" else pytest.fail(error.code)


@given(st.sampled_from(sports.names()), st.lists(_SOURCES, min_size=2, max_size=20))
@example("football", [("18", "total=2.5"), ("18", "total=2.5|id=1"), ("18", "id=total%3D2.5"), ("18", "total")])
@example("football", [("900", "5"), ("900", "id=5"), ("900", "id=id=5")])
@example("basketball", [("921", "player=uof:1|total=1"), ("921", "player=1|total=1")])
def test_two_source_markets_never_share_a_name(sport: str, sources: list[tuple[str, str]]) -> None:
    owners = defaultdict(set)
    for source in sources:
        found = named(sport, source)
        if found is not None:
            owners[found.market, found.line].add(meaning(*source))
    assert all(len(each) == 1 for each in owners.values()), owners


@given(st.sampled_from(sports.names()), _SOURCES)
def test_every_name_passes_the_checks_as_it_is(sport: str, source: tuple[str, str]) -> None:
    found = named(sport, source)
    if found is None:
        return
    message = SettlementRollback(
        ts=1, event="uof:sr:match:1", sport=sport, markets=(MarketRef(market=found.market, line=found.line),)
    )
    checked = sports.check(message, sports.get(sport))
    assert checked.problems == ()
    assert checked.message is message


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1", "1st"),
        ("2", "2nd"),
        ("3", "3rd"),
        ("4", "4th"),
        ("11", "11th"),
        ("12", "12th"),
        ("21", "21st"),
        ("x", "x"),
    ],
)
def test_ordinal(value: str, written: str) -> None:
    assert ordinal(value) == written


@pytest.mark.parametrize(
    ("value", "ours", "theirs"),
    [("-0.25", "-0.25", "+0.25"), ("1.50", "+1.5", "-1.5"), ("0", "0", "0"), ("0:1", None, None)],
)
def test_signed(value: str, ours: str | None, theirs: str | None) -> None:
    assert (signed(value, "+"), signed(value, "-")) == (ours, theirs)
