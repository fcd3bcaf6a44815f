"""What the Kafka log promises beyond the contract of all logs: names, settings, groups, the account."""

import random
from collections import Counter, defaultdict
from contextlib import suppress

import anyio
import pytest
import trio
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from sb_core import topics
from sb_core.adapters.kafka_admin import topic_settings
from sb_core.adapters.kafka_client import KafkaAddress, parse_address
from sb_core.adapters.kafka_writer import ACCOUNT
from sb_core.errors import ContractError, FencedError, LogTruncatedError
from sb_core.records import Record
from sb_core.topics import TopicSpec, partition_of

pytestmark = pytest.mark.engines

FEED = "feed"
SPEC = TopicSpec(FEED, 4, 86_400_000)
NOW = 1_782_240_000_000


def record(n, *, partition=None, key=None, value=None):
    return Record(FEED, key or f"uof:sr:match:{n}", value or str(n).encode(), NOW + n, partition)


async def settled(reader, *, wait_s=5.0):
    """Read until partitions are assigned; seek nothing."""
    with trio.fail_after(wait_s + 5):
        while True:
            delivery = await reader.read(records_max=1, wait_s=wait_s)
            if delivery.assigned:
                return delivery


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kafka://localhost:9092", KafkaAddress(("localhost:9092",))),
        ("kafka://a:1,b:2,c/", KafkaAddress(("a:1", "b:2", "c:9092"))),
        ("kafka://[::1]:9093,[::2]", KafkaAddress(("[::1]:9093", "[::2]:9092"))),
        (
            "kafka://a:1/?prefix=blue.&instance=p-0&replication=2",
            KafkaAddress(("a:1",), prefix="blue.", instance="p-0", replication=2),
        ),
        ("kafka:///topic", "is not kafka://"),
        ("http://a:1", "is not kafka://"),
        ("kafka://a:1/feeds", "servers and options only"),
        ("kafka://user:secret@a:1", "servers and options only"),
        ("kafka://a:0", "is not host:port"),
        ("kafka://a:b", "is not host:port"),
        ("kafka://a:1,,b:1", "is not host:port"),
        ("kafka://a:1/?acks=0", "unknown options of a kafka: URL: acks"),
        ("kafka://a:1/?prefix=a/b", "has other characters"),
        ("kafka://a:1/?replication=many", "is no number"),
    ],
)
def test_addresses(url, expected):
    if isinstance(expected, KafkaAddress):
        assert parse_address(url) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            parse_address(url)


def test_topics_of_a_cluster_need_more_than_one_copy():
    for replication, insync in ((1, None), (2, "2"), (3, "2")):
        assert topic_settings(SPEC, replication).get("min.insync.replicas") == insync


def test_topics_are_made_with_the_settings_of_their_specs(kafka_log, run):
    async def main():
        async with kafka_log()() as log:
            await super(type(log), log).create(topics.specs(("football",)))
            names = [*(spec.name for spec in topics.specs(("football",))), ACCOUNT]
            asked = [ConfigResource(ConfigResourceType.TOPIC, log.address.prefix + name) for name in names]
            answers = await log._bridge.call(log._admin._admin.describe_configs, asked, deadline_s=5)
            found = {
                resource[3].removeprefix(log.address.prefix): {row[0]: row[1] for row in resource[4]}
                for answer in answers
                for resource in answer.resources
            }
            for spec in topics.specs(("football",)):
                settings = found[spec.name]
                assert settings["cleanup.policy"] == ("compact" if spec.compacted else "delete")
                assert settings["retention.ms"] == str(-1 if spec.retention_ms is None else spec.retention_ms)
                assert int(settings["max.message.bytes"]) > 16 * 1024 * 1024
                assert await log.partitions(spec.name) == spec.partitions
            assert found[ACCOUNT]["cleanup.policy"] == "compact"
            made = {spec.name: spec for spec in topics.specs(("football",))}
            assert await log.topics() == {**made, ACCOUNT: TopicSpec(ACCOUNT, 1, None, compacted=True)}
            with pytest.raises(ContractError, match="has 12 partitions, not 6"):
                await log.create([TopicSpec("sports-feed-football", 6, None)])

    run(main)


def test_asking_for_a_topic_never_makes_it(kafka_log, run):
    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            for ask in (log.partitions("nosuch"), log.ends(["nosuch"]), log.append([Record("nosuch", "k", b"", 0)])):
                with pytest.raises(ContractError):
                    await ask
            assert set(await log._bridge.call(log._admin.topics, deadline_s=5)) == {FEED, ACCOUNT}

    run(main)


def test_topics_that_another_process_made_are_found(kafka_log, run):
    async def main():
        async with kafka_log()() as first, kafka_log(prefix=first.address.prefix)() as second:
            await first.create([SPEC])
            assert await second.partitions(FEED) == 4
            assert await second.append([record(1, partition=3)], {"n": 1}) == [0]
            assert await first.ends([FEED]) == {(FEED, 0): 0, (FEED, 1): 0, (FEED, 2): 0, (FEED, 3): 1}

    run(main)


def test_the_account_is_the_sum_of_all_lives_and_outlives_them(kafka_log, run):
    async def main():
        async with kafka_log()() as first:
            prefix = first.address.prefix
            await first.create([SPEC])
            assert await first.account() == {}
            for _ in range(3):
                async with kafka_log(prefix=prefix)() as other:
                    await other.partitions(FEED)
                    for n in range(10):
                        await other.append([record(n)], {"received": 2, "accepted": 1})
            await first.append([record(1)], {"received": 5})
            expected = {"received": 65, "accepted": 30}
            assert await first.account() == expected
            async with kafka_log(prefix=prefix)() as other:
                assert await other.account() == expected
            records = await everything(first, ACCOUNT, 1)
            # a record per group with counts, and nothing else; what compaction leaves is the last of each life
            assert len({each.key for each in records}) == 4
            assert sum((await first.ends([FEED])).values()) == 31

    run(main)


async def everything(log, topic=FEED, partitions=4):
    reader = log.reader([topic])
    for place in (await settled(reader)).assigned:
        reader.seek(place, 0)
    found = []
    while delivered := (await reader.read(records_max=5_000, wait_s=0)).records:
        found.extend(delivered)
    await reader.aclose()
    assert {each.partition for each in found} <= set(range(partitions))
    return found


def test_keys_go_where_kafkas_own_producer_puts_them(kafka_log, native_stack, run):
    keys = ["uof:sr:match:42", "betfair:1.234", "a", "ab", "abc", "clé:ключ:鍵", *(f"k{n}" for n in range(40))]

    async def main():
        async with kafka_log(servers=native_stack.servers)() as log:
            await log.create([SPEC])
            await log.append([record(0, key=key, value=b"ours") for key in keys])
            topic = log.address.prefix + FEED
            given = "".join(f"{key}\ttheirs\n" for key in keys)
            options = ["--property", "parse.key=true"]
            await trio.to_thread.run_sync(
                lambda: native_stack.stack.kafka_tool(
                    "kafka-console-producer.sh", "--topic", topic, *options, given=given
                )
            )
            found = defaultdict(set)
            for each in await everything(log):
                found[each.key].add((each.value, each.partition))
            for key in keys:
                assert found[key] == {(b"ours", partition_of(key, 4)), (b"theirs", partition_of(key, 4))}
            count = str(2 * len(keys))
            options = ["--property", "print.key=true", "--from-beginning", "--max-messages", count]
            shown = await trio.to_thread.run_sync(
                lambda: native_stack.stack.kafka_tool("kafka-console-consumer.sh", "--topic", topic, *options)
            )
            assert sorted(shown.splitlines()) == sorted(
                f"{key}\t{whose}" for key in keys for whose in ("ours", "theirs")
            )

    run(main, deadline_s=60)


def test_large_records_and_appends_of_many_megabytes(kafka_log, run):
    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            rng = random.Random(1)
            large = rng.randbytes(20_000_000)
            assert await log.append([record(0, partition=0, value=large)]) == [0]
            # more than one produce request, and per partition still one run
            rows = [record(n, partition=n % 4, value=large[: 400_000 + n]) for n in range(200)]
            offsets = await log.append(rows, {"n": 200})
            assert offsets == [1 + n // 4 if n % 4 == 0 else n // 4 for n in range(200)]
            reader = log.reader([FEED])
            for place in (await settled(reader)).assigned:
                reader.seek(place, 0)
            sizes = Counter()
            while delivered := (await reader.read(records_max=1_000, wait_s=0)).records:
                sizes.update(len(each.value) for each in delivered)
            assert sizes == Counter([20_000_000, *(400_000 + n for n in range(200))])
            with pytest.raises(ContractError, match="more than a topic takes"):
                await log.append([record(0, value=bytes(32 * 1024 * 1024))])
            assert await log.account() == {"n": 200}

    run(main, deadline_s=60)


def test_a_waiting_reader_hears_that_its_position_was_pruned(kafka_log, run):
    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            await log.append([record(n, partition=1) for n in range(100)])
            reader = log.reader([FEED])
            await settled(reader)
            drop = {TopicPartition(log.address.prefix + FEED, 1): RecordsToDelete(before_offset=60)}
            await log._bridge.call(log._admin._admin.delete_records, drop, deadline_s=5)
            reader.seek((FEED, 1), 59)
            for _ in range(2):
                begun = anyio.current_time()
                with pytest.raises(LogTruncatedError, match=r"feed/1: 59 is outside of 60\.\.100") as caught:
                    await reader.read(records_max=10, wait_s=20)
                assert caught.value.partition == (FEED, 1)
                assert anyio.current_time() - begun < 5
            reader.pause((FEED, 1))
            await log.append([record(7, partition=2)])
            reader.seek((FEED, 2), 0)
            assert [each.partition for each in (await reader.read(records_max=10, wait_s=5)).records] == [2]
            reader.seek((FEED, 1), 60)
            assert (await reader.read(records_max=10, wait_s=5)).records[0].offset == 60

    run(main)


class Readers:
    """Members of one group that keep their positions in common, as processors do in the store."""

    def __init__(self, log, end):
        self.log = log
        self.end = end
        self.position = dict.fromkeys([(FEED, n) for n in range(4)], 0)
        self.seen = defaultdict(list)
        self.handovers = 0

    @property
    def complete(self):
        return all(at == self.end for at in self.position.values())

    async def member(self, lifetime_s):
        reader = self.log.reader([FEED], "members")
        ends = trio.current_time() + lifetime_s
        mine = set()
        while trio.current_time() < ends and not self.complete:
            delivery = await reader.read(records_max=200, wait_s=0.3)
            mine -= set(delivery.revoked)
            mine |= set(delivery.assigned)
            for place in delivery.assigned:
                self.handovers += 1
                reader.seek(place, self.position[place])
            assert {(each.topic, each.partition) for each in delivery.records} <= mine
            self.take(delivery.records)
            last = {(each.topic, each.partition): each.offset + 1 for each in delivery.records}
            with suppress(FencedError):
                await reader.commit(last)
        await reader.aclose()

    def take(self, records):
        for each in records:
            place = (each.topic, each.partition)
            self.seen[place].append(each.offset)
            if each.offset == self.position[place]:
                self.position[place] += 1


def test_members_come_and_go_while_records_are_read_and_appended(kafka_log, run):
    """Everything is read at least once, in order, from the positions that were kept; nobody ever hangs."""

    async def main():
        async with kafka_log()() as log:
            await log.create([SPEC])
            readers = Readers(log, 1_500)

            async def appending():
                for n in range(150):
                    await log.append([record(n * 40 + i, partition=i % 4) for i in range(40)])
                    await trio.sleep(0.02)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(appending)
                nursery.start_soon(readers.member, 40)
                for _ in range(6):
                    await trio.sleep(0.8)
                    nursery.start_soon(readers.member, 1.2)
            assert readers.complete
            for offsets in readers.seen.values():
                assert set(offsets) == set(range(1_500))
            assert readers.handovers >= 20
            assert max((await log.committed("members")).values()) == 1_500

    run(main, deadline_s=60)


def test_a_static_member_that_comes_back_takes_its_partitions_again_and_others_notice_nothing(kafka_log, run):
    async def main():
        async with kafka_log(instance="stays")() as log:
            prefix = log.address.prefix
            await log.create([SPEC])
            reader = log.reader([FEED], "members")
            await settled(reader)
            async with kafka_log(prefix=prefix, instance="comes")() as other:
                await other.partitions(FEED)
                theirs = (await settled(other.reader([FEED], "members"))).assigned
                ours = (await settled(reader)).assigned
                assert sorted(theirs + ours) == [(FEED, n) for n in range(4)]
                assert len(theirs) == 2
            async with kafka_log(prefix=prefix, instance="comes")() as other:
                await other.partitions(FEED)
                assert (await settled(other.reader([FEED], "members"))).assigned == theirs
                delivery = await reader.read(records_max=1, wait_s=1.5)
                assert (delivery.assigned, delivery.revoked) == ((), ())

    run(main)
