"""A part of a topic is read to its end and no further, whatever lies in it; a log that stands still is told of."""

import pytest
import trio
from trio.testing import MockClock

from sb_core.adapters.memory_log import open_memory_log
from sb_core.errors import UnavailableError
from sb_core.records import Delivery, Record
from sb_core.runtime import SystemClock
from sb_core.topics import TopicSpec
from sb_local import part
from sb_local.lineage import highest_published
from sb_local.part import read_part

TOPIC = "sports-updates-football"


class _Context:
    """What the commands need of theirs."""

    def __init__(self, log):
        self.log = self.admin = log


def play(main):
    async def opened():
        async with open_memory_log(SystemClock()) as log:
            await log.create([TopicSpec(TOPIC, 3, retention_ms=None)])
            await main(_Context(log))

    trio.run(opened, clock=MockClock(autojump_threshold=0))


def put(values, partition=0):
    return [Record(TOPIC, "k", value, 1, partition) for value in values]


def test_partitions_are_read_from_where_they_are_asked_for_to_their_ends(monkeypatch):
    monkeypatch.setattr(part, "RECORDS_MAX", 2)

    async def main(context):
        await context.log.append([*put([b"%d" % n for n in range(7)]), *put([b"x", b"y"], 1), *put([b"no"], 2)])
        taken = []
        await read_part(context, TOPIC, {(TOPIC, 0): 4, (TOPIC, 1): 2}, taken.append)
        assert [each.value for each in taken if each.partition == 0] == [b"4", b"5", b"6"]
        assert not [each for each in taken if each.partition == 1], "it was at its end"

    play(main)


def test_what_is_not_of_ours_in_a_topic_has_no_lineage():
    async def main(context):
        garbage = [b"", None, b"\xff\xfe", b"[1]", b'{"lineage":"9"}', b'{"lineage":1e9}', b'"', b"tick", b"{}"]
        await context.log.append([*put(garbage), *put([b'{"lineage":3}', *garbage], 1), *put([b'{"lineage":5}'], 2)])
        assert await highest_published(context, TOPIC) == 5
        assert await highest_published(context, TOPIC, 1) == 3
        assert await highest_published(context, TOPIC, 0) == 0

    play(main)


def test_a_log_that_stands_still_is_told_of():
    class Silent:
        closed = False

        async def read(self, *, records_max, wait_s):  # noqa: ARG002  a port's
            await trio.sleep(wait_s)
            return Delivery()

        async def aclose(self):
            self.closed = True

    async def main(context):
        await context.log.append(put([b"1"]))
        reader = Silent()
        context.log.reader = lambda _topics: reader
        with pytest.raises(UnavailableError, match="gives nothing"):
            await read_part(context, TOPIC, {(TOPIC, 0): 0}, print)
        assert reader.closed
        assert trio.current_time() < 60

    play(main)
