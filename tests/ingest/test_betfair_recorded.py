"""Betfair's recorded feeds, against a fold that is written in the plainest way and shares no code with ours."""

import bz2
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from betfair_driver import Knowing

from sb_core.errors import FeedError
from sb_core.messages import AnyMessage, Fixture, Odds, Settlement, content_id
from sb_core.sports import check, get
from sb_ingest.providers import Normalised
from sb_ingest.providers.betfair import BetfairNormaliser

FOOTBALL = "football-1.242971311.bz2"
TENNIS = "tennis-1.223716976.bz2"
SETS = "tennis-1.223716981.ndjson"
GREYHOUNDS = "greyhounds-1.197931750.ndjson"


@pytest.fixture(scope="module")
def folder(feeds: Path) -> Path:
    return feeds / "betfair"


def documents(path: Path) -> list[bytes]:
    raw = bz2.decompress(path.read_bytes()) if path.suffix == ".bz2" else path.read_bytes()
    return [line for line in raw.splitlines() if line.strip()]


def normalise_all(docs: list[bytes]) -> Iterator[Normalised]:
    normaliser, session = BetfairNormaliser(), None
    for doc in docs:
        result = normaliser.normalise(doc, Knowing(), session, "0")
        session = result.session
        yield result


def all_messages(docs: list[bytes]) -> list[AnyMessage]:
    return [message for result in normalise_all(docs) for message in result.messages]


class PlainFold:
    """Markets as dicts of dicts: what the stream's documentation says, and nothing more."""

    def __init__(self) -> None:
        self.runners: dict[tuple[str, str, Decimal], dict[str, dict[Decimal, Decimal]]] = {}
        self.last: dict[tuple[str, str, Decimal], Decimal] = {}
        self.volume: dict[tuple[str, str, Decimal], Decimal] = {}

    def take(self, message: dict) -> list[tuple[str, str, Decimal]]:
        named = []
        for change in message["mc"]:
            if change.get("img"):
                for key in [key for key in self.runners if key[0] == change["id"]]:
                    del self.runners[key]
            for runner in change.get("rc", []):
                key = change["id"], str(runner["id"]), Decimal(runner.get("hc", 0))
                named.append(key)
                sides = self.runners.setdefault(key, {"atb": {}, "atl": {}})
                for side in ("atb", "atl"):
                    for price, size in runner.get(side, []):
                        if size == 0:
                            sides[side].pop(price, None)
                        else:
                            sides[side][price] = size
                if "ltp" in runner:
                    self.last[key] = runner["ltp"]
                if "tv" in runner:
                    self.volume[key] = runner["tv"]
        return named

    def shown(self, key: tuple[str, str, Decimal]) -> tuple[Decimal | None, ...]:
        sides = self.runners[key]
        back = max(sides["atb"]) if sides["atb"] else None
        lay = min(sides["atl"]) if sides["atl"] else None
        sizes = sides["atb"].get(back), sides["atl"].get(lay)
        return back, sizes[0], lay, sizes[1], self.last.get(key), self.volume.get(key)


def number(text: object) -> Decimal | None:
    return None if text is None else Decimal(str(text))


def test_football_equals_a_plain_fold_of_every_runner_at_every_message(folder: Path) -> None:
    docs = documents(folder / FOOTBALL)
    plain = PlainFold()
    ours: dict[tuple[str, str, Decimal], tuple[Decimal | None, ...]] = {}
    compared = 0
    for doc, result in zip(docs, normalise_all(docs), strict=True):
        for message in result.messages:
            for market in message.markets if isinstance(message, Odds) else ():
                for outcome in market.outcomes:
                    runner, _, hc = outcome.source.partition("/")
                    info = outcome.info
                    numbers = (outcome.odds, outcome.size, info["lay"], info["lay_size"], info["last"], info["volume"])
                    ours[market.source, runner, Decimal(hc or 0)] = tuple(number(each) for each in numbers)
        for key in plain.take(json.loads(doc, parse_float=Decimal, parse_int=Decimal)):
            assert ours[key] == plain.shown(key), (key, result.messages[0].ts)
            compared += 1
    assert compared == 6_672
    for key in plain.runners:
        assert ours[key] == plain.shown(key)
    # 140 markets of three runners, 60 of 33 pairs
    assert len({source for source, _, _ in ours}) == 200
    assert len(ours) == 140 * 3 + 60 * 66


def test_football_lines_are_canonical_and_nothing_is_refused(folder: Path) -> None:
    docs = documents(folder / FOOTBALL)
    results = list(normalise_all(docs))
    assert not any(result.refusals for result in results)
    assert len(results[0].messages) == 140 * 2
    assert [type(message) for message in results[0].messages] == [Fixture, Odds] * 140
    markets: dict[str, set[tuple[str, str, str]]] = {}
    for result in results:
        for message in result.messages:
            checked = check(message, get("football"))
            assert checked.problems == ()
            if isinstance(message, Odds):
                assert checked.message is message, "prices are in canonical form already"
                markets.setdefault(message.event, set()).update((m.market, m.line, m.source) for m in message.markets)
    assert len(markets) == 140
    for lines in markets.values():
        assert len({line[:2] for line in lines}) == len(lines), "two source markets share a line"
        handicaps = {line for market, line, _ in lines if market == "asian_handicap"}
        # -4 to 4 by quarters, or none
        assert handicaps in (set(), {f"hcp={Decimal(quarters) / 4:g}" for quarters in range(-16, 17)})


def test_football_messages_name_only_the_lines_that_changed(folder: Path) -> None:
    docs = documents(folder / FOOTBALL)
    for doc, result in zip(docs, normalise_all(docs), strict=True):
        message = json.loads(doc)
        named = {
            (change["id"], str(runner["id"]), runner.get("hc", 0))
            for change in message["mc"]
            for runner in change["rc"]
        }
        whole = {change["id"] for change in message["mc"] if "marketDefinition" in change}
        for odds in result.messages:
            for market in odds.markets if isinstance(odds, Odds) else ():
                runners = {outcome.source.partition("/") for outcome in market.outcomes}
                keys = {(market.source, runner, float(hc or 0)) for runner, _, hc in runners}
                assert market.source in whole or keys & named


def test_the_same_documents_give_the_same_messages(folder: Path) -> None:
    docs = documents(folder / FOOTBALL)[:300]
    once, again = all_messages(docs), all_messages(docs)
    assert once == again
    assert len({content_id(message) for message in once}) == len(once)


def test_tennis_whole_life(folder: Path) -> None:
    docs = documents(folder / TENNIS)
    messages = all_messages(docs)
    # 362 documents: each priced but the last, which settles; name and start move, then play begins, then it ends
    assert Counter(type(message).__name__ for message in messages) == {"Odds": 361, "Fixture": 7, "Settlement": 1}
    fixtures = [message for message in messages if isinstance(message, Fixture)]
    assert [fixture.status for fixture in fixtures] == ["not_started"] * 5 + ["live", "ended"]
    assert [fixture.name for fixture in fixtures] == ["Cameron Norrie v Casper Ruud"] + ["Norrie v Ruud"] * 6
    assert [fixture.start for fixture in fixtures[:5]] == [
        1_705_622_400_000,  # 19th, 00:00
        1_705_708_800_000,  # 20th, 00:00
        1_705_730_400_000,  # 06:00
        1_705_731_000_000,  # 06:10
        1_705_731_600_000,  # 06:20
    ]
    assert [(c.id, c.name, c.side) for c in fixtures[0].competitors] == [
        ("betfair:42669524", "Cameron Norrie", "home"),
        ("betfair:9629711", "Casper Ruud", "away"),
    ]
    priced = [message.markets[0] for message in messages if isinstance(message, Odds)]
    assert {(market.market, market.line, market.source) for market in priced} == {("match_winner", "", "1.223716976")}
    assert {outcome.odds for market in priced for outcome in market.outcomes} == {None}
    assert Counter(market.status for market in priced) == {"active": 359, "suspended": 2}
    assert {o.id: o.info["last"] for o in priced[-1].outcomes} == {"home": "1.01", "away": "100"}
    settlement = messages[-1]
    assert isinstance(settlement, Settlement)
    assert settlement.certainty == "confirmed"
    assert [(o.id, o.result) for o in settlement.markets[0].outcomes] == [("home", "won"), ("away", "lost")]


def test_a_set_that_ends_does_not_end_the_match(folder: Path) -> None:
    messages = all_messages(documents(folder / SETS))
    statuses = [message.status for message in messages if isinstance(message, Fixture)]
    assert statuses == ["not_started"] * 5 + ["live"]
    settlement = messages[-1]
    assert isinstance(settlement, Settlement)
    assert [(market.market, market.line) for market in settlement.markets] == [("set_winner", "set=4")]


def test_greyhounds_are_refused_one_by_one(folder: Path) -> None:
    docs = documents(folder / GREYHOUNDS)
    results = list(normalise_all(docs))
    assert not any(result.messages for result in results)
    for doc, result in zip(docs, results, strict=True):
        [refusal] = result.refusals
        assert refusal.code == "unsupported_sport"
        assert refusal.event == "betfair:31389771"
        assert (refusal.sport, refusal.market, refusal.line) == ("betfair:4339", None, None)
        assert refusal.ts == json.loads(doc)["pt"]
        assert refusal.raw == doc


def test_a_truncated_document_is_malformed(folder: Path) -> None:
    [document] = documents(folder / "tennis-1.223716890-truncated.ndjson")
    with pytest.raises(FeedError) as refused:
        BetfairNormaliser().normalise(document, Knowing(), None, "0")
    assert refused.value.code == "malformed"


EXPECTED: dict[str, tuple[int, dict[str, int], dict[str, int], int]] = {
    # documents, message types, refusal codes, ignored
    "connection": (1, {}, {}, 1),
    "mcm_con_true": (1, {}, {"no_image": 1}, 0),
    "mcm_heartbeat": (1, {}, {}, 1),
    "mcm_live_image": (1, {}, {"no_image": 1}, 0),
    "mcm_live_update": (1, {}, {"no_image": 1}, 0),
    "mcm_market_definition_runner_removed": (1, {}, {"unsupported_sport": 1}, 0),
    # an image without a definition, 31 deltas on it, a heartbeat between them
    "mcm_market_updates": (33, {}, {"no_image": 32}, 1),
    # one of 42 markets has a definition: eventTypeId 1, WINNER
    "mcm_resub_delta": (1, {"Fixture": 1, "Odds": 1}, {"no_image": 41}, 0),
    "mcm_sub_image": (1, {}, {"unsupported_sport": 1}, 0),
    "mcm_update": (1, {}, {"no_image": 1}, 0),
    "mcm_update_md": (1, {"Fixture": 1, "Odds": 1}, {}, 0),
    "mcm_update_tv": (1, {}, {"no_image": 1}, 0),
    "status": (1, {}, {}, 1),
    "status_error": (1, {}, {}, 1),
    "streaming_503": (1, {}, {}, 1),
    # 43 changes, two of them horse races with definitions
    "streaming_mcm_RESUB_DELTA": (1, {}, {"no_image": 41, "unsupported_sport": 2}, 0),
    "streaming_mcm_SUB_IMAGE": (1, {}, {"unsupported_sport": 1}, 0),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_single_messages(folder: Path, name: str) -> None:
    parsed = json.loads((folder / "messages" / f"{name}.json").read_bytes())
    docs = [json.dumps(each, indent=1).encode() for each in (parsed if isinstance(parsed, list) else [parsed])]
    results = list(normalise_all(docs))
    types = Counter(type(message).__name__ for result in results for message in result.messages)
    codes = Counter(refusal.code for result in results for refusal in result.refusals)
    assert (len(docs), types, codes, sum(result.ignored for result in results)) == EXPECTED[name]
    lost = name in {"status_error", "streaming_503"}
    assert bool(results[-1].lost) is lost


def test_the_table_names_every_message_file(folder: Path) -> None:
    assert {path.stem for path in (folder / "messages").glob("*.json")} == set(EXPECTED)


def test_resubscribed_winner_market(folder: Path) -> None:
    """Worked out from the last change of mcm_resub_delta.json: level 0 of each side, [0, 0, 0] where nothing is offered."""
    doc = (folder / "messages" / "mcm_resub_delta.json").read_bytes()
    _, odds = next(normalise_all([doc])).messages
    assert isinstance(odds, Odds)
    [market] = odds.markets
    assert (market.market, market.line, market.status) == ("betfair:WINNER", "id=1.175776462", "suspended")
    assert market.info == {
        "in_play": True,
        "bet_delay_s": 1,
        "winners": 1,
        "version": 1_484_342_502,
        "start": 1_609_142_400_000,
        "conflated": True,
    }
    shown = {o.id: (o.odds, o.size, o.info["lay"], o.info["lay_size"]) for o in market.outcomes}
    assert len(shown) == 12
    assert shown["8586946"] == ("21.00", "2", None, None)
    assert shown["1205121"] == (None, None, "1.01", "71.19")
    assert shown["370132"] == ("1000.00", "43.25", None, None)
    first = market.outcomes[0].info
    assert (first["bsp"], first["reduction"]) == ("3.9161586776799058", "20.408")


def test_a_market_in_play_without_ladders(folder: Path) -> None:
    doc = (folder / "messages" / "mcm_update_md.json").read_bytes()
    fixture, odds = next(normalise_all([doc])).messages
    assert isinstance(fixture, Fixture)
    assert isinstance(odds, Odds)
    assert (fixture.event, fixture.sport, fixture.status) == ("betfair:30363344", "tennis", "live")
    [market] = odds.markets
    assert (market.market, market.line) == ("betfair:GAME_BY_GAME_01_07", "id=1.180770798")
    assert market.status == "suspended"
    assert [(o.id, o.odds, o.active) for o in market.outcomes] == [("13834991", None, True), ("3120169", None, True)]
