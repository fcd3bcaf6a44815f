"""What the database itself says of every transaction that moved a position, and of the changes that it wrote.

The rule: triggers write it down in the transaction that they watch; so what is here was committed, in the order in which
each position moved, whoever did it.
"""

from itertools import groupby
from typing import NamedTuple

TABLES = """
CREATE TABLE trail (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, topic VARCHAR(200), `partition` INT,
    epoch_before BIGINT, owner_before VARCHAR(200), stood BIGINT, done_before BIGINT, generation_before BIGINT,
    epoch BIGINT, owner VARCHAR(200), next_offset BIGINT, done_offset BIGINT, generation BIGINT,
    KEY place (topic, `partition`, id)
);
CREATE TABLE trail_changes (trail BIGINT, topic VARCHAR(200), `partition` INT, `offset` BIGINT, event VARCHAR(200), rev BIGINT);
CREATE TRIGGER trail_positions AFTER UPDATE ON positions FOR EACH ROW INSERT INTO trail VALUES (
    NULL, NEW.topic, NEW.`partition`,
    OLD.epoch, OLD.owner, OLD.next_offset, OLD.done_offset, OLD.cache_generation,
    NEW.epoch, NEW.owner, NEW.next_offset, NEW.done_offset, NEW.cache_generation
);
CREATE TRIGGER trail_of_changes AFTER INSERT ON changes FOR EACH ROW INSERT INTO trail_changes VALUES (
    (SELECT MAX(id) FROM trail WHERE topic = NEW.topic AND `partition` = NEW.`partition`),
    NEW.topic, NEW.`partition`, NEW.`offset`, NEW.event, NEW.rev
);
"""


class Step(NamedTuple):
    """How one transaction moved a position."""

    id: int
    topic: str
    partition: int
    epoch_before: int
    owner_before: str
    stood: int
    done_before: int
    generation_before: int
    epoch: int
    owner: str
    next_offset: int
    done_offset: int
    generation: int

    def claims(self):
        return (self.epoch, self.owner) != (self.epoch_before, self.owner_before)


def lay(engines, folder):
    """Have the database of this folder's pipeline write a trail from now on."""
    engines.stack.mysql_tool("", engines.database(folder), given=TABLES)


def steps(engines, folder):
    rows = engines.ask(folder, "SELECT * FROM trail ORDER BY topic, `partition`, id")
    return [
        Step(*(kind(value) for kind, value in zip(Step.__annotations__.values(), row, strict=True))) for row in rows
    ]


def faults(found, written):
    """Say what of the steps breaks a promise; `written` are (step, offset, event, rev) of all changes."""
    by_id = {step.id: step for step in found}
    for (topic, number), each in groupby(found, lambda step: (step.topic, step.partition)):
        before = None
        for step in each:
            what = f"{topic}/{number}: {step}"
            if before is not None and _end(before) != _start(step):
                yield f"{what} does not go on where the one before ended: {before}"
            yield from (f"{what} {why}" for why in _wrong(step, before))
            before = step
    for trail, offset, event, rev in written:
        step = by_id.get(trail)
        if step is None or not step.stood <= offset < step.next_offset:
            yield f"{event} rev {rev} at {offset} was written by {step}"


def changes(engines, folder):
    rows = engines.ask(folder, "SELECT IFNULL(trail, 0), `offset`, event, rev FROM trail_changes")
    return [(int(trail), int(offset), event, int(rev)) for trail, offset, event, rev in rows]


def _start(step):
    return step.epoch_before, step.owner_before, step.stood, step.done_before, step.generation_before


def _end(step):
    return step.epoch, step.owner, step.next_offset, step.done_offset, step.generation


def _wrong(step, before):
    if step.claims():
        if step.epoch != step.epoch_before + 1:
            yield "changes hands without a new epoch"
        if (step.stood, step.done_before) != (step.next_offset, step.done_offset):
            yield "moves an offset while it changes hands"
        # a claim of unknown outcome is made once more, by the same owner, before it has written anything
        if step.owner == step.owner_before and before is not None and not before.claims():
            yield "raises the epoch of its own owner"
    if step.next_offset < step.stood or step.done_offset < step.done_before or step.generation < step.generation_before:
        yield "goes back"
    if step.done_offset > step.next_offset:
        yield "is done with what it has not come to"
