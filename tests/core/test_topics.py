"""Topics: names, settings, and Kafka's own hash."""

import pytest

from sb_core import sports, topics
from sb_core.settings import SettingsError, load

# from Kafka's own UtilsTest.testMurmur2
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", VECTORS)
def test_murmur2_is_kafkas(data):
    signed = topics.murmur2(data)
    assert (signed - 2**32 if signed >= 2**31 else signed) == VECTORS[data]


def test_partitions_are_those_of_kafkas_partitioner():
    for data, signed in VECTORS.items():
        assert topics.partition_of(data.decode()) == (signed & 0x7FFFFFFF) % 12


def test_partitions_are_in_range_and_all_used():
    used = {topics.partition_of(f"uof:sr:match:{number}") for number in range(500)}
    assert used == set(range(topics.PARTITIONS))
    assert {topics.partition_of(f"é:{number}", 3) for number in range(50)} == {0, 1, 2}


def test_a_sport_may_have_other_partitions():
    found = {spec.name: spec.partitions for spec in topics.specs(partitions="tennis=24, hockey=1")}
    assert (found["sports-feed-tennis"], found["sports-updates-tennis"], found["sports-feed-hockey"]) == (24, 24, 1)
    assert (found["sports-feed-football"], found["sports-events"]) == (12, 1)


@pytest.mark.parametrize("text", ["chess=3", "tennis", "tennis=0", "tennis=1001", "tennis=-1", "tennis=٣", "=3"])
def test_a_wrong_number_of_partitions_is_refused(text):
    with pytest.raises(SettingsError, match="SB_PARTITIONS"):
        load({"SB_PARTITIONS": text})


def test_every_registered_sport_has_its_topics():
    specs = {spec.name: spec for spec in topics.specs()}
    for sport in sports.names():
        assert specs[topics.feed(sport)].partitions == 12
        assert specs[topics.feed(sport)].retention_ms == 7 * 86_400_000
        assert specs[topics.updates(sport)].retention_ms == 3 * 86_400_000
        assert topics.sport_of(topics.feed(sport)) == topics.sport_of(topics.updates(sport)) == sport
    compacted = {name for name, spec in specs.items() if spec.compacted}
    assert compacted == {"sports-events", "sports-producers", "sports-processors", "sports-reference"}
    assert specs["sports-dead-letter"].retention_ms == 30 * 86_400_000
    assert topics.SPORTS == sports.names() == ("football", "basketball", "tennis", "hockey")
    assert [spec.name for spec in topics.specs(("tennis",))][:2] == ["sports-feed-tennis", "sports-updates-tennis"]
