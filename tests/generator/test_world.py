"""A simulated day, read by a stranger; determinism over interpreters and steps; rates, runs, pauses and recoveries."""

import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from world_reader import Reader, lines

from sb_core import messages
from sb_core.messages import Alive, BetStop, Odds, ScoreChange, SnapshotComplete
from sb_generator.playbill import PLAYS, SHARES
from sb_generator.world import World

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = 1_782_237_600_000
HOUR = 3_600_000
SEED_5 = "1a84e798270d5ec89d9de267fa98059724b46157e4cb72975b7c7d453abec02e"


@pytest.fixture(scope="module")
def day():
    """Sixteen hours of a small world, as a stranger has read them."""
    reader = Reader()
    world = World(11, ORIGIN, 0.12, live=8)
    for line in lines(world, ORIGIN + 16 * HOUR, 60_000):
        reader.take(line)
    return reader


def finished(day):
    return [each for each in day.events.values() if each.statuses[-1] == "closed"]


def test_a_day_has_everything(day):
    assert set(day.types) == {
        "fixture",
        "odds",
        "bet_stop",
        "score",
        "settlement",
        "settlement_rollback",
        "cancel",
        "cancel_rollback",
        "alive",
    }
    assert set(Counter(each.sport for each in finished(day))) == set(PLAYS)
    ways = Counter(tuple(each.statuses) for each in day.events.values())
    assert ways["not_started", "live", "ended", "closed"] > 20
    assert any("postponed" in way for way in ways)
    assert any("delayed" in way for way in ways)
    assert all(way[0] in {"not_started", "live"} for way in ways)


def test_every_market_ends_by_the_time_its_event_is_closed(day):
    assert len(finished(day)) > 45
    for event in finished(day):
        assert set(event.markets) == set(event.ended)
        assert {certainty for certainty, _ in event.ended.values()} <= {"confirmed", "cancelled"}
        # one that was joined at its very end had no markets
        if "abandoned" not in event.statuses and event.markets:
            assert {certainty for certainty, _ in event.ended.values()} == {"confirmed"}


def test_results_follow_from_the_last_score(day):
    """Works some results out anew, from what was told."""
    checked = Counter()
    for event in finished(day):
        if "abandoned" in event.statuses:
            continue
        last = event.scores[-1]
        regular = [each for each in last.periods if each.type in {"half", "quarter", "period"}]
        home, away = sum(each.home for each in regular), sum(each.away for each in regular)
        winner = "home" if home > away else "away" if away > home else "draw"
        final = "home" if last.home > last.away else "away"
        for (market, line), (_, results) in event.ended.items():
            if market == "1x2" and results:
                assert [outcome for outcome, result in results.items() if result == "won"] == [winner]
            elif market in {"money_line", "money_line_incl_ot", "match_winner"} and results:
                assert results[final] == "won"
            elif market == "total" and line.endswith(".5"):
                over = home + away > float(line.removeprefix("total="))
                assert results == {"over": "won" if over else "lost", "under": "lost" if over else "won"}
            else:
                continue
            checked[market] += 1
    assert min(checked[each] for each in ("1x2", "money_line", "match_winner", "total")) >= 3


def test_margins_are_those_of_the_sports(day):
    for sport, play in PLAYS.items():
        books = day.books[sport]
        assert len(books) > 300
        assert all(abs(each / 10_000 - play.margin) < 0.001 for each in books), sport
        assert abs(sum(books) / len(books) / 10_000 - play.margin) < 0.0003


def test_both_producers_say_every_ten_seconds_that_they_live(day):
    for producer in ("1", "3"):
        times = day.alive[producer]
        assert {after - before for before, after in pairwise(times)} == {10_000}


def test_no_price_is_told_between_a_stop_and_what_opens_again():
    """A goal's stop comes first, then the score; prices of what was stopped wait until the stop is over."""
    world = World(3, ORIGIN, 1.0, live=9)
    stopped_at, goals = {}, 0
    for line in lines(world, ORIGIN + 3 * HOUR, 500):
        message = messages.decode(line)
        if message.sport != "football":
            continue
        if isinstance(message, BetStop) and message.groups == ("all",):
            stopped_at[message.event] = message.ts
        elif isinstance(message, ScoreChange) and message.event in stopped_at:
            goals += message.ts - stopped_at[message.event] <= 3_000
        elif isinstance(message, Odds) and message.producer == "1":
            stopped = stopped_at.pop(message.event, None)
            assert stopped is None or message.ts - stopped > 10_000
    assert goals > 20


def digest(seed, until_ms, step_ms):
    found = sha256()
    for line in lines(World(seed, ORIGIN, 20.0), until_ms, step_ms):
        found.update(line + b"\n")
    return found.hexdigest()


SCRIPT = """
import sys; sys.path.insert(0, "tests/generator")
from test_world import digest, ORIGIN
print(digest(5, ORIGIN + 20_000, 1_000))
"""


def test_a_seed_gives_the_same_bytes_in_every_interpreter():
    found = set()
    for number in ("0", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
    # ... and however one steps
    assert found == {digest(5, ORIGIN + 20_000, 37) + "\n"}
    assert found != {digest(6, ORIGIN + 20_000, 1_000) + "\n"}


def test_the_bytes_of_a_seed_are_these_on_every_python():
    """Whoever changes what the world says changes this on purpose."""
    assert digest(5, ORIGIN + 20_000, 1_000) == SEED_5


def week(days, live=5):
    """Read some days of one small league's worth of events, and every offer's probabilities."""
    reader = Reader()
    for line in lines(World(17, ORIGIN, 0.05, live=live), ORIGIN + days * 24 * HOUR, 600_000):
        reader.take(line)
    return reader


def check_week(reader, events):
    done = [each for each in reader.events.values() if each.statuses[-1] in {"closed", "cancelled", "postponed"}]
    assert len(done) >= events
    for event in done:
        # every market ends settled or cancelled
        assert set(event.markets) == set(event.ended)
    for sport, play in PLAYS.items():
        assert all(abs(each / 10_000 - play.margin) < 0.001 for each in reader.books[sport]), sport
    assert reader.half > 0
    return done


@pytest.fixture
def probabilities(monkeypatch):
    """All offers that are made go through here: the probabilities of a market add up to 1."""
    from sb_generator import shelf  # noqa: PLC0415  to wrap what the shelf asks

    seen = []
    quote = shelf._quote

    def checked(offer, margin):
        assert all(-1e-9 <= each <= 1.0 + 1e-9 for each in offer.probabilities), offer
        if offer.whole:
            assert abs(sum(offer.probabilities) - 1.0) < 1e-9, offer
        seen.append(offer.market)
        return quote(offer, margin)

    monkeypatch.setattr(shelf, "_quote", checked)
    shelf._pages.cache_clear()
    yield seen
    shelf._pages.cache_clear()


def test_a_day_passes_every_rule_of_its_sports(probabilities):
    check_week(week(1), 20)
    assert len(set(probabilities)) > 40


@pytest.mark.slow
def test_a_week_passes_every_rule_of_its_sports(probabilities):
    done = check_week(week(7), 250)
    ways = Counter(status for each in done for status in each.statuses)
    assert {"delayed", "postponed", "interrupted", "abandoned", "cancelled"} <= set(ways)
    assert any(each.unseen for each in done)
    assert any(len(set(each.names)) > 1 for each in done)
    assert any(each.statuses.count("not_started") > 1 for each in done)
    assert len(set(probabilities)) > 50


def test_the_wanted_rate_is_kept_from_the_first_second():
    world = World(1, ORIGIN, 100.0)
    first = [messages.encode(each) for each in world.step(ORIGIN + 1_000)]
    assert any(b'"odds"' in each for each in first)
    counts = [len(world.step(ORIGIN + second * 1_000)) for second in range(2, 32)]
    assert 95 < sum(counts) / len(counts) < 105
    world.set_rate(10.0)
    counts = [len(world.step(ORIGIN + second * 1_000)) for second in range(32, 92)]
    assert sum(counts) / len(counts) == pytest.approx(10, rel=0.3)
    before = world.census().live
    world.set_rate(200.0)
    world.step(ORIGIN + 96_000)
    assert world.census().live > before + 60
    counts = [len(world.step(ORIGIN + second * 1_000)) for second in range(97, 107)]
    assert sum(counts) / len(counts) == pytest.approx(200, rel=0.05)


def test_the_sports_are_mixed_and_nobody_plays_twice():
    world = World(2, ORIGIN, 50.0)
    sports, playing = Counter(), Counter()
    for message in world.step(ORIGIN + 30_000):
        if messages.type_of(message) == "fixture":
            sports[message.sport] += message.status == "live"
            playing.update(each.id for each in message.competitors)
    assert {sport: round(sports[sport] / sports.total(), 2) for sport in SHARES} == pytest.approx(SHARES, abs=0.04)
    assert max(playing.values()) == 1


def test_runs_share_no_event_but_their_teams():
    def fixtures(origin):
        found = World(4, origin, 50.0).step(origin + 5_000)
        return [each for each in found if messages.type_of(each) == "fixture"]

    first, second = fixtures(ORIGIN), fixtures(ORIGIN + 1)
    assert not {each.event for each in first} & {each.event for each in second}
    assert [each.competitors for each in first] == [each.competitors for each in second]
    assert all(each.event.startswith("sim:") for each in first)


def test_after_a_pause_scores_are_told_late_and_prices_are_not():
    world = World(7, ORIGIN, 20.0)
    world.step(ORIGIN + 60_000)
    later = ORIGIN + 1_260_000
    world.resume(later)
    said = world.step(later + 1_000)
    assert any(isinstance(each, ScoreChange) and each.ts < later - 60_000 for each in said)
    assert not any(isinstance(each, Alive) and each.ts < later for each in said)
    # only what opens markets again after incidents, not the thousands of changes of the time between
    assert sum(isinstance(each, Odds) and each.ts < later for each in said) < 1_500
    assert len(world.step(later + 2_000)) < 100


def test_a_recovery_says_everything_that_stands():
    world = World(8, ORIGIN, 20.0)
    world.step(ORIGIN + 60_000)
    census = world.census()
    said = world.interrupted(ORIGIN + 60_000, "r1") + world.recover(ORIGIN + 60_000, "r1")
    assert [type(each) for each in said[:2]] == [Alive, Alive]
    assert [each.subscribed for each in said[:2]] == [False, False]
    assert [type(each) for each in said[-2:]] == [SnapshotComplete, SnapshotComplete]
    assert {each.request for each in said} == {"r1"}
    assert len({each.event for each in said[2:-2]}) >= census.live + census.upcoming
    assert len({each.event for each in said if isinstance(each, ScoreChange)}) >= census.live
    followed = world.step(ORIGIN + 120_000)
    assert {each.ts > ORIGIN + 60_000 for each in followed} == {True}
