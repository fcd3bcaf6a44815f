"""Groups of the embedded logs: which member of a group has which partitions.

The rule is Kafka's eager one, made deterministic: on every join and leave each member loses all it had, and partition i
of all (in order of topic and number) goes to member i modulo members, in order of joining.
"""

from collections.abc import Iterable

from sb_core.records import TopicPartition


class Membership:
    """What one member holds, and what it has been told so far."""

    def __init__(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.wanted = partitions
        self.held: tuple[TopicPartition, ...] = ()
        self.told: tuple[TopicPartition, ...] = ()
        self.changed = False

    def give(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Assign anew; the member learns it with its next read."""
        self.held = partitions
        self.changed = True


class Groups:
    """All groups of one log in this process."""

    def __init__(self) -> None:
        self._members: dict[str, list[Membership]] = {}

    def join(self, group: str, member: Membership) -> tuple[Membership, ...]:
        """Add a member and share out anew; return whom to wake."""
        self._members.setdefault(group, []).append(member)
        return self._share(group)

    def leave(self, group: str, member: Membership) -> tuple[Membership, ...]:
        """Remove a member and share out anew; return whom to wake."""
        members = self._members.get(group, [])
        if member not in members:
            return ()
        members.remove(member)
        return self._share(group)

    def count(self, group: str) -> int:
        """Return how many members a group has."""
        return len(self._members.get(group, ()))

    def _share(self, group: str) -> tuple[Membership, ...]:
        members = self._members[group]
        given: list[list[TopicPartition]] = [[] for _ in members]
        for i, partition in enumerate(_ordered(p for member in members for p in member.wanted)):
            takers = [n for n, member in enumerate(members) if partition in member.wanted]
            given[takers[i % len(takers)]].append(partition)
        for member, partitions in zip(members, given, strict=True):
            member.give(tuple(partitions))
        return tuple(members)


def _ordered(partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    return sorted(dict.fromkeys(partitions))
