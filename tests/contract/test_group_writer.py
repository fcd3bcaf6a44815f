"""Group commit by itself: who writes, who is told, and what remains of those who left."""

import random

import anyio
import anyio.lowlevel
import pytest

from sb_core.adapters.writer import GROUP_BYTES_MAX, GroupWriter
from sb_core.errors import DependencyError, UnavailableError


class Recorder:
    """Takes groups, slowly, and fails those that hold something bad."""

    def __init__(self):
        self.groups = []
        self.writing = 0

    async def write(self, group):
        assert self.writing == 0, "one at a time"
        self.writing += 1
        try:
            await anyio.sleep(0.001)
            if "bad" in group:
                raise DependencyError("bad")
            if "down" in group:
                raise UnavailableError("down")
            if "bug" in group:
                raise ZeroDivisionError
            self.groups.append(list(group))
        finally:
            self.writing -= 1


def outcomes_of(run, items, size=1):
    recorder = Recorder()
    outcomes = {}

    async def put(writer, n, item):
        try:
            await writer.put(item, size)
            outcomes[n] = "written"
        except (DependencyError, ZeroDivisionError) as error:
            outcomes[n] = type(error).__name__

    async def main():
        writer = GroupWriter(recorder.write)
        async with anyio.create_task_group() as group:
            for n, item in enumerate(items):
                group.start_soon(put, writer, n, item)
        await writer.aclose()
        with pytest.raises(UnavailableError):
            await writer.put("late", 1)

    run(main)
    return recorder.groups, [outcomes[n] for n in range(len(items))]


def test_the_first_writes_alone_and_the_rest_together(run):
    groups, outcomes = outcomes_of(run, ["a", "b", "c", "d"])
    assert sorted(len(group) for group in groups) == [1, 3]
    assert outcomes == ["written"] * 4


def test_a_group_is_bounded_in_bytes(run):
    groups, outcomes = outcomes_of(run, list("abcdefg"), size=GROUP_BYTES_MAX // 2)
    assert max(len(group) for group in groups) == 2
    assert outcomes == ["written"] * 7


def test_only_the_unstorable_fails(run):
    groups, outcomes = outcomes_of(run, ["a", "b", "bad", "c", "bad"])
    assert outcomes.count("DependencyError") == 2
    assert (outcomes[2], outcomes[4]) == ("DependencyError", "DependencyError")
    assert sorted(item for group in groups for item in group) == ["a", "b", "c"]


def test_unavailable_is_for_all_of_the_group(run):
    _, outcomes = outcomes_of(run, ["down", "down", "down"])
    assert outcomes == ["UnavailableError"] * 3


def test_a_bug_crashes_its_writer_and_hangs_nobody(run):
    _, outcomes = outcomes_of(run, ["bug", "bug", "bug"])
    assert "ZeroDivisionError" in outcomes
    assert set(outcomes) <= {"ZeroDivisionError", "DependencyError"}


@pytest.mark.parametrize("seed", range(20))
def test_whoever_leaves_whenever_all_that_was_taken_is_written_once(run, seed):
    recorder = Recorder()
    written = []
    rng = random.Random(seed)

    async def put(writer, n):
        with anyio.move_on_after(rng.choice((0, 0.0003, 0.001, 0.0015, 0.002, 9))):
            await writer.put(n, 1)
            written.append(n)

    async def main():
        writer = GroupWriter(recorder.write)
        async with anyio.create_task_group() as group:
            for n in range(60):
                group.start_soon(put, writer, n)
                if rng.random() < 0.3:
                    await anyio.sleep(rng.choice((0, 0.0005, 0.001)))
        with anyio.fail_after(5):
            await writer.put("last", 1)
            await writer.aclose()

    run(main)
    items = [item for group in recorder.groups for item in group]
    assert len(items) == len(set(items))
    assert set(written) <= set(items)
    assert items[-1] == "last"
