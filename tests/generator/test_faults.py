"""Faults on a stream: what each does, that everything is counted, and that a seed strikes the same."""

import itertools
import json
from collections import Counter

import pytest
from msgspec import structs

from sb_generator import explained, rewrite
from sb_generator.chance import Chance
from sb_generator.faults import ADDED, FLAP_MS, SILENT_MS, SKEW_MS, TAKEN, Faults, Rates, checked, parse
from sb_generator.poison import poison
from sb_generator.speech import Spoken
from sb_generator.struck import SpokenHandle

KINDS = Rates.__struct_fields__
BEGIN = 1_700_000_000_000
STEP = 100


def documents(count):
    return [
        Spoken(
            json.dumps(
                {"type": "odds", "ts": BEGIN + STEP * n, "producer": str(1 + n % 2), "event": f"a:{n}"}
            ).encode(),
            BEGIN + STEP * n,
        )
        for n in range(count)
    ]


def struck(rates, count=2_000, seed="s", tell=None):
    faults = Faults(rates, Chance(seed), SpokenHandle("canonical"), tell)
    sent = []
    for document in documents(count):
        sent += faults.apply([document])
    return faults, sent + faults.flush()


def of(kind, rate=0.05, **more):
    return struck(checked({kind: rate}), **more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_counted_and_explained(kind):
    told = Counter()
    faults, sent = of(kind, 0.02, tell=lambda name, _: told.update([name]))
    assert set(faults.struck) == set(KINDS)
    assert {name for name, count in faults.struck.items() if count} == {kind}
    assert len(sent) == faults.sent == explained.balance(faults.offered, faults.struck)
    assert faults.held == 0
    marked = sum(kind in each.marks for each in sent)
    assert marked == (0 if kind in TAKEN else faults.struck[kind])
    # one that is repeated is struck once, and sent up to three times more
    assert told[kind] == faults.struck[kind] or (kind == "duplicate" and told[kind] < faults.struck[kind])
    untouched = [each for each in sent if not each.marks]
    originals = {each.data for each in documents(2_000)}
    assert all(each.data in originals for each in untouched)


def test_all_together_are_explained_too():
    faults, sent = struck(Rates(**dict.fromkeys(KINDS, 0.05)))
    assert all(faults.struck.values()), faults.struck
    assert len(sent) == explained.balance(faults.offered, faults.struck)


def test_a_seed_strikes_the_same_in_any_portions():
    rates = Rates(**dict.fromkeys(KINDS, 0.03))
    _, first = struck(rates)
    faults = Faults(rates, Chance("s"), SpokenHandle("canonical"))
    again = faults.apply(documents(2_000)) + faults.flush()
    assert first == again
    assert first != struck(rates, seed="other")[1]


def test_what_is_late_keeps_its_bytes_and_comes_later():
    for kind, later_ms in (("delay", 5_000), ("burst", 10_000), ("reorder", 20 * STEP)):
        _, sent = of(kind)
        assert sorted(each.data for each in sent) == sorted(each.data for each in documents(2_000))
        assert [(each.data, each.ms) for each in sent] != [(each.data, each.ms) for each in documents(2_000)]
        position = 0
        for each in sent:
            ts = json.loads(each.data)["ts"]
            assert position - ts <= later_ms + STEP, kind
            position = max(position, ts)


def test_a_burst_sends_what_it_held_at_once():
    _, sent = of("burst", 0.002)
    bursts = Counter(each.ms for each in sent if each.marks)
    assert bursts
    assert all(70 <= count <= 101 for count in list(bursts.values())[:-1])


def test_times_are_those_of_a_wrong_clock_or_an_old_message():
    for kind, low, high in (("stale", -3_600_000, -60_000), ("skew", -SKEW_MS, SKEW_MS)):
        _, sent = of(kind)
        for each in sent:
            shift = json.loads(each.data)["ts"] - BEGIN - STEP * int(json.loads(each.data)["event"][2:])
            assert (low <= shift <= high and shift != 0) == bool(each.marks)
        if kind == "skew":
            shifts = {json.loads(each.data)["ts"] - each.ms for each in sent if each.marks}
            assert shifts == {-SKEW_MS, SKEW_MS}


def test_a_silent_producer_says_nothing_for_as_long_as_that_counts_as_down():
    faults, sent = of("silence", 0.001)
    times = {who: [each.ms for each in sent if json.loads(each.data)["producer"] == who] for who in "12"}
    gaps = [b - a for series in times.values() for a, b in itertools.pairwise(series) if b - a > 1_000]
    assert gaps
    assert all(SILENT_MS <= gap <= SILENT_MS + 3 * STEP or gap > 2 * SILENT_MS for gap in gaps)
    assert faults.struck["silence"] > 100


def test_flapping_comes_and_goes():
    _, sent = of("flapping", 0.01, count=4_000)
    series = [each.ms for each in sent if json.loads(each.data)["producer"] == "1"]
    gaps = [b - a for a, b in itertools.pairwise(series) if b - a > 1_000]
    assert len(gaps) >= 2
    assert all(FLAP_MS - 3 * STEP <= gap <= FLAP_MS + 3 * STEP for gap in gaps), gaps


@pytest.mark.parametrize("provider", ["canonical", "uof", "betfair"])
def test_poison_is_a_line(provider):
    chance = Chance("p")
    found = {poison(provider, BEGIN, chance) for _ in range(300)}
    assert len(found) >= 7
    assert not any(b"\n" in each for each in found)


def test_rates_are_read_and_refused():
    assert parse("drop=0.1, silence=1") == Rates(drop=0.1, silence=1.0)
    assert not parse("")
    for text in ("rain=1", "drop=2", "drop", "drop=x"):
        with pytest.raises(ValueError, match=r"drop|rain"):
            parse(text)
    assert ADDED.isdisjoint(TAKEN)


def test_an_account_says_what_became_of_every_document():
    account = explained.Explained()
    account.judged([(), ("drop",), ("stale", "corrupt"), ()], {2: True, 3: False}, failed=False)
    account.judged([("stale",)], {}, failed=True)
    told = account.told({"stale": 2, "corrupt": 1, "drop": 3, "delay": 0})
    assert told["clean"] == {"sent": 2, "accepted": 1, "partly": 1, "refused": 0, "failed": 0}
    assert told["stale"] == {"struck": 2, "taken": 0, "sent": 2, "accepted": 0, "partly": 0, "refused": 1, "failed": 1}
    assert told["drop"]["taken"] == 3
    assert "delay" not in told
    for each in told.values():
        assert each["sent"] == each["accepted"] + each["partly"] + each["refused"] + each["failed"]


# other ids and times

FORMS = [
    ("canonical", b'{"type":"fixture","ts":1700000000000,"event":"a:1","start":1700000009000,"name":"ts"}'),
    ("canonical", b'<cancel ts="1700000000000" event="a:1" from="1700000000001" to=""><market market="1x2"/></cancel>'),
    ("uof", b'<odds_change product="1" event_id="sr:match:7" timestamp="1700000000000"/>'),
    (
        "uof",
        b'<fixtures_fixture generated_at="2023-11-14T22:13:20+00:00"><fixture id="sr:match:7"/></fixtures_fixture>',
    ),
    (
        "betfair",
        (
            b'{"op":"mcm","pt":1700000000000,"mc":[{"id":"1.7","marketDefinition":{"eventId":"9",'
            b'"openDate":"2023-11-14T22:13:20.000Z","runners":[{"id":5}]}}]}'
        ),
    ),
]


@pytest.mark.parametrize(("provider", "data"), FORMS)
def test_times_move_and_ids_are_a_copys(provider, data):
    moved = rewrite.moved(data, provider, lambda ms: ms + 60_000)
    assert moved != data
    assert b"1700000000000" not in moved
    assert b"22:13:20" not in moved
    back = rewrite.moved(moved, provider, lambda ms: ms - 60_000)
    assert back.replace(b".000+00:00", b"+00:00") == data
    named = rewrite.renamed(data, provider, 3)
    assert named.replace(b"-3", b"") == data
    assert named != data
    assert rewrite.renamed(data, provider, 0) == data
    assert rewrite.producer(data, provider) in {"", "1"}


def test_keys_and_unknown_formats():
    key = "hi.-.live.odds_change.1.sr:match.7.-"
    assert rewrite.renamed_key(key, 2) == "hi.-.live.odds_change.1.sr:match.7-2.-"
    assert rewrite.renamed_key("-.-.-.alive.-.-.-.-", 2) == "-.-.-.alive.-.-.-.-"
    assert rewrite.renamed_key(None, 2) is None
    assert rewrite.renamed(b"x", "acme", 2) == rewrite.moved(b"x", None, abs) == b"x"
    assert structs.asdict(Rates()) == dict.fromkeys(KINDS, 0.0)
